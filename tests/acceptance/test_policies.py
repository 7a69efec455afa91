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
NEVER, ALWAYS = Hours((), 0, 0), Hours(tuple(range(7)), 0, 1440)
DENIED: dict[str, tuple[Policy, str, str]] = {
    "model": (
        Policy("p", ORG, "few models", models=("llama-*",)),
        "'nova-pro' is not allowed",
        "モデル「nova-pro」",
    ),
    "family": (Policy("p", TEAM, "Claude only", families=("claude",)), "family 'nova'", "「nova」系"),
    "provider": (Policy("p", TEAM, "direct", providers=("anthropic",)), "providers that are not allowed", "提供元"),
    "region": (Policy("p", ORG, "Japan", regions=("ap-northeast-*",)), "Regions that are not allowed", "リージョン"),
    "geography": (Policy("p", TEAM, "Japan", geographies=("jp",)), "outside the places", "地域の外"),
    "account": (Policy("p", ORG, "one", accounts=("111122223333",)), "accounts that are not allowed", "アカウント"),
    "agent": (Policy("p", Scope("user", "alice"), "Cline only", agents=("cline",)), "agent 'curl'", "「curl」"),
    "hours": (Policy("p", Scope("key", "alice"), "never", hours=(NEVER,)), "calls are allowed only", "利用できる時間"),
    "holiday": (
        Policy("p", ORG, "new year", hours=(ALWAYS,), holidays=("0001-01-01/9999-12-31",)),
        "no calls are allowed on 0001-01-01/9999-12-31",
        "0001-01-01/9999-12-31 は利用できません",
    ),
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


async def test_a_call_goes_first_where_the_narrowest_policy_prefers(gateway: Gateway) -> None:
    snapshot = gateway.registry.snapshot
    assert snapshot is not None
    model = gateway.registry.models["nova-pro"]
    places = [replace(model.deployments[0], id=name, account=name) for name in ("a", "b", "c")]
    models = tuple(replace(one, deployments=tuple(places)) if one is model else one for one in snapshot.models)
    wide, narrow = Policy("p", ORG, prefers=("account:c",)), Policy("q", TEAM, prefers=("region:none", "account:b"))
    for policies in ((), (wide,), (narrow, wide)):
        gateway.registry.load(replace(snapshot, models=models, policies=policies))
        assert (await post(gateway)).status_code == 200
    assert [one.attempts[0].deployment for one in gateway.journal.settled] == ["a", "c", "b"]


MODELS = ("nova-pro", "claude-sonnet-4-5")
WISH = "[[simulate: tokens out=5000]] Write."
LONG = {"role": "user", "content": WISH}
VERSION = {"anthropic_version": "bedrock-2023-05-31"}
BLOCKS = [{"role": "user", "content": [{"text": WISH}]}]
ANSWERS: dict[str, tuple[str, dict[str, Any], str]] = {
    "/v1/chat/completions": ("max_tokens", {"messages": [LONG]}, '"finish_reason":"length"'),
    "/v1/responses": ("max_output_tokens", {"input": WISH}, '"reason":"max_output_tokens"'),
    "/v1/messages": ("max_tokens", {"messages": [LONG]}, '"stop_reason":"max_tokens"'),
    "/model/{model}/converse": ("", {"messages": BLOCKS}, '"stopReason":"max_tokens"'),
    "/model/{model}/invoke": ("max_tokens", {"messages": [LONG]} | VERSION, '"stop_reason":"max_tokens"'),
}


@pytest.mark.parametrize("asked", [None, 3_000])
@pytest.mark.parametrize(
    ("door", "model"),
    [(door, model) for door in ANSWERS for model in MODELS if "invoke" not in door or model != "nova-pro"],
)
async def test_no_answer_is_longer_than_a_policy_allows(
    gateway: Gateway, door: str, model: str, asked: int | None
) -> None:
    apply(gateway, Policy("p", ORG, max_output_tokens=40), Policy("q", TEAM, max_output_tokens=30))
    field, body, end = ANSWERS[door]
    body = body | ({"model": model} if door.startswith("/v1") else {})
    if asked is not None:
        body |= {field: asked} if field else {"inferenceConfig": {"maxTokens": asked}}
    elif field and "chat" not in door and "responses" not in door:
        body |= {field: 100_000}  # their clients have to say it
    async with httpx.AsyncClient(timeout=30) as client:
        got = await client.post(
            gateway.url + door.format(model=model), json=body, headers={"authorization": f"Bearer {ALICE}"}
        )
    assert (got.status_code, end in got.text.replace(" ", "")) == (200, True), got.text
    (settled,) = gateway.journal.settled
    assert settled.usage.output_tokens == 30
    (opened,) = gateway.journal.opened
    assert opened.reserved_nanousd >= settled.cost_nanousd


async def test_the_model_lists_name_the_longest_answer_that_is_allowed(gateway: Gateway) -> None:
    apply(gateway, Policy("p", TEAM, max_output_tokens=30))
    async with httpx.AsyncClient() as client:
        headers = {"authorization": f"Bearer {ALICE}"}
        listed = (await client.get(f"{gateway.url}/v1/models", headers=headers)).json()["data"]
        infos = (await client.get(f"{gateway.url}/v1/model/info", headers=headers)).json()["data"]
    assert {one["max_tokens"] for one in listed} == {30}
    assert {one["model_info"]["max_output_tokens"] for one in infos} == {30}


async def test_a_count_of_a_prompt_is_not_made_shorter(gateway: Gateway) -> None:
    apply(gateway, Policy("p", ORG, max_output_tokens=30))
    converse = {"input": {"converse": {"messages": BLOCKS}}}
    async with httpx.AsyncClient() as client:
        url = f"{gateway.url}/model/claude-sonnet-4-5/count-tokens"
        got = await client.post(url, json=converse, headers={"authorization": f"Bearer {ALICE}"})
    assert (got.status_code, got.json()["inputTokens"] > 0) == (200, True)


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


@pytest.mark.parametrize(
    ("language", "words"), [("en", "not among the models of the key"), ("ja", "使用できるモデルに含まれていません")]
)
async def test_a_model_that_the_keys_list_does_not_name_is_refused_in_the_callers_language(
    gateway: Gateway, language: str, words: str
) -> None:
    async with httpx.AsyncClient(timeout=30, verify=False) as client:
        got = await client.post(
            f"{gateway.url}/v1/chat/completions",
            json={"model": "claude-haiku-4-5", "messages": SAY},
            headers={"authorization": f"Bearer {BOB}", "accept-language": language},
        )
    error = got.json()["error"]
    assert (got.status_code, error["code"]) == (400, "not_allowed")
    assert words in error["message"] and "claude-haiku-4-5" in error["message"]
