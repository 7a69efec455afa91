"""A refused request of the admin API has changed nothing: not the object, not its budgets, not the audit log."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.control_plane import MASTER, Running, bearer, everything, running_control_plane


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    """An organisation with 100 USD, the team Red with 10 of them, Alice in it with 4, the team Blue, Bob, a tag."""
    async with running_control_plane(tmp_path / "home") as running:
        running.gate.headers.update(bearer(MASTER))
        month = {"kind": "month"}
        org = {"scope": {"kind": "org", "id": "default"}, "amount_usd": 100, "window": month}
        await post(running, "/admin/v1/budgets", org)
        red = {"team_id": "red", "team_alias": "Red", "max_budget": 10}
        await post(running, "/team/new", red)
        await post(running, "/team/new", {"team_id": "blue", "team_alias": "Blue"})
        alice = {"user_id": "alice", "role": "user"}
        await post(running, "/team/member_add", {"team_id": "red", "member": alice, "max_budget_in_team": 4})
        await post(running, "/user/new", {"user_id": "bob", "auto_create_key": False})
        await post(running, "/key/generate", {"key_alias": "taken", "team_id": "red", "user_id": "alice"})
        await post(running, "/tag/new", {"name": "x"})
        await post(running, "/budget/new", {"budget_id": "shared", "max_budget": 2})
        yield running


async def post(running: Running, path: str, body: dict[str, Any], status: int = 200) -> Any:
    answer = await running.gate.post(path, json=body)
    assert answer.status_code in (status, 201), answer.text
    return answer.json()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/team/new", {"team_id": "green", "team_alias": "Red", "max_budget": 1}),
        ("/team/new", {"team_id": "green", "max_budget": 101, "budget_duration": "1mo"}),
        ("/team/new", {"team_id": "green", "max_budget": 1, "budget_id": "unknown"}),
        ("/team/new", {"team_id": "green", "max_budget": 1, "members_with_roles": [{"user_id": " "}]}),
        ("/team/new", {"team_id": "red", "max_budget": 1}),
        ("/team/update", {"team_id": "blue", "team_alias": "Red", "max_budget": 1}),
        ("/team/update", {"team_id": "blue", "metadata": {"x": "y" * 20_000}, "max_budget": 1}),
        ("/team/update", {"team_id": "blue", "team_alias": "New", "max_budget": 101, "budget_duration": "1mo"}),
        ("/team/update", {"team_id": "unknown", "max_budget": 1}),
        ("/team/member_add", {"team_id": "red", "member": {"user_id": "bob"}, "max_budget_in_team": 6.5}),
        ("/team/member_add", {"team_id": "unknown", "member": {"user_id": "carol"}, "max_budget_in_team": 1}),
        ("/team/member_add", {"team_id": "red", "member": [{"user_id": "carol"}, {"user_id": " x"}]}),
        ("/team/member_update", {"team_id": "red", "user_id": "alice", "role": "admin", "max_budget_in_team": 11}),
        ("/team/member_update", {"team_id": "red", "user_id": "alice", "role": "admin", "max_budget_in_team": -1}),
        ("/team/member_update", {"team_id": "red", "user_id": "bob", "role": "admin"}),
        ("/user/new", {"user_id": "carol", "key_alias": "taken", "max_budget": 1}),
        ("/user/new", {"user_id": "carol", "teams": ["red", "unknown"], "max_budget": 1}),
        ("/user/new", {"user_id": "bob", "max_budget": 1}),
        ("/user/new", {"user_id": "carol", "max_budget": 1, "max_parallel_requests": -1}),
        ("/user/update", {"user_id": "bob", "metadata": {"x": "y" * 20_000}, "max_budget": 1}),
        ("/user/update", {"user_id": "bob", "user_email": "b@example.com", "max_budget": "1e5"}),
        ("/user/update", {"user_id": "unknown", "max_budget": 1}),
        ("/key/generate", {"key_alias": "taken", "user_id": "carol", "max_budget": 1}),
        ("/key/generate", {"team_id": "unknown", "user_id": "carol", "max_budget": 1}),
        ("/key/generate", {"team_id": "red", "user_id": "carol", "max_budget": 1, "model_max_budget": {"gpt": 1}}),
        ("/key/delete", {"key_aliases": ["taken", "unknown"]}),
        ("/team/delete", {"team_ids": ["red", "unknown"]}),
        ("/user/delete", {"user_ids": ["alice", "unknown"]}),
        ("/tag/new", {"name": "x", "max_budget": 1}),
        ("/tag/new", {"name": "y", "max_budget": -1}),
        ("/tag/update", {"name": "x", "description": "d" * 1001, "max_budget": 1}),
        ("/budget/update", {"budget_id": "shared", "max_budget": "NaN"}),
        ("/budget/update", {"budget_id": "unknown", "max_budget": 1}),
    ],
)
async def test_a_refused_request_changes_nothing(running, path, body):
    before = everything(running.home)
    answer = await running.gate.post(path, json=body)
    assert answer.status_code in (400, 404), answer.text
    assert everything(running.home) == before


async def test_object_and_budget_are_made_together(running):
    """What was refused above goes through once it fits, in one step each."""
    head = (await running.operator.get("/admin/v1/audit/head")).json()["sequence"]
    await post(running, "/team/new", {"team_id": "green", "max_budget": 90, "budget_duration": "1mo"})
    member = {"team_id": "red", "member": [{"user_id": "bob"}], "max_budget_in_team": 6}
    await post(running, "/team/member_add", member)
    both = {"team_id": "red", "user_id": "alice", "role": "admin", "max_budget_in_team": 3}
    await post(running, "/team/member_update", both)
    await post(running, "/user/new", {"user_id": "carol", "teams": ["red", "blue"], "max_budget": 1})
    await post(running, "/user/update", {"user_id": "carol", "user_alias": "C", "max_budget": 2})
    await post(running, "/tag/new", {"name": "y", "max_budget": 1})
    await post(running, "/tag/update", {"name": "y", "description": "d", "max_budget": 2})
    log = (await running.operator.get("/admin/v1/audit", params={"limit": 500})).json()["entries"]
    done = [one["action"] for one in reversed(log) if one["sequence"] > head]
    assert done == [
        *("team.create", "budget.create"),
        *("member.create", "budget.create"),
        *("member.update", "role.grant", "budget.update"),
        *("user.create", "member.create", "member.create", "budget.create", "key.create"),
        *("user.update", "budget.update"),
        *("tag.create", "budget.create"),
        *("tag.update", "budget.update"),
    ]
    shown = (await running.gate.get("/user/info", params={"user_id": "carol"})).json()
    assert (shown["user_info"]["max_budget"], sorted(one["team_id"] for one in shown["teams"])) == (2, ["blue", "red"])
