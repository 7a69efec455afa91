import asyncio
import hashlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import h11
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sekisho.errors import UpstreamTimeout, UpstreamUnavailable
from sekisho.upstream import http1
from sekisho.upstream.http1 import Http1Client, Http1Response
from sekisho.upstream.origin import Origin
from tests.thorough import examples
from tests.unit.upstream.servers import Server, Wire, answer, serving

HEAD = b"HTTP/1.1 200 OK\r\n"


@asynccontextmanager
async def client_of(**options: float) -> AsyncIterator[Http1Client]:
    client = Http1Client(sweep_s=0.01, **options)  # type: ignore[arg-type]
    try:
        yield client
    finally:
        await client.close()


async def post(client: Http1Client, server: Server, body: bytes = b"{}", timeout_s: float = 10) -> Http1Response:
    return await client.send(server.origin, b"POST", b"/x", [], body, first_byte_timeout_s=timeout_s)


async def read(response: Http1Response) -> bytes:
    try:
        return await response.read(1 << 26, 10)
    finally:
        response.close()


async def without_connections(client: Http1Client) -> None:
    """Let the loop run until the client has noticed that its connections are closed."""
    for _ in range(10_000):
        if not client.connections:
            return
        await asyncio.sleep(0)
    raise AssertionError("a connection is still open")


def speaking(*pieces: bytes, stays_open: bool = False):
    """A script that answers every request with `pieces`, then closes unless it `stays_open`."""

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.say(*pieces)
        while stays_open:
            await wire.request()
            await wire.say(*pieces)

    return script


async def test_the_request_has_host_and_length_and_nothing_else_of_its_own() -> None:
    seen = []

    async def script(wire: Wire) -> None:
        for _ in range(3):
            seen.append(await wire.request())
            await wire.say(answer(b"ok"))

    async with serving(script) as server, client_of() as client:
        host = (b"Host", server.origin.authority.encode())
        for method, headers, body in (
            (b"POST", [(b"x-a", b"1")], [b"ab", b"cd"]),
            (b"POST", [], b""),
            (b"GET", [(b"host", b"console.test")], b""),
        ):
            response = await client.send(server.origin, method, b"/a%2Fb?c=d", headers, body, first_byte_timeout_s=10)
            assert await read(response) == b"ok"
        assert len(server.wires) == 1
    assert seen == [
        (b"POST /a%2Fb?c=d HTTP/1.1", [(b"x-a", b"1"), host, (b"Content-Length", b"4")], b"abcd"),
        (b"POST /a%2Fb?c=d HTTP/1.1", [host, (b"Content-Length", b"0")], b""),
        (b"GET /a%2Fb?c=d HTTP/1.1", [(b"host", b"console.test")], b""),
    ]


@pytest.mark.parametrize(
    ("target", "header"),
    [
        (b"/a b", (b"x", b"1")),
        (b"/", (b"x", b"1\r\nx-evil: 1")),
        (b"/", (b"x", b"1\nx-evil: 1")),
        (b"/", (b"x\r\n", b"1")),
        (b"/\r\n", (b"x", b"1")),
        (b"/", (b"x", b"\0")),
        (b"/", (b"Content-Length", b"7")),
        (b"/", (b"transfer-encoding", b"chunked")),
    ],
)
async def test_a_head_that_is_not_one_request_is_never_sent(target: bytes, header: tuple[bytes, bytes]) -> None:
    async with client_of() as client:
        with pytest.raises(ValueError):
            await client.send(Origin("http", "127.0.0.1", 1), b"POST", target, [header], first_byte_timeout_s=1)


async def test_repeated_headers_are_joined_and_kept_as_they_came() -> None:
    async with (
        serving(speaking(answer(b"", b"X-A: 1 ", b"x-a:  2", b"Set-Cookie: c"))) as server,
        client_of() as client,
    ):
        response = await post(client, server)
        assert response.status == 200
        assert response.headers == {b"x-a": b"1, 2", b"set-cookie": b"c", b"content-length": b"0"}
        assert response.raw_headers == [
            (b"X-A", b"1"),
            (b"x-a", b"2"),
            (b"Set-Cookie", b"c"),
            (b"Content-Length", b"0"),
        ]
        assert await response.next(1) == b""


