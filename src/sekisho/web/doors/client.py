"""The client's side of a streamed answer: what was written to it, and signs of life while there is nothing to write.

Above: the door, which writes the answer; the server's tick, which asks for signs of life. Below: its exchange.
"""

import asyncio

from sekisho.calls.call import Trail
from sekisho.clock import Clock
from sekisho.errors import SekishoError
from sekisho.web.doors.asgi import HeaderList, Message
from sekisho.web.doors.http1 import Exchange
from sekisho.web.doors.refusals import id_headers


class Client:
    """Writes one answer. `has_begun`: the head is out, so that a failure can only be told inside the stream.

    Knows the call's trail and not the call, which knows it: a circle would be left to the garbage collector."""

    def __init__(self, trail: Trail, call_id: str, exchange: Exchange, clock: Clock) -> None:
        self._trail = trail
        self._call_id = call_id
        self._exchange = exchange
        self._clock = clock
        self._is_sending = False
        self._leaving: asyncio.Future[Message] | None = None
        self._sent_us = trail.started_us
        self.has_begun = False

    @property
    def has_left(self) -> bool:
        """Whether the client has gone away. Known only between `watch` and `close`."""
        return self._leaving is not None and self._leaving.done()

    def watch(self) -> None:
        """Notice from now on when the client leaves. The request's body must have been read."""
        if self._leaving is None:
            self._leaving = asyncio.ensure_future(self._exchange.receive())

    async def wait(self, seconds: float) -> bool:
        """Let the time pass, or less if the client leaves: whether it did. As `watch`."""
        self.watch()
        assert self._leaving is not None
        await asyncio.wait((self._leaving,), timeout=seconds)
        return self.has_left

    def close(self) -> None:
        """Nothing more will be written."""
        self._is_sending = True
        if self._leaving is not None:
            self._leaving.cancel()

    async def begin(self, media_type: bytes) -> None:
        """Send the head of a stream, unless a sign of life has sent it already."""
        if not self.has_begun:
            self._is_sending = True
            await self._exchange.send(self._head(media_type))
            self.has_begun = True

    async def write(self, data: bytes, *, is_last: bool) -> None:
        """Send a part of the stream; waits while the client takes nothing. The server cuts off one that never does."""
        self._is_sending = True
        await self._exchange.send({"type": "http.response.body", "body": data, "more_body": not is_last})
        self._is_sending = is_last
        self._sent_us = self._clock.monotonic_us()

    def write_at_once(self, data: bytes) -> bool:
        """Send a part of the stream that is not its last; False, and nothing sent, while the client takes nothing."""
        if not self._exchange.write(data):
            return False
        self._is_sending = False  # only from now on, when something was written, are signs of life due again
        self._sent_us = self._clock.monotonic_us()
        return True

    async def fail(self, error: SekishoError) -> None:
        """End a stream that only signs of life have begun, in the words of its dialect."""
        awaited = self._trail.awaited
        assert awaited is not None  # it gave the signs of life
        await self.write(awaited.failure(error), is_last=True)

    def keep_alive(self, keepalive_s: float) -> None:
        """Write a sign of life when nothing was written for so long, without ever waiting.

        Load balancers cut connections that are silent. Before the model's first word this sends the head too: then a
        failure comes inside the stream, but another deployment may still be tried.
        """
        awaited = self._trail.awaited
        if awaited is None or self._is_sending or self.has_left:
            return
        now_us = self._clock.monotonic_us()
        if now_us - self._sent_us < keepalive_s * 1_000_000:
            return
        if not (data := awaited.keepalive()):
            return
        if not self.has_begun:
            self.has_begun = self._send_at_once(self._head(awaited.media_type))
        if self.has_begun and self._send_at_once({"type": "http.response.body", "body": data, "more_body": True}):
            self._sent_us = now_us

    def _send_at_once(self, message: Message) -> bool:
        """Send without giving way to anything else; False, and nothing sent, when the client's buffer is full."""
        steps = self._exchange.send(message).__await__()
        try:
            next(steps)
        except StopIteration:
            return True
        steps.close()
        return False

    def _head(self, media_type: bytes) -> Message:
        headers: HeaderList = [
            (b"content-type", media_type),
            (b"cache-control", b"no-cache"),
            (b"x-accel-buffering", b"no"),
            *id_headers(self._call_id),
        ]
        return {"type": "http.response.start", "status": 200, "headers": headers}
