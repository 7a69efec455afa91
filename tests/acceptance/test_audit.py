"""The audit log through the admin API and the command line, the latter without any server."""

import asyncio
import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from sekisho.access.anchor import anchor_path
from sekisho.cli.audit import app
from tests.acceptance.conftest import CallPlane
from tests.acceptance.control_plane import MASTER, Running, bearer, running_control_plane


@pytest.fixture
async def running(tmp_path):
    async with running_control_plane(tmp_path / "home") as running:
        yield running


async def command(home: Path, *arguments: str) -> Result:
    return await asyncio.to_thread(
        CliRunner().invoke, app, [arguments[0], "--home", str(home), *arguments[1:]], env={"SEKISHO_LANG": "en"}
    )


async def some_history(running: Running) -> dict[str, Any]:
    """A key that is made, changed, used in vain, and a team."""
    made = await running.operator.post("/admin/v1/keys", json={"alias": "alice"})
    key: dict[str, Any] = made.json()
    await running.gate.patch(f"/admin/v1/keys/{key['id']}", json={"models": ["claude"]}, headers=bearer(MASTER))
    await running.refusal_of(key)
    await running.operator.post("/admin/v1/teams", json={"id": "red"})
    return key


async def test_the_api_shows_who_did_what_newest_first_by_page_and_filter(running):
    key = await some_history(running)

    async def read(**query: Any) -> dict[str, Any]:
        answer = await running.operator.get("/admin/v1/audit", params=query)
        assert answer.status_code == 200, answer.text
        page: dict[str, Any] = answer.json()
        return page

    first = await read(limit=3)
    second = await read(limit=3, after=first["next"])
    assert second["next"] is None
    shown = [(one["actor"], one["action"], one["id"]) for one in first["entries"] + second["entries"]]
    assert shown[0] == ("operator", "team.create", "red")
    assert shown[1][:2] == (f"key:{key['id']}", "call.refuse")
    assert shown[2:] == [
        ("master key", "key.update", key["id"]),
        ("operator", "key.create", key["id"]),
        ("sekisho", "org.create", "default"),
    ]
    update = (await read(action="key.update"))["entries"][0]
    assert (update["before"]["models"], update["after"]["models"]) == ([], ["claude"])
    assert [one["sequence"] for one in (await read(kind="key", id=key["id"]))["entries"]] == [3, 2]
    assert (await read(since="2999-01-01"))["entries"] == []
    head = (await running.operator.get("/admin/v1/audit/head")).json()
    assert head == {"sequence": 5, "hash": first["entries"][0]["hash"]}
    assert key["key"] not in json.dumps(first)
    for bad in ("after=x", "after=-1", "limit=0", "limit=501", "since=never", "after=99999999999999999999999"):
        assert (await running.operator.get(f"/admin/v1/audit?{bad}")).status_code == 400
    assert (await running.gate.get("/admin/v1/audit", headers=bearer(key["key"]))).status_code == 403
    assert (await running.gate.get("/admin/v1/audit")).status_code == 401


async def test_the_log_is_proven_listed_and_exported_without_a_server(tmp_path):
    home = tmp_path / "home of #1"
    async with running_control_plane(home) as running:
        key = await some_history(running)
    whole = await command(home, "verify")
    assert (whole.exit_code, whole.stdout.splitlines()[:2]) == (
        0,
        ["The log is whole: 5 entries.", "Held against a head noted elsewhere: 5."],
    )
    listed = await command(home, "list", "--kind", "key")
    assert [line.split()[2] for line in listed.stdout.splitlines()] == ["master", "operator"]
    assert 'models: [] -> ["claude"]' in listed.stdout
    found = json.loads((await command(home, "list", "--json", "--actor", f"key:{key['id']}")).stdout)
    assert found[0]["after"]["code"] == "model_not_found"
    file = tmp_path / "log.jsonl"
    assert (await command(home, "export", "-o", str(file))).exit_code == 0
    assert (await command(home, "export", "-o", str(file))).exit_code == 1
    assert (await command(home, "verify", str(file))).exit_code == 0
    elsewhere = await command(tmp_path / "nowhere", "verify", str(file))
    assert "whole: 5 entries" in elsewhere.stdout
    part = tmp_path / "part.jsonl"
    await command(home, "export", "-o", str(part), "--action", "key.update")
    assert len(part.read_text().splitlines()) == 2
    assert "whole: 1 entries" in (await command(home, "verify", str(part))).stdout


