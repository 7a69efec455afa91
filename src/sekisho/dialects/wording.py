"""What a model provider's words mean, and what of them a caller may see.

ARNs, which carry account numbers, are taken out; so is everything a provider says about the gateway's own credentials.
"""

import re

from sekisho.errors import ContextTooLong, SekishoError, UpstreamRejected

NOT_ENTITLED = "The model provider does not let this gateway use the model; ask its administrator."
MAX_MESSAGE_CHARS = 1000

_ARN = re.compile(r"arn:aws[\w-]*:[^\s\"',()]+")
_OVERFLOW = re.compile(
    r"(prompt|input|request) is too long"
    r"|exceeds? (the )?(model'?s )?(maximum )?context"
    r"|maximum context length"
    r"|context (window|length|limit)"
    r"|too many (input )?tokens"
    r"|(exceeds?|exceeded) the (maximum|max) (number of )?(input )?tokens",
    re.IGNORECASE,
)


def clean(message: str) -> str:
    """The provider's words fit for a caller: no ARNs, at most MAX_MESSAGE_CHARS."""
    return _ARN.sub("(arn)", message)[:MAX_MESSAGE_CHARS]


def rejected(message: str, status: int = 400) -> SekishoError:
    """A call the provider found fault with: ContextTooLong if its words say so, else UpstreamRejected."""
    if _OVERFLOW.search(message):
        # the phrase that agents compact on
        known = "prompt is too long" in message.lower()
        return ContextTooLong(clean(message if known else f"prompt is too long: {message}"))
    return UpstreamRejected(clean(message) or None, status=status)
