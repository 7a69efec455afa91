"""Serve the doors on an open socket with uvicorn, bounded where uvicorn is not."""

import asyncio
import ctypes
import ctypes.util
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sekisho.web.doors.app import DoorApp

_MAX_HEAD_BYTES = 64 * 1024
_HEAD_TIMEOUT_S = 20.0
_KEEP_ALIVE_S = 75  # longer than clients and load balancers keep theirs, so that they close first
_TICK_S = 1.0
_MIB = 1024 * 1024


class BoundedProtocol(HttpToolsProtocol):
    """Closes a connection whose request head is too large or too slow; uvicorn sets no bound on either."""

    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_timer()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        self._head_bytes = 0
        self._expect_head()
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + 4)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._cancel_timer()
        super().on_headers_complete()

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > _MAX_HEAD_BYTES:
            raise ValueError("the request head is too large")  # uvicorn answers 400 and closes

    def _expect_head(self) -> None:
        self._cancel_timer()
        self._head_timer = self.loop.call_later(_HEAD_TIMEOUT_S, self._close_slow)

    def _close_slow(self) -> None:
        self.transport.close()

    def _cancel_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


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
                http=BoundedProtocol,
                ws="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                server_header=False,
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
        while True:
            await asyncio.sleep(_TICK_S)
            await self._app.calls.keep_alive()
