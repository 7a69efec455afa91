"""What a lead may do: Alice leads red, Bob is in it, Charlie leads blue. Nobody gives more than they hold."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sekisho.access.distribution import read_snapshot
from tests.acceptance.control_plane import Running, bearer, running_control_plane

KEYS, BUDGETS, LIMITS = "/admin/v1/keys", "/admin/v1/budgets", "/admin/v1/limits"
MONTH = {"kind": "month"}


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_control_plane(tmp_path / "home") as running:
        operator = running.operator
        for team, models in (("red", ["claude"]), ("blue", [])):
            await operator.post("/admin/v1/teams", json={"id": team, "models": models})
        for name, team, role in (("alice", "red", "lead"), ("bob", "red", "member"), ("charlie", "blue", "lead")):
            await operator.post(f"/admin/v1/teams/{team}/members", json={"user_id": name, "role": role})
        budget = {"scope": {"kind": "team", "id": "red"}, "amount_usd": 100, "window": MONTH}
        await operator.post(BUDGETS, json=budget)
        await operator.post(LIMITS, json={"scope": {"kind": "team", "id": "red"}, "requests_per_minute": 60})
        made = await operator.post("/admin/v1/tokens", json={"user_id": "alice", "expires_in": "30d"})
        running.gate.headers.update(bearer(made.json()["token"]))
        yield running


async def ask(running: Running, method: str, path: str, **body: Any) -> httpx.Response:
    """A request of Alice's."""
    answer: httpx.Response = await running.gate.request(method, path, json=body or None)
    return answer


async def key(running: Running, **fields: Any) -> dict[str, Any]:
    answer = await ask(running, "POST", KEYS, team_id="red", user_id="bob", **fields)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def refusal(answer: httpx.Response) -> tuple[int, str | None]:
    return answer.status_code, answer.json()["error"]["param"]


async def test_a_lead_issues_changes_rotates_and_ends_keys_of_members(running):
    made = await key(running, alias="bobs")
    path = f"{KEYS}/{made['id']}"
    assert (await ask(running, "PATCH", path, alias="bobs laptop")).json()["alias"] == "bobs laptop"
    for action in ("block", "unblock", "rotate"):
        assert (await ask(running, "POST", f"{path}/{action}")).status_code == 200
    assert (await ask(running, "DELETE", path)).status_code == 204


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"team_id": ""}, "team_id"),
        ({"team_id": "blue", "user_id": "charlie"}, "team_id"),
        ({"team_id": "nothing"}, "team_id"),
        ({"user_id": "charlie"}, "user_id"),
        ({"user_id": "nobody"}, "user_id"),
        ({"models": ["claude", "other"]}, "models"),
        ({"tags": ["cost-centre:1"]}, "tags"),
        ({"expires_in": "31d"}, "expires_in"),
    ],
)
async def test_a_key_beyond_what_the_lead_holds_is_refused_by_name(running, fields, param):
    before = (await running.operator.get(KEYS)).json()
    answer = await ask(running, "POST", KEYS, **({"team_id": "red", "user_id": "bob"} | fields))
    assert refusal(answer) == (400, param)
    made = await key(running)
    change = {name: value for name, value in fields.items() if name != "team_id" or value}
    if change:
        assert refusal(await ask(running, "PATCH", f"{KEYS}/{made['id']}", **change)) == (400, param)
    await running.operator.delete(f"{KEYS}/{made['id']}")
    assert (await running.operator.get(KEYS)).json() == before


async def test_a_lead_lets_streams_of_revoked_keys_be_cut_and_only_an_administrator_lets_them_go_on(running):
    assert refusal(await ask(running, "POST", KEYS, team_id="red", cut_streams=False)) == (400, "cut_streams")
    made = await key(running, cut_streams=True)
    path = f"{KEYS}/{made['id']}"
    for looser in (False, None):
        assert refusal(await ask(running, "PATCH", path, cut_streams=looser)) == (400, "cut_streams")
    assert (await ask(running, "PATCH", path, cut_streams=True, alias="a")).json()["cut_streams"] is True
    assert (await running.operator.patch(path, json={"cut_streams": False})).json()["cut_streams"] is False
    assert (await ask(running, "PATCH", path, cut_streams=False, alias="b")).status_code == 200  # as it is
    assert (await ask(running, "PATCH", path, cut_streams=True)).json()["cut_streams"] is True


