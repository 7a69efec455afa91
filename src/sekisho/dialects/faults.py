"""What a model provider's failure means to the caller: one table, for HTTP errors and for errors inside a stream.

Above: the codecs and the upstream clients. Each reads its provider's error into a `meaning`, the HTTP status that says
it best whatever status it came with, and the provider's own words. What of the words a caller may see is decided here:
docs/why/refusals.md
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

MAX_WORDS = 2_000
THROTTLED_WAIT_S = 5

# how Claude, Nova, Llama, Mistral, OpenAI and vLLM say that the prompt does not fit
_OVERFLOW = re.compile(
    r"(prompt|input|request) is too long"
    r"|exceeds? (the )?(model'?s )?(maximum )?context"
    r"|maximum context"
    r"|context (window|length|limit)"
    r"|too many (input )?tokens"
    r"|input length and `?max_tokens`? exceed"
    r"|(exceeds?|exceeded) the (maximum|max) (number of )?(input )?tokens",
    re.IGNORECASE,
)
_NOT_ABOUT_THE_PROMPT = frozenset([401, 402, 403, 408, 429])
_ACCOUNT_IN_ARN = re.compile(r"(arn:[a-z-]*:[a-z0-9-]*:[a-z0-9-]*:)\d{12}")


def clean(words: str) -> str:
    """The provider's words fit for a caller: no account numbers, at most MAX_WORDS characters."""
    return _ACCOUNT_IN_ARN.sub(r"\1***", words)[:MAX_WORDS]


def explain(
    meaning: int,
    words: str,
    *,
    provider: str = "the model provider",
    retry_after_s: int = THROTTLED_WAIT_S,
    is_overflow: bool = False,
) -> SekishoError:
    """The error of the tree. Returned, not raised.

    Only a refusal of the call itself passes the provider's words on: those about access name the operator's accounts,
    those about rates read like context overflow to agents. All are kept in `upstream_message`. `is_overflow`: the
    provider says by a code that the prompt does not fit; else its words tell."""
    shown = clean(words)
    if is_overflow or (400 <= meaning < 500 and meaning not in _NOT_ABOUT_THE_PROMPT and _OVERFLOW.search(shown)):
        # the phrase that agents compact on
        is_said = "prompt is too long" in shown.lower()
        error: SekishoError = ContextTooLong(shown if is_said else f"prompt is too long: {shown}")
    elif meaning in (401, 402, 403):
        error = UpstreamAccessDenied(f"The gateway's credentials were refused by {provider}.")
    elif meaning in (408, 504):
        error = UpstreamTimeout(f"There was no answer from {provider} in time.")
    elif meaning == 429:
        error = RateLimited(f"The rate limit of {provider} is reached. Try again later.", retry_after_s=retry_after_s)
    elif 400 <= meaning < 500:
        error = UpstreamRejected(f"The call was refused by {provider}: {shown or f'HTTP {meaning}'}", status=meaning)
    else:
        error = UpstreamUnavailable(f"The call failed at {provider}.")
    error.upstream_message = words[:MAX_WORDS]
    return error


def unreadable(error: Exception) -> UpstreamUnavailable:
    """What to raise for an answer that does not keep to its dialect."""
    return UpstreamUnavailable(f"The model provider sent an answer that cannot be read: {clean(str(error))}")
