"""`sekisho serve` as an operator meets it: start, stop, restart, and processes that are killed."""

import json
import os
import signal
import sqlite3
import threading
from pathlib import Path

import pytest

from tests.acceptance.processes import Served, served, wait_for

pytestmark = pytest.mark.xdist_group("processes")
HELLO = {"model": "claude-sonnet-4-6", "max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}]}


def rows(home: Path) -> dict[str, int]:
    """How many calls the ledger has, by status."""
    with sqlite3.connect(f"file:{home / 'sekisho.db'}?mode=ro", uri=True) as database:
        found = dict(database.execute("select status, count(*) from call group by status").fetchall())
    database.close()
    return found


def call_ids(server: Served, calls: int) -> list[str]:
    """Make calls; the ids of those whose end this client saw."""
    seen = []
    for _ in range(calls):
        try:
            status, body = server.ask("POST", "/v1/messages", HELLO)
        except OSError:
            continue
        if status == 200 and json.loads(body)["stop_reason"]:
            seen.append(json.loads(body)["id"])
    return seen


def test_the_first_start_gives_a_key_a_link_and_a_curl_that_work(tmp_path: Path) -> None:
    with served(tmp_path / "home") as server:
        text = "\n".join(server.lines)
        assert "simulator" in text and "curl" in text and server.key and server.link
        status, body = server.ask("POST", "/v1/chat/completions", HELLO)
        assert status == 200 and json.loads(body)["choices"][0]["message"]["content"]
        assert server.ask("GET", "/console/sign-in")[0] == 200
        assert server.ask("GET", server.link)[0] == 200
        assert server.stop() == 0
    assert any("stopped" in line for line in server.lines)


def test_the_second_start_knows_the_key_and_shows_none(tmp_path: Path) -> None:
    with served(tmp_path / "home") as first:
        key = first.key
    with served(tmp_path / "home") as second:
        assert second.key == ""
        assert second.ask("POST", "/v1/messages", HELLO, key=key)[0] == 200


def test_the_raw_key_is_nowhere_on_disk(tmp_path: Path) -> None:
    with served(tmp_path / "home") as server:
        call_ids(server, 2)
        key = server.key.encode()
    holders = [path for path in (tmp_path / "home").rglob("*") if path.is_file() and key in path.read_bytes()]
    assert holders == []


def test_two_servers_in_one_home_are_refused(tmp_path: Path) -> None:
    with served(tmp_path / "home"), pytest.raises(AssertionError, match="Another Sekisho"), served(tmp_path / "home"):
        pass


def test_a_killed_control_plane_stops_no_call_and_loses_no_row(tmp_path: Path) -> None:
    with served(tmp_path / "home") as server:
        os.kill(server.children()["control"], signal.SIGKILL)
        seen = call_ids(server, 5)
        assert len(seen) == 5
        wait_for(lambda: rows(tmp_path / "home").get("ok", 0) == 5, "five calls in the ledger")


@pytest.mark.parametrize("victims", [("call-1",), ("control",), ("call-1", "control", "simulator")])
def test_what_a_client_saw_is_in_the_ledger_once_whoever_is_killed(tmp_path: Path, victims: tuple[str, ...]) -> None:
    with served(tmp_path / "home") as server:
        seen: list[str] = []
        callers = [threading.Thread(target=lambda: seen.extend(call_ids(server, 12))) for _ in range(4)]
        for caller in callers:
            caller.start()
        wait_for(lambda: len(rows(tmp_path / "home")) > 0, "load")
        for victim, pid in server.children().items():
            if victim in victims:
                os.kill(pid, signal.SIGKILL)
        for caller in callers:
            caller.join()
        wait_for(lambda: server.ask("GET", "/health/ready")[0] == 200, "ready again")
        seen += call_ids(server, 1)
        assert len(seen) > 1
        wait_for(lambda: "running" not in rows(tmp_path / "home"), "every open call settled")
        found = rows(tmp_path / "home")
        assert found["ok"] >= len(seen)  # one more per client that was cut off after its call was booked
        assert sum(found.values()) <= 49


def test_everything_killed_at_once_is_settled_after_the_next_start(tmp_path: Path) -> None:
    with served(tmp_path / "home") as server:
        seen: list[str] = []
        callers = [threading.Thread(target=lambda: seen.extend(call_ids(server, 30))) for _ in range(4)]
        for caller in callers:
            caller.start()
        wait_for(lambda: len(rows(tmp_path / "home")) > 0, "load")
        pids = [*server.children().values(), server.process.pid]
        for pid in reversed(pids):
            os.kill(pid, signal.SIGKILL)
        for caller in callers:
            caller.join()
    with served(tmp_path / "home"):
        wait_for(lambda: "running" not in rows(tmp_path / "home"), "every open call settled")
        assert rows(tmp_path / "home").get("ok", 0) >= len(seen)