async def test_words_about_another_teams_key_user_or_team_are_those_about_nothing(running):
    blue = (await running.operator.post(KEYS, json={"team_id": "blue", "user_id": "charlie"})).json()
    pairs = [
        ("PATCH", f"{KEYS}/{blue['id']}", f"{KEYS}/{'0' * 26}", {"alias": "x"}),
        ("POST", f"{KEYS}/{blue['id']}/rotate", f"{KEYS}/{'0' * 26}/rotate", {}),
        ("DELETE", f"{KEYS}/{blue['id']}", f"{KEYS}/{'0' * 26}", {}),
        ("POST", "/admin/v1/teams/blue/members", "/admin/v1/teams/nothing/members", {"user_id": "bob"}),
        ("DELETE", "/admin/v1/teams/blue/members/charlie", "/admin/v1/teams/nothing/members/nobody", {}),
        ("GET", "/admin/v1/users/charlie", "/admin/v1/users/nobody", {}),
        ("GET", "/user/info?user_id=charlie", "/user/info?user_id=nobody", {}),
        ("GET", "/team/info?team_id=blue", "/team/info?team_id=nothing", {}),
    ]
    for method, foreign, unknown, body in pairs:
        one, other = await ask(running, method, foreign, **body), await ask(running, method, unknown, **body)
        assert (one.status_code, one.text) == (404, other.text), foreign
    for field in ("key", "keys"):
        path = "/key/block" if field == "key" else "/key/delete"
        bodies = [{field: name if field == "key" else [name]} for name in (blue["key"], "sk-" + "0" * 43)]
        answers = [await ask(running, "POST", path, **body) for body in bodies]
        assert [(one.status_code, one.text) for one in answers] == [(404, answers[0].text)] * 2


async def test_budgets_of_members_and_keys_share_what_the_team_has_left(running):
    async def budget(kind: str, scope_id: str, amount: int, **more: Any) -> httpx.Response:
        scope = {"kind": kind, "id": scope_id}
        return await ask(running, "POST", BUDGETS, scope=scope, amount_usd=amount, window=MONTH, **more)

    made, shared = await key(running), (await ask(running, "POST", KEYS, team_id="red")).json()
    assert (await budget("member", "red/bob", 60)).status_code == 201
    assert (await budget("key", shared["id"], 40)).status_code == 201
    assert refusal(await budget("member", "red/alice", 1)) == (400, "allow_over_allocation")
    assert refusal(await budget("member", "red/alice", 1, allow_over_allocation=True)) == (400, "allow_over_allocation")
    assert (await budget("key", made["id"], 60)).status_code == 201  # out of Bob's 60
    (bobs,) = (await ask(running, "GET", f"{BUDGETS}?scope_kind=member")).json()["budgets"]
    assert refusal(await ask(running, "PATCH", f"{BUDGETS}/{bobs['id']}", amount_usd=61)) == (
        400,
        "allow_over_allocation",
    )
    increase = {"amount_usd": 50, "until": "7d"}
    assert refusal(await ask(running, "PATCH", f"{BUDGETS}/{bobs['id']}", increase=increase)) == (400, "amount_usd")
    small = {"amount_usd": 1, "until": "7d"}  # 101 of the team's 100 for a week
    assert refusal(await ask(running, "PATCH", f"{BUDGETS}/{bobs['id']}", increase=small)) == (
        400,
        "allow_over_allocation",
    )
    assert refusal(await budget("key", made["id"], 101, name="day")) == (400, "amount_usd")
    assert (await ask(running, "DELETE", f"{BUDGETS}/{bobs['id']}")).status_code == 204
    assert refusal(await budget("member", "red/alice", 1)) == (400, "allow_over_allocation")  # the key's 60 stay


async def test_the_teams_own_money_other_peoples_and_credits_are_not_a_leads_to_give(running):
    (own,) = (await ask(running, "GET", BUDGETS)).json()["budgets"]
    assert (await ask(running, "PATCH", f"{BUDGETS}/{own['id']}", amount_usd=1000)).status_code == 403
    assert (await ask(running, "DELETE", f"{BUDGETS}/{own['id']}")).status_code == 403
    assert (await ask(running, "POST", f"{BUDGETS}/{own['id']}/reset", reason="please")).status_code == 403
    for scope in (("member", "blue/charlie"), ("user", "bob"), ("org", "default"), ("tag", "x"), ("team", "blue")):
        body = {"scope": {"kind": scope[0], "id": scope[1]}, "amount_usd": 1, "window": MONTH}
        assert refusal(await ask(running, "POST", BUDGETS, **body)) == (400, "scope"), scope


