"""Who reads what calls said, who is told of it, and that what is deleted is gone. Alice leads red, Bob is in it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sekisho.clock import id_text
from sekisho.record.content import ContentSettings
from sekisho.record.spool import Asked, Origin, Said, SpoolWriter
from tests.acceptance.control_plane import Running, bearer, files_with, running_control_plane

REQUEST = b'{"model":"claude","messages":[{"role":"user","content":"the plan of Bob"}]}'
TASK = b"a task of Bob   "
ANSWER = 'data: {"choices":[{"index":0,"delta":{"content":"よい計画"}}]}\n\ndata: [DONE]\n\n'.encode()


@pytest.fixture
def leads_may_read() -> bool:
    return False


@pytest.fixture
async def running(tmp_path: Path, leads_may_read: bool) -> AsyncIterator[Running]:
    settings = ContentSettings(leads_may_read=leads_may_read)
    async with running_control_plane(tmp_path / "home", content=settings) as running:
        operator = running.operator
        for team in ("red", "blue"):
            await operator.post("/admin/v1/teams", json={"id": team, "content_level": "full"})
        for name, team, role in (("alice", "red", "lead"), ("bob", "red", "member"), ("charlie", "blue", "lead")):
            await operator.post(f"/admin/v1/teams/{team}/members", json={"user_id": name, "role": role})
        await operator.post("/admin/v1/users", json={"id": "audrey"})
        await operator.post("/admin/v1/role-grants", json={"user_id": "audrey", "role": "auditor"})
        yield running


async def headers_of(running: Running, user: str) -> dict[str, str]:
    made = await running.operator.post("/admin/v1/tokens", json={"user_id": user})
    return bearer(made.json()["token"])


async def bobs_call(running: Running) -> str:
    """A call of Bob's for red, with what it said; its id."""
    key = (await running.operator.post("/admin/v1/keys", json={"team_id": "red", "user_id": "bob"})).json()
    call_id = await running.call_of(key)
    writer = SpoolWriter(running.home / "spool", f"call-{call_id.hex()}", running.clock)
    origin = Origin(
        call_id, running.clock.now_us(), "default", "red", "bob", key["id"], "full", "openai_chat", True, TASK
    )
    assert writer.append(Asked(origin), (REQUEST,))
    assert writer.append(Said(call_id, "whole"), (ANSWER,))
    writer.close()
    await running.plane.content.take_once()
    return f"/admin/v1/calls/{id_text(call_id)}/content"


async def readings(running: Running) -> list[tuple[str, Any]]:
    """Who read whose content, by the audit log."""
    entries = (await running.operator.get("/admin/v1/audit", params={"action": "content.read"})).json()["entries"]
    return [(entry["actor"], entry["after"]["user_id"]) for entry in entries]


async def searches(running: Running) -> list[tuple[str, Any]]:
    """Who looked for what, by the audit log."""
    entries = (await running.operator.get("/admin/v1/audit", params={"action": "content.search"})).json()["entries"]
    return [(entry["actor"], entry["after"]) for entry in entries]


async def statuses(running: Running, path: str) -> dict[str, int]:
    return {
        user: (await running.gate.get(path, headers=await headers_of(running, user))).status_code
        for user in ("alice", "bob", "charlie", "audrey")
    }


async def test_content_is_its_persons_and_the_auditors_whose_reading_is_on_record(running):
    path = await bobs_call(running)
    assert await statuses(running, path) == {"alice": 404, "bob": 200, "charlie": 404, "audrey": 200}
    assert await readings(running) == [("user:audrey", "bob")]
    shown = (await running.gate.get(path, headers=await headers_of(running, "bob"))).json()
    assert {name: shown[name] for name in ("level", "request_state", "answer_state", "request", "answer")} == {
        "level": "full",
        "request_state": "whole",
        "answer_state": "whole",
        "request": REQUEST.decode(),
        "answer": ANSWER.decode(),
    }


@pytest.mark.parametrize("leads_may_read", [True])
async def test_a_lead_reads_the_own_teams_content_where_the_operator_allows_it(running, leads_may_read):
    path = await bobs_call(running)
    assert await statuses(running, path) == {"alice": 200, "bob": 200, "charlie": 404, "audrey": 200}
    assert sorted(await readings(running)) == [("user:alice", "bob"), ("user:audrey", "bob")]


async def test_both_parts_are_given_back_to_the_byte(running):
    path = await bobs_call(running)
    parts = [(await running.operator.get(f"{path}/{part}")).content for part in ("request", "answer")]
    assert parts == [REQUEST, ANSWER]


