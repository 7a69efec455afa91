"""A conversation through the whole path: what goes on is answered, recorded and paid as if it were read in full."""

import json
import random
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from sekisho.values import Door
from tests.acceptance.conftest import ALICE, BOB, Gateway
from tests.unit.conversation.conversations import EDITS, FORMS, conversation, marked_last, written

MODEL = "claude-sonnet-4-5"
PATHS: dict[Door, str] = {
    "anthropic_messages": "/v1/messages",
    "openai_chat": "/v1/chat/completions",
    "openai_responses": "/v1/responses",
    "bedrock_invoke": f"/model/{MODEL}/invoke",
    "bedrock_converse": f"/model/{MODEL}/converse",
}


async def call(gateway: Gateway, door: Door, body: dict[str, Any], key: str) -> dict[str, Any]:
    if "model" in body:
        body["model"] = MODEL
    if door == "bedrock_invoke":
        body["anthropic_version"] = "bedrock-2023-05-31"
    async with httpx.AsyncClient(base_url=gateway.url, timeout=30) as client:
        answer = await client.post(
            PATHS[door],
            content=written(marked_last(door, body), FORMS[0], ascii_only=False),
            headers={"authorization": f"Bearer {key}", "content-type": "application/json"},
        )
    assert answer.status_code == 200, answer.text[:500]
    said: dict[str, Any] = answer.json()
    return said


@pytest.mark.parametrize("door", PATHS)
async def test_a_turn_that_goes_on_counts_and_costs_what_it_does_for_one_who_sends_it_first(
    gateway: Gateway, door: Door
) -> None:
    chance = random.Random(door)
    body = conversation(chance, door, 30)
    del body["extra"]
    snapshot = gateway.registry.snapshot
    assert snapshot is not None
    gateway.registry.load(replace(snapshot, keys=tuple(replace(key, models=()) for key in snapshot.keys)))
    await call(gateway, door, body, ALICE)
    EDITS[0](chance, door, body)
    await call(gateway, door, body, ALICE)
    await call(gateway, door, body, BOB)
    _, goes_on, first = (await gateway.journal.wait_settled(3))[-3:]
    prompts = [(one.usage.prompt_tokens, one.usage.output_tokens) for one in (goes_on, first)]
    assert prompts[0] == prompts[1]
    _, goes_on_bound, first_bound = (one.reserved_nanousd for one in gateway.journal.opened[-3:])
    assert goes_on_bound <= first_bound
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        told = json.loads((await client.get("/health/ready")).content)["conversations"]
    assert (told["hits"], told["misses"]) == (1, 2) and told["held_bytes"] > 0
