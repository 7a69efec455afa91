"""Metadata that objects must carry, and owners: nothing is left without one."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.control_plane import Running, running_control_plane

REQUIRED = "/admin/v1/settings/required-metadata"
COST_CENTRE = {"name": "cost_centre", "pattern": "[0-9]{4}"}
DEPARTMENT = {"name": "department", "values": ["red", "blue"]}
GOOD = {"cost_centre": "0815", "department": "red"}


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_control_plane(tmp_path / "home") as running:
        yield running


async def require(running: Running, **fields: Any) -> None:
    answer = await running.operator.put(REQUIRED, json=fields)
    assert answer.status_code == 200, answer.text


def refusal(answer: httpx.Response) -> tuple[int, str | None]:
    return answer.status_code, answer.json()["error"]["param"]


CREATIONS = (
    ("teams", "/admin/v1/teams", {"id": "green"}),
    ("users", "/admin/v1/users", {"id": "bob"}),
    ("service_accounts", "/admin/v1/users", {"id": "ci", "kind": "service"}),
    ("keys", "/admin/v1/keys", {"alias": "one"}),
    ("teams", "/team/new", {"team_id": "green"}),
    ("users", "/user/new", {"user_id": "bob"}),
    ("keys", "/key/generate", {"key_alias": "one"}),
)


@pytest.mark.parametrize(("kind", "path", "body"), CREATIONS)
async def test_an_object_without_what_is_required_is_refused_by_name_and_not_made(running, kind, path, body):
    await require(running, **{kind: [COST_CENTRE, DEPARTMENT]})
    bad: list[tuple[dict[str, Any], str]] = [
        ({}, "cost_centre"),
        (GOOD | {"cost_centre": "815"}, "cost_centre"),
        (GOOD | {"cost_centre": "0815x"}, "cost_centre"),
        (GOOD | {"department": "green"}, "department"),
        (GOOD | {"department": ""}, "department"),
        (GOOD | {"department": ["red"]}, "department"),
    ]
    for metadata, field in bad:
        answer = await running.operator.post(path, json=body | {"metadata": metadata})
        assert refusal(answer) == (400, f"metadata.{field}"), (metadata, answer.text)
    assert (await running.operator.post(path, json=body | {"metadata": GOOD})).status_code in (200, 201)


async def test_what_was_there_before_is_listed_and_refused_only_when_its_metadata_is_changed(running):
    await running.operator.post("/admin/v1/teams", json={"id": "red", "members": [{"user_id": "bob"}]})
    await running.operator.post("/admin/v1/users", json={"id": "ci", "kind": "service"})
    made = (await running.operator.post("/admin/v1/keys", json={"team_id": "red", "metadata": GOOD})).json()
    await require(running, teams=[DEPARTMENT], users=[DEPARTMENT], service_accounts=[COST_CENTRE], keys=[DEPARTMENT])
    listed = (await running.operator.get(f"{REQUIRED}/incomplete")).json()["incomplete"]
    assert [(one["kind"], one["id"], one["fields"]) for one in listed] == [
        ("service", "ci", ["cost_centre"]),
        ("team", "red", ["department"]),
        ("user", "bob", ["department"]),
    ]
    team = "/admin/v1/teams/red"
    assert (await running.operator.patch(team, json={"alias": "Red"})).status_code == 200
    assert refusal(await running.operator.patch(team, json={"metadata": {}})) == (400, "metadata.department")
    assert (await running.operator.patch(team, json={"metadata": GOOD})).status_code == 200
    key = f"/admin/v1/keys/{made['id']}"
    assert refusal(await running.operator.patch(key, json={"metadata": {}})) == (400, "metadata.department")
    refused = await running.operator.patch("/admin/v1/users/bob", json={"kind": "service"})
    assert refusal(refused) == (400, "metadata.cost_centre")


async def test_nobody_is_made_in_passing_without_what_is_required(running):
    await running.operator.post("/admin/v1/teams", json={"id": "red", "members": [{"user_id": "alice"}]})
    await require(running, users=[DEPARTMENT])
    for path, body in (
        ("/admin/v1/teams/red/members", {"user_id": "bob"}),
        ("/admin/v1/keys", {"user_id": "bob"}),
        ("/team/member_add", {"team_id": "red", "member": {"user_id": "bob"}}),
    ):
        assert refusal(await running.operator.post(path, json=body)) == (400, "metadata.department"), path
    assert (await running.operator.post("/admin/v1/keys", json={"user_id": "alice"})).status_code == 201


@pytest.mark.parametrize(
    "fields",
    [
        {"keys": [{"name": "x", "pattern": "("}]},
        {"keys": [{"name": ""}]},
        {"keys": [DEPARTMENT, DEPARTMENT]},
        {"budgets": [DEPARTMENT]},
    ],
)
async def test_what_cannot_be_required_is_refused_and_changes_nothing(running, fields):
    await require(running, keys=[COST_CENTRE])
    before = (await running.operator.get(REQUIRED)).json()
    assert (await running.operator.put(REQUIRED, json=fields)).status_code == 400
    assert (await running.operator.get(REQUIRED)).json() == before


async def test_a_pattern_that_would_never_end_elsewhere_is_matched_at_once(running):
    await require(running, keys=[{"name": "x", "pattern": "(a+)+"}])
    answer = await running.operator.post("/admin/v1/keys", json={"metadata": {"x": "a" * 900 + "!"}})
    assert refusal(answer) == (400, "metadata.x")


async def test_every_kind_of_object_has_an_owner(running):
    ask = running.operator
    await ask.post("/admin/v1/teams", json={"id": "red", "members": [{"user_id": "alice", "role": "lead"}]})
    await ask.post("/admin/v1/teams", json={"id": "blue"})
    await ask.post("/admin/v1/users", json={"id": "ci", "kind": "service", "owner": "alice"})
    await ask.post("/admin/v1/users", json={"id": "cd", "kind": "service"})
    await ask.post("/admin/v1/tags", json={"name": "x", "owner": "alice"})
    owners = {}
    for path in ("teams/red", "teams/blue", "users/alice", "users/ci", "users/cd", "tags/x"):
        owner = (await ask.get(f"/admin/v1/{path}")).json()["owner"]
        owners[path] = f"{owner['kind']}:{owner['id']}"
    for fields in ({"user_id": "alice", "team_id": "red"}, {"team_id": "red"}, {}):
        owner = (await ask.post("/admin/v1/keys", json=fields)).json()["owner"]
        owners[str(sorted(fields))] = f"{owner['kind']}:{owner['id']}"
    assert owners == {
        "teams/red": "user:alice",
        "teams/blue": "org:default",
        "users/alice": "user:alice",
        "users/ci": "user:alice",
        "users/cd": "org:default",
        "tags/x": "user:alice",
        "['team_id', 'user_id']": "user:alice",
        "['team_id']": "team:red",
        "[]": "org:default",
    }
    for path, body in (("users", {"id": "c2", "kind": "service"}), ("tags", {"name": "y"})):
        assert refusal(await ask.post(f"/admin/v1/{path}", json=body | {"owner": "nobody"})) == (400, "owner")


async def test_an_owner_goes_only_when_what_it_owns_has_somewhere_to_go(running):
    ask = running.operator
    await ask.post("/admin/v1/teams", json={"id": "red", "members": [{"user_id": "alice", "role": "lead"}]})
    await ask.post("/admin/v1/users", json={"id": "ci", "kind": "service", "owner": "alice"})
    await ask.post("/admin/v1/tags", json={"name": "x", "owner": "alice"})
    await ask.post("/admin/v1/users", json={"id": "bob"})
    path = "/admin/v1/users/alice"
    refused = await ask.delete(path)
    assert refusal(refused) == (409, "transfer_to")
    words = refused.json()["error"]["message"]
    assert all(re.search(name, words) for name in ("service account ci", "tag x", "team red"))
    assert refusal(await ask.post("/user/delete", json={"user_ids": ["alice"]})) == (409, "transfer_to")
    for successor in ("alice", "nobody"):
        assert refusal(await ask.delete(path, params={"transfer_to": successor})) == (400, "transfer_to")
    assert (await ask.get(path)).status_code == 200
    assert (await ask.delete(path, params={"transfer_to": "bob"})).status_code == 204
    for kind in ("teams/red", "users/ci", "tags/x"):
        assert (await ask.get(f"/admin/v1/{kind}")).json()["owner"] == {"kind": "user", "id": "bob"}, kind


async def test_who_owns_nothing_goes_without_a_word(running):
    members = [{"user_id": "alice", "role": "lead"}, {"user_id": "bob", "role": "lead"}]
    await running.operator.post("/admin/v1/teams", json={"id": "red", "members": members})
    assert (await running.operator.delete("/admin/v1/users/alice")).status_code == 204
    assert (await running.operator.delete("/admin/v1/teams/red")).status_code == 204
