"""Whatever becomes of a call and its attempts, it is settled once, within its bound, and nothing stays reserved."""

import asyncio
import random
from collections import Counter

import httpx
import pytest
from msgspec.structs import replace

from sekisho.calls.gate import Limits
from sekisho.values import Budget, Delivery, Scope
from tests.acceptance.conftest import ALICE, Gateway
from tests.acceptance.test_budgets import CENT, DAY, put
from tests.thorough import seeds

FAULTS = ("throttle", "unavailable", "internal", "validation", "timeout", "model_error", "quota", "access_denied")
IN_STREAM = ("mid_stream_exception", "cut", "bad_crc", "stall", "missing_metadata", "")
DOORS = ("/v1/messages", "/v1/chat/completions")
MODELS = ("nova-pro", "claude-sonnet-4-5")


@pytest.fixture
def limits() -> Limits:
    return Limits(idle_timeout_s=0.5, first_byte_timeout_s=0.5, drain_timeout_s=1)


def with_two_deployments(gateway: Gateway) -> None:
    snapshot = gateway.registry.snapshot
    assert snapshot is not None
    models = tuple(replace(model, deployments=model.deployments[:1] * 2) for model in snapshot.models)
    gateway.registry.deliver(Delivery(replace(snapshot, models=models), dict(gateway.registry.credentials)))


async def one_call(gateway: Gateway, chance: random.Random) -> None:
    for _ in range(chance.randint(0, 2)):
        gateway.simulator.fail_next(chance.choice(FAULTS))
    fault, stream = chance.choice(IN_STREAM), chance.random() < 0.7
    words = f"[[simulate: {fault}]] Hello" if fault else f"[[simulate: tokens out={chance.randint(1, 900)}]]"
    body = {
        "model": chance.choice(MODELS),
        "max_tokens": chance.choice((200, 4_000)),
        "stream": stream,
        "messages": [{"role": "user", "content": words}],
    }
    timeout_s = chance.choice((0.02, 0.1, 30.0))  # some clients leave at once
    async with httpx.AsyncClient(timeout=timeout_s) as client:
        try:
            auth = {"authorization": f"Bearer {ALICE}"}
            await client.post(gateway.url + chance.choice(DOORS), json=body, headers=auth)
        except httpx.TransportError:
            pass


@seeds(2)
async def test_a_storm_of_faults_and_leaving_clients_settles_every_call_once(gateway: Gateway, seed: int) -> None:
    chance = random.Random(seed)
    with_two_deployments(gateway)
    budget = Budget("b", Scope("org", "org"), 40 * CENT, DAY)
    await put(gateway, (budget,))
    for _ in range(6):
        await asyncio.gather(*(one_call(gateway, chance) for _ in range(5)))
    journal = gateway.journal
    async with asyncio.timeout(20):
        while len(journal.settled) < len(journal.opened):
            journal.news.clear()
            await journal.news.wait()
    bounds = {one.call_id: one.reserved_nanousd for one in journal.opened}
    assert set(Counter(one.call_id for one in journal.settled).values()) <= {1}
    assert {one.call_id for one in journal.settled} == bounds.keys()
    for one in journal.settled:
        assert 0 <= one.cost_nanousd <= bounds[one.call_id]
        assert one.cost_nanousd == sum(attempt.cost_nanousd for attempt in one.attempts)
        assert 1 <= len(one.attempts) <= 2
        assert one.is_metered or one.cost_nanousd > 0
    (standing,) = await gateway.counters.standings()
    assert standing.reserved_nanousd == 0
    assert standing.spent_nanousd == sum(one.cost_nanousd for one in journal.settled) <= budget.amount_nanousd


async def test_a_second_attempt_is_made_only_where_it_was_admitted(gateway: Gateway) -> None:
    with_two_deployments(gateway)
    price = gateway.registry.models["nova-pro"].deployments[0].price
    assert price is not None
    room = (price.base.output * 2_000 + price.base.input * 1_200) // 1000 * 3 // 2  # for one attempt, not for two
    await put(gateway, (Budget("b", Scope("org", "org"), room, DAY),))
    gateway.simulator.fail_next("unavailable")
    body = {"model": "nova-pro", "max_tokens": 2_000, "messages": [{"role": "user", "content": "Hello"}]}
    async with httpx.AsyncClient() as client:
        auth = {"authorization": f"Bearer {ALICE}"}
        answer = await client.post(gateway.url + "/v1/chat/completions", json=body, headers=auth)
        assert answer.status_code >= 500
        assert len(gateway.journal.settled[0].attempts) == 1
        gateway.simulator.fail_next("unavailable")
        await put(gateway, (Budget("c", Scope("org", "org"), 10 * room, DAY),))
        assert (await client.post(gateway.url + "/v1/chat/completions", json=body, headers=auth)).status_code == 200
        assert len(gateway.journal.settled[1].attempts) == 2
