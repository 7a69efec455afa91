"""Budgets: what a hard one lets through, and what refusals say."""

import asyncio
import random

from msgspec.structs import replace

from sekisho.ledger.counters import Admitted, Demand, NoRoom, NotLoaded, Spent, TooFast
from sekisho.values import Budget, RateLimit, Scope, Window
from tests.thorough import seeds

DOLLAR = 1_000_000_000
TEAM, KEY, USER = Scope("team", "platform"), Scope("key", "k1"), Scope("user", "alice")
DAY = Window("day", "Asia/Tokyo")


def demand(number: int, bound: int, *scopes: Scope, tokens: int = 0, estimate: int = 0, model: str = "m") -> Demand:
    return Demand(number.to_bytes(16, "big"), scopes or (TEAM, USER, KEY), model, bound, estimate, tokens)


async def put_in_force(counters, *budgets: Budget, limits: tuple[RateLimit, ...] = ()) -> None:
    """Configure, and load a ledger that is empty."""
    await counters.configure(budgets, limits)
    standings = await counters.standings()
    await counters.load(tuple(Spent(one.budget, one.window_starts_at, 0) for one in standings), (0, 0))


async def held(counters) -> dict[str, tuple[int, int]]:
    """Spent and reserved, by budget."""
    return {one.budget.id: (one.spent_nanousd, one.reserved_nanousd) for one in await counters.standings()}


