"""The client side of all loads: one request at a time per connection, answers counted, nothing decoded."""

import asyncio
import re
import ssl
from collections.abc import Callable, Iterator
from typing import NamedTuple, cast
from urllib.parse import urlsplit

_LENGTH = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)
_END = b"0\r\n\r\n"


class Target(NamedTuple):
    """Where a load goes: the address, and the header lines that let it in."""

    url: str
    headers: dict[str, str]


class Client(asyncio.Protocol):
    """Sends requests one after the other. `ended(answer_seen)` is asked at each end whether there is another."""

    def __init__(self, target: Target, bodies: Iterator[bytes], goes_on: Callable[[], bool]) -> None:
        parts = urlsplit(target.url)
        lines = "".join(f"{name}: {value}\r\n" for name, value in target.headers.items())
        self._head = f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\n{lines}content-type: application/json\r\n"
        self._bodies = bodies
        self._goes_on = goes_on
        self._left = -1  # bytes of an answer with a length; -1: not known yet, -2: chunked
        self._seen = b""
        self.answers = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(ConnectionError(f"the connection broke off: {exc}, after {self._seen[:300]!r}"))

    def data_received(self, data: bytes) -> None:
        if self._left == -1:
            data = self._seen + data
            head, mark, rest = data.partition(b"\r\n\r\n")
            self._seen = data
            if not mark:
                return
            if not head.startswith(b"HTTP/1.1 200"):
                self._fail(data)
                return
            length = _LENGTH.search(head)
            self._left = int(length[1]) if length else -2
            self._seen = b""
            data = rest
        if data:
            self.read(data)
        if self._left == -2:
            self._seen = (self._seen + data)[-len(_END) :]
            if self._seen == _END:
                self._end()
        else:
            self._left -= len(data)
            if self._left == 0:
                self._end()

    def read(self, data: bytes) -> None:
        """A part of an answer's body, as it came."""

    def _ask(self) -> None:
        body = next(self._bodies)
        self._transport.write(f"{self._head}content-length: {len(body)}\r\n\r\n".encode() + body)

    def _end(self) -> None:
        self.answers += 1
        self._left, self._seen = -1, b""
        if self._goes_on():
            self._ask()
        elif not self.done.done():
            self.done.set_result(None)
            self._transport.close()

    def _fail(self, data: bytes) -> None:
        if not self.done.done():
            self.done.set_exception(ConnectionError(f"{data[:600]!r}"))
        self._transport.abort()


async def connect(target: Target, make: Callable[[], Client]) -> Client:
    """A client on a new connection, TLS without verification for https."""
    parts = urlsplit(target.url)
    context = None
    if parts.scheme == "https":
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    loop = asyncio.get_running_loop()
    assert parts.hostname and parts.port
    return (await loop.create_connection(make, parts.hostname, parts.port, ssl=context))[1]
