"""Every door beside every control: each cell of the table is walked with a real request.

A door that is added to `values.Door` or a gate that is added to policies without a row here fails a test.
"""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

import httpx
import pytest
from msgspec.structs import replace

from sekisho.access.organisation import Team
from sekisho.access.policies import PolicyGate
from sekisho.access.resolution import resolve_keys
from sekisho.clock import SystemClock
from sekisho.ledger.counters import Spent
from sekisho.ledger.windows import span_at
from sekisho.values import Budget, Door, Hours, Policy, RateLimit, Scope, Snapshot, Window
from tests.acceptance.conftest import ALICE, Gateway

MODEL = "claude-haiku-4-5"
TEXT = [{"role": "user", "content": "Hello"}]
MESSAGES = {"messages": TEXT, "max_tokens": 50}
CLAUDE = {"anthropic_version": "bedrock-2023-05-31", **MESSAGES}
CONVERSE = {"messages": [{"role": "user", "content": [{"text": "Hello"}]}], "inferenceConfig": {"maxTokens": 50}}
WRAPPED = {"input": {"invokeModel": {"body": base64.b64encode(json.dumps(CLAUDE).encode()).decode()}}}


@dataclass(frozen=True)
class Way:
    """One way in. `door` is empty for one that spends nothing."""

    path: str
    body: dict[str, Any] | None
    door: Door | None = None


SPENDING: tuple[tuple[str, dict[str, Any], Door], ...] = (
    ("/chat/completions", MESSAGES, "openai_chat"),
    ("/responses", {"input": "Hello", "max_output_tokens": 50}, "openai_responses"),
    ("/messages", MESSAGES, "anthropic_messages"),
)
BEDROCK: tuple[tuple[str, dict[str, Any], Door], ...] = (
    ("converse", CONVERSE, "bedrock_converse"),
    ("converse-stream", CONVERSE, "bedrock_converse"),
    ("invoke", CLAUDE, "bedrock_invoke"),
    ("invoke-with-response-stream", CLAUDE, "bedrock_invoke"),
)
WAYS = (
    *(
        Way(prefix + path, {"model": MODEL, "stream": stream, **body}, door)
        for prefix in ("/v1", "")
        for stream in (False, True)
        for path, body, door in SPENDING
    ),
    *(
        Way(f"{prefix}/model/{MODEL}/{operation}", body, door)
        for prefix in ("/v1", "")
        for operation, body, door in BEDROCK
    ),
    Way("/v1/messages/count_tokens", {"model": MODEL, "messages": TEXT}),
    Way("/messages/count_tokens", {"model": MODEL, "messages": TEXT}),
    Way(f"/model/{MODEL}/count-tokens", WRAPPED),
)
LISTS = ("/v1/models", "/models", "/v1/model/info", "/model/info", "/inference-profiles")


@dataclass(frozen=True)
class Control:
    """What may stop a call. `code`: of its refusal, on record. `is_of_money`: a count costs nothing, so it passes.
    `hides`: the model lists do not show the model."""

    status: int
    code: str
    change: Callable[[Snapshot], Snapshot] = lambda snapshot: snapshot
    key: str = ALICE
    is_of_money: bool = False
    hides: bool = False


def key_with(**fields: Any) -> Callable[[Snapshot], Snapshot]:
    return lambda snapshot: replace(snapshot, keys=tuple(replace(key, **fields) for key in snapshot.keys))


def with_policy(**fields: Any) -> Callable[[Snapshot], Snapshot]:
    return lambda snapshot: replace(snapshot, policies=(Policy("p", Scope("team", "red"), "ours", **fields),))


def with_limit(**fields: Any) -> Callable[[Snapshot], Snapshot]:
    return lambda snapshot: replace(snapshot, limits=(RateLimit("l", Scope("user", "alice"), **fields),))


def with_blocked_team(snapshot: Snapshot) -> Snapshot:
    team = Team("red", "org", 0, "", 0, blocked=True)
    return replace(snapshot, keys=resolve_keys(snapshot.keys, (team,), snapshot.models))


def with_budget(snapshot: Snapshot) -> Snapshot:
    return replace(snapshot, budgets=(Budget("b", Scope("org", "org"), 1, Window("month")),))


def without_prices(snapshot: Snapshot) -> Snapshot:
    models = (
        replace(model, deployments=tuple(replace(one, price=None) for one in model.deployments))
        for model in snapshot.models
    )
    return replace(snapshot, models=tuple(models))


def without_model(snapshot: Snapshot) -> Snapshot:
    return replace(snapshot, models=tuple(model for model in snapshot.models if model.name != MODEL))


