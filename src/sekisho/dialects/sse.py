"""Server-sent events: bytes to events, events to bytes.

Source: WHATWG HTML, section 9.2. `id` and `retry` fields are read over: a model's answer is never resumed.
"""

import msgspec

from sekisho.errors import UpstreamUnavailable

KEEPALIVE = b": keepalive\n\n"
MAX_EVENT_BYTES = 16 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"


LF, CR = 10, 13
"""To look for a number in bytes takes a twentieth of the time that a byte string takes."""


class SseEvent(msgspec.Struct, frozen=True):
    """One dispatched event. `name` is empty when the stream named none; `data` lines are joined by LF."""

    name: bytes
    data: bytes


class SseParser:
    """Reads one event stream, however its bytes are cut. One instance per stream."""

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_event_bytes = max_event_bytes
        self._buffer = bytearray()
        self._searched = 0
        self._skips_line_feed = False
        self._head: bytes | None = b""  # the first bytes, until it is known whether they are a byte order mark

    def feed(self, data: bytes) -> list[SseEvent]:
        """The events that end within these bytes; an unfinished last one is kept.

        Raises UpstreamUnavailable when one event is larger than `max_event_bytes`."""
        if self._head is not None:
            data = self._without_bom(data)
        if self._skips_line_feed and data.startswith(b"\n"):
            data = data[1:]
            self._skips_line_feed = False
        if not data:
            return []
        if CR in data:
            # a CR at the very end is a line end already; the LF that may follow belongs to it
            self._skips_line_feed = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        else:
            self._skips_line_feed = False
        self._buffer += data
        return self._dispatch()

    def _without_bom(self, data: bytes) -> bytes:
        head = (self._head or b"") + data
        if len(head) < len(_BOM) and _BOM.startswith(head):
            self._head = head
            return b""
        self._head = None
        return head.removeprefix(_BOM)

    def _dispatch(self) -> list[SseEvent]:
        events: list[SseEvent] = []
        start = 0
        end = self._buffer.find(b"\n\n", self._searched)
        while end >= 0:
            event = _read_block(bytes(self._buffer[start:end]))
            if event is not None:
                events.append(event)
            start = end + 2
            end = self._buffer.find(b"\n\n", start)
        if start:
            del self._buffer[:start]
        self._searched = max(0, len(self._buffer) - 1)
        if len(self._buffer) > self._max_event_bytes and not events:  # else it is said behind them, at the next bytes
            raise UpstreamUnavailable("The model provider sent an event that is too large.")
        return events


def render_event(data: bytes, name: bytes = b"") -> bytes:
    """The bytes of one event. `data` must hold no CR; JSON never does."""
    lines = data.replace(b"\n", b"\ndata: ") if LF in data else data
    if name:
        return b"event: " + name + b"\ndata: " + lines + b"\n\n"
    return b"data: " + lines + b"\n\n"


def _read_block(block: bytes) -> SseEvent | None:
    """The event of these lines (LF only, no blank line inside); None when they carry no data."""
    if block.startswith(b"data: ") and LF not in block:
        return SseEvent(b"", block[6:])
    name = b""
    data: list[bytes] = []
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
    return SseEvent(name, b"\n".join(data)) if data else None
