"""What the counters of call processes say now, asked by the control plane, which has none of its own.

A call process asks again and again for questions (`take`) and sends the answers (`answer`). One process is enough:
counters are in its memory, or shared with all others. Knows nothing of HTTP.
"""

import asyncio
from collections import deque

import msgspec

from sekisho.clock import Clock
from sekisho.ledger.counters import Demand, Look

POLL_S = 20.0
ANSWER_S = 1.0
_PRESENT_US = 25_000_000  # whoever took a question within this time is there


class Asked(msgspec.Struct, frozen=True):
    """A call that nobody makes, and the number of the question."""

    number: int
    demand: Demand


class Answered(msgspec.Struct, frozen=True):
    """What the counters say, by the number of the question."""

    number: int
    look: Look


class Looks:
    """The questions that are open. For one event loop."""

    def __init__(self, clock: Clock, poll_s: float = POLL_S) -> None:
        self._clock = clock
        self._poll_s = poll_s
        self._taken_us: int | None = None
        self._number = 0
        self._asked: deque[Asked] = deque()
        self._open: dict[int, asyncio.Future[Look]] = {}
        self._news = asyncio.Event()
        self._is_closed = False

    async def ask(self, demand: Demand) -> Look:
        """What a call process says; an empty look when none is there or none answers in time."""
        if self._taken_us is None or self._clock.monotonic_us() - self._taken_us > _PRESENT_US or self._is_closed:
            return Look()
        self._number += 1
        answer: asyncio.Future[Look] = asyncio.get_running_loop().create_future()
        self._open[self._number] = answer
        asked = Asked(self._number, demand)
        self._asked.append(asked)
        self._news.set()
        try:
            async with asyncio.timeout(ANSWER_S):
                return await answer
        except TimeoutError:
            return Look()
        finally:
            self._open.pop(asked.number, None)
            if asked in self._asked:
                self._asked.remove(asked)

    async def take(self) -> bytes | None:
        """The next question as msgpack; None when none comes for a while, or at the end."""
        self._taken_us = self._clock.monotonic_us()
        try:
            async with asyncio.timeout(self._poll_s):
                while not self._asked and not self._is_closed:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return None
        self._taken_us = self._clock.monotonic_us()
        return msgspec.msgpack.encode(self._asked.popleft()) if self._asked else None

    def answer(self, said: bytes) -> None:
        """Hand an answer to whoever asked, if they still wait. Raises msgspec.DecodeError."""
        answered = msgspec.msgpack.decode(said, type=Answered)
        waiting = self._open.get(answered.number)
        if waiting is not None and not waiting.done():
            waiting.set_result(answered.look)

    def close(self) -> None:
        """Let go of everybody: this process is about to end."""
        self._is_closed = True
        self._news.set()
