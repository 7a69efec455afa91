"""One control process among others on the same PostgreSQL: it says that it lives, follows what the others change, and
settles the calls of one that is lost. Why: docs/why/replicas.md"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path

from msgspec.structs import replace

from sekisho.access.distribution import Distribution
from sekisho.access.keys import create_once
from sekisho.access.replicas import Replica, Replicas
from sekisho.app.loops import Complaint
from sekisho.clock import Clock
from sekisho.errors import SekishoError, StoreUnavailable

log = logging.getLogger(__name__)
EPOCH_S = 0.3
_ANSWER_S = 2.0
_LISTEN_AGAIN_S = 5.0
_ID_BYTES = 6

Listen = Callable[[Callable[[], None]], Awaitable[None]]


def load_or_create_replica_id(home: Path) -> str:
    """The id of this home among all that share a database. Raises StoreUnavailable."""
    path = home / "replica"
    try:
        if not path.exists():
            create_once(path, secrets.token_hex(_ID_BYTES).encode())
        found = path.read_text().strip()
    except OSError as error:
        raise StoreUnavailable(f"The file {path} cannot be read or made.") from error
    if len(found) != 2 * _ID_BYTES or not found.isalnum():
        raise StoreUnavailable(f"The file {path} is damaged. Remove it once this home's journal is empty.")
    return found


class Membership:
    """This process's part in the group, for as long as `run` runs. `join` first."""

    def __init__(
        self,
        replicas: Replicas,
        me: Replica,
        clock: Clock,
        distribution: Distribution,
        *,
        offer: Callable[[], Awaitable[int]],
        interrupt: Callable[[str, int], Awaitable[int]],
        listen: Listen,
        beat_s: float,
        lost_after_s: float,
    ) -> None:
        """`offer` hands out what the database says; `interrupt` settles the open calls of a call process at their
        bound; `listen` tells of news that may have come."""
        self._replicas = replicas
        self._me = me
        self._clock = clock
        self._distribution = distribution
        self._offer = offer
        self._interrupt = interrupt
        self._listen = listen
        self._beat_s = beat_s
        self._lost_after_us = int(lost_after_s * 1_000_000)
        self._beaten_us: int | None = None
        self._steady_since_us = 0
        self._news = asyncio.Event()
        self._complaint = ""

    async def join(self) -> None:
        """Be one of those that live. Raises MayNotJoin, StoreUnavailable."""
        at_us = self._clock.monotonic_us()
        await self._replicas.join(self._me, self._lost_after_us)
        self._beaten_us = self._steady_since_us = at_us

    async def leave(self) -> None:
        """Be gone in good order: nothing of ours is left to settle. Raises StoreUnavailable."""
        await self._replicas.leave(self._me)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._again(self._follow, EPOCH_S, self._news))
            group.create_task(self._again(self._beat, self._beat_s))
            group.create_task(self._again(self._settle_lost, self._lost_after_us / 5_000_000))
            group.create_task(self._again(self._hear, _LISTEN_AGAIN_S))

    async def _again(
        self, step: Callable[[], Awaitable[None]], pause_s: float, news: asyncio.Event | None = None
    ) -> None:
        unexpected = Complaint(log, "a part of this replica")
        while True:
            try:
                await step()
                unexpected.settle()
            except SekishoError as error:
                self._complain(error.message)
            except TimeoutError:
                self._complain("The database does not answer in time.")
            except Exception as error:  # noqa: BLE001  a background loop: without it this replica closes, and says why
                unexpected.raise_for(error)
            if news is None:
                await asyncio.sleep(pause_s)
                continue
            try:
                async with asyncio.timeout(pause_s):
                    await news.wait()
            except TimeoutError:
                pass
            news.clear()

    async def _follow(self) -> None:
        """Offer what others have changed; when there is nothing, that is confirmed too."""
        at_us = self._clock.monotonic_us()
        async with asyncio.timeout(_ANSWER_S):
            epoch = await self._replicas.epoch()
        if epoch != self._distribution.epoch:
            await self._offer()
        if self._beaten_us is not None and self._me.is_replicated:  # alone, nobody else changes anything
            # the older of both: who is silent to the others must close before they settle its calls
            self._distribution.confirm(min(at_us, self._beaten_us))
        self._complaint = ""

    async def _beat(self) -> None:
        at_us = self._clock.monotonic_us()
        async with asyncio.timeout(_ANSWER_S):
            lives = self._beaten_us is not None and await self._replicas.beat(self._me)
        if lives:
            if self._beaten_us is not None and at_us - self._beaten_us > self._lost_after_us // 2:
                self._steady_since_us = at_us
            self._beaten_us = at_us
            return
        log.warning("this replica was taken for lost; it joins again")
        self._beaten_us = None
        self._me = replace(self._me, life=secrets.token_hex(8))
        await self.join()

    async def _settle_lost(self) -> None:
        """Only after a time in which this replica itself was never silent: after an outage of the database everybody
        looks lost to the first one that is back."""
        if self._beaten_us is None or self._beaten_us - self._steady_since_us < self._lost_after_us:
            return
        for replica_id in await self._replicas.lost(self._lost_after_us):
            settled = 0
            for process in await self._replicas.open_processes(replica_id):
                settled += await self._interrupt(process, self._clock.now_us())
            await self._replicas.bury(replica_id)
            log.warning("replica %s is lost; %d of its calls are booked at their bound", replica_id, settled)

    async def _hear(self) -> None:
        await self._listen(self._news.set)

    def _complain(self, what: str) -> None:
        if what != self._complaint:
            log.error("%s", what)
        self._complaint = what
