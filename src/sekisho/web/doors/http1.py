"""HTTP/1.1 of the doors: one client's connection, and its requests.

Above: the application, which is never cancelled because its client left: `receive` says so, `send` falls silent. It may
use an exchange as ASGI (`scope`, `receive`, `send`), or take the body and give the answer in one piece each, which is
cheaper (`whole_body`, `answer`). Below: httptools (llhttp) and a transport of the event loop. uvicorn's server accepts
the connections and stops them in order; its own protocol takes 1.5 times the CPU and bounds neither a request's head
nor a client that does not read.

No timer per request: `sweep`, called about once a second for every connection, enforces the times below.
"""

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, cast

import httptools
from uvicorn.server import ServerState

from sekisho.web.doors import large_body
from sekisho.web.doors.asgi import HeaderList, Message, Receive, Scope, Send
from sekisho.web.doors.heads import Head, KnownHead, keep_head
from sekisho.web.doors.large_body import LargeBody
from sekisho.web.doors.proxies import Proxies

log = logging.getLogger(__name__)

App = Callable[["Exchange"], Awaitable[None]]

HEAD_BYTES = 64 * 1024
HEAD_TIMEOUT_S = 20.0
KEEP_ALIVE_S = 75.0  # longer than clients and load balancers keep theirs, so that they close first
_UNASKED_BYTES = 64 * 1024  # of a body that the application has not asked for
_PIECE_BYTES = 1024 * 1024  # a body is handed over whole up to this size: each piece wakes the application
_ONE_WRITE_BYTES = 64 * 1024
_NEVER = float("inf")
_DISCONNECT: Message = {"type": "http.disconnect"}
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_BAD_REQUEST = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n%b"
)
_NO_HTTP = "Invalid HTTP request received."
_HEAD_TOO_LARGE = "The request head is too large."
_NO_UPGRADE = "A request with a body cannot offer another protocol: speak HTTP/1.1 without Upgrade."
_BODY_HEADERS = frozenset({b"content-length", b"transfer-encoding"})
_FAILED = (
    b"HTTP/1.1 500 Internal Server Error\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"content-length: 21\r\nconnection: close\r\n\r\nInternal Server Error"
)
_STATUS_LINES = {status.value: b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode()) for status in HTTPStatus}
_OK = _STATUS_LINES[200]
_ASGI = {"version": "3.0", "spec_version": "2.3"}
_MOST_STRANGE_HEADS = 8  # of one connection, until none of its heads is looked for among the known
_BODILESS = frozenset({204, 304})


