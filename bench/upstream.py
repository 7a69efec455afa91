"""Model providers in one process: `python -m bench.upstream PORT COUNTED_PORT`. OpenAI's chat and Bedrock's wires.

A request that streams gets its events in one burst; with the word `#paced` in its body fifty a second, each with the
time at which it left (`t=<monotonic ns>;`). `GET /said` on the second port tells how many answers of which kind were
given there in full.
"""

import asyncio
import json
import re
import sys
import time
from collections import Counter
from typing import cast

import uvloop
from httptools import HttpRequestParser

from bench.said import EVENTS, KINDS, Wire, script, text_event, whole_answer

GAP_S = 0.02
_SLOTS = 20  # of a gap: streams that began at other times get their events at other times
_STREAM = re.compile(rb'"stream"\s*:\s*true')
_SMALL_BYTES = 8_192
_HEADS = {
    "openai_chat": b"content-type: text/event-stream",
    "invoke": b"content-type: application/vnd.amazon.eventstream\r\nx-amzn-requestid: bench",
    "converse": b"content-type: application/vnd.amazon.eventstream\r\nx-amzn-requestid: bench",
}
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\n%b\r\ntransfer-encoding: chunked\r\n\r\n"
_WHOLE_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"


class Provider:
    """What all connections share: the answers, made once, the count of those given, and the clock of paced streams."""

    def __init__(self) -> None:
        self.given: Counter[tuple[Wire, int]] = Counter()
        self._turn = 0
        wires: tuple[Wire, ...] = ("openai_chat", "invoke", "converse")
        self._whole = {wire: [_whole(whole_answer(kind, wire)) for kind in range(KINDS)] for wire in wires}
        self.scripts = {(wire, usage): script(wire, with_usage=usage) for wire in wires for usage in (True, False)}
        self._events = {
            wire: b"".join(text_event(wire, f"word number {123_456 + n} ") for n in range(EVENTS)) for wire in wires
        }
        self._slots: list[set[Stream]] = [set() for _ in range(_SLOTS)]

    def kind(self) -> int:
        """The kind of the next answer."""
        self._turn += 1
        return self._turn % KINDS

    def whole(self, wire: Wire) -> bytes:
        kind = self.kind()
        self.given[wire, kind] += 1
        return self._whole[wire][kind]

    def burst(self, wire: Wire, usage: bool) -> bytes:
        kind = self.kind()
        self.given[wire, kind] += 1
        parts = self.scripts[wire, usage]
        return b"".join((stream_head(wire), parts.first, self._events[wire], parts.last[kind]))

    def pace(self, stream: "Stream") -> None:
        """Send the stream's events, one per gap, from now on."""
        min(self._slots, key=len).add(stream)

    async def run(self) -> None:
        """Walk over the slots, a whole round per gap."""
        loop = asyncio.get_running_loop()
        began_s, tick = loop.time(), 0
        while True:
            tick += 1
            await asyncio.sleep(max(0.0, began_s + tick * GAP_S / _SLOTS - loop.time()))
            slot = self._slots[tick % _SLOTS]
            made: dict[Wire, bytes] = {}
            for stream in tuple(slot):
                event = made.get(stream.wire)
                if event is None:
                    event = made[stream.wire] = text_event(stream.wire, f"t={time.monotonic_ns()}; and a few words ")
                if stream.send(event):
                    slot.discard(stream)


class Stream:
    """A paced stream on its way."""

    def __init__(self, provider: Provider, transport: asyncio.Transport, wire: Wire, usage: bool) -> None:
        self._provider = provider
        self._transport = transport
        self._script = provider.scripts[wire, usage]
        self._left = EVENTS
        self.wire = wire
        transport.write(stream_head(wire) + self._script.first)

    def send(self, event: bytes) -> bool:
        """Send an event; whether that was the end."""
        if self._transport.is_closing():
            return True
        self._left -= 1
        if self._left:
            self._transport.write(event)
            return False
        kind = self._provider.kind()
        self._provider.given[self.wire, kind] += 1
        self._transport.write(event + self._script.last[kind])
        return True


class Connection(asyncio.Protocol):
    """One connection: reads requests to their end, answers each."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._parser = HttpRequestParser(self)
        self._url = b""
        self._body: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._url = b""
        self._body = []

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"expect":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, data: bytes) -> None:
        self._body.append(data)

    def on_message_complete(self) -> None:
        provider = self._provider
        if self._url == b"/said":
            answers = [[wire, kind, count] for (wire, kind), count in provider.given.items()]
            self._transport.write(_whole(json.dumps(answers).encode()))
            return
        wire, streams = _wire_of(self._url)
        body = b"".join(self._body) if sum(map(len, self._body)) < _SMALL_BYTES else b""
        if not (streams or _STREAM.search(body)):
            self._transport.write(provider.whole(wire))
        elif b"#paced" in body:
            provider.pace(Stream(provider, self._transport, wire, b"include_usage" in body))
        else:
            self._transport.write(provider.burst(wire, b"include_usage" in body))


def stream_head(wire: Wire) -> bytes:
    return _STREAM_HEAD % _HEADS[wire]


def _wire_of(url: bytes) -> tuple[Wire, bool]:
    """The wire of a path, and whether it is one that always streams."""
    path = url.split(b"?", 1)[0]
    if path.endswith((b"/invoke", b"/invoke-with-response-stream")):
        return "invoke", path.endswith(b"stream")
    if path.endswith((b"/converse", b"/converse-stream")):
        return "converse", path.endswith(b"stream")
    return "openai_chat", False


def _whole(content: bytes) -> bytes:
    return _WHOLE_HEAD % (len(content), content)


async def _serve(ports: list[int]) -> None:
    async with asyncio.TaskGroup() as group:
        for port in ports:
            group.create_task(_listen(Provider(), port))


async def _listen(provider: Provider, port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(provider), "127.0.0.1", port, backlog=2048)
    await asyncio.gather(server.serve_forever(), provider.run())


if __name__ == "__main__":
    uvloop.run(_serve([int(port) for port in sys.argv[1:]]))
