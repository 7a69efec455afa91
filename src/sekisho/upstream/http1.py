"""HTTP/1.1 to model providers: the client of the call path.

Above: the upstream clients, which know what they send and what an answer means. Below: httptools (llhttp) and the
transports of the event loop (uvloop or plain asyncio). Unknown here: providers, JSON, redirects, cookies, compression.

A small request is one write; a head and a body that arrive together wake the caller once. No timer per request or
event: one sweep over all connections enforces their deadlines, at most `sweep_s` late. All failures are
UpstreamUnavailable or UpstreamTimeout. The number of connections has no limit here: whoever admits calls limits them.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Sequence
from typing import Any, cast

from httptools import HttpParserError, HttpResponseParser

from sekisho.errors import UpstreamTimeout, UpstreamUnavailable
from sekisho.upstream.origin import Origin, parse_origin
from sekisho.upstream.proxy import Proxy

__all__ = ["Http1Client", "Http1Response", "Origin", "Prepared", "parse_origin", "tls_context"]

_OVERHEAD_LIMIT_BYTES = 65_536  # a head, or trailers and chunk extensions between two pieces of body
_BUFFER_LIMIT_BYTES = 131_072  # more unread body than this, and the provider has to wait
_ONE_WRITE_BYTES = 65_536  # below this, copying a body behind its head is cheaper than a vector of writes
_KEEP_ALIVE_RACE_S = 2.0  # the closing of an idle connection crosses our request within a round trip
_TCP_KEEP_ALIVE_S = 60  # NAT gateways forget flows that are silent for 350 s; a model may think for longer
_CLOSING_TURNS = 100  # the loop closes an aborted socket in one of its next turns
_NEVER = float("inf")
Body = bytes | Sequence[bytes | memoryview]


def tls_context(ca_file: str | None = None) -> ssl.SSLContext:
    """Verify servers by the certificates in `ca_file` (PEM); without one by SSL_CERT_FILE or the system's."""
    context = ssl.create_default_context(cafile=ca_file or None)
    context.set_alpn_protocols(["http/1.1"])
    return context


class Http1Response:
    """One answer: its head at once, its body as it arrives. For one reader at a time.

    `headers` has lower-case names, repeated ones joined by ", "; `raw_headers` has them as they came. Close it in every
    case: a connection whose answer has not ended stays open until then."""

    __slots__ = (
        "_buffered_bytes",
        "_chunks",
        "_connection",
        "_deadline_s",
        "_error",
        "_is_complete",
        "_waiter",
        "headers",
        "raw_headers",
        "status",
    )

    def __init__(self, connection: "_Connection") -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.raw_headers: list[tuple[bytes, bytes]] = []
        self._connection: _Connection | None = connection  # None once the answer has ended
        self._chunks: list[bytes] = []
        self._buffered_bytes = 0
        self._deadline_s = _NEVER
        self._waiter: asyncio.Future[None] | None = None
        self._is_complete = False
        self._error: UpstreamUnavailable | None = None

    async def next(self, timeout_s: float) -> bytes:
        """All body bytes that arrived and were not read yet, waiting for some; b"" at the end of the body.

        Raises UpstreamTimeout when nothing arrives in time, UpstreamUnavailable when the answer breaks off; what
        arrived before a failure is given first. Cancelling closes the answer."""
        if not self._chunks and self._error is None and not self._is_complete:  # waits here: each coroutine costs
            loop = asyncio.get_running_loop()
            self._deadline_s = loop.time() + timeout_s
            waiter = self._waiter = loop.create_future()
            try:
                await waiter
            except asyncio.CancelledError:
                self.close()
                raise
            finally:
                self._deadline_s = _NEVER
                self._waiter = None
        if not self._chunks:
            await self._arrival(asyncio.get_running_loop().time() + timeout_s)
        return self._take()

    async def read(self, limit_bytes: int, timeout_s: float) -> bytes:
        """The rest of the body, all of it within `timeout_s`.

        Raises as `next`, and UpstreamUnavailable for more than `limit_bytes`."""
        deadline_s = asyncio.get_running_loop().time() + timeout_s
        pieces: list[bytes] = []
        size_bytes = 0
        while True:
            if not self._chunks:
                await self._arrival(deadline_s)
            piece = self._take()
            if not piece:
                return pieces[0] if len(pieces) == 1 else b"".join(pieces)
            pieces.append(piece)
            size_bytes += len(piece)
            if size_bytes > limit_bytes:
                self.close()
                raise UpstreamUnavailable("The model provider's answer is larger than this gateway takes.")

    def close(self) -> None:
        """Give up what has not been read. An answer that has not ended takes its connection with it. Idempotent."""
        if self._connection is not None:
            self._connection.fail(UpstreamUnavailable("The answer was closed before its end."))
        self._chunks = []
        self._buffered_bytes = 0

    async def _head(self, deadline_s: float) -> None:
        while not self.status:
            if self._error is not None:
                raise self._error
            await self._wait(deadline_s)

    async def _arrival(self, deadline_s: float) -> None:
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self._is_complete:
                return
            await self._wait(deadline_s)

    def _take(self) -> bytes:
        chunks = self._chunks
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self._chunks = []
        self._buffered_bytes = 0
        if self._connection is not None:
            self._connection.resume_reading()
        return data

    async def _wait(self, deadline_s: float) -> None:
        """Sleep until something happened to this answer; the client's sweep watches the deadline."""
        self._deadline_s = deadline_s
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            self._deadline_s = _NEVER
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _end(self, error: UpstreamUnavailable | None) -> None:
        self._connection = None
        self._error = error
        self._is_complete = error is None
        self._wake()


