"""What the errors of the Anthropic API mean, by their type. Source: the API's reference and its official client."""

from sekisho.dialects.faults import explain
from sekisho.errors import SekishoError

MEANINGS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
_UNKNOWN = 500


def fault(kind: str, words: str) -> SekishoError:
    """The error for an `error.type` inside a stream. Returned, not raised."""
    return explain(MEANINGS.get(kind, _UNKNOWN), words)
