"""A key that is rotated: which raw form opens it when, and that it stays the same key."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sekisho.access.distribution import read_snapshot
from sekisho.access.keys import KeyRing, check, digest, pepper_path
from sekisho.app.control_plane import snapshot_path
from sekisho.errors import NotAuthenticated, StoreUnavailable
from tests.acceptance.control_plane import Running, bearer, files_with, running_control_plane

KEYS = "/admin/v1/keys"
STATUS = "/v1/sekisho/status"


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_control_plane(tmp_path / "home") as running:
        yield running


def opens(running: Running, raw: str) -> str:
    """The id of the key that this raw form opens in the call plane, now; "" for none."""
    snapshot = read_snapshot(snapshot_path(running.home))
    assert snapshot is not None
    key = KeyRing(snapshot.keys).find(digest(pepper_path(running.home).read_bytes(), raw))
    try:
        check(key, running.clock.now_us()) if key else None
    except NotAuthenticated:
        return ""
    return key.id if key else ""


async def test_the_old_form_works_until_the_grace_ends_and_spend_and_budget_are_of_one_key(running):
    made = (await running.operator.post(KEYS, json={"alias": "alice", "user_id": "alice"})).json()
    await running.operator.post(
        "/admin/v1/budgets",
        json={"scope": {"kind": "key", "id": made["id"]}, "amount_usd": 5, "window": {"kind": "month"}},
    )
    await running.call_of(made)
    answer = await running.operator.post(f"{KEYS}/{made['id']}/rotate", json={"grace": "1h"})
    new = answer.json()
    assert answer.status_code == 200, answer.text
    assert new["id"] == made["id"]
    assert new["key"] != made["key"]
    assert (opens(running, made["key"]), opens(running, new["key"])) == (made["id"], made["id"])
    assert (await running.gate.get(STATUS, headers=bearer(made["key"]))).json()["today"]["calls"] == 1
    running.clock.advance(3599)
    assert opens(running, made["key"]) == made["id"]
    running.clock.advance(1)
    assert (opens(running, made["key"]), opens(running, new["key"])) == ("", made["id"])
    assert (await running.gate.get(STATUS, headers=bearer(made["key"]))).status_code == 401
    assert (await running.gate.get(STATUS, headers=bearer(new["key"]))).json()["month"]["calls"] == 1
    (budget,) = (await running.operator.get("/admin/v1/budgets")).json()["budgets"]
    assert budget["spent_nanousd"] == 1_500_000
    assert files_with(running.home, new["key"]) == []


async def test_without_a_grace_the_old_form_ends_at_once_and_of_two_rotations_only_the_last_old_form_lives(running):
    made = (await running.operator.post(KEYS, json={})).json()
    rotate = f"{KEYS}/{made['id']}/rotate"
    second = (await running.operator.post(rotate, json={"grace": "0s"})).json()
    assert (opens(running, made["key"]), opens(running, second["key"])) == ("", made["id"])
    third = (await running.operator.post(rotate)).json()
    fourth = (await running.operator.post(rotate)).json()
    assert [opens(running, one["key"]) for one in (second, third, fourth)] == ["", made["id"], made["id"]]


async def test_a_rotated_key_still_expires_and_can_be_blocked_and_deleted_with_both_forms(running):
    made = (await running.operator.post(KEYS, json={"expires_in": "30m"})).json()
    new = (await running.operator.post(f"{KEYS}/{made['id']}/rotate", json={"grace": "2h"})).json()
    assert new["expires_at"] == made["expires_at"]
    await running.operator.post(f"{KEYS}/{made['id']}/block")
    assert (opens(running, made["key"]), opens(running, new["key"])) == ("", "")
    await running.operator.post(f"{KEYS}/{made['id']}/unblock")
    assert (opens(running, made["key"]), opens(running, new["key"])) == (made["id"], made["id"])
    running.clock.advance(1800)
    assert (opens(running, made["key"]), opens(running, new["key"])) == ("", "")
    await running.operator.delete(f"{KEYS}/{made['id']}")
    assert (await running.operator.post(f"{KEYS}/{made['id']}/rotate")).status_code == 404


@pytest.mark.parametrize("grace", ["31d", "-1h", "soon", "0x"])
async def test_a_grace_that_cannot_be_is_refused_and_changes_nothing(running, grace):
    made = (await running.operator.post(KEYS, json={})).json()
    answer = await running.operator.post(f"{KEYS}/{made['id']}/rotate", json={"grace": grace})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "grace")
    assert opens(running, made["key"]) == made["id"]


async def test_nobody_brings_along_a_raw_key_that_another_key_had_before(running):
    made = (await running.operator.post(KEYS, json={})).json()
    await running.operator.post(f"{KEYS}/{made['id']}/rotate")
    answer = await running.operator.post("/key/generate", json={"key": made["key"]})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "key")
    assert opens(running, made["key"]) == made["id"]


async def test_a_rotation_that_no_call_process_confirms_is_taken_back(running, monkeypatch):
    made = (await running.operator.post(KEYS, json={})).json()

    async def never(_epoch: int) -> None:
        raise StoreUnavailable("Not every call process has confirmed the change.")

    with monkeypatch.context() as patch:
        patch.setattr(running.plane.distribution, "confirmed", never)
        assert (await running.operator.post(f"{KEYS}/{made['id']}/rotate")).status_code == 503
    assert opens(running, made["key"]) == made["id"]
    assert (await running.operator.get(f"{KEYS}/{made['id']}")).json()["previous_until"] is None
