"""Plays the month: every call goes through a door, the path and the simulator, at the time that the story gives it.

Above: the command. Below: the parts of a call plane, put together with a clock that jumps from call to call.
"""

import functools
import heapq
import secrets
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import msgspec

from sekisho.access.keys import digest
from sekisho.app.call_plane import limits_of
from sekisho.app.demo.agents import AGENTS, Agent, Request
from sekisho.app.demo.calendar import starts
from sekisho.app.demo.organisation import ALLOWANCES, DEVELOPERS, PREFIX, TIME_ZONE, Allowance, Developer
from sekisho.app.demo.stories import tell
from sekisho.app.simulated import CREDENTIAL_NAME, simulated_models
from sekisho.calls.gate import Gate, Registry
from sekisho.calls.recording import Recorder
from sekisho.clock import SystemClock
from sekisho.dialects import exchange
from sekisho.ledger.catalog import load_catalog
from sekisho.ledger.counters import Spent
from sekisho.ledger.journal_files import JournalWriter
from sekisho.ledger.windows import span_at
from sekisho.record.spool import SpoolWriter
from sekisho.settings import Settings
from sekisho.simulator.answer import Answer
from sekisho.simulator.behaviours import Behaviour
from sekisho.simulator.credentials import SIMULATOR_CREDENTIAL
from sekisho.simulator.server import Simulator
from sekisho.store.counters.memory import MemoryCounters
from sekisho.upstream.http1 import Http1Client, Origin
from sekisho.upstream.providers import Providers
from sekisho.values import Budget, Delivery, Language, Model, Scope, Snapshot, Window
from sekisho.web.doors.app import DoorApp
from sekisho.web.doors.forward import ForwardDoor
from sekisho.web.doors.server import DoorServer

_PACE_S = 0.02
_NANOUSD = 1_000_000_000
_ANSWER_BYTES = 16_000_000
_TIMEOUT_S = 60.0


class StoryClock:
    """Real time flows, and jumps forward to where the story wants to be."""

    def __init__(self, starts_at_us: int) -> None:
        self._real = SystemClock()
        self._shift_us = starts_at_us - self._real.now_us()
        self._passed_us = 0

    def now_us(self) -> int:
        return self._real.now_us() + self._shift_us

    def monotonic_us(self) -> int:
        return self._real.monotonic_us() + self._passed_us

    def jump_to(self, at_us: int) -> None:
        """Let it be that time, if it is not later already."""
        self.pass_s((at_us - self.now_us()) / 1_000_000)

    def pass_s(self, seconds: float) -> None:
        """Let time pass on both faces; never back."""
        if seconds > 0:
            self._shift_us += int(seconds * 1_000_000)
            self._passed_us += int(seconds * 1_000_000)


class Teller:
    """The simulated model's script: it says what the story has laid ready, after the time that thinking takes."""

    def __init__(self, clock: StoryClock, random: Random) -> None:
        self._clock = clock
        self._random = random
        self.ready: Answer | None = None

    def __call__(
        self,
        request: exchange.Request,
        model: Model,
        behaviours: Sequence[Behaviour],
        *,
        room: int,
        id_prefix: str,
        random: Random,
    ) -> Answer:
        assert self.ready is not None
        self._clock.pass_s(self._random.lognormvariate(0.1, 0.5))
        return self.ready


