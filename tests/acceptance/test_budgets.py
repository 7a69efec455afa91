"""Budgets and limits on the path: what does not fit is refused before it is sent, and nothing is overspent."""

import asyncio

import httpx
import pytest
from msgspec.structs import replace

from sekisho.ledger.counters import Spent
from sekisho.values import Budget, RateLimit, Scope, Window
from tests.acceptance.conftest import ALICE, BOB, Gateway

CENT = 10_000_000
DAY = Window("day", "Asia/Tokyo")
HELLO = {"model": "nova-pro", "max_tokens": 100, "messages": [{"role": "user", "content": "Hello"}]}


async def put(gateway: Gateway, budgets: tuple[Budget, ...] = (), limits: tuple[RateLimit, ...] = ()) -> None:
    """Put budgets and limits in force, with nothing spent so far."""
    snapshot = gateway.registry.snapshot
    assert snapshot is not None
    await gateway.counters.configure(budgets, limits)
    standings = await gateway.counters.standings()
    await gateway.counters.load(tuple(Spent(one.budget, one.window_starts_at, 0) for one in standings), (0, 0))
    gateway.registry.load(replace(snapshot, epoch=snapshot.epoch + 1, budgets=budgets, limits=limits))


async def ask(gateway: Gateway, client: httpx.AsyncClient, key: str = ALICE, **changes: object) -> httpx.Response:
    return await client.post(
        gateway.url + "/v1/chat/completions", json={**HELLO, **changes}, headers={"authorization": f"Bearer {key}"}
    )


@pytest.mark.parametrize(
    "scope",
    [
        Scope("org", "org"),
        Scope("key", "alice"),
        Scope("user", "alice"),
        Scope("team", "red"),
        Scope("member", "red/alice"),
    ],
)
async def test_a_hard_budget_of_every_scope_refuses_what_may_not_fit(gateway: Gateway, scope: Scope) -> None:
    await put(gateway, (Budget("b", scope, 1, DAY),))
    async with httpx.AsyncClient() as client:
        answer = await ask(gateway, client)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], answer.headers["x-should-retry"]) == (400, "budget_exceeded", "false")
    assert "Asia/Tokyo" in error["message"] and "ask" in error["message"]
    assert not gateway.journal.opened and not list(gateway.simulator.calls)
    assert [(one.stage, one.error) for one in gateway.journal.refused] == [("admit", "budget_exceeded")]


async def test_a_budget_of_others_refuses_nobody_and_a_soft_one_nothing(gateway: Gateway) -> None:
    await put(
        gateway, (Budget("a", Scope("key", "bob"), 1, DAY), Budget("b", Scope("org", "org"), 1, DAY, is_hard=False))
    )
    async with httpx.AsyncClient() as client:
        assert (await ask(gateway, client)).status_code == 200
        assert (await ask(gateway, client, BOB)).status_code == 400


def long(number: int) -> list[dict[str, str]]:
    """A prompt whose answer has so many tokens, times twenty."""
    return [{"role": "user", "content": f"[[simulate: tokens out={number * 20}]] {number}"}]


async def test_two_hundred_callers_on_one_dollar_never_overspend_it(gateway: Gateway) -> None:
    budget = Budget("dollar", Scope("org", "org"), 100 * CENT, DAY)
    await put(gateway, (budget,))
    async with httpx.AsyncClient(limits=httpx.Limits(max_connections=200), timeout=120) as client:
        answers = await asyncio.gather(*(ask(gateway, client, max_tokens=4000, messages=long(n)) for n in range(200)))
    passed = sum(answer.status_code == 200 for answer in answers)
    spent = sum(one.cost_nanousd for one in gateway.journal.settled)
    (standing,) = await gateway.counters.standings()
    assert {answer.status_code for answer in answers} <= {200, 400} and 0 < passed < 200
    assert standing.spent_nanousd == spent <= budget.amount_nanousd
    assert standing.reserved_nanousd == 0


async def test_what_was_reserved_is_free_again_after_every_sort_of_end(gateway: Gateway) -> None:
    await put(gateway, (Budget("b", Scope("org", "org"), 100 * CENT, DAY),))
    async with httpx.AsyncClient() as client:
        for fault in ("throttle", "validation", "cut", "missing_metadata", "stop_reason=max_tokens"):
            content = f"[[simulate: {fault}]] Hello"
            await ask(gateway, client, stream=True, messages=[{"role": "user", "content": content}])
    (standing,) = await gateway.counters.standings()
    assert standing.reserved_nanousd == 0
    assert standing.spent_nanousd == sum(one.cost_nanousd for one in gateway.journal.settled)


async def test_a_limit_of_calls_per_minute_refuses_with_the_time_to_wait(gateway: Gateway) -> None:
    await put(gateway, limits=(RateLimit("l", Scope("key", "alice"), requests_per_minute=3),))
    async with httpx.AsyncClient() as client:
        answers = [await ask(gateway, client) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 59
    assert len(gateway.journal.settled) == 3


async def test_parallel_slots_are_free_again_when_a_client_leaves(gateway: Gateway) -> None:
    await put(gateway, limits=(RateLimit("l", Scope("org", "org"), parallel=1),))
    async with httpx.AsyncClient() as client:
        for _ in range(3):
            async with client.stream(
                "POST",
                gateway.url + "/v1/chat/completions",
                json={**HELLO, "stream": True},
                headers={"authorization": f"Bearer {ALICE}"},
            ) as answer:
                assert answer.status_code == 200
                await anext(answer.aiter_bytes())
            await gateway.journal.wait_settled(len(gateway.journal.opened))


async def test_a_call_whose_record_comes_too_late_for_its_admission_is_not_sent(gateway: Gateway) -> None:
    """Shared counters that were lost in between may not know of it any more."""
    await put(gateway, (Budget("b", Scope("org", "org"), 100 * CENT, DAY),))
    gateway.counters.admission_valid_us = -1
    async with httpx.AsyncClient() as client:
        answer = await ask(gateway, client)
    assert answer.status_code == 503
    assert not list(gateway.simulator.calls)
    assert [(one.cost_nanousd, one.error) for one in gateway.journal.settled] == [(0, "store_unavailable")]
    (standing,) = await gateway.counters.standings()
    assert (standing.spent_nanousd, standing.reserved_nanousd) == (0, 0)
