"""Teams, users, members and tags, through LiteLLM's routes and the own API: what becomes of the keys in force."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sekisho.access.distribution import read_snapshot
from sekisho.access.keys import may_use
from sekisho.app.control_plane import snapshot_path
from sekisho.values import RateLimit, Scope, Snapshot, Window
from tests.acceptance.control_plane import MASTER, Running, bearer, running_control_plane

USD = 1_000_000_000


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_control_plane(tmp_path / "home") as running:
        running.gate.headers.update(bearer(MASTER))
        yield running


def in_force(running: Running) -> Snapshot:
    snapshot = read_snapshot(snapshot_path(running.home))
    assert snapshot is not None
    return snapshot


def keys(running: Running) -> dict[str, Any]:
    return {key.alias: key for key in in_force(running).keys if not key.is_master}


def rules(running: Running) -> set[tuple[Any, ...]]:
    """Budgets and limits in force, without their ids."""
    found: set[tuple[Any, ...]] = set()
    for budget in in_force(running).budgets:
        found.add((budget.scope.kind, budget.model, budget.amount_nanousd, budget.window.kind, budget.is_hard))
    for limit in in_force(running).limits:
        rates = (limit.requests_per_minute, limit.tokens_per_minute, limit.parallel)
        found.add((limit.scope.kind, limit.model, *rates))
    return found


async def post(running: Running, path: str, status: int = 200, **fields: Any) -> Any:
    response = await running.gate.post(path, json=fields)
    assert response.status_code == status, response.text
    return response.json()


async def test_the_money_of_a_generated_key_is_in_force_with_it_and_shown(running):
    made = await post(
        running,
        "/key/generate",
        key_alias="alice",
        max_budget=0.1,
        soft_budget="0.05",
        budget_duration="30d",
        rpm_limit=5,
        tpm_limit=100,
        max_parallel_requests=2,
        model_max_budget={"claude": {"budget_limit": 1e-07, "time_period": "1d"}},
        model_rpm_limit={"claude": 3},
        model_tpm_limit={"claude": 7},
    )
    assert rules(running) == {
        ("key", "", 100_000_000, "month", True),
        ("key", "", 50_000_000, "month", False),
        ("key", "claude", 100, "day", True),
        ("key", "", 5, 100, 2),
        ("key", "claude", 3, 7, None),
    }
    info = (await running.gate.get("/key/info", params={"key": made["key"]})).json()["info"]
    shown = {
        "max_budget": 0.1,
        "soft_budget": 0.05,
        "budget_duration": "30d",
        "budget_reset_at": "2025-12-01T00:00:00Z",
        "rpm_limit": 5,
        "tpm_limit": 100,
        "max_parallel_requests": 2,
        "model_max_budget": {"claude": {"budget_limit": 1e-07, "time_period": "1d"}},
        "model_rpm_limit": {"claude": 3},
        "model_tpm_limit": {"claude": 7},
        "spend": 0.0,
    }
    assert {name: info[name] for name in shown} == shown


async def test_an_update_changes_what_was_sent_and_null_takes_it_away(running):
    made = await post(running, "/key/generate", max_budget=5, budget_duration="1h", rpm_limit=5)
    before = in_force(running).budgets[0]
    assert before.window == Window("period", period_s=3600, starts_at=running.clock.now_us())
    running.clock.advance(60)
    await post(running, "/key/update", key=made["key"], max_budget="6")
    after = in_force(running).budgets[0]
    assert (after.id, after.amount_nanousd, after.window) == (before.id, 6 * USD, before.window)
    await post(running, "/key/update", key=made["key"], budget_duration="1mo", tpm_limit=9)
    assert rules(running) == {("key", "", 6 * USD, "month", True), ("key", "", 5, 9, None)}
    await post(running, "/key/update", key=made["key"], key_alias="alice")
    assert len(rules(running)) == 2
    await post(running, "/key/update", key=made["key"], max_budget=None, rpm_limit=None, tpm_limit=None)
    assert rules(running) == set()


@pytest.mark.parametrize(
    ("duration", "kind", "period_s"),
    [
        ("30d", "month", 0),
        ("1mo", "month", 0),
        ("7d", "week", 0),
        ("1w", "week", 0),
        ("1d", "day", 0),
        ("24h", "day", 0),
        ("2d", "period", 172_800),
        ("90s", "period", 90),
        (None, "fixed", 0),
    ],
)
async def test_a_duration_is_a_window(running, duration, kind, period_s):
    await post(running, "/key/generate", max_budget=1, budget_duration=duration)
    (budget,) = in_force(running).budgets
    assert (budget.window.kind, budget.window.period_s) == (kind, period_s)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"max_budget": -1}, "max_budget"),
        ({"max_budget": "many"}, "max_budget"),
        ({"max_budget": 1, "budget_duration": "soon"}, "budget_duration"),
        ({"max_budget": 1, "budget_duration": "0d"}, "budget_duration"),
        ({"max_budget": 1, "budget_duration": "999999999w"}, "budget_duration"),
        ({"rpm_limit": -1}, "rpm_limit"),
        ({"model_max_budget": {"unknown": {"budget_limit": 1}}}, "model_max_budget"),
        ({"model_max_budget": {"claude": {"budget_limit": 1, "colour": "red"}}}, "model_max_budget"),
        ({"model_rpm_limit": {"unknown": 1}}, "model_rpm_limit"),
        ({"temp_budget_increase": 1, "temp_budget_expiry": "1d"}, "temp_budget_increase"),
        ({"max_budget": 1, "temp_budget_increase": 1}, "temp_budget_increase"),
        ({"max_budget": 1, "temp_budget_increase": 1, "temp_budget_expiry": "2001-01-01"}, "temp_budget_expiry"),
        ({"team_id": "nobody"}, "team_id"),
    ],
)
async def test_bad_terms_are_refused_by_name_and_no_key_is_made(running, fields, param):
    answer = await running.gate.post("/key/generate", json=fields)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param), answer.text
    assert keys(running) == {}
    assert rules(running) == set()


async def test_a_budget_of_nothing_is_a_budget(running):
    await post(running, "/key/generate", max_budget=0)
    assert rules(running) == {("key", "", 0, "fixed", True)}


async def test_a_temporary_increase_is_on_top_until_it_ends(running):
    made = await post(running, "/key/generate", max_budget=1, temp_budget_increase=0.5, temp_budget_expiry="10d")
    (budget,) = in_force(running).budgets
    assert (budget.increase_nanousd, budget.increase_until) == (
        500_000_000,
        running.clock.now_us() + 10 * 86_400_000_000,
    )
    await post(running, "/key/update", key=made["key"], max_budget=2)
    assert in_force(running).budgets[0].increase_nanousd == 500_000_000


async def test_spend_is_that_of_the_budgets_window(running):
    made = await post(running, "/key/generate", key_alias="a", max_budget=5, budget_duration="1d")
    (stored,) = (await running.operator.get("/admin/v1/keys")).json()["keys"]
    await running.call_of(stored, cost_nanousd=USD)

    async def spend() -> float:
        info = (await running.gate.get("/key/info", params={"key": made["key"]})).json()["info"]
        value: float = info["spend"]
        return value

    assert await spend() == 1.0
    running.clock.advance(86_400)
    assert await spend() == 0.0
    await post(running, "/key/update", key=made["key"], max_budget=None)
    assert await spend() == 1.0


async def test_a_deleted_keys_rules_go_with_it(running):
    made = await post(running, "/key/generate", max_budget=1, rpm_limit=1)
    await post(running, "/key/delete", keys=[made["key"]])
    assert rules(running) == set()


async def test_an_unknown_user_is_made_on_first_use(running):
    await post(running, "/key/generate", user_id="alice")
    info = (await running.gate.get("/user/info", params={"user_id": "alice"})).json()
    assert (info["user_info"]["created_by"], len(info["keys"])) == ("master key", 1)


async def test_a_blocked_team_blocks_its_keys_at_once_and_an_unblocked_one_does_not(running):
    await post(running, "/team/new", team_id="red", team_alias="Red")
    await post(running, "/key/generate", key_alias="in", team_id="red")
    await post(running, "/key/generate", key_alias="out")
    assert (await post(running, "/team/block", team_id="red"))["blocked"] is True
    assert {alias: key.blocked for alias, key in keys(running).items()} == {"in": True, "out": False}
    await post(running, "/team/unblock", team_id="red")
    assert not keys(running)["in"].blocked


async def test_a_deleted_team_leaves_no_key_and_no_rule_valid(running):
    await post(running, "/team/new", team_id="red", max_budget=5, members_with_roles=[{"user_id": "alice"}])
    await post(running, "/team/member_update", team_id="red", user_id="alice", max_budget_in_team=1)
    made = await post(running, "/key/generate", key_alias="in", team_id="red", max_budget=2)
    await post(running, "/key/generate", key_alias="out", max_budget=3)
    assert (await post(running, "/team/delete", team_ids=["red"])) == {"deleted_teams": ["red"]}
    assert set(keys(running)) == {"out"}
    assert rules(running) == {("key", "", 3 * USD, "fixed", True)}
    assert (await running.gate.get("/key/info", params={"key": made["key"]})).status_code == 404
    assert (await running.gate.get("/team/info", params={"team_id": "red"})).status_code == 404
    await post(running, "/team/new", team_id="red")  # the name may be used again, the key stays gone
    assert set(keys(running)) == {"out"}


async def test_a_key_may_use_what_it_and_its_team_allow(running):
    await post(running, "/team/new", team_id="red", models=["claude", "nova"])
    await post(running, "/key/generate", key_alias="all", team_id="red")
    await post(running, "/key/generate", key_alias="both", team_id="red", models=["claude", "gpt"])
    await post(running, "/key/generate", key_alias="none", team_id="red", models=["gpt"])
    found = keys(running)
    allowed = {
        alias: {name for name in ("claude", "nova", "gpt") if may_use(key, name)} for alias, key in found.items()
    }
    assert allowed == {"all": {"claude", "nova"}, "both": {"claude"}, "none": set()}
    await post(running, "/team/update", team_id="red", models=["all-proxy-models"])
    assert may_use(keys(running)["none"], "gpt")


async def test_members_have_roles_and_caps_of_their_own(running):
    made = await post(
        running,
        "/team/new",
        team_id="red",
        max_budget=10,
        members_with_roles=[{"user_id": "alice", "role": "admin"}, {"user_id": "bob"}],
    )
    assert (made["admins"], made["members"], made["max_budget"]) == (["alice"], ["alice", "bob"], 10.0)
    added = {"user_id": "charlie", "role": "user"}
    await post(running, "/team/member_add", team_id="red", member=added, max_budget_in_team=4)
    changed = await post(
        running, "/team/member_update", team_id="red", user_id="bob", max_budget_in_team=6, rpm_limit=2
    )
    assert (changed["max_budget_in_team"], changed["role"]) == (6.0, "user")
    assert in_force(running).limits == (RateLimit(in_force(running).limits[0].id, Scope("member", "red/bob"), "", 2),)
    too_much: dict[str, Any] = {"team_id": "red", "user_id": "bob", "max_budget_in_team": 6.01}
    refused = await running.gate.post("/team/member_update", json=too_much)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "allow_over_allocation")
    await post(running, "/team/member_update", **too_much, allow_over_allocation=True)
    assert (
        await running.gate.post("/team/member_update", json={"team_id": "red", "user_id": "dana"})
    ).status_code == 400


async def test_who_leaves_a_team_loses_the_keys_of_both_and_no_others(running):
    await post(running, "/team/new", team_id="red", members_with_roles=[{"user_id": "alice"}, {"user_id": "bob"}])
    await post(running, "/key/generate", key_alias="alice-red", team_id="red", user_id="alice")
    await post(running, "/key/generate", key_alias="alice", user_id="alice")
    await post(running, "/key/generate", key_alias="bob-red", team_id="red", user_id="bob")
    await post(running, "/team/member_update", team_id="red", user_id="alice", max_budget_in_team=1)
    await post(running, "/team/member_delete", team_id="red", user_id="alice")
    assert set(keys(running)) == {"alice", "bob-red"}
    assert rules(running) == set()


async def test_a_new_user_has_a_key_and_a_deleted_one_has_none(running):
    made = await post(running, "/user/new", user_id="alice", user_email="alice@example.com", max_budget=3)
    assert made["key"].startswith("sk-")
    assert (made["user_email"], made["max_budget"]) == ("alice@example.com", 3.0)
    await post(running, "/user/new", user_id="bob", auto_create_key=False)
    assert len(keys(running)) == 1
    await post(running, "/user/update", user_id="alice", rpm_limit=3)
    assert rules(running) == {("user", "", 3 * USD, "fixed", True), ("user", "", 3, None, None)}
    listed = (await running.gate.get("/user/list")).json()
    assert ([user["user_id"] for user in listed["users"]], listed["total"]) == (["alice", "bob"], 2)
    await post(running, "/user/delete", user_ids=["alice"])
    assert (keys(running), rules(running)) == ({}, set())


async def test_what_was_made_in_vain_is_taken_back(running):
    refused = await running.gate.post("/team/new", json={"team_id": "red", "max_budget": -1})
    assert refused.status_code == 400
    assert (await running.gate.get("/team/info", params={"team_id": "red"})).status_code == 404
    assert (await running.gate.post("/user/new", json={"user_id": "al", "max_budget": "x"})).status_code == 400
    assert (await running.gate.get("/user/info", params={"user_id": "al"})).status_code == 404
    assert (await running.gate.post("/user/new", json={"user_id": "al", "teams": ["red"]})).status_code == 404


async def test_a_shared_budget_is_one_amount_and_each_ones_own_money(running):
    await post(running, "/budget/new", budget_id="small", max_budget=2, budget_duration="1d", rpm_limit=4)
    one = await post(running, "/key/generate", key_alias="one", budget_id="small")
    await post(running, "/team/new", team_id="red", budget_id="small")
    assert (one["budget_id"], one["max_budget"], one["rpm_limit"]) == ("small", 2.0, 4)
    budgets = in_force(running).budgets
    assert {(budget.scope.kind, budget.amount_nanousd) for budget in budgets} == {("key", 2 * USD), ("team", 2 * USD)}
    await post(running, "/budget/update", budget_id="small", max_budget=3)
    assert {budget.amount_nanousd for budget in in_force(running).budgets} == {3 * USD}
    assert {budget.id for budget in in_force(running).budgets} == {budget.id for budget in budgets}
    await post(running, "/key/update", key=one["key"], budget_id=None)
    assert {budget.scope.kind for budget in in_force(running).budgets} == {"team"}
    assert [row["budget_id"] for row in await post(running, "/budget/info", budgets=["small"])] == ["small"]
    await post(running, "/budget/delete", id="small")
    assert rules(running) == set()
    assert (await running.gate.get("/budget/list")).json() == []
    assert (await running.gate.post("/key/generate", json={"budget_id": "small"})).status_code == 404
    assert (await running.gate.post("/budget/new", json={"budget_id": "empty"})).status_code == 400


async def test_a_tag_has_a_budget_and_what_was_spent_under_it(running):
    await post(running, "/tag/new", name="project:x", description="the X project", max_budget=7)
    await post(running, "/key/generate", key_alias="alice")
    (stored,) = (await running.operator.get("/admin/v1/keys")).json()["keys"]
    await running.call_of(stored, cost_nanousd=USD)
    tag = (await post(running, "/tag/info", names=["project:x"]))["project:x"]
    assert (tag["description"], tag["max_budget"], tag["spend"]) == ("the X project", 7.0, 1.0)
    await post(running, "/tag/update", name="project:x", max_budget=8)
    assert in_force(running).budgets[0].amount_nanousd == 8 * USD
    await post(running, "/tag/delete", name="project:x")
    assert (await running.gate.get("/tag/list")).json() == []
    assert rules(running) == set()


async def test_the_own_api_makes_pages_and_deletes_the_same(running):
    operator = running.operator
    for team in ("a", "b", "c"):
        made = await operator.post("/admin/v1/teams", json={"id": team, "alias": team.upper()})
        assert made.status_code == 201
    assert (await operator.post("/admin/v1/teams", json={"id": "a"})).status_code == 400
    assert (await operator.post("/admin/v1/teams", json={"id": "d", "alias": "A"})).status_code == 400
    assert (await operator.patch("/admin/v1/teams/b", json={"alias": "A"})).status_code == 400
    assert (await operator.post("/admin/v1/teams", json={"id": "a/b"})).status_code == 400
    page = (await operator.get("/admin/v1/teams", params={"limit": 2})).json()
    assert ([team["id"] for team in page["teams"]], page["next"]) == (["a", "b"], "b")
    rest = (await operator.get("/admin/v1/teams", params={"after": "b"})).json()
    assert ([team["id"] for team in rest["teams"]], rest["next"]) == (["c"], None)
    added = await operator.post("/admin/v1/teams/a/members", json={"user_id": "x/y", "role": "lead"})
    assert (added.status_code, added.json()["leads"]) == (201, ["x/y"])
    robot = await operator.post("/admin/v1/users", json={"id": "robot", "kind": "service", "email": "r@example.com"})
    assert (robot.status_code, robot.json()["kind"]) == (201, "service")
    assert [user["id"] for user in (await operator.get("/admin/v1/users?kind=service")).json()["users"]] == ["robot"]
    assert (await operator.get("/admin/v1/users/x/y")).json()["teams"] == [{"team_id": "a", "role": "lead"}]
    assert (await operator.delete("/admin/v1/teams/a/members/x/y")).status_code == 204
    assert (await operator.delete("/admin/v1/users/x/y")).status_code == 204
    assert (await operator.get("/admin/v1/users/x/y")).status_code == 404
    assert (await operator.post("/admin/v1/tags", json={"name": "env:prod/1"})).status_code == 201
    assert (await operator.patch("/admin/v1/tags/env:prod/1", json={"description": "d"})).json()["description"] == "d"
    assert (await operator.delete("/admin/v1/tags/env:prod/1")).status_code == 204
    assert (await operator.delete("/admin/v1/teams/a")).status_code == 204
    assert (await operator.delete("/admin/v1/teams/a")).status_code == 404


async def test_a_virtual_key_changes_nothing_of_this(running):
    made = await post(running, "/key/generate", key_alias="alice")
    for path in ("/team/new", "/user/new", "/budget/new", "/tag/new", "/admin/v1/budgets", "/admin/v1/teams"):
        answer = await running.gate.post(path, json={}, headers=bearer(made["key"]) | {"idempotency-key": "k"})
        assert answer.status_code in (400, 403), path
        assert (await running.gate.get(path.replace("new", "list"), headers=bearer(made["key"]))).status_code == 403
    assert list(keys(running)) == ["alice"]
