"""Access tokens and roles through the admin API: who somebody is, who may say so, and when it ends."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.control_plane import Running, bearer, files_with, running_control_plane

TOKENS, GRANTS, ME = "/admin/v1/tokens", "/admin/v1/role-grants", "/admin/v1/me"


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_control_plane(tmp_path / "home") as running:
        yield running


async def user(running: Running, name: str, *grants: tuple[str, str], kind: str = "person", **token: Any) -> Any:
    """Make a user with these roles, each with its team; the headers of a token of it."""
    await running.operator.post("/admin/v1/users", json={"id": name, "kind": kind})
    for role, team in grants:
        answer = await running.operator.post(GRANTS, json={"user_id": name, "role": role, "team_id": team})
        assert answer.status_code == 201, answer.text
    made = (await running.operator.post(TOKENS, json={"user_id": name} | token)).json()
    return bearer(made["token"])


async def teams(running: Running, *names: str) -> None:
    for name in names:
        await running.operator.post("/admin/v1/teams", json={"id": name})


async def test_a_token_is_shown_once_and_says_who_asks(running):
    await running.operator.post("/admin/v1/users", json={"id": "alice"})
    made = (await running.operator.post(TOKENS, json={"user_id": "alice", "name": "laptop"})).json()
    assert made["token"].startswith("skt-")
    assert made["token"].endswith(made["hint"])
    assert len(made["hint"]) == 4
    assert files_with(running.home, made["token"]) == []
    me = (await running.gate.get(ME, headers=bearer(made["token"]))).json()
    assert (me["actor"], me["kind"], me["user_id"]) == ("user:alice", "person", "alice")
    assert me["roles"] == [{"role": "developer", "team_id": None}]
    assert me["permissions"]["spend:read"] == {"everywhere": False, "team_ids": [], "user_id": "alice"}
    listed = (await running.operator.get(TOKENS)).json()["tokens"]
    assert "token" not in listed[0]
    assert listed[0]["name"] == "laptop"


async def test_a_token_ends_when_it_expires_is_revoked_or_its_user_is_deleted(running):
    short = await user(running, "alice", expires_in="1h")
    revoked = (await running.operator.post(TOKENS, json={"user_id": "alice", "expires_in": None})).json()
    orphan = await user(running, "bob", expires_in=None)

    async def statuses() -> list[int]:
        headers = (short, bearer(revoked["token"]), orphan)
        return [int((await running.gate.get(ME, headers=one)).status_code) for one in headers]

    assert await statuses() == [200, 200, 200]
    running.clock.advance(3600)
    assert await statuses() == [401, 200, 200]
    assert (await running.operator.delete(f"{TOKENS}/{revoked['id']}")).status_code == 204
    assert await statuses() == [401, 401, 200]
    await running.operator.delete("/admin/v1/users/bob")
    assert await statuses() == [401, 401, 401]
    await running.operator.post("/admin/v1/users", json={"id": "bob"})
    assert await statuses() == [401, 401, 401]
    assert (await running.operator.get(f"{TOKENS}/{revoked['id']}")).status_code == 404


async def test_no_users_name_makes_it_the_operator(running):
    for name in ("operator", "master key"):
        me = (await running.gate.get(ME, headers=await user(running, name))).json()
        assert (me["actor"], me["roles"][0]["role"]) == (f"user:{name}", "developer")
    service = (await running.gate.get(ME, headers=await user(running, "ci", kind="service"))).json()
    assert (service["actor"], service["kind"]) == ("service:ci", "service")
    long = (await running.gate.get(ME, headers=await user(running, "x" * 200))).json()
    assert len(long["actor"]) == 200


async def test_everybody_makes_and_sees_their_own_tokens_only_and_none_that_lives_longer(running):
    alice = await user(running, "alice", expires_in="10d")
    await user(running, "bob")
    ask = running.gate
    own = (await ask.post(TOKENS, headers=alice, json={"name": "second", "expires_in": "1d"})).json()
    longest = (await ask.post(TOKENS, headers=alice, json={"expires_in": None})).json()
    listed = (await running.operator.get(f"{TOKENS}?user_id=alice")).json()["tokens"]
    (first,) = [one for one in listed if one["created_by"] == "operator"]
    assert longest["expires_at"] == first["expires_at"]
    refused = await ask.post(TOKENS, headers=alice, json={"expires_in": "11d"})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "expires_in")
    listed = (await ask.get(TOKENS, headers=alice)).json()["tokens"]
    assert {one["user_id"] for one in listed} == {"alice"}
    assert len(listed) == 3
    bobs = (await running.operator.get(f"{TOKENS}?user_id=bob")).json()["tokens"][0]["id"]
    for method, path in (("GET", f"{TOKENS}/"), ("DELETE", f"{TOKENS}/")):
        foreign = await ask.request(method, path + bobs, headers=alice)
        unknown = await ask.request(method, path + "0" * 26, headers=alice)
        assert (foreign.status_code, foreign.text) == (404, unknown.text)
    others = [await ask.post(TOKENS, headers=alice, json={"user_id": name}) for name in ("bob", "nobody")]
    assert [(one.status_code, one.text) for one in others] == [(404, others[1].text)] * 2
    assert (await ask.delete(f"{TOKENS}/{own['id']}", headers=alice)).status_code == 204


async def test_a_role_holds_from_the_next_request_until_it_is_taken_away_and_both_are_on_record(running):
    alice = await user(running, "alice")
    assert (await running.gate.get("/admin/v1/budgets/x", headers=alice)).status_code in (403, 404)
    body = {"user_id": "alice", "role": "auditor"}
    assert (await running.operator.post(GRANTS, json=body)).status_code == 201
    assert (await running.operator.post(GRANTS, json=body)).status_code == 201  # nothing more happens
    assert (await running.gate.get(f"{GRANTS}/history", headers=alice)).status_code == 200
    assert (await running.operator.delete(GRANTS, params=body)).status_code == 204
    assert (await running.operator.delete(GRANTS, params=body)).status_code == 404
    assert (await running.gate.get(f"{GRANTS}/history", headers=alice)).status_code == 403
    history = (await running.operator.get(f"{GRANTS}/history", params={"user_id": "alice"})).json()["changes"]
    assert [(one["action"], one["role"], one["by"]) for one in history] == [
        ("revoke", "auditor", "operator"),
        ("grant", "auditor", "operator"),
    ]


async def test_who_leads_a_team_is_said_once(running):
    await teams(running, "red")
    await user(running, "alice", ("team_lead", "red"))
    team = (await running.operator.get("/admin/v1/teams/red")).json()
    assert team["leads"] == ["alice"]
    await running.operator.post("/admin/v1/teams/red/members", json={"user_id": "alice", "role": "member"})
    assert (await running.operator.get(GRANTS)).json()["grants"] == []
    await running.operator.post("/admin/v1/teams/red/members", json={"user_id": "alice", "role": "lead"})
    await running.operator.delete("/admin/v1/teams/red/members/alice")
    history = (await running.operator.get(f"{GRANTS}/history")).json()["changes"]
    assert [one["action"] for one in history] == ["revoke", "grant", "revoke", "grant"]


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"role": "developer"}, 400, "role"),
        ({"role": "team_lead"}, 400, "team_id"),
        ({"role": "platform_admin", "team_id": "red"}, 400, "team_id"),
        ({"role": "auditor", "team_id": "nobody"}, 400, "team_id"),
        ({"role": "auditor", "user_id": "nobody"}, 404, None),
        ({"role": "king"}, 400, "role"),
    ],
)
async def test_a_role_that_cannot_be_given_is_refused_by_name(running, fields, status, param):
    await teams(running, "red")
    await user(running, "alice")
    answer = await running.operator.post(GRANTS, json={"user_id": "alice"} | fields)
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param)
    assert (await running.operator.get(GRANTS)).json()["grants"] == []


async def test_a_lead_makes_members_leads_of_the_own_team_and_gives_nothing_else(running):
    await teams(running, "red", "blue")
    alice = await user(running, "alice", ("team_lead", "red"))
    await user(running, "bob")
    await user(running, "charlie")
    await running.operator.post("/admin/v1/teams/red/members", json={"user_id": "bob"})
    ask = running.gate

    async def grant(name: str, role: str, team: str) -> int:
        body = {"user_id": name, "role": role, "team_id": team}
        return int((await ask.post(GRANTS, headers=alice, json=body)).status_code)

    assert await grant("bob", "team_lead", "red") == 201
    refused = [("bob", "team_lead", "blue"), ("bob", "auditor", "red"), ("bob", "platform_admin", "")]
    assert [await grant(*one) for one in refused] == [403, 403, 403]
    assert [await grant(name, "team_lead", "red") for name in ("charlie", "nobody")] == [404, 404]
    seen = (await ask.get(GRANTS, headers=alice)).json()["grants"]
    assert {(one["user_id"], one["role"]) for one in seen} == {("alice", "team_lead"), ("bob", "team_lead")}


async def test_the_roles_of_a_deleted_user_or_team_are_gone(running):
    await teams(running, "red")
    await user(running, "alice", ("auditor", "red"), ("auditor", ""))
    await running.operator.delete("/admin/v1/teams/red")
    assert [one["team_id"] for one in (await running.operator.get(GRANTS)).json()["grants"]] == [None]
    await running.operator.delete("/admin/v1/users/alice")
    await running.operator.post("/admin/v1/users", json={"id": "alice"})
    assert (await running.operator.get(GRANTS)).json()["grants"] == []


async def test_a_users_console_session_opens_the_pages_only_with_the_right_to_see_all_calls(running):
    await user(running, "alice", ("auditor", ""))
    await user(running, "bob")
    sessions = running.plane.services().sessions
    cookies = {}
    for name in ("alice", "bob", ""):
        cookie = await sessions.redeem(await sessions.issue_code("operator", name))
        cookies[name] = str(cookie)
        assert await sessions.user_of(cookies[name]) == name
    await running.operator.delete("/admin/v1/users/bob")
    assert await sessions.user_of(cookies["bob"]) is None
