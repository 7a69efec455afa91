"""Stopping and restarting under streams: what can end ends, what is cut off says so and is booked, nothing is left."""

import http.client
import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sekisho.clock import id_text
from sekisho.ledger.journal import Opened
from sekisho.ledger.journal_files import JournalReader
from tests.acceptance.processes import Served, served, wait_for
from tests.acceptance.test_processes import HELLO, ledger, load, make_calls

pytestmark = pytest.mark.xdist_group("processes")


@contextmanager
def streams(server: Served, *wishes: str) -> Iterator[list[bytes]]:
    """Streams that run while the block runs; afterwards what their clients got, in no order."""
    got: list[bytes] = []

    def ask(wish: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        body = HELLO | {"stream": True, "messages": [{"role": "user", "content": f"[[simulate: {wish}]] Hello"}]}
        connection.request("POST", "/v1/messages", json.dumps(body), {"Authorization": f"Bearer {server.key}"})
        got.append(connection.getresponse().read())
        connection.close()

    threads = [threading.Thread(target=ask, args=(wish,)) for wish in wishes]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(opened(server.home)) == len(wishes), "every stream opened")
    yield got
    for thread in threads:
        thread.join()


def opened(home: Path) -> set[str]:
    """The calls that are open, as the journal or, once it was drained, the ledger says."""
    reader = JournalReader(home / "journal")
    found = {
        id_text(record.call_id)
        for batch in reader.batches({})
        for record in batch.records
        if isinstance(record, Opened)
    }
    return found | set(ledger(home))


def journal_files(home: Path) -> list[str]:
    return [path.name for path in (home / "journal").iterdir()]


@pytest.mark.parametrize("how", (signal.SIGTERM, signal.SIGINT))
def test_streams_end_within_the_grace_time_and_the_journal_is_booked_to_its_end(tmp_path: Path, how: int) -> None:
    with served(tmp_path / "home") as server:
        with streams(server, "stall s=2", "slow_first_token s=2") as got:
            server.process.send_signal(how)
        assert server.stop() == 0
        assert len(got) == 2 and all(b"message_stop" in text for text in got)
        assert set(ledger(server.home).values()) == {"ok"} and journal_files(server.home) == []
    assert "Traceback" not in "\n".join(server.lines)


def test_streams_that_do_not_end_are_cut_off_told_and_booked(tmp_path: Path) -> None:
    with served(tmp_path / "home", SEKISHO_SHUTDOWN_GRACE_S="1") as server:
        with streams(server, "stall", "slow_first_token s=600") as got:
            server.process.send_signal(signal.SIGTERM)
        assert server.stop() == 0
        assert len(got) == 2 and all(b"Sekisho is stopping" in text and b"message_stop" not in text for text in got)
        assert list(ledger(server.home).values()) == ["interrupted"] * 2 and journal_files(server.home) == []
    assert "Traceback" not in "\n".join(server.lines)


def test_all_that_a_client_saw_is_in_the_ledger_when_the_server_has_stopped(tmp_path: Path) -> None:
    with served(tmp_path / "home") as server:
        with load(server, callers=4, calls=40) as seen:
            server.process.send_signal(signal.SIGTERM)
            server.stop()
        booked = ledger(server.home)
        assert len(seen) > 0 and {booked.get(call_id) for call_id in seen} == {"ok"}
        assert "running" not in booked.values() and journal_files(server.home) == []


def test_who_connects_while_the_call_process_restarts_only_waits(tmp_path: Path) -> None:
    with served(tmp_path / "home") as server:
        killed = server.children()["call-1"]
        os.kill(killed, signal.SIGKILL)
        wait_for(lambda: killed not in server.children().values(), "the call process is gone")
        assert len(make_calls(server, 3)) == 3
