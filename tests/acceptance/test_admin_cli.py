"""`sekisho key ...` against a real control process on a real Unix socket."""

import asyncio
import json
import shutil
import stat
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter
from typer.testing import CliRunner, Result

from sekisho.access.distribution import read_snapshot
from sekisho.app.control_plane import (
    ControlPlaneSettings,
    create_control_app,
    open_control_plane,
    run_control_plane,
    serve_control_plane,
    snapshot_path,
)
from sekisho.app.exclusive import bind_control_socket
from sekisho.cli.keys import app
from sekisho.cli.operator import ask
from sekisho.clock import FakeClock
from sekisho.errors import StoreUnavailable
from sekisho.ledger.journal import Caller, Opened
from sekisho.ledger.journal_files import JournalReader, JournalWriter
from sekisho.web.admin.services import Services
from tests.acceptance.control_plane import CLAUDE, files_with

SETTINGS = ControlPlaneSettings(models=lambda: (CLAUDE,), simulated=True)
Sekisho = Callable[..., "asyncio.Future[Result]"]


@pytest.fixture
def home() -> Any:
    """A short path: the name of a Unix socket has at most 107 bytes."""
    folder = tempfile.mkdtemp(prefix="sk")
    yield Path(folder) / "home"
    shutil.rmtree(folder)


@pytest.fixture
async def sekisho(home: Path, monkeypatch) -> AsyncIterator[Sekisho]:
    """Runs `sekisho key` with these arguments in a thread while the control process serves here."""
    monkeypatch.setenv("SEKISHO_HOME", str(home))
    monkeypatch.setenv("SEKISHO_LANG", "en")
    (home / "run").mkdir(parents=True)
    plane = await open_control_plane(home, SETTINGS, FakeClock())
    listener = bind_control_socket(home / "run" / "control.sock")
    serving = asyncio.ensure_future(serve_control_plane(plane, create_control_app(plane), listener))
    yield lambda *arguments, **options: asyncio.ensure_future(
        asyncio.to_thread(CliRunner().invoke, app, list(arguments), **options)
    )
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    listener.close()
    await plane.close()


async def test_a_key_is_made_shown_once_and_found_again(sekisho, home):
    made = await sekisho("create", "--alias", "alice", "--user", "alice", "--model", "claude", "--expires", "30d")
    assert made.exit_code == 0, made.output
    raw = made.stdout.strip()
    assert raw.startswith("sk-")
    assert "not shown again" in made.stderr
    listed = await sekisho("list")
    assert listed.stdout.count("\n") == 1
    assert f"sk-...{raw[-4:]}" in listed.stdout
    shown = await sekisho("show", "alice")
    assert "models   claude\n" in shown.stdout
    assert "spend    $0.000000000" in shown.stdout
    assert raw not in listed.output + shown.output
    assert files_with(home, raw) == []


async def test_a_key_is_changed_blocked_unblocked_and_deleted(sekisho, home):
    await sekisho("create", "--alias", "alice", "--model", "claude", "--expires", "1h")
    await asyncio.to_thread(ask, home, "POST", "/admin/v1/teams", {"id": "red"})
    changed = await sekisho("update", "alice", "--all-models", "--never-expires", "--team", "red")
    assert "models   all\n" in changed.stdout
    assert "expires  never\n" in changed.stdout
    assert (await sekisho("block", "alice")).stdout == "Blocked.\n"
    assert [key.blocked for key in keys_in_force(home)] == [True]
    assert (await sekisho("unblock", "alice")).stdout == "Unblocked.\n"
    assert [(key.blocked, key.team_id) for key in keys_in_force(home)] == [(False, "red")]
    kept = await sekisho("delete", "alice", input="n\n")
    assert kept.exit_code == 1
    assert len(keys_in_force(home)) == 1
    assert (await sekisho("delete", "alice", "--yes")).exit_code == 0
    assert keys_in_force(home) == ()


def keys_in_force(home: Path) -> Any:
    snapshot = read_snapshot(snapshot_path(home))
    assert snapshot is not None
    return snapshot.keys


async def test_a_model_that_is_not_offered_is_pointed_out(sekisho):
    made = await sekisho("create", "--model", "claude", "--model", "no-such")
    assert made.exit_code == 0
    assert "Not offered here now: no-such\n" in made.stderr


async def test_json_is_for_programmes(sekisho):
    made = json.loads((await sekisho("create", "--alias", "alice", "--tag", "a", "--json")).stdout)
    (listed,) = json.loads((await sekisho("list", "--json")).stdout)
    shown = json.loads((await sekisho("show", made["id"], "--json")).stdout)
    assert (made["alias"], listed["id"], shown["cost_nanousd"], listed["tags"]) == ("alice", made["id"], 0, ["a"])


async def test_a_reader_of_japanese_reads_japanese(sekisho, monkeypatch):
    monkeypatch.setenv("SEKISHO_LANG", "ja_JP.UTF-8")
    made = await sekisho("create", "--alias", "営業")
    assert "再表示はできません" in made.stderr
    assert "その別名は別のキーが使っています" in (await sekisho("create", "--alias", "営業")).stderr
    assert "そのキーはありません" in (await sekisho("show", "経理")).stderr
    assert "期間は数字と" in (await sekisho("create", "--expires", "soon")).stderr
    assert "別名      営業" in (await sekisho("show", "営業")).stdout


async def test_an_empty_list_an_unknown_key_and_an_empty_change_say_so(sekisho):
    assert "no keys yet" in (await sekisho("list")).stderr
    unknown = await sekisho("show", "../nobody")
    assert (unknown.exit_code, "There is no such" in unknown.stderr) == (1, True)
    await sekisho("create", "--alias", "alice")
    again = await sekisho("create", "--alias", "alice")
    assert (again.exit_code, "already has this alias" in again.stderr) == (1, True)
    empty = await sekisho("update", "alice")
    assert (empty.exit_code, "Say what to change" in empty.stderr) == (1, True)


