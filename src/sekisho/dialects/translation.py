"""One upstream answer on its way to one client, whatever wires the two speak.

`Translation` is what the call path drives; `Translated` is the general one, through the neutral exchange. Those that
let the same wire pass as bytes are in `passing`.
"""

from typing import Protocol

from sekisho.dialects.exchange import (
    Event,
    Metered,
    ReplyParser,
    ReplyRenderer,
    Started,
    Stopped,
    TextDelta,
    ToolDelta,
    ToolStarted,
)
from sekisho.dialects.tool_counts import ToolCounts, count_tool
from sekisho.errors import SekishoError
from sekisho.values import StopReason, Usage


class Translation(Protocol):
    """Turns upstream bytes into client bytes. One instance per attempt.

    Streams: `feed` until the upstream ends or `is_complete`; then `finish` gives the terminal bytes. Everything `feed`
    returns may be sent at once: it never contains the client's terminator. Whole answers: `read`, then `body`.
    All of `feed` and `read` raise UpstreamUnavailable, UpstreamRejected or RateLimited for errors and broken framing;
    an error that comes in one read behind something good is in `failed` instead, and raised by the next `feed`.
    `tools` counts the tools that the answer calls, as soon as a call begins.
    """

    media_type: bytes
    usage: Usage | None
    stop_reason: StopReason | None
    tools: ToolCounts
    has_started: bool

    @property
    def is_complete(self) -> bool: ...

    @property
    def failed(self) -> SekishoError | None: ...

    def feed(self, data: bytes) -> bytes: ...

    def finish(self, cost_nanousd: int | None) -> bytes: ...

    def read(self, body: bytes, headers: dict[bytes, bytes]) -> None:
        """Take in a complete answer; `headers` (lower-case names) may carry the usage."""
        ...

    def body(self, cost_nanousd: int | None) -> bytes: ...

    def failure(self, error: SekishoError) -> bytes: ...

    def keepalive(self) -> bytes: ...


class Translated:
    """Upstream wire to neutral events to client wire."""

    def __init__(self, parser: ReplyParser, renderer: ReplyRenderer) -> None:
        self._parser = parser
        self._renderer = renderer
        self._events: list[Event] = []
        self.media_type = renderer.media_type
        self.usage: Usage | None = None
        self.stop_reason: StopReason | None = None
        self.tools: ToolCounts = {}
        self.has_started = False

    @property
    def is_complete(self) -> bool:
        return self._parser.is_complete

    @property
    def failed(self) -> SekishoError | None:
        return self._parser.failed

    def feed(self, data: bytes) -> bytes:
        events = self._parser.feed(data)
        self._note(events)
        return self._renderer.events(events) if events else b""

    def finish(self, cost_nanousd: int | None) -> bytes:
        return self._renderer.finish(cost_nanousd)

    def read(self, body: bytes, headers: dict[bytes, bytes]) -> None:
        self._events = self._parser.whole(body)
        self._note(self._events)

    def body(self, cost_nanousd: int | None) -> bytes:
        return self._renderer.whole(self._events, cost_nanousd)

    def failure(self, error: SekishoError) -> bytes:
        return self._renderer.failure(error)

    def keepalive(self) -> bytes:
        return self._renderer.keepalive()

    def _note(self, events: list[Event]) -> None:
        for event in events:
            kind = type(event)
            if kind is TextDelta or kind is ToolDelta:  # nearly all of a stream
                self.has_started = True
            elif isinstance(event, Metered):
                self.usage = event.usage
            elif isinstance(event, Stopped):
                self.stop_reason = event.reason
            elif not isinstance(event, Started):
                self.has_started = True
                if isinstance(event, ToolStarted):
                    count_tool(self.tools, event.name)
