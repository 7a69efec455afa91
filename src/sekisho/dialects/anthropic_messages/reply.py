"""Answers of the Anthropic Messages dialect, to and from the neutral events, and its errors."""

from collections.abc import Mapping
from typing import Any

import msgspec

from sekisho.dialects.anthropic_messages.faults import fault
from sekisho.dialects.anthropic_messages.metering import (
    UsageCounts,
    parse_stop_reason,
    render_stop_reason,
    render_usage,
)
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
from sekisho.dialects.folding import input_object
from sekisho.dialects.reading import UNREADABLE
from sekisho.dialects.sse import SseParser, render_event
from sekisho.errors import SekishoError, UpstreamUnavailable
from sekisho.values import Usage

PING = b'event: ping\ndata: {"type": "ping"}\n\n'


class _Block(msgspec.Struct, frozen=True):
    type: str = ""
    text: str = ""
    thinking: str = ""
    signature: str = ""
    data: str = ""
    id: str = ""
    name: str = ""
    input: msgspec.Raw = msgspec.Raw()


class _Delta(msgspec.Struct, frozen=True):
    type: str = ""
    text: str = ""
    thinking: str = ""
    signature: str = ""
    partial_json: str = ""
    stop_reason: str | None = None
    stop_sequence: str | None = None


class _Message(msgspec.Struct, frozen=True):
    id: str = ""
    content: list[_Block] = []
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: UsageCounts = UsageCounts()


class _Error(msgspec.Struct, frozen=True):
    type: str = ""
    message: str = ""


class _Event(msgspec.Struct, frozen=True):
    """Any event of the stream: which fields count depends on `type`."""

    type: str
    index: int = 0
    message: _Message = _Message()
    content_block: _Block = _Block()
    delta: _Delta = _Delta()
    usage: UsageCounts = UsageCounts()
    error: _Error = _Error()


_decode_event = msgspec.json.Decoder(_Event).decode
_decode_message = msgspec.json.Decoder(_Message).decode


