"""Model lists and token counts, in the dialect of each client that asks."""

import base64
import json
from typing import Any

import httpx
import pytest

from tests.acceptance.conftest import ALICE, BOB, Gateway

PROMPT = [{"role": "user", "content": [{"type": "text", "text": "Hello there"}]}]
CLAUDE_BODY = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": PROMPT}
CONVERSE_BODY = {"messages": [{"role": "user", "content": [{"text": "Hello there"}]}]}


async def get(gateway: Gateway, path: str, key: str = ALICE, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.get(gateway.url + path, headers={"authorization": f"Bearer {key}", **headers})


async def count(gateway: Gateway, path: str, body: dict[str, Any]) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.post(gateway.url + path, json=body, headers={"x-api-key": ALICE})


async def test_a_key_sees_only_the_models_it_may_use(gateway: Gateway) -> None:
    answer = (await get(gateway, "/v1/models", BOB)).json()
    assert [model["id"] for model in answer["data"]] == ["nova-pro"]
    assert (await get(gateway, "/v1/models/nova-pro", BOB)).json()["id"] == "nova-pro"
    assert (await get(gateway, "/v1/models/claude-sonnet-4-5", BOB)).status_code == 404
    info = (await get(gateway, "/model/info", BOB)).json()["data"]
    assert [model["model_name"] for model in info] == ["nova-pro"]
    profiles = (await get(gateway, "/inference-profiles", BOB)).json()["inferenceProfileSummaries"]
    assert [profile["inferenceProfileId"] for profile in profiles] == ["nova-pro"]


@pytest.mark.parametrize(("headers", "is_anthropic"), [({}, False), ({"anthropic-version": "2023-06-01"}, True)])
async def test_a_list_is_refused_in_the_dialect_of_the_client(
    gateway: Gateway, headers: dict[str, str], is_anthropic: bool
) -> None:
    answer = await get(gateway, "/v1/models", "sk-unknown", **headers)
    assert answer.status_code == 401
    assert (answer.json().get("type") == "error") is is_anthropic


async def test_the_gate_says_that_it_lives_and_is_ready(gateway: Gateway) -> None:
    assert (await get(gateway, "/health/live")).json() == {"status": "live"}
    ready = (await get(gateway, "/health/ready")).json()
    assert (ready["status"], ready["simulated"], ready["missing_credentials"]) == ("ready", True, [])
    gateway.registry.credentials = {}
    answer = await get(gateway, "/health/ready")
    assert (answer.status_code, answer.json()["missing_credentials"]) == (503, ["simulator"])


async def test_every_way_of_counting_gives_the_count_of_the_call(gateway: Gateway) -> None:
    told = await count(gateway, "/v1/messages/count_tokens", {"model": "claude-sonnet-4-5", "messages": PROMPT})
    wrapped = base64.b64encode(json.dumps(CLAUDE_BODY).encode()).decode()
    invoke = await count(
        gateway, "/model/claude-sonnet-4-5/count-tokens", {"input": {"invokeModel": {"body": wrapped}}}
    )
    converse = await count(gateway, "/model/nova-pro/count-tokens", {"input": {"converse": CONVERSE_BODY}})
    counts = [told.json()["input_tokens"], invoke.json()["inputTokens"], converse.json()["inputTokens"]]
    await count(gateway, "/v1/messages", CLAUDE_BODY | {"model": "claude-sonnet-4-5"})
    await count(gateway, "/model/nova-pro/converse", CONVERSE_BODY)
    claude, nova = (settled.usage.prompt_tokens for settled in gateway.journal.settled)
    assert counts == [claude, claude, nova]
    assert len(gateway.journal.opened) == 2  # a count opens nothing and costs nothing


@pytest.mark.parametrize("body", [{}, {"input": {}}, {"input": {"invokeModel": {"body": "!"}}}])
async def test_a_count_of_nothing_is_refused(gateway: Gateway, body: dict[str, Any]) -> None:
    answer = await count(gateway, "/model/nova-pro/count-tokens", body)
    assert answer.status_code == 400
    assert "'input'" in answer.json()["message"]


async def test_invoke_serves_claude_alone(gateway: Gateway) -> None:
    answer = await count(gateway, "/model/nova-pro/invoke", CLAUDE_BODY)
    assert answer.status_code == 400
    assert "Use Converse" in answer.json()["message"]


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/model/nova-pro/converse", CONVERSE_BODY | {"inferenceConfig": []}, "'inferenceConfig' must be an object"),
        ("/model/nova-pro/converse", CONVERSE_BODY | {"inferenceConfig": {"maxTokens": 0}}, "at least 1"),
    ],
)
async def test_an_output_limit_that_is_none_is_refused(
    gateway: Gateway, path: str, body: dict[str, Any], words: str
) -> None:
    answer = await count(gateway, path, body)
    assert answer.status_code == 400
    assert words in answer.json()["message"]
