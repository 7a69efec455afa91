"""Serve the doors on an open socket with uvicorn, bounded where uvicorn is not."""

import asyncio
import ctypes
import ctypes.util
import logging
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NoReturn

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sekisho.web.doors.app import DoorApp

log = logging.getLogger(__name__)
_MAX_HEAD_BYTES = 64 * 1024
_HEAD_TOO_LARGE = "The request head is too large."
_BODY_HEADERS = (b"content-length", b"transfer-encoding")
_HEAD_TIMEOUT_S = 20.0
_KEEP_ALIVE_S = 75  # longer than clients and load balancers keep theirs, so that they close first
_TICK_S = 1.0
_LAST_WORDS_S = 1.0
_MIB = 1024 * 1024


class _UntilClose(int):
    """The length of a body that ends with its connection, as HTTP/1.0 has it. uvicorn knows chunks, which HTTP/1.0 has
    not, and counts: this one is never used up and never missing."""

    def __lt__(self, other: int) -> bool:
        return False

    def __ne__(self, other: object) -> bool:
        return False

    def __sub__(self, other: int) -> "_UntilClose":
        return self


class BoundedProtocol(HttpToolsProtocol):
    """Cuts off a connection whose request head is too large or too slow, or that takes nothing of what is written to
    it; uvicorn sets no bound on any of these."""

    send_timeout_s = 120.0
    _heads = 0
    _head_bytes = 0
    _unparsed_bytes = 0
    _is_in_head = False
    _refusal = ""
    _head_timer: asyncio.TimerHandle | None = None
    _send_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_head_timer()
        self._end_send_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        heads = self._heads
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._is_in_head and self._heads == heads:
            # one head that began before: the parser keeps an unfinished line to itself, however long it grows
            self._unparsed_bytes += len(data)
            if self._unparsed_bytes > _MAX_HEAD_BYTES:
                self.send_400_response(_HEAD_TOO_LARGE)
        elif self._head_timer is None and self.cycle.response_complete and self.timeout_keep_alive_task is None:
            self._expect_head()  # the rest of a body that nobody waits for any more, or an empty line: not for ever

    def on_message_begin(self) -> None:
        self._head_bytes = self._unparsed_bytes = 0
        self._heads += 1
        self._is_in_head = True
        self._expect_head()
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + 4)
        if self._is_in_head:  # else it is a trailer: it must not come to stand among the headers
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        self._end_head_timer()
        if self.parser.should_upgrade() and any(name in _BODY_HEADERS for name, _ in self.headers):
            # the parser would take the body for the next request
            self._refuse("A request with a body cannot offer another protocol: speak HTTP/1.1 without Upgrade.")
        super().on_headers_complete()
        if self.scope["http_version"] == "1.0":
            self.cycle.chunked_encoding = False
            self.cycle.expected_content_length = _UntilClose()

    def send_400_response(self, msg: str) -> None:
        super().send_400_response(self._refusal or msg)

    def _unsupported_upgrade_warning(self) -> None:
        """Answer in HTTP/1.1, as the offer of another protocol allows, and close: the parser cannot go on behind it."""
        if self.cycle.response_complete:
            self.transport.close()
        else:
            self.cycle.keep_alive = False

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._send_timer is None:
            self._send_timer = self.loop.call_later(self.send_timeout_s, self.transport.abort)

    def resume_writing(self) -> None:
        self._end_send_timer()
        super().resume_writing()

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > _MAX_HEAD_BYTES:
            self._refuse(_HEAD_TOO_LARGE)

    def _refuse(self, why: str) -> NoReturn:
        """Stop the parser; uvicorn then answers 400 and closes."""
        self._refusal = why
        raise ValueError(why)

    def _expect_head(self) -> None:
        self._end_head_timer()
        self._head_timer = self.loop.call_later(_HEAD_TIMEOUT_S, self._close_slow)

    def _close_slow(self) -> None:
        self.transport.close()

    def _end_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _end_send_timer(self) -> None:
        if self._send_timer is not None:
            self._send_timer.cancel()
            self._send_timer = None


def tune_allocator() -> None:
    """Keep large buffers in the process between calls; without it every 800 KB body pays its page faults again.

    Measured: 0.62 of the CPU time of an 800 KB call. glibc only; elsewhere nothing is changed.
    """
    if not sys.platform.startswith("linux"):
        return
    name = ctypes.util.find_library("c")
    mallopt: Any = getattr(ctypes.CDLL(name), "mallopt", None) if name else None
    if mallopt is not None:
        m_trim_threshold, m_top_pad, m_mmap_threshold = -1, -2, -3
        mallopt(m_mmap_threshold, 32 * _MIB)
        mallopt(m_trim_threshold, 256 * _MIB)
        mallopt(m_top_pad, 16 * _MIB)


class DoorServer:
    """One call process's listening side."""

    def __init__(self, app: DoorApp, *, shutdown_grace_s: int) -> None:
        self._app = app
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                http=_protocol(app.limits.client_send_timeout_s),
                ws="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                server_header=False,
                proxy_headers=False,  # uvicorn would believe whoever connects from this machine
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=shutdown_grace_s,
                backlog=2048,
            )
        )

    async def serve(self, listener: socket.socket) -> None:
        """Serve until the process is told to stop; then let the calls under way finish, within the grace time."""
        ticker = asyncio.create_task(self._tick())
        try:
            await self._server.serve(sockets=[listener])
            if calls := self._server.server_state.tasks:  # cut off: they book, and tell their clients
                await asyncio.wait(calls, timeout=_LAST_WORDS_S)
        finally:
            ticker.cancel()

    @asynccontextmanager
    async def running(self, listener: socket.socket) -> AsyncIterator[None]:
        """Serve for the time of a `with` block, in the block's own event loop and without touching signals."""
        ticker = asyncio.create_task(self._tick())
        serving = asyncio.create_task(self._server._serve([listener]))
        try:
            yield
        finally:
            self._server.should_exit = True
            await serving
            ticker.cancel()

    async def _tick(self) -> None:
        wait_s = min(_TICK_S, self._app.limits.keepalive_s)
        while True:
            await asyncio.sleep(wait_s)
            try:
                self._app.tick()
            except Exception:  # a background loop: one client must not end the signs of life of all others
                log.exception("the tick of the doors failed")


def _protocol(timeout_s: float) -> type[BoundedProtocol]:
    """The protocol for uvicorn, which makes one per connection and hands on nothing of ours."""
    return type("Protocol", (BoundedProtocol,), {"send_timeout_s": timeout_s})