class ReplyParser:
    """Reads an answer of the Anthropic API. One instance per call.

    `tool_names`: names as sent to the client's own, for those that had to be changed (folding.renamed_tools).
    """

    def __init__(self, tool_names: Mapping[str, str] | None = None) -> None:
        self._tool_names = tool_names or {}
        self._sse = SseParser()
        self._failing = Failing()
        self._counts = UsageCounts()
        self.is_complete = False

    @property
    def failed(self) -> SekishoError | None:
        """What ended the stream behind the last that `feed` returned."""
        return self._failing.error

    def feed(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        with self._failing.behind(events):
            for sent in self._sse.feed(data):
                try:
                    event = _decode_event(sent.data)
                except UNREADABLE as error:
                    raise unreadable(error) from error
                self._read(event, events)
        return events

    def whole(self, body: bytes) -> list[Event]:
        try:
            message = _decode_message(body)
        except UNREADABLE as error:
            raise unreadable(error) from error
        if message.stop_reason is None:
            raise UpstreamUnavailable("The provider's answer cannot be read: it has no stop reason.")
        events: list[Event] = [Started(message.id)]
        for index, block in enumerate(message.content):
            self._begin(block, index, events)
            if block.type == "tool_use" and block.input:
                events.append(ToolDelta(index, bytes(block.input).decode()))
            events.append(BlockEnded(index))
        events.append(Stopped(parse_stop_reason(message.stop_reason), message.stop_sequence))
        events.append(Metered(message.usage.usage()))
        self.is_complete = True
        return events

    def _read(self, event: _Event, events: list[Event]) -> None:
        match event.type:
            case "content_block_delta":
                _read_delta(event.delta, event.index, events)
            case "content_block_start":
                self._begin(event.content_block, event.index, events)
            case "content_block_stop":
                events.append(BlockEnded(event.index))
            case "message_start":
                events.append(Started(event.message.id))
                self._meter(event.message.usage, events)
            case "message_delta":
                if event.delta.stop_reason is not None:
                    events.append(Stopped(parse_stop_reason(event.delta.stop_reason), event.delta.stop_sequence))
                self._meter(event.usage, events)
            case "message_stop":
                self.is_complete = True
            case "error":
                raise fault(event.error.type, event.error.message)

    def _begin(self, block: _Block, index: int, events: list[Event]) -> None:
        match block.type:
            case "tool_use":
                events.append(ToolStarted(index, block.id, self._tool_names.get(block.name, block.name)))
            case "redacted_thinking":
                events.append(ThinkingRedacted(index, block.data))
            case "thinking":
                events.append(ThinkingDelta(index, block.thinking))
                if block.signature:
                    events.append(ThinkingSigned(index, block.signature))
            case "text":
                events.append(TextDelta(index, block.text))

    def _meter(self, counts: UsageCounts, events: list[Event]) -> None:
        self._counts = self._counts.updated(counts)
        if self._counts.input_tokens is not None or self._counts.output_tokens is not None:
            events.append(Metered(self._counts.usage()))


def _read_delta(delta: _Delta, index: int, events: list[Event]) -> None:
    match delta.type:
        case "text_delta":
            events.append(TextDelta(index, delta.text))
        case "input_json_delta":
            events.append(ToolDelta(index, delta.partial_json))
        case "thinking_delta":
            events.append(ThinkingDelta(index, delta.thinking))
        case "signature_delta":
            events.append(ThinkingSigned(index, delta.signature))


class ReplyRenderer:
    """Writes an answer for a client of the Messages dialect. One instance per call.

    message_start waits for the first content, so that an attempt that fails before it leaves nothing on the wire.
    """

    media_type = b"text/event-stream"

    def __init__(self, call_id: str, model: str) -> None:
        self._id = f"msg_{call_id}"
        self._model = model
        self._begun = False
        self._open: dict[int, tuple[int, str]] = {}  # neutral index to ours and the kind of block
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
        for index in list(self._open):
            self._end_block(index, out)
        delta = {"stop_reason": self._stop_reason(), "stop_sequence": self._stop_sequence()}
        out.append(_sse("message_delta", {"delta": delta, "usage": render_usage(self._usage)}))
        out.append(_sse("message_stop", {}))
        return b"".join(out)

    def whole(self, events: list[Event], cost_nanousd: int | None) -> bytes:
        blocks: list[dict[str, Any]] = []
        at: dict[int, dict[str, Any]] = {}
        for event in events:
            if isinstance(event, Stopped):
                self._stopped = event
            elif isinstance(event, Metered):
                self._usage = event.usage
            elif isinstance(event, BlockEnded):
                at.pop(event.index, None)
            elif not isinstance(event, Started):
                _collect(event, at, blocks)
        for block in blocks:
            if block["type"] == "tool_use":
                block["input"] = input_object(block["input"])
        return msgspec.json.encode(
            self._message(
                [block for block in blocks if block.get("text") != ""],
                self._stop_reason(),
                self._stop_sequence(),
            )
        )

    def failure(self, error: SekishoError) -> bytes:
        return render_event(render_error(error, self._id.removeprefix("msg_")), b"error")

    def keepalive(self) -> bytes:
        return PING

    def _stop_reason(self) -> str:
        return render_stop_reason(self._stopped.reason if self._stopped else None)

    def _stop_sequence(self) -> str | None:
        return self._stopped.stop_sequence if self._stopped else None

    def _message(
        self, content: list[dict[str, Any]], stop_reason: str | None, stop_sequence: str | None
    ) -> dict[str, Any]:
        return {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": content,
            "stop_reason": stop_reason,
            "stop_sequence": stop_sequence,
            "usage": render_usage(self._usage),
        }

    def _write(self, event: Event, out: list[bytes]) -> None:  # noqa: C901 - one case per event type
        match event:
            case TextDelta():
                index = self._block(event.index, "text", {"type": "text", "text": ""}, out)
                _delta(index, {"type": "text_delta", "text": event.text}, event.text, out)
            case ToolDelta():
                if open_ := self._open.get(event.index):
                    _delta(open_[0], {"type": "input_json_delta", "partial_json": event.json}, event.json, out)
            case ThinkingDelta():
                index = self._thinking_block(event.index, out)
                _delta(index, {"type": "thinking_delta", "thinking": event.text}, event.text, out)
            case ThinkingSigned():
                index = self._thinking_block(event.index, out)
                _delta(index, {"type": "signature_delta", "signature": event.signature}, event.signature, out)
            case ThinkingRedacted():
                self._end_block(event.index, out)
                self._block(event.index, "redacted", {"type": "redacted_thinking", "data": event.data}, out)
            case ToolStarted():
                self._end_block(event.index, out)
                block = {"type": "tool_use", "id": event.id, "name": event.name, "input": {}}
                self._block(event.index, "tool", block, out)
            case BlockEnded():
                self._end_block(event.index, out)
            case Stopped():
                self._stopped = event
            case Metered():
                self._usage = event.usage

    def _begin(self, out: list[bytes]) -> None:
        if not self._begun:
            self._begun = True
            out.append(_sse("message_start", {"message": self._message([], None, None)}))

    def _thinking_block(self, index: int, out: list[bytes]) -> int:
        return self._block(index, "thinking", {"type": "thinking", "thinking": "", "signature": ""}, out)

    def _block(self, index: int, kind: str, block: dict[str, Any], out: list[bytes]) -> int:
        """Our number of the open block of this kind, begun if need be; another kind at the same index is ended."""
        open_ = self._open.get(index)
        if open_ and open_[1] == kind:
            return open_[0]
        self._end_block(index, out)
        self._begin(out)
        ours = self._blocks
        self._blocks += 1
        self._open[index] = (ours, kind)
        out.append(_sse("content_block_start", {"index": ours, "content_block": block}))
        return ours

    def _end_block(self, index: int, out: list[bytes]) -> None:
        open_ = self._open.pop(index, None)
        if open_:
            out.append(_sse("content_block_stop", {"index": open_[0]}))


def _collect(event: Event, at: dict[int, dict[str, Any]], blocks: list[dict[str, Any]]) -> None:
    """Add a content event to the blocks of a whole message."""

    def block(index: int, kind: str, empty: dict[str, Any]) -> dict[str, Any]:
        open_ = at.get(index)
        if open_ is None or open_["type"] != kind:
            open_ = at[index] = {"type": kind, **empty}
            blocks.append(open_)
        return open_

    match event:
        case TextDelta():
            block(event.index, "text", {"text": ""})["text"] += event.text
        case ThinkingDelta():
            block(event.index, "thinking", {"thinking": "", "signature": ""})["thinking"] += event.text
        case ThinkingSigned():
            block(event.index, "thinking", {"thinking": "", "signature": ""})["signature"] += event.signature
        case ThinkingRedacted():
            at.pop(event.index, None)
            block(event.index, "redacted_thinking", {"data": event.data})
        case ToolStarted():
            at.pop(event.index, None)
            block(event.index, "tool_use", {"id": event.id, "name": event.name, "input": ""})
        case ToolDelta():
            if event.index in at:
                at[event.index]["input"] += event.json


def _delta(index: int, delta: dict[str, Any], content: str, out: list[bytes]) -> None:
    if content:
        out.append(_sse("content_block_delta", {"index": index, "delta": delta}))


def _sse(kind: str, members: dict[str, Any]) -> bytes:
    return render_event(msgspec.json.encode({"type": kind, **members}), kind.encode())


def render_error(error: SekishoError, call_id: str) -> bytes:
    """The error body of the dialect. Only `message` was written by us or cleaned; nothing else of the error shows."""
    return msgspec.json.encode(
        {
            "type": "error",
            "error": {
                "type": error.anthropic_type,
                "message": error.message,
                "details": {"error_code": error.code},
            },
            "request_id": call_id,
        }
    )
