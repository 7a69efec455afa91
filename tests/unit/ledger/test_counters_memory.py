"""What holds of the engine in memory alone: it is atomic because it never waits, and it remembers little."""

from collections.abc import Coroutine
from typing import Any

from sekisho.clock import FakeClock
from sekisho.ledger.counters import Admitted, Counters, Demand, Spent
from sekisho.store.counters.memory import MemoryCounters
from sekisho.values import Budget, RateLimit, Scope, Window

KEY = Scope("key", "k1")


def finish(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run to the end without an event loop; RuntimeError if it would have to wait for one."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise RuntimeError("it waited")


def demand(number: int) -> Demand:
    return Demand(number.to_bytes(16, "big"), (KEY,), "m", 10, 10, 1)


def engine(clock: FakeClock, window: Window) -> MemoryCounters:
    """An engine with a hard budget that is loaded, and a limit."""
    counters = MemoryCounters(clock)
    finish(counters.configure((Budget("b", KEY, 10**9, window),), (RateLimit("l", KEY, "", 10**6, 10**6, 1),)))
    (standing,) = finish(counters.standings())
    finish(counters.load((Spent(standing.budget, standing.window_starts_at, 0),), (0, 0)))
    return counters


def test_it_keeps_the_protocol_and_no_step_of_it_waits():
    clock = FakeClock()
    counters: Counters = engine(clock, Window("day"))
    assert isinstance(finish(counters.admit(demand(1))), Admitted)
    finish(counters.settle(demand(1).call_id, 5, 1, (1, 1)))
    assert isinstance(finish(counters.admit(demand(2))), Admitted)
    finish(counters.release(demand(2).call_id))


def test_it_remembers_the_calls_of_the_last_minute_and_those_the_ledger_has_not_shown():
    clock = FakeClock()
    counters = engine(clock, Window("day"))
    for number in range(10_000):
        clock.advance(0.1)
        finish(counters.admit(demand(number)))
        finish(counters.settle(demand(number).call_id, 5, 1, (1, number + 1)))
        finish(counters.load((), (1, number)))
        assert counters.remembered_calls <= 600 + 1
    assert counters.open_calls == 0
    clock.advance(60)
    finish(counters.configure((), ()))
    finish(counters.load((), (1, 10_000)))
    assert counters.remembered_calls == 0


def test_windows_that_ended_are_forgotten_unless_a_call_holds_in_them():
    clock = FakeClock()
    counters = engine(clock, Window("period", period_s=1))
    finish(counters.admit(Demand(b"long", (KEY,), "m", 0, 0, 0)))
    finish(counters.configure((Budget("b", KEY, 10**9, Window("period", period_s=1)),), ()))
    for number in range(1, 50):
        clock.advance(1)
        finish(counters.admit(demand(number)))
        finish(counters.settle(demand(number).call_id, 5, 1, (1, number)))
    clock.step(-10)
    (standing,) = finish(counters.standings())
    assert not standing.is_loaded
    clock.step(-39)
    (standing,) = finish(counters.standings())
    assert standing.is_loaded
    finish(counters.settle(b"long", 3, 0, (1, 50)))
    (standing,) = finish(counters.standings())
    assert (standing.spent_nanousd, standing.reserved_nanousd) == (3, 0)
