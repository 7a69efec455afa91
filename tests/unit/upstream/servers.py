"""Loopback servers that do exactly what a test says, misbehaviour included."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

from sekisho.upstream.origin import Origin


class Request(NamedTuple):
    line: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Wire:
    """One accepted connection. `number` counts from 0."""

    def __init__(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.number = number
        self.reader = reader
        self.writer = writer

    async def head(self) -> bytes:
        return await self.reader.readuntil(b"\r\n\r\n")

    async def request(self) -> Request:
        line, *fields = (await self.head())[:-4].split(b"\r\n")
        headers = [(name, value) for name, _, value in (field.partition(b": ") for field in fields)]
        length = int(dict(headers).get(b"Content-Length", b"0"))
        return Request(line, headers, await self.reader.readexactly(length))

    async def say(self, *pieces: bytes) -> None:
        """Send pieces so that the client, which runs in the same loop, sees each one apart."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            for _ in range(3):
                await asyncio.sleep(0)

    async def gone(self) -> None:
        """Wait until the client has closed the connection."""
        try:
            while await self.reader.read(65_536):
                pass
        except ConnectionError:
            pass

    def reset(self) -> None:
        self.writer.transport.abort()


Script = Callable[[Wire], Awaitable[None]]


class Server(NamedTuple):
    origin: Origin
    wires: list[Wire]

    @property
    def url(self) -> str:
        return f"{self.origin.scheme}://{self.origin.authority}"


@asynccontextmanager
async def serving(
    script: Script, *, tls: ssl.SSLContext | None = None, socket_path: str = "", bound_s: float = 20.0
) -> AsyncIterator[Server]:
    """Run `script` for every connection. A failed script fails the test; `bound_s` ends a test that hangs."""
    tasks: list[asyncio.Task[None]] = []
    wires: list[Wire] = []

    async def run(wire: Wire) -> None:
        try:
            await script(wire)
        finally:
            wire.writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wires.append(Wire(len(wires), reader, writer))
        tasks.append(asyncio.get_running_loop().create_task(run(wires[-1])))

    async with asyncio.timeout(bound_s):
        if socket_path:
            server = await asyncio.start_unix_server(accept, socket_path)
            origin = Origin("unix", socket_path, 0)
        else:
            server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
            origin = Origin("https" if tls else "http", "127.0.0.1", server.sockets[0].getsockname()[1])
        try:
            yield Server(origin, wires)
        finally:
            server.close()
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            for wire in wires:
                wire.writer.transport.abort()
            await asyncio.sleep(0)
    ordinary = (asyncio.CancelledError, asyncio.IncompleteReadError, ConnectionError)
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, ordinary):
            raise result


def answer(body: bytes = b"", *headers: bytes, status: bytes = b"200 OK") -> bytes:
    """A whole answer with Content-Length."""
    lines = [b"HTTP/1.1 " + status, *headers, b"Content-Length: %d" % len(body)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body
