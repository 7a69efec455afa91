"""More money for a while, and money given back: on every kind of scope, in force at once, and on record."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sekisho.access.distribution import read_snapshot
from sekisho.app.control_plane import snapshot_path
from sekisho.ledger.counters import Admitted, Demand, NoRoom, Spent
from sekisho.store.counters.memory import MemoryCounters
from sekisho.values import Budget, Scope
from tests.acceptance.control_plane import Running, running_control_plane

CENT = 10_000_000
KINDS = ("org", "team", "member", "user", "key", "tag")


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_control_plane(tmp_path / "home") as running:
        yield running


async def send(running: Running, method: str, path: str, **fields: Any) -> dict[str, Any]:
    answer = await running.operator.request(method, path, json=fields)
    assert answer.status_code in (200, 201), answer.text
    found: dict[str, Any] = answer.json()
    return found


async def scopes(running: Running) -> dict[str, str]:
    """The id of one scope of each kind; all of them are those of one key."""
    await send(running, "POST", "/admin/v1/tags", name="project:x")
    await send(running, "POST", "/admin/v1/teams", id="red", members=[{"user_id": "alice", "role": "lead"}])
    key = await send(running, "POST", "/admin/v1/keys", user_id="alice", team_id="red", tags=["project:x"])
    return {
        "org": "default",
        "team": "red",
        "member": "red/alice",
        "user": "alice",
        "key": key["id"],
        "tag": "project:x",
    }


def in_force(running: Running) -> Budget:
    snapshot = read_snapshot(snapshot_path(running.home))
    assert snapshot is not None
    (budget,) = snapshot.budgets
    return budget


async def passes(running: Running, cents: int, spent: int) -> bool:
    """Whether a call of so many cents passes the budget in force, of which so much is spent."""
    budget = in_force(running)
    counters = MemoryCounters(running.clock)
    await counters.configure((budget,), ())
    (standing,) = await counters.standings()
    await counters.load((Spent(budget, standing.window_starts_at, spent * CENT),), (0, 0))
    verdict = await counters.admit(Demand(b"x", (budget.scope,), "claude", cents * CENT, 0, 0))
    assert isinstance(verdict, Admitted | NoRoom)
    return isinstance(verdict, Admitted)


@pytest.mark.parametrize("kind", KINDS)
async def test_an_increase_is_in_force_until_its_time_and_on_record(running: Running, kind: str) -> None:
    scope_id = (await scopes(running))[kind]
    scope = {"kind": kind, "id": scope_id}
    made = await send(running, "POST", "/admin/v1/budgets", scope=scope, amount_usd="1", window={"kind": "month"})
    url = f"/admin/v1/budgets/{made['id']}"
    assert in_force(running).scope == Scope(kind, scope_id)  # type: ignore[arg-type]
    assert not await passes(running, 150, 0)
    await send(running, "PATCH", url, increase={"amount_usd": "1", "until": "1h"})
    assert await passes(running, 150, 0)
    running.clock.advance(3_601)
    assert not await passes(running, 150, 0)
    entries = (await running.operator.get("/admin/v1/audit?limit=20")).json()["entries"]
    mine = [entry["action"] for entry in entries if entry["id"] == made["id"]]
    assert mine == ["budget.update", "budget.create"]


@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_given_back_can_be_spent_again_and_is_on_record(running: Running, kind: str) -> None:
    ids = await scopes(running)
    scope = {"kind": kind, "id": ids[kind]}
    made = await send(running, "POST", "/admin/v1/budgets", scope=scope, amount_usd="1", window={"kind": "month"})
    url = f"/admin/v1/budgets/{made['id']}"
    key = await send(running, "GET", f"/admin/v1/keys/{ids['key']}")
    await running.call_of(key, 90 * CENT)
    assert (await send(running, "GET", url))["spent_nanousd"] == 90 * CENT
    assert not await passes(running, 20, 90)
    await send(running, "POST", f"{url}/credits", amount_usd="0.1", reason="a mistake of ours")
    assert await passes(running, 20, 90) and not await passes(running, 21, 90)
    given = await send(running, "POST", f"{url}/reset", reason="a new start")
    assert given["amount_nanousd"] == 80 * CENT  # what was not given back before
    assert await passes(running, 100, 90) and not await passes(running, 101, 90)
    entries = (await running.operator.get("/admin/v1/audit?limit=20")).json()["entries"]
    assert [entry["action"] for entry in entries if entry["id"] == made["id"]][:2] == ["budget.reset", "budget.credit"]
