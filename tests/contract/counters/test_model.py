"""Counters against the brute-force model: whatever happens in whatever order, both say the same."""

import asyncio
import secrets
from fractions import Fraction
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sekisho.clock import FakeClock
from sekisho.ledger.counters import Admitted, Counters, Demand, Due, NoRoom, NotLoaded, TooFast, Verdict
from sekisho.ledger.windows import Span, span_at
from sekisho.store.counters.memory import MemoryCounters
from sekisho.store.counters.valkey import ValkeyCounters
from sekisho.values import END_OF_TIME, Budget, BudgetStep, RateLimit, Scope, Window
from tests.contract.counters.conftest import remove_keys, valkey_counters
from tests.contract.counters.model import ENDED, Model, ModelCall, Read, window_name
from tests.thorough import examples

SCOPES = (Scope("org", "o"), Scope("team", "t"), Scope("user", "u"), Scope("key", "k"))
MODELS = ("large", "small")
SECOND = 1_000_000
DAY = 86_400 * SECOND
MOMENTS = (
    1_772_956_790 * SECOND,  # ten seconds before New York's clocks go forward, 8 March 2026
    1_774_745_990 * SECOND,  # before London's do, 29 March 2026
    1_775_314_790 * SECOND,  # before Lord Howe's go back by half an hour, 5 April 2026
    1_793_512_790 * SECOND,  # before New York's go back, 1 November 2026
    1_798_729_190 * SECOND,  # before the year 2027 begins in Tokyo
)
ZONES = ("UTC", "Asia/Tokyo", "America/New_York", "Europe/London", "Australia/Lord_Howe", "America/Havana")

AMOUNTS = st.integers(0, 400) | st.integers(200, 2_000)
CALENDAR_WINDOWS = st.builds(Window, st.sampled_from(("day", "week", "month")), st.sampled_from(ZONES))
PERIODS = st.builds(
    Window, st.just("period"), period_s=st.sampled_from((1, 60, 3_600)), starts_at=st.sampled_from((0, 1_500_000))
)
FIXED = st.sampled_from(MOMENTS).flatmap(
    lambda moment: st.sampled_from(
        (
            Window("fixed", starts_at=moment - DAY, ends_at=moment + 60 * SECOND),
            Window("fixed", starts_at=moment + 30 * SECOND, ends_at=moment + DAY),
            Window("fixed"),
        )
    )
)
TIMES = st.sampled_from(MOMENTS).flatmap(lambda moment: st.integers(moment - DAY, moment + DAY))
STEPS = st.builds(BudgetStep, st.integers(1, 150), st.just("slow_down"))
BUDGETS = st.lists(
    st.builds(
        Budget,
        st.sampled_from(("b0", "b1", "b2", "b3", "b4")),
        st.sampled_from(SCOPES),
        AMOUNTS,
        CALENDAR_WINDOWS | PERIODS | FIXED,
        model=st.sampled_from(("", "", "large")),
        is_hard=st.sampled_from((True, True, False)),
        increase_nanousd=st.integers(0, 100),
        increase_until=st.just(0) | TIMES,
        credit_nanousd=st.integers(0, 100),
        steps=st.just(()) | st.lists(STEPS, max_size=3).map(tuple),
    ),
    max_size=5,
    unique_by=lambda budget: budget.id,
)
LIMITS = st.lists(
    st.builds(
        RateLimit,
        st.sampled_from(("l0", "l1", "l2")),
        st.sampled_from(SCOPES),
        st.sampled_from(("", "", "small")),
        st.none() | st.integers(0, 4),
        st.none() | st.integers(0, 300),
        st.none() | st.integers(0, 4),
    ),
    max_size=3,
    unique_by=lambda limit: limit.id,
)
STEPS_S = (-40 * 86_400, -86_400, -3_600, -61, -1, 1, 61, 3_600, 86_400, 40 * 86_400)


