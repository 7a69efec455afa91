"""One pipelined connection to a Valkey or Redis: the client of the call path.

Above: the counter engine, which knows what its scripts mean. Below: libvalkey's parser and a transport of the event
loop. Unknown here: what is counted. Requests of one turn of the loop go out in one write; replies come in their order.
There is no timer per request: one sweep watches the oldest. A connection whose oldest request is late is given up with
all that waits on it, for nobody can know which of those requests were carried out. All failures are StoreUnavailable.
"""

import asyncio
import contextlib
import logging
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, cast

import libvalkey

from sekisho.errors import StoreUnavailable
from sekisho.store.counters.valkey_address import ValkeyAddress

log = logging.getLogger(__name__)

Reply = Any  # int, bytes, None, an error of the server, or a list of these

_SWEEP_S = 0.05
_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 1.0
_UNAVAILABLE = "The counters of budgets and limits cannot be reached right now. Try again."


class ServerError(Exception):
    """The server answered with an error. Its words are for the log only."""


class _Connection(asyncio.Protocol):
    """A transport and the requests that wait for a reply on it, oldest first."""

    __slots__ = ("_is_flushing", "_loop", "_out", "_reader", "closed", "on_lost", "transport", "waiting")

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._reader = libvalkey.Reader(protocolError=ServerError, replyError=ServerError)
        self._out: list[bytes] = []
        self._is_flushing = False
        self.waiting: deque[tuple[asyncio.Future[Reply], float]] = deque()
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self.on_lost: Callable[[_Connection], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are none by class

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not False:
                future, _ = self.waiting.popleft()
                if not future.done():
                    future.set_result(reply)
        except (ServerError, IndexError):  # not the protocol, or a reply that nobody asked for
            log.exception("the counter store does not speak its protocol")
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        for future, _ in self.waiting:
            if not future.done():
                future.set_exception(StoreUnavailable(_UNAVAILABLE))
        self.waiting.clear()
        if not self.closed.done():
            self.closed.set_result(None)
            if self.on_lost is not None:
                self.on_lost(self)

    def send(self, packed: bytes) -> asyncio.Future[Reply]:
        """The reply to come. Written at the end of this turn of the loop, together with what else it asks for.

        Raises StoreUnavailable when the connection is lost already."""
        if self.closed.done():
            raise StoreUnavailable(_UNAVAILABLE)
        future: asyncio.Future[Reply] = self._loop.create_future()
        self.waiting.append((future, self._loop.time()))
        self._out.append(packed)
        if not self._is_flushing:
            self._is_flushing = True
            self._loop.call_soon(self._flush)
        return future

    def oldest_s(self) -> float:
        """When the oldest request was sent that still waits; far in the future if none does."""
        return self.waiting[0][1] if self.waiting else float("inf")

    def _flush(self) -> None:
        self._is_flushing = False
        out, self._out = self._out, []
        if not self.transport.is_closing():
            self.transport.write(out[0] if len(out) == 1 else b"".join(out))


class ValkeyClient:
    """Keeps one connection open for as long as `run` runs. `greet` is awaited on each new one before others may use it.

    `timeout_s` bounds every wait: for a connection, and for a reply."""

    def __init__(
        self, address: ValkeyAddress, *, timeout_s: float, greet: Callable[["ValkeyClient"], Awaitable[None]]
    ) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._greet = greet
        self._connection: _Connection | None = None
        self._candidate: _Connection | None = None
        self._opened = asyncio.Event()
        self._down_since_s: float | None = None  # None: it was never up
        self._up_since_s = 0.0
        self.failure = "not connected yet"
        self.connections = 0

    @property
    def is_connected(self) -> bool:
        return self._connection is not None and not self._connection.closed.done()

    @property
    def connected_s(self) -> float:
        """For how long it has been connected; 0 while it is not."""
        return asyncio.get_running_loop().time() - self._up_since_s if self.is_connected else 0.0

    async def run(self) -> None:
        """Connect, and again whenever the connection is lost."""
        pause_s = _FIRST_PAUSE_S
        try:
            while True:
                try:
                    await self._serve()
                    pause_s = _FIRST_PAUSE_S
                except (OSError, ssl.SSLError, StoreUnavailable, ServerError, TimeoutError) as error:
                    self._say(str(error) or type(error).__name__)
                    await asyncio.sleep(pause_s)
                    pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the connection; whatever waits on it fails."""
        for connection in (self._connection, self._candidate):
            if connection is not None:
                self._give_up(connection)
        self._candidate = None

    def reconnect(self) -> None:
        """Give up the present connection and make a new one."""
        if self._connection is not None:
            self._give_up(self._connection)

    def _give_up(self, connection: _Connection) -> None:
        connection.transport.abort()
        connection.connection_lost(None)
        if connection is self._connection:
            self._down_since_s = asyncio.get_running_loop().time()
            self._connection = None
            self._opened.clear()

    async def ask(self, packed: bytes) -> Reply:
        """The reply to one request, as `libvalkey.pack_command` packs it.

        Raises StoreUnavailable, also without a connection; ServerError for what the server answers as an error."""
        if self._connection is None:
            raise StoreUnavailable(_UNAVAILABLE)
        reply = await self._connection.send(packed)
        if isinstance(reply, ServerError):
            raise reply
        return reply

    async def ask_first(self, packed: bytes) -> Reply:
        """As `ask`, for `greet` only: on the connection that is not open to others yet."""
        assert self._candidate is not None
        reply = await self._candidate.send(packed)
        if isinstance(reply, ServerError):
            raise reply
        return reply

    async def wait_connected(self) -> None:
        """Wait for a connection, until `timeout_s` after the last one was lost. Raises StoreUnavailable."""
        loop = asyncio.get_running_loop()
        since_s = loop.time() if self._down_since_s is None else self._down_since_s
        try:
            async with asyncio.timeout_at(max(since_s + self._timeout_s, loop.time())):
                while not self.is_connected:
                    await self._opened.wait()
        except TimeoutError:
            raise StoreUnavailable(_UNAVAILABLE) from None

    async def _serve(self) -> None:
        async with asyncio.timeout(self._timeout_s):
            connection = self._candidate = await self._open()
        watching = asyncio.ensure_future(self._watch(connection))
        connection.on_lost = self._give_up
        try:
            await self._introduce()
            self._connection, self._candidate = connection, None
            self._up_since_s = asyncio.get_running_loop().time()
            self.connections += 1
            if self.failure and self.connections > 1:
                log.warning("the counter store at %s answers again", self._address.shown)
            self.failure = ""
            self._opened.set()
            await connection.closed
            raise StoreUnavailable("the connection was lost")
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
            self.close()

    async def _open(self) -> _Connection:
        loop = asyncio.get_running_loop()
        address = self._address
        if address.path:
            return (await loop.create_unix_connection(_Connection, address.path))[1]
        return (await loop.create_connection(_Connection, address.host, address.port, ssl=address.tls_context()))[1]

    async def _introduce(self) -> None:
        address = self._address
        if address.password:
            who = (address.user, address.password) if address.user else (address.password,)
            await self.ask_first(libvalkey.pack_command(("AUTH", *who)))
        if address.database:
            await self.ask_first(libvalkey.pack_command(("SELECT", address.database)))
        await self._greet(self)

    async def _watch(self, connection: _Connection) -> None:
        """Give the connection up once its oldest request has waited too long."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_SWEEP_S)
            if loop.time() - connection.oldest_s() > self._timeout_s:
                self._say("no answer in time")
                self._give_up(connection)

    def _say(self, failure: str) -> None:
        """Log a failure once, not at each new try."""
        if self._down_since_s is None:
            self._down_since_s = asyncio.get_running_loop().time()
        if failure != self.failure:
            log.error("the counter store at %s cannot be used: %s", self._address.shown, failure)
        self.failure = failure


async def find_failure(address: ValkeyAddress, timeout_s: float) -> str:
    """Why a server cannot be used now; empty when it answers."""
    client = ValkeyClient(address, timeout_s=timeout_s, greet=_ping)
    running = asyncio.ensure_future(client.run())
    try:
        await client.wait_connected()
        return ""
    except StoreUnavailable:
        return client.failure or "no answer in time"
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def _ping(client: ValkeyClient) -> None:
    await client.ask_first(libvalkey.pack_command(("PING",)))
