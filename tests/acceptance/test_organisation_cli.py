"""`sekisho plan`, `apply` and `export` against a real control process on a real Unix socket, and over HTTP."""

import asyncio
import json
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from typer.testing import CliRunner, Result

from sekisho.app.control_plane import (
    ControlPlane,
    ControlPlaneSettings,
    create_control_app,
    open_control_plane,
    serve_control_plane,
)
from sekisho.app.exclusive import bind_control_socket
from sekisho.cli.main import create_app
from sekisho.clock import FakeClock
from tests.acceptance.control_plane import CLAUDE, MASTER

SETTINGS = ControlPlaneSettings(models=lambda: (CLAUDE,), master_key=MASTER)
Sekisho = Callable[..., "asyncio.Future[Result]"]
DOCUMENT = "teams:\n  dept-a: {alias: 部門A, members: {alice: {}}}\nkeys:\n  ci: {team: dept-a}\n"


@pytest.fixture
def home() -> Any:
    """A short path: the name of a Unix socket has at most 107 bytes."""
    folder = tempfile.mkdtemp(prefix="sk")
    yield Path(folder) / "home"
    shutil.rmtree(folder)


@pytest.fixture
async def plane(home: Path) -> AsyncIterator[ControlPlane]:
    (home / "run").mkdir(parents=True)
    plane = await open_control_plane(home, SETTINGS, FakeClock())
    listener = bind_control_socket(home / "run" / "control.sock")
    serving = asyncio.ensure_future(serve_control_plane(plane, create_control_app(plane), listener))
    yield plane
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    listener.close()
    await plane.close()


@pytest.fixture
def sekisho(home: Path, plane: ControlPlane, monkeypatch) -> Sekisho:
    monkeypatch.setenv("SEKISHO_HOME", str(home))
    monkeypatch.setenv("SEKISHO_LANG", "en")
    return lambda *arguments, **options: asyncio.ensure_future(
        asyncio.to_thread(CliRunner().invoke, create_app(), list(arguments), **options)
    )


async def test_plan_says_by_its_exit_status_whether_there_is_something_to_do(sekisho, tmp_path):
    file = tmp_path / "org.yaml"
    file.write_text(DOCUMENT, "utf-8")
    planned = await sekisho("plan", str(file))
    assert planned.exit_code == 2
    assert "+ team dept-a\n    alias: 部門A\n" in planned.stdout
    assert planned.stdout.endswith("Plan: 4 to create.\n")
    refused = await sekisho("apply", str(file), input="n\n")
    assert refused.exit_code == 1
    assert (await sekisho("team", "list")).stdout == ""
    applied = await sekisho("apply", str(file), input="y\n")
    assert applied.exit_code == 0, applied.output
    told = "Applied: 4 to create.\nkey ci has no secret yet. Give it one: sekisho key rotate ci\n"
    assert applied.stdout.endswith(told)
    nothing = await sekisho("plan", str(file))
    assert (nothing.exit_code, nothing.stdout) == (
        0,
        "Nothing to change.\n",
    )


async def test_a_change_shows_before_and_after_and_who_moved(sekisho, tmp_path):
    file = tmp_path / "org.yaml"
    file.write_text("teams: {dept-a: {alias: 部門A}}", "utf-8")
    assert (await sekisho("apply", str(file), "--yes")).exit_code == 0
    assert (await sekisho("team", "update", "dept-a", "--alias", "Other")).exit_code == 0
    planned = await sekisho("plan", str(file))
    assert "~ team dept-a  (changed since the last apply: alias)\n    alias: Other -> 部門A\n" in planned.stdout
    assert json.loads((await sekisho("plan", str(file), "--json")).stdout)["changes"][0]["drifted"] == ["alias"]


async def test_an_export_applies_with_no_change(sekisho, tmp_path):
    file = tmp_path / "org.yaml"
    await sekisho("team", "create", "dept-b", "--alias", "部門B", "--lead", "alice")
    assert (await sekisho("export", "--output", str(file))).exit_code == 0
    assert "dept-b: {alias: 部門B, leads: [alice], members: {alice: {}}}" in file.read_text("utf-8").replace(
        "dept-b:\n    alias: 部門B\n    leads: [alice]\n    members:\n      alice: {}",
        "dept-b: {alias: 部門B, leads: [alice], members: {alice: {}}}",
    )
    assert (await sekisho("plan", str(file))).exit_code == 0
    assert (await sekisho("export")).stdout == file.read_text("utf-8")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"teams:\n  a: {alais: x}\n", ":2: teams.a.alais"),
        (b"teams:\n  a: {alias: \xff}\n", ":2: this is not UTF-8."),
        (b"teams:\n  a: {alias: \0}\n", ":2: there is a NUL character."),
        (b"teams: [", ":2: This is not YAML"),
    ],
)
async def test_what_is_wrong_is_told_with_file_and_line(sekisho, tmp_path, content, message):
    file = tmp_path / "org.yaml"
    file.write_bytes(content)
    refused = await sekisho("plan", str(file))
    assert refused.exit_code == 1
    assert refused.stderr.startswith(f"{file}{message}")


async def test_another_sekisho_is_asked_over_http_with_its_key(sekisho, plane, tmp_path, monkeypatch):
    file = tmp_path / "org.yaml"
    file.write_text(DOCUMENT, "utf-8")
    server = uvicorn.Server(uvicorn.Config(create_control_app(plane), lifespan="off", log_config=None))
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    serving = asyncio.ensure_future(server.serve(sockets=[listener]))
    monkeypatch.setenv("SEKISHO_URL", f"http://127.0.0.1:{port}")
    assert (await sekisho("plan", str(file))).exit_code == 2  # without a token it is the one of this machine
    without = await sekisho("plan", str(file), "--url", os.environ["SEKISHO_URL"])
    assert (without.exit_code, without.stderr) == (1, "No key. Give it in SEKISHO_TOKEN.\n")
    monkeypatch.setenv("SEKISHO_TOKEN", "sk-wrong-key-of-this-test")
    wrong = await sekisho("plan", str(file))
    where = f"This is the Sekisho at {os.environ['SEKISHO_URL']} (SEKISHO_URL).\n"
    assert (wrong.exit_code, wrong.stderr) == (1, where + "The master key is not valid.\n")
    monkeypatch.setenv("SEKISHO_TOKEN", MASTER)
    assert (await sekisho("apply", str(file), "--yes")).exit_code == 0
    monkeypatch.delenv("SEKISHO_TOKEN")
    monkeypatch.setenv("SEKISHO_ADMIN_KEY", MASTER)  # the names of before
    monkeypatch.setenv("SEKISHO_ADMIN_URL", os.environ["SEKISHO_URL"])
    monkeypatch.delenv("SEKISHO_URL")
    before = await sekisho("plan", str(file))
    old_names = "SEKISHO_ADMIN_URL is now SEKISHO_URL.\nSEKISHO_ADMIN_KEY is now SEKISHO_TOKEN.\n"
    assert before.stderr == old_names + where.replace("SEKISHO_URL", "SEKISHO_ADMIN_URL")
    assert before.exit_code == 0
    assert "dept-a" in (await sekisho("export")).stdout
    server.should_exit = True
    await serving
    monkeypatch.setenv("SEKISHO_ADMIN_URL", f"http://127.0.0.1:{port}")
    silent = await sekisho("export")
    assert silent.exit_code == 1
    assert f"\nNothing answers at http://127.0.0.1:{port}" in silent.stderr
