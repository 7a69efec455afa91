"""Hands the snapshot to call processes and knows which of them have it in force.

A call process asks again and again, each time saying which epoch it has in force. Above: the control process, which
offers each new delivery and waits for confirmations. Knows nothing of HTTP.
"""

import asyncio
import os
import secrets
from pathlib import Path

import msgspec

from sekisho.clock import Clock
from sekisho.errors import StoreUnavailable
from sekisho.values import Delivery, Snapshot

POLL_S = 20.0
CONFIRM_S = 5.0
PRESENT_US = 30_000_000  # a process that asked within this time is taken to be serving


class _Process(msgspec.Struct):
    asked_at: int  # on the monotonic clock
    epoch: int


class Distribution:
    """The current delivery and who has it."""

    def __init__(self, clock: Clock, poll_s: float = POLL_S) -> None:
        """`poll_s`: how long a process that asks waits for news at most."""
        self._clock = clock
        self._poll_s = poll_s
        self._confirmed_us: int | None = None
        self._epoch = 0
        self._encoded = b""
        self._processes: dict[str, _Process] = {}
        self._news = asyncio.Event()
        self._is_closed = False

    @property
    def epoch(self) -> int:
        """The epoch on offer; 0 before the first offer."""
        return self._epoch

    def offer(self, delivery: Delivery) -> None:
        """Make this the delivery that every process gets from now on. Its epoch is a new one."""
        self._epoch = delivery.snapshot.epoch
        self._encoded = msgspec.msgpack.encode(delivery)
        self._wake()

    @property
    def confirmed_us(self) -> int | None:
        """When, on the monotonic clock, the epoch on offer was last known to be the newest; None if nobody else can
        raise it."""
        return self._confirmed_us

    def confirm(self, at_us: int) -> None:
        """Say that what is on offer was the newest at this time."""
        self._confirmed_us = at_us

    def close(self) -> None:
        """Answer everybody who asks at once from now on: this process is about to end."""
        self._is_closed = True
        self._wake()

    async def ask(self, process: str, after: int, timeout_s: float | None = None) -> bytes | None:
        """The delivery as msgpack once its epoch is another than `after`; None when that takes too long, or at the end.

        `after` is also the process's word that it has this epoch in force. A higher one than ours comes from before
        the database was lost, so it gets ours too.
        """
        self._processes[process] = _Process(self._clock.monotonic_us(), after)
        self._wake()
        try:
            async with asyncio.timeout(self._poll_s if timeout_s is None else timeout_s):
                while self._epoch in (0, after):
                    if self._is_closed:
                        return None
                    await self._news.wait()
        except TimeoutError:
            return None
        return self._encoded if self._epoch not in (0, after) else None

    async def confirmed(self, epoch: int, timeout_s: float = CONFIRM_S) -> None:
        """Wait until every process that serves has this epoch in force. Raises StoreUnavailable after the timeout."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._lagging(epoch):
                    await self._news.wait()
        except TimeoutError as error:
            names = ", ".join(sorted(self._lagging(epoch)))
            raise StoreUnavailable(f"Not every call process has confirmed the change: {names}. Try again.") from error

    def forget(self, process: str) -> None:
        """This process is dead; nobody waits for it."""
        if self._processes.pop(process, None):
            self._wake()

    def processes(self) -> dict[str, int]:
        """The epoch that each serving process has in force."""
        oldest = self._clock.monotonic_us() - PRESENT_US
        return {name: process.epoch for name, process in self._processes.items() if process.asked_at >= oldest}

    def _lagging(self, epoch: int) -> list[str]:
        return [name for name, known in self.processes().items() if not epoch <= known <= self._epoch]

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


def write_snapshot(path: Path, snapshot: Snapshot) -> None:
    """Put the snapshot on disk, whole or not at all, readable by its owner only. Raises StoreUnavailable."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.msgpack.encode(snapshot))
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise StoreUnavailable("The snapshot cannot be written.") from error


def read_snapshot(path: Path) -> Snapshot | None:
    """The snapshot on disk, None when there is none. Raises StoreUnavailable for a damaged one."""
    try:
        return msgspec.msgpack.decode(path.read_bytes(), type=Snapshot)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise StoreUnavailable("The snapshot cannot be read.") from error
