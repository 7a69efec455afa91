"""Answers that pass as bytes because client and upstream speak the same dialect.

Nothing is parsed that need not be: a content delta is recognised by its first bytes. Read are token counts, stop
reasons and errors. The first event waits for content, so that an attempt that fails before it leaves nothing on the
wire; the last ones wait for `finish`. All classes are Translations (dialects.translation).
"""

from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Mapping

import msgspec

from sekisho.dialects.anthropic_messages.faults import fault
from sekisho.dialects.anthropic_messages.metering import Count, UsageCounts, parse_stop_reason
from sekisho.dialects.anthropic_messages.reply import PING, render_error
from sekisho.dialects.bedrock.converse import metering as converse_metering
from sekisho.dialects.bedrock.converse.reply import (
    MEDIA_TYPE,
    STREAM_EXCEPTIONS,
    Answer,
    BlockStart,
    MessageStop,
    Metadata,
    failure_frame,
    read,
)
from sekisho.dialects.bedrock.event_stream import Frame, FrameDecoder
from sekisho.dialects.bedrock.faults import raise_if_fault
from sekisho.dialects.failing import Failing
from sekisho.dialects.faults import unreadable
from sekisho.dialects.fields import decoder
from sekisho.dialects.reading import UNREADABLE
from sekisho.dialects.sse import CR, LF, SseParser, render_event
from sekisho.dialects.tool_counts import ToolCounts, count_tool
from sekisho.errors import SekishoError, UpstreamUnavailable
from sekisho.values import StopReason, Usage

METRICS = "amazon-bedrock-invocationMetrics"
INVOKE_STREAM_EXCEPTIONS = {**STREAM_EXCEPTIONS, "ModelTimeoutException": "modelTimeoutException"}

_TYPE_FIRST = b'{"type":"'
_BYTES_FIRST = b'{"bytes":"'
_COUNT_HEADERS = tuple(  # in the order of UsageCounts
    b"x-amzn-bedrock-%b-token-count" % name for name in (b"input", b"output", b"cache-read-input", b"cache-write-input")
)
_BLOCK_START = b"content_block_start"
_CONTENT = frozenset({b"content_block_delta", _BLOCK_START, b"content_block_stop"})
_TOOL_USE = b'"tool_use"'

Members = dict[str, msgspec.Raw]


class _Chunk(msgspec.Struct, frozen=True):
    bytes: bytes


class _Typed(msgspec.Struct, frozen=True):
    type: str


class _Error(msgspec.Struct, frozen=True):
    type: str = ""
    message: str = ""


class _Start(msgspec.Struct, frozen=True):
    usage: UsageCounts = UsageCounts()


class _Delta(msgspec.Struct, frozen=True):
    stop_reason: str | None = None


class _Metrics(msgspec.Struct, frozen=True, rename="camel"):
    input_token_count: Count | None = None
    output_token_count: Count | None = None
    cache_read_input_token_count: Count | None = None
    cache_write_input_token_count: Count | None = None


class _Event(msgspec.Struct, frozen=True):
    """What is read of an event that is not content."""

    message: _Start = _Start()
    delta: _Delta = _Delta()
    usage: UsageCounts = UsageCounts()
    error: _Error = _Error()
    metrics: _Metrics | None = msgspec.field(name=METRICS, default=None)


class _Whole(msgspec.Struct, frozen=True):
    stop_reason: str
    usage: UsageCounts = UsageCounts()


class _Block(msgspec.Struct, frozen=True):
    type: str = ""
    name: str = ""


class _Called(msgspec.Struct, frozen=True):
    """The blocks of an event, or of a whole answer."""

    content_block: _Block = _Block()
    content: list[_Block] = []


class _ClaudePassing:
    """What the three ways of Claude's events have in common: what is read, and what is held."""

    def __init__(self) -> None:
        self._failing = Failing()
        self.usage: Usage | None = None
        self.stop_reason: StopReason | None = None
        self.tools: ToolCounts = {}
        self.has_started = False
        self.is_complete = False
        self._counts = UsageCounts()
        self._start = b""
        self._terminal: list[bytes] = []
        self._whole = b""

    @property
    def failed(self) -> SekishoError | None:
        """What ended the stream behind the last that `feed` returned."""
        return self._failing.error

    def finish(self, cost_nanousd: int | None) -> bytes:
        return b"".join((self._start, *self._terminal))

    def read(self, body: bytes, headers: dict[bytes, bytes]) -> None:
        whole = read(body, _Whole)
        self.stop_reason = parse_stop_reason(whole.stop_reason)
        self._meter(_counts_of_headers(headers).updated(whole.usage))
        self._note_tools(body)
        self.has_started = self.is_complete = True
        self._whole = body

    def body(self, cost_nanousd: int | None) -> bytes:
        return self._whole

    def _note_tools(self, said: bytes) -> None:
        """Count the tools called in the beginning of a block or in a whole answer; what cannot be read passes."""
        if said.find(_TOOL_USE) < 0:
            return
        try:
            called = decoder(_Called).decode(said)
        except UNREADABLE:
            return
        for block in (called.content_block, *called.content):
            if block.type == "tool_use":
                count_tool(self.tools, block.name)

    def _pass_content(self, wire: bytes) -> bytes:
        self.has_started = True
        if self._start:
            wire, self._start = self._start + wire, b""
        return wire

    def _pass_other(self, kind: bytes, event: bytes, wire: bytes) -> bytes:
        """What to send at once of an event that is not content; `wire` is the event as the client gets it."""
        if kind == b"ping":
            return wire if self.has_started and not self._terminal else b""
        said = read(event, _Event)
        if kind == b"message_start":
            self._meter(said.message.usage)
            self._start = wire
            return b""
        if kind == b"message_delta":
            self._meter(said.usage)
            if said.delta.stop_reason is None:
                return self._pass_content(wire)
            self.stop_reason = parse_stop_reason(said.delta.stop_reason)
        elif kind == b"message_stop":
            if said.metrics:
                self._meter(_counts_of_metrics(said.metrics).updated(self._counts))
            self.is_complete = True
        elif kind == b"error":
            raise fault(said.error.type, said.error.message)
        else:
            return self._pass_content(wire)
        self._terminal.append(wire)
        return b""

    def _meter(self, counts: UsageCounts) -> None:
        self._counts = self._counts.updated(counts)
        if self._counts.input_tokens is not None and self._counts.output_tokens is not None:
            self.usage = self._counts.usage()