@seeds(2)
async def test_200_concurrent_calls_spend_no_more_than_the_dollar_and_whatever_fits_passes(counters, seed):
    chance = random.Random(seed)
    await put_in_force(counters, Budget("b", TEAM, DOLLAR, DAY))
    spent, reserved, ended, refused, highest = 0, 0, 0, 0, 0

    async def call(number: int) -> None:
        nonlocal spent, reserved, ended, refused, highest
        for _ in range(chance.randrange(30)):
            await asyncio.sleep(0)
        bound = chance.randrange(1, DOLLAR // 10)
        fits = spent + reserved + bound <= DOLLAR  # as of now: an engine takes what it is asked in this order
        reserved += bound if fits else 0
        verdict = await counters.admit(demand(number, bound))
        assert isinstance(verdict, Admitted) == fits
        if not fits:
            refused += 1
            return
        highest = max(highest, spent + reserved)
        for _ in range(chance.randrange(20)):
            await asyncio.sleep(0)
        cost = chance.randrange(bound + 1)
        ended += 1
        reserved, spent = reserved - bound, spent + cost
        await counters.settle(number.to_bytes(16, "big"), cost, 0, (1, ended))

    await asyncio.gather(*(call(number) for number in range(200)))
    assert DOLLAR * 0.95 < highest <= DOLLAR
    assert refused + ended == 200 and refused > 0
    assert await held(counters) == {"b": (spent, 0)}


async def test_10_000_calls_leave_nothing_behind(counters):
    limit = RateLimit("l", KEY, parallel=1)
    await put_in_force(counters, Budget("b", TEAM, DOLLAR, DAY), limits=(limit,))
    for number in range(10_000):
        assert isinstance(await counters.admit(demand(number, 100)), Admitted)
        if number % 3:
            await counters.settle(number.to_bytes(16, "big"), 7, 0, (1, number))
        else:
            await counters.release(number.to_bytes(16, "big"))
    assert await held(counters) == {"b": (7 * 6_666, 0)}
    assert isinstance(await counters.admit(demand(0, DOLLAR - 7 * 6_666)), Admitted)


async def test_a_budget_is_used_to_the_last_nanodollar(counters):
    await put_in_force(counters, Budget("b", TEAM, 100, DAY))
    assert await counters.admit(demand(1, 99)) == Admitted(admitted_at=1_763_000_000_000_000, least_room_nanousd=1)
    assert isinstance(await counters.admit(demand(2, 2)), NoRoom)
    assert isinstance(await counters.admit(demand(3, 1)), Admitted)
    assert isinstance(await counters.admit(demand(4, 1)), NoRoom)


async def test_a_refusal_holds_nothing_anywhere(counters):
    wide, narrow = Budget("wide", TEAM, 1_000, DAY), Budget("narrow", KEY, 10, DAY)
    soft, limit = Budget("soft", USER, 10, DAY, is_hard=False), RateLimit("l", KEY, "", 1, 100, 1)
    await put_in_force(counters, wide, soft, narrow, limits=(limit,))
    assert isinstance(await counters.admit(demand(1, 11, tokens=100, estimate=5)), NoRoom)
    assert isinstance(await counters.admit(demand(2, 10, tokens=100, estimate=5)), Admitted)
    await counters.settle(demand(2, 0).call_id, 0, 100, (1, 1))
    assert isinstance(await counters.admit(demand(3, 10, tokens=1)), TooFast)
    assert await held(counters) == {"wide": (0, 0), "soft": (0, 0), "narrow": (0, 0)}


async def test_a_soft_budget_reserves_the_estimate_and_refuses_nothing_even_before_it_is_loaded(counters):
    soft = Budget("soft", TEAM, 10, DAY, is_hard=False)
    await counters.configure((soft,), ())
    assert await counters.admit(demand(1, 500, estimate=30)) == Admitted(1_763_000_000_000_000, None)
    await counters.load((Spent(soft, (await counters.standings())[0].window_starts_at, 70),), (0, 0))
    assert await held(counters) == {"soft": (70, 30)}


async def test_of_several_budgets_without_room_the_one_with_the_least_is_named_then_the_widest(counters):
    budgets = (Budget("k", KEY, 5, DAY), Budget("u", USER, 3, DAY), Budget("t", TEAM, 3, DAY))
    await put_in_force(counters, *budgets)
    verdict = await counters.admit(demand(1, 6))
    assert isinstance(verdict, NoRoom)
    assert (verdict.budget.id, verdict.room_nanousd) == ("t", 3)


async def test_a_budget_for_one_model_leaves_other_models_alone(counters):
    await put_in_force(counters, Budget("b", TEAM, 5, DAY, model="large"))
    assert isinstance(await counters.admit(demand(1, 6, model="large")), NoRoom)
    assert isinstance(await counters.admit(demand(2, 6, model="small")), Admitted)
    assert await held(counters) == {"b": (0, 0)}


async def test_the_next_window_begins_empty_and_a_long_call_settles_in_the_one_it_began_in(counters, clock):
    budget = Budget("b", TEAM, 100, Window("period", period_s=3_600, starts_at=clock.now_us()))
    await put_in_force(counters, budget)
    await counters.admit(demand(1, 100))
    refusal = await counters.admit(demand(2, 1))
    assert isinstance(refusal, NoRoom) and refusal.resets_at == clock.now_us() + 3_600_000_000
    clock.advance(3_600)
    assert isinstance(await counters.admit(demand(3, 60)), Admitted)
    await counters.settle(demand(1, 0).call_id, 90, 0, (1, 1))
    assert await held(counters) == {"b": (0, 60)}
    clock.step(-1)
    assert await held(counters) == {"b": (90, 0)}
    assert isinstance(await counters.admit(demand(4, 11)), NoRoom)
    assert isinstance(await counters.admit(demand(5, 10)), Admitted)


async def test_a_fixed_budget_counts_only_inside_its_window(counters, clock):
    now_us = clock.now_us()
    await put_in_force(counters, Budget("b", TEAM, 5, Window("fixed", starts_at=now_us, ends_at=now_us + 10_000_000)))
    refusal = await counters.admit(demand(1, 6))
    assert isinstance(refusal, NoRoom) and refusal.resets_at == now_us + 10_000_000
    clock.advance(10)
    assert isinstance(await counters.admit(demand(2, 6)), Admitted)
    assert await counters.standings() == ()


async def test_a_fixed_budget_is_in_force_from_the_moment_it_begins(counters, clock):
    budget = Budget("b", TEAM, 5, Window("fixed", starts_at=clock.now_us() + 10_000_000))
    await put_in_force(counters, budget, Budget("other", TEAM, 100, DAY))
    assert isinstance(await counters.admit(demand(1, 6)), Admitted)
    clock.advance(10)
    assert await counters.admit(demand(2, 6)) == NotLoaded(budget)


async def test_a_clock_that_is_set_back_finds_the_windows_as_they_were(counters, clock):
    await put_in_force(counters, Budget("b", TEAM, 10, DAY))
    await counters.admit(demand(1, 7))
    clock.step(86_400)
    await counters.admit(demand(2, 2))
    clock.step(-86_400)
    assert isinstance(await counters.admit(demand(3, 4)), NoRoom)
    assert isinstance(await counters.admit(demand(4, 3)), Admitted)
    clock.step(86_400)
    assert isinstance(await counters.admit(demand(5, 8)), Admitted)


async def test_a_budget_for_good_never_resets(counters):
    await put_in_force(counters, Budget("b", TEAM, 5, Window("fixed")))
    refusal = await counters.admit(demand(1, 6))
    assert isinstance(refusal, NoRoom) and refusal.resets_at is None


async def test_an_increase_is_there_until_its_time_and_a_credit_in_its_window(counters, clock):
    budget = Budget("b", TEAM, 5, Window("period", period_s=3_600, starts_at=clock.now_us()))
    await put_in_force(counters, budget)
    more = replace(budget, increase_nanousd=2, increase_until=clock.now_us() + 1, credit_nanousd=1)
    await counters.configure((replace(more, credit_from=clock.now_us()),), ())
    verdict = await counters.admit(demand(1, 9))
    assert isinstance(verdict, NoRoom) and verdict.room_nanousd == 8
    clock.step(0.000001)
    verdict = await counters.admit(demand(2, 7))
    assert isinstance(verdict, NoRoom) and verdict.room_nanousd == 6
    clock.advance(3_600)
    verdict = await counters.admit(demand(3, 9))
    assert isinstance(verdict, NoRoom) and verdict.room_nanousd == 5


async def test_a_changed_amount_is_in_force_at_once_and_what_is_held_stays_held(counters):
    budget = Budget("b", TEAM, 100, DAY)
    await put_in_force(counters, budget)
    await counters.admit(demand(1, 80))
    await counters.configure((replace(budget, amount_nanousd=50),), ())
    verdict = await counters.admit(demand(2, 1))
    assert isinstance(verdict, NoRoom) and verdict.room_nanousd == 0
    await counters.settle(demand(1, 0).call_id, 20, 0, (1, 1))
    assert isinstance(await counters.admit(demand(3, 30)), Admitted)


async def test_a_soft_budget_that_becomes_hard_holds_the_bounds_of_open_calls(counters):
    soft = Budget("b", TEAM, 100, DAY, is_hard=False)
    await put_in_force(counters, soft)
    await counters.admit(demand(1, 90, estimate=10))
    await counters.configure((replace(soft, is_hard=True),), ())
    assert await held(counters) == {"b": (0, 90)}
    await counters.settle(demand(1, 0).call_id, 40, 0, (1, 1))
    assert await held(counters) == {"b": (40, 0)}


async def test_settling_twice_or_what_is_unknown_changes_nothing(counters):
    await put_in_force(counters, Budget("b", TEAM, 100, DAY))
    await counters.admit(demand(1, 50))
    await counters.settle(demand(1, 0).call_id, 20, 0, (1, 1))
    await counters.settle(demand(1, 0).call_id, 20, 0, (1, 1))
    await counters.release(demand(1, 0).call_id)
    await counters.settle(b"unknown", 5, 5, (1, 2))
    assert await held(counters) == {"b": (20, 0)}


async def test_a_removed_budget_lets_go_and_is_asked_for_again_when_it_returns(counters):
    budget = Budget("b", TEAM, 100, DAY)
    await put_in_force(counters, budget)
    await counters.admit(demand(1, 60))
    await counters.configure((), ())
    assert isinstance(await counters.admit(demand(2, 90)), Admitted)
    await put_in_force(counters, budget)
    assert await held(counters) == {"b": (0, 150)}
