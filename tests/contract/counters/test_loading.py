"""What the ledger says and what the engine knows itself: together each nano-USD once."""

import pytest
from msgspec.structs import replace

from sekisho.ledger.counters import Admitted, NotLoaded, Spent
from sekisho.values import Budget, Window
from tests.contract.counters.test_budgets import DAY, KEY, TEAM, demand, held, put_in_force

BUDGET = Budget("b", TEAM, 1_000, DAY)
NEWCOMER = Budget("n", KEY, 1_000, DAY)


async def spend(counters, number: int, cost: int) -> None:
    """One call whose settled record is the journal's n-th."""
    assert isinstance(await counters.admit(demand(number, cost)), Admitted)
    await counters.settle(demand(number, 0).call_id, cost, 0, (1, number))


async def starts_at(counters) -> int:
    standing, *_ = await counters.standings()
    start: int = standing.window_starts_at
    return start


async def test_a_new_hard_budget_refuses_until_it_is_loaded_and_names_itself(counters):
    await counters.configure((BUDGET, NEWCOMER), ())
    assert await counters.admit(demand(1, 1)) == NotLoaded(BUDGET)
    await counters.load((Spent(BUDGET, await starts_at(counters), 400),), (0, 0))
    assert await counters.admit(demand(2, 1)) == NotLoaded(NEWCOMER)
    await counters.load((Spent(NEWCOMER, await starts_at(counters), 999),), (0, 0))
    assert await counters.admit(demand(3, 1)) == Admitted(1_763_000_000_000_000, 0)


@pytest.mark.parametrize("booked", range(5))
async def test_however_far_the_ledger_is_the_sum_is_the_same(counters, booked):
    await put_in_force(counters, BUDGET)
    for number in range(1, 5):
        await spend(counters, number, 10**number % 997)
    costs = [10**number % 997 for number in range(1, 5)]
    await counters.configure((BUDGET, NEWCOMER), ())
    start = await starts_at(counters)
    await counters.load((Spent(NEWCOMER, start, sum(costs[:booked])),), (1, booked))
    assert await held(counters) == {"b": (sum(costs), 0), "n": (sum(costs), 0)}


async def test_a_call_that_ends_between_the_read_and_its_arrival_is_added_to_it(counters):
    await put_in_force(counters, BUDGET)
    await spend(counters, 1, 100)
    await counters.configure((BUDGET, NEWCOMER), ())
    read = (Spent(NEWCOMER, await starts_at(counters), 100),)
    await counters.admit(demand(2, 50))
    await counters.configure((BUDGET,), ())
    await spend(counters, 3, 7)
    await counters.configure((BUDGET, NEWCOMER), ())
    await counters.load(read, (1, 1))
    assert await held(counters) == {"b": (107, 0), "n": (107, 0)}


async def test_a_record_that_the_ledger_has_before_the_engine_settles_is_not_added_again(counters):
    await put_in_force(counters, BUDGET)
    await counters.admit(demand(1, 50))
    await counters.load((Spent(BUDGET, await starts_at(counters), 30),), (1, 1))
    assert await held(counters) == {"b": (30, 50)}
    await counters.settle(demand(1, 0).call_id, 30, 0, (1, 1))
    assert await held(counters) == {"b": (30, 0)}


async def test_open_calls_hold_in_a_budget_that_is_new(counters):
    await put_in_force(counters, BUDGET)
    await counters.admit(demand(1, 50))
    await put_in_force(counters, BUDGET, NEWCOMER)
    assert await held(counters) == {"b": (0, 50), "n": (0, 50)}
    await counters.settle(demand(1, 0).call_id, 20, 0, (1, 1))
    assert await held(counters) == {"b": (20, 0), "n": (20, 0)}


async def test_a_read_that_is_behind_an_earlier_one_is_turned_away(counters):
    await put_in_force(counters, BUDGET)
    await spend(counters, 1, 30)
    await spend(counters, 2, 40)
    start = await starts_at(counters)
    await counters.load((Spent(BUDGET, start, 70),), (1, 2))
    await counters.load((Spent(BUDGET, start, 30),), (1, 1))
    assert await held(counters) == {"b": (70, 0)}


async def test_a_later_read_brings_corrections(counters):
    await put_in_force(counters, BUDGET)
    await spend(counters, 1, 30)
    await counters.load((Spent(BUDGET, await starts_at(counters), 25),), (1, 1))
    assert await held(counters) == {"b": (25, 0)}


@pytest.mark.parametrize(
    "changed",
    [replace(BUDGET, scope=KEY), replace(BUDGET, model="large"), replace(BUDGET, window=Window("month", "Asia/Tokyo"))],
)
async def test_a_budget_that_counts_something_else_is_new_and_takes_no_read_of_the_old_one(counters, changed):
    await put_in_force(counters, BUDGET)
    old = (Spent(BUDGET, await starts_at(counters), 5),)
    await counters.configure((changed,), ())
    await counters.load(old, (0, 0))
    assert not (await counters.standings())[0].is_loaded
    assert await counters.admit(demand(1, 1, model="large")) == NotLoaded(changed)


async def test_a_time_that_begins_no_window_loads_nothing(counters):
    await counters.configure((BUDGET,), ())
    await counters.load((Spent(BUDGET, await starts_at(counters) + 1, 5),), (0, 0))
    assert not (await counters.standings())[0].is_loaded


async def test_a_window_that_was_left_out_of_a_read_is_empty_from_then_on_and_an_earlier_one_unknown(counters, clock):
    await counters.configure((BUDGET,), ())
    start = await starts_at(counters)
    day = 86_400_000_000
    await counters.load((Spent(BUDGET, start, 5), Spent(BUDGET, start + 2 * day, 7)), (0, 0))
    spent = []
    for _ in range(3):
        spent.append(await held(counters))
        clock.step(86_400)
    assert spent == [{"b": (5, 0)}, {"b": (0, 0)}, {"b": (7, 0)}]
    clock.step(-4 * 86_400)
    assert await counters.admit(demand(1, 1)) == NotLoaded(BUDGET)


async def test_windows_long_past_are_asked_for_again_when_the_clock_is_set_back_to_them(counters, clock):
    await put_in_force(counters, BUDGET)
    for number in range(1, 8):
        await spend(counters, number, number)
        clock.step(86_400)
    clock.step(-7 * 86_400)
    asked = await counters.admit(demand(9, 1))
    assert asked in (NotLoaded(BUDGET), Admitted(clock.now_us(), 998))  # it was forgotten, or is known exactly
    if isinstance(asked, Admitted):
        await counters.release(demand(9, 1).call_id)
    first = await starts_at(counters)
    await counters.load((Spent(BUDGET, first, 1),), (1, 1))
    assert await held(counters) == {"b": (1, 0)}
    clock.step(86_400)
    assert await held(counters) == {"b": (2, 0)}
