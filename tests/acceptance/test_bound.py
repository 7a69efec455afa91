"""No call costs more than what was booked as reserved before it was sent: docs/why/bound.md"""

import base64
import json
import random
from typing import Any

import httpx
import pytest

from tests.acceptance.conftest import ALICE, Gateway

AUTH = {"authorization": f"Bearer {ALICE}"}
WORDS = ("def", "return", "資料", "\\n", '"quoted"', "0123456789", "🦊", "    ", "document", "1h")
PIXEL = base64.b64encode(
    bytes.fromhex(
        "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
        "1f15c4890000000d49444154789c6360000000000004000156cd9de40000000049454e44ae426082"
    )
).decode()


def text(chance: random.Random) -> str:
    return " ".join(chance.choices(WORDS, k=chance.randint(1, 3000)))


def messages_call(chance: random.Random) -> tuple[str, dict[str, Any]]:
    system: dict[str, Any] = {"type": "text", "text": text(chance)}
    content: list[dict[str, Any]] = [{"type": "text", "text": text(chance)}]
    if ttl := chance.choice((None, "5m", "1h")):
        system["cache_control"] = {"type": "ephemeral", "ttl": ttl}
    if chance.random() < 0.3:
        source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
        content.append({"type": "image", "source": source})
    body = {"model": "claude-sonnet-4-5", "system": [system], "messages": [{"role": "user", "content": content}]}
    return "/v1/messages", body | {"max_tokens": chance.randint(1, 900)}


def chat_call(chance: random.Random) -> tuple[str, dict[str, Any]]:
    messages = [{"role": "system", "content": text(chance)}, {"role": "user", "content": text(chance)}]
    model = chance.choice(("claude-sonnet-4-5", "nova-pro", "llama-3-1-70b-instruct"))
    return "/v1/chat/completions", {"model": model, "messages": messages}


def responses_call(chance: random.Random) -> tuple[str, dict[str, Any]]:
    return "/v1/responses", {"model": "nova-pro", "instructions": text(chance), "input": text(chance)}


def converse_call(chance: random.Random) -> tuple[str, dict[str, Any]]:
    content: list[dict[str, Any]] = [{"text": text(chance)}]
    if chance.random() < 0.5:
        content.append({"cachePoint": {"type": "default"}})
    return "/model/nova-pro/converse", {"messages": [{"role": "user", "content": content}]}


@pytest.mark.parametrize("make", [messages_call, chat_call, responses_call, converse_call])
async def test_no_call_of_a_random_replay_costs_more_than_its_bound(gateway: Gateway, make: Any) -> None:
    chance = random.Random(7)
    async with httpx.AsyncClient() as client:
        for _ in range(12):
            path, body = make(chance)
            is_compact = chance.random() < 0.5
            data = json.dumps(body, ensure_ascii=False, separators=(",", ":") if is_compact else None)
            answer = await client.post(gateway.url + path, content=data.encode(), headers=AUTH)
            assert answer.status_code == 200, answer.text
    bounds = {opened.call_id: opened.reserved_nanousd for opened in gateway.journal.opened}
    assert len(gateway.journal.settled) == 12
    assert all(0 < settled.cost_nanousd <= bounds[settled.call_id] for settled in gateway.journal.settled)


async def reserved(gateway: Gateway, content: list[dict[str, Any]], model: str = "claude-sonnet-4-5") -> int:
    body = {"model": model, "max_tokens": 10, "messages": [{"role": "user", "content": content}]}
    async with httpx.AsyncClient() as client:
        await client.post(gateway.url + "/v1/messages", json=body, headers=AUTH)
    return gateway.journal.opened[-1].reserved_nanousd


async def test_only_a_body_that_asks_for_an_hour_of_caching_is_bounded_by_its_price(gateway: Gateway) -> None:
    plain = {"type": "text", "text": "rule " * 2000}
    short = await reserved(gateway, [plain | {"cache_control": {"type": "ephemeral", "ttl": "5m"}}])
    long = await reserved(gateway, [plain | {"cache_control": {"type": "ephemeral", "ttl": "1h"}}])
    assert 1.5 < long / short < 1.65  # the published prices: 6 against 3.75 USD per million, less the output's share


async def test_a_document_is_bounded_by_the_models_whole_context(gateway: Gateway) -> None:
    source = {"type": "base64", "media_type": "application/pdf", "data": base64.b64encode(b"%PDF-1.4").decode()}
    bound = await reserved(gateway, [{"type": "text", "text": "Read"}, {"type": "document", "source": source}])
    model = gateway.registry.models["claude-sonnet-4-5"]
    price = model.deployments[0].price
    assert price is not None
    assert bound >= model.context_tokens * price.base.cache_write_5m // 1000