class _Pool:
    """The idle connections to one origin, the one used last at the end, and what every head to it says."""

    __slots__ = ("host_line", "idle", "origin", "proxy", "proxy_line", "target_prefix")

    def __init__(self, origin: Origin, proxy: Proxy | None) -> None:
        authority = origin.authority.encode("ascii")
        self.origin = origin
        self.proxy = proxy
        self.idle: dict[_Connection, None] = {}
        self.host_line = b"Host: %b" % authority
        is_absolute = proxy is not None and origin.scheme == "http"
        self.target_prefix = b"http://" + authority if is_absolute else b""
        self.proxy_line = proxy.authorization_line if proxy is not None and is_absolute else b""


class _Connection(asyncio.Protocol):
    """One connection and the answer it is receiving while `is_busy`. The parser calls the on_ methods of the answer."""

    __slots__ = (
        "_asked_at_s",
        "_client",
        "_fault",
        "_has_answered",
        "_is_head_request",
        "_is_paused",
        "_is_reusable",
        "_lines",
        "_overhead_bytes",
        "_parser",
        "_was_used",
        "answer",
        "ends_answer",
        "idle_since_s",
        "is_busy",
        "is_given_up",
        "pool",
        "transport",
    )

    answer: Http1Response
    transport: asyncio.Transport

    def __init__(self, client: "Http1Client", pool: _Pool) -> None:
        self.pool = pool
        self.is_busy = False
        self.is_given_up = False
        self.idle_since_s = 0.0
        self._client = client
        self._parser = HttpResponseParser(self)
        self._was_used = False
        self._is_paused = False
        self._is_reusable = False
        self._lines: list[tuple[bytes, bytes]] = []

    def ask(self, head: bytes, body: Body, size_bytes: int, now_s: float, is_head_request: bool) -> None:
        """Write one request and expect its answer.

        All of it goes to the transport at once: the body is in memory anyway, the transport sends it as the provider
        takes it, and an early answer (413 before the whole body was sent) is read meanwhile."""
        self.answer = Http1Response(self)
        self.is_busy = True
        self._asked_at_s = now_s
        self._is_head_request = is_head_request
        self._has_answered = False
        self.ends_answer = False
        self._fault = ""
        self._lines = []
        self._overhead_bytes = 0
        if self.transport.is_closing():  # the provider hung up before it was asked: no event will tell of it again
            self._end(UpstreamUnavailable("The model provider closed the connection."))
        elif size_bytes > _ONE_WRITE_BYTES:
            self.transport.writelines([head, body] if isinstance(body, bytes) else [head, *body])
        else:
            self.transport.write(head + body if isinstance(body, bytes) else b"".join((head, *body)))

    def lost_a_race(self, now_s: float) -> bool:
        """Whether the provider closed this idle connection just when the request was on its way.

        Later than a round trip it may have been at work on the call, which must not be done, and billed, twice."""
        return self._was_used and not self._has_answered and now_s - self._asked_at_s < _KEEP_ALIVE_RACE_S

    def fail(self, error: UpstreamUnavailable) -> None:
        """Close the connection; its answer, if it is receiving one, ends with `error`."""
        self.transport.abort()
        self._end(error)

    def give_up(self) -> None:
        """Nobody waits any more for this connection to be made.

        uvloop may tell that it was made even after a cancellation, and then never tells that it was lost."""
        self.is_given_up = True
        if self in self._client.connections:
            self._client.connections.discard(self)
            self.transport.abort()

    def resume_reading(self) -> None:
        if self._is_paused:
            self._is_paused = False
            if not self.transport.is_closing():
                self.transport.resume_reading()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        if self.is_given_up:
            self.transport.abort()
        else:
            self._client.connections.add(self)

    def data_received(self, data: bytes) -> None:
        if not self.is_busy:  # nothing was asked: whatever this is, it must not become the answer to the next call
            self.fail(UpstreamUnavailable())
            return
        answer = self.answer
        self._has_answered = True
        self._overhead_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserError as cause:
            error = UpstreamUnavailable("The model provider's answer is not valid HTTP.")
            error.__cause__ = cause
            self.fail(error)
            return
        if self._overhead_bytes > _OVERHEAD_LIMIT_BYTES and not answer._is_complete:
            self._fault = "has too many headers"
        if self._fault:
            self.fail(UpstreamUnavailable(f"The model provider's answer {self._fault}."))
        elif answer._is_complete:
            self._finish()
        else:
            if answer._buffered_bytes > _BUFFER_LIMIT_BYTES and not self._is_paused:
                self._is_paused = True
                self.transport.pause_reading()
            if answer.status:
                answer._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._client.connections.discard(self)
        if exc is None and self.is_busy and self.ends_answer and self.answer.status:
            self._end(None)
        else:
            error = UpstreamUnavailable("The model provider ended the connection before its answer was complete.")
            error.__cause__ = exc
            self._end(error)

    def _finish(self) -> None:
        """The answer is complete: keep the connection if both sides may go on with it."""
        # a provider that answered without reading the whole request might take the rest of it for the next one
        is_written = self.transport.get_write_buffer_size() == 0
        self._end(None)
        if is_written and self._is_reusable and not self._is_head_request and not self.transport.is_closing():
            self.resume_reading()
            self._was_used = True
            self._client.give_back(self)
        else:
            self.transport.abort()

    def _end(self, error: UpstreamUnavailable | None) -> None:
        self._client.forget(self)
        if self.is_busy:
            self.is_busy = False
            self.answer._end(error)

    def on_message_begin(self) -> None:
        if self.answer._is_complete:
            self._fault = "has more bytes than it announced"

    def on_header(self, name: bytes, value: bytes) -> None:
        self._lines.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        answer = self.answer
        status = self._parser.get_status_code()
        if status < 200:
            self._lines.clear()
            if status < 100 or status == 101:
                self._fault = "switches to a protocol that was not asked for"
            return
        if self._overhead_bytes > _OVERHEAD_LIMIT_BYTES and sum([len(a) + len(b) for a, b in self._lines]) > (
            _OVERHEAD_LIMIT_BYTES
        ):
            self._fault = "has too many headers"
            return
        headers = answer.headers = {name.lower(): value for name, value in self._lines}
        if len(headers) < len(self._lines):
            headers = answer.headers = _joined(self._lines)
        answer.raw_headers, self._lines = (
            self._lines,
            [],
        )  # what still comes is a trailer: no provider says a thing there
        coding = headers.get(b"transfer-encoding")
        if coding is None:
            self.ends_answer = b"content-length" not in headers
        elif coding.lower() != b"chunked":
            self._fault = "has a transfer coding that was not asked for"
        answer.status = status
        answer._is_complete = self._is_head_request

    def on_body(self, body: bytes) -> None:
        answer = self.answer
        self._overhead_bytes = 0
        answer._chunks.append(body)
        answer._buffered_bytes += len(body)

    def on_message_complete(self) -> None:
        if self.answer.status:  # else it was an interim answer: 100, 102, 103
            self.answer._is_complete = True
            self._is_reusable = self._parser.should_keep_alive()


