"""Tell the counters what the ledger holds: at once when budgets change, and again every few seconds.

Until it is known what a hard budget's window has spent, calls on it wait. The repetition lets the counters forget calls
that the ledger has, and mends what an unreachable control plane delayed.
"""

import asyncio
import logging
from pathlib import Path

import msgspec

from sekisho.errors import SekishoError, StoreUnavailable, UpstreamUnavailable
from sekisho.ledger.booked import Booked
from sekisho.ledger.counters import LoadTicket, SharedCounters
from sekisho.store.counters.memory import MemoryCounters
from sekisho.upstream.http1 import Http1Client, Origin
from sekisho.values import Snapshot

log = logging.getLogger(__name__)
_TIMEOUT_S = 15.0  # longer than the control plane waits for the journals of the dead
_MAX_BYTES = 256 * 1024 * 1024
_AGAIN_S = 5.0
_RETRY_S = 0.1
_MOST_REFUSED_READS = 50  # in a row, some seconds: the database was restored from a backup
_decode_pair = msgspec.msgpack.Decoder(tuple[int, int]).decode
_decode = msgspec.msgpack.Decoder(Booked).decode


class LedgerReads:
    """Asks the control plane what the ledger holds."""

    def __init__(self, http: Http1Client, socket_path: Path) -> None:
        self._http = http
        self._origin = Origin("unix", str(socket_path), 0)

    async def read(self, *, is_whole: bool = False) -> Booked:
        """One consistent read; if it is to be whole, with every record that is in a journal by now.

        Raises UpstreamUnavailable, msgspec.DecodeError."""
        target = b"/internal/spent?whole=true" if is_whole else b"/internal/spent"
        response = await self._http.send(self._origin, b"GET", target, [], first_byte_timeout_s=_TIMEOUT_S)
        body = await response.read(_MAX_BYTES, _TIMEOUT_S)
        response.close()
        if response.status != 200:
            raise UpstreamUnavailable(f"the control plane answered {response.status}")
        return _decode(body)


class LedgerTasks:
    """Asks the control plane what a task has cost; implements `calls.gate.TaskSpend`."""

    def __init__(self, http: Http1Client, socket_path: Path) -> None:
        self._http = http
        self._origin = Origin("unix", str(socket_path), 0)

    async def read(self, task_id: bytes) -> tuple[int, int]:
        target = b"/internal/tasks/" + task_id.hex().encode() + b"/spent"
        try:
            response = await self._http.send(self._origin, b"GET", target, [], first_byte_timeout_s=_TIMEOUT_S)
            body = await response.read(_MAX_BYTES, _TIMEOUT_S)
            response.close()
            if response.status == 200:
                return _decode_pair(body)
        except (SekishoError, msgspec.DecodeError) as error:
            log.warning("what a task has cost cannot be read: %s", error)
        raise StoreUnavailable("What this task has cost so far cannot be read right now. Try again.")


class CounterLoader:
    """Keeps counters in memory in step with the snapshot and the ledger for as long as `run` runs."""

    def __init__(self, reads: LedgerReads, process_id: str, counters: MemoryCounters) -> None:
        self._reads = reads
        self._process_id = process_id
        self._counters = counters
        self._has_budgets = False
        self._changed = asyncio.Event()

    async def configure(self, snapshot: Snapshot) -> None:
        """Put the snapshot's budgets and limits in force, and have them loaded."""
        await self._counters.configure(snapshot.budgets, snapshot.limits, snapshot.epoch)
        self._has_budgets = bool(snapshot.budgets)
        self._changed.set()

    async def run(self) -> None:
        while True:
            self._changed.clear()
            pause_s = _AGAIN_S
            if self._has_budgets or self._counters.remembered_calls:  # without budgets too: else none is forgotten
                try:
                    booked = await self._reads.read()
                    await self._counters.load(booked.spent, booked.positions().get(self._process_id) or (0, 0))
                except (SekishoError, msgspec.DecodeError) as error:
                    log.debug("what budgets have spent cannot be read yet: %s", error)
                    pause_s = _RETRY_S
            await _wait(self._changed, pause_s)


class SharedCounterLoader:
    """The same for counters that several processes share: one of them reads for all."""

    def __init__(self, reads: LedgerReads, counters: SharedCounters) -> None:
        self._reads = reads
        self._counters = counters
        self._refused_reads = 0

    async def configure(self, snapshot: Snapshot) -> None:
        """Put the snapshot's budgets and limits in force, and have them loaded."""
        await self._counters.configure(snapshot.budgets, snapshot.limits, snapshot.epoch)
        self._counters.load_wanted.set()

    async def run(self) -> None:
        pause_s = _RETRY_S
        while True:
            try:
                is_done = await self._load()
                pause_s = _AGAIN_S if is_done else _RETRY_S
            except (SekishoError, msgspec.DecodeError) as error:
                log.debug("the shared counters cannot be loaded yet: %s", error)
                pause_s = _RETRY_S
            await asyncio.sleep(_RETRY_S / 2)  # many calls may ask at once
            await _wait(self._counters.load_wanted, pause_s)

    async def _load(self) -> bool:
        """Whether nothing is left to do for now."""
        counters = self._counters
        ticket = await counters.begin_load(is_urgent=counters.load_wanted.is_set())
        if ticket is None:
            return not counters.load_wanted.is_set()
        if ticket.is_lost:
            await self._let_admissions_pass(ticket)
        booked = await self._reads.read(is_whole=ticket.is_lost)
        is_taken = await counters.load_ledger(booked.spent, booked.positions(), booked.open_calls, ticket)
        self._refused_reads = 0 if is_taken else self._refused_reads + 1
        if is_taken and ticket.is_lost:
            log.info("the shared counters are loaded: %d calls are open", len(booked.open_calls))
            await counters.sweep()
        if self._refused_reads > _MOST_REFUSED_READS:
            log.error("the ledger is older than what the counters have seen of it: they are read anew")
            self._refused_reads = 0
            await counters.forget()
        return is_taken

    async def _let_admissions_pass(self, ticket: LoadTicket) -> None:
        """Wait until whatever an earlier life of the store admitted is either in a journal or void."""
        log.warning("the shared counters hold nothing; calls on hard budgets wait until the ledger is read")
        await asyncio.sleep(self._counters.admission_valid_us / 1_000_000)


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        pass
