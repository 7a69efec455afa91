"""Answers of Bedrock's Converse and ConverseStream, to and from the neutral events, and its errors."""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from sekisho.dialects.bedrock.converse.metering import TokenUsage, parse_stop_reason, render_usage
from sekisho.dialects.bedrock.event_stream import Frame, FrameDecoder, encode_frame
from sekisho.dialects.bedrock.faults import raise_if_fault
from sekisho.dialects.exchange import (
    BlockEnded,
    Event,
    Metered,
    Started,
    Stopped,
    TextDelta,
    ThinkingDelta,
    ThinkingRedacted,
    ThinkingSigned,
    ToolDelta,
    ToolStarted,
)
from sekisho.dialects.failing import Failing
from sekisho.dialects.faults import unreadable
from sekisho.dialects.fields import decoder
from sekisho.dialects.folding import input_object
from sekisho.dialects.reading import UNREADABLE
from sekisho.errors import SekishoError
from sekisho.values import StopReason, Usage

MEDIA_TYPE = b"application/vnd.amazon.eventstream"

STREAM_EXCEPTIONS = {
    "InternalServerException": "internalServerException",
    "ModelStreamErrorException": "modelStreamErrorException",
    "ModelTimeoutException": "modelStreamErrorException",  # ConverseStream has no exception for it
    "ServiceUnavailableException": "serviceUnavailableException",
    "ThrottlingException": "throttlingException",
}
"""What a stream may end with, by the AWS name of an error. All others: validationException, which SDKs do not retry."""

T = TypeVar("T")


class _ReasoningText(msgspec.Struct, frozen=True):
    text: str = ""
    signature: str = ""


class _Reasoning(msgspec.Struct, frozen=True, rename="camel"):
    reasoning_text: _ReasoningText | None = None
    redacted_content: str | None = None
    text: str | None = None
    signature: str | None = None


class _ToolUse(msgspec.Struct, frozen=True, rename="camel"):
    tool_use_id: str = ""
    name: str = ""
    input: msgspec.Raw = msgspec.Raw()


class _Text(msgspec.Struct, frozen=True):
    text: str = ""


class _Citations(msgspec.Struct, frozen=True):
    content: list[_Text] = []


class _Block(msgspec.Struct, frozen=True, rename="camel"):
    """A content block of a whole answer."""

    text: str | None = None
    tool_use: _ToolUse | None = None
    reasoning_content: _Reasoning | None = None
    citations_content: _Citations | None = None


class _Message(msgspec.Struct, frozen=True):
    content: list[_Block] = []


class _Output(msgspec.Struct, frozen=True):
    message: _Message


class _Extra(msgspec.Struct, frozen=True):
    """What `additionalModelResponseFields` may hold when the caller asked for /delta/stop_sequence."""

    stop_sequence: str | None = None
    delta: "_Extra | None" = None


class Answer(msgspec.Struct, frozen=True, rename="camel"):
    """The body of Converse; `stopReason` and `usage` are always there."""

    output: _Output
    stop_reason: str
    usage: TokenUsage
    additional_model_response_fields: Any = None


class _Start(msgspec.Struct, frozen=True, rename="camel"):
    tool_use: _ToolUse | None = None


class BlockStart(msgspec.Struct, frozen=True, rename="camel"):
    content_block_index: int = 0
    start: _Start = _Start()


class _InputDelta(msgspec.Struct, frozen=True):
    input: str = ""


class _Delta(msgspec.Struct, frozen=True, rename="camel"):
    text: str | None = None
    tool_use: _InputDelta | None = None
    reasoning_content: _Reasoning | None = None


class _BlockDelta(msgspec.Struct, frozen=True, rename="camel"):
    delta: _Delta
    content_block_index: int = 0


class _BlockStop(msgspec.Struct, frozen=True, rename="camel"):
    content_block_index: int = 0


class MessageStop(msgspec.Struct, frozen=True, rename="camel"):
    stop_reason: str
    additional_model_response_fields: Any = None


class Metadata(msgspec.Struct, frozen=True, rename="camel"):
    usage: TokenUsage


def read(payload: bytes, kind: type[T]) -> T:
    """JSON of the provider as `kind`. Raises UpstreamUnavailable."""
    try:
        return decoder(kind).decode(payload)
    except UNREADABLE as error:
        raise unreadable(error) from error


def _stop_sequence(extra: Any) -> str | None:
    try:
        found = msgspec.convert(extra, _Extra | None)
    except msgspec.ValidationError:
        return None
    if found is None:
        return None
    return found.delta.stop_sequence if found.delta else found.stop_sequence


