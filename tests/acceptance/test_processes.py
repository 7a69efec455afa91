"""`sekisho serve` as an operator meets it: start, stop, restart, and processes that are killed."""

import json
import os
import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPException
from pathlib import Path

import pytest

from sekisho.clock import id_text
from tests.acceptance.control_plane import files_with, running_control_plane
from tests.acceptance.processes import Served, served, wait_for

pytestmark = pytest.mark.xdist_group("processes")
HELLO = {"model": "claude-sonnet-4-6", "max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}]}


def ledger(home: Path) -> dict[str, str]:
    """The status of every call in the ledger, by call id."""
    with closing(sqlite3.connect(f"file:{home / 'sekisho.db'}?mode=ro", uri=True)) as database:
        found = database.execute("select call.id, name.text from call join name on name.id = call.status").fetchall()
    return {id_text(call_id): status for call_id, status in found}


def make_calls(server: Served, calls: int) -> list[str]:
    """Make calls; the ids of those whose end this client saw."""
    seen = []
    for _ in range(calls):
        try:
            status, call_id, body = server.ask_for_id("POST", "/v1/messages", HELLO)
        except (OSError, HTTPException):
            continue
        if status == 200 and json.loads(body)["stop_reason"]:
            seen.append(call_id)
    return seen


@contextmanager
def load(server: Served, callers: int, calls: int) -> Iterator[list[str]]:
    """Calls in threads of their own while the block runs; afterwards the ids of those whose end a client saw."""
    seen: list[str] = []
    before = len(ledger(server.home))
    threads = [threading.Thread(target=lambda: seen.extend(make_calls(server, calls))) for _ in range(callers)]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(ledger(server.home)) > before + 2, "load")
    yield seen
    for thread in threads:
        thread.join()


def check_books(home: Path, seen: list[str]) -> None:
    """Every call whose end a client saw is booked as such, and none is left open."""

    def is_settled() -> bool:
        booked = ledger(home)
        return set(seen) <= set(booked) and "running" not in booked.values()

    wait_for(is_settled, "every call booked and settled")
    booked = ledger(home)
    assert len(set(seen)) == len(seen) > 0
    assert {booked.get(call_id) for call_id in seen} == {"ok"}


def test_the_first_start_gives_a_key_a_link_and_a_curl_that_work(tmp_path: Path) -> None:
    with served(tmp_path / "home") as server:
        text = "\n".join(server.lines)
        assert "simulator" in text and "curl" in text and server.key and server.link
        status, body = server.ask("POST", "/v1/chat/completions", HELLO)
        assert status == 200 and json.loads(body)["choices"][0]["message"]["content"]
        assert server.ask("GET", "/console/sign-in")[0] == 200
        assert server.ask("GET", server.link)[0] == 200
        assert (tmp_path / "home" / "run" / "address").read_text() == f"http://127.0.0.1:{server.port}\n"
        assert server.stop() == 0
    assert server.lines[-2:] == ["Ctrl-C stops.", "Sekisho has stopped."]  # a healthy run logs nothing
    assert not (tmp_path / "home" / "run" / "address").exists()


def test_without_credentials_it_serves_and_says_what_is_missing(tmp_path: Path) -> None:
    with served(tmp_path / "home", AWS_PROFILE="nobody") as server:
        text = "\n".join(server.lines)
        assert "Amazon Bedrock in us-east-1" in text and "credentials are missing (default)" in text
        status, body = server.ask("GET", "/health/ready")
        assert (status, json.loads(body)["missing_credentials"]) == (503, ["default"])
        assert server.ask("GET", "/health/live")[0] == 200


async def test_a_lost_pepper_is_not_replaced(tmp_path: Path) -> None:
    async with running_control_plane(tmp_path / "home"):
        pass
    pepper = tmp_path / "home" / "secrets" / "pepper"
    pepper.unlink()
    with pytest.raises(AssertionError, match="Restore it from your backup"), served(tmp_path / "home"):
        pass
    assert not pepper.exists()


async def test_what_an_operator_must_mend_ends_the_start_without_a_stack_trace(tmp_path: Path) -> None:
    async with running_control_plane(tmp_path / "home"):
        pass
    for ending in ("", "-wal", "-shm"):
        (tmp_path / "home" / f"sekisho.db{ending}").write_bytes(b"this is not a database" * 100)
    with pytest.raises(AssertionError, match="Sekisho cannot start") as refused, served(tmp_path / "home"):
        pass
    assert "database" in str(refused.value) and "Traceback" not in str(refused.value)


def test_a_home_too_deep_for_a_socket_is_refused(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 100)
    with pytest.raises(AssertionError, match="too long for a socket"), served(deep):
        pass


def test_the_second_start_knows_the_key_and_shows_none_for_it_is_nowhere_on_disk(tmp_path: Path) -> None:
    with served(tmp_path / "home") as first:
        key = first.key
        make_calls(first, 2)
    assert files_with(tmp_path / "home", key) == []
    with served(tmp_path / "home") as second:
        assert second.key == ""
        assert second.ask("POST", "/v1/messages", HELLO, key=key)[0] == 200


def test_two_servers_in_one_home_are_refused(tmp_path: Path) -> None:
    with served(tmp_path / "home"), pytest.raises(AssertionError, match="Another Sekisho"), served(tmp_path / "home"):
        pass


def test_a_killed_control_plane_stops_no_call_and_loses_no_row(tmp_path: Path) -> None:
    with served(tmp_path / "home") as server:
        os.kill(server.children()["control"], signal.SIGKILL)
        seen = make_calls(server, 5)
        assert len(seen) == 5
        wait_for(lambda: set(seen) <= set(ledger(server.home)), "five calls in the ledger")
        check_books(server.home, seen)


def test_what_a_client_saw_is_in_the_ledger_once_whoever_is_killed(tmp_path: Path) -> None:
    everything: list[str] = []
    with served(tmp_path / "home") as server:
        for victims in (("call-1",), ("control",), ("call-1", "control", "simulator")):
            with load(server, callers=4, calls=12) as seen:
                for victim, pid in server.children().items():
                    if victim in victims:
                        os.kill(pid, signal.SIGKILL)
            wait_for(lambda: server.ask("GET", "/health/ready")[0] == 200, "ready again")
            everything += [*seen, *make_calls(server, 1)]
            check_books(server.home, everything)


def test_everything_killed_at_once_is_settled_after_the_next_start(tmp_path: Path) -> None:
    with served(tmp_path / "home") as server, load(server, callers=4, calls=30) as seen:
        for pid in [server.process.pid, *server.children().values()]:
            os.kill(pid, signal.SIGKILL)
    with served(tmp_path / "home") as server:
        check_books(server.home, seen)
