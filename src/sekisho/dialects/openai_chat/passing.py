"""OpenAI chat completions on both sides: bytes pass, and only what governs the call is read or written.

Changed on the way: the model's name on both sides, `stream_options`, too long an answer's length and a service tier in
the request; in the answer, usage that the client did not ask for (taken out) and `cost` (ours put in). Everything else
reaches the other side as it was written.
"""

import re

import msgspec

from sekisho.dialects.exchange import Metered, Started, Stopped, ToolStarted
from sekisho.dialects.failing import Failing
from sekisho.dialects.openai_chat.faults import named_error, reported_error
from sekisho.dialects.openai_chat.parsing import DONE, Chunk, ReplyParser, decode_chunk, read_finish_reason
from sekisho.dialects.openai_chat.replies import MEDIA_TYPE, TERMINATOR, render_failure
from sekisho.dialects.openai_chat.usage import parse_usage, with_cost
from sekisho.dialects.reading import UNREADABLE, mend_surrogates
from sekisho.dialects.sse import KEEPALIVE, SseParser, render_event
from sekisho.dialects.tool_counts import ToolCounts, count_tool
from sekisho.errors import BadRequest, SekishoError, UpstreamUnavailable
from sekisho.values import StopReason, Usage

_decode_raw = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

# Inside a JSON string these quotes would be escaped, so only real keys match. Without a match a chunk passes unread.
_MODEL = re.compile(rb'"model"\s*:\s*"(?:[^"\\]|\\.)*"')
_NOTEWORTHY = re.compile(rb'"(?:usage|error)"\s*:\s*[^\sn]|"finish_reason"\s*:\s*"|"object"\s*:\s*"error"')
_CALLING = b"_call"  # of tool_calls and function_call


Fields = dict[str, msgspec.Raw]


def pass_request(body: bytes, upstream_model: str, *, max_output_tokens: int) -> bytes:
    """The client's body with the upstream's model name and, for a stream, usage asked for; see `pass_fields`.

    Raises BadRequest for a body that is no JSON object; all other checking is the upstream's."""
    try:
        fields = _raw_object(body)
    except UNREADABLE as error:
        raise BadRequest("The body must be a JSON object, and stream_options too.") from error
    return msgspec.json.encode(pass_fields(fields, upstream_model, max_output_tokens=max_output_tokens))


def pass_fields(given: Fields, upstream_model: str, *, max_output_tokens: int) -> Fields:
    """The members of a client's body as they go upstream, in their order.

    An answer's length is lowered to `max_output_tokens`; a service tier, which has its own price, is left out. Raises
    BadRequest for stream_options that are no object."""
    fields = dict(given)
    if _is(fields, "stream", b"true"):
        try:
            options = _raw_object(fields.get("stream_options", b"null")) if _has(fields, "stream_options") else {}
        except UNREADABLE as error:
            raise BadRequest("The body must be a JSON object, and stream_options too.") from error
        options["include_usage"] = msgspec.Raw(b"true")
        fields["stream_options"] = msgspec.Raw(msgspec.json.encode(options))
    for name in ("max_tokens", "max_completion_tokens"):
        asked = bytes(fields.get(name, b""))
        if asked.isdigit() and int(asked) > max_output_tokens:
            fields[name] = msgspec.Raw(b"%d" % max_output_tokens)
    fields.pop("service_tier", None)
    fields["model"] = msgspec.Raw(msgspec.json.encode(upstream_model))
    return fields


