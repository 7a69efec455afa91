"""Every counter test runs on each engine."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

import pytest
import valkey

from sekisho.clock import FakeClock
from sekisho.ledger.counters import Counters
from sekisho.store.counters.memory import MemoryCounters
from sekisho.store.counters.valkey import ValkeyCounters
from sekisho.store.counters.valkey_address import parse_valkey_url
from tests.servers import valkey_url

ENGINES = ("memory", "valkey")


def valkey_counters(clock: FakeClock, name: str, process_id: str = "call-1.1.a", url: str = "") -> ValkeyCounters:
    """An engine on the tests' own keys; all engines of one name and clock share what is counted."""
    address = parse_valkey_url(url or valkey_url())
    return ValkeyCounters(address, clock, process_id=process_id, name=name, timeout_s=5.0, shared_us=clock.monotonic_us)


@asynccontextmanager
async def running(counters: ValkeyCounters) -> AsyncIterator[ValkeyCounters]:
    """Connected for the time of a `with` block."""
    task = asyncio.create_task(counters.run())
    try:
        yield counters
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def remove_keys(name: str) -> None:
    """Lose what was counted under a name."""
    with valkey.Valkey.from_url(valkey_url()) as client:
        if keys := list(client.scan_iter(f"sekisho:{{{name}}}*", count=1000)):
            client.delete(*keys)


@pytest.fixture
def key_name() -> Iterator[str]:
    """A name for keys in Valkey that is nobody else's; what was kept under it is removed."""
    name = f"test-{secrets.token_hex(6)}"
    yield name
    remove_keys(name)


@pytest.fixture(params=ENGINES)
def engine(request) -> str:
    kind: str = request.param
    return kind


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def counters(engine, clock, key_name) -> AsyncIterator[Counters]:
    if engine == "memory":
        yield MemoryCounters(clock)
    else:
        async with running(valkey_counters(clock, key_name)) as made:
            yield made
