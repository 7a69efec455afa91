"""What happens to calls at the steps of budgets: refused, sent to a cheaper model, held back."""

import asyncio
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from sekisho.calls.gate import Limits
from sekisho.ledger.counters import Spent
from sekisho.values import Budget, BudgetStep, Delivery, Policy, Price, Scope, TokenPrices
from tests.acceptance.conftest import ALICE, BOB, Gateway
from tests.acceptance.test_budgets import CENT, DAY, put

KEY = Scope("key", "alice")
HAIKU, SONNET, NOVA = "claude-haiku-4-5", "claude-sonnet-4-5", "nova-pro"
MESSAGES = [{"role": "user", "content": "Hello"}]


@pytest.fixture
def limits() -> Limits:
    return Limits(slow_down_first_s=0.05, slow_down_most_s=0.4, most_held_back=3)


async def put_spent(gateway: Gateway, budget: Budget, spent: int) -> None:
    """Put one budget in force, of which so much is spent."""
    await put(gateway, (budget,))
    (standing,) = await gateway.counters.standings()
    await gateway.counters.load((Spent(budget, standing.window_starts_at, spent),), (0, 0))


async def ask(gateway: Gateway, path: str = "/v1/messages", key: str = ALICE, **body: Any) -> httpx.Response:
    async with httpx.AsyncClient(timeout=60) as client:
        auth = {"authorization": f"Bearer {key}"}
        whole = {"model": SONNET, "max_tokens": 300, "messages": MESSAGES} | body
        return await client.post(gateway.url + path, json=whole, headers=auth)


def budget(*steps: BudgetStep, scope: Scope = KEY, is_hard: bool = True) -> Budget:
    return Budget("b", scope, 100 * CENT, DAY, is_hard=is_hard, steps=steps)


async def test_a_call_is_refused_from_the_step_on_and_not_below(gateway: Gateway) -> None:
    refusing = budget(BudgetStep(90, "refuse"))
    await put_spent(gateway, refusing, 90 * CENT - 1)
    assert (await ask(gateway)).status_code == 200
    await put_spent(gateway, refusing, 90 * CENT)
    answer = await ask(gateway)
    message = answer.json()["error"]["message"]
    assert (answer.status_code, answer.headers["x-should-retry"]) == (400, "false")
    assert message.startswith("90% of this key's budget is spent") and "Asia/Tokyo" in message and "ask" in message
    assert len(gateway.journal.opened) == 1
    assert [one.error for one in gateway.journal.refused] == ["budget_exceeded"]


async def test_a_soft_budget_refuses_nothing_whatever_its_steps_say(gateway: Gateway) -> None:
    await put_spent(gateway, budget(BudgetStep(1, "refuse"), is_hard=False), 500 * CENT)
    assert (await ask(gateway)).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"])
@pytest.mark.parametrize("target", [HAIKU, NOVA])
async def test_a_step_down_answers_with_the_cheaper_model_and_says_so(
    gateway: Gateway, path: str, target: str, stream: bool
) -> None:
    await put_spent(gateway, budget(BudgetStep(50, "step_down", target)), 50 * CENT)
    answer = await ask(gateway, path, stream=stream)
    assert answer.status_code == 200 and f'"model":"{target}"' in answer.text
    (opened,) = gateway.journal.opened
    assert (opened.model, opened.asked_model) == (target, SONNET)
    (sent,) = list(gateway.simulator.calls)
    assert gateway.registry.models[target].deployments[0].upstream_model == sent.model_id


async def test_the_furthest_step_down_wins(gateway: Gateway) -> None:
    steps = (BudgetStep(50, "step_down", HAIKU), BudgetStep(80, "step_down", NOVA), BudgetStep(99, "step_down", HAIKU))
    await put_spent(gateway, budget(*steps), 85 * CENT)
    assert (await ask(gateway)).json()["model"] == NOVA


@pytest.mark.parametrize(
    ("asked", "target", "key", "more"),
    [
        (HAIKU, SONNET, ALICE, {}),  # no cheaper
        (HAIKU, HAIKU, ALICE, {}),  # the same
        (SONNET, "unknown", ALICE, {}),
        (NOVA, "nova-lite", BOB, {}),  # this key may use one model only
        (SONNET, "nova-micro", ALICE, {"messages": "image"}),  # it reads no pictures
    ],
)
async def test_a_call_stays_with_its_model_where_stepping_down_is_no_help(
    gateway: Gateway, asked: str, target: str, key: str, more: dict[str, Any]
) -> None:
    if more:
        pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
        source = {"type": "base64", "media_type": "image/png", "data": pixel}
        more = {"messages": [{"role": "user", "content": [{"type": "image", "source": source}]}]}
    await put_spent(gateway, budget(BudgetStep(1, "step_down", target), scope=Scope("org", "org")), 50 * CENT)
    answer = await ask(gateway, key=key, model=asked, **more)
    assert answer.status_code == 200, answer.text
    assert answer.json()["model"] == asked
    assert gateway.journal.opened[0].asked_model == ""


async def test_no_step_down_goes_where_a_policy_forbids_it(gateway: Gateway) -> None:
    await put_spent(gateway, budget(BudgetStep(50, "step_down", HAIKU)), 50 * CENT)
    snapshot = gateway.registry.snapshot
    assert snapshot is not None
    policy = Policy("p", KEY, models=(SONNET,))
    gateway.registry.load(replace(snapshot, epoch=snapshot.epoch + 1, policies=(policy,)))
    assert (await ask(gateway)).json()["model"] == SONNET