async def test_a_call_and_its_task_read_as_a_conversation(running):
    path = await bobs_call(running)
    said = {"type": "text", "text": "the plan of Bob"}
    expected = {
        "turns": [{"speaker": "human", "parts": [said]}],
        "answer": [{"speaker": "agent", "parts": [{"type": "text", "text": "よい計画"}]}],
    }
    shown = (await running.operator.get(path.replace("/content", "/conversation"))).json()
    assert {name: shown[name] for name in expected} == expected
    task = f"/admin/v1/tasks/{id_text(TASK)}/turns"
    told = (await running.gate.get(task, headers=await headers_of(running, "bob"))).json()
    assert [{name: call[name] for name in expected} for call in told["calls"]] == [expected]
    for user, status in (("alice", 404), ("charlie", 404), ("audrey", 200)):
        assert (await running.gate.get(task, headers=await headers_of(running, user))).status_code == status
    assert await readings(running) == [("user:audrey", "bob"), ("operator", "bob")]


async def test_who_may_read_content_finds_it_by_any_part_of_a_word(running):
    await bobs_call(running)
    for query, user, where in (
        ("PLAN of", "bob", ["request"]),
        ("い計", "bob", ["answer"]),
        ("plan", "alice", []),
        ("plan", "charlie", []),
        ("ｐｌａｎ", "audrey", ["request"]),
        ("nothing like it", "bob", []),
    ):
        asked = {"params": {"q": query}, "headers": await headers_of(running, user)}
        found = (await running.gate.get("/admin/v1/content/search", **asked)).json()
        assert [one["where"] for one in found["calls"]] == where, (query, user)
        assert found["next"] is None
    assert await readings(running) == [("user:audrey", "bob")]
    assert await searches(running) == [("user:audrey", {"query": "ｐｌａｎ", "team_ids": None, "found": 1})]
    await running.operator.delete("/admin/v1/content", params={"user_id": "bob"})
    assert (await running.operator.get("/admin/v1/content/search", params={"q": "plan"})).json()["calls"] == []


@pytest.mark.parametrize("leads_may_read", [True])
async def test_what_is_looked_for_in_others_content_is_on_record_also_where_nothing_is_found(running, leads_may_read):
    await bobs_call(running)
    for user, query in (("alice", "Bob のメモ"), ("bob", "my own"), ("audrey", "sk-ant-0123456789abcdef")):
        asked = {"params": {"q": query}, "headers": await headers_of(running, user)}
        assert (await running.gate.get("/admin/v1/content/search", **asked)).json()["calls"] == []
    assert await searches(running) == [
        ("user:audrey", {"query": "***", "team_ids": None, "found": 0}),
        ("user:alice", {"query": "Bob のメモ", "team_ids": ["red"], "found": 0}),
    ]


@pytest.mark.parametrize("what", ["", "?user_id=bob", "?team_id=red"])
async def test_what_is_deleted_is_gone_from_the_disk_and_the_deletion_is_on_record(running, what):
    path = await bobs_call(running)
    before = (await running.operator.get("/admin/v1/content")).json()["teams"]
    assert [(one["team_id"], one["calls"]) for one in before] == [("red", 1)]
    target = path if not what else f"/admin/v1/content{what}"
    assert (await running.operator.delete(target)).json() == {"calls": 1}
    shown = (await running.operator.get(path)).json()
    assert (shown["level"], shown["request"], shown["answer"]) == ("none", None, None)
    assert [path for path in (running.home / "content").rglob("*") if path.is_file()] == []
    assert files_with(running.home / "spool", "the plan of Bob") == []
    deletions = (await running.operator.get("/admin/v1/audit", params={"action": "content.delete"})).json()["entries"]
    assert len(deletions) == 1


async def test_what_nobody_said_to_delete_stays(running):
    await bobs_call(running)
    answer: httpx.Response = await running.operator.delete("/admin/v1/content")
    assert answer.status_code == 400
    answer = await running.operator.delete("/admin/v1/content", params={"user_id": "alice"})
    assert answer.json() == {"calls": 0}


async def test_a_teams_level_is_in_the_snapshot_and_its_change_on_record(running):
    key = (await running.operator.post("/admin/v1/keys", json={"team_id": "red", "user_id": "bob"})).json()

    def level() -> str:
        snapshot = running.plane._snapshot
        assert snapshot is not None
        level: str = next(one.content_level for one in snapshot.keys if one.id == key["id"])
        return level

    assert level() == "full"
    await running.operator.patch("/admin/v1/teams/red", json={"content_level": "none"})
    assert level() == "none"
    await running.operator.patch("/admin/v1/teams/red", json={"content_level": None})
    assert level() == "none"  # of the organisation
    entries = (await running.operator.get("/admin/v1/audit", params={"action": "team.update"})).json()["entries"]
    assert [entry["after"]["content_level"] for entry in entries] == [None, "none"]
