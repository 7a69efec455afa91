"""Backup under load, kill, restore: every call that had ended is there once, keys work, budgets stay spent."""

import gzip
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from sekisho.app.archive import Archive, ArchiveError, ArchiveWriter
from sekisho.app.backup import restore
from sekisho.cli.main import create_app
from sekisho.cli.operator import request
from sekisho.clock import FakeClock
from sekisho.store.sql.migrate import HEAD
from tests.acceptance.processes import Served, served, wait_for

ASK = {"max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}]}


def sekisho(*words: str, language: str = "en") -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SEKISHO_")}
    return subprocess.run(
        [str(Path(sys.executable).with_name("sekisho")), *words],
        capture_output=True,
        text=True,
        env=environment | {"SEKISHO_LANG": language},
    )


class Load:
    """Threads that call without end; `seen` are the ids of calls whose end they saw."""

    def __init__(self, server: Served) -> None:
        self.seen: list[str] = []
        self._server = server
        self._stop = threading.Event()
        status, body = server.ask("GET", "/v1/models")
        assert status == 200
        self._model = json.loads(body)["data"][0]["id"]
        self._threads = [threading.Thread(target=self._call) for _ in range(3)]
        for thread in self._threads:
            thread.start()

    def _call(self) -> None:
        while not self._stop.is_set():
            try:
                status, call_id, _ = self._server.ask_for_id(
                    "POST", "/v1/chat/completions", {"model": self._model, **ASK}
                )
            except (OSError, http.client.HTTPException):
                return
            if status == 200:
                self.seen.append(call_id)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def calls_of(server: Served) -> dict[str, dict[str, Any]]:
    """Every call of the ledger by id; none is there twice."""
    found: list[dict[str, Any]] = []
    before = ""
    while True:
        page = request(server.home, "GET", f"/admin/v1/calls?limit=1000&before={before}")
        found += page["calls"]
        if page["next"] is None:
            break
        before = page["next"]
    by_id = {str(one["id"]): one for one in found}
    assert len(by_id) == len(found)
    return by_id


def test_a_backup_under_load_holds_every_call_that_had_ended_and_opens_with_the_same_keys(tmp_path):
    file = tmp_path / "all.backup"
    with served(tmp_path / "home") as server:
        assert sekisho("budget", "create", "org:default", "1", "--home", str(server.home), "--hard").returncode == 0
        load = Load(server)
        wait_for(lambda: len(load.seen) > 30, "no load")
        ended_before = list(load.seen)
        made = sekisho("backup", str(file), "--home", str(server.home))
        assert made.returncode == 0, made.stderr
        wait_for(lambda: len(load.seen) > len(ended_before) + 10, "the load stopped")
        for pid in (server.process.pid, *server.children().values()):
            os.kill(pid, signal.SIGKILL)
        load.stop()
        key = server.key
    assert file.stat().st_mode & 0o777 == 0o600
    restored = sekisho("restore", str(file), "--home", str(tmp_path / "new"))
    assert restored.returncode == 0, restored.stderr
    assert "Verified and restored" in restored.stdout
    with served(tmp_path / "new") as server:
        server.key = key
        calls = calls_of(server)
        assert set(ended_before) <= set(calls)
        assert {one["status"] for one in calls.values()} <= {"ok", "interrupted"}
        total = sum(one["cost_nanousd"] for one in calls.values())
        spend = json.loads(sekisho("spend", "--home", str(server.home), "--json").stdout)["total"]
        assert (spend["calls"], spend["cost_nanousd"]) == (len(calls), total)
        (budget,) = json.loads(sekisho("budget", "list", "--home", str(server.home), "--json").stdout)
        assert round(float(budget["spent_usd"]) * 10**9) == total > 0
        again = Load(server)  # with the old key
        wait_for(lambda: len(again.seen) > 3, "no call goes through after the restore")
        again.stop()


def test_nothing_is_overwritten_and_no_damage_goes_unnoticed(tmp_path):
    file = tmp_path / "all.backup"
    with served(tmp_path / "home") as server:
        assert sekisho("backup", str(file), "--home", str(server.home)).returncode == 0
        again = sekisho("backup", str(file), "--home", str(server.home), language="ja")
        assert (again.returncode, "すでにあります" in again.stderr) == (1, True)
        over = sekisho("restore", str(file), "--home", str(server.home))
        assert (over.returncode, "nothing is restored over" in over.stderr) == (1, True)
    whole = file.read_bytes()
    for position, damage in enumerate((whole[:-40], whole[: len(whole) // 2], b"x" + whole[1:], b"")):
        broken = tmp_path / f"broken-{position}"
        broken.write_bytes(damage)
        answer = CliRunner().invoke(create_app("restore"), ["restore", str(broken), "--home", str(tmp_path / "new")])
        assert (answer.exit_code, type(answer.exception)) == (1, SystemExit), answer.output
        assert [one.name for one in tmp_path.iterdir() if one.name.startswith("new")] == []
    missing = sekisho("backup", str(tmp_path / "x"), "--home", str(tmp_path / "nowhere"))
    assert (missing.returncode, "no Sekisho" in missing.stderr) == (1, True)
    assert not [one for one in tmp_path.iterdir() if one.name.endswith(".partial")]


def test_a_changed_member_is_noticed(tmp_path):
    with ArchiveWriter(tmp_path / "good") as archive:
        archive.add("secrets/pepper", b"p" * 32)
        archive.finish({"rows": {}})
    content = gzip.decompress((tmp_path / "good").read_bytes())
    (tmp_path / "bad").write_bytes(gzip.compress(content.replace(b"p" * 32, b"q" * 32)))
    assert list(Archive(tmp_path / "good").members()) == [("secrets/pepper", b"p" * 32)]
    with pytest.raises(ArchiveError, match="undamaged"):
        Archive(tmp_path / "bad")


@pytest.mark.parametrize("name", ["../outside", "secrets/../../outside", "secrets/.hidden", "/etc/passwd", "run/x"])
async def test_a_member_can_name_no_place_outside_the_home(tmp_path, name):
    with ArchiveWriter(tmp_path / "evil") as archive:
        archive.add(name, b"boo")
        archive.finish({"rows": {}, "revision": HEAD, "made_at": "", "version": ""})
    with pytest.raises(ArchiveError, match="unknown"):
        await restore(tmp_path / "evil", tmp_path / "home" / "new", "", FakeClock())
    assert sorted(one.name for one in tmp_path.iterdir()) == ["evil", "home"]
    assert list((tmp_path / "home").iterdir()) == []
