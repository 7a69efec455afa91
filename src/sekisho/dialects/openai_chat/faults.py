"""What the errors of OpenAI-compatible servers mean, in an answer and inside a stream.

Source: OpenAI API reference; what vLLM, llama.cpp, OpenRouter and frameworks that answer with `detail` really send.
"""

from typing import Any

import msgspec

from sekisho.dialects.faults import THROTTLED_WAIT_S, explain
from sekisho.dialects.reading import UNREADABLE
from sekisho.errors import SekishoError

# codes that mean something else than the status they come with
MEANINGS = {
    "invalid_api_key": 401,
    "insufficient_quota": 402,
    "billing_hard_limit_reached": 402,
    "billing_not_active": 402,
    "account_deactivated": 403,
}
_UNKNOWN = 500


def parse_fault(
    body: bytes, status: int, *, provider: str = "the model provider", retry_after_s: int = THROTTLED_WAIT_S
) -> SekishoError:
    """The error for an answer that is not 200. Returned, not raised. `dialects.faults.explain` says the rest."""
    try:
        said = msgspec.json.decode(body)
    except UNREADABLE:  # a load balancer's page, or cut off
        said = None
    fields = said if isinstance(said, dict) else {}
    error = fields.get("error") or fields
    if not isinstance(error, dict):
        error = {"message": error}
    words = error.get("message") or error.get("detail") or ""
    code = str(error.get("code"))
    return explain(
        MEANINGS.get(code, status),
        str(words),
        provider=provider,
        retry_after_s=retry_after_s,
        is_overflow=code == "context_length_exceeded",
    )


def reported_error(error: Any) -> SekishoError:
    """The error an upstream wrote into its answer. Returned, not raised."""
    fields = error if isinstance(error, dict) else {"message": error}
    code = str(fields.get("code"))
    kind = f"{code} {fields.get('type')}".lower()
    meaning = MEANINGS.get(code) or _status(fields.get("code")) or _status(fields.get("status"))
    if not meaning:
        meaning = 429 if "rate_limit" in kind or "throttl" in kind else 400 if "invalid_request" in kind else _UNKNOWN
    return explain(meaning, str(fields.get("message") or ""), is_overflow="context_length" in kind)


def named_error(data: bytes) -> SekishoError:
    """The error in an event that is named so, whatever shape its data has. Returned, not raised."""
    try:
        fields = msgspec.json.decode(data)
    except UNREADABLE:
        return reported_error(data.decode("utf-8", "replace"))
    return reported_error(fields.get("error", fields) if isinstance(fields, dict) else fields)


def _status(value: Any) -> int:
    """An HTTP status, 0 for anything else."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) == 3:
        return int(value)
    return value if isinstance(value, int) else 0
