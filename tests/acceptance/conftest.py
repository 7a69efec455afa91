"""A whole call plane over the Bedrock simulator, in one process: real sockets, real frames, a journal in memory."""

import asyncio
import functools
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from msgspec.structs import replace

from sekisho.access.keys import digest
from sekisho.calls.gate import Gate, Limits, Registry
from sekisho.clock import Clock, SystemClock
from sekisho.errors import StoreUnavailable
from sekisho.ledger.catalog import load_catalog
from sekisho.ledger.counters import JournalPosition
from sekisho.ledger.journal import Opened, Record, Refused, Settled
from sekisho.simulator.credentials import SIMULATOR_CREDENTIAL
from sekisho.simulator.server import Simulator
from sekisho.store.counters.memory import MemoryCounters
from sekisho.upstream.http1 import Http1Client
from sekisho.upstream.providers import Providers
from sekisho.values import Delivery, Model, Snapshot, VirtualKey
from sekisho.web.doors.app import DoorApp
from sekisho.web.doors.forward import ForwardDoor
from sekisho.web.doors.proxies import Proxies
from sekisho.web.doors.server import DoorServer

PEPPER = b"p" * 32
REGION = "us-east-1"
ALICE = "sk-alice-0000000000000000000000000000"
BOB = "sk-bob-000000000000000000000000000000"
CHARLIE = "sk-charlie-00000000000000000000000000"
DANA = "sk-dana-00000000000000000000000000000"


@dataclass
class MemoryJournal:
    """Keeps records; refuses them while `is_full`."""

    records: list[Record] = field(default_factory=list)
    is_full: bool = False
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def append(self, record: Record) -> JournalPosition:
        if self.is_full:
            raise StoreUnavailable("The journal cannot be written.")
        self.records.append(record)
        self.news.set()
        return (1, len(self.records))

    async def committed(self) -> None:
        pass

    async def wait_settled(self, calls: int = 1) -> list[Settled]:
        """The settled records, once there are so many."""
        async with asyncio.timeout(30):
            while len(self.settled) < calls:
                self.news.clear()
                await self.news.wait()
        return self.settled

    @property
    def settled(self) -> list[Settled]:
        return [record for record in self.records if isinstance(record, Settled)]

    @property
    def opened(self) -> list[Opened]:
        return [record for record in self.records if isinstance(record, Opened)]

    @property
    def refused(self) -> list[Refused]:
        return [record for record in self.records if isinstance(record, Refused)]


@dataclass
class CallPlane:
    """A running call plane and all that a test may look at."""

    port: int
    journal: MemoryJournal
    registry: Registry
    http: Http1Client
    app: DoorApp
    counters: MemoryCounters

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@dataclass
class Gateway(CallPlane):
    """A call plane over the simulator."""

    simulator: Simulator


def keys() -> tuple[VirtualKey, ...]:
    """Alice may use everything; Bob only Nova Pro; Charlie's key has expired; Dana's is blocked."""
    return (
        VirtualKey("alice", "org", digest(PEPPER, ALICE), alias="alice", user_id="alice", team_id="red"),
        VirtualKey("bob", "org", digest(PEPPER, BOB), alias="bob", models=("nova-pro",)),
        VirtualKey("charlie", "org", digest(PEPPER, CHARLIE), alias="charlie", expires_at=1),
        VirtualKey("dana", "org", digest(PEPPER, DANA), alias="dana", blocked=True),
    )


@pytest.fixture
def limits() -> Limits:
    return Limits(idle_timeout_s=20, first_byte_timeout_s=20, drain_timeout_s=20, body_timeout_s=20)


@pytest.fixture
def pace_s() -> float:
    """Seconds between the events of the simulator's streams; 0 sends them all at once."""
    return 0.0


@pytest.fixture
def region() -> str:
    """The Region whose models are offered."""
    return REGION


@functools.cache
def offered(region: str) -> tuple[Model, ...]:
    """What Bedrock offers in this Region, at no address."""
    return load_catalog().bedrock_models(region, "http://unused", "simulator")


def models_at(region: str, endpoint: str) -> tuple[Model, ...]:
    """What Bedrock offers in this Region, at this address: a copy, which is made faster than the models."""
    return tuple(
        replace(model, deployments=tuple(replace(one, endpoint=endpoint) for one in model.deployments))
        for model in offered(region)
    )


@asynccontextmanager
async def call_plane(
    models: tuple[Model, ...],
    limits: Limits,
    home: Path,
    clock: Clock = SystemClock(),  # noqa: B008  it has no state
    journal: MemoryJournal | None = None,
    proxies: Proxies | None = None,
) -> AsyncIterator[CallPlane]:
    """A call plane that offers these models; their credential is named "simulator"."""
    registry = Registry()
    registry.deliver(Delivery(Snapshot(1, "org", keys(), models, simulated=True), {"simulator": SIMULATOR_CREDENTIAL}))
    journal = journal or MemoryJournal()
    http = Http1Client()
    counters = MemoryCounters(clock)
    gate = Gate(
        clock=clock,
        registry=registry,
        digest=lambda key: digest(PEPPER, key),
        journal=journal,
        counters=counters,
        upstreams=Providers(http, clock, first_byte_timeout_s=limits.first_byte_timeout_s),
        limits=limits,
    )
    forward = ForwardDoor(http, home / "nobody.sock", max_body_bytes=1_000_000)
    app = DoorApp(gate, forward)
    server = DoorServer(app, shutdown_grace_s=1, proxies=proxies)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    port = listener.getsockname()[1]
    async with server.running(listener):
        yield CallPlane(port, journal, registry, http, app, counters)
    for record in journal.settled:  # whatever the test was about: of no call is any time counted twice
        assert 0 <= record.lead_us <= record.total_us
        assert record.waited_us >= 0 and record.upstream_us >= 0
        assert record.waited_us + record.upstream_us <= record.total_us, record
    await http.close()


@pytest.fixture
async def gateway(limits: Limits, pace_s: float, region: str, tmp_path: Path) -> AsyncIterator[Gateway]:
    simulator = Simulator(offered(region), credential=SIMULATOR_CREDENTIAL, clock=SystemClock(), pace_s=pace_s)
    upstream = await simulator.start()
    async with call_plane(models_at(region, upstream), limits, tmp_path) as plane:
        yield Gateway(plane.port, plane.journal, plane.registry, plane.http, plane.app, plane.counters, simulator)
    await simulator.stop()