async def test_a_limit_is_not_beyond_the_teams(running):
    scope = {"kind": "member", "id": "red/bob"}
    assert refusal(await ask(running, "POST", LIMITS, scope=scope, requests_per_minute=61)) == (
        400,
        "requests_per_minute",
    )
    assert (await ask(running, "POST", LIMITS, scope=scope, requests_per_minute=60)).status_code == 201


async def test_what_a_lead_issues_ends_with_the_leads_own_token_at_the_latest(running):
    made = await key(running)
    (token,) = (await running.operator.get("/admin/v1/tokens?user_id=alice")).json()["tokens"]
    assert made["expires_at"] == token["expires_at"]
    changed = (await ask(running, "PATCH", f"{KEYS}/{made['id']}", expires_in=None)).json()
    assert changed["expires_at"] == token["expires_at"]


async def test_the_same_holds_for_litellms_routes(running):
    body = {"team_id": "red", "user_id": "bob", "key_alias": "bobs", "max_budget": 30, "budget_duration": "30d"}
    made = (await ask(running, "POST", "/key/generate", **body)).json()
    assert made["max_budget"] == 30
    refusals = [
        ("/key/generate", body | {"key_alias": "a", "max_budget": 71}, (400, "allow_over_allocation")),
        ("/key/generate", body | {"key_alias": "a", "team_id": "blue"}, (400, "team_id")),
        ("/key/generate", body | {"key_alias": "a", "models": ["other"]}, (400, "models")),
        ("/key/generate", body | {"key_alias": "a", "key": "sk-0123456789012345678901"}, (400, "key")),
        ("/key/generate", body | {"key_alias": "a", "rpm_limit": 61}, (400, "requests_per_minute")),
        ("/key/generate", body | {"key_alias": "a", "budget_id": "x"}, (400, "budget_id")),
        ("/key/update", {"key": made["key"], "max_budget": 101}, (400, "amount_usd")),
        ("/key/update", {"key": made["key"], "tags": ["x"]}, (400, "tags")),
        ("/team/member_update", {"team_id": "red", "user_id": "bob", "max_budget_in_team": 101}, (400, "amount_usd")),
        ("/team/member_add", {"team_id": "blue", "member": {"user_id": "bob"}}, (404, None)),
        ("/team/update", {"team_id": "red", "max_budget": 1000}, (403, None)),
        ("/team/new", {"team_id": "green"}, (403, None)),
        ("/user/new", {"user_id": "dora"}, (403, None)),
    ]
    for path, fields, expected in refusals:
        assert refusal(await ask(running, "POST", path, **fields)) == expected, (path, fields)
    assert (await ask(running, "POST", "/key/update", key=made["key"], max_budget=20)).json()["max_budget"] == 20
    assert (await ask(running, "POST", "/key/regenerate", key=made["key"])).status_code == 200
    cap = {"team_id": "red", "member": {"user_id": "dora"}, "max_budget_in_team": 5}
    assert (await ask(running, "POST", "/team/member_add", **cap)).status_code == 200


async def test_a_key_with_a_budget_moves_only_where_there_is_room(running):
    await running.operator.post("/admin/v1/teams", json={"id": "poor"})
    await running.operator.post(
        BUDGETS, json={"scope": {"kind": "team", "id": "poor"}, "amount_usd": 1, "window": MONTH}
    )
    made = (await running.operator.post(KEYS, json={"team_id": "red"})).json()
    scope = {"kind": "key", "id": made["id"]}
    await running.operator.post(BUDGETS, json={"scope": scope, "amount_usd": 50, "window": MONTH})
    answer = await running.operator.patch(f"{KEYS}/{made['id']}", json={"team_id": "poor"})
    assert refusal(answer) == (400, "allow_over_allocation")
    assert (await running.operator.patch(f"{KEYS}/{made['id']}", json={"team_id": "blue"})).status_code == 200


async def test_who_leads_by_a_role_is_named_to_the_refused_at_once(running: Running) -> None:
    def named() -> dict[str, tuple[str, ...]]:
        snapshot = read_snapshot(running.home / "snapshot")
        assert snapshot is not None
        return snapshot.leads

    lead = {"user_id": "bob", "role": "team_lead", "team_id": "red"}
    assert named() == {"red": ("alice",), "blue": ("charlie",)}
    assert (await running.operator.post("/admin/v1/role-grants", json=lead)).status_code == 201
    assert named() == {"red": ("alice", "bob"), "blue": ("charlie",)}
    assert (await running.operator.delete("/admin/v1/role-grants", params=lead)).status_code == 204
    assert named() == {"red": ("alice",), "blue": ("charlie",)}
