"""Clients that misbehave on the wire: they are told so, cost nothing by it, and nobody else notices."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sekisho.calls.gate import Limits
from tests.acceptance.conftest import ALICE, BOB, CallPlane, Gateway
from tests.acceptance.test_upstream_faults import END, HEAD, Script, chunk, over
from tests.unit.dialects.wire import CONVERSE_EVENTS, compact, converse_frames, event_frame
from tests.unit.upstream.servers import Wire

SAY = [{"role": "user", "content": "Hello"}]
CONVERSE = {"messages": [{"role": "user", "content": [{"text": "Hello"}]}]}
ASKS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"model": "nova-pro", "stream": True, "messages": SAY},
    "/v1/responses": {"model": "nova-pro", "stream": True, "input": "Hello"},
    "/v1/messages": {"model": "nova-pro", "stream": True, "max_tokens": 100, "messages": SAY},
    "/model/nova-pro/converse-stream": CONVERSE,
}
ASK = compact({"model": "nova-pro", "max_tokens": 100, "messages": SAY})
KEY = b"Authorization: Bearer %b\r\n" % ALICE.encode()


def request(
    door: str = "/v1/messages", body: bytes = ASK, headers: bytes = KEY, version: bytes = b"1.1", length: int = -1
) -> bytes:
    size = len(body) if length < 0 else length
    return b"POST %b HTTP/%b\r\nHost: x\r\n%bContent-Length: %d\r\n\r\n%b" % (
        door.encode(),
        version,
        headers,
        size,
        body,
    )


class Connection:
    """A client's connection, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> tuple[int, dict[bytes, bytes], bytes]:
        """Status, headers and body of one answer."""
        async with asyncio.timeout(20):
            head = await self.reader.readuntil(b"\r\n\r\n")
            line, *fields = head[:-4].split(b"\r\n")
            headers = {name.lower(): value for name, _, value in (field.partition(b": ") for field in fields)}
            status = int(line.split()[1])
            if status == 100:
                return status, headers, b""
            if headers.get(b"transfer-encoding") == b"chunked":
                body = b""
                while size := int(await self.reader.readline(), 16):
                    body += (await self.reader.readexactly(size + 2))[:-2]
                await self.reader.readline()
                return status, headers, body
            if b"content-length" not in headers:
                return status, headers, await self.reader.read()
            return status, headers, await self.reader.readexactly(int(headers[b"content-length"]))

    async def read_past(self, words: bytes) -> int:
        """Read, however much it is, up to and with these words; the number of bytes."""
        size, tail = 0, b""
        while words not in tail:
            data = await self.reader.read(1 << 20)
            assert data, "the connection ended before"
            size += len(data)
            tail = tail[-len(words) :] + data
        return size

    async def is_closed(self) -> bool:
        """Wait until the gateway closes; whether it did so without a further word."""
        async with asyncio.timeout(20):
            try:
                return await self.reader.read() == b""
            except ConnectionError:
                return True


@asynccontextmanager
async def connected(plane: CallPlane) -> AsyncIterator[Connection]:
    connection = Connection(*await asyncio.open_connection("127.0.0.1", plane.port))
    try:
        yield connection
    finally:
        connection.writer.transport.abort()
        await asyncio.sleep(0)


