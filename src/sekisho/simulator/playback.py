"""How an answer leaves the simulator: its bytes in order, with the pauses, cuts and broken frames asked for."""

from collections.abc import Iterator, Sequence

import msgspec

from sekisho.simulator.behaviours import Behaviour, find
from sekisho.simulator.exceptions import AwsException, validation
from sekisho.simulator.framing import exception, with_bad_crc

STALL_S = 3600.0
_SLOW_S = 5.0
_AFTER_EVENTS = 3

_IN_STREAM_EXCEPTIONS: dict[str, tuple[str, str]] = {
    "internal": ("InternalServerException", "The system encountered an unexpected error during processing. Try again."),
    "model": ("ModelStreamErrorException", "The system encountered an error while streaming. Try your request again."),
    "throttle": ("ThrottlingException", "Too many tokens, please wait before trying again."),
    "timeout": ("ModelTimeoutException", "Model has timed out in processing the request. Try your request again."),
    "unavailable": ("ServiceUnavailableException", "Bedrock is unable to process your request."),
    "validation": ("ValidationException", "The model returned the following errors: the input is not valid."),
}


class Pause(msgspec.Struct, frozen=True):
    """Nothing is sent for so many seconds."""

    seconds: float


class Cut(msgspec.Struct, frozen=True):
    """The connection breaks here, without an end."""


Step = bytes | Pause | Cut


def play_stream(frames: Sequence[bytes], behaviours: Sequence[Behaviour], pace_s: float) -> Iterator[Step]:
    """The steps of a streamed answer. Faults come after the number of events that they name with `after=`."""
    if slow := find(behaviours, "slow_first_token"):
        yield Pause(slow.number("s", _SLOW_S))
    for index, frame in enumerate(frames):
        if index and pace_s:
            yield Pause(pace_s)
        if stall := _due(behaviours, "stall", index):
            yield Pause(stall.number("s", STALL_S))
        if failure := _due(behaviours, "mid_stream_exception", index):
            yield exception(in_stream_exception(failure))
            return
        if _due(behaviours, "cut", index):
            yield frame[: len(frame) // 2]
            yield Cut()
            return
        if _due(behaviours, "bad_crc", index):
            yield with_bad_crc(frame)
            continue
        yield frame


def play_body(body: bytes, behaviours: Sequence[Behaviour]) -> Iterator[Step]:
    """The steps of an answer that is not streamed."""
    if slow := find(behaviours, "slow_first_token"):
        yield Pause(slow.number("s", _SLOW_S))
    if stall := find(behaviours, "stall"):
        yield Pause(stall.number("s", STALL_S))
    if find(behaviours, "cut"):
        yield body[: len(body) // 2]
        yield Cut()
        return
    yield body


def in_stream_exception(asked: Behaviour) -> AwsException:
    """The exception that ends a stream. Raises AwsException for a `kind=` that no stream has."""
    kind = asked.args.get("kind", "model")
    if kind not in _IN_STREAM_EXCEPTIONS:
        raise validation(f"The simulator can end a stream with kind= {', '.join(_IN_STREAM_EXCEPTIONS)}.")
    name, message = _IN_STREAM_EXCEPTIONS[kind]
    message = asked.args.get("message", message)
    if name == "ModelStreamErrorException":
        return AwsException(name, message, originalStatusCode=500, originalMessage=message)
    return AwsException(name, message)


def whole_answer_exception(asked: Behaviour) -> AwsException:
    """What the same fault is when the answer is not streamed."""
    error = in_stream_exception(asked)
    if error.name == "ModelStreamErrorException":
        return AwsException("ModelErrorException", error.message, originalStatusCode=500)
    return error


def _due(behaviours: Sequence[Behaviour], name: str, index: int) -> Behaviour | None:
    asked = find(behaviours, name)
    return asked if asked is not None and int(asked.number("after", _AFTER_EVENTS)) == index else None