async def test_an_altered_export_is_refused_by_the_entry(tmp_path):
    home = tmp_path / "home"
    async with running_control_plane(home) as running:
        await some_history(running)
    exported = (await command(home, "export")).stdout
    lines = exported.splitlines(keepends=True)

    async def judge(*changed: str) -> tuple[int, str]:
        file = tmp_path / "changed.jsonl"
        file.write_text("".join(changed))
        result = await command(home, "verify", str(file))
        return result.exit_code, result.stderr.strip()

    assert await judge(*lines) == (0, "")
    assert await judge(*lines[:3], lines[3].replace("master key", "operator"), *lines[4:]) == (
        1,
        "Entry 3 is not as it was written.",
    )
    assert await judge(*lines[:2], *lines[3:]) == (1, "Missing: 2.")
    assert await judge(*lines[:-2], lines[-1]) == (1, "The end of the log was cut off: 5 is missing.")
    assert await judge(*lines[:-1], lines[-1].replace('"sequence":5', '"sequence":4')) == (
        2,
        "The checkpoint was not signed by this Sekisho, or was changed.",
    )
    assert (await judge("not json\n"))[0] == 2
    assert (await judge("[1]\n"))[0] == 2


async def test_a_cut_at_the_end_shows_against_the_head_beside_the_database(tmp_path):
    home = tmp_path / "home"
    async with running_control_plane(home) as running:
        await some_history(running)
    head = json.loads(anchor_path(home).read_text())["head"]
    assert head["sequence"] == 5
    with sqlite3.connect(home / "sekisho.db") as database:
        database.execute("DROP TRIGGER audit_entry_no_delete")
        database.execute("DELETE FROM audit_entry WHERE sequence = 5")
        last = database.execute("SELECT hash FROM audit_entry WHERE sequence = 4").fetchone()[0]
        database.execute("UPDATE audit_head SET sequence = 4, hash = ?", (last,))
    database.close()
    cut = await command(home, "verify")
    assert (cut.exit_code, cut.stderr.strip()) == (1, "The end of the log was cut off: 5 is missing.")
    async with running_control_plane(home) as running:  # the noted head stays as evidence, and status says so
        await running.operator.post("/admin/v1/teams", json={"id": "blue"})
        await running.plane.note_audit_head()
        health = (await running.operator.get("/internal/health")).json()
        assert "no longer what HOME/audit-head says" in health["audit_error"]
    assert json.loads(anchor_path(home).read_text())["head"] == head
    again = await command(home, "verify")
    assert (again.exit_code, again.stderr.strip()[:40]) == (1, "Entry 5 is not the one that was noted: i")
    anchor_path(home).unlink()
    noted = f"5:{head['hash']}"
    assert (await command(home, "verify")).exit_code == 0
    assert (await command(home, "verify", "--head", noted)).exit_code == 1
    assert (await command(home, "verify", "--head", "x")).exit_code == 2


async def test_a_log_that_cannot_be_read_says_so(tmp_path):
    missing = await command(tmp_path, "verify")
    assert (missing.exit_code, missing.stderr.strip()) == (2, f"There is no database at {tmp_path / 'sekisho.db'}.")
    assert (await command(tmp_path, "list")).exit_code == 1
    assert (await command(tmp_path, "verify", str(tmp_path / "none.jsonl"))).exit_code == 2
    home = tmp_path / "home"
    async with running_control_plane(home):
        pass
    anchor_path(home).write_text("{}")
    assert (await command(home, "verify")).exit_code == 2
    anchor_path(home).unlink()
    copied = tmp_path / "copied"
    copied.mkdir()
    shutil.copy(home / "sekisho.db", copied / "sekisho.db")
    lonely = await command(copied, "verify")
    assert "a cut at the end would not show" in lonely.stdout


async def test_unknown_keys_are_counted_by_address(gateway: CallPlane):
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        for number in range(5):
            answer = await client.post("/v1/chat/completions", json={}, headers=bearer(f"sk-guess-{number}"))
            assert answer.status_code == 401
        assert (await client.get("/v1/models", headers=bearer("sk-guess"))).status_code == 401
    gateway.app.close()
    counted = [record for record in gateway.journal.records if type(record).__name__ == "Unrecognised"]
    assert [(record.org_id, record.address, record.calls) for record in counted] == [("org", "127.0.0.1", 6)]
