"""The lists from which agents take their models: the fields that each reads, and only the models of the key."""

from typing import Any

import httpx
import pytest

from tests.acceptance.conftest import ALICE, BOB, CHARLIE, Gateway


async def get(gateway: Gateway, path: str, headers: dict[str, str]) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.get(gateway.url + path, headers=headers)


async def listed(gateway: Gateway, path: str, headers: dict[str, str]) -> list[dict[str, Any]]:
    answer = await get(gateway, path, headers)
    assert answer.status_code == 200, answer.text
    data: list[dict[str, Any]] = answer.json()["data"]
    return data


# Cline asks for the list with LiteLLM's header first, then with a bearer key; with and without /v1.
@pytest.mark.parametrize("path", ["/v1/model/info", "/model/info"])
@pytest.mark.parametrize("headers", [{"x-litellm-api-key": ALICE}, {"authorization": f"Bearer {ALICE}"}])
async def test_cline_reads_limits_and_abilities(gateway: Gateway, path: str, headers: dict[str, str]) -> None:
    entries = {entry["model_name"]: entry for entry in await listed(gateway, path, headers)}
    assert list(entries) == list(gateway.registry.models)
    for name, model in gateway.registry.models.items():
        info = entries[name]["model_info"]
        assert entries[name]["litellm_params"]["model"] == name  # Cline offers this id too
        assert 0 < info["max_output_tokens"] == info["max_tokens"] == model.max_output_tokens
        assert 0 < info["max_input_tokens"] == model.context_tokens
        assert info["supports_vision"] is model.quirks.images
        assert info["supports_prompt_caching"] is bool(model.quirks.cache_min_tokens)
        assert info["supports_reasoning"] is bool(model.quirks.thinking or model.quirks.thinking_always_on)
    sonnet = entries["claude-sonnet-4-5"]["model_info"]
    assert sonnet["input_cost_per_token"] in (3e-6, 3.3e-6) and sonnet["supports_vision"] is True


async def test_claude_code_discovers_the_models_named_claude(gateway: Gateway) -> None:
    headers = {
        "authorization": f"Bearer {ALICE}",
        "user-agent": "claude-code/2.1.197",
        "anthropic-version": "2023-06-01",
    }
    answer = await get(gateway, "/v1/models?limit=1000", headers)
    page = answer.json()
    found = [model["id"] for model in page["data"] if model["id"].startswith(("claude", "anthropic"))]
    assert "claude-sonnet-4-6" in found and len(found) > 10
    assert (page["has_more"], page["first_id"], page["last_id"]) == (
        False,
        page["data"][0]["id"],
        page["data"][-1]["id"],
    )
    assert all(model["type"] == "model" and model["display_name"] for model in page["data"])
    assert not answer.is_redirect


@pytest.mark.parametrize("path", ["/v1/models", "/models", "/openai/v1/models", "/anthropic/v1/models?limit=1000"])
async def test_a_key_sees_the_models_it_may_use(gateway: Gateway, path: str) -> None:
    models = await listed(gateway, path, {"x-api-key": BOB})
    assert [model["id"] for model in models] == ["nova-pro"]


async def test_every_other_list_is_the_keys_own_too(gateway: Gateway) -> None:
    (entry,) = await listed(gateway, "/v1/model/info", {"x-litellm-api-key": BOB})
    assert entry["model_name"] == "nova-pro"
    profiles = (
        await get(gateway, "/inference-profiles?type=SYSTEM_DEFINED", {"authorization": f"Bearer {BOB}"})
    ).json()
    assert [one["inferenceProfileId"] for one in profiles["inferenceProfileSummaries"]] == ["nova-pro"]
    hidden = await get(gateway, "/v1/models/claude-sonnet-4-6", {"x-api-key": BOB})
    assert (hidden.status_code, hidden.json()["error"]["code"]) == (404, "model_not_found")
    assert (await get(gateway, "/v1/models/nova-pro", {"x-api-key": BOB})).json()["id"] == "nova-pro"


@pytest.mark.parametrize("key", ["", "sk-unknown-000000000000000000000000000", CHARLIE])
async def test_without_a_valid_key_there_is_no_list(gateway: Gateway, key: str) -> None:
    openai_error = await get(gateway, "/v1/models", {"x-api-key": key})
    assert (openai_error.status_code, openai_error.json()["error"]["code"]) == (401, "invalid_api_key")
    headers = {"x-api-key": key, "anthropic-version": "2023-06-01"}
    anthropic_error = await get(gateway, "/v1/models?limit=1000", headers)
    assert (anthropic_error.status_code, anthropic_error.json()["error"]["type"]) == (401, "authentication_error")
