"""A head that comes again is recognised, and nothing about the exchange is different for it."""

import asyncio
from typing import Any, cast
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st
from uvicorn.server import ServerState

from sekisho.web.doors import http1
from sekisho.web.doors.heads import Head, KnownHead, keep_head
from sekisho.web.doors.http1 import DoorProtocol, Exchange


class Wire:
    """A transport that keeps what is written; reading can be stopped, then what arrives waits."""

    def __init__(self) -> None:
        self.written = b""
        self.is_closed = False

    def get_extra_info(self, name: str) -> object:
        return ("192.0.2.1", 5000) if name == "peername" else None

    def write(self, data: bytes) -> None:
        self.written += data

    def writelines(self, parts: list[bytes]) -> None:
        self.written += b"".join(parts)

    def close(self) -> None:
        self.is_closed = True

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def echo(exchange: Exchange) -> None:
    """Answers with what it understood, in one piece or as ASGI."""
    head = exchange.head
    body = exchange.whole_body(1_000)
    how = b"whole" if body else b"parts"
    while body is None:
        message = await exchange.receive()
        body = message.get("body", b"left")
    said = repr((head.method, head.path, head.query, head.headers, head.by_name, head.clash, body)).encode()
    if how == b"parts" or not exchange.answer(b"x-how: one\r\n", said):
        start = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(said))]}
        await exchange.send(start)
        await exchange.send({"type": "http.response.body", "body": said})


async def exchanged(pieces: list[bytes]) -> tuple[bytes, bool, int]:
    """All answers to what arrives in these pieces, whether the connection was closed, how many were served."""
    wire, state = Wire(), ServerState()
    state.default_headers = []
    protocol = DoorProtocol(echo, state, send_timeout_s=5)
    protocol.connection_made(cast(Any, wire))
    for piece in pieces:
        if not wire.is_closed:
            protocol.data_received(piece)
        for _ in range(4):
            await asyncio.sleep(0)
    return wire.written.replace(b"x-how: one\r\n", b""), wire.is_closed, state.total_requests


def request(body: bytes, more: bytes, length: bytes | None) -> bytes:
    head = b"POST /v1/messages?x HTTP/1.1\r\nHost: h\r\nContent-Length: %b\r\n%bX-Api-Key: k\r\n\r\n"
    return head % (length or b"%d" % len(body), more) + body


MORE = st.sampled_from(
    [
        *(b"", b"", b"", b"Connection: keep-alive\r\n", b"Connection: close\r\n", b"X-Api-Key: other\r\n"),
        *(b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Expect: 100-continue\r\n", b"Bad Name: x\r\n"),
    ]
)
REQUESTS = st.lists(
    st.builds(
        request,
        st.binary(max_size=30) | st.just(b"POST / HTTP/1.1\r\n\r\n"),
        MORE,
        st.sampled_from([None] * 9 + [b"007", b"+3", b"3 ", b"", b"9" * 30]),
    ),
    min_size=2,
    max_size=5,
)


@given(REQUESTS, st.lists(st.integers(1, 120), max_size=12), st.booleans())
def test_what_is_exchanged_is_the_same_as_without_it(requests: list[bytes], sizes: list[int], by_request: bool) -> None:
    pieces, rest = list(requests), b"".join(requests)
    if not by_request:
        pieces = []
        for size in sizes:
            pieces.append(rest[:size])
            rest = rest[size:]
        pieces = [piece for piece in (*pieces, rest) if piece]
    with_known = asyncio.run(exchanged(pieces))
    with patch.object(http1, "_MOST_STRANGE_HEADS", 0):
        assert with_known == asyncio.run(exchanged(pieces))


HEAD = b"POST /v1/messages HTTP/1.1\r\nhost: h\r\ncontent-length: 12\r\nx-api-key: k\r\n\r\n"


def parsed(more: tuple[tuple[bytes, bytes], ...] = ()) -> Head:
    headers = [(b"host", b"h"), (b"content-length", b"12"), (b"x-api-key", b"k"), *more]
    return Head("POST", b"/v1/messages", b"", "1.1", headers)


def known(data: bytes = HEAD) -> KnownHead:
    found = keep_head(data, parsed())
    assert found is not None
    return found


def test_a_head_before_a_body_of_another_length_is_recognised() -> None:
    found = known().find(HEAD.replace(b"12", b"1234") + b"body")
    assert found is not None
    head, end, length = found
    assert (end, length) == (len(HEAD) + 2, 1234)
    assert head.by_name == {b"host": b"h", b"content-length": b"1234", b"x-api-key": b"k"}
    assert head.headers[1] == (b"content-length", b"1234")


def test_any_other_byte_makes_it_a_strange_head() -> None:
    for at in range(len(HEAD)):
        changed = HEAD[:at] + b"~" + HEAD[at + 1 :]
        assert known().find(changed) is None
    assert known().find(HEAD[:-1]) is None


def test_what_asks_for_another_framing_is_not_kept() -> None:
    assert keep_head(HEAD, parsed(((b"transfer-encoding", b"chunked"),))) is None
    assert keep_head(HEAD, parsed(((b"connection", b"close"),))) is None
    assert keep_head(HEAD, parsed(((b"content-length", b"12"),))) is None
    assert keep_head(HEAD[:-4], parsed()) is None