class ChatPassing:
    """A translation.Translation for equal wires.

    `model`: the name to show instead of the upstream's. `wants_usage`: the client asked for it (always without stream).

    Held back for `finish`: usage that comes alone, and everything from the chunk with the finish reason on."""

    media_type = MEDIA_TYPE

    def __init__(self, *, call_id: str, model: str, wants_usage: bool) -> None:
        self._call_id = call_id
        self._model = b'"model":' + msgspec.json.encode(model)
        self._wants_usage = wants_usage
        self._sse = SseParser()
        self._failing = Failing()
        self._held: list[bytes] = []
        self._is_ending = False
        self._body = b""
        self.usage: Usage | None = None
        self.stop_reason: StopReason | None = None
        self.tools: ToolCounts = {}
        self._tool_ids: dict[int, str] = {}  # by the numbers that the upstream gives the calls
        self.has_started = False
        self.is_complete = False

    @property
    def failed(self) -> SekishoError | None:
        """What ended the stream behind the last that `feed` returned."""
        return self._failing.error

    def feed(self, data: bytes) -> bytes:
        passed: list[bytes] = []
        with self._failing.behind(passed):
            for event in self._sse.feed(data):
                if self.is_complete:
                    break
                if event.data == DONE:
                    self.is_complete = True
                elif event.name == b"error":
                    raise named_error(event.data)
                else:
                    passed.append(self._pass(_MODEL.sub(lambda _: self._model, event.data, count=1), event.name))
        return b"".join(passed)

    def finish(self, cost_nanousd: int | None) -> bytes:
        return b"".join([*(self._metered(data, cost_nanousd) for data in self._held), TERMINATOR])

    def read(self, body: bytes, headers: dict[bytes, bytes]) -> None:
        for event in ReplyParser().whole(body):
            if isinstance(event, Metered):
                self.usage = event.usage
            elif isinstance(event, Stopped):
                self.stop_reason = event.reason
            elif not isinstance(event, Started):
                self.has_started = True
                if isinstance(event, ToolStarted):
                    count_tool(self.tools, event.name)
        self._body = body

    def body(self, cost_nanousd: int | None) -> bytes:
        fields = _raw_object(_MODEL.sub(lambda _: self._model, self._body, count=1))
        if _has(fields, "usage"):
            fields["usage"] = with_cost(fields["usage"], cost_nanousd)
        return msgspec.json.encode(fields)

    def failure(self, error: SekishoError) -> bytes:
        return render_failure(error, self._call_id)

    def keepalive(self) -> bytes:
        return KEEPALIVE

    def _pass(self, data: bytes, name: bytes) -> bytes:
        if self._is_ending or _NOTEWORTHY.search(data):
            return self._inspect(data)
        if data.find(_CALLING) >= 0:
            self._note_tools(data)
        self.has_started = True
        return render_event(data, name)

    def _note_tools(self, data: bytes) -> None:
        """Count the tools whose calls begin in a chunk that passes unread; what cannot be read passes too."""
        try:
            self._count_tools(decode_chunk(data))
        except UpstreamUnavailable:
            return

    def _count_tools(self, chunk: Chunk) -> None:
        for key, tool_id, name in chunk.called_tools(len(self._tool_ids)):
            known = self._tool_ids.get(key)
            if known is None or (tool_id and tool_id != known):  # some servers say the name in every piece
                self._tool_ids[key] = tool_id
                count_tool(self.tools, name)

    def _inspect(self, data: bytes) -> bytes:
        """Note what a chunk says of the call; gives what of it may go on now."""
        chunk = decode_chunk(data)
        if chunk.failure is not None:
            raise reported_error(chunk.failure)
        if chunk.usage:
            self.usage = parse_usage(chunk.usage)
        self._count_tools(chunk)
        finish_reason = next((choice.finish_reason for choice in chunk.choices or () if choice.finish_reason), None)
        if finish_reason is not None:
            self.stop_reason = read_finish_reason(finish_reason)
            self._is_ending = True
        if self._is_ending or not chunk.choices:
            self._held.append(data)
            return b""
        self.has_started = True
        return self._metered(data, None)

    def _metered(self, data: bytes, cost_nanousd: int | None) -> bytes:
        """A chunk with its usage as the client may see it; nothing when it held only unwanted usage."""
        fields = _raw_object(data)
        if not _has(fields, "usage"):
            return render_event(data)
        if self._wants_usage:
            fields["usage"] = with_cost(fields["usage"], cost_nanousd)
            return render_event(msgspec.json.encode(fields))
        del fields["usage"]
        is_empty = msgspec.json.decode(fields.get("choices", b"[]")) == []
        return b"" if is_empty else render_event(msgspec.json.encode(fields))


def _has(fields: dict[str, msgspec.Raw], name: str) -> bool:
    return name in fields and fields[name] != msgspec.Raw(b"null")


def _is(fields: Fields, name: str, value: bytes) -> bool:
    return name in fields and bytes(fields[name]) == value


def _raw_object(data: bytes | msgspec.Raw) -> dict[str, msgspec.Raw]:
    try:
        return _decode_raw(data)
    except msgspec.DecodeError:
        return _decode_raw(mend_surrogates(bytes(data)))
