"""The own admin API, the status of a key, errors, and what only our own processes may see."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from sekisho.access.distribution import read_snapshot
from sekisho.app.control_plane import create_control_app, snapshot_path
from sekisho.clock import id_text
from sekisho.values import AwsCredential, Delivery
from tests.acceptance.control_plane import (
    CLAUDE,
    MASTER,
    OverUnixSocket,
    Running,
    bearer,
    files_with,
    running_control_plane,
)


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_control_plane(tmp_path / "home") as running:
        yield running


async def create(running: Running, **fields) -> dict[str, Any]:
    response = await running.operator.post("/admin/v1/keys", json=fields)
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    return made


async def test_the_local_operator_makes_changes_and_deletes_a_key(running):
    made = await create(running, alias="alice", user_id="alice", models=["claude"], expires_in="30d")
    raw = made.pop("key")
    assert made.pop("hand_over") is None
    address = f"/admin/v1/keys/{made['id']}"
    assert raw.startswith("sk-")
    assert files_with(running.home, raw) == []
    assert (made["hint"], made["created_by"]) == (raw[-4:], "operator")
    assert (await running.operator.get(address)).json() == made
    changed = (await running.operator.patch(address, json={"models": [], "expires_in": None})).json()
    assert changed == made | {"models": [], "expires_at": None}
    assert (await running.operator.post(f"{address}/block")).json()["blocked"] is True
    assert (await running.operator.post(f"{address}/unblock")).json()["blocked"] is False
    assert (await running.operator.delete(address)).status_code == 204
    assert (await running.operator.get(address)).status_code == 404


async def test_the_master_key_has_the_same_authority_through_the_gate(running):
    response = await running.gate.post("/admin/v1/keys", json={}, headers=bearer(MASTER))
    assert (response.status_code, response.json()["created_by"]) == (201, "master key")
    assert (await running.gate.get("/admin/v1/keys")).status_code == 401


async def test_without_a_master_key_nobody_administers_through_the_gate(tmp_path):
    async with running_control_plane(tmp_path / "home", master_key="") as running:
        assert (await running.gate.get("/admin/v1/keys", headers=bearer(MASTER))).status_code == 401
        assert (await running.operator.get("/admin/v1/keys")).status_code == 200


async def test_over_tcp_nobody_is_the_local_operator(running):
    app = create_control_app(running.plane)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost:4000") as anybody:
        assert (await anybody.get("/admin/v1/keys")).status_code == 401
        assert (await anybody.get("/internal/snapshot?after=0&process=x")).status_code == 404


async def test_a_presented_key_decides_even_for_the_local_operator(running):
    made = await create(running)
    assert (await running.operator.get("/admin/v1/keys", headers=bearer(made["key"]))).status_code == 403
    assert (await running.operator.get("/admin/v1/keys", headers=bearer("sk-wrong"))).status_code == 401


async def test_keys_are_paged_by_cursor(running):
    for number in range(3):
        running.clock.advance(1)
        await create(running, alias=f"key-{number}")
    first = (await running.operator.get("/admin/v1/keys", params={"limit": 2})).json()
    assert [key["alias"] for key in first["keys"]] == ["key-2", "key-1"]
    last = (await running.operator.get("/admin/v1/keys", params={"limit": 2, "after": first["next"]})).json()
    assert ([key["alias"] for key in last["keys"]], last["next"]) == (["key-0"], None)


async def test_an_alias_is_taken_once(running):
    await create(running, alias="alice")
    response = await running.operator.post("/admin/v1/keys", json={"alias": "alice"})
    assert response.status_code == 400
    assert response.json()["error"] == {
        "message": "Another key already has this alias.",
        "type": "invalid_request_error",
        "param": "key_alias",
        "code": "400",
    }


async def test_calls_are_listed_and_shown_with_their_tries(running):
    key = await create(running, user_id="alice")
    ids = [id_text(await running.call_of(key)), id_text(await running.refusal_of(key))]
    page = (await running.operator.get("/admin/v1/calls", params={"limit": 1})).json()
    assert [call["id"] for call in page["calls"]] == ids[1:]
    page = (await running.operator.get("/admin/v1/calls", params={"before": page["next"]})).json()
    assert ([call["id"] for call in page["calls"]], page["next"]) == (ids[:1], None)
    shown = (await running.operator.get(f"/admin/v1/calls/{ids[0]}")).json()
    assert (shown["status"], shown["cost_nanousd"], shown["usage"]["output_tokens"]) == ("ok", 1_500_000, 20)
    assert [one["deployment"] for one in shown["attempts"]] == ["bedrock-1"]
    refused = (await running.operator.get("/admin/v1/calls", params={"status": "refused"})).json()["calls"]
    assert [(call["id"], call["stage"]) for call in refused] == [(ids[1], "resolve")]
    assert (await running.operator.get(f"/admin/v1/calls/{'0' * 26}")).status_code == 404
    assert (await running.operator.get("/admin/v1/calls/nonsense")).status_code == 400


async def test_usage_is_summed_by_what_one_asks_for(running):
    alice, bob = await create(running, user_id="alice"), await create(running, user_id="bob")
    await running.call_of(alice, cost_nanousd=5)
    await running.call_of(bob, cost_nanousd=7)
    await running.call_of(bob, cost_nanousd=8)
    report = (await running.operator.get("/admin/v1/spend", params={"by": "user", "period": "day"})).json()
    found = [
        (row["period"], row["user_id"], row["key_id"], row["calls"], row["cost_nanousd"]) for row in report["rows"]
    ]
    assert found == [("2025-11-13", "bob", None, 2, 15), ("2025-11-13", "alice", None, 1, 5)]
    assert (report["total"]["calls"], report["total"]["cost_nanousd"]) == (3, 20)
    later = (await running.operator.get("/admin/v1/spend", params={"since": "2025-11-14"})).json()
    assert (later["rows"], later["total"]["calls"]) == ([], 0)


async def test_a_developer_sees_what_the_own_key_spent(running):
    key = await create(running, alias="alice", user_id="alice", models=["claude"])
    await running.call_of(key, cost_nanousd=5)
    running.clock.advance(86_400)
    await running.call_of(key, cost_nanousd=7)
    status = (await running.gate.get("/v1/sekisho/status", headers=bearer(key["key"]))).json()
    assert status["today"] == {
        "calls": 1,
        "refused": 0,
        "prompt_tokens": 15,
        "output_tokens": 20,
        "cost_nanousd": 7,
    }
    assert (status["month"]["calls"], status["month"]["cost_nanousd"]) == (2, 12)
    assert (status["key_alias"], status["key_hint"], status["models"]) == ("alice", key["key"][-4:], ["claude"])
    assert (await running.gate.get("/v1/sekisho/status")).status_code == 401
    assert (await running.gate.get("/v1/sekisho/status", headers=bearer("sk-wrong"))).status_code == 401


async def test_a_call_process_gets_snapshot_and_credentials_and_the_disk_only_the_snapshot(running):
    running.credentials["account-a"] = AwsCredential("AKIA1234", "very-secret-access-key")
    await running.plane.refresh_credentials()
    response = await running.operator.get("/internal/snapshot", params={"after": 1, "process": "call-1"})
    delivery = msgspec.msgpack.decode(response.content, type=Delivery)
    assert delivery.credentials == running.credentials
    assert delivery.snapshot.models == (CLAUDE,)
    assert [key.is_master for key in delivery.snapshot.keys] == [True]
    assert files_with(running.home, "very-secret-access-key") == []
    assert files_with(running.home, MASTER) == []
    epoch = delivery.snapshot.epoch
    await running.plane.refresh_credentials()  # nothing new: no new epoch
    assert running.plane.health().epoch == epoch


async def test_an_admin_write_answers_when_the_call_process_has_it_in_force(running):
    async def poll(after: int) -> int:
        response = await running.operator.get("/internal/snapshot", params={"after": after, "process": "call-1"})
        epoch: int = msgspec.msgpack.decode(response.content, type=Delivery).snapshot.epoch
        return epoch

    epoch = await poll(0)
    polling = asyncio.ensure_future(poll(epoch))
    creating = asyncio.ensure_future(create(running, alias="alice"))
    newer = await polling
    assert newer == epoch + 1
    assert not creating.done()
    confirming = asyncio.ensure_future(poll(newer))
    assert (await creating)["alias"] == "alice"
    confirming.cancel()


async def test_a_key_that_no_process_confirms_was_never_made(running, monkeypatch):
    monkeypatch.setattr("sekisho.access.distribution.Distribution.confirmed.__defaults__", (0.01,))
    await running.operator.get("/internal/snapshot", params={"after": 0, "process": "stuck"})
    response = await running.operator.post("/admin/v1/keys", json={"alias": "alice"})
    assert response.status_code == 503
    assert "stuck" in response.json()["error"]["message"]
    assert (await running.operator.get("/admin/v1/keys")).json()["keys"] == []
    snapshot = read_snapshot(snapshot_path(running.home))
    assert snapshot is not None
    assert [key.alias for key in snapshot.keys] == ["master key"]


async def test_a_process_that_is_up_to_date_hears_of_nothing_new(running, monkeypatch):
    monkeypatch.setattr("sekisho.access.distribution.Distribution.ask.__defaults__", (0.01,))
    response = await running.operator.get("/internal/snapshot", params={"after": 1, "process": "call-1"})
    assert (response.status_code, response.content) == (204, b"")


async def test_internal_routes_do_not_exist_behind_the_gate(running):
    for path in ("/internal/snapshot?after=0&process=x", "/internal/health", "/nowhere"):
        response = await running.gate.get(path, headers=bearer(MASTER))
        assert response.status_code == 404
        assert response.json()["error"]["code"] == "404"


async def test_health_tells_epoch_processes_and_lag(running):
    health = (await running.operator.get("/internal/health")).json()
    assert health == {
        "epoch": 1,
        "processes": {},
        "journal_lag_bytes": 0,
        "journal_error": "",
        "damaged": {},
        "audit_error": "",
    }


async def test_every_error_has_one_shape(running, monkeypatch):
    unreadable = await running.operator.post(
        "/admin/v1/keys", content=b"{", headers={"content-type": "application/json"}
    )
    unknown_field = await running.operator.post("/admin/v1/keys", json={"max_budget": 1})
    wrong_method = await running.operator.put("/admin/v1/keys")
    for response, status in ((unreadable, 400), (unknown_field, 400), (wrong_method, 405)):
        assert response.status_code == status
        assert set(response.json()["error"]) == {"message", "type", "param", "code"}
        assert response.json()["error"]["code"] == str(status)
    assert unknown_field.json()["error"]["param"] == "max_budget"


async def test_a_fault_of_ours_shows_an_id_and_nothing_else(running, caplog):
    services = running.plane.services()

    def fail() -> None:
        raise RuntimeError("a secret detail")

    app = create_control_app(running.plane)
    app.add_api_route("/broken", fail)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        response = await client.get("/broken")
    assert response.status_code == 500
    assert "secret detail" not in response.text
    fault = response.json()["error"]["message"].rsplit(" ", 1)[1]
    assert fault in caplog.text
    assert services.org_id == "default"


async def test_the_api_describes_itself(running):
    document = (await running.gate.get("/admin/v1/openapi.json")).json()
    assert {"/admin/v1/keys", "/key/generate", "/spend/logs", "/v1/sekisho/status"} <= set(document["paths"])
    assert not [path for path in document["paths"] if path.startswith("/internal")]


async def test_a_code_opens_one_console_session(running):
    sessions = running.plane.services().sessions
    code = await sessions.issue_code("operator")
    assert files_with(running.home, code) == []
    cookie = await sessions.redeem(code)
    assert cookie is not None
    assert await sessions.redeem(code) is None
    assert await sessions.user_of(cookie) == ""
    assert await sessions.user_of("another") is None
    running.clock.advance(12 * 3600)
    assert await sessions.user_of(cookie) is None
    other = await sessions.redeem(await sessions.issue_code("operator"))
    assert other is not None
    await sessions.end(other)
    assert await sessions.user_of(other) is None
    late = await sessions.issue_code("operator")
    running.clock.advance(600)
    assert await sessions.redeem(late) is None


async def test_pages_of_another_room_are_served_beside_the_api(running):
    from fastapi import APIRouter

    def console(services) -> APIRouter:
        router = APIRouter()
        router.add_api_route("/", lambda: {"models": [model.name for model in services.models()]})
        return router

    transport = OverUnixSocket(create_control_app(running.plane, console))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        assert (await client.get("/")).json() == {"models": ["claude"]}