ALWAYS = Hours(tuple(range(7)), 0, 1440)
POLICIES: dict[PolicyGate, Control] = {
    "model": Control(400, "not_allowed", with_policy(models=("nova-*",)), hides=True),
    "family": Control(400, "not_allowed", with_policy(families=("nova",)), hides=True),
    "provider": Control(400, "not_allowed", with_policy(providers=("anthropic",)), hides=True),
    "region": Control(400, "not_allowed", with_policy(regions=("eu-*",)), hides=True),
    "geography": Control(400, "not_allowed", with_policy(geographies=("jp",)), hides=True),
    "account": Control(400, "not_allowed", with_policy(accounts=("1",)), hides=True),
    "agent": Control(400, "not_allowed", with_policy(agents=("cline",))),
    "hours": Control(400, "not_allowed", with_policy(hours=(Hours((), 0, 0),))),
    "holiday": Control(400, "not_allowed", with_policy(hours=(ALWAYS,), holidays=("0001-01-01/9999-12-31",))),
}
CONTROLS: dict[str, Control] = {
    "nothing": Control(200, ""),
    "an unknown key": Control(401, "invalid_api_key", key="sk-unknown-0000000000000000000000"),
    "an expired key": Control(401, "invalid_api_key", key_with(expires_at=1)),
    "a blocked key": Control(401, "invalid_api_key", key_with(blocked=True)),
    "a blocked team": Control(401, "invalid_api_key", with_blocked_team),
    "a model that is not there": Control(404, "model_not_found", without_model, hides=True),
    "a model that the key does not list": Control(400, "not_allowed", key_with(models=("nova-pro",)), hides=True),
    **{f"a policy on the {gate}": control for gate, control in POLICIES.items()},
    "an unknown price": Control(400, "not_allowed", without_prices, is_of_money=True),
    "an empty budget": Control(400, "budget_exceeded", with_budget, is_of_money=True),
    "a limit of requests": Control(429, "rate_limit_exceeded", with_limit(requests_per_minute=0), is_of_money=True),
    "a limit of tokens": Control(429, "rate_limit_exceeded", with_limit(tokens_per_minute=0), is_of_money=True),
    "a limit of parallel calls": Control(429, "rate_limit_exceeded", with_limit(parallel=0), is_of_money=True),
}


def test_every_door_and_every_gate_has_its_row() -> None:
    assert {way.door for way in WAYS if way.door} == set(get_args(Door))
    assert set(POLICIES) == set(get_args(PolicyGate))


async def put_in_force(gateway: Gateway, control: Control) -> None:
    assert gateway.registry.snapshot is not None
    snapshot = control.change(gateway.registry.snapshot)
    gateway.registry.load(snapshot)
    await gateway.counters.configure(snapshot.budgets, snapshot.limits)
    now_us = SystemClock().now_us()
    spans = [(budget, span_at(budget.window, now_us)) for budget in snapshot.budgets]
    await gateway.counters.load(tuple(Spent(one, span.starts_at, 0) for one, span in spans if span), (0, 1))


@pytest.mark.parametrize("name", CONTROLS)
async def test_no_door_lets_pass_what_a_control_stops(gateway: Gateway, name: str) -> None:
    control = CONTROLS[name]
    await put_in_force(gateway, control)
    headers = {"authorization": f"Bearer {control.key}", "user-agent": "curl/8"}
    async with httpx.AsyncClient(base_url=gateway.url, timeout=30, verify=False, headers=headers) as client:
        for way in WAYS:
            got = await client.post(way.path, json=way.body)
            expected = 200 if control.is_of_money and way.door is None else control.status
            assert got.status_code == expected, (name, way.path, got.text)
            if expected != 200:
                check_refusal(gateway, control, way, got)
        for path in LISTS:
            listed = await client.get(path)
            assert listed.status_code == (401 if control.status == 401 else 200), (name, path)
            assert (MODEL in listed.text) is (control.status != 401 and not control.hides), (name, path)
    if control.status != 200:
        assert gateway.journal.opened == []
        assert gateway.journal.settled == []


def check_refusal(gateway: Gateway, control: Control, way: Way, got: httpx.Response) -> None:
    """A refusal is in words, final where trying again does not help, and on record once the caller is known."""
    assert got.headers["content-type"].startswith("application/json"), way.path
    said = got.json()
    words = said["error"]["message"] if "error" in said else said["message"]
    assert len(words) > 20 and "Traceback" not in words, way.path
    if control.status == 429:
        assert 1 <= int(got.headers["retry-after"]) <= 59, way.path
    else:
        assert got.headers["x-should-retry"] == "false", way.path
    if way.door and control.key == ALICE:
        refused = gateway.journal.refused[-1]
        assert (refused.error, refused.door) == (control.code, way.door), way.path
        assert (refused.caller.key_id, refused.caller.agent) == ("alice", "curl"), way.path
