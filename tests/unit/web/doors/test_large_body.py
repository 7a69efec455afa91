"""Large bodies on a connection that is kept, on both event loops: whole, in their order, also when a client leaves."""

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest
import uvloop
from uvicorn.server import ServerState

from sekisho.web.doors.http1 import DoorProtocol, Exchange
from sekisho.web.doors.large_body import LargeBody

Run = Callable[[Coroutine[Any, Any, None]], None]
RUNS: list[Run] = [asyncio.run, uvloop.run]
SIZES = (200_000, 5, 900_000, 65_536, 700_001, 5_000_000, 300_000)


def content(size: int) -> bytes:
    return (hashlib.sha256(b"%d" % size).digest() * (size // 32 + 1))[:size]


def request(size: int) -> bytes:
    return b"POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: %d\r\n\r\n" % size + content(size)


class Answering:
    """A listening connection that answers with the hash of a body, and keeps what it has seen."""

    def __init__(self) -> None:
        self.left = 0
        self.in_place = 0

    async def answer(self, exchange: Exchange) -> None:
        parts: list[bytes] = []
        more = True
        while more:
            message = await exchange.receive()
            if message["type"] == "http.disconnect":
                self.left += 1
                return
            parts.append(message["body"])
            more = message["more_body"]
        said = hashlib.sha256(b"".join(parts)).hexdigest().encode()
        assert exchange.answer(b"", said)

    def protocol(self) -> DoorProtocol:
        state = ServerState()
        state.default_headers = []
        return Counting(self, self.answer, state, send_timeout_s=5)

    async def serve(self, client: Callable[[int], Coroutine[Any, Any, None]]) -> None:
        server = await asyncio.get_running_loop().create_server(self.protocol, "127.0.0.1", 0)
        async with asyncio.timeout(30):
            await client(server.sockets[0].getsockname()[1])
        server.close()


class Counting(DoorProtocol):
    """Counts the bodies that were received in their place."""

    def __init__(self, seen: Answering, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._seen = seen

    def body_received(self, body: bytes) -> None:
        self._seen.in_place += 1
        super().body_received(body)


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("piece", [10_000_000, 100_000, 70_001])
def test_bodies_of_every_size_come_whole_one_after_the_other(run: Run, piece: int) -> None:
    seen = Answering()

    async def client(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for size in SIZES:
            sent = request(size)
            for at in range(0, len(sent), piece):
                writer.write(sent[at : at + piece])
                await writer.drain()
                await asyncio.sleep(0)
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 200 OK")
            assert await reader.readexactly(64) == hashlib.sha256(content(size)).hexdigest().encode()
        writer.close()

    run(seen.serve(client))
    assert 0 < seen.in_place <= 4  # not the first one, no small one, and none that is too large


@pytest.mark.parametrize("run", RUNS)
def test_requests_that_follow_at_once_are_not_taken_for_the_body(run: Run) -> None:
    async def client(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request(10) + request(800_000) + request(20) + request(400_000))
        for size in (10, 800_000, 20, 400_000):
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(64) == hashlib.sha256(content(size)).hexdigest().encode()
        writer.close()

    run(Answering().serve(client))


@pytest.mark.parametrize("run", RUNS)
def test_a_client_that_leaves_within_a_large_body_is_noticed(run: Run) -> None:
    seen = Answering()

    async def client(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request(10))
        await reader.readuntil(b"\r\n\r\n")
        writer.write(request(800_000)[:600_000])
        await writer.drain()
        writer.transport.abort()
        while not seen.left:  # noqa: ASYNC110  nobody announces it
            await asyncio.sleep(0.001)

    run(seen.serve(client))
    assert seen.in_place == 0


def test_there_is_room_for_the_body_and_for_nothing_behind_it() -> None:
    class Door:
        got: bytes = b""

        def body_received(self, body: bytes) -> None:
            self.got = body

    door = Door()
    body = LargeBody(cast(Any, door), [b"ab", b"c"], 6)
    view = body.get_buffer(-1)
    view[:2] = b"de"
    body.buffer_updated(2)
    assert (len(body.get_buffer(-1)), len(door.got)) == (1, 0)
    body.get_buffer(-1)[:1] = b"f"
    body.buffer_updated(1)
    assert door.got == b"abcdef"