class CountersMachine(RuleBasedStateMachine):
    """The world around some engines that share their counts, one for each process: a clock, a configuration, calls,
    journals and a ledger."""

    processes = 1

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.model = Model()
        self.reads: list[Read] = []
        self.admitted = 0
        self.started = 0
        self.engines: dict[str, Counters] = {}

    def teardown(self) -> None:
        for process in list(self.engines):
            self.stop_engine(process)
        self.loop.close()

    def make_engine(self, process: str) -> Counters:
        return MemoryCounters(self.clock)

    def stop_engine(self, process: str) -> None:
        del self.engines[process]

    def start_engine(self) -> str:
        """A new process and its engine."""
        self.started += 1
        process = f"p{self.started}"
        self.engines[process] = self.make_engine(process)
        return process

    def start_engines(self) -> None:
        self.model.processes = tuple(self.start_engine() for _ in range(self.processes))

    def any_engine(self, number: int) -> tuple[str, Counters]:
        process = self.model.processes[number % len(self.model.processes)]
        return process, self.engines[process]

    @property
    def counters(self) -> Counters:
        return self.any_engine(self.admitted)[1]

    def run(self, coroutine) -> Any:
        return self.loop.run_until_complete(coroutine)

    @property
    def at(self) -> Fraction:
        return Fraction(self.clock.monotonic_us(), SECOND)

    @initialize(
        moment=st.sampled_from(MOMENTS),
        budgets=BUDGETS,
        limits=LIMITS,
        focus=st.sampled_from(("budgets", "budgets", "limits", "both")),
    )
    def start(self, moment, budgets, limits, focus) -> None:
        """Where one of the two refuses, the other is not asked: so some runs have but one of them."""
        self.focus = focus
        self.clock = FakeClock(moment)
        self.start_engines()
        self.highest: dict[str, tuple[int, ...]] = {}
        self.configure(budgets, limits, False, True)

    @rule(budgets=BUDGETS, limits=LIMITS, has_credit=st.booleans(), is_loaded=st.booleans())
    def configure(self, budgets, limits, has_credit, is_loaded) -> None:
        """Other budgets, of which some stay."""
        kept = self.model.budgets[::2]
        budgets = [*kept, *(one for one in budgets if one.id not in {budget.id for budget in kept})]
        now_us = self.clock.now_us()
        if has_credit:
            spans = {budget.id: span_at(budget.window, now_us) for budget in budgets}
            budgets = [
                self._changed(one, credit_from=span.starts_at if (span := spans[one.id]) else 0) for one in budgets
            ]
        self._configure(tuple(budgets), tuple(limits))
        if is_loaded:
            self.load_all()

    @rule(data=st.data())
    def change_terms(self, data) -> None:
        """What keeps the counts: other amounts, soft becomes hard."""
        changed = [
            self._changed(budget, amount_nanousd=data.draw(AMOUNTS), is_hard=data.draw(st.booleans()))
            for budget in self.model.budgets
        ]
        self._configure(tuple(changed), self.model.limits)

    @rule(
        scopes=st.just(SCOPES) | st.lists(st.sampled_from(SCOPES), min_size=1, max_size=3, unique=True),
        model=st.sampled_from(MODELS),
        bound=st.integers(0, 120),
        estimate=st.integers(0, 120),
        tokens=st.integers(0, 200),
        calls=st.integers(1, 6),
        pause_s=st.just(0) | st.floats(0, 15),
        heeds_steps=st.booleans(),
    )
    def admit(self, scopes, model, bound, estimate, tokens, calls, pause_s, heeds_steps=False) -> None:
        for _ in range(calls):
            self.clock.advance(pause_s)
            self.admitted += 1
            call_id = self.admitted.to_bytes(16, "big")
            demand = Demand(call_id, tuple(scopes), model, bound, estimate, tokens, heeds_steps)
            loaded = {standing.budget.id for standing in self.run(self.counters.standings()) if standing.is_loaded}
            process, counters = self.any_engine(self.admitted)
            verdict = self.run(counters.admit(demand))
            self._judge(demand, verdict, loaded)
            if isinstance(verdict, Admitted):
                call = ModelCall(demand, verdict.admitted_at, self.at, process, demand.tokens)
                call.restarts = self.model.restarts
                self.model.calls.append(call)

    def _judge(self, demand: Demand, verdict: Verdict, loaded: set[str]) -> None:
        now_us = self.clock.now_us()
        hard = self.model.hard_budgets(demand, now_us)
        rooms = {budget.id: self.model.room(budget, now_us) for budget in hard if budget.id in loaded}
        short = [budget for budget in hard if rooms.get(budget.id, demand.bound_nanousd) < demand.bound_nanousd]
        unknown = [budget for budget in hard if budget.id not in loaded]
        waits = self.model.waits(demand, self.at)
        passed = self.model.passed(demand, loaded, now_us) if demand.heeds_steps else []
        if passed:
            assert isinstance(verdict, Due)
            said = [(one.budget.id, one.spent_nanousd, one.ceiling_nanousd) for one in verdict.passed]
            assert said == passed
        elif short:
            least = min(short, key=lambda budget: rooms[budget.id])
            span = span_at(least.window, now_us)
            ends_at = span.ends_at if span and span.ends_at < END_OF_TIME else None
            assert verdict == NoRoom(least, max(rooms[least.id], 0), ends_at)
        elif unknown:
            assert verdict == NotLoaded(unknown[0])
        elif waits:
            assert isinstance(verdict, TooFast)
            assert waits[verdict.limit.id, verdict.kind] == max(waits.values())
            assert verdict.retry_after_s == min(max(waits.values()), 59)
        else:
            least_room = min(rooms.values()) - demand.bound_nanousd if rooms else None
            assert verdict == Admitted(now_us, least_room)

    @precondition(lambda self: self._open())
    @rule(data=st.data(), calls=st.integers(1, 5))
    def settle(self, data, calls) -> None:
        for _ in range(calls):
            if not self._open():
                return
            call = data.draw(st.sampled_from(self._open()))
            self._append(call, data)
            call.tokens = data.draw(st.integers(0, 250))
            call.is_open = False
            for _ in range(data.draw(st.integers(1, 2))):
                self.run(self._of(call).settle(call.demand.call_id, call.cost, call.tokens, call.position))

    @precondition(lambda self: self._open())
    @rule(data=st.data(), is_loaded=st.booleans())
    def journal_only(self, data, is_loaded) -> None:
        """The record is written, and the drain may be faster than the engine hears of it."""
        for call in self._open()[:3]:
            self._append(call, data)
        if is_loaded:
            self.drain(50)
            self.load_all()

    def _append(self, call: ModelCall, data) -> None:
        if call.position is None:
            self.model.append(call, data.draw(st.integers(0, call.demand.bound_nanousd)))

    @precondition(lambda self: self._open())
    @rule(data=st.data())
    def release(self, data) -> None:
        call = data.draw(st.sampled_from(self._open()))
        if call.position is None:
            call.is_open, call.is_released, call.tokens = False, True, 0
            self.run(self._of(call).release(call.demand.call_id))
            self.run(self._of(call).release(call.demand.call_id))

    @rule(number=st.integers(0, 50))
    def settle_unknown(self, number) -> None:
        self.run(self.counters.settle(b"unknown", number, number, (999, number)))
        self.run(self.counters.release(b"unknown"))

    @rule(records=st.integers(1, 6) | st.just(50))
    def drain(self, records) -> None:
        self.model.drain(records)

    @rule(data=st.data())
    def read(self, data) -> None:
        budgets = [budget for budget in self.model.budgets if data.draw(st.booleans())]
        self.reads.append(self.model.read(tuple(budgets), self.clock.now_us()))

    @precondition(lambda self: self.reads)
    @rule(data=st.data())
    def load(self, data) -> None:
        """Any read that was ever made in this life of the process, in any order."""
        self._load(data.draw(st.sampled_from(self.reads)))

    @rule()
    def load_all(self) -> None:
        self._load(self.model.read(self.model.budgets, self.clock.now_us()))

    def _load(self, read: Read) -> None:
        self.model.load(read)
        process, counters = self.any_engine(0)
        self.run(counters.load(read.spent, read.booked[process]))

    @rule(seconds=st.sampled_from((0.000001, 0.3, 1, 7.25, 29.999999, 59, 59.999999, 60, 61, 3_600)))
    def wait(self, seconds) -> None:
        self.clock.advance(seconds)

    @rule(seconds=st.sampled_from(STEPS_S))
    def step_wall_clock(self, seconds) -> None:
        self.clock.step(seconds)

    @precondition(lambda self: self.model.budgets)
    @rule(data=st.data(), offset_us=st.integers(-1, 1), is_end=st.booleans())
    def go_to_edge(self, data, offset_us, is_end) -> None:
        """Set the clock beside the end of a window, or beside its beginning."""
        self._go_beside_edge(data.draw(st.sampled_from(self.model.budgets)), offset_us, is_end)

    @precondition(lambda self: self.model.budgets)
    @rule(data=st.data(), windows=st.integers(1, 6), is_set_back=st.booleans())
    def go_through_windows(self, data, windows, is_set_back) -> None:
        """Call in one window of a budget after the other; then, maybe, set the clock back."""
        budget = data.draw(st.sampled_from(self.model.budgets))
        before = self.clock.now_us()
        for _ in range(windows):
            self._go_beside_edge(budget, 0, True)
            self.admit(SCOPES, "large", data.draw(st.integers(0, 9)), 1, 1, 1, 0)
            self.standings_agree()
        if is_set_back:
            self.clock.step((before - self.clock.now_us()) / SECOND)

    def _go_beside_edge(self, budget: Budget, offset_us: int, is_end: bool) -> None:
        now_us = self.clock.now_us()
        span = span_at(budget.window, now_us) or Span(budget.window.starts_at, budget.window.ends_at)
        edge = span.ends_at if is_end else span.starts_at
        if abs(edge - now_us) < 50 * DAY:
            self.clock.step((edge + offset_us - now_us) / SECOND)

    @rule(is_loaded=st.booleans())
    def restart(self, is_loaded) -> None:
        for process in self.model.processes:
            self.stop_engine(process)
        self.forget_counts()
        self.model.restart(())
        self.start_engines()
        self.reads.clear()
        self.highest.clear()
        self.configure_engines()
        if is_loaded:
            self.load_all()

    @invariant()
    def standings_agree(self) -> None:
        if not self.engines:
            return
        now_us = self.clock.now_us()
        standings = {standing.budget.id: standing for standing in self.run(self.counters.standings())}
        for budget in self.model.budgets:
            name = window_name(budget.window, now_us)
            assert (name is not None) == (budget.id in standings)
            if name is None:
                continue
            standing = standings[budget.id]
            assert standing.budget == budget
            assert standing.window_starts_at <= now_us < standing.window_ends_at
            self._judge_loaded(budget, name, standing.is_loaded)
            if standing.is_loaded:
                assert standing.spent_nanousd == self.model.spent(budget, now_us)
                assert standing.reserved_nanousd == self.model.reserved(budget, now_us)

    def _judge_loaded(self, budget: Budget, name: tuple[int, ...], is_loaded: bool) -> None:
        """Exactly what the reads named; but a clock that is set back may have to ask again."""
        was_later = self.highest.get(budget.id, name) > name
        self.highest[budget.id] = max(self.highest.get(budget.id, name), name)
        expected = self.model.is_loaded(budget, self.clock.now_us())
        assert is_loaded == expected or (was_later and expected)
        if not is_loaded and expected:
            self.model.forgotten.setdefault(budget.id, set()).add(name)

    def _open(self) -> list[ModelCall]:
        return [call for call in self.model.calls if call.is_open]

    def _of(self, call: ModelCall) -> Counters:
        return self.engines[call.process]

    def forget_counts(self) -> None:
        """What processes share is lost."""

    def configure_engines(self) -> None:
        for counters in self.engines.values():
            self.run(counters.configure(self.model.budgets, self.model.limits))

    def _configure(self, budgets: tuple[Budget, ...], limits: tuple[RateLimit, ...]) -> None:
        budgets = () if self.focus == "limits" else budgets
        limits = () if self.focus == "budgets" else limits
        before = {budget.id: budget for budget in self.model.budgets}
        self.model.configure(budgets, limits)
        for budget in budgets:
            if budget.id not in self.model.reads or before[budget.id].window != budget.window:
                self.highest.pop(budget.id, None)
        self.configure_engines()

    @staticmethod
    def _changed(budget: Budget, **changes) -> Budget:
        return Budget(**{name: getattr(budget, name) for name in budget.__struct_fields__} | changes)


