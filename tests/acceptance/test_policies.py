"""Policies on the way of real calls: what is refused, in which words; what is left; what the lists show."""

from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from sekisho.values import Hours, Policy, Scope
from tests.acceptance.conftest import ALICE, BOB, Gateway

ORG = Scope("org", "org")
TEAM = Scope("team", "red")  # Alice's
SAY = [{"role": "user", "content": "Hello"}]
NEVER = Hours((), 0, 0)
DENIED: dict[str, tuple[Policy, str, str]] = {
    "model": (
        Policy("p", ORG, "few models", models=("llama-*",)),
        "'nova-pro' is not allowed",
        "モデル「nova-pro」",
    ),
    "provider": (Policy("p", TEAM, "direct", providers=("anthropic",)), "providers that are not allowed", "提供元"),
    "region": (Policy("p", ORG, "Japan", regions=("ap-northeast-*",)), "Regions that are not allowed", "リージョン"),
    "geography": (Policy("p", TEAM, "Japan", geographies=("jp",)), "outside the places", "地域の外"),
    "account": (Policy("p", ORG, "one", accounts=("111122223333",)), "accounts that are not allowed", "アカウント"),
    "agent": (Policy("p", Scope("user", "alice"), "Cline only", agents=("cline",)), "agent 'curl'", "「curl」"),
    "hours": (Policy("p", Scope("key", "alice"), "never", hours=(NEVER,)), "calls are allowed only", "利用できる時間"),
}


def apply(gateway: Gateway, *policies: Policy) -> None:
    assert gateway.registry.snapshot is not None
    gateway.registry.load(replace(gateway.registry.snapshot, policies=policies))


async def post(gateway: Gateway, key: str = ALICE, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(timeout=30, verify=False) as client:
        return await client.post(
            f"{gateway.url}/v1/chat/completions",
            json={"model": "nova-pro", "messages": SAY, "max_tokens": 50},
            headers={"authorization": f"Bearer {key}", "user-agent": "curl/8", **headers},
        )


async def names(gateway: Gateway, key: str = ALICE) -> set[str]:
    async with httpx.AsyncClient(verify=False) as client:
        headers = {"authorization": f"Bearer {key}"}
        listed = (await client.get(f"{gateway.url}/v1/models", headers=headers)).json()["data"]
        infos = (await client.get(f"{gateway.url}/v1/model/info", headers=headers)).json()["data"]
    assert [one["id"] for one in listed] == [one["model_name"] for one in infos]
    return {one["id"] for one in listed}


@pytest.mark.parametrize("gate", DENIED)
async def test_what_a_policy_forbids_is_refused_by_name_and_recorded(gateway: Gateway, gate: str) -> None:
    policy, words, _ = DENIED[gate]
    apply(gateway, policy)
    got = await post(gateway)
    error = got.json()["error"]
    assert (got.status_code, error["code"], got.headers["x-should-retry"]) == (400, "not_allowed", "false")
    assert words.lower() in error["message"].lower()
    assert f"'{policy.name}'" in error["message"]
    (refused,) = gateway.journal.refused
    assert (refused.stage, refused.error, refused.model) == ("authorize", "not_allowed", "nova-pro")
    assert gateway.journal.opened == []


@pytest.mark.parametrize("gate", DENIED)
async def test_a_refusal_is_in_the_callers_language(gateway: Gateway, gate: str) -> None:
    policy, _, words = DENIED[gate]
    apply(gateway, policy)
    message = (await post(gateway, **{"accept-language": "ja"})).json()["error"]["message"]
    assert words in message
    assert f"ポリシー「{policy.name}」" in message


@pytest.mark.parametrize("gate", ["provider", "geography", "agent", "hours"])
async def test_a_policy_is_of_its_scope_alone(gateway: Gateway, gate: str) -> None:
    apply(gateway, DENIED[gate][0])
    assert (await post(gateway, BOB)).status_code == 200


async def test_a_call_goes_where_it_may_and_is_bounded_by_what_it_may_cost_there(gateway: Gateway) -> None:
    snapshot = gateway.registry.snapshot
    assert snapshot is not None
    model = gateway.registry.models["nova-pro"]
    (first, *_) = model.deployments
    assert first.price is not None
    dear = replace(first.price, base=replace(first.price.base, output=first.price.base.output * 1000))
    models = tuple(
        replace(model, deployments=(replace(first, id="dear", account="a", price=dear), replace(first, account="b")))
        if one.name == "nova-pro"
        else one
        for one in snapshot.models
    )
    gateway.registry.load(replace(snapshot, models=models))
    assert (await post(gateway)).status_code == 200
    gateway.registry.load(replace(snapshot, models=models, policies=(Policy("p", TEAM, accounts=("b",)),)))
    assert (await post(gateway)).status_code == 200
    before, after = gateway.journal.opened
    assert [one.attempts[0].deployment for one in gateway.journal.settled] == ["dear", first.id]
    assert 0 < after.reserved_nanousd * 100 < before.reserved_nanousd


async def test_lists_show_what_may_be_used(gateway: Gateway) -> None:
    everything = await names(gateway)
    apply(gateway, Policy("p", TEAM, models=("nova-*",)))
    assert await names(gateway) == {name for name in everything if name.startswith("nova-")}
    apply(gateway, Policy("p", ORG, geographies=("jp",)))
    assert await names(gateway) == set()
    apply(gateway)
    assert await names(gateway) == everything


async def test_a_count_of_a_prompt_is_refused_too(gateway: Gateway) -> None:
    apply(gateway, DENIED["model"][0])
    async with httpx.AsyncClient(verify=False) as client:
        got = await client.post(
            f"{gateway.url}/v1/messages/count_tokens",
            json={"model": "nova-pro", "messages": SAY},
            headers={"x-api-key": ALICE},
        )
    body: dict[str, Any] = got.json()
    assert (got.status_code, body["type"]) == (400, "error")
    assert "few models" in body["error"]["message"]
