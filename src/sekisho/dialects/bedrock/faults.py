"""What Bedrock's exceptions mean here: one table for HTTP errors and for exceptions inside a stream.

Above: the Converse and Invoke codecs, and the upstream client. Below: dialects.wording.
"""

from collections.abc import Callable

import msgspec

from sekisho.dialects.bedrock.event_stream import Frame
from sekisho.dialects.wording import NOT_ENTITLED, clean, rejected
from sekisho.errors import (
    RateLimited,
    SekishoError,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)


class Fault(msgspec.Struct, frozen=True, rename="camel"):
    """The body of an AWS error. Services spell the message either way."""

    message: str | None = None
    capital_message: str | None = msgspec.field(name="Message", default=None)
    original_status_code: int | None = None
    original_message: str | None = None


def _throttled(message: str, original_status: int) -> SekishoError:
    return RateLimited(clean(message) or "The model provider is limiting the rate of calls.", retry_after_s=5)


def _quota(message: str, original_status: int) -> SekishoError:
    return RateLimited(clean(message) or "A quota at the model provider is used up.", retry_after_s=30)


def _refused(message: str, original_status: int) -> SekishoError:
    return rejected(message)


def _not_found(message: str, original_status: int) -> SekishoError:
    return rejected(message or "The model provider does not know this model.", 404)


def _not_entitled(message: str, original_status: int) -> SekishoError:
    # The gateway's own credentials or model access, not the caller's key: agents misread 401 and 403. The words stay
    # out because they name roles and accounts.
    return UpstreamRejected(NOT_ENTITLED)


def _unavailable(message: str, original_status: int) -> SekishoError:
    return UpstreamUnavailable(clean(message) or None)


def _timed_out(message: str, original_status: int) -> SekishoError:
    return UpstreamTimeout(clean(message) or None)


def _model_failed(message: str, original_status: int) -> SekishoError:
    if original_status == 429:
        return _throttled(message, original_status)
    if original_status in (408, 504):
        return _timed_out(message, original_status)
    if 400 <= original_status < 500:
        return rejected(message)
    return _unavailable(message, original_status)


TABLE: dict[str, Callable[[str, int], SekishoError]] = {
    "AccessDeniedException": _not_entitled,
    "ConflictException": _unavailable,
    "ExpiredTokenException": _not_entitled,
    "IncompleteSignatureException": _not_entitled,
    "InternalServerException": _unavailable,
    "InvalidSignatureException": _not_entitled,
    "MissingAuthenticationTokenException": _not_entitled,
    "ModelErrorException": _model_failed,
    "ModelNotReadyException": _throttled,
    "ModelStreamErrorException": _model_failed,
    "ModelTimeoutException": _timed_out,
    "ResourceNotFoundException": _not_found,
    "ServiceQuotaExceededException": _quota,
    "ServiceUnavailableException": _unavailable,
    "ThrottlingException": _throttled,
    "TooManyRequestsException": _throttled,
    "UnrecognizedClientException": _not_entitled,
    "ValidationException": _refused,
}
"""AWS exception name to the builder of our error: (message, status the model answered with or 0)."""


def exception_name(text: str) -> str:
    """The bare name in any of AWS's spellings: `throttlingException`, `com.x#Throttling…`, `Throttling…:http://…`."""
    name = text.rsplit("#", 1)[-1].split(":", 1)[0].strip()
    return name[:1].upper() + name[1:]


def fault(name: str, message: str, original_status: int = 0) -> SekishoError:
    """The error for an AWS exception; an unknown one is UpstreamUnavailable. Returned, not raised."""
    return TABLE.get(exception_name(name), _unavailable)(message, original_status)


def parse_fault(name: str, body: bytes) -> SekishoError:
    """As `fault`, from the exception's JSON body. A body that cannot be read counts as empty."""
    try:
        said = msgspec.json.decode(body, type=Fault)
    except (msgspec.DecodeError, RecursionError):
        said = Fault()
    message = said.message or said.capital_message or ""
    if said.original_message and said.original_message not in message:
        message = f"{message} {said.original_message}".strip()
    return fault(name, message, said.original_status_code or 0)


def raise_if_fault(frame: Frame) -> None:
    """Raises the mapped error when the frame is an exception or an error instead of an event."""
    kind = frame.headers.get(":message-type", "event")
    if kind == "exception":
        raise parse_fault(frame.headers.get(":exception-type", ""), frame.payload)
    if kind == "error":
        raise fault(frame.headers.get(":error-code", ""), frame.headers.get(":error-message", ""))