class Http1Client:
    """Connections to any number of origins, kept and reused. Belongs to the event loop that first uses it.

    `tls`: for https, default `tls_context()`. `proxy_url`, `no_proxy`: see `proxy.Proxy`; https is tunnelled (CONNECT),
    plain http goes to the proxy in absolute form. Raises ValueError for a proxy it cannot use."""

    def __init__(
        self,
        *,
        connect_timeout_s: float = 5.0,
        idle_connection_s: float = 55.0,
        sweep_s: float = 0.25,
        tls: ssl.SSLContext | None = None,
        proxy_url: str | None = None,
        no_proxy: str = "",
    ) -> None:
        self.connections: set[_Connection] = set()
        self._connect_timeout_s = connect_timeout_s
        self._idle_connection_s = idle_connection_s
        self._sweep_s = sweep_s
        self._tls = tls
        self._proxy = Proxy(proxy_url, no_proxy) if proxy_url else None
        self._pools: dict[Origin, _Pool] = {}
        self._busy: set[_Connection] = set()
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._idle_timer: asyncio.TimerHandle | None = None

    async def send(
        self,
        origin: Origin,
        method: bytes,
        target: bytes,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes | Sequence[bytes | memoryview] = b"",
        *,
        first_byte_timeout_s: float,
    ) -> Http1Response:
        """Send one request and return its answer as soon as its head is there.

        Adds Host (unless given) and Content-Length, nothing else. `first_byte_timeout_s` runs from the first byte sent
        to the end of the head. Sends once more only what crossed the closing of an idle connection. Raises
        UpstreamUnavailable, UpstreamTimeout; ValueError for a head that is not exactly one request."""
        pool = self._pools.get(origin) or self._new_pool(origin)
        size_bytes = len(body) if isinstance(body, bytes) else sum(map(len, body))
        head = _render_head(pool, method, target, headers, size_bytes)
        return await self._send(pool, head, body, size_bytes, first_byte_timeout_s, method == b"HEAD")

    def prepare(self, origin: Origin, target: bytes, headers: Sequence[tuple[bytes, bytes]]) -> "Prepared":
        """The part of a POST's head that is the same for many. Raises ValueError as `send`."""
        pool = self._pools.get(origin) or self._new_pool(origin)
        head = _render_head(pool, b"POST", target, headers, 0)
        return Prepared(pool, head.removesuffix(b"Content-Length: 0\r\n\r\n"))

    def send_prepared(
        self, prepared: "Prepared", lines: bytes, line_count: int, body: Body, *, first_byte_timeout_s: float
    ) -> Awaitable[Http1Response]:
        """As `send`. `lines`: so many whole header lines that are others for each request."""
        size_bytes = len(body) if isinstance(body, bytes) else sum(map(len, body))
        head = b"%b%bContent-Length: %d\r\n\r\n" % (prepared.start, lines, size_bytes)
        if lines.count(b"\n") != line_count or lines.count(b"\r") != line_count or b"\0" in lines:
            raise ValueError("a request head has one line per header")
        return self._send(prepared.pool, head, body, size_bytes, first_byte_timeout_s)

    async def _send(
        self,
        pool: _Pool,
        head: bytes,
        body: Body,
        size_bytes: int,
        first_byte_timeout_s: float,
        is_head_request: bool = False,
    ) -> Http1Response:
        loop = asyncio.get_running_loop()
        connection = self._take_idle(pool, loop.time()) if pool.idle else None
        while True:
            is_new = connection is None
            if connection is None:
                connection = await self._connect(pool)
            now_s = loop.time()
            self._busy.add(connection)
            connection.ask(head, body, size_bytes, now_s, is_head_request)
            answer = connection.answer
            if self._sweep_timer is None:
                self._sweep_timer = loop.call_later(self._sweep_s, self._sweep)
            try:
                await answer._head(now_s + first_byte_timeout_s)
            except UpstreamTimeout as error:
                error.may_be_billed = True
                raise
            except UpstreamUnavailable as error:
                if is_new or not connection.lost_a_race(loop.time()):
                    error.may_be_billed = loop.time() - now_s >= _KEEP_ALIVE_RACE_S
                    raise
                connection = None
            else:
                return answer

    async def close(self) -> None:
        """Close every connection; answers that have not ended fail. Returns when the sockets are closed."""
        for timer in (self._sweep_timer, self._idle_timer):
            if timer is not None:
                timer.cancel()
        self._sweep_timer = self._idle_timer = None
        for connection in list(self.connections):
            connection.fail(UpstreamUnavailable("The gateway is shutting down."))
        for _ in range(_CLOSING_TURNS):
            if not self.connections:
                return
            await asyncio.sleep(0)

    def give_back(self, connection: _Connection) -> None:
        """Keep a connection whose answer is complete for the next request."""
        loop = asyncio.get_running_loop()
        connection.idle_since_s = loop.time()
        connection.pool.idle[connection] = None
        if self._idle_timer is None:
            self._idle_timer = loop.call_later(self._idle_connection_s, self._close_idle)

    def forget(self, connection: _Connection) -> None:
        """The connection no longer receives an answer, and is not (or no longer) idle."""
        self._busy.discard(connection)
        connection.pool.idle.pop(connection, None)

    def _new_pool(self, origin: Origin) -> _Pool:
        proxy = self._proxy if self._proxy is not None and self._proxy.serves(origin) else None
        pool = self._pools[origin] = _Pool(origin, proxy)
        return pool

    def _take_idle(self, pool: _Pool, now_s: float) -> _Connection | None:
        while pool.idle:
            connection, _ = pool.idle.popitem()
            if not connection.transport.is_closing() and now_s - connection.idle_since_s < self._idle_connection_s:
                return connection
            connection.transport.abort()
        return None

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        for connection in [c for c in self._busy if c.answer._deadline_s <= now_s]:
            connection.fail(UpstreamTimeout())
        self._sweep_timer = loop.call_later(self._sweep_s, self._sweep) if self._busy else None

    def _close_idle(self) -> None:
        loop = asyncio.get_running_loop()
        expired_s = loop.time() - self._idle_connection_s
        for pool in self._pools.values():
            for connection in [c for c in pool.idle if c.idle_since_s <= expired_s]:
                connection.fail(UpstreamUnavailable())
        are_left = any(pool.idle for pool in self._pools.values())
        self._idle_timer = loop.call_later(self._idle_connection_s, self._close_idle) if are_left else None

    async def _connect(self, pool: _Pool) -> _Connection:
        if pool.origin.scheme == "https" and self._tls is None:
            self._tls = tls_context()  # reads hundreds of certificates, once; not the provider's time
        connection = _Connection(self, pool)
        is_open = False
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                await self._open(connection, pool)
            is_open = True
        except TimeoutError as error:
            raise UpstreamTimeout("There was no connection to the model provider in time.") from error
        except (OSError, UnicodeError) as error:  # refused, reset, TLS failure, unknown name; a name that is none
            raise UpstreamUnavailable("There is no connection to the model provider.") from error
        finally:
            if not is_open:
                connection.give_up()
        return connection

    async def _open(self, connection: _Connection, pool: _Pool) -> None:
        loop = asyncio.get_running_loop()
        scheme, host, port = pool.origin
        if scheme == "unix":
            await loop.create_unix_connection(lambda: connection, host)
            return
        tls: dict[str, Any] = {"ssl": self._tls, "server_hostname": host} if scheme == "https" else {}
        if pool.proxy is None:
            await loop.create_connection(lambda: connection, host, port, **tls)
        elif scheme == "http":
            await loop.create_connection(lambda: connection, pool.proxy.host, pool.proxy.port)
        else:
            tunnel = await pool.proxy.open_tunnel(pool.origin)
            transport = await loop.start_tls(tunnel, connection, tls["ssl"], server_hostname=host)
            connection.connection_made(cast(asyncio.Transport, transport))
        _keep_alive(connection.transport.get_extra_info("socket"))


