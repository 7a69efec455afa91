"""Claude's form of InvokeModel for every other model: a client's request, and the answer as the client reads it.

Clients that know Bedrock's InvokeModel only through Claude (Claude Code) so reach models of all families.
Claude's own answer passes as bytes (dialects.passing), unless its end may have to be ours: then it is read here.
Above: the Invoke door. Below: the Messages dialect, whose events these frames carry.
"""

from binascii import b2a_base64

import msgspec

from sekisho.dialects import anthropic_messages
from sekisho.dialects.bedrock.converse.reply import MEDIA_TYPE, failure_frame
from sekisho.dialects.bedrock.event_stream import FrameDecoder, encode_frame
from sekisho.dialects.bedrock.faults import raise_if_fault
from sekisho.dialects.exchange import Event, Request
from sekisho.dialects.failing import Failing
from sekisho.dialects.passing import INVOKE_STREAM_EXCEPTIONS, chunk_of
from sekisho.dialects.sse import SseParser, render_event
from sekisho.errors import BadRequest, SekishoError

_CHUNK = {":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}


class _Versioned(msgspec.Struct):
    anthropic_version: str | None = None


def parse_request(body: bytes, model: str) -> Request:
    """The neutral form of a body in Claude's form. Raises BadRequest for the forms of other families."""
    try:
        is_claudes = msgspec.json.decode(body, type=_Versioned).anthropic_version is not None
    except msgspec.DecodeError:
        is_claudes = False
    if not is_claudes:
        raise BadRequest(
            f"InvokeModel of '{model}' is served in Claude's form only (with anthropic_version). Use Converse.",
            param="anthropic_version",
        )
    return msgspec.structs.replace(anthropic_messages.parse_request(body), model=model)


class ReplyParser:
    """Reads Claude's answer to InvokeModel into neutral events. One instance per call."""

    def __init__(self) -> None:
        self._decoder = FrameDecoder()
        self._failing = Failing()
        self._messages = anthropic_messages.ReplyParser()

    @property
    def is_complete(self) -> bool:
        return self._messages.is_complete

    @property
    def failed(self) -> SekishoError | None:
        """What ended the stream behind the last that `feed` returned."""
        return self._failing.error

    def feed(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        with self._failing.behind(events):
            for frame in self._decoder.feed(data):
                raise_if_fault(frame)
                if frame.headers.get(":event-type") == "chunk":
                    events += self._messages.feed(render_event(chunk_of(frame.payload)))
        return events

    def whole(self, body: bytes) -> list[Event]:
        return self._messages.whole(body)


class ReplyRenderer:
    """Writes an answer for a client of InvokeModel in Claude's form. One instance per call."""

    media_type = MEDIA_TYPE

    def __init__(self, call_id: str, model: str) -> None:
        self._messages = anthropic_messages.ReplyRenderer(call_id, model)
        self._sse = SseParser()

    def events(self, events: list[Event]) -> bytes:
        return self._framed(self._messages.events(events))

    def finish(self, cost_nanousd: int | None) -> bytes:
        return self._framed(self._messages.finish(cost_nanousd))

    def whole(self, events: list[Event], cost_nanousd: int | None) -> bytes:
        return self._messages.whole(events, cost_nanousd)

    def failure(self, error: SekishoError) -> bytes:
        return failure_frame(error, INVOKE_STREAM_EXCEPTIONS)

    def keepalive(self) -> bytes:
        return b""  # every frame means something to an SDK

    def _framed(self, sse: bytes) -> bytes:
        return b"".join(
            encode_frame(_CHUNK, b'{"bytes":"%b"}' % b2a_base64(event.data, newline=False))
            for event in self._sse.feed(sse)
        )
