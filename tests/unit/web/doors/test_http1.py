"""The doors' HTTP/1.1 over real sockets: what clients send, when they leave, and when they do not read."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest
from uvicorn.server import ServerState

from sekisho.web.doors import http1
from sekisho.web.doors.asgi import Receive, Scope, Send, send_whole
from sekisho.web.doors.http1 import DoorProtocol

App = Callable[[Scope, Receive, Send], Awaitable[None]]
END = b"0\r\n\r\n"


async def until(condition: Callable[[], object]) -> None:
    """Let the loop run until this holds."""
    while not condition():  # noqa: ASYNC110  nobody announces it
        await asyncio.sleep(0)


async def read_body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b"".join(parts) + b"<left>"
        parts.append(message["body"])
        if not message["more_body"]:
            return b"".join(parts)


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with what it understood."""
    body = await read_body(receive)
    said = b"%b %b?%b %d %b" % (
        scope["method"].encode(),
        scope["raw_path"],
        scope["query_string"],
        len(body),
        body[:20],
    )
    await send_whole(send, 200, said, b"text/plain")


class Door:
    """A listening protocol with an application behind it."""

    def __init__(self) -> None:
        self.app: App = echo
        self.state = ServerState()
        self.port = 0

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def ask(self, request: bytes, answers: int = 1) -> bytes:
        """Everything that comes back for these bytes until the connection closes, or so many answers came."""
        reader, writer = await self.open()
        writer.write(request)
        received = b""
        async with asyncio.timeout(20):
            while data := await reader.read(65_536):
                received += data
                if received.count(b"<end>") >= answers:
                    break
        writer.close()
        await writer.wait_closed()
        return received

    def sweep(self, after_s: float) -> None:
        """As the server does, so many seconds from now."""
        now_s = asyncio.get_running_loop().time()
        for connection in tuple(self.state.connections):
            assert isinstance(connection, DoorProtocol)
            connection.sweep(now_s + after_s)


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    door = Door()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await door.app(scope, receive, send)

    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: DoorProtocol(http1.asgi(app), door.state, send_timeout_s=5), "127.0.0.1", 0
    )
    door.port = server.sockets[0].getsockname()[1]
    yield door
    server.close()
    for connection in tuple(door.state.connections):
        assert isinstance(connection, DoorProtocol)
        connection.transport.abort()
    if door.state.tasks:
        await asyncio.wait(door.state.tasks, timeout=20)


async def test_requests_on_one_connection_are_answered_in_their_order(door: Door) -> None:
    one = b"POST /a%2Fb?x=1 HTTP/1.1\r\nhost: h\r\ncontent-length: 7\r\n\r\none" + b"<end"
    two = b"PUT /two HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n3\r\ntwo\r\n5\r\n<end>\r\n0\r\n\r\n"
    three = b"GET http://h/three#x HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n"
    received = await door.ask(one + two + three, answers=9)
    bodies = [part.split(b"\r\n\r\n")[1] for part in received.split(b"HTTP/1.1 200 OK")[1:]]
    assert bodies == [b"POST /a%2Fb?x=1 7 one<end", b"PUT /two? 8 two<end>", b"GET /three? 0 "]
    assert received.count(b"connection: close") == 1