class Prepared:
    """The head of a request up to the lines that are another for each, and where it goes."""

    __slots__ = ("pool", "start")

    def __init__(self, pool: _Pool, start: bytes) -> None:
        self.pool = pool
        self.start = start


def _joined(lines: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The values by lower-case name, those of one name joined."""
    headers: dict[bytes, bytes] = {}
    for raw_name, value in lines:
        name = raw_name.lower()
        headers[name] = headers[name] + b", " + value if name in headers else value
    return headers


def _render_head(
    pool: _Pool, method: bytes, target: bytes, headers: Sequence[tuple[bytes, bytes]], size_bytes: int
) -> bytes:
    lines = [b"%b: %b" % header for header in headers]
    names = b"\n" + b"\n".join(lines).lower()
    if b"\ncontent-length:" in names or b"\ntransfer-encoding:" in names:
        raise ValueError("the length of a body is not the caller's to say")
    if b"\nhost:" not in names:
        lines.append(pool.host_line)
    if pool.proxy_line:
        lines.append(pool.proxy_line)
    if size_bytes or method in (b"POST", b"PUT", b"PATCH"):
        lines.append(b"Content-Length: %d" % size_bytes)
    lines.append(b"\r\n")
    head = b"%b %b%b HTTP/1.1\r\n" % (method, pool.target_prefix, target) + b"\r\n".join(lines)
    line_count = len(lines) + 1
    if head.count(b"\n") != line_count or head.count(b"\r") != line_count or b" " in target or b"\0" in head:
        raise ValueError("a request head has one line per header and no blank in its target")
    return head


def _keep_alive(raw_socket: socket.socket) -> None:
    """Let the kernel prove every minute that the other side is there, so that a silent answer is not cut off."""
    raw_socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):  # Linux; elsewhere the system's interval holds
        raw_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _TCP_KEEP_ALIVE_S)
        raw_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _TCP_KEEP_ALIVE_S // 4)
