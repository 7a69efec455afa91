"""Every counter test runs on each engine."""

import pytest

from sekisho.clock import FakeClock
from sekisho.ledger.counters import Counters
from sekisho.store.counters.memory import MemoryCounters

ENGINES = {"memory": MemoryCounters}


@pytest.fixture(params=ENGINES)
def engine(request) -> type[MemoryCounters]:
    return ENGINES[request.param]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def counters(engine, clock) -> Counters:
    made: Counters = engine(clock)
    return made
