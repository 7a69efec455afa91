"""What a wider role has blocked or capped is no lead's to lift: Alice leads red, Bob is in it, Dora counts costs."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.control_plane import Running, bearer, running_control_plane

KEYS, BUDGETS, LIMITS = "/admin/v1/keys", "/admin/v1/budgets", "/admin/v1/limits"
BOB = {"kind": "member", "id": "red/bob"}
MONTH = {"kind": "month"}
BUDGET = {"scope": BOB, "amount_usd": 10, "window": MONTH, "thresholds": [{"at": 80}]}


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_control_plane(tmp_path / "home") as running:
        operator = running.operator
        await operator.post("/admin/v1/teams", json={"id": "red"})
        for name, role in (("alice", "lead"), ("erin", "lead"), ("bob", "member"), ("dora", "member")):
            await operator.post("/admin/v1/teams/red/members", json={"user_id": name, "role": role})
        await operator.post("/admin/v1/role-grants", json={"user_id": "dora", "role": "cost_manager"})
        yield running


async def ask(running: Running, who: str, method: str, path: str, **body: Any) -> httpx.Response:
    """A request of somebody's, by an access token; a moment later than what was before."""
    running.clock.advance(1)
    made = await running.operator.post("/admin/v1/tokens", json={"user_id": who, "expires_in": "30d"})
    answer: httpx.Response = await running.gate.request(
        method, path, json=body or None, headers=bearer(made.json()["token"])
    )
    return answer


