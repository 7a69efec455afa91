"""LiteLLM's key routes and spend log, as its clients use them."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sekisho.access.distribution import read_snapshot
from sekisho.app.control_plane import snapshot_path
from sekisho.clock import id_text
from tests.acceptance.control_plane import MASTER, Running, bearer, files_with, running_control_plane, token_of


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_control_plane(tmp_path / "home") as running:
        running.gate.headers.update(bearer(MASTER))
        yield running


def key_in_force(running: Running):
    snapshot = read_snapshot(snapshot_path(running.home))
    assert snapshot is not None
    return [key for key in snapshot.keys if not key.is_master]


async def generate(running: Running, **fields) -> dict[str, Any]:
    response = await running.gate.post("/key/generate", json=fields)
    assert response.status_code == 200, response.text
    made: dict[str, Any] = response.json()
    return made


async def test_a_generated_key_is_shown_once_and_lies_nowhere(running):
    made = await generate(running, key_alias="alice", user_id="alice")
    raw = made["key"]
    await running.gate.get("/key/info", params={"key": raw})
    await running.gate.post("/key/block", json={"key": raw})
    assert files_with(running.home, raw) == []
    assert files_with(running.home, raw[3:]) == []
    for answer in (
        await running.gate.get("/key/info", params={"key": raw}),
        await running.gate.get("/key/list", params={"return_full_object": True}),
        await running.gate.post("/key/unblock", json={"key": raw}),
        await running.gate.post("/key/update", json={"key": raw, "user_id": "bob"}),
        await running.gate.post("/key/delete", json={"keys": [raw]}),
    ):
        assert answer.status_code == 200
        assert raw not in answer.text


async def test_a_generated_key_has_the_fields_that_clients_read(running):
    await running.gate.post("/team/new", json={"team_id": "red"})
    made = await generate(
        running,
        key_alias="alice",
        duration="30d",
        models=["claude"],
        user_id="alice",
        team_id="red",
        metadata={"cost_centre": 7},
        tags=["project:x"],
        max_budget=None,
        guardrails=[],
        permissions={},
    )
    raw = made["key"]
    assert made["token"] == token_of(running.home, raw)
    assert made["key_name"] == f"sk-...{raw[-4:]}"
    assert made["expires"] == "2025-12-13T02:13:20Z"
    known = {"key_alias": "alice", "models": ["claude"], "user_id": "alice", "team_id": "red", "blocked": False}
    assert {name: made[name] for name in known} == known
    assert (made["metadata"], made["tags"], made["spend"]) == ({"cost_centre": 7}, ["project:x"], 0)
    (key,) = key_in_force(running)
    assert (key.digest.hex(), key.alias, key.models) == (made["token"], "alice", ("claude",))


@pytest.mark.parametrize(
    "fields",
    [
        {"budget_limits": [{"max_budget": 1, "budget_duration": "1d"}]},
        {"tpd_limit": 1000},
        {"tpm_limit_type": "dynamic"},
        {"guardrails": ["pii"]},
        {"enforced_params": ["user"]},
        {"never_heard_of": "x"},
    ],
)
async def test_what_would_not_be_enforced_is_refused_by_name(running, fields):
    (name,) = fields
    for path, body in (("/key/generate", {}), ("/key/update", {"key": "sk-whatever-it-may-be-here"})):
        response = await running.gate.post(path, json=body | fields)
        assert response.status_code == 400
        error = response.json()["error"]
        assert (error["code"], error["param"]) == ("400", name)
        assert name in error["message"]
    assert key_in_force(running) == []


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"duration": "soon"}, "duration"),
        ({"duration": "0d"}, "duration"),
        ({"models": ["bedrock/*"]}, "models"),
        ({"models": ["all-team-models"]}, "models"),
        ({"models": "claude"}, "models"),
        ({"key": "short"}, "key"),
        ({"key_type": "management"}, "key_type"),
        ({"tags": ["x" * 900]}, "tags"),
        ({"metadata": {"x": "y" * 20_000}}, "metadata"),
        ({"key_alias": "x" * 201}, "key_alias"),
    ],
)
async def test_bad_values_are_refused_by_name(running, fields, param):
    response = await running.gate.post("/key/generate", json=fields)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param


async def test_a_key_brought_along_works_and_cannot_be_made_twice(running):
    brought = "sk-brought-from-elsewhere-1234"
    made = await generate(running, key=brought)
    assert made["key"] == brought
    assert made["token"] == token_of(running.home, brought)
    again = await running.gate.post("/key/generate", json={"key": brought})
    assert again.status_code == 400


async def test_update_changes_what_it_names_and_the_call_plane_knows(running):
    made = await generate(running, key_alias="alice", models=["claude"], duration="1h", user_id="alice")
    for field, value in (("models", ["nova"]), ("duration", "-1"), ("tags", ["t"]), ("metadata", {"a": 1})):
        response = await running.gate.post("/key/update", json={"key": made["key"], field: value})
        assert response.status_code == 200
    info = (await running.gate.get("/key/info", params={"key": made["token"]})).json()
    assert info["key"] == made["token"]
    changed = {"models": ["nova"], "expires": None, "tags": ["t"], "metadata": {"a": 1}}
    assert {name: info["info"][name] for name in changed} == changed
    assert (info["info"]["key_alias"], info["info"]["user_id"]) == ("alice", "alice")
    (key,) = key_in_force(running)
    assert (key.models, key.expires_at, key.tags) == (("nova",), None, ("t",))


async def test_all_models_by_name_means_no_list(running):
    made = await generate(running, models=["all-proxy-models"])
    assert made["models"] == []


async def test_block_and_unblock_reach_the_call_plane(running):
    made = await generate(running)
    blocked = await running.gate.post("/key/block", json={"key": made["token"]})
    assert blocked.json()["blocked"] is True
    assert key_in_force(running)[0].blocked
    unblocked = await running.gate.post("/key/unblock", json={"key": made["key"]})
    assert unblocked.json()["blocked"] is False
    assert not key_in_force(running)[0].blocked


async def test_keys_are_deleted_by_key_by_digest_or_by_alias_all_or_none(running):
    alice, bob, carol = [await generate(running, key_alias=name) for name in ("alice", "bob", "carol")]
    unknown = await running.gate.post("/key/delete", json={"keys": [alice["key"], "sk-unknown"]})
    assert unknown.status_code == 404
    assert len(key_in_force(running)) == 3
    deleted = await running.gate.post("/key/delete", json={"keys": [alice["key"], bob["token"]]})
    assert deleted.json() == {"deleted_keys": [alice["token"], bob["token"]]}
    deleted = await running.gate.post("/key/delete", json={"key_aliases": ["carol"]})
    assert deleted.json() == {"deleted_keys": [carol["token"]]}
    assert key_in_force(running) == []
    assert (await running.gate.post("/key/delete", json={})).status_code == 400


async def test_keys_are_listed_by_page_as_digests_or_whole(running):
    made = []
    for number in range(3):
        running.clock.advance(1)
        made.append(await generate(running, key_alias=f"key-{number}", user_id="alice" if number else "bob"))
    page = (await running.gate.get("/key/list", params={"page": 2, "size": 2})).json()
    assert page == {"keys": [made[0]["token"]], "total_count": 3, "current_page": 2, "total_pages": 2}
    whole = (await running.gate.get("/key/list", params={"user_id": "bob", "return_full_object": True})).json()
    assert [key["key_alias"] for key in whole["keys"]] == ["key-0"]
    one = (await running.gate.get("/key/list", params={"key_hash": made[1]["token"]})).json()
    assert one["keys"] == [made[1]["token"]]
    assert (await running.gate.get("/key/list", params={"key_hash": "xyz"})).status_code == 400


async def test_without_the_master_key_nothing_is_told(running):
    made = await generate(running)
    del running.gate.headers["authorization"]
    attempts = {
        None: 401,
        "sk-wrong": 401,
        made["token"]: 401,  # the digest of a key is not a key
        made["key"]: 403,
    }
    for key, status in attempts.items():
        for method, path in (
            ("POST", "/key/generate"),
            ("GET", "/key/list"),
            ("GET", "/spend/logs"),
            ("GET", "/admin/v1/keys"),
        ):
            response = await running.gate.request(method, path, headers=bearer(key) if key else {})
            assert response.status_code == status, (key, path)
            assert response.json()["error"]["code"] == str(status)
    assert (await running.gate.get("/key/list", headers={"x-litellm-api-key": MASTER})).status_code == 200
    assert (await running.gate.get("/key/list", headers={"x-litellm-api-key": f"Bearer {MASTER}"})).status_code == 200


async def test_a_virtual_key_may_ask_about_itself_and_about_no_other(running):
    alice, bob = await generate(running, key_alias="alice"), await generate(running, key_alias="bob")
    own = await running.gate.get("/key/info", headers=bearer(alice["key"]))
    assert own.json()["info"]["key_alias"] == "alice"
    for reference in (alice["key"], alice["token"]):
        same = await running.gate.get("/key/info", params={"key": reference}, headers=bearer(alice["key"]))
        assert same.status_code == 200
    for reference in (bob["key"], bob["token"], "sk-unknown"):
        other = await running.gate.get("/key/info", params={"key": reference}, headers=bearer(alice["key"]))
        assert other.status_code == 403
    await running.gate.post("/key/block", json={"key": alice["key"]})
    assert (await running.gate.get("/key/info", headers=bearer(alice["key"]))).status_code == 401


async def test_spend_logs_have_the_names_that_clients_read(running):
    await running.gate.post("/team/new", json={"team_id": "red"})
    await generate(running, key_alias="alice", user_id="alice", team_id="red")
    (stored,) = (await running.operator.get("/admin/v1/keys")).json()["keys"]
    call_id = await running.call_of(stored, tools=(("Read", 2),))
    (row,) = (await running.gate.get("/spend/logs")).json()
    detail = row["metadata"].pop("sekisho")
    assert (detail["cost_nanousd"], detail["tools"]) == (1_500_000, {"Read": 2})
    token = (await running.gate.get("/key/list")).json()["keys"][0]
    assert row == {
        "request_id": id_text(call_id),
        "call_type": "acompletion",
        "api_key": token,
        "spend": 0.0015,
        "total_tokens": 35,
        "prompt_tokens": 15,
        "completion_tokens": 20,
        "startTime": "2025-11-13T02:13:20.001000Z",
        "endTime": "2025-11-13T02:13:21.001000Z",
        "completionStartTime": "2025-11-13T02:13:20.251000Z",
        "request_duration_ms": 1000,
        "model": "claude",
        "model_id": "bedrock-1",
        "model_group": "claude",
        "user": "alice",
        "end_user": "",
        "team_id": "red",
        "organization_id": "default",
        "metadata": {
            "user_api_key": token,
            "user_api_key_alias": "alice",
            "user_api_key_user_id": "alice",
            "user_api_key_team_id": "red",
            "user_agent": "cline/4.1",
            "status": "success",
            "error_information": None,
        },
        "cache_hit": "False",
        "cache_key": "",
        "request_tags": ["project:x"],
        "session_id": "s-1",
        "status": "success",
    }


async def test_spend_logs_are_filtered_and_paged(running):
    for name in ("alice", "bob"):
        await generate(running, key_alias=name, user_id=name)
    keys = {key["alias"]: key for key in (await running.operator.get("/admin/v1/keys")).json()["keys"]}
    first = await running.call_of(keys["alice"])
    running.clock.advance(86_400)
    second = await running.call_of(keys["bob"])
    refused = await running.refusal_of(keys["bob"])
    token = {key["key_alias"]: key["token"] for key in (await full_list(running))}

    async def ids(**params) -> list[str]:
        return [row["request_id"] for row in (await running.gate.get("/spend/logs", params=params)).json()]

    one, two, three = id_text(first), id_text(second), id_text(refused)
    assert await ids() == [three, two, one]
    assert await ids(api_key=token["alice"]) == [one]
    assert await ids(api_key="sk-unknown") == []
    assert await ids(user_id="bob") == [three, two]
    assert await ids(request_id=two) == [two]
    assert await ids(start_date="2025-11-13", end_date="2025-11-13", summarize=False) == [one]
    assert await ids(start_date="2025-11-14") == [three, two]
    page = await running.gate.get("/spend/logs", params={"limit": 2})
    assert page.headers["x-sekisho-next"] == two
    assert await ids(limit=2, before=two) == [one]
    (failure,) = (await running.gate.get("/spend/logs", params={"request_id": three})).json()
    assert (failure["status"], failure["spend"]) == ("failure", 0)
    assert failure["metadata"]["error_information"]["error_code"] == "model_not_found"


async def full_list(running: Running) -> list[dict[str, Any]]:
    response = await running.gate.get("/key/list", params={"return_full_object": True})
    keys: list[dict[str, Any]] = response.json()["keys"]
    return keys


async def test_two_dates_give_one_sum_a_day(running):
    await generate(running, user_id="alice")
    (stored,) = (await running.operator.get("/admin/v1/keys")).json()["keys"]
    await running.call_of(stored, cost_nanousd=1_000_000_000)
    await running.call_of(stored, cost_nanousd=500_000_000)
    (whole,) = await full_list(running)
    days = await running.gate.get("/spend/logs", params={"start_date": "2025-11-13", "end_date": "2025-11-14"})
    assert days.json() == [
        {
            "startTime": "2025-11-13",
            "spend": 1.5,
            "users": {"alice": 1.5},
            "models": {"claude": 1.5},
            whole["token"]: 1.5,
        },
        {"startTime": "2025-11-14", "spend": 0.0, "users": {}, "models": {}},
    ]
    assert whole["spend"] == 1.5


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"start_date": "yesterday"}, "start_date"),
        ({"request_id": "chatcmpl-1"}, "request_id"),
        ({"before": "x"}, "before"),
        ({"start_date": "1900-01-01", "end_date": "2026-01-01"}, "start_date"),
    ],
)
async def test_questions_that_make_no_sense_are_refused_by_name(running, params, param):
    response = await running.gate.get("/spend/logs", params=params)
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)
