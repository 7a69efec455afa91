"""Budgets and limits as data: from the admin API and LiteLLM's fields to what call processes receive."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sekisho.access.distribution import read_snapshot
from sekisho.app import control_plane
from sekisho.app.control_plane import snapshot_path
from sekisho.ledger.booked import Booked
from sekisho.ledger.journal import Caller, Opened
from sekisho.ledger.journal_files import JournalWriter
from sekisho.values import Budget, RateLimit, Scope, Snapshot, Window
from tests.acceptance.control_plane import MASTER, Running, bearer, running_control_plane

USD = 1_000_000_000
JSON = {"content-type": "application/json"}
MONTH = {"kind": "month", "time_zone": "Asia/Tokyo"}


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_control_plane(tmp_path / "home") as running:
        running.gate.headers.update(bearer(MASTER))
        yield running


def in_force(running: Running) -> Snapshot:
    snapshot = read_snapshot(snapshot_path(running.home))
    assert snapshot is not None
    return snapshot


async def post(running: Running, path: str, status: int = 200, **fields: Any) -> dict[str, Any]:
    response = await running.operator.post(path, json=fields)
    assert response.status_code == status, response.text
    made: dict[str, Any] = response.json()
    return made


async def budget(running: Running, kind: str, id_: str, amount: Any, **fields: Any) -> dict[str, Any]:
    scope = {"kind": kind, "id": id_}
    fields = {"window": MONTH} | fields
    return await post(running, "/admin/v1/budgets", 201, scope=scope, amount_usd=amount, **fields)


async def test_a_budget_is_in_the_snapshot_exactly_as_it_was_asked_for(running):
    await post(running, "/admin/v1/teams", 201, id="red")
    made = await budget(running, "team", "red", "10.000000001", model="claude", is_hard=False, thresholds=[90, 50])
    (kept,) = in_force(running).budgets
    assert kept == Budget(
        made["id"], Scope("team", "red"), 10_000_000_001, Window("month", "Asia/Tokyo"), "claude", False, (50, 90)
    )
    assert (made["amount_usd"], made["spent_usd"], made["created_by"]) == ("10.000000001", "0", "operator")
    assert made["resets_at"] == "2025-11-30T15:00:00Z"


async def test_a_limit_is_in_the_snapshot_until_it_is_taken_away(running):
    await post(running, "/admin/v1/users", 201, id="alice")
    scope = {"kind": "user", "id": "alice"}
    made = await post(running, "/admin/v1/limits", 201, scope=scope, requests_per_minute=5, parallel=2)
    address = f"/admin/v1/limits/{made['id']}"
    assert in_force(running).limits == (RateLimit(made["id"], Scope("user", "alice"), "", 5, None, 2),)
    changed = await running.operator.patch(address, json={"parallel": None, "tokens_per_minute": 9})
    assert changed.status_code == 200
    assert in_force(running).limits == (RateLimit(made["id"], Scope("user", "alice"), "", 5, 9, None),)
    empty = await running.operator.patch(address, json={"requests_per_minute": None, "tokens_per_minute": None})
    assert empty.status_code == 400
    assert (await running.operator.delete(address)).status_code == 204
    assert in_force(running).limits == ()
    history = (await running.operator.get(f"{address}/history")).json()["changes"]
    assert [(one["action"], one["by"]) for one in history] == [
        ("delete", "operator"),
        ("update", "operator"),
        ("create", "operator"),
    ]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"amount_usd": -1}, "amount_usd"),
        ({"amount_usd": "-0.5"}, "amount_usd"),
        ({"amount_usd": "NaN"}, "amount_usd"),
        ({"amount_usd": "Infinity"}, "amount_usd"),
        ({"amount_usd": "1_000"}, "amount_usd"),
        ({"amount_usd": 1e300}, "amount_usd"),
        ({"amount_usd": 10**400}, "amount_usd"),
        ({"amount_usd": 9_000_001}, "amount_usd"),
        ({"amount_usd": "0.0000000001"}, "amount_usd"),
        ({"amount_usd": None}, "amount_usd"),
        ({"amount_usd": True}, "amount_usd"),
        ({"window": {"kind": "month", "time_zone": "Mars/Olympus"}}, "time_zone"),
        ({"window": {"kind": "month", "time_zone": "../../etc/passwd"}}, "time_zone"),
        ({"window": {"kind": "month", "period_s": 5}}, "window.period_s"),
        ({"window": {"kind": "period"}}, "window.period_s"),
        ({"window": {"kind": "fixed", "starts_at": "2026-02-01", "ends_at": "2026-01-01"}}, "ends_at"),
        ({"window": {"kind": "fixed", "ends_at": "soon"}}, "window.ends_at"),
        ({"model": "no-such-model"}, "model"),
        ({"scope": {"kind": "team", "id": "nobody"}}, "scope"),
        ({"scope": {"kind": "org", "id": "another"}}, "scope"),
        ({"scope": {"kind": "member", "id": "red"}}, "scope"),
        ({"thresholds": [0]}, "thresholds.0"),
        ({"increase": {"amount_usd": 1, "until": "2001-01-01"}}, "increase.until"),
        ({"surprise": 1}, "surprise"),
    ],
)
async def test_what_makes_no_sense_is_refused_by_name_and_changes_nothing(running, fields, param):
    body = {"scope": {"kind": "org", "id": "default"}, "amount_usd": 1, "window": MONTH} | fields
    response = await running.operator.post("/admin/v1/budgets", content=json.dumps(body), headers=JSON)
    assert (response.status_code, response.json()["error"]["param"]) == (400, param), response.text
    assert in_force(running).budgets == ()


async def test_nan_as_a_bare_word_is_refused(running):
    body = b'{"scope": {"kind": "org", "id": "default"}, "amount_usd": NaN, "window": {"kind": "day"}}'
    response = await running.operator.post("/admin/v1/budgets", content=body, headers=JSON)
    assert response.status_code == 400


async def test_a_dime_is_a_dime(running):
    made = await budget(running, "org", "default", 0.1)
    assert made["amount_nanousd"] == 100_000_000
    changed = await running.operator.patch(f"/admin/v1/budgets/{made['id']}", json={"amount_usd": "0.3"})
    assert changed.json()["amount_nanousd"] == 300_000_000


async def test_more_than_there_is_is_handed_out_only_if_somebody_says_so(running):
    await budget(running, "org", "default", 100)
    for team in ("red", "blue"):
        await post(running, "/admin/v1/teams", 201, id=team, members=[{"user_id": "alice"}])
    red = await budget(running, "team", "red", 60)
    refused = {"scope": {"kind": "team", "id": "blue"}, "amount_usd": 41, "window": MONTH}
    answer = await running.operator.post("/admin/v1/budgets", json=refused)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "allow_over_allocation")
    assert "1 USD" in answer.json()["error"]["message"]
    await budget(running, "team", "blue", 40)
    await budget(running, "team", "blue", 99, window={"kind": "day"})  # windows of another sort are another matter
    more = await running.operator.patch(f"/admin/v1/budgets/{red['id']}", json={"amount_usd": 61})
    assert more.status_code == 400
    allowed = await running.operator.patch(
        f"/admin/v1/budgets/{red['id']}", json={"amount_usd": 61, "allow_over_allocation": True}
    )
    assert (allowed.status_code, allowed.json()["allow_over_allocation"]) == (200, True)
    member = {"scope": {"kind": "member", "id": "red/alice"}, "amount_usd": 62, "window": MONTH}
    assert (await running.operator.post("/admin/v1/budgets", json=member)).status_code == 400
    await budget(running, "member", "red/alice", 61)


async def test_less_for_the_organisation_than_its_teams_have_is_refused(running):
    org = await budget(running, "org", "default", 100)
    await post(running, "/admin/v1/teams", 201, id="red")
    await budget(running, "team", "red", 30, model="claude")
    address = f"/admin/v1/budgets/{org['id']}"
    assert (await running.operator.patch(address, json={"amount_usd": 29})).status_code == 400
    assert (await running.operator.patch(address, json={"amount_usd": 30})).status_code == 200


async def test_credit_and_reset_are_on_record_and_in_the_snapshot(running):
    await post(running, "/team/new", team_id="red")
    key = await post(running, "/admin/v1/keys", 201, team_id="red")
    made = await budget(running, "team", "red", 5)
    address = f"/admin/v1/budgets/{made['id']}"
    await running.call_of(key, cost_nanousd=2 * USD)
    given = await post(running, f"{address}/credits", 201, amount_usd="0.5", reason="a bad day")
    assert (given["kind"], given["amount_usd"], given["created_by"]) == ("credit", "0.5", "operator")
    reset = await post(running, f"{address}/reset", 201, reason="the invoice was wrong")
    assert reset["amount_usd"] == "1.5"
    (kept,) = in_force(running).budgets
    november = 1_761_922_800_000_000
    assert (kept.credit_nanousd, kept.credit_from) == (2 * USD, november)
    shown = (await running.operator.get(address)).json()
    assert (shown["spent_usd"], shown["credit_usd"]) == ("2", "2")
    credits = (await running.operator.get(f"{address}/credits")).json()["credits"]
    assert [one["reason"] for one in credits] == ["the invoice was wrong", "a bad day"]
    running.clock.advance(30 * 86_400)
    assert (await running.operator.get(address)).json()["credit_usd"] == "0"
    for amount in (0, -1, "9000001"):
        refused = await running.operator.post(f"{address}/credits", json={"amount_usd": amount, "reason": "x"})
        assert refused.status_code == 400


async def test_a_temporary_increase_has_an_end(running):
    made = await budget(running, "org", "default", 1, increase={"amount_usd": "2.5", "until": "7d"})
    (kept,) = in_force(running).budgets
    assert (kept.increase_nanousd, kept.increase_until) == (2_500_000_000, running.clock.now_us() + 7 * 86_400_000_000)
    address = f"/admin/v1/budgets/{made['id']}"
    assert (await running.operator.patch(address, json={"increase": None})).json()["increase"] is None
    assert in_force(running).budgets[0].increase_nanousd == 0


async def test_budgets_are_paged_and_filtered(running):
    await post(running, "/admin/v1/teams", 201, id="red")
    made = []
    for number in range(3):
        running.clock.advance(1)
        made.append((await budget(running, "team", "red", number, name=f"b{number}"))["id"])
    first = (await running.operator.get("/admin/v1/budgets", params={"limit": 2})).json()
    assert ([one["id"] for one in first["budgets"]], first["next"]) == ([made[2], made[1]], made[1])
    rest = (await running.operator.get("/admin/v1/budgets", params={"limit": 2, "after": first["next"]})).json()
    assert ([one["id"] for one in rest["budgets"]], rest["next"]) == ([made[0]], None)
    other = (await running.operator.get("/admin/v1/budgets", params={"scope_kind": "org"})).json()
    assert other == {"budgets": [], "next": None}
    taken = {"scope": {"kind": "team", "id": "red"}, "amount_usd": 1, "window": MONTH, "name": "b1"}
    assert (await running.operator.post("/admin/v1/budgets", json=taken)).json()["error"]["param"] == "name"


async def test_the_same_request_twice_does_its_work_once(running):
    body = {"scope": {"kind": "org", "id": "default"}, "amount_usd": 1, "window": MONTH}

    async def send(key: str, body: dict[str, Any], **headers: str):
        return await running.operator.post("/admin/v1/budgets", json=body, headers={"idempotency-key": key} | headers)

    first, again = await send("k1", body), await send("k1", body)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert len(in_force(running).budgets) == 1
    assert (await send("k1", body | {"amount_usd": 2})).status_code == 409
    refused = await send("k2", body | {"amount_usd": -2})
    assert refused.status_code == 400
    assert (await send("k2", body)).status_code == 201  # what was refused may be mended
    assert (await send("k1", body, authorization="Bearer sk-wrong")).status_code == 401
    running.clock.advance(86_401)
    assert (await send("k1", body)).json()["id"] != first.json()["id"]


async def test_two_at_once_with_one_key_do_their_work_once(running):
    body = {"scope": {"kind": "org", "id": "default"}, "amount_usd": 1, "window": MONTH}
    headers = {"idempotency-key": "k"}
    answers = await asyncio.gather(
        *(running.operator.post("/admin/v1/budgets", json=body, headers=headers) for _ in range(5))
    )
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len(in_force(running).budgets) == 1


async def test_counters_learn_what_was_spent_and_how_far_the_journal_is_booked(running):
    key = await post(running, "/admin/v1/keys", 201, tags=["project:x"])
    made = await budget(running, "key", key["id"], 5, window={"kind": "day"})
    await running.call_of(key, cost_nanousd=7)
    answer = await running.operator.get("/internal/spent")
    booked = msgspec.msgpack.decode(answer.content, type=Booked)
    midnight = running.clock.now_us() // 86_400_000_000 * 86_400_000_000
    (spent,) = booked.spent
    assert (spent.budget.id, spent.window_starts_at, spent.spent_nanousd) == (made["id"], midnight, 7)
    assert booked.at_us == running.clock.now_us()
    assert (await running.gate.get("/internal/spent")).status_code == 404


async def test_counters_wait_for_what_dead_processes_wrote(running, monkeypatch):
    def dead(name: str) -> None:
        with JournalWriter(running.home / "journal", name) as writer:
            writer.append(Opened(bytes(16), 1, Caller("default", "k"), "openai_chat", "m", True, 1, 1))

    with JournalWriter(running.home / "journal", "alive"):
        assert (await running.operator.get("/internal/spent")).status_code == 200
        dead("gone")
        waiting = asyncio.ensure_future(running.operator.get("/internal/spent"))
        await asyncio.sleep(0)
        await running.plane.drain_once()
        assert (await waiting).status_code == 200
        dead("gone-too")
        monkeypatch.setattr(control_plane, "BOOKED_S", 0)
        answer = await running.operator.get("/internal/spent")
        assert answer.status_code == 503
        assert "gone-too" in answer.json()["error"]["message"]