async def made(running: Running, who: str, path: str, **body: Any) -> str:
    answer = await ask(running, who, "POST", path, **body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def refusal(answer: httpx.Response) -> tuple[int, str | None]:
    return answer.status_code, answer.json()["error"]["param"]


async def blocked_key(running: Running) -> dict[str, Any]:
    key: dict[str, Any] = (await running.operator.post(KEYS, json={"team_id": "red", "user_id": "bob"})).json()
    await running.operator.post(f"{KEYS}/{key['id']}/block")
    return key


async def test_a_lead_unblocks_no_key_that_an_administrator_has_blocked(running):
    key = await blocked_key(running)
    ways = [
        ("POST", f"{KEYS}/{key['id']}/unblock", {}),
        ("POST", "/key/unblock", {"key": key["key"]}),
        ("POST", "/key/update", {"key": key["key"], "blocked": False}),
    ]
    for method, path, body in ways:
        answer = await ask(running, "alice", method, path, **body)
        assert answer.status_code == 403, path
        assert "blocked by a role above yours" in answer.json()["error"]["message"]
    assert (await running.operator.get(f"{KEYS}/{key['id']}")).json()["blocked"] is True
    assert (await running.operator.post(f"{KEYS}/{key['id']}/unblock")).json()["blocked"] is False


async def test_what_a_lead_has_blocked_every_lead_of_the_team_unblocks(running):
    key = await blocked_key(running)
    path = f"{KEYS}/{key['id']}"
    await running.operator.post(f"{path}/unblock")
    await ask(running, "alice", "POST", f"{path}/block")
    await ask(running, "alice", "PATCH", path, alias="renamed since")
    assert (await ask(running, "erin", "POST", f"{path}/unblock")).json()["blocked"] is False


async def test_a_key_blocked_by_who_was_an_administrator_then_stays_blocked(running):
    key = await blocked_key(running)
    path, grant = f"{KEYS}/{key['id']}", {"user_id": "erin", "role": "platform_admin"}
    await running.operator.post(f"{path}/unblock")
    await running.operator.post("/admin/v1/role-grants", json=grant)
    await ask(running, "erin", "POST", f"{path}/block")
    running.clock.advance(1)
    await running.operator.delete("/admin/v1/role-grants", params=grant)
    assert (await ask(running, "alice", "POST", f"{path}/unblock")).status_code == 403
    await ask(running, "alice", "POST", f"{path}/block")  # blocked already: that makes it nobody else's
    assert (await ask(running, "alice", "POST", f"{path}/unblock")).status_code == 403


@pytest.mark.parametrize("who", ["operator", "dora"])
async def test_a_cap_of_a_wider_role_is_tightened_by_a_lead_and_not_lifted(running, who):
    if who == "operator":
        budget = (await running.operator.post(BUDGETS, json=BUDGET)).json()["id"]
    else:
        budget = await made(running, who, BUDGETS, **BUDGET)
    path = f"{BUDGETS}/{budget}"
    looser: list[tuple[str, dict[str, Any]]] = [
        ("amount_usd", {"amount_usd": 11}),
        ("increase", {"increase": {"amount_usd": 1, "until": "7d"}}),
        ("is_hard", {"is_hard": False}),
        ("window", {"window": {"kind": "day"}}),
        ("thresholds", {"thresholds": []}),
    ]
    for param, body in looser:
        assert refusal(await ask(running, "alice", "PATCH", path, **body)) == (403, param)
    assert refusal(await ask(running, "alice", "DELETE", path)) == (403, None)
    assert (await ask(running, "alice", "PATCH", path, amount_usd=4)).json()["amount_usd"] == "4"
    assert (await ask(running, "alice", "PATCH", path, amount_usd=10)).status_code == 200  # as it was capped
    assert refusal(await ask(running, "alice", "PATCH", path, amount_usd=11)) == (403, "amount_usd")
    assert (await running.operator.delete(path)).status_code == 204


async def test_a_limit_of_a_wider_role_is_tightened_by_a_lead_and_not_lifted(running):
    body = {"scope": BOB, "requests_per_minute": 10, "parallel": 2}
    path = f"{LIMITS}/{(await running.operator.post(LIMITS, json=body)).json()['id']}"
    for param, value in (("requests_per_minute", 11), ("requests_per_minute", None), ("parallel", 3)):
        assert refusal(await ask(running, "alice", "PATCH", path, **{param: value})) == (403, param)
    assert refusal(await ask(running, "alice", "DELETE", path)) == (403, None)
    tighter = await ask(running, "alice", "PATCH", path, requests_per_minute=5, tokens_per_minute=1000)
    assert tighter.json()["requests_per_minute"] == 5


async def test_the_own_caps_of_leads_are_any_leads_to_change(running):
    budget = await made(running, "alice", BUDGETS, **BUDGET)
    limit = await made(running, "alice", LIMITS, scope=BOB, requests_per_minute=10)
    assert (await ask(running, "erin", "PATCH", f"{BUDGETS}/{budget}", amount_usd=20)).status_code == 200
    assert (await ask(running, "erin", "PATCH", f"{LIMITS}/{limit}", requests_per_minute=20)).status_code == 200
    await running.operator.patch(f"{BUDGETS}/{budget}", json={"amount_usd": 15})
    assert refusal(await ask(running, "erin", "PATCH", f"{BUDGETS}/{budget}", amount_usd=20)) == (403, "amount_usd")
    for path in (f"{BUDGETS}/{budget}", f"{LIMITS}/{limit}"):
        assert (await ask(running, "erin", "DELETE", path)).status_code == (403 if BUDGETS in path else 204)


async def test_a_cap_does_not_end_by_letting_its_member_go_and_taking_the_member_back(running):
    await made(running, "alice", BUDGETS, **BUDGET)
    member = "/admin/v1/teams/red/members/bob"
    assert (await ask(running, "alice", "DELETE", member)).status_code == 204  # a lead's own cap goes along
    await running.operator.post("/admin/v1/teams/red/members", json={"user_id": "bob"})
    await running.operator.post(LIMITS, json={"scope": BOB, "requests_per_minute": 10})
    for method, path, body in (
        ("DELETE", member, {}),
        ("POST", "/team/member_delete", {"team_id": "red", "user_id": "bob"}),
    ):
        answer = await ask(running, "alice", method, path, **body)
        assert answer.status_code == 403, path
        assert "a role above yours has set" in answer.json()["error"]["message"]
    assert (await running.operator.delete(member)).status_code == 204


async def test_litellms_routes_lift_no_cap_of_a_wider_role(running):
    body = {"team_id": "red", "user_id": "bob", "max_budget": 10, "rpm_limit": 10}
    key = (await running.operator.post("/key/generate", json=body)).json()["key"]
    await running.operator.post(
        "/team/member_update", json={"team_id": "red", "user_id": "bob", "max_budget_in_team": 50}
    )
    refused: list[tuple[str, dict[str, Any]]] = [
        ("/key/update", {"key": key, "max_budget": 11}),
        ("/key/update", {"key": key, "max_budget": None}),
        ("/key/update", {"key": key, "rpm_limit": None}),
        ("/team/member_update", {"team_id": "red", "user_id": "bob", "max_budget_in_team": 60}),
        ("/team/member_update", {"team_id": "red", "user_id": "bob", "max_budget_in_team": None}),
        ("/team/member_add", {"team_id": "red", "member": {"user_id": "bob"}, "max_budget_in_team": 60}),
    ]
    for path, fields in refused:
        assert (await ask(running, "alice", "POST", path, **fields)).status_code == 403, (path, fields)
    assert (await ask(running, "alice", "POST", "/key/update", key=key, max_budget=9)).json()["max_budget"] == 9
