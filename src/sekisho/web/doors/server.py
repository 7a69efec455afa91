"""Serve the doors on an open socket: uvicorn's server, our own protocol."""

import asyncio
import contextlib
import ctypes
import ctypes.util
import logging
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import FrameType
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.server import Server, ServerState

from sekisho.web.doors.app import DoorApp
from sekisho.web.doors.http1 import DoorProtocol
from sekisho.web.doors.proxies import Proxies

log = logging.getLogger(__name__)
_TICK_S = 1.0
_LOOK_S = 0.01  # how often a server that stops looks whether all connections are closed
_LAST_WORDS_S = 1.0
_MIB = 1024 * 1024


def tune_allocator() -> bool:
    """Keep large buffers in the process between calls; without it every 800 KB body pays its page faults again.

    Measured: 0.62 of the CPU time of an 800 KB call. Whether all of it was accepted; glibc only, elsewhere nothing is
    changed.
    """
    if not sys.platform.startswith("linux"):
        return False
    name = ctypes.util.find_library("c")
    mallopt: Any = getattr(ctypes.CDLL(name), "mallopt", None) if name else None
    if mallopt is None:
        return False
    m_trim_threshold, m_top_pad, m_mmap_threshold = -1, -2, -3
    values = ((m_mmap_threshold, 32 * _MIB), (m_trim_threshold, 256 * _MIB), (m_top_pad, 16 * _MIB))
    return [mallopt(option, value) for option, value in values] == [1, 1, 1]


class _Server(Server):
    """uvicorn's server without its ticks of 0.1 s: it wakes once a second for the date, and at once to stop."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._stopping = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def stop(self) -> None:
        self.should_exit = True
        self._stopping.set()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        if self._loop is not None:  # a signal's handler alone does not wake it
            self._loop.call_soon_threadsafe(self._stopping.set)

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        while not await self.on_tick(0):  # renews the Date header
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), _TICK_S)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept nothing more; let the answers under way finish within the grace time, then cancel them."""
        for closing in (*self.servers, *(sockets or ())):
            closing.close()
        for connection in tuple(self.server_state.connections):
            connection.shutdown()
        try:
            async with asyncio.timeout(self.config.timeout_graceful_shutdown):
                while (self.server_state.connections or self.server_state.tasks) and not self.force_exit:  # noqa: ASYNC110
                    await asyncio.sleep(_LOOK_S)  # uvicorn's protocols tell nobody
        except TimeoutError:
            for task in self.server_state.tasks:
                task.cancel()


class DoorServer:
    """One call process's listening side."""

    def __init__(self, app: DoorApp, *, shutdown_grace_s: int, proxies: Proxies | None = None) -> None:
        self._app = app
        self._proxies = proxies or Proxies()
        self._server = _Server(
            Config(
                cast(Any, app),
                interface="asgi3",  # not looked at: our protocol speaks to the doors itself
                http=self._make_protocol,  # type: ignore[arg-type]  # whatever makes a protocol will do
                ws="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                server_header=False,
                proxy_headers=False,  # uvicorn would believe whoever connects from this machine
                timeout_graceful_shutdown=shutdown_grace_s,
                backlog=2048,
            )
        )

    async def serve(self, listener: socket.socket) -> None:
        """Serve until the process is told to stop; then let the calls under way finish, within the grace time."""
        async with self._ticking():
            await self._server.serve(sockets=[listener])
            if calls := self._server.server_state.tasks:  # cut off: they book, and tell their clients
                await asyncio.wait(calls, timeout=_LAST_WORDS_S)

    @asynccontextmanager
    async def running(self, listener: socket.socket) -> AsyncIterator[None]:
        """Serve for the time of a `with` block, in the block's own event loop and without touching signals."""
        async with self._ticking():
            serving = asyncio.create_task(self._server._serve([listener]))
            try:
                yield
            finally:
                self._server.stop()
                await serving

    def _make_protocol(
        self, config: Config, server_state: ServerState, app_state: Any, _loop: Any = None
    ) -> DoorProtocol:
        return DoorProtocol(
            self._app, server_state, send_timeout_s=self._app.limits.client_send_timeout_s, proxies=self._proxies
        )

    @asynccontextmanager
    async def _ticking(self) -> AsyncIterator[None]:
        ticker = asyncio.create_task(self._tick())
        try:
            yield
        finally:
            ticker.cancel()

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        wait_s = min(_TICK_S, self._app.limits.keepalive_s)
        while True:
            await asyncio.sleep(wait_s)
            try:
                for connection in tuple(self._server.server_state.connections):
                    cast(DoorProtocol, connection).sweep(loop.time())
                await self._app.tick()
            except Exception:  # a background loop: one client must not end the signs of life of all others
                log.exception("the tick of the doors failed")