def asgi(app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> App:
    """An ASGI application as one of ours."""
    return lambda exchange: app(exchange.scope, exchange.receive, exchange.send)


class Exchange:
    """One request and its answer."""

    __slots__ = (
        "_body_size",
        "_connection",
        "_head",
        "_is_chunked",
        "_is_delivered",
        "_is_head_request",
        "_is_http_1_0",
        "_left",
        "_parts",
        "_waiter",
        "expects_continue",
        "has_left",
        "head",
        "is_answered",
        "is_kept_alive",
        "is_read",
        "is_started",
        "task",
    )

    def __init__(self, connection: "DoorProtocol", head: Head, is_kept_alive: bool) -> None:
        self._connection = connection
        self._parts: list[bytes] = []
        self._body_size = 0
        self._waiter: asyncio.Future[None] | None = None
        self._is_delivered = False
        self._is_chunked = False
        self._is_head_request = head.method == "HEAD"
        self._is_http_1_0 = head.http_version == "1.0"
        self._left: int | None = None  # bytes that are still to come of the announced length
        self._head = b""  # held back to be written with the body
        self.head = head
        self.expects_continue = False
        self.has_left = False
        self.is_answered = False
        self.is_kept_alive = is_kept_alive
        self.is_read = False
        self.is_started = False
        self.task: asyncio.Task[None] | None = None

    @property
    def scope(self) -> Scope:
        """The request as ASGI describes it."""
        head, connection = self.head, self._connection
        address, scheme = self._origin
        return {
            "type": "http",
            "asgi": _ASGI,
            "http_version": head.http_version,
            "method": head.method,
            "scheme": scheme,
            "path": head.path,
            "raw_path": head.raw_path,
            "query_string": head.query,
            "root_path": "",
            "headers": head.headers,
            "client": (address, 0),
            "server": connection.server,
        }

    @property
    def client_address(self) -> str:
        """Where the request comes from: the other end of the connection, or whom a trusted proxy names."""
        return self._origin[0]

    @property
    def _origin(self) -> tuple[str, str]:
        connection = self._connection
        peer = str(connection.client[0]) if connection.client else ""
        return connection.proxies.origin(peer, connection.scheme, self.head.headers)

    @property
    def is_waited_for(self) -> bool:
        """Whether the application is waiting for more of the body, or for the client to leave."""
        return self._waiter is not None

    @property
    def unread_bytes(self) -> int:
        return self._body_size

    def take(self, body: bytes) -> None:
        """A piece of the request's body has come."""
        if self.is_answered:
            return
        self._parts.append(body)
        self._body_size += len(body)
        if self._body_size >= _PIECE_BYTES:
            self.wake()

    def give_back(self) -> list[bytes]:
        """The pieces that have come and were not asked for: they will come again with the whole."""
        parts, self._parts = self._parts, []
        self._body_size = 0
        return parts

    def wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def run(self, app: App) -> None:
        """Have the application answer; whatever it does, the connection is left in a known state."""
        connection = self._connection
        try:
            await app(self)
        except Exception:  # the edge: the client gets no word of it, the log gets the cause
            log.exception("Exception in ASGI application")
        finally:
            connection.forget(self)
            if not self.is_answered and not self.has_left:
                connection.break_off(self)

    def whole_body(self, most_bytes: int) -> bytes | None:
        """The request's body, if all of it is here and it is not too large; else None, and `receive` has it still."""
        if not self.is_read or self._is_delivered or self.has_left or self.expects_continue:
            return None
        if not 0 < self._body_size <= most_bytes:
            return None
        self._is_delivered = True
        parts = self._parts
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def answer(self, lines: bytes, body: bytes) -> bool:
        """Answer 200 with a whole body, in one write. False, and nothing has happened, where `send` must do it.

        `lines`: whole header lines, but for Content-Length and what the server adds."""
        connection = self._connection
        if connection.writable is not None or self.is_started or not self.is_kept_alive or self.expects_continue:
            return False
        self.is_started = self.is_answered = True
        if not self.has_left:
            head = b"%b%b%bcontent-length: %d\r\n\r\n" % (_OK, connection.date_line(), lines, len(body))
            if len(body) > _ONE_WRITE_BYTES:
                connection.transport.writelines([head, body])
            else:
                connection.transport.write(head + body)
            self.wake()
            connection.answered(self)
        return True

    def write(self, body: bytes) -> bool:
        """Write a part of a stream that is not its last. False, and nothing has happened, where `send` must do it."""
        connection = self._connection
        if connection.writable is not None or self.has_left or not self._is_chunked or self.is_answered:
            return False
        if body:
            connection.transport.write(b"%x\r\n%b\r\n" % (len(body), body))
        return True

    async def receive(self) -> Message:
        """The request's body in as few pieces as its size allows; after it, that the client left or has its answer."""
        connection = self._connection
        if self.expects_continue:
            self.expects_continue = False
            connection.transport.write(_CONTINUE)
        while not (self.has_left or self.is_answered):
            if not self._is_delivered and (self.is_read or self._body_size >= _PIECE_BYTES):
                parts = self._parts
                body = parts[0] if len(parts) == 1 else b"".join(parts)
                self._parts = []
                self._body_size = 0
                self._is_delivered = self.is_read
                return {"type": "http.request", "body": body, "more_body": not self.is_read}
            connection.resume_reading(self)
            self._waiter = connection.loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return _DISCONNECT

    async def send(self, message: Message) -> None:
        """Write a part of the answer; waits while the client does not read."""
        connection = self._connection
        if connection.writable is not None:
            await connection.writable.wait()
        if self.has_left:
            return
        if not self.is_started:
            self._start(message["status"], message.get("headers", ()))
            return
        if self.is_answered:
            raise RuntimeError("the answer is complete already")
        is_last = not message.get("more_body", False)
        self._write(self._framed(message.get("body", b""), is_last))
        if is_last:
            if self._left:
                raise RuntimeError("the answer is shorter than its content-length")
            self.is_answered = True
            self.wake()
            connection.answered(self)

    def _start(self, status: int, headers: HeaderList) -> None:
        lines = b"".join([b"%b: %b\r\n" % header for header in headers])
        if not lines.count(b"\n") == lines.count(b"\r") == len(headers):
            raise RuntimeError("a header must be one line")
        self.is_started = True
        says_close = False
        for name, value in headers:
            if name == b"content-length":
                self._left = int(value)
            elif name == b"connection":
                says_close = self._says_close(value)
        if self._is_head_request or status in _BODILESS:
            self._left = 0
        self._is_chunked = self._left is None and not self._is_http_1_0
        if self._is_chunked:
            lines += b"transfer-encoding: chunked\r\n"
        # else the end of the connection is the end of the body; and a body that waits for 100 may never be sent
        if (self._left is None and not self._is_chunked) or self.expects_continue:
            self.is_kept_alive = False
        if not self.is_kept_alive and not says_close:
            lines += b"connection: close\r\n"
        status_line = _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status
        self._head = b"%b%b%b\r\n" % (status_line, self._connection.date_line(), lines)
        if self._left is None:  # a stream: its head is news in itself
            self._write(b"")

    def _says_close(self, connection: bytes) -> bool:
        if connection.lower() != b"close":
            return False
        self.is_kept_alive = False
        return True

    def _framed(self, body: bytes, is_last: bool) -> bytes:
        if self._is_head_request:
            return b""
        if self._is_chunked:
            framed = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            return framed + b"0\r\n\r\n" if is_last else framed
        if self._left is not None:
            self._left -= len(body)
            if self._left < 0:
                raise RuntimeError("the answer is longer than its content-length")
        return body

    def _write(self, data: bytes) -> None:
        head, self._head = self._head, b""
        if head and len(data) > _ONE_WRITE_BYTES:
            self._connection.transport.writelines([head, data])
        elif head or data:
            self._connection.transport.write(head + data)


class DoorProtocol(asyncio.Protocol):
    """One connection. The parser calls the on_ methods; requests that come early wait for the answer before theirs.

    `send_timeout_s`: how long a client may leave an answer unread before its connection is closed. `proxies`: those
    whose word on the client's address is taken."""

    def __init__(self, app: App, state: ServerState, *, send_timeout_s: float, proxies: Proxies | None = None) -> None:
        self._app = app
        self.proxies = proxies or Proxies()
        self._state = state
        self._send_timeout_s = send_timeout_s
        self._parser = httptools.HttpRequestParser(self)
        self._current: Exchange | None = None  # being answered
        self._reading: Exchange | None = None  # whose body is arriving
        self._early: deque[Exchange] = deque()
        self._deadline_s = _NEVER
        self._unwritable_since_s = _NEVER
        self._is_paused = False
        self._is_stopping = False
        self._is_deaf = False  # nothing that still comes is read
        self._url = b""
        self._headers: HeaderList = []
        self._head_bytes = 0
        self._unparsed_bytes = 0  # of one head: the parser keeps an unfinished line to itself, however long it grows
        self._heads = 0
        self._is_in_head = False
        self._refusal = _NO_HTTP
        self._expects_continue = False
        self._known: KnownHead | None = None  # the head that came last, if it is one that may be recognised
        self._strange_heads = 0
        self._missing_bytes = 0  # of the body behind a recognised head
        self._dates: list[tuple[bytes, bytes]] = []
        self._date_line = b""
        self.writable: asyncio.Event | None = None  # while the client does not read: set when it does again
        self.loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport

    # the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        if (connection := transport.get_extra_info("socket")) is not None and connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # asyncio leaves it out for our listeners
        self._state.connections.add(cast(Any, self))
        self.client = transport.get_extra_info("peername")
        self.server = transport.get_extra_info("sockname")
        self.scheme = "https" if transport.get_extra_info("sslcontext") else "http"
        self._deadline_s = self.loop.time() + HEAD_TIMEOUT_S

    def connection_lost(self, exc: Exception | None) -> None:
        self._state.connections.discard(cast(Any, self))
        self._is_deaf = True
        for exchange in (self._current, *self._early):
            if exchange is not None:
                exchange.has_left = True
                exchange.wake()
        self._early.clear()
        self.resume_writing()

    def data_received(self, data: bytes) -> None:
        if self._is_deaf:
            return
        if self._missing_bytes:
            self._take_body(data)
            return
        is_between = self._current is None and self._reading is None and not self._is_in_head
        if is_between and self._known is not None:
            known = self._known.find(data)
            if known is not None:
                self._take_known(data, *known)
                return
        self._parse(data, is_between)

    def _parse(self, data: bytes, is_between: bool) -> None:
        """Let the parser read. `is_between`: no request is under way, so that a head begins here."""
        heads = self._heads
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._is_deaf = True  # asked for a protocol that is not spoken here: answered as HTTP, and closed
            last = self._early[-1] if self._early else self._current
            if last is not None:
                last.is_kept_alive = False
        except httptools.HttpParserError:
            self._refuse()
        else:
            if self._is_in_head and self._heads == heads:
                self._unparsed_bytes += len(data)
                if self._unparsed_bytes > HEAD_BYTES:
                    self._refusal = _HEAD_TOO_LARGE
                    self._refuse()
            elif is_between and self._heads == heads + 1 and self._strange_heads < _MOST_STRANGE_HEADS:
                self._strange_heads += 1
                if self._current is not None:
                    self._known = keep_head(data, self._current.head)

    def _take_known(self, data: bytes, head: Head, end: int, length: int) -> None:
        """Serve a request whose head was recognised. The parser never sees it: it stands between two requests."""
        self._strange_heads = 0
        exchange = self._reading = Exchange(self, head, not self._is_stopping)
        self._missing_bytes = length
        self._serve(exchange)
        if not length:
            self.on_message_complete()
        elif len(data) > end:
            self._take_body(data[end:])

    def _take_body(self, data: bytes) -> None:
        """Take in what the parser would have: the rest of a body whose length is known, and what follows it."""
        missing = self._missing_bytes
        if len(data) < missing:
            self._missing_bytes = missing - len(data)
            self.on_body(data)
            if self._reading is not None and self._reading.is_waited_for:
                self._read_into_place(self._reading)
            return
        self._missing_bytes = 0
        self.on_body(data if len(data) == missing else data[:missing])
        self.on_message_complete()
        if len(data) > missing:
            self.data_received(data[missing:])

    def pause_writing(self) -> None:
        self.writable = asyncio.Event()
        self._unwritable_since_s = self.loop.time()

    def resume_writing(self) -> None:
        self._unwritable_since_s = _NEVER
        if self.writable is not None:
            self.writable.set()
            self.writable = None

    # the server's side

    def shutdown(self) -> None:
        """Close once the answer under way is complete."""
        self._is_stopping = True
        if self._current is None:
            self.transport.close()
        else:
            self._current.is_kept_alive = False

    def sweep(self, now_s: float) -> None:
        """Close the connection if it has been silent, or has not been read from, for too long."""
        if now_s > self._deadline_s:
            self.transport.close()
        elif now_s - self._unwritable_since_s > self._send_timeout_s:
            self.transport.abort()

    # the parser's side

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers = []
        self._head_bytes = self._unparsed_bytes = 0
        self._heads += 1
        self._is_in_head = True
        self._expects_continue = False
        if self._current is None:
            self._deadline_s = self.loop.time() + HEAD_TIMEOUT_S

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + 4)
        if not self._is_in_head:
            return  # a trailer: it must not come to stand among the headers
        name = name.lower()
        if name == b"expect":
            self._expects_continue = value.lower() == b"100-continue"
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        parser = self._parser
        if parser.should_upgrade() and any(name in _BODY_HEADERS for name, _ in self._headers):
            self._refusal = _NO_UPGRADE  # the parser would take the body for the next request
            raise ValueError(_NO_UPGRADE)
        version = parser.get_http_version()
        raw_path, query = _split(self._url)
        raw_path.decode("ascii")
        head = Head(parser.get_method().decode("ascii"), raw_path, query, version, self._headers)
        is_kept_alive = version != "1.0" and parser.should_keep_alive() and not self._is_stopping
        exchange = self._reading = Exchange(self, head, is_kept_alive)
        exchange.expects_continue = self._expects_continue
        if self._current is None:
            self._serve(exchange)
        else:
            self._early.append(exchange)
            self._pause_reading()

    def on_body(self, body: bytes) -> None:
        exchange = self._reading
        if exchange is None:
            return
        exchange.take(body)
        if exchange.unread_bytes > _UNASKED_BYTES and not exchange.is_waited_for:
            self._pause_reading()

    def on_message_complete(self) -> None:
        exchange, self._reading = self._reading, None
        if exchange is not None:
            exchange.is_read = True
            exchange.wake()

    # the exchange's side

    def resume_reading(self, exchange: Exchange) -> None:
        """The exchange waits for what comes next."""
        if self._is_paused and not self._early and exchange is self._current:
            self._is_paused = False
            self._read_into_place(exchange)
            self.transport.resume_reading()

    def _read_into_place(self, exchange: Exchange) -> None:
        """Receive the rest of a large body, whose length is known and which is waited for, in its place."""
        missing = self._missing_bytes if exchange is self._reading else 0
        size = missing + exchange.unread_bytes
        if missing >= large_body.MIN_BYTES and size <= large_body.MAX_BYTES:
            self.transport.set_protocol(LargeBody(self, exchange.give_back(), size))

    def body_received(self, body: bytes) -> None:
        """All of a large body is here; from now on its connection is read by this protocol again."""
        self.transport.set_protocol(self)
        self._missing_bytes = 0
        self.on_body(body)
        self.on_message_complete()

    def answered(self, exchange: Exchange) -> None:
        """The exchange's answer is complete: close, answer the next request, or wait for it."""
        self._state.total_requests += 1
        self._current = None
        if not exchange.is_kept_alive:
            self._end(b"")
            return
        if self._early:
            following = self._early.popleft()
            following.is_kept_alive = following.is_kept_alive and not self._is_stopping
            self._serve(following)
        else:
            is_idle = exchange.is_read and not self._is_in_head
            self._deadline_s = self.loop.time() + (KEEP_ALIVE_S if is_idle else HEAD_TIMEOUT_S)
        if self._is_paused and not self._early:
            self._is_paused = False
            self.transport.resume_reading()

    def forget(self, exchange: Exchange) -> None:
        """The exchange's task ends."""
        self._state.tasks.discard(cast(Any, exchange.task))
        exchange.task = None

    def break_off(self, exchange: Exchange) -> None:
        """The application ended without a whole answer. What was begun must not look complete."""
        self._end(b"" if exchange.is_started else _FAILED)

    def date_line(self) -> bytes:
        """The headers that the server adds to every answer; it makes new ones once a second."""
        dates = self._state.default_headers
        if dates is not self._dates:
            self._dates = dates
            self._date_line = b"".join(b"%b: %b\r\n" % header for header in dates)
        return self._date_line

    def _serve(self, exchange: Exchange) -> None:
        self._current = exchange
        self._deadline_s = _NEVER
        task = exchange.task = self.loop.create_task(exchange.run(self._app))
        self._state.tasks.add(task)

    def _pause_reading(self) -> None:
        if not self._is_paused:
            self._is_paused = True
            self.transport.pause_reading()

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > HEAD_BYTES:
            self._refusal = _HEAD_TOO_LARGE
            raise ValueError(_HEAD_TOO_LARGE)

    def _refuse(self) -> None:
        """What came is not HTTP. A request whose body broke off there counts as one whose client left."""
        exchange = self._current
        if exchange is None:
            self._end(self._bad_request())
        elif exchange is self._reading:
            exchange.has_left = True
            exchange.wake()
            self._end(b"" if exchange.is_started else self._bad_request())
        else:
            self._is_deaf = True
            exchange.is_kept_alive = False

    def _bad_request(self) -> bytes:
        words = self._refusal.encode()
        return _BAD_REQUEST % (len(words), words)

    def _end(self, last_words: bytes) -> None:
        self._is_deaf = True
        self._current = None
        if last_words:
            self.transport.write(last_words)
        self.transport.close()


def _split(url: bytes) -> tuple[bytes, bytes]:
    """Path and query of a request target. Raises httptools.HttpParserInvalidURLError."""
    if url.startswith(b"/") and b"#" not in url:
        path, _, query = url.partition(b"?")
        return path, query
    parsed = httptools.parse_url(url)
    return parsed.path or b"/", parsed.query or b""
