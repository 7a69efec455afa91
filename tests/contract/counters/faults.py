"""A relay before a Valkey that counts, delays and cuts, as networks do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit


class Relay:
    """`requests`: scripts that were run through it. `cut_after_bytes`: of the next answer, then the line breaks.

    `is_holding`: what comes is put in `held` instead of being passed on."""

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url)
        self.requests = 0
        self.writes = 0
        self.cut_after_bytes: int | None = None
        self.is_holding = False
        self.held = b""
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one connection."""
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Break every connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(self._target.hostname, self._target.port)
        ways = (
            asyncio.ensure_future(self._requests(reader, up_writer)),
            asyncio.ensure_future(self._answers(up_reader, writer)),
        )
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            for one in (writer, up_writer):
                one.close()
                with suppress(OSError):
                    await one.wait_closed()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            if self.is_holding:
                self.held += data
                continue
            self.requests += data.count(b"EVALSHA")
            self.writes += 1
            writer.write(data)

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            if self.cut_after_bytes is not None:
                writer.write(data[: self.cut_after_bytes])
                self.cut_after_bytes = None
                await writer.drain()
                return
            writer.write(data)


@asynccontextmanager
async def relay(url: str) -> AsyncIterator[Relay]:
    """A relay to this server for the time of a `with` block."""
    made = Relay(url)
    server = await asyncio.start_server(made.accept, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await made.close()
