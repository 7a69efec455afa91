"""Every list of the admin API is read a page at a time: nothing twice, nothing missing, whatever the size of a page."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.control_plane import Running, bearer, running_control_plane

MONTH = {"kind": "month"}
RED = {"kind": "team", "id": "red"}
ODD = ("alice", "bob/x", "dora d", "利用者")


async def post(running: Running, path: str, **body: Any) -> dict[str, Any]:
    answer = await running.operator.post(f"/admin/v1/{path}", json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


@pytest.fixture
async def lists(tmp_path: Path) -> AsyncIterator[tuple[Running, dict[str, str]]]:
    """A control plane, and the lists that have several entries, with the name of what is in them."""
    async with running_control_plane(tmp_path / "home") as running:
        for name in ("red", "blue"):
            await post(running, "teams", id=name, members=[{"user_id": one, "role": "lead"} for one in ODD])
        await post(running, "teams", id="green", members=[{"user_id": "eve", "role": "lead"}])
        for one in ODD:
            await post(running, "role-grants", user_id=one, role="auditor")
        rules: dict[str, dict[str, Any]] = {
            "budgets": {"amount_usd": 10, "window": MONTH},
            "limits": {"requests_per_minute": 10},
            "policies": {"models": ["*"]},
        }
        made: dict[str, str] = {}
        for kind, fields in rules.items():
            made[kind] = (await post(running, kind, scope=RED, **fields))["id"]
            for number in range(4):
                await running.operator.patch(f"/admin/v1/{kind}/{made[kind]}", json={"name": f"name {number}"})
        for number in range(5):
            await post(running, f"budgets/{made['budgets']}/credits", amount_usd=1, reason=str(number))
        required = {"teams": [{"name": "cost_centre"}], "users": [{"name": "cost_centre"}]}
        await running.operator.put("/admin/v1/settings/required-metadata", json=required)
        histories = {f"{kind}/{rule}/history": "changes" for kind, rule in made.items()}
        yield (
            running,
            histories
            | {
                f"budgets/{made['budgets']}/credits": "credits",
                "role-grants": "grants",
                "role-grants/history": "changes",
                "settings/required-metadata/incomplete": "incomplete",
                "teams": "teams",
                "users": "users",
            },
        )


async def walk(running: Running, path: str, name: str, limit: int, **headers: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after: dict[str, Any] = {}
    while True:
        wanted = {"limit": limit} | after
        answer = (
            await running.gate.get(f"/admin/v1/{path}", params=wanted, headers=headers)
            if headers
            else (await running.operator.get(f"/admin/v1/{path}", params=wanted))
        )
        page = answer.json()
        assert len(page[name]) <= limit
        found += page[name]
        if page["next"] is None:
            return found
        after = {"after": page["next"]}


async def test_pages_of_any_size_hold_every_entry_once(lists: tuple[Running, dict[str, str]]) -> None:
    running, names = lists
    for path, name in names.items():
        everything = await walk(running, path, name, 500)
        assert len(everything) >= 2, path
        for limit in (1, 2, 3):
            assert await walk(running, path, name, limit) == everything, path
        for after in ("x", "-1", "99999999999", "WzFd", "é") if path not in ("teams", "users") else ():
            answer = await running.operator.get(f"/admin/v1/{path}", params={"after": after})
            assert answer.status_code in (400, 422), (path, after, answer.text)
    credits = await walk(running, next(one for one in names if "credits" in one), "credits", 2)
    assert [one["reason"] for one in credits] == ["4", "3", "2", "1", "0"]


async def test_a_lead_pages_through_the_roles_of_the_own_teams_only(lists: tuple[Running, dict[str, str]]) -> None:
    running, _ = lists
    token = (await post(running, "tokens", user_id="eve"))["token"]
    await post(running, "role-grants", user_id="alice", role="cost_manager", team_id="green")
    for limit in (1, 500):
        seen = await walk(running, "role-grants", "grants", limit, **bearer(token))
        assert [(one["user_id"], one["role"], one["team_id"]) for one in seen] == [
            ("alice", "cost_manager", "green"),
            ("eve", "team_lead", "green"),
        ]
