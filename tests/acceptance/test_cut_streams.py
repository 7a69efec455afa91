"""Streams of a key that is revoked: cut when so configured, told in the client's dialect, booked at the bound."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace as changed

from sekisho.access.distribution import read_snapshot
from sekisho.calls.gate import Limits
from sekisho.values import Delivery, VirtualKey
from tests.acceptance.conftest import Gateway
from tests.acceptance.control_plane import Running, running_control_plane
from tests.acceptance.test_client_faults import ASKS, connected, request
from tests.unit.dialects.wire import compact

FIRST_WORDS = b"text"
TOLD = {
    "/v1/chat/completions": b'"error"',
    "/v1/responses": b"event: response.failed",
    "/v1/messages": b"event: error",
    "/model/nova-pro/converse-stream": b":exception-type",
}
GOOD_ENDS = (b'"finish_reason":"', b"response.completed", b"message_stop", b"messageStop")


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_control_plane(tmp_path / "home") as running:
        yield running


@pytest.fixture
def limits(limits: Limits) -> Limits:
    return replace(limits, cut_revoked_streams=True)


def stalled(door: str) -> bytes:
    """A request whose stream stops in its middle for a minute."""
    text = json.dumps(ASKS[door]).replace('"Hello"', '"[[simulate: stall s=60]] Hello"')
    return request(door, compact(json.loads(text)))


def revoke(gateway: Gateway, change: Callable[[VirtualKey], VirtualKey | None]) -> None:
    """Put a snapshot in force in which Alice's key is changed, or gone."""
    snapshot = gateway.registry.snapshot
    assert snapshot is not None
    keys = tuple(new for key in snapshot.keys if (new := change(key) if key.id == "alice" else key))
    newer = changed(snapshot, epoch=snapshot.epoch + 1, keys=keys)
    gateway.registry.deliver(Delivery(newer, dict(gateway.registry.credentials)))


CHANGES: dict[str, Callable[[VirtualKey], VirtualKey | None]] = {
    "blocked": lambda key: changed(key, blocked=True),
    "deleted": lambda key: None,
    "expired": lambda key: changed(key, expires_at=1),
}


@pytest.mark.parametrize("door", TOLD)
@pytest.mark.parametrize("how", CHANGES)
async def test_a_stream_of_a_revoked_key_ends_with_an_error_and_is_booked_at_its_bound(
    gateway: Gateway, door: str, how: str
) -> None:
    async with connected(gateway) as connection:
        await connection.say(stalled(door))
        await connection.read_past(FIRST_WORDS)
        revoke(gateway, CHANGES[how])
        async with asyncio.timeout(20):
            rest = await connection.reader.readuntil(b"0\r\n\r\n")
    assert TOLD[door] in rest and b"key" in rest
    assert not [end for end in GOOD_ENDS if end in rest]
    (settled,) = await gateway.journal.wait_settled()
    (opened,) = gateway.journal.opened
    assert (settled.status, settled.error, settled.is_metered) == ("interrupted", "invalid_api_key", False)
    assert 0 < settled.cost_nanousd <= opened.reserved_nanousd
    assert gateway.counters.open_calls == 0


async def test_a_stream_of_another_key_goes_on(gateway: Gateway) -> None:
    door = "/v1/messages"
    text = json.dumps(ASKS[door]).replace('"Hello"', '"[[simulate: stall s=1]] Hello"')
    async with connected(gateway) as connection:
        await connection.say(request(door, compact(json.loads(text))))
        await connection.read_past(FIRST_WORDS)
        revoke(gateway, lambda key: key)
        await connection.read_past(b"message_stop")
    (settled,) = await gateway.journal.wait_settled()
    assert settled.status == "ok"


class TestByDefault:
    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(idle_timeout_s=20, first_byte_timeout_s=20)

    async def test_a_stream_of_a_revoked_key_ends_as_it_would_have(self, gateway: Gateway) -> None:
        text = json.dumps(ASKS["/v1/messages"]).replace('"Hello"', '"[[simulate: stall s=1]] Hello"')
        async with connected(gateway) as connection:
            await connection.say(request("/v1/messages", compact(json.loads(text))))
            await connection.read_past(FIRST_WORDS)
            revoke(gateway, CHANGES["blocked"])
            await connection.read_past(b"message_stop")

    async def test_a_key_may_say_that_its_streams_are_cut_also_when_it_is_deleted(self, gateway: Gateway) -> None:
        revoke(gateway, lambda key: changed(key, cut_streams=True))
        async with connected(gateway) as connection:
            await connection.say(stalled("/v1/messages"))
            await connection.read_past(FIRST_WORDS)
            revoke(gateway, CHANGES["deleted"])
            await connection.read_past(TOLD["/v1/messages"])
        (settled,) = await gateway.journal.wait_settled()
        assert (settled.status, settled.error) == ("interrupted", "invalid_api_key")


async def test_a_key_may_say_that_its_streams_go_on(gateway: Gateway) -> None:
    text = json.dumps(ASKS["/v1/messages"]).replace('"Hello"', '"[[simulate: stall s=1]] Hello"')
    async with connected(gateway) as connection:
        await connection.say(request("/v1/messages", compact(json.loads(text))))
        await connection.read_past(FIRST_WORDS)
        revoke(gateway, lambda key: changed(key, cut_streams=False, blocked=True))
        await connection.read_past(b"message_stop")


async def test_a_key_says_it_else_its_team_else_the_gateway(running: Running) -> None:
    async def put(path: str, method: str = "PATCH", **fields: object) -> dict[str, Any]:
        answer = await running.operator.request(method, f"/admin/v1/{path}", json=fields)
        assert answer.status_code in (200, 201), answer.text
        found: dict[str, Any] = answer.json()
        return found

    def in_force() -> bool | None:
        snapshot = read_snapshot(running.home / "snapshot")
        assert snapshot is not None
        return next(key.cut_streams for key in snapshot.keys if key.id == made["id"])

    await put("teams", "POST", id="red", cut_streams=True)
    made = await put("keys", "POST", alias="k", team_id="red")
    assert (made["cut_streams"], in_force()) == (None, True)
    assert (await put(f"keys/{made['id']}", cut_streams=False))["cut_streams"] is False
    assert in_force() is False
    assert "cut_streams: false" in (await running.operator.get("/admin/v1/export")).text
    await put(f"keys/{made['id']}", cut_streams=None)
    await put("teams/red", cut_streams=None)
    assert in_force() is None
    assert "cut_streams" not in (await running.operator.get("/admin/v1/export")).text
    document = "teams: {red: {cut_streams: false}}\nkeys: {k: {team: red, cut_streams: true}}\n"
    await put("apply", "POST", document=document, adopt=True)
    assert in_force() is True
    assert (await running.operator.get("/admin/v1/teams/red")).json()["cut_streams"] is False
    planned = await put("plan", "POST", document=document)
    assert planned["changes"] == []
