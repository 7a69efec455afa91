"""Counters in memory are told what the ledger holds, also where nothing limits what is spent."""

import asyncio

from sekisho.app import loading
from sekisho.app.loading import CounterLoader, LedgerReads
from sekisho.clock import FakeClock
from sekisho.ledger.booked import Booked
from sekisho.store.counters.memory import MemoryCounters
from sekisho.values import Snapshot
from tests.contract.counters.test_budgets import demand


class Ledger(LedgerReads):
    """Has booked all that the process has journalled."""

    def __init__(self) -> None:
        self.reads = 0
        self.was_read_twice = asyncio.Event()

    async def read(self, *, is_whole: bool = False) -> Booked:
        self.reads += 1
        if self.reads == 2:
            self.was_read_twice.set()
        return Booked(0, (), {"call-1-000001.log": 9})


async def test_settled_calls_are_forgotten_once_they_are_booked_without_any_budget(monkeypatch) -> None:
    monkeypatch.setattr(loading, "_AGAIN_S", 0.01)
    counters, ledger = MemoryCounters(FakeClock()), Ledger()
    loader = CounterLoader(ledger, "call-1", counters)
    await loader.configure(Snapshot(1, "default", (), ()))
    running = asyncio.ensure_future(loader.run())
    await asyncio.sleep(0)
    assert ledger.reads == 0  # nobody has called
    for number in range(1, 5):
        await counters.admit(demand(number, 10))
        await counters.settle(demand(number, 0).call_id, 10, 0, (1, number))
    assert counters.remembered_calls == 8  # those of the last minute, and those that may not be booked
    async with asyncio.timeout(20):
        await ledger.was_read_twice.wait()
    assert counters.remembered_calls == 4
    running.cancel()
