"""Policies in the admin API."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sekisho.access.distribution import read_snapshot
from sekisho.app.control_plane import snapshot_path
from sekisho.values import Hours, Policy, Scope
from tests.acceptance.control_plane import Running, running_control_plane

URL = "/admin/v1/policies"
JAPAN = {
    "scope": {"kind": "org", "id": "default"},
    "name": "Japan only",
    "providers": ["bedrock"],
    "regions": ["ap-northeast-1", "ap-northeast-3"],
    "geographies": ["in-region", "jp"],
}


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_control_plane(tmp_path / "home") as running:
        yield running


def in_force(running: Running) -> tuple[Policy, ...]:
    snapshot = read_snapshot(snapshot_path(running.home))
    assert snapshot is not None
    return snapshot.policies


async def test_a_policy_is_kept_shown_changed_and_in_force(running: Running) -> None:
    made = (await running.operator.post(URL, json=JAPAN)).json()
    assert {name: made[name] for name in JAPAN} == JAPAN
    (policy,) = in_force(running)
    assert policy == Policy(
        made["id"],
        Scope("org", "default"),
        "Japan only",
        providers=("bedrock",),
        regions=("ap-northeast-1", "ap-northeast-3"),
        geographies=("in-region", "jp"),
    )
    url = f"{URL}/{made['id']}"
    change = {"regions": [], "hours": ["mon-fri 09:00-18:00"], "time_zone": "Asia/Tokyo"}
    changed = (await running.operator.patch(url, json=change)).json()
    assert changed["hours"] == [{"time": "mon-fri 09:00-18:00", "time_zone": "Asia/Tokyo"}]
    assert (changed["regions"], changed["geographies"]) == ([], ["in-region", "jp"])
    assert in_force(running)[0].hours == (Hours((0, 1, 2, 3, 4), 540, 1080, "Asia/Tokyo"),)
    assert (await running.operator.get(URL)).json() == {"policies": [changed], "next": None}
    assert (await running.operator.get(url)).json() == changed
    assert (await running.operator.delete(url)).status_code == 204
    assert in_force(running) == ()
    history = (await running.operator.get(url + "/history")).json()["changes"]
    assert [(one["action"], one["regions"]) for one in history] == [
        ("delete", []),
        ("update", []),
        ("create", JAPAN["regions"]),
    ]
    audit = (await running.operator.get("/admin/v1/audit", params={"kind": "policy"})).json()["entries"]
    assert sorted(one["action"] for one in audit) == ["policy.create", "policy.delete", "policy.update"]


@pytest.mark.parametrize(
    "fields",
    [
        {"providers": []},
        {"providers": ["azure"]},
        {"geographies": ["mars"]},
        {"prefers": ["tokyo"]},
        {"holidays": ["2026-12-29"]},
        {"max_output_tokens": 0},
        {"hours": ["mon 9"]},
        {"hours": ["mon 09:00-10:00"], "time_zone": "Asia/Nowhere"},
        {"models": [""]},
        {"models": ["a\u0000b"]},
        {"models": "nova-*"},
        {"time_zone": "UTC"},
        {"models": ["x"], "unknown": 1},
        {"models": ["x"], "scope": {"kind": "team", "id": "nobody"}},
        {"models": ["x"], "scope": {"kind": "galaxy", "id": "x"}},
    ],
)
async def test_a_policy_that_makes_no_sense_is_refused_and_changes_nothing(
    running: Running, fields: dict[str, Any]
) -> None:
    answer = await running.operator.post(URL, json={"scope": JAPAN["scope"]} | fields)
    assert answer.status_code in (400, 422)
    assert (await running.operator.get(URL)).json()["policies"] == []
    assert in_force(running) == ()


async def test_families_holidays_wishes_and_the_longest_answer_are_kept_and_taken_away(running: Running) -> None:
    said = {
        "scope": JAPAN["scope"],
        "families": ["claude"],
        "holidays": ["2026-12-29/2027-01-03"],
        "prefers": ["region:ap-northeast-1"],
        "max_output_tokens": 8000,
    }
    hours = {"hours": ["mon-fri 09:00-18:00"], "time_zone": "Asia/Tokyo"}
    made = (await running.operator.post(URL, json=said | hours)).json()
    assert {name: made[name] for name in said} == said
    (policy,) = in_force(running)
    assert (policy.families, policy.holidays, policy.prefers, policy.max_output_tokens) == (
        ("claude",),
        ("2026-12-29/2027-01-03",),
        ("region:ap-northeast-1",),
        8000,
    )
    change: dict[str, Any] = {"holidays": [], "hours": [], "prefers": [], "max_output_tokens": None}
    changed = (await running.operator.patch(f"{URL}/{made['id']}", json=change)).json()
    assert {name: changed[name] for name in (*change, "families")} == change | {"families": ["claude"]}


async def test_two_policies_of_a_scope_have_different_names(running: Running) -> None:
    assert (await running.operator.post(URL, json=JAPAN)).status_code == 201
    assert (await running.operator.post(URL, json=JAPAN)).status_code == 400
    assert len(in_force(running)) == 1


async def test_what_is_deleted_takes_its_policies_along(running: Running) -> None:
    await running.operator.post("/admin/v1/teams", json={"id": "red"})
    await running.operator.post(URL, json={"scope": {"kind": "team", "id": "red"}, "models": ["nova-*"]})
    assert len(in_force(running)) == 1
    await running.operator.delete("/admin/v1/teams/red")
    assert in_force(running) == ()