async def test_a_large_body_comes_in_few_pieces_and_whole(door: Door) -> None:
    sizes: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            sizes.append(len(message["body"]))
            if not message["more_body"]:
                break
        await send_whole(send, 200, b"<end>")

    door.app = app
    await door.ask(b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 3000000\r\n\r\n" + b"x" * 3_000_000)
    assert sum(sizes) == 3_000_000 and len(sizes) <= 4


async def test_a_body_that_nobody_asked_for_is_not_taken_in(door: Door) -> None:
    asked = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asked.wait()
        await send_whole(send, 200, b"%d<end>" % len(await read_body(receive)))

    door.app = app
    asking = asyncio.ensure_future(
        door.ask(b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 20000000\r\n\r\n" + b"x" * 20_000_000)
    )
    async with asyncio.timeout(20):
        await until(lambda: any(isinstance(one, DoorProtocol) and one._is_paused for one in door.state.connections))
    asked.set()
    assert b"20000000<end>" in await asking


async def test_a_client_that_waits_for_100_gets_it_once_the_body_is_wanted(door: Door) -> None:
    reader, writer = await door.open()
    writer.write(b"POST / HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"hi")
    assert b"POST /? 2 hi" in await reader.readuntil(b"hi")
    writer.close()


async def test_a_refusal_before_the_body_was_wanted_ends_the_connection(door: Door) -> None:
    door.app = lambda scope, receive, send: send_whole(send, 401, b"no")
    received = await door.ask(b"POST / HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 401") and b"connection: close" in received and b"100 Continue" not in received


async def stream(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})
    for part in (b"one", b"", b"two"):
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b"<end>"})


