"""Thresholds become events, each once; bounds are reported beside costs."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from sekisho.access.distribution import read_snapshot
from sekisho.app.alerts import Alerts
from sekisho.app.control_plane import snapshot_path
from sekisho.ledger.journal import Caller, Opened
from sekisho.ledger.journal_files import JournalWriter
from tests.acceptance.control_plane import Running, running_control_plane

CENT = 10_000_000
BUDGET = {"scope": {"kind": "org", "id": "default"}, "amount_usd": "1", "window": {"kind": "day"}}


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_control_plane(tmp_path / "home") as running:
        yield running


async def make(running: Running, path: str, **fields: Any) -> dict[str, Any]:
    answer = await running.operator.post(path, json=fields)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def told(running: Running) -> list[tuple[int, str]]:
    await running.plane.alert()
    found = (await running.operator.get("/admin/v1/events")).json()["events"]
    return [(event["percent"], event["action"]) for event in reversed(found)]


async def test_each_threshold_is_one_event_in_each_window(running: Running) -> None:
    key = await make(running, "/admin/v1/keys", user_id="alice")
    made = await make(running, "/admin/v1/budgets", **BUDGET, thresholds=[50, 80, {"at": 90, "action": "slow_down"}])
    assert await told(running) == []
    await running.call_of(key, 49 * CENT)
    assert await told(running) == []
    await running.call_of(key, 1 * CENT)
    assert await told(running) == [(50, "alert")]
    await running.call_of(key, 45 * CENT)
    assert await told(running) == await told(running) == [(50, "alert"), (80, "alert"), (90, "slow_down")]
    (event, *_) = (await running.operator.get("/admin/v1/events?limit=1")).json()["events"]
    assert (event["kind"], event["budget_id"], event["scope"]) == ("budget_threshold", made["id"], BUDGET["scope"])
    assert (event["spent_nanousd"], event["allowed_nanousd"]) == (95 * CENT, 100 * CENT)
    running.clock.advance(86_400)
    await running.call_of(key, 55 * CENT)
    assert (await told(running))[3:] == [(50, "alert")]


async def test_what_was_spent_just_before_a_window_ended_is_not_missed(running: Running) -> None:
    key = await make(running, "/admin/v1/keys", user_id="alice")
    await make(running, "/admin/v1/budgets", **BUDGET, thresholds=[50])
    await running.call_of(key, 60 * CENT)
    now_us = running.clock.now_us()
    running.clock.advance((86_400_000_000 - now_us % 86_400_000_000) / 1_000_000 + 30)
    assert await told(running) == [(50, "alert")]


async def test_what_was_given_back_is_not_spent_and_an_increase_is_allowed(running: Running) -> None:
    key = await make(running, "/admin/v1/keys", user_id="alice")
    made = await make(running, "/admin/v1/budgets", **BUDGET, thresholds=[50])
    await running.call_of(key, 60 * CENT)
    await make(running, f"/admin/v1/budgets/{made['id']}/credits", amount_usd="0.2", reason="mistake")
    assert await told(running) == []
    await running.operator.patch(
        f"/admin/v1/budgets/{made['id']}", json={"increase": {"amount_usd": "1", "until": "1d"}}
    )
    await running.call_of(key, 55 * CENT)
    assert await told(running) == []
    await running.call_of(key, 10 * CENT)
    assert await told(running) == [(50, "alert")]


async def test_many_control_processes_at_once_write_an_event_once(running: Running) -> None:
    key = await make(running, "/admin/v1/keys", user_id="alice")
    await make(running, "/admin/v1/budgets", **BUDGET, thresholds=[10, 20, 30])
    await running.call_of(key, 60 * CENT)
    plane = running.plane
    services = plane.services()
    others = [Alerts(services.spent, services.events, "default", running.clock) for _ in range(5)]
    await asyncio.gather(*(other.look(plane._budgets) for other in others))
    assert await told(running) == [(10, "alert"), (20, "alert"), (30, "alert")]


async def test_events_come_in_pages(running: Running) -> None:
    key = await make(running, "/admin/v1/keys", user_id="alice")
    await make(running, "/admin/v1/budgets", **BUDGET, thresholds=[10, 20, 30])
    await running.call_of(key, 60 * CENT)
    await running.plane.alert()
    first = (await running.operator.get("/admin/v1/events?limit=2")).json()
    rest = (await running.operator.get(f"/admin/v1/events?limit=2&before={first['next']}")).json()
    assert [event["percent"] for event in (*first["events"], *rest["events"])] == [30, 20, 10]
    assert rest["next"] is None


async def test_bounds_are_reported_by_agent_and_model(running: Running) -> None:
    key = await make(running, "/admin/v1/keys", user_id="alice")
    for cost in (3_000_000, 6_000_000, 10_000_000):  # each had 9,000,000 reserved: the last was more than its bound
        await running.call_of(key, cost)
    await running.call_of(key, 1_000_000, is_metered=False)
    report = (await running.operator.get("/admin/v1/bounds")).json()
    assert report["rows"] == [
        {
            "agent": "cline",
            "model": "claude",
            "calls": 3,
            "reserved_nanousd": 27_000_000,
            "cost_nanousd": 19_000_000,
            "ratio": 1.42,
            "breaches": 1,
            "clamped": 0,
            "stepped_down": 0,
        }
    ]
    assert (await running.operator.get("/admin/v1/bounds?until=2000-01-01")).json()["rows"] == []


async def test_what_a_budget_did_to_a_call_is_in_its_row(running: Running) -> None:
    call_id, at = b"\x01" * 16, running.clock.now_us()
    opened = Opened(
        call_id, at, Caller("default", "key"), "openai_chat", "small", True, 9, 9_000_000, "large", 2_048, 50
    )
    with JournalWriter(running.home / "journal", "call-1") as writer:
        writer.append(replace(opened, call_id=b"\x02" * 16, asked_model="", clamped_tokens=0, delayed_ms=0))
        writer.append(opened)
    await running.plane.drain_once()
    found = (await running.operator.get("/admin/v1/calls")).json()["calls"]
    did = [(one["model"], one["asked_model"], one["clamped_tokens"], one["delayed_ms"]) for one in found]
    assert sorted(did) == [("small", "", 0, 0), ("small", "large", 2_048, 50)]


async def test_the_language_of_a_user_is_known_to_the_calls(running: Running) -> None:
    await make(running, "/admin/v1/users", id="u-1", metadata={"language": "ja"})
    await make(running, "/admin/v1/users", id="u-2", metadata={"language": "fr"})
    await make(running, "/admin/v1/users", id="u-3", metadata={"language": ["ja"]})
    snapshot = read_snapshot(snapshot_path(running.home))
    assert snapshot is not None and snapshot.languages == {"u-1": "ja"}


async def test_the_leads_of_a_team_are_known_to_the_calls_by_name(running: Running) -> None:
    await make(running, "/admin/v1/users", id="u-1", alias="Alice")
    await make(running, "/admin/v1/users", id="u-2", alias="Bob")
    await make(running, "/admin/v1/teams", id="red")
    for user_id, role in (("u-1", "lead"), ("u-2", "member")):
        await make(running, "/admin/v1/teams/red/members", user_id=user_id, role=role)
    snapshot = read_snapshot(snapshot_path(running.home))
    assert snapshot is not None and snapshot.leads == {"red": ("Alice",)}
