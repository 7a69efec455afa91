"""What a provider's HTTP error means to the caller: the part that all providers share.

Above: the clients, which read their provider's error body into a `meaning`, the HTTP status that says it best.
"""

import re

from sekisho.errors import (
    ContextTooLong,
    RateLimited,
    SekishoError,
    UpstreamAccessDenied,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from sekisho.upstream.http1 import Http1Response

_BODY_LIMIT_BYTES = 65_536
_BODY_TIMEOUT_S = 10.0
_WORDS_LIMIT = 2_000

# how Claude, Nova, Llama, Mistral, OpenAI and vLLM say that the prompt does not fit
_OVERFLOW = re.compile(
    r"(prompt|input) is too long|too many (input )?tokens|(maximum|exceeds?( the)?( model's)?) context"
    r"|context (length|window|limit)|input length and `?max_tokens`? exceed",
    re.IGNORECASE,
)
_NOT_ABOUT_THE_PROMPT = frozenset([401, 402, 403, 408, 429])
_ACCOUNT_IN_ARN = re.compile(r"(arn:[a-z-]*:[a-z0-9-]*:[a-z0-9-]*:)\d{12}")


async def read_fault(response: Http1Response) -> bytes:
    """The body of an error answer; b"" when it cannot be had: the status alone must do then."""
    try:
        return await response.read(_BODY_LIMIT_BYTES, _BODY_TIMEOUT_S)
    except UpstreamUnavailable:
        return b""
    finally:
        response.close()


def render_fault(
    provider: str, response: Http1Response, meaning: int, words: str, request_id: bytes, *, is_overflow: bool = False
) -> SekishoError:
    """The error of the tree for an answer that is not 200.

    `provider` as the caller may read it; `words`: the provider's own, which only a refusal of the call itself passes on
    (those about access name the operator's accounts, those about rates read like context overflow to agents).
    `is_overflow`: the provider says by a code that the prompt does not fit; else its words tell."""
    shown = _ACCOUNT_IN_ARN.sub(r"\1***", words[:_WORDS_LIMIT])
    if is_overflow or (400 <= meaning < 500 and meaning not in _NOT_ABOUT_THE_PROMPT and _OVERFLOW.search(shown)):
        error: SekishoError = ContextTooLong(shown if "prompt is too long" in shown else f"prompt is too long: {shown}")
    else:
        error = _by_meaning(provider, response, meaning, shown)
    error.upstream_status = response.status
    error.upstream_request_id = request_id.decode("latin-1")
    error.upstream_message = words[:_WORDS_LIMIT]
    return error


def _by_meaning(provider: str, response: Http1Response, meaning: int, words: str) -> SekishoError:
    if meaning in (401, 402, 403):
        return UpstreamAccessDenied(f"The gateway's credentials were refused by {provider}.")
    if meaning in (408, 504):
        return UpstreamTimeout(f"There was no answer from {provider} in time.")
    if meaning == 429:
        return RateLimited(
            f"The rate limit of {provider} is reached. Try again later.", retry_after_s=_retry_after_s(response.headers)
        )
    if 400 <= meaning < 500:
        return UpstreamRejected(f"The call was refused by {provider}: {words or f'HTTP {meaning}'}", status=meaning)
    return UpstreamUnavailable(f"The call failed at {provider} (HTTP {response.status}).")


def _retry_after_s(headers: dict[bytes, bytes]) -> int:
    """Whole seconds; 1 when the provider does not say, or says a date, which none of them does."""
    milliseconds = headers.get(b"retry-after-ms", b"")
    if milliseconds.isdigit():
        return -(-int(milliseconds) // 1000)
    seconds = headers.get(b"retry-after", b"")
    return int(seconds) if seconds.isdigit() else 1