async def test_a_stream_is_chunked_and_for_http_1_0_ends_with_the_connection(door: Door) -> None:
    door.app = stream
    received = await door.ask(b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n", answers=9)
    assert received.endswith(b"\r\n\r\n3\r\none\r\n3\r\ntwo\r\n5\r\n<end>\r\n0\r\n\r\n")
    old = await door.ask(b"GET / HTTP/1.0\r\nhost: h\r\n\r\n", answers=9)
    assert old.endswith(b"connection: close\r\n\r\nonetwo<end>") and b"chunked" not in old


async def test_an_answer_to_head_has_no_body(door: Door) -> None:
    door.app = lambda scope, receive, send: send_whole(send, 200, b"body")
    received = await door.ask(b"HEAD / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
    assert b"content-length: 4\r\n" in received and received.endswith(b"\r\n\r\n")


async def test_the_head_of_a_stream_does_not_wait_for_its_first_event(door: Door) -> None:
    first = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await first.wait()
        await send({"type": "http.response.body", "body": b"event"})

    door.app = app
    reader, writer = await door.open()
    writer.write(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK")
    first.set()
    assert await reader.readuntil(END) == b"5\r\nevent\r\n" + END
    writer.close()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: h\r\nx: " + b"y" * http1.HEAD_BYTES + b"\r\n\r\n",
        b"GET /" + b"y" * http1.HEAD_BYTES + b" HTTP/1.1\r\nhost: h\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\nZ\r\n",
    ],
)
async def test_what_is_not_http_is_refused_and_closed(door: Door, request_bytes: bytes) -> None:
    received = await door.ask(request_bytes)
    assert received.startswith(b"HTTP/1.1 400 Bad Request") and received.count(b"HTTP/1.1") == 1


async def test_a_request_to_change_the_protocol_is_answered_as_http(door: Door) -> None:
    received = await door.ask(b"GET /h2 HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n")
    assert b"GET /h2? 0" in received and b"connection: close" in received


async def test_an_application_that_fails_leaves_a_500_or_a_broken_answer(door: Door, caplog) -> None:
    async def early(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("early")

    async def late(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
        raise RuntimeError("late")

    caplog.set_level(logging.CRITICAL, "sekisho.web.doors.http1")
    door.app = early
    assert (await door.ask(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n")).startswith(b"HTTP/1.1 500")
    door.app = late
    received = await door.ask(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n")
    assert received.endswith(b"4\r\npart\r\n") and END not in received


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: x", b"a\nb", b"a\rb"])
async def test_a_header_of_two_lines_is_not_sent(door: Door, value: bytes, caplog) -> None:
    caplog.set_level(logging.CRITICAL, "sekisho.web.doors.http1")
    door.app = lambda scope, receive, send: send_whole(send, 200, b"", headers=[(b"x", value)])
    received = await door.ask(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 500") and b"set-cookie" not in received


async def test_the_application_learns_that_its_client_left_and_is_not_cancelled(door: Door) -> None:
    seen: list[str] = []
    left = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await read_body(receive)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        seen.append((await receive())["type"])
        await send({"type": "http.response.body", "body": b"for nobody"})
        left.set()

    door.app = app
    reader, writer = await door.open()
    writer.write(b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\n\r\nx")
    await reader.readuntil(b"\r\n\r\n")
    writer.close()
    async with asyncio.timeout(20):
        await left.wait()
    assert seen == ["http.disconnect"]


async def test_half_a_body_and_gone_is_a_client_that_left(door: Door) -> None:
    bodies: asyncio.Queue[bytes] = asyncio.Queue()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        bodies.put_nowait(await read_body(receive))

    door.app = app
    _, writer = await door.open()
    writer.write(b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\nhalf")
    await writer.drain()
    writer.close()
    async with asyncio.timeout(20):
        assert await bodies.get() == b"<left>"


async def test_a_client_that_does_not_read_makes_send_wait_and_is_closed_in_the_end(door: Door) -> None:
    sent = 0
    left = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await send({"type": "http.response.start", "status": 200, "headers": []})
        leaving = asyncio.ensure_future(read_body(receive))
        while not (leaving.done() and leaving.result() == b"<left>"):
            if leaving.done():
                leaving = asyncio.ensure_future(read_body(receive))
            await send({"type": "http.response.body", "body": b"x" * 65_536, "more_body": True})
            sent += 65_536
            await asyncio.sleep(0)
        left.set()

    door.app = app
    _, writer = await door.open()
    writer.write(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n")
    async with asyncio.timeout(20):
        await until(lambda: any(isinstance(one, DoorProtocol) and one.writable for one in door.state.connections))
        held = sent
        door.sweep(after_s=4)
        for _ in range(100):
            await asyncio.sleep(0)
        assert sent == held
        door.sweep(after_s=6)
        await left.wait()
    writer.close()


@pytest.mark.parametrize("request_bytes", [b"", b"POST / HTTP/1.1\r\nhost"])
async def test_a_request_head_that_does_not_come_ends_the_connection(door: Door, request_bytes: bytes) -> None:
    reader, writer = await door.open()
    writer.write(request_bytes)
    async with asyncio.timeout(20):
        await until(lambda: door.state.connections)
        door.sweep(after_s=http1.HEAD_TIMEOUT_S - 1)
        assert door.state.connections
        door.sweep(after_s=http1.HEAD_TIMEOUT_S + 1)
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
    assert not door.state.connections
    writer.close()


async def test_an_idle_connection_is_kept_longer_than_clients_keep_theirs(door: Door) -> None:
    reader, writer = await door.open()
    writer.write(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n")
    await reader.readuntil(b"GET /? 0 ")
    assert http1.KEEP_ALIVE_S > 60  # load balancers of AWS: 60 s; undici, httpx and aiohttp: 4 to 15 s
    door.sweep(after_s=http1.KEEP_ALIVE_S - 1)
    assert door.state.connections
    door.sweep(after_s=http1.KEEP_ALIVE_S + 1)
    async with asyncio.timeout(20):
        assert await reader.read() == b""
    writer.close()


async def test_a_call_that_is_being_answered_has_no_deadline_here(door: Door) -> None:
    go_on = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await go_on.wait()
        await send_whole(send, 200, b"<end>")

    door.app = app
    asking = asyncio.ensure_future(door.ask(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n"))
    async with asyncio.timeout(20):
        await until(lambda: door.state.tasks)
    door.sweep(after_s=100_000)
    go_on.set()
    assert b"<end>" in await asking


async def test_a_server_that_stops_lets_the_answer_under_way_end(door: Door) -> None:
    go_on = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await go_on.wait()
        await send_whole(send, 200, b"done")

    door.app = app
    idle, idle_writer = await door.open()
    asking = asyncio.ensure_future(door.ask(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n"))
    async with asyncio.timeout(20):
        await until(lambda: door.state.tasks and len(door.state.connections) == 2)
        for connection in tuple(door.state.connections):
            connection.shutdown()
        assert await idle.read() == b""
        go_on.set()
        received = await asking
    assert received.endswith(b"done") and b"connection: close" in received
    idle_writer.close()
