"""What Bedrock's exceptions mean, whether one answers the call or ends a stream.

Above: the Converse and Invoke codecs, and the upstream client. Below: dialects.faults. Source: the errors of the
bedrock-runtime service model, and those common to all AWS services.
"""

import msgspec

from sekisho.dialects.bedrock.event_stream import Frame
from sekisho.dialects.faults import THROTTLED_WAIT_S, explain
from sekisho.dialects.reading import UNREADABLE
from sekisho.errors import SekishoError

UNKNOWN = 500

# the HTTP status whose meaning the exception has for the caller, which is not always the status it comes with
MEANINGS = {
    "ValidationException": 400,
    "ConflictException": 400,
    "SerializationException": 400,
    "AccessDeniedException": 403,
    "UnrecognizedClientException": 403,
    "InvalidClientTokenId": 403,
    "InvalidSignatureException": 403,
    "SignatureDoesNotMatch": 403,
    "IncompleteSignature": 403,
    "IncompleteSignatureException": 403,
    "MissingAuthenticationToken": 403,
    "MissingAuthenticationTokenException": 403,
    "ExpiredToken": 403,
    "ExpiredTokenException": 403,
    "RequestExpired": 403,
    "OptInRequired": 403,
    "ResourceNotFoundException": 404,
    "ModelTimeoutException": 408,
    "ThrottlingException": 429,
    "TooManyRequestsException": 429,
    "ServiceQuotaExceededException": 429,
    "ModelNotReadyException": 503,
    "InternalServerException": 500,
    "ServiceUnavailableException": 503,
    "ModelErrorException": 500,
    "ModelStreamErrorException": 500,
}
_OF_THE_MODEL = ("ModelErrorException", "ModelStreamErrorException")


class _Body(msgspec.Struct, frozen=True):
    """The body of an AWS error. Services spell the message either way."""

    message: str | None = None
    capital_message: str | None = msgspec.field(name="Message", default=None)
    type: str = msgspec.field(name="__type", default="")
    original_status: int | None = msgspec.field(name="originalStatusCode", default=None)
    original_message: str | None = msgspec.field(name="originalMessage", default=None)


def exception_name(text: str) -> str:
    """The bare name in any of AWS's spellings: `throttlingException`, `com.x#Throttling…`, `Throttling…:http://…`."""
    name = text.rsplit("#", 1)[-1].split(":", 1)[0].strip()
    return name[:1].upper() + name[1:]


def parse_fault(
    name: str,
    body: bytes,
    *,
    unknown: int = UNKNOWN,
    provider: str = "the model provider",
    retry_after_s: int = THROTTLED_WAIT_S,
) -> SekishoError:
    """The error for an AWS exception and its JSON body. Returned, not raised.

    `name` may be empty: the body can name it too. A body that cannot be read counts as empty. `unknown`: the meaning of
    an exception that is not in the table. The rest: `dialects.faults.explain`."""
    try:
        said = msgspec.json.decode(body, type=_Body)
    except UNREADABLE:  # a load balancer's page, or cut off
        said = _Body()
    words = said.message or said.capital_message or ""
    if said.original_message and said.original_message not in words:
        words = f"{words} {said.original_message}".strip()
    bare = exception_name(name or said.type)
    meaning = MEANINGS.get(bare, unknown)
    if bare in _OF_THE_MODEL and said.original_status is not None:
        meaning = said.original_status
    return explain(meaning, words, provider=provider, retry_after_s=retry_after_s)


def raise_if_fault(frame: Frame) -> None:
    """Raises the mapped error when the frame is an exception or an error instead of an event."""
    kind = frame.headers.get(":message-type", "event")
    if kind == "exception":
        raise parse_fault(frame.headers.get(":exception-type", ""), frame.payload)
    if kind == "error":
        name = exception_name(frame.headers.get(":error-code", ""))
        raise explain(MEANINGS.get(name, UNKNOWN), frame.headers.get(":error-message", ""))