def test_without_a_control_process_the_command_says_how_to_start_it(home, monkeypatch):
    monkeypatch.setenv("SEKISHO_LANG", "en")
    result = CliRunner().invoke(app, ["list", "--home", str(home)])
    assert (result.exit_code, "sekisho serve" in result.stderr) == (1, True)


async def test_the_socket_is_open_to_its_owner_only(sekisho, home):
    assert stat.S_IMODE((home / "run").stat().st_mode) == 0o700
    assert stat.S_IMODE((home / "run" / "control.sock").stat().st_mode) == 0o600
    assert {
        path.name for path in home.iterdir() if stat.S_IMODE(path.stat().st_mode) & 0o077 and path.is_file()
    } == set()


async def test_the_first_snapshot_of_a_fresh_home_needs_no_database(home):
    seen = []

    def models():
        seen.append((home / "sekisho.db").exists())
        return (CLAUDE,)

    plane = await open_control_plane(home, ControlPlaneSettings(models=models), FakeClock())
    assert seen[0] is False
    snapshot = read_snapshot(snapshot_path(home))
    assert snapshot is not None
    assert (snapshot.epoch, snapshot.models) == (1, (CLAUDE,))
    await plane.close()


async def test_each_start_raises_the_epoch(home):
    epochs = []
    for _ in range(2):
        plane = await open_control_plane(home, SETTINGS, FakeClock())
        epochs.append(plane.health().epoch)
        await plane.close()
    assert epochs == [1, 2]


async def test_a_database_without_its_pepper_does_not_start(home):
    plane = await open_control_plane(home, SETTINGS, FakeClock())
    await plane.close()
    (home / "secrets" / "pepper").unlink()
    with pytest.raises(StoreUnavailable, match="restore"):
        await open_control_plane(home, SETTINGS, FakeClock())
    assert not (home / "secrets" / "pepper").exists()


async def test_a_control_process_runs_alone_in_its_home_until_it_is_stopped(home):
    made = asyncio.Event()

    def console(_services: Services) -> APIRouter:
        made.set()
        return APIRouter()

    running = asyncio.ensure_future(run_control_plane(home, SETTINGS, console=console))
    await made.wait()
    async with httpx.AsyncClient(
        transport=httpx.AsyncHTTPTransport(uds=str(home / "run" / "control.sock")), base_url="http://localhost"
    ) as client:
        assert (await client.get("/internal/health")).json()["epoch"] == 1
    with pytest.raises(StoreUnavailable, match="Another control process"):
        await run_control_plane(home, SETTINGS, lock_wait_s=0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_failing_ledger_is_shown_and_tried_again(home, monkeypatch, caplog):
    plane = await open_control_plane(home, SETTINGS, FakeClock())
    drain = plane.drain_once
    turns = 0

    async def fail_once() -> int:
        nonlocal turns
        turns += 1
        if turns == 1:
            raise StoreUnavailable("The database cannot be written.")
        return await drain()

    async def no_wait(_seconds: float) -> None:
        errors.append(plane.health().journal_error)
        if turns == 2:
            raise asyncio.CancelledError

    errors: list[str] = []
    monkeypatch.setattr(plane, "drain_once", fail_once)
    monkeypatch.setattr(plane, "pause", no_wait)
    with JournalWriter(home / "journal", "p") as writer:
        writer.append(Opened(bytes(16), 1, Caller("default", "k"), "openai_chat", "m", True, 1, 1))
        assert plane.health().journal_lag_bytes > 0
        with pytest.raises(asyncio.CancelledError):
            await plane.drain_forever()
        assert JournalReader(home / "journal").segments() != []
    assert errors == ["The database cannot be written.", ""]
    assert plane.health().journal_lag_bytes == 0
    assert "booking the journal fails; trying again: The database cannot be written." in caplog.text
    assert "booking the journal works again" in caplog.text
    await plane.close()


async def test_credentials_that_cannot_be_refreshed_stay_in_force(home, monkeypatch, caplog):
    plane = await open_control_plane(home, SETTINGS, FakeClock())
    turns: list[int] = []

    async def fail() -> None:
        raise StoreUnavailable("no credentials today")

    async def no_wait(_seconds: float) -> None:
        turns.append(plane.health().epoch)
        if len(turns) == 3:
            raise asyncio.CancelledError

    monkeypatch.setattr(plane, "refresh_credentials", fail)
    monkeypatch.setattr("sekisho.app.control_plane.asyncio.sleep", no_wait)
    with pytest.raises(asyncio.CancelledError):
        await plane.refresh_credentials_forever()
    assert turns == [1, 1, 1]
    assert caplog.text.count("refreshing the upstream credentials fails") == 1  # tried twice, said once
    await plane.close()


async def test_a_start_that_fails_lets_go_of_the_database(home):
    async def fail() -> Any:
        raise StoreUnavailable("no credentials today")

    settings = ControlPlaneSettings(models=tuple, credentials=fail)
    with pytest.raises(StoreUnavailable, match="today"):
        await open_control_plane(home, settings, FakeClock())
    assert [thread for thread in threading.enumerate() if "aiosqlite" in str(thread).lower()] == []


def test_a_socket_path_that_is_too_long_is_reported(tmp_path):
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        bind_control_socket(folder / "control.sock")


def test_settings_do_not_show_their_secrets():
    shown = repr(ControlPlaneSettings(models=tuple, master_key="sk-very-secret", database_url="postgresql://u:pw@h"))
    assert "very-secret" not in shown
    assert "pw" not in shown
