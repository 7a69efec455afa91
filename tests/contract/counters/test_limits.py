"""Rate limits: an exact sliding minute for requests and tokens, slots for parallel calls."""

import pytest

from sekisho.ledger.counters import Admitted, LimitUse, Look, NoRoom, TooFast, Verdict
from sekisho.values import Budget, RateLimit
from tests.contract.counters.test_budgets import DAY, KEY, TEAM, USER, demand, held, put_in_force

PER_MINUTE = RateLimit("l", KEY, requests_per_minute=3)
TOKENS = RateLimit("l", KEY, tokens_per_minute=100)
PARALLEL = RateLimit("l", KEY, parallel=2)


def wait_s(verdict: Verdict) -> int:
    return verdict.retry_after_s if isinstance(verdict, TooFast) else 0


async def test_no_minute_holds_more_than_the_limit_wherever_it_begins(counters, clock):
    await counters.configure((), (PER_MINUTE,))
    admitted = []
    for number in range(600):
        if isinstance(await counters.admit(demand(number, 0)), Admitted):
            admitted.append(number * 0.5)
        clock.advance(0.5)
    assert len(admitted) == 15
    assert all(sum(start <= at < start + 60 for at in admitted) <= 3 for start in admitted)


async def test_the_wait_that_is_told_is_the_least_whole_second_that_suffices(counters, clock):
    await counters.configure((), (PER_MINUTE,))
    for number in range(3):
        await counters.admit(demand(number, 0))
        clock.advance(10.25)
    verdict = await counters.admit(demand(3, 0))
    assert verdict == TooFast(PER_MINUTE, "requests", 30)  # 29.25 s are left
    clock.advance(29)
    assert wait_s(await counters.admit(demand(4, 0))) == 1
    clock.advance(0.25)
    assert isinstance(await counters.admit(demand(5, 0)), Admitted)


async def test_a_wait_of_a_whole_minute_is_told_as_59_seconds(counters, clock):
    await counters.configure((), (RateLimit("l", KEY, requests_per_minute=1),))
    await counters.admit(demand(1, 0))
    assert wait_s(await counters.admit(demand(2, 0))) == 59
    clock.advance(59.999_999)
    assert wait_s(await counters.admit(demand(3, 0))) == 1
    clock.advance(0.000_001)
    assert isinstance(await counters.admit(demand(4, 0)), Admitted)


async def test_a_clock_that_is_set_changes_no_limit(counters, clock):
    await counters.configure((), (PER_MINUTE,))
    for number, step in enumerate((86_400, -172_800, 3_600)):
        await counters.admit(demand(number, 0))
        clock.step(step)
    assert wait_s(await counters.admit(demand(3, 0))) == 59
    clock.advance(60)
    assert isinstance(await counters.admit(demand(4, 0)), Admitted)


async def test_tokens_are_reserved_and_corrected_to_what_was_used(counters, clock):
    await counters.configure((), (TOKENS,))
    await counters.admit(demand(1, 0, tokens=80))
    assert await counters.admit(demand(2, 0, tokens=21)) == TooFast(TOKENS, "tokens", 59)
    await counters.settle(demand(1, 0).call_id, 0, 30, (1, 1))
    assert isinstance(await counters.admit(demand(3, 0, tokens=70)), Admitted)
    clock.advance(20)
    await counters.settle(demand(3, 0).call_id, 0, 90, (1, 2))
    assert wait_s(await counters.admit(demand(4, 0, tokens=1))) == 40


async def test_a_call_that_ends_after_its_minute_corrects_nothing(counters, clock):
    await counters.configure((), (TOKENS,))
    await counters.admit(demand(1, 0, tokens=80))
    clock.advance(61)
    await counters.admit(demand(2, 0, tokens=100))
    await counters.settle(demand(1, 0).call_id, 0, 10, (1, 1))
    assert wait_s(await counters.admit(demand(3, 0, tokens=1))) == 59


async def test_a_call_larger_than_the_limit_passes_an_idle_minute_only(counters, clock):
    await counters.configure((), (TOKENS,))
    await counters.admit(demand(1, 0, tokens=1))
    clock.advance(30)
    assert wait_s(await counters.admit(demand(2, 0, tokens=5_000))) == 30
    clock.advance(30)
    assert isinstance(await counters.admit(demand(3, 0, tokens=5_000)), Admitted)
    assert wait_s(await counters.admit(demand(4, 0, tokens=1))) == 59