class ValkeyMachine(CountersMachine):
    """Three processes on one Valkey. They die, one or all of them, and the store may be lost."""

    processes = 3

    def __init__(self) -> None:
        super().__init__()
        self.name = f"test-{secrets.token_hex(6)}"
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def teardown(self) -> None:
        super().teardown()
        remove_keys(self.name)

    def make_engine(self, process: str) -> Counters:
        counters = valkey_counters(self.clock, self.name, process)
        self.tasks[process] = self.loop.create_task(counters.run())
        return counters

    def stop_engine(self, process: str) -> None:
        super().stop_engine(process)
        task = self.tasks.pop(process)
        task.cancel()
        self.run(asyncio.wait([task]))

    def forget_counts(self) -> None:
        remove_keys(self.name)

    def _load(self, read: Read) -> None:
        self.model.load(read)
        booked = {process: None if position == ENDED else position for process, position in read.booked.items()}
        counters = self.counters
        assert isinstance(counters, ValkeyCounters)
        ticket = self.run(counters.begin_load(is_urgent=True))
        self.run(counters.load_ledger(read.spent, booked, (), ticket))

    @rule(number=st.integers(0, 2))
    def kill(self, number) -> None:
        """One process dies; its journal is booked to the end, and the next read says so. Another takes its place."""
        process, _ = self.any_engine(number)
        self.stop_engine(process)
        self.model.end(process)
        self.model.drain(50)
        new = self.start_engine()
        self.model.processes = tuple(new if one == process else one for one in self.model.processes)
        self.run(self.engines[new].configure(self.model.budgets, self.model.limits))
        self.load_all()


TestMemoryCounters = CountersMachine.TestCase
TestMemoryCounters.settings = settings(max_examples=examples(60), stateful_step_count=40)
TestValkeyCounters = ValkeyMachine.TestCase
TestValkeyCounters.settings = settings(max_examples=examples(15), stateful_step_count=40)