class Play:
    """One month on its way. Use: `run`, once."""

    def __init__(
        self,
        settings: Settings,
        snapshot: Snapshot,
        language: Language,
        *,
        seed: int = 1,
        scale: float = 1.0,
        on_task: Callable[[int, int], None] = lambda done, whole: None,
    ) -> None:
        """`snapshot`: with the keys of the demonstration. `scale` 0.5: half as many tasks. `on_task` hears how far it
        is."""
        self._settings = settings
        self._language = language
        self._random = Random(seed)
        self._starts = list(starts(SystemClock().now_us(), self._random, scale))
        self._clock = StoryClock(self._starts[0].at_us if self._starts else SystemClock().now_us())
        self._teller = Teller(self._clock, self._random)
        self._on_task = on_task
        self._pepper = secrets.token_bytes(32)  # these keys open nothing but this play's own door
        self._raw_keys = {one.key_alias: "sk-" + secrets.token_urlsafe(24) for one in DEVELOPERS}
        self._snapshot = msgspec.structs.replace(
            snapshot,
            keys=tuple(
                msgspec.structs.replace(key, digest=digest(self._pepper, self._raw_keys[key.alias]))
                for key in snapshot.keys
                if key.alias in self._raw_keys
            ),
            budgets=tuple(_budget(one) for one in ALLOWANCES),
            limits=(),
        )

    async def run(self) -> int:
        """Call all of it; how many calls that was. They are in the journal then, of a process that has ended."""
        catalog = load_catalog()
        simulator = Simulator(
            simulated_models(catalog, "http://127.0.0.1"),
            clock=self._clock,
            pace_s=_PACE_S,
            script=self._teller,
            sleep=self._let_pass,
        )
        url = await simulator.start()
        try:
            async with self._call_plane(simulated_models(catalog, url)) as origin:
                return await self._play(origin)
        finally:
            await simulator.stop()

    async def _let_pass(self, seconds: float) -> None:
        self._clock.pass_s(seconds)

    @asynccontextmanager
    async def _call_plane(self, models: tuple[Model, ...]) -> AsyncIterator[Origin]:
        """A door on loopback over the product's own parts; its journal is drained by the Sekisho of the home."""
        home, clock = Path(self._settings.home), self._clock
        limits = limits_of(self._settings)
        snapshot = msgspec.structs.replace(self._snapshot, models=models)
        registry = Registry()
        registry.deliver(Delivery(snapshot, {CREDENTIAL_NAME: SIMULATOR_CREDENTIAL}))
        counters = MemoryCounters(clock)
        await counters.configure(snapshot.budgets, ())
        await counters.load(tuple(_unspent(snapshot.budgets, clock.now_us())), (0, 0))
        process_id = f"{PREFIX}{secrets.token_hex(6)}"
        journal = JournalWriter(home / "journal", process_id)
        spool = SpoolWriter(home / "spool", process_id, clock, most_bytes=self._settings.content_spool_bytes)
        http = Http1Client()
        gate = Gate(
            clock=clock,
            registry=registry,
            digest=functools.partial(digest, self._pepper),
            journal=journal,
            counters=counters,
            upstreams=Providers(http, clock, first_byte_timeout_s=limits.first_byte_timeout_s),
            limits=limits,
            language=self._language,
            process_id=process_id,
            recorder=Recorder(spool, clock, lambda: snapshot.content_generation),
        )
        app = DoorApp(gate, ForwardDoor(http, home / "run" / "nobody.sock", max_body_bytes=1_000_000))
        listener = socket.create_server(("127.0.0.1", 0))
        try:
            async with DoorServer(app, shutdown_grace_s=1).running(listener):
                yield Origin("http", *listener.getsockname()[:2])
        finally:
            await http.close()
            journal.close()
            spool.close()

    async def _play(self, origin: Origin) -> int:
        """Let the agents take turns by the time of the story."""
        client = Http1Client()
        waiting: list[tuple[int, int, Agent]] = []
        to_come, calls, done = deque(self._starts), 0, 0
        try:
            while waiting or to_come:
                if to_come and (not waiting or to_come[0].at_us <= waiting[0][0]):
                    start = to_come.popleft()
                    heapq.heappush(waiting, (start.at_us, start.number, self._agent(start.developer)))
                    continue
                at_us, number, agent = heapq.heappop(waiting)
                request = agent.next()
                if request is None:
                    done += 1
                    self._on_task(done, len(self._starts))
                    continue
                self._clock.jump_to(at_us)
                is_answered = await self._call(client, origin, request)
                calls += 1
                if is_answered:
                    heapq.heappush(waiting, (self._clock.now_us() + self._pause_us(), number, agent))
        finally:
            await client.close()
        return calls

    def _agent(self, developer: Developer) -> Agent:
        story = tell(self._random, self._language)
        return AGENTS[developer.agent](
            story, developer.model, self._random, self._raw_keys[developer.key_alias], developer.habit
        )

    def _pause_us(self) -> int:
        """The tool that the agent runs, or a person who reads the answer; now and then longer than a cache lives."""
        seconds = (
            self._random.lognormvariate(2.0, 0.8) if self._random.random() < 0.96 else self._random.uniform(60, 900)
        )
        return int(seconds * 1_000_000)

    async def _call(self, client: Http1Client, origin: Origin, request: Request) -> bool:
        """One call; whether it was answered. A refusal ends the task, as it ends the agent's."""
        self._teller.ready = request.answer
        response = await client.send(
            origin, b"POST", request.path.encode(), request.headers, request.body, first_byte_timeout_s=_TIMEOUT_S
        )
        await response.read(_ANSWER_BYTES, _TIMEOUT_S)
        return response.status == 200


def _budget(one: Allowance) -> Budget:
    scope = Scope("member", f"{one.team}/{one.user}") if one.user else Scope("team", one.team)
    return Budget(f"{PREFIX}{scope.kind}-{scope.id}", scope, one.amount_usd * _NANOUSD, Window("month", TIME_ZONE))


def _unspent(budgets: tuple[Budget, ...], now_us: int) -> Iterator[Spent]:
    for budget in budgets:
        span = span_at(budget.window, now_us)
        if span is not None:
            yield Spent(budget, span.starts_at, 0)