async def ask(plane: CallPlane, data: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
    async with connected(plane) as connection:
        await connection.say(data)
        return await connection.answer()


class TestGone:
    """A client that leaves: what was opened is settled once, and the answer is read for its usage."""

    @pytest.fixture
    def pace_s(self) -> float:
        return 0.02

    @pytest.mark.parametrize("door", ASKS)
    @pytest.mark.parametrize("moment", ("before", "in", "after"))
    async def test_the_call_is_booked_by_its_usage(self, gateway: Gateway, door: str, moment: str) -> None:
        async with connected(gateway) as connection:
            await connection.say(request(door, compact(ASKS[door])))
            if moment == "before":
                while not gateway.journal.opened:
                    gateway.journal.news.clear()
                    await gateway.journal.news.wait()
            elif moment == "in":
                await connection.reader.readuntil(b"\r\n\r\n")
                await connection.reader.readexactly(50)
            else:
                await connection.answer()
            connection.writer.transport.abort()
            (settled,) = await gateway.journal.wait_settled()
            assert (settled.status, settled.is_metered) == ("ok", True)
            assert settled.client_left is (moment != "after")
            assert len(gateway.journal.opened) == 1

    async def test_before_a_whole_answer_it_is_booked_all_the_same(self, gateway: Gateway) -> None:
        async with connected(gateway) as connection:
            await connection.say(request())
            while not gateway.journal.opened:
                gateway.journal.news.clear()
                await gateway.journal.news.wait()
            connection.writer.transport.abort()
            (settled,) = await gateway.journal.wait_settled()
            assert (settled.status, settled.is_metered) == ("ok", True)


class TestImpatient:
    """A gate that waits a fraction of a second for everything."""

    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(drain_timeout_s=0.3, client_send_timeout_s=0.5)

    async def test_an_answer_without_an_end_is_not_read_for_ever_for_a_client_that_left(
        self, limits: Limits, tmp_path: Path
    ) -> None:
        async def script(wire: Wire) -> None:
            await wire.request()
            await wire.say(HEAD, chunk(converse_frames(CONVERSE_EVENTS[:5])))
            while not wire.writer.transport.is_closing():
                await wire.say(chunk(event_frame("contentBlockDelta", DELTA)))
                await asyncio.sleep(0.01)

        async with over(script, limits, tmp_path) as (plane, _):
            async with connected(plane) as connection:
                await connection.say(request(body=compact(ASKS["/v1/messages"])))
                await connection.reader.readuntil(b"content_block_delta")
                connection.writer.transport.abort()
                (settled,) = await plane.journal.wait_settled()
                assert (settled.status, settled.error, settled.is_metered) == ("interrupted", "client_gone", False)
                assert 0 < settled.cost_nanousd <= plane.journal.opened[0].reserved_nanousd

    async def test_a_client_that_takes_nothing_is_cut_off(self, limits: Limits, tmp_path: Path) -> None:
        async with over(long_answer(asyncio.Event()), limits, tmp_path) as (plane, _):
            async with connected(plane) as connection:
                await connection.say(request(body=compact(ASKS["/v1/messages"])))
                await connection.reader.readuntil(b"content_block_delta")
                connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
                (settled,) = await plane.journal.wait_settled()
                assert settled.client_left is True
                connection.writer.transport.resume_reading()  # type: ignore[attr-defined]
                assert await has_no_end(connection)


async def has_no_end(connection: Connection) -> bool:
    try:
        return b"message_stop" not in await connection.reader.read()
    except ConnectionError:
        return True


DELTA = compact({"contentBlockIndex": 1, "delta": {"text": "x" * 10_000}})
DELTAS = 4000


def long_answer(is_told: asyncio.Event) -> Script:
    """An upstream with 40 MB to say; `is_told` once it could say all of it."""

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.say(HEAD, chunk(converse_frames(CONVERSE_EVENTS[:5])))
        event = chunk(event_frame("contentBlockDelta", DELTA))
        for _ in range(DELTAS):
            wire.writer.write(event)
            await wire.writer.drain()
        await wire.say(chunk(converse_frames(CONVERSE_EVENTS[5:])), END)
        is_told.set()

    return script


async def test_a_client_that_stops_reading_slows_the_upstream_down(limits: Limits, tmp_path: Path) -> None:
    is_told = asyncio.Event()
    async with over(long_answer(is_told), limits, tmp_path) as (plane, server):
        async with connected(plane) as connection:
            await connection.say(request(body=compact(ASKS["/v1/messages"])))
            await connection.reader.readuntil(b"content_block_delta")
            connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
            for _ in range(5):  # others are served meanwhile
                assert (await ask(plane, b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"))[0] == 200
            await until_still(server.wires[0])
            assert not is_told.is_set() and plane.journal.settled == []
            connection.writer.transport.resume_reading()  # type: ignore[attr-defined]
            size = await connection.read_past(b"message_stop")
            assert size > DELTAS * 10_000 and is_told.is_set()


async def until_still(wire: Wire) -> None:
    """Wait until what this upstream could send has not grown for a while: then everybody waits for the client."""
    last, still = -1, 0
    async with asyncio.timeout(20):
        while still < 10:
            now = wire.writer.transport.get_write_buffer_size()
            last, still = now, still + 1 if now and now == last else 0
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("end", (b"\r\n\r\n", b""))
async def test_a_head_that_is_too_large_is_refused_before_its_end(gateway: Gateway, end: bytes) -> None:
    async with connected(gateway) as connection:
        await connection.say(b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-Long: ")
        with pytest.raises(ConnectionError):
            for _ in range(1000):
                await connection.say(b"y" * 10_000)
                await asyncio.sleep(0)
        assert (await ask(gateway, b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"))[0] == 200


async def test_many_headers_are_refused(gateway: Gateway) -> None:
    lines = b"".join(b"X-%d: 1234567890123456789012345678901234567890\r\n" % number for number in range(2000))
    status, headers, body = await ask(gateway, b"GET /health/live HTTP/1.1\r\n" + lines + b"\r\n")
    assert status == 400 and headers[b"connection"] == b"close" and b"Traceback" not in body


@pytest.mark.parametrize("size", (1000, 40_000, 60_000))
async def test_a_long_head_in_pieces_is_taken(gateway: Gateway, size: int) -> None:
    async with connected(gateway) as connection:
        head = b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-Long: " + b"y" * size + b"\r\n\r\n"
        for start in range(0, len(head), 5000):
            await connection.say(head[start : start + 5000])
            await asyncio.sleep(0)
        assert (await connection.answer())[0] == 200


@pytest.mark.parametrize(
    "start",
    (
        b"",
        b"\r\n",
        b"POST /v1/mess",
        b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nAuth",
        request(headers=b"", length=1000),  # refused, and the rest of its body never comes
        b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\nGET /he",
    ),
)
async def test_who_says_half_a_thing_and_no_more_is_cut_off(
    gateway: Gateway, start: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sekisho.web.doors.http1.HEAD_TIMEOUT_S", 0.2)
    monkeypatch.setattr("sekisho.web.doors.http1.KEEP_ALIVE_S", 0.2)
    async with connected(gateway) as connection:
        await connection.say(start)
        if b"\r\n\r\n" in start:
            await connection.answer()
            await connection.say(b"x")
        assert await connection.is_closed()
        assert gateway.journal.opened == []


SMUGGLED = request(body=ASK)


@pytest.mark.parametrize(
    ("first", "status"),
    [
        (request(body=SMUGGLED, headers=b""), 401),
        (request(body=SMUGGLED, headers=b"Authorization: Bearer sk-unknown\r\n"), 401),
        (request(body=SMUGGLED, headers=b"Authorization: Basic eDp5\r\n"), 401),
        (request(body=SMUGGLED, headers=KEY + b"Content-Encoding: gzip\r\n"), 400),
        (request(body=SMUGGLED, headers=KEY + KEY.replace(b"alice", b"other")), 400),
        (request(body=SMUGGLED), 400),
        (request("/v1/chat/nothing", body=SMUGGLED), 503),
        (request("/v1/messages/count_tokens", body=SMUGGLED, headers=b""), 401),
    ],
)
async def test_the_body_of_a_refused_request_is_never_taken_for_the_next_one(
    gateway: Gateway, first: bytes, status: int
) -> None:
    async with connected(gateway) as connection:
        await connection.say(first[:-10])
        await asyncio.sleep(0)
        await connection.say(first[-10:] + b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await connection.answer())[0] == status
        assert (await connection.answer())[2] == b'{"status":"live"}'
        assert gateway.journal.opened == []


AMBIGUOUS = {
    "two lengths": KEY + b"Content-Length: 5\r\n",
    "a length and chunks": KEY + b"Transfer-Encoding: chunked\r\n",
    "a length with a sign": KEY + b"X: y\r\nContent-Length: +5\r\n",
    "chunks twice": KEY + b"Transfer-Encoding: chunked, chunked\r\n",
    "an unknown coding": KEY + b"Transfer-Encoding: gzip\r\n",
    "a folded header": KEY + b"X: y\r\n z\r\n",
    "a blank before the colon": KEY + b"X : y\r\n",
    "a null byte in a key": b"Authorization: Bearer sk-\0alice\r\n",
    "a null byte in a name": KEY + b"X\0: y\r\n",
    "a bare line feed": KEY + b"X: y\n",
    "a bare carriage return": KEY + b"X: y\rz\r\n",
}


@pytest.mark.parametrize("headers", AMBIGUOUS.values(), ids=AMBIGUOUS)
async def test_a_request_that_could_be_read_in_two_ways_is_refused_and_its_connection_closed(
    gateway: Gateway, headers: bytes
) -> None:
    async with connected(gateway) as connection:
        await connection.say(request(headers=headers) + b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        status, said, body = await connection.answer()
        assert status == 400 and said[b"connection"] == b"close" and b"Traceback" not in body
        assert await connection.is_closed()
        assert gateway.journal.opened == []


async def test_a_length_that_is_too_short_makes_no_second_call(gateway: Gateway) -> None:
    async with connected(gateway) as connection:
        await connection.say(request(length=len(ASK) - 5))
        assert (await connection.answer())[0] == 400
        assert await connection.is_closed() and gateway.journal.opened == []


async def test_requests_sent_ahead_are_answered_in_order(gateway: Gateway) -> None:
    async with connected(gateway) as connection:
        bad = request(body=b"{}", headers=b"")
        await connection.say(request() + bad + request(body=compact(ASKS["/v1/messages"])) + bad + request())
        answers = [await connection.answer() for _ in range(5)]
        assert [status for status, _, _ in answers] == [200, 401, 200, 401, 200]
        assert b"message_stop" in answers[2][2] and len(gateway.journal.settled) == 3


async def test_a_chunked_body_is_taken_and_its_trailers_count_for_nothing(gateway: Gateway) -> None:
    start = b"POST /v1/messages HTTP/1.1\r\nHost: x\r\n%bTransfer-Encoding: chunked\r\n\r\n"
    pieces = b"".join(chunk(ASK[at : at + 20]) for at in range(0, len(ASK), 20))
    assert (await ask(gateway, start % KEY + pieces + b"0\r\n\r\n"))[0] == 200
    assert (await ask(gateway, start % KEY + pieces + b"0\r\nAuthorization: Bearer nobody\r\n\r\n"))[0] == 200
    assert (await ask(gateway, start % b"" + pieces + b"0\r\n" + KEY + b"\r\n"))[0] == 401
    assert (await ask(gateway, start % KEY + b"zz\r\n"))[0] == 400
    assert len(gateway.journal.opened) == 2


@pytest.mark.parametrize("is_stream", (False, True))
async def test_http_1_0_gets_a_body_that_ends_with_the_connection(gateway: Gateway, is_stream: bool) -> None:
    body = compact(ASKS["/v1/messages"]) if is_stream else ASK
    async with connected(gateway) as connection:
        await connection.say(request(body=body, version=b"1.0"))
        status, headers, text = await connection.answer()
        assert status == 200 and b"transfer-encoding" not in headers and headers[b"connection"] == b"close"
        assert text.startswith(b"event: message_start") if is_stream else json.loads(text)["stop_reason"]
        assert await connection.is_closed()


async def test_who_asks_whether_to_send_the_body_is_told_before_it(gateway: Gateway) -> None:
    async with connected(gateway) as connection:
        head, _, body = request(headers=KEY + b"Expect: 100-continue\r\n").partition(b"\r\n\r\n")
        await connection.say(head + b"\r\n\r\n")
        assert (await connection.answer())[0] == 100
        await connection.say(body)
        assert (await connection.answer())[0] == 200


async def test_who_is_refused_before_the_body_was_sent_gets_a_new_connection(gateway: Gateway) -> None:
    async with connected(gateway) as connection:
        head, _, _ = request(headers=b"Expect: 100-continue\r\n").partition(b"\r\n\r\n")
        await connection.say(head + b"\r\n\r\n")
        status, headers, _ = await connection.answer()
        assert status == 401 and headers[b"connection"] == b"close"
        assert await connection.is_closed()


UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"


async def test_the_offer_of_another_protocol_is_not_taken_up(gateway: Gateway) -> None:
    async with connected(gateway) as connection:
        await connection.say(b"GET /health/live HTTP/1.1\r\nHost: x\r\n" + UPGRADE + b"\r\n")
        status, headers, body = await connection.answer()
        assert (status, headers[b"connection"], body) == (200, b"close", b'{"status":"live"}')
        assert await connection.is_closed()


async def test_the_body_of_a_request_that_offers_another_protocol_is_not_taken_for_the_next_one(
    gateway: Gateway,
) -> None:
    async with connected(gateway) as connection:
        smuggling = request("/health/live", body=SMUGGLED, headers=UPGRADE)
        await connection.say(smuggling[: -len(SMUGGLED)])
        await asyncio.sleep(0)
        await connection.say(SMUGGLED)
        status, headers, body = await connection.answer()
        assert status == 400 and b"without Upgrade" in body and headers[b"connection"] == b"close"
        assert await connection.is_closed() and gateway.journal.opened == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (KEY + KEY, 200),
        (KEY + b"X-Api-Key: sk-unknown\r\n", 200),
        (b"X-Api-Key: %b\r\nAuthorization: Bearer sk-unknown\r\n" % ALICE.encode(), 401),
        (b"X-Api-Key: %b\r\nX-Api-Key: %b\r\n" % (ALICE.encode(), BOB.encode()), 400),
        (b"Authorization: Bearer %b\r\nAuthorization: Bearer sk-unknown\r\n" % ALICE.encode(), 400),
        ("Authorization: Bearer sk-ключ\r\n".encode(), 401),
        (b"Authorization: Bearer \xff\xfe\r\n", 401),
        (b"Authorization: Bearer " + b"k" * 600 + b"\r\n", 401),
        (b"Authorization: Bearer\r\n", 401),
        (b"Authorization:\r\n", 401),
        (b"AUTHORIZATION: bearer   %b  \r\n" % ALICE.encode(), 200),
    ],
)
async def test_one_key_is_read_and_never_two(gateway: Gateway, headers: bytes, status: int) -> None:
    got, _, body = await ask(gateway, request(headers=headers))
    assert got == status, body
    if status != 200:
        assert json.loads(body)["type"] == "error" and gateway.journal.opened == []