class _ToMessages(_ClaudePassing):
    """Claude's events to a client of the Messages dialect. `model`: the name to show instead of the upstream's."""

    media_type = b"text/event-stream"

    def __init__(self, call_id: str, model: str = "") -> None:
        super().__init__()
        self._call_id = call_id
        self._model = model

    def body(self, cost_nanousd: int | None) -> bytes:
        return self._renamed(self._whole)

    def failure(self, error: SekishoError) -> bytes:
        return render_event(render_error(error, self._call_id), b"error")

    def keepalive(self) -> bytes:
        return PING

    def _pass(self, event: bytes) -> bytes:
        kind = _kind(event)
        if kind in _CONTENT:
            if kind == _BLOCK_START:
                self._note_tools(event)
            return self._pass_content(_sse(kind, event))
        return self._pass_other(kind, event, _sse(kind, self._edited(kind, event)))

    def _edited(self, kind: bytes, event: bytes) -> bytes:
        if kind == b"message_start" and self._model:
            start = read(event, Members)
            if "message" in start:
                start["message"] = msgspec.Raw(self._renamed(bytes(start["message"])))
            return msgspec.json.encode(start)
        if kind == b"message_stop" and METRICS.encode() in event:
            stop = read(event, Members)
            stop.pop(METRICS, None)
            return msgspec.json.encode(stop)
        return event

    def _renamed(self, message: bytes) -> bytes:
        if not self._model:
            return message
        members = read(message, Members)
        members["model"] = msgspec.Raw(msgspec.json.encode(self._model))
        return msgspec.json.encode(members)


class InvokeToMessages(_ToMessages):
    """Bedrock's InvokeModelWithResponseStream of Claude to a client of the Messages dialect."""

    def __init__(self, call_id: str, model: str = "") -> None:
        super().__init__(call_id, model)
        self._decoder = FrameDecoder()
        self._chunk_headers: Mapping[str, str] | None = None  # that were looked at

    def feed(self, data: bytes) -> bytes:
        out: list[bytes] = []
        with self._failing.behind(out):
            for (headers, payload), _ in self._decoder.feed_raw(data):
                if headers is not self._chunk_headers:  # the decoder gives equal headers as one object
                    raise_if_fault(Frame(headers, payload))
                    if headers.get(":event-type") != "chunk":
                        continue
                    self._chunk_headers = headers
                out.append(self._pass(chunk_of(payload)))
        return b"".join(out)


class MessagesToMessages(_ToMessages):
    """The Anthropic API to a client of the Messages dialect."""

    def __init__(self, call_id: str, model: str = "") -> None:
        super().__init__(call_id, model)
        self._parser = SseParser()

    def feed(self, data: bytes) -> bytes:
        out: list[bytes] = []
        with self._failing.behind(out):
            for event in self._parser.feed(data):
                out.append(self._pass(event.data))
        return b"".join(out)


class InvokeToInvoke(_ClaudePassing):
    """Bedrock's InvokeModelWithResponseStream of Claude to a client of the same: the frames as they came."""

    media_type = MEDIA_TYPE

    def __init__(self) -> None:
        super().__init__()
        self._decoder = FrameDecoder()

    def feed(self, data: bytes) -> bytes:
        out: list[bytes] = []
        with self._failing.behind(out):
            for frame, raw in self._decoder.feed_raw(data):
                raise_if_fault(frame)
                if frame.headers.get(":event-type") != "chunk":
                    out.append(self._pass_content(raw))
                    continue
                event = chunk_of(frame.payload)
                kind = _kind(event)
                if kind == _BLOCK_START:
                    self._note_tools(event)
                out.append(self._pass_content(raw) if kind in _CONTENT else self._pass_other(kind, event, raw))
        return b"".join(out)

    def failure(self, error: SekishoError) -> bytes:
        return failure_frame(error, INVOKE_STREAM_EXCEPTIONS)

    def keepalive(self) -> bytes:
        return b""  # every frame means something to an SDK