class ReplyParser:
    """Reads an answer of Converse. One instance per call. A stream is complete with its usage, which comes last.

    `tool_names`: names as sent to the client's own, for those that had to be changed (folding.renamed_tools).
    """

    def __init__(self, tool_names: Mapping[str, str] | None = None) -> None:
        self._decoder = FrameDecoder()
        self._failing = Failing()
        self._tool_names = tool_names or {}
        self._indexes: dict[int, int] = {}
        self._stopped = False
        self.is_complete = False

    @property
    def failed(self) -> SekishoError | None:
        """What ended the stream behind the last that `feed` returned."""
        return self._failing.error

    def feed(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        with self._failing.behind(events):
            for frame in self._decoder.feed(data):
                raise_if_fault(frame)
                self._read(frame, events)
        return events

    def whole(self, body: bytes) -> list[Event]:
        answer = read(body, Answer)
        events: list[Event] = [Started()]
        for index, block in enumerate(answer.output.message.content):
            self._read_block(block, index, events)
            events.append(BlockEnded(index))
        stop_sequence = _stop_sequence(answer.additional_model_response_fields)
        events.append(Stopped(parse_stop_reason(answer.stop_reason), stop_sequence))
        events.append(Metered(answer.usage.usage()))
        self.is_complete = True
        return events

    def _read(self, frame: Frame, events: list[Event]) -> None:
        match frame.headers.get(":event-type"):
            case "contentBlockDelta":
                delta = read(frame.payload, _BlockDelta)
                _read_delta(delta.delta, self._index(delta.content_block_index), events)
            case "contentBlockStart":
                start = read(frame.payload, BlockStart)
                index = self._index(start.content_block_index)
                if start.start.tool_use:
                    events.append(self._tool(start.start.tool_use, index))
            case "contentBlockStop":
                events.append(BlockEnded(self._index(read(frame.payload, _BlockStop).content_block_index)))
            case "messageStart":
                events.append(Started())
            case "messageStop":
                stop = read(frame.payload, MessageStop)
                stop_sequence = _stop_sequence(stop.additional_model_response_fields)
                events.append(Stopped(parse_stop_reason(stop.stop_reason), stop_sequence))
                self._stopped = True
            case "metadata":
                events.append(Metered(read(frame.payload, Metadata).usage.usage()))
                self.is_complete = self._stopped

    def _index(self, theirs: int) -> int:
        return self._indexes.setdefault(theirs, len(self._indexes))

    def _tool(self, tool: _ToolUse, index: int) -> ToolStarted:
        return ToolStarted(index, tool.tool_use_id, self._tool_names.get(tool.name, tool.name))

    def _read_block(self, block: _Block, index: int, events: list[Event]) -> None:
        if block.text is not None:
            events.append(TextDelta(index, block.text))
        elif block.tool_use:
            events.append(self._tool(block.tool_use, index))
            events.append(ToolDelta(index, bytes(block.tool_use.input).decode() or "{}"))
        elif block.reasoning_content:
            _read_reasoning(block.reasoning_content, index, events)
        elif block.citations_content:
            events.append(TextDelta(index, "".join(part.text for part in block.citations_content.content)))


def _read_delta(delta: _Delta, index: int, events: list[Event]) -> None:
    if delta.text is not None:
        events.append(TextDelta(index, delta.text))
    elif delta.tool_use:
        events.append(ToolDelta(index, delta.tool_use.input))
    elif delta.reasoning_content:
        _read_reasoning(delta.reasoning_content, index, events)


def _read_reasoning(reasoning: _Reasoning, index: int, events: list[Event]) -> None:
    whole = reasoning.reasoning_text
    text = whole.text if whole else reasoning.text
    signature = whole.signature if whole else reasoning.signature
    if text is not None:
        events.append(ThinkingDelta(index, text))
    if signature:
        events.append(ThinkingSigned(index, signature))
    if reasoning.redacted_content:
        events.append(ThinkingRedacted(index, reasoning.redacted_content))


class ReplyRenderer:
    """Writes an answer for a client of Converse. One instance per call.

    messageStart waits for the first content, so that an attempt that fails before it leaves nothing on the wire.
    """

    media_type = MEDIA_TYPE

    def __init__(self) -> None:
        self._begun = False
        self._indexes: dict[int, int] = {}
        self._open: list[int] = []
        self._blocks = 0
        self._stopped: Stopped | None = None
        self._usage = Usage()

    def events(self, events: list[Event]) -> bytes:
        out: list[bytes] = []
        for event in events:
            self._write(event, out)
        return b"".join(out)

    def finish(self, cost_nanousd: int | None) -> bytes:
        out: list[bytes] = []
        self._begin(out)
        for index in self._open:
            out.append(_event("contentBlockStop", {"contentBlockIndex": index}))
        stop: dict[str, Any] = {"stopReason": self._stop_reason()}
        if self._stopped and self._stopped.stop_sequence is not None:
            stop["additionalModelResponseFields"] = {"delta": {"stop_sequence": self._stopped.stop_sequence}}
        out.append(_event("messageStop", stop))
        out.append(_event("metadata", {"usage": render_usage(self._usage), "metrics": {"latencyMs": 0}}))
        return b"".join(out)

    def whole(self, events: list[Event], cost_nanousd: int | None) -> bytes:
        blocks: list[dict[str, Any]] = []
        at: dict[int, dict[str, Any]] = {}
        for event in events:
            if isinstance(event, Stopped):
                self._stopped = event
            elif isinstance(event, Metered):
                self._usage = event.usage
            elif not isinstance(event, Started | BlockEnded):
                if event.index not in at:
                    at[event.index] = {}
                    blocks.append(at[event.index])
                _collect(event, at[event.index])
        for block in blocks:
            if "toolUse" in block:
                block["toolUse"]["input"] = input_object(block["toolUse"]["input"])
        return msgspec.json.encode(
            {
                "output": {"message": {"role": "assistant", "content": [block for block in blocks if block]}},
                "stopReason": self._stop_reason(),
                "usage": render_usage(self._usage),
                "metrics": {"latencyMs": 0},
            }
        )

    def failure(self, error: SekishoError) -> bytes:
        return failure_frame(error)

    def keepalive(self) -> bytes:
        return b""  # every frame means something to an SDK

    def _stop_reason(self) -> StopReason:
        return self._stopped.reason if self._stopped else "end_turn"

    def _write(self, event: Event, out: list[bytes]) -> None:
        match event:
            case Started():
                pass
            case Stopped():
                self._stopped = event
            case Metered():
                self._usage = event.usage
            case BlockEnded():
                index = self._indexes.pop(event.index, None)
                if index is not None:
                    self._open.remove(index)
                    out.append(_event("contentBlockStop", {"contentBlockIndex": index}))
            case _:
                self._write_content(event, out)

    def _write_content(
        self,
        event: TextDelta | ThinkingDelta | ThinkingSigned | ThinkingRedacted | ToolStarted | ToolDelta,
        out: list[bytes],
    ) -> None:
        self._begin(out)
        index = self._indexes.get(event.index)
        if index is None:
            index = self._indexes[event.index] = self._blocks
            self._blocks += 1
            self._open.append(index)
        match event:
            case ToolStarted():
                start = {"toolUse": {"toolUseId": event.id, "name": event.name}}
                out.append(_event("contentBlockStart", {"start": start, "contentBlockIndex": index}))
                return
            case TextDelta():
                delta: dict[str, Any] = {"text": event.text}
            case ToolDelta():
                delta = {"toolUse": {"input": event.json}}
            case ThinkingDelta():
                delta = {"reasoningContent": {"text": event.text}}
            case ThinkingSigned():
                delta = {"reasoningContent": {"signature": event.signature}}
            case ThinkingRedacted():
                delta = {"reasoningContent": {"redactedContent": event.data}}
        out.append(_event("contentBlockDelta", {"delta": delta, "contentBlockIndex": index}))

    def _begin(self, out: list[bytes]) -> None:
        if not self._begun:
            self._begun = True
            out.append(_event("messageStart", {"role": "assistant"}))


def _collect(
    event: TextDelta | ThinkingDelta | ThinkingSigned | ThinkingRedacted | ToolStarted | ToolDelta,
    block: dict[str, Any],
) -> None:
    """Add a content event to its block of a whole answer."""
    match event:
        case TextDelta():
            block["text"] = block.get("text", "") + event.text
        case ThinkingDelta():
            _reasoning_text(block)["text"] += event.text
        case ThinkingSigned():
            text = _reasoning_text(block)
            text["signature"] = text.get("signature", "") + event.signature
        case ThinkingRedacted():
            block["reasoningContent"] = {"redactedContent": event.data}
        case ToolStarted():
            block["toolUse"] = {"toolUseId": event.id, "name": event.name, "input": ""}
        case ToolDelta():
            if "toolUse" in block:
                block["toolUse"]["input"] += event.json


def _reasoning_text(block: dict[str, Any]) -> dict[str, Any]:
    text: dict[str, Any] = block.setdefault("reasoningContent", {}).setdefault("reasoningText", {"text": ""})
    return text


def _event(kind: str, payload: dict[str, Any]) -> bytes:
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return encode_frame(headers, msgspec.json.encode(payload))


def failure_frame(error: SekishoError, names: Mapping[str, str] = STREAM_EXCEPTIONS) -> bytes:
    """The frame that ends a stream with an exception that AWS SDKs raise."""
    headers = {
        ":exception-type": names.get(error.aws_exception, "validationException"),
        ":content-type": "application/json",
        ":message-type": "exception",
    }
    return encode_frame(headers, render_error(error))


def render_error(error: SekishoError) -> bytes:
    """The error body of the Bedrock runtime."""
    return msgspec.json.encode({"message": error.message})


def error_headers(error: SekishoError) -> list[tuple[bytes, bytes]]:
    """The header by which AWS SDKs tell errors apart."""
    return [(b"x-amzn-errortype", error.aws_exception.encode())]