def heard_by_h11(data: bytes) -> tuple[int, bytes]:
    """Status and body as another HTTP implementation reads them."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "h")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(data)
    status, body = 0, b""
    while not isinstance(event := connection.next_event(), h11.EndOfMessage):
        if isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
    return status, body


@st.composite
def chunked_answers(draw: st.DrawFn) -> list[bytes]:
    """A chunked answer with interim ones before it, extensions and trailers in it, cut at any places."""
    data = draw(st.sampled_from([b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 E\r\nLink: x\r\n\r\n"]))
    data += draw(st.sampled_from([HEAD, b"HTTP/1.1 429 Slow\r\n"])) + b"Transfer-Encoding: chunked\r\nX-A: b\r\n\r\n"
    for chunk in draw(st.lists(st.binary(min_size=1, max_size=300), max_size=6)):
        data += b"%x%b\r\n%b\r\n" % (len(chunk), draw(st.sampled_from([b"", b";a=b"])), chunk)
    data += b"0\r\n" + draw(st.sampled_from([b"", b"X-T: 1\r\n"])) + b"\r\n"
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=12)))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True) if start < end]


@settings(max_examples=examples(30), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=chunked_answers())
async def test_a_chunked_answer_reads_the_same_however_it_is_cut(pieces: list[bytes]) -> None:
    async with serving(speaking(*pieces, stays_open=True)) as server, client_of() as client:
        for _ in range(2):
            response = await post(client, server)
            assert (response.status, await read(response)) == heard_by_h11(b"".join(pieces))
            assert response.headers == {b"transfer-encoding": b"chunked", b"x-a": b"b"}
        assert len(server.wires) == 1


async def test_what_has_arrived_is_given_in_one_piece_without_waiting_for_the_rest() -> None:
    go_on = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.say(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"3\r\none\r\n3\r\ntwo\r\n")
        await go_on.wait()
        await wire.say(b"5\r\nthree\r\n0\r\n\r\n")

    async with serving(script) as server, client_of() as client:
        response = await post(client, server)
        assert await response.next(10) == b"onetwo"
        go_on.set()
        assert await response.next(10) == b"three"
        assert await response.next(10) == b""
        assert await response.next(10) == b""


BROKEN = {
    "closed without a word": b"",
    "half a head": HEAD + b"Content-Le",
    "garbage": b"\x15\x03\x01\x00\x02\x02\x16 no HTTP here\r\n\r\n",
    "another protocol's answer": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "status below 100": b"HTTP/1.1 099 No\r\nContent-Length: 0\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "length and chunks": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n1\r\na\r\n0\r\n\r\n",
    "gzip as transfer coding": HEAD + b"Transfer-Encoding: gzip\r\n\r\nabc",
    "negative length": HEAD + b"Content-Length: -1\r\n\r\n",
    "short body": HEAD + b"Content-Length: 5\r\n\r\nabcd",
    "more than announced": HEAD + b"Content-Length: 2\r\n\r\nabcd",
    "a second answer": answer(b"ab") + answer(b"cd"),
    "chunk without size": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n",
    "chunk longer than its size": HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
    "no last chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
    "one header too large": HEAD + b"X: " + b"a" * 70_000 + b"\r\nContent-Length: 2\r\n\r\nab",
    "too many headers": HEAD + b"X: aaaaaaaaaa\r\n" * 7_000 + b"Content-Length: 2\r\n\r\nab",
    "endless interim answers": b"HTTP/1.1 103 E\r\nLink: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n\r\n" * 2_000
    + answer(b"ab"),
    "endless trailer": HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX: " + b"a" * 70_000,
    "endless chunk extension": HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n2;" + b"a" * 70_000,
}


@pytest.mark.parametrize("cut", [False, True], ids=["at once", "in pieces"])
@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
async def test_a_broken_answer_is_an_unavailable_provider_and_costs_the_connection(data: bytes, cut: bool) -> None:
    step = 3_001 if len(data) > 10_000 else 7
    pieces = [data[at : at + step] for at in range(0, len(data), step)] if cut else [data]

    async with serving(speaking(*pieces)) as server, client_of() as client:
        with pytest.raises(UpstreamUnavailable) as raised:
            await read(await post(client, server))
        assert not isinstance(raised.value, UpstreamTimeout)
        assert "provider" in raised.value.message
        assert not client.connections or not cut  # a close that is under way


async def test_what_came_before_a_break_is_given_before_the_error() -> None:
    async with serving(speaking(HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\none\r\nbroken")) as server:
        async with client_of() as client:
            response = await post(client, server)
            assert await response.next(10) == b"one"
            for _ in range(2):
                with pytest.raises(UpstreamUnavailable):
                    await response.next(10)


@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.0 200 OK\r\n\r\n", HEAD + b"Connection: close\r\n\r\n", HEAD + b"\r\n"],
    ids=["1.0", "close", "1.1"],
)
async def test_without_a_length_the_end_of_the_connection_ends_the_body(head: bytes) -> None:
    async with serving(speaking(head + b"ab", b"cd")) as server, client_of() as client:
        for _ in range(2):
            assert await read(await post(client, server)) == b"abcd"
        assert len(server.wires) == 2


async def test_a_reset_does_not_end_a_body_without_a_length() -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.say(HEAD + b"\r\nab")
        raw = wire.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        wire.reset()

    async with serving(script) as server, client_of() as client:
        response = await post(client, server)
        assert await response.next(10) == b"ab"
        with pytest.raises(UpstreamUnavailable):
            await response.next(10)


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
async def test_some_answers_have_no_body(method: bytes, status: bytes) -> None:
    async with serving(speaking(b"HTTP/1.1 %b\r\n\r\n" % status, stays_open=True)) as server, client_of() as client:
        response = await client.send(server.origin, method, b"/", [], first_byte_timeout_s=10)
        assert await read(response) == b""


async def test_the_length_in_an_answer_to_head_is_not_waited_for() -> None:
    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.say(HEAD + b"Content-Length: 100\r\n\r\n")
        await wire.gone()

    async with serving(script) as server, client_of() as client:
        response = await client.send(server.origin, b"HEAD", b"/", [], first_byte_timeout_s=10)
        assert (response.headers[b"content-length"], await read(response)) == (b"100", b"")


async def test_a_connection_is_used_again_only_after_its_answer_has_ended() -> None:
    async with serving(speaking(answer(b"ok"), stays_open=True)) as server, client_of() as client:
        first, second = await asyncio.gather(post(client, server), post(client, server))
        assert [await read(first), await read(second)] == [b"ok", b"ok"]
        assert len(server.wires) == 2
        for _ in range(5):
            assert await read(await post(client, server)) == b"ok"
        assert len(server.wires) == 2


async def test_closing_an_unfinished_answer_closes_its_connection() -> None:
    client_gone = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.say(HEAD + b"Content-Length: 100\r\n\r\nab")
        await wire.gone()
        client_gone.set()

    async with serving(script) as server, client_of() as client:
        response = await post(client, server)
        response.close()
        response.close()
        await client_gone.wait()
        with pytest.raises(UpstreamUnavailable):
            await response.next(10)
        assert not client.connections


async def test_a_connection_that_the_provider_closed_is_not_used_again() -> None:
    async with serving(speaking(answer(b"ok"))) as server, client_of() as client:
        for _ in range(3):
            assert await read(await post(client, server)) == b"ok"
            await without_connections(client)
        assert len(server.wires) == 3


async def test_bytes_nobody_asked_for_never_become_an_answer() -> None:
    speak_up = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.say(answer(b"ok"))
        if wire.number == 0:
            await speak_up.wait()
            await wire.say(answer(b"for somebody else"))
            await wire.gone()

    async with serving(script) as server, client_of() as client:
        assert await read(await post(client, server)) == b"ok"
        speak_up.set()
        await without_connections(client)
        assert await read(await post(client, server)) == b"ok"


async def test_idle_connections_are_closed_after_their_time() -> None:
    client_gone = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.say(answer(b"ok"))
        await wire.gone()
        client_gone.set()

    async with serving(script) as server, client_of(idle_connection_s=0.02) as client:
        assert await read(await post(client, server)) == b"ok"
        await client_gone.wait()


def closing_in_a_race(answers_first: int):
    """The first connection answers some requests, then takes one and closes without a word; later ones answer."""
    bodies: list[bytes] = []

    async def script(wire: Wire) -> None:
        for _ in range(answers_first if wire.number == 0 else 9):
            bodies.append((await wire.request()).body)
            await wire.say(answer(b"ok"))
        bodies.append((await wire.request()).body)

    return script, bodies


async def test_a_request_that_crossed_the_closing_of_an_idle_connection_is_sent_once_more() -> None:
    script, bodies = closing_in_a_race(answers_first=1)
    async with serving(script) as server, client_of() as client:
        assert await read(await post(client, server, b"1")) == b"ok"
        assert await read(await post(client, server, b"2")) == b"ok"
        assert (len(server.wires), bodies) == (2, [b"1", b"2", b"2"])


async def test_a_request_on_a_new_connection_is_never_sent_again() -> None:
    script, bodies = closing_in_a_race(answers_first=0)
    async with serving(script) as server, client_of() as client:
        with pytest.raises(UpstreamUnavailable):
            await post(client, server)
        assert (len(server.wires), bodies) == (1, [b"{}"])


async def test_a_request_the_provider_may_have_worked_on_is_never_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http1, "_KEEP_ALIVE_RACE_S", 0.0)  # as if the closing came later than a round trip
    script, bodies = closing_in_a_race(answers_first=1)
    async with serving(script) as server, client_of() as client:
        assert await read(await post(client, server)) == b"ok"
        with pytest.raises(UpstreamUnavailable):
            await post(client, server)
        assert (len(server.wires), len(bodies)) == (1, 2)


async def test_a_request_that_got_a_byte_of_an_answer_is_never_sent_again() -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.say(answer(b"ok"))
        await wire.request()
        await wire.say(b"H")

    async with serving(script) as server, client_of() as client:
        assert await read(await post(client, server)) == b"ok"
        with pytest.raises(UpstreamUnavailable):
            await post(client, server)
        assert len(server.wires) == 1


async def stall(wire: Wire) -> None:
    await wire.request()
    await wire.gone()


async def stall_in_body(wire: Wire) -> None:
    await wire.request()
    await wire.say(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1")
    await wire.gone()


async def test_a_head_that_does_not_come_in_time_is_a_time_out() -> None:
    async with serving(stall) as server, client_of() as client:
        with pytest.raises(UpstreamTimeout):
            await post(client, server, timeout_s=0.02)
        assert len(server.wires) == 1


async def test_a_body_that_stalls_is_a_time_out() -> None:
    async with serving(stall_in_body) as server, client_of() as client:
        response = await post(client, server)
        assert await response.next(10) == b"ab"
        with pytest.raises(UpstreamTimeout):
            await response.next(0.02)
        with pytest.raises(UpstreamTimeout):
            await (await post(client, server)).read(100, 0.02)


async def test_a_tls_handshake_that_stalls_is_a_time_out() -> None:
    async with serving(Wire.gone) as server, client_of(connect_timeout_s=0.05) as client:
        with pytest.raises(UpstreamTimeout):
            await client.send(server.origin._replace(scheme="https"), b"GET", b"/", [], first_byte_timeout_s=10)


@pytest.mark.parametrize("host", ["127.0.0.1", "a" * 64])
async def test_no_connection_is_an_unavailable_provider(host: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refuses
        origin = Origin("http", host, taken.getsockname()[1])
        async with client_of() as client:
            with pytest.raises(UpstreamUnavailable):
                await client.send(origin, b"GET", b"/", [], first_byte_timeout_s=10)


@pytest.mark.parametrize("greeting", [b"", b"HTTP/1.1 400 Go away\r\nContent-Length: 0\r\n\r\n"])
async def test_a_provider_that_hangs_up_at_once_is_unavailable_at_once(greeting: bytes) -> None:
    async def script(wire: Wire) -> None:
        wire.writer.write(greeting)

    async with serving(script) as server, client_of() as client:
        for _ in range(20):  # the hang-up comes before, with, or after the request
            with pytest.raises(UpstreamUnavailable) as raised:
                response = await post(client, server)
                assert response.status == 400  # a greeting that came with the request passes for its answer
                raise UpstreamUnavailable
            assert not isinstance(raised.value, UpstreamTimeout)


async def test_a_request_on_a_connection_that_is_already_closing_fails_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = Http1Client._connect

    async def connect_and_lose(self: Http1Client, pool: http1._Pool) -> http1._Connection:
        connection = await connect(self, pool)
        connection.transport.abort()
        return connection

    monkeypatch.setattr(Http1Client, "_connect", connect_and_lose)
    async with serving(stall) as server, client_of() as client:
        with pytest.raises(UpstreamUnavailable) as raised:
            await post(client, server)
        assert not isinstance(raised.value, UpstreamTimeout)


async def test_cancelling_while_connecting_leaves_no_connection() -> None:
    async with serving(stall) as server, client_of() as client:
        for turns in range(8):
            task = asyncio.create_task(post(client, server))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await without_connections(client)


async def test_an_idle_connection_past_its_time_is_not_used() -> None:
    async with serving(speaking(answer(b"ok"), stays_open=True)) as server, client_of(idle_connection_s=0.0) as client:
        for _ in range(3):
            assert await read(await post(client, server)) == b"ok"
        assert len(server.wires) == 3


async def test_cancelling_the_caller_closes_the_connection() -> None:
    arrived = asyncio.Event()
    client_gone = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        if wire.number == 1:
            await wire.say(HEAD + b"Content-Length: 9\r\n\r\n")
        arrived.set()
        await wire.gone()
        client_gone.set()

    async with serving(script) as server, client_of() as client:
        for _ in ("waiting for the head", "waiting for the body"):

            async def call() -> None:
                await (await post(client, server)).next(10)

            task = asyncio.create_task(call())
            await arrived.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await client_gone.wait()
            assert not client.connections
            arrived.clear()
            client_gone.clear()


async def test_closing_the_client_ends_what_is_waiting() -> None:
    async with serving(stall_in_body) as server, client_of() as client:
        response = await post(client, server)
        assert await response.next(10) == b"ab"
        waiting = asyncio.create_task(response.next(10))
        await asyncio.sleep(0)
        await client.close()
        with pytest.raises(UpstreamUnavailable):
            await waiting
        assert not client.connections


async def test_more_body_than_the_reader_takes_is_an_error() -> None:
    async with serving(speaking(answer(b"abcde"), stays_open=True)) as server, client_of() as client:
        response = await post(client, server)
        with pytest.raises(UpstreamUnavailable):
            await response.read(4, 10)
        assert await (await post(client, server)).read(5, 10) == b"abcde"


async def test_a_reader_that_does_not_read_makes_the_provider_wait() -> None:
    piece, count = b"p" * 65_536, 512
    sent = 0

    async def script(wire: Wire) -> None:
        nonlocal sent
        raw = wire.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
        await wire.request()
        await wire.say(HEAD + b"Content-Length: %d\r\n\r\n" % (len(piece) * count))
        for _ in range(count):
            wire.writer.write(piece)
            await wire.writer.drain()
            sent += 1
        await wire.gone()

    async with serving(script) as server, client_of() as client:
        response = await post(client, server)
        before = -1
        while sent != before:  # until nothing moves any more
            before = sent
            for _ in range(300):
                await asyncio.sleep(0)
        assert sent < count
        assert len(await response.next(10)) < 1_000_000
        size = 0
        while data := await response.next(10):
            size += len(data)
        assert 0 < size < len(piece) * count
        assert sent == count


async def test_a_large_body_arrives_whole_at_a_provider_that_reads_slowly() -> None:
    parts = [bytes([number]) * 1_000_000 for number in range(8)]
    seen = hashlib.sha256()

    async def script(wire: Wire) -> None:
        await wire.head()
        left = 8_000_000
        while left:
            data = await wire.reader.read(50_000)
            await asyncio.sleep(0)
            seen.update(data)
            left -= len(data)
        await wire.say(answer(b"ok"))

    async with serving(script) as server, client_of() as client:
        response = await client.send(server.origin, b"POST", b"/", [], parts, first_byte_timeout_s=10)
        assert await read(response) == b"ok"
    assert seen.digest() == hashlib.sha256(b"".join(parts)).digest()


async def test_an_answer_before_the_whole_body_was_sent_is_read_and_ends_the_connection() -> None:
    client_gone = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.say(answer(b"too large", status=b"413 Content Too Large"))
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await may_read.wait()
        wire.writer.transport.resume_reading()  # type: ignore[attr-defined]
        await wire.gone()
        client_gone.set()

    may_read = asyncio.Event()
    async with serving(script) as server, client_of() as client:
        response = await post(client, server, b"x" * 32_000_000)
        assert (response.status, await read(response)) == (413, b"too large")
        may_read.set()
        await client_gone.wait()
        assert not client.connections


async def test_a_unix_socket_is_an_origin(tmp_path: Path) -> None:
    async with serving(speaking(answer(b"ok")), socket_path=str(tmp_path / "s")) as server, client_of() as client:
        assert await read(await post(client, server)) == b"ok"
