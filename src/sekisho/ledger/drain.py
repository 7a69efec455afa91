"""The drain: carries what the journal says into the ledger, in order, exactly once.

Above: the control process, which calls `drain_once` again and again. Below: segment files and a `Ledger`.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from sekisho.clock import Clock
from sekisho.errors import JournalCorrupt, StoreUnavailable
from sekisho.ledger.journal_files import Batch, JournalReader, Segment

log = logging.getLogger(__name__)


class Ledger(Protocol):
    """Where records are booked."""

    async def offsets(self) -> dict[str, int]:
        """How far each segment, by name, has been booked."""
        ...

    async def apply(self, batch: Batch) -> None:
        """Book the records and the new offset in one transaction; booking them again changes nothing."""
        ...

    async def interrupt(self, process: str, now_us: int) -> int:
        """Settle the open calls of a dead process at their reserved bound; how many there were."""
        ...

    async def forget(self, segments: Sequence[str]) -> None:
        """Drop the offsets of segments that no longer exist."""
        ...


class Drain:
    """Moves records from a journal directory to a ledger. One at a time for a directory."""

    def __init__(
        self,
        reader: JournalReader,
        ledger: Ledger,
        clock: Clock,
        on_ended: Callable[[str], None] = lambda _: None,
        owner: str = "",
    ) -> None:
        """`on_ended` hears the id of each process that turns out to be dead. `owner`: how the names of this journal's
        processes begin, where others keep their offsets in the same ledger."""
        self._reader = reader
        self._ledger = ledger
        self._clock = clock
        self._on_ended = on_ended
        self._owner = owner
        self._offsets: dict[str, int] | None = None
        self.damaged: dict[str, str] = {}

    async def drain_once(self) -> int:
        """Book everything that is there, settle what dead processes left open, remove finished segments. What is
        written meanwhile waits for the next time: docs/why/drain.md.

        Returns the number of records. A damaged segment stops its own process only and is kept in `damaged`.
        Raises StoreUnavailable, once every process has been tried; the next call goes on where the ledger stands.
        """
        if self._offsets is None:
            offsets = await self._ledger.offsets()
            self._offsets = {name: offset for name, offset in offsets.items() if name.startswith(self._owner)}
        booked = 0
        failure: StoreUnavailable | None = None
        for process in dict.fromkeys(segment.process for segment in self._reader.segments()):
            try:
                booked += await self._drain_process(process, self._offsets)
                self.damaged.pop(process, None)
            except JournalCorrupt as error:
                if self.damaged.get(process) != error.message:
                    log.error("journal: %s Calls of this process are not booked any further.", error.message)
                self.damaged[process] = error.message
            except StoreUnavailable as error:  # a file that cannot be read must not hold up the other processes
                failure = failure or error
        if failure:
            raise failure
        await self._forget_removed(self._offsets)
        return booked

    def reached(self, position: Segment, offset: int) -> int | None:
        """How far the journal of a process is booked, if that is as far as this place in it: the offset in the same
        segment, or `offset` itself when all of that is booked and gone. None: not yet."""
        booked = (self._offsets or {}).get(position.name, 0)
        if booked >= offset:
            return booked
        return offset if self._offsets is not None and not self._reader.size(position) else None

    def lag_bytes(self) -> int:
        """Bytes in the journal that are not booked yet."""
        offsets = self._offsets or {}
        return sum(max(0, self._reader.size(s) - offsets.get(s.name, 0)) for s in self._reader.segments())

    def ends(self) -> dict[str, int]:
        """How far each segment, by name, is written now."""
        return {segment.name: self._reader.size(segment) for segment in self._reader.segments()}

    def has_booked(self, ends: Mapping[str, int]) -> bool:
        """Whether all that was written up to there is booked. A segment that is gone was booked whole."""
        offsets = self._offsets or {}
        present = {segment.name for segment in self._reader.segments()}
        return all(offsets.get(name, 0) >= end or name not in present for name, end in ends.items())

    def dead_processes(self) -> list[str]:
        """Processes that have ended and whose last records are not all booked yet: their segments are still there."""
        processes = dict.fromkeys(segment.process for segment in self._reader.segments())
        return [process for process in processes if self._reader.is_dead(process)]

    async def _drain_process(self, process: str, offsets: dict[str, int]) -> int:
        booked = 0
        for segment in [s for s in self._reader.segments() if s.process == process]:
            end = self._reader.size(segment)
            while batch := self._reader.read(segment, offsets.get(segment.name, 0)):
                await self._ledger.apply(batch)
                offsets[segment.name] = batch.end_offset
                booked += len(batch.records)
                if batch.end_offset >= end:
                    break
        if self._reader.has_ended(process, offsets):
            orphans = await self._ledger.interrupt(process, self._clock.now_us())
            if orphans:
                log.warning("journal: process %s ended with %d open calls; booked at their bound", process, orphans)
            self._on_ended(process)
            self._reader.remove(process, offsets)
        else:
            self._reader.remove_drained(process, offsets)
        return booked

    async def _forget_removed(self, offsets: dict[str, int]) -> None:
        present = {segment.name for segment in self._reader.segments()}
        gone = [name for name in offsets if name not in present]
        if gone:
            await self._ledger.forget(gone)
            for name in gone:
                del offsets[name]