class ConverseToConverse:
    """Bedrock's Converse to a client of the same: the frames as they came.

    A stream is complete with its usage, which comes last. One that broke off between the stop reason and the usage has
    `stop_reason` set and is whole for the client, but not metered.
    """

    media_type = MEDIA_TYPE

    def __init__(self) -> None:
        self._failing = Failing()
        self._decoder = FrameDecoder()
        self.usage: Usage | None = None
        self.stop_reason: StopReason | None = None
        self.tools: ToolCounts = {}
        self.has_started = False
        self._start = b""
        self._terminal: list[bytes] = []
        self._whole = b""

    @property
    def is_complete(self) -> bool:
        return self.usage is not None and self.stop_reason is not None

    @property
    def failed(self) -> SekishoError | None:
        """What ended the stream behind the last that `feed` returned."""
        return self._failing.error

    def feed(self, data: bytes) -> bytes:
        out: list[bytes] = []
        with self._failing.behind(out):
            for frame, raw in self._decoder.feed_raw(data):
                raise_if_fault(frame)
                kind = frame.headers.get(":event-type")
                match kind:
                    case "messageStart":
                        self._start = raw
                    case "messageStop":
                        stop = read(frame.payload, MessageStop)
                        self.stop_reason = converse_metering.parse_stop_reason(stop.stop_reason)
                        self._terminal.append(raw)
                    case "metadata":
                        self.usage = read(frame.payload, Metadata).usage.usage()
                        self._terminal.append(raw)
                    case _:
                        if kind == "contentBlockStart":
                            self._note_tool(frame.payload)
                        self.has_started = True
                        out += (self._start, raw)
                        self._start = b""
        return b"".join(out)

    def finish(self, cost_nanousd: int | None) -> bytes:
        return b"".join((self._start, *self._terminal))

    def read(self, body: bytes, headers: dict[bytes, bytes]) -> None:
        answer = read(body, Answer)
        self.usage = answer.usage.usage()
        self.stop_reason = converse_metering.parse_stop_reason(answer.stop_reason)
        for block in answer.output.message.content:
            if block.tool_use:
                count_tool(self.tools, block.tool_use.name)
        self.has_started = True
        self._whole = body

    def body(self, cost_nanousd: int | None) -> bytes:
        return self._whole

    def failure(self, error: SekishoError) -> bytes:
        return failure_frame(error)

    def keepalive(self) -> bytes:
        return b""  # every frame means something to an SDK

    def _note_tool(self, payload: bytes) -> None:
        """Count the tool whose call begins here, if one does; what cannot be read passes."""
        try:
            tool = decoder(BlockStart).decode(payload).start.tool_use
        except UNREADABLE:
            return
        if tool:
            count_tool(self.tools, tool.name)


def chunk_of(payload: bytes) -> bytes:
    """The event inside {"bytes": base64, "p": padding}; the usual order of members is cut out without parsing."""
    if payload.startswith(_BYTES_FIRST):
        end = payload.find(b'"', len(_BYTES_FIRST))
        try:
            return a2b_base64(memoryview(payload)[len(_BYTES_FIRST) : end], strict_mode=True)
        except Base64Error:
            pass  # escapes in the text: the parser below knows them
    return read(payload, _Chunk).bytes


def _kind(event: bytes) -> bytes:
    """The `type` of an event; parsed only when it is not the first member."""
    if event.startswith(_TYPE_FIRST):
        end = event.find(b'"', len(_TYPE_FIRST))
        if end > 0:
            return event[len(_TYPE_FIRST) : end]
    return read(event, _Typed).type.encode()


def _sse(kind: bytes, event: bytes) -> bytes:
    if LF in event or CR in event:  # white space between members; inside strings JSON has none
        try:
            event = msgspec.json.format(event, indent=-1)
        except msgspec.DecodeError as error:
            raise unreadable(error) from error
    return render_event(event, kind)


def _counts_of_headers(headers: dict[bytes, bytes]) -> UsageCounts:
    """The counts InvokeModel sends beside the body. Raises UpstreamUnavailable if one is not a number."""
    said = [headers.get(name) for name in _COUNT_HEADERS]
    if said.count(None) == len(said):
        return UsageCounts()
    read, written, cache_read, cache_written = [None if value is None else _count(value) for value in said]
    return UsageCounts(read, written, cache_read, cache_written)


def _count(value: bytes) -> int:
    if not value.isdigit() or len(value) > 15:
        raise UpstreamUnavailable("The provider's answer cannot be read: a token count is not a number.")
    return int(value)


def _counts_of_metrics(metrics: _Metrics) -> UsageCounts:
    return UsageCounts(
        input_tokens=metrics.input_token_count,
        output_tokens=metrics.output_token_count,
        cache_read_input_tokens=metrics.cache_read_input_token_count,
        cache_creation_input_tokens=metrics.cache_write_input_token_count,
    )
