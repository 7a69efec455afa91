"""Caps of tasks, counted in memory and shared: as hard as budgets, and never guessed."""

import asyncio
import random

from msgspec.structs import replace

from sekisho.ledger.counters import Admitted, Demand, NoRoom, NotLoaded, TaskDemand, TaskFull, TaskNotLoaded
from sekisho.values import Budget, RateLimit
from tests.contract.counters.conftest import running, valkey_counters
from tests.contract.counters.test_budgets import DAY, DOLLAR, KEY, TEAM, demand, put_in_force

CAP = RateLimit("cap", TEAM, nanousd_per_task=DOLLAR)
FEW = RateLimit("few", TEAM, calls_per_task=3)
TASK = b"t" * 16


def asked(number: int, bound: int, cost: RateLimit | None = CAP, calls: RateLimit | None = None, **task) -> Demand:
    return replace(demand(number, bound), task=TaskDemand(TASK, cost, calls, **task))


async def test_a_task_that_is_not_known_is_asked_for_and_a_new_one_is_not(counters):
    await put_in_force(counters)
    assert await counters.admit(asked(1, 5)) == TaskNotLoaded(TASK)
    await counters.load_task(TASK, DOLLAR - 5, 7)
    assert isinstance(await counters.admit(asked(1, 5)), Admitted)
    assert await counters.admit(asked(2, 1)) == TaskFull(CAP, "cost", 0)
    await counters.load_task(TASK, 0, 0)  # what is known stays
    assert await counters.admit(asked(3, 1)) == TaskFull(CAP, "cost", 0)
    other = replace(demand(4, DOLLAR), task=TaskDemand(b"n" * 16, CAP, None, is_new=True))
    assert isinstance(await counters.admit(other), Admitted)


async def test_what_ended_counts_at_its_cost_and_what_was_released_not_at_all(counters):
    await put_in_force(counters)
    await counters.admit(asked(1, DOLLAR, is_new=True))
    await counters.settle((1).to_bytes(16, "big"), 100, 0, (1, 1))
    await counters.admit(asked(2, DOLLAR - 100))
    assert await counters.admit(asked(3, 1)) == TaskFull(CAP, "cost", 0)
    await counters.release((2).to_bytes(16, "big"))
    assert await counters.admit(asked(4, DOLLAR)) == TaskFull(CAP, "cost", DOLLAR - 100)
    assert isinstance(await counters.admit(asked(5, DOLLAR - 100)), Admitted)


async def test_a_task_makes_as_many_calls_as_it_may_and_refused_ones_do_not_count(counters):
    await put_in_force(counters)
    found = [await counters.admit(asked(number, 1, None, FEW, is_new=number == 0)) for number in range(5)]
    assert [type(one) for one in found] == [Admitted, Admitted, Admitted, TaskFull, TaskFull]
    assert found[-1] == TaskFull(FEW, "calls")


async def test_a_budget_without_room_is_named_first_and_nothing_is_held_of_the_task(counters):
    await put_in_force(counters, Budget("b", KEY, 10, DAY))
    assert isinstance(await counters.admit(asked(1, 11, is_new=True)), NoRoom)
    await counters.configure((), ())
    assert isinstance(await counters.admit(asked(2, DOLLAR, is_new=True)), Admitted)
    await counters.configure((Budget("b", KEY, 10, DAY),), ())
    assert isinstance(await counters.admit(asked(3, 1)), NotLoaded)


async def test_calls_at_once_spend_no_more_than_the_cap(counters):
    chance = random.Random(7)
    await put_in_force(counters)
    await counters.load_task(TASK, 0, 0)
    spent = [0]

    async def call(number: int) -> None:
        bound = chance.randrange(1, DOLLAR // 10)
        if isinstance(await counters.admit(asked(number, bound)), Admitted):
            await asyncio.sleep(0)
            cost = chance.randrange(bound + 1)
            spent[0] += cost
            await counters.settle(number.to_bytes(16, "big"), cost, 0, (1, number + 1))

    await asyncio.gather(*(call(number) for number in range(100)))
    assert DOLLAR // 2 < spent[0] <= DOLLAR
    assert isinstance(await counters.admit(asked(1_000, DOLLAR - spent[0])), Admitted)


async def test_several_processes_share_the_cap(clock, key_name):
    async with (
        running(valkey_counters(clock, key_name)) as first,
        running(valkey_counters(clock, key_name, "call-2.1.b")) as second,
    ):
        await put_in_force(first)
        assert isinstance(await first.admit(asked(1, DOLLAR - 1, is_new=True)), Admitted)
        assert await second.admit(asked(2, 2)) == TaskFull(CAP, "cost", 1)
        await first.settle((1).to_bytes(16, "big"), 10, 0, (1, 1))
        assert isinstance(await second.admit(asked(3, DOLLAR - 10)), Admitted)