async def test_slots_are_free_again_when_calls_end_however_they_end(counters, clock):
    await counters.configure((), (PARALLEL,))
    await counters.admit(demand(1, 0))
    await counters.admit(demand(2, 0))
    clock.advance(600)
    assert await counters.admit(demand(3, 0)) == TooFast(PARALLEL, "parallel", 1)
    await counters.settle(demand(1, 0).call_id, 0, 0, (1, 1))
    await counters.release(demand(2, 0).call_id)
    assert isinstance(await counters.admit(demand(4, 0)), Admitted)
    assert isinstance(await counters.admit(demand(5, 0)), Admitted)
    assert isinstance(await counters.admit(demand(6, 0)), TooFast)


async def test_of_several_limits_the_one_that_takes_longest_is_named(counters, clock):
    slow = RateLimit("slow", TEAM, requests_per_minute=1, parallel=1)
    fast = RateLimit("fast", USER, tokens_per_minute=10)
    await counters.configure((), (slow, fast, PARALLEL))
    await counters.admit(demand(1, 0, USER, tokens=10))
    clock.advance(20)
    await counters.admit(demand(2, 0, TEAM))
    clock.advance(5)
    assert await counters.admit(demand(3, 0, tokens=1)) == TooFast(slow, "requests", 55)
    assert await counters.admit(demand(4, 0, USER, tokens=1)) == TooFast(fast, "tokens", 35)


async def test_a_limit_that_is_lowered_waits_for_as_many_calls_as_are_too_many(counters, clock):
    await counters.configure((), (PER_MINUTE,))
    for number in range(3):
        await counters.admit(demand(number, 0))
        clock.advance(10)
    lowered = RateLimit("l", KEY, requests_per_minute=2)
    await counters.configure((), (lowered,))
    assert await counters.admit(demand(3, 0)) == TooFast(lowered, "requests", 40)


async def test_a_limit_that_is_new_counts_the_last_minute_and_the_open_calls(counters, clock):
    await counters.configure((), ())
    for number in range(3):
        await counters.admit(demand(number, 0, tokens=40))
        clock.advance(25)
    await counters.configure((), (TOKENS, PARALLEL))
    assert await counters.admit(demand(3, 0, tokens=21)) == TooFast(TOKENS, "tokens", 10)
    for number in range(3):
        await counters.settle(demand(number, 0).call_id, 0, 40, (1, number + 1))
    assert isinstance(await counters.admit(demand(4, 0, tokens=20)), Admitted)


@pytest.mark.parametrize("limit", [RateLimit("l", KEY, "", 0), RateLimit("l", KEY, "", None, 0)])
async def test_a_limit_of_nothing_lets_nothing_pass(counters, clock, limit):
    await counters.configure((), (limit,))
    assert wait_s(await counters.admit(demand(1, 0, tokens=0))) == 59
    clock.advance(600)
    assert wait_s(await counters.admit(demand(2, 0, tokens=9))) == 59


async def test_a_limit_for_one_model_leaves_other_models_alone(counters):
    await counters.configure((), (RateLimit("l", KEY, "large", requests_per_minute=0),))
    assert isinstance(await counters.admit(demand(1, 0, model="large")), TooFast)
    assert isinstance(await counters.admit(demand(2, 0, model="small")), Admitted)


async def test_a_look_says_what_an_admission_would_and_holds_nothing(counters, clock):
    per_minute = RateLimit("m", KEY, requests_per_minute=2, tokens_per_minute=100)
    await put_in_force(counters, Budget("b", TEAM, 10, DAY), limits=(per_minute, PARALLEL))
    for _ in range(5):
        look = await counters.look(demand(1, 4, tokens=30))
        assert isinstance(look.verdict, Admitted) and look.verdict.least_room_nanousd == 6
        assert look.uses == (LimitUse(per_minute, 0, 0, None), LimitUse(PARALLEL, None, None, 0))
    await counters.admit(demand(2, 4, tokens=30))
    clock.advance(10)
    assert isinstance((await counters.look(demand(3, 7))).verdict, NoRoom)
    await counters.admit(demand(4, 4, tokens=30))
    assert await counters.look(demand(5, 1, tokens=50)) == Look(
        TooFast(per_minute, "requests", 50), (LimitUse(per_minute, 2, 60, None), LimitUse(PARALLEL, None, None, 2))
    )
    assert await held(counters) == {"b": (0, 8)}
    clock.advance(55)
    assert (await counters.look(demand(6, 1))).uses == (
        LimitUse(per_minute, 1, 30, None),
        LimitUse(PARALLEL, None, None, 2),
    )