async def test_a_budget_of_the_cheaper_model_counts_the_call_that_steps_down(gateway: Gateway) -> None:
    stepping = budget(BudgetStep(50, "step_down", HAIKU))
    own = Budget("h", KEY, 100 * CENT, DAY, HAIKU)
    await put(gateway, (stepping, own))
    await gateway.counters.load(
        (Spent(stepping, (await gateway.counters.standings())[0].window_starts_at, 60 * CENT),), (0, 0)
    )
    await ask(gateway)
    spent = {one.budget.id: one.spent_nanousd for one in await gateway.counters.standings()}
    assert spent["h"] == gateway.journal.settled[0].cost_nanousd > 0


async def test_a_call_is_held_back_longer_the_more_is_spent_and_holds_nothing_meanwhile(gateway: Gateway) -> None:
    slowing = budget(BudgetStep(80, "slow_down"))
    delays: list[int] = []
    for spent in (79, 80, 90, 130):
        await put_spent(gateway, slowing, spent * CENT)
        if spent == 130:
            await put_spent(gateway, budget(BudgetStep(80, "slow_down"), is_hard=False), spent * CENT)
        waiting = asyncio.create_task(ask(gateway))
        while spent > 79 and not waiting.done() and len(gateway.journal.opened) == len(delays):
            assert [one.reserved_nanousd for one in await gateway.counters.standings()] == [0]
            await asyncio.sleep(0.01)
        assert (await waiting).status_code == 200
        delays.append(gateway.journal.opened[-1].delayed_ms)
    assert [delay // 10 for delay in delays] == [
        0,
        5,
        20,
        40,
    ]  # 50 ms at the step, doubled every 5 per cent, 400 ms at most


async def test_a_client_that_leaves_while_it_is_held_back_costs_nothing(limits: Limits, gateway: Gateway) -> None:
    await put_spent(gateway, budget(BudgetStep(10, "slow_down")), 99 * CENT)
    with pytest.raises(httpx.ReadTimeout):
        async with httpx.AsyncClient(timeout=0.1) as client:
            await client.post(
                gateway.url + "/v1/messages",
                json={"model": SONNET, "max_tokens": 30, "messages": MESSAGES},
                headers={"authorization": f"Bearer {ALICE}"},
            )
    async with asyncio.timeout(10):
        while not gateway.journal.refused:
            await gateway.journal.news.wait()
            gateway.journal.news.clear()
    assert [one.error for one in gateway.journal.refused] == ["client_gone"]
    assert not gateway.journal.opened and not list(gateway.simulator.calls)


async def test_no_more_calls_wait_than_there_is_memory_for(gateway: Gateway) -> None:
    await put_spent(gateway, budget(BudgetStep(10, "slow_down"), is_hard=False), 99 * CENT)
    answers = await asyncio.gather(*(ask(gateway) for _ in range(8)))
    late = [answer for answer in answers if answer.status_code == 429]
    assert len(late) == 5 and all(1 <= int(answer.headers["retry-after"]) <= 59 for answer in late)
    assert (await ask(gateway)).status_code == 200  # the places are free again


async def test_a_model_that_is_free_by_its_stated_price_passes_an_empty_budget(gateway: Gateway) -> None:
    snapshot = gateway.registry.snapshot
    assert snapshot is not None
    nothing = Price("own", "stated", TokenPrices(0, 0, 0, 0, 0))
    models = tuple(
        replace(model, deployments=tuple(replace(one, price=nothing) for one in model.deployments))
        for model in snapshot.models
    )
    gateway.registry.deliver(Delivery(replace(snapshot, models=models), dict(gateway.registry.credentials)))
    await put_spent(gateway, budget(), 100 * CENT)
    assert (await ask(gateway)).status_code == 200
    assert (gateway.journal.settled[0].cost_nanousd, gateway.journal.settled[0].is_metered) == (0, True)


async def test_a_model_without_a_price_is_refused_without_any_budget(gateway: Gateway) -> None:
    snapshot = gateway.registry.snapshot
    assert snapshot is not None
    models = tuple(
        replace(model, deployments=tuple(replace(one, price=None) for one in model.deployments))
        for model in snapshot.models
    )
    gateway.registry.load(replace(snapshot, models=models))
    answer = await ask(gateway)
    assert answer.status_code == 400 and "price" in answer.json()["error"]["message"]
    assert not gateway.journal.opened and not list(gateway.simulator.calls)


class TestNobodyMayWait:
    """A gate that has no place for calls that wait: whoever tries to is told so."""

    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(most_held_back=0)

    async def test_a_call_that_cannot_fit_is_refused_without_waiting(self, gateway: Gateway) -> None:
        await put_spent(gateway, budget(BudgetStep(10, "slow_down")), 100 * CENT - 1_000)
        answer = await ask(gateway)
        assert (answer.status_code, answer.json()["error"]["details"]["error_code"]) == (400, "budget_exceeded")
        await put_spent(gateway, budget(BudgetStep(10, "slow_down")), 50 * CENT)
        assert (await ask(gateway)).status_code == 429
