"""Budgets and limits with real processes under load: what a promise of whole numbers must survive.

Every call goes through `sekisho serve` and its simulator. What was admitted is checked against what the ledger booked.
"""

import json
import os
import random
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.processes import Served, served, wait_for
from tests.acceptance.test_budgets_restart import MASTER, call, new_key, spend_of
from tests.servers import free_port, own_valkey, valkey_url

pytestmark = [pytest.mark.soak, pytest.mark.xdist_group("processes")]
HELLO = {"model": "nova-pro", "max_tokens": 400, "messages": [{"role": "user", "content": "Hello"}]}


@contextmanager
def running(home: Path, processes: int, url: str = "") -> Iterator[Served]:
    """A server with so many call processes."""
    shared = {"SEKISHO_VALKEY_URL": url or valkey_url()} if processes > 1 else {}
    with served(home, SEKISHO_MASTER_KEY=MASTER, SEKISHO_CALL_PROCESSES=str(processes), **shared) as server:
        yield server


def attempt(server: Served, key: str) -> int:
    """The status of a call; 0 when its process died."""
    try:
        return call(server, key)[0]
    except OSError:
        return 0


def leave_early(server: Served, key: str, chance: random.Random) -> None:
    """Send a streamed call and hang up at some moment."""
    body = json.dumps(HELLO | {"stream": True}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as line:
        line.sendall(head.encode() + body)
        line.settimeout(chance.choice((0.001, 0.005, 0.02)))
        try:
            line.recv(chance.choice((1, 200, 5_000)))
        except TimeoutError:
            pass


def bound_of_a_call(server: Served) -> float:
    """The most that such a call reserved, in USD: a refusal with more room than that would be a false one."""
    status, body = server.ask("GET", "/admin/v1/calls?limit=500", key=MASTER)
    assert status == 200, body
    return float(max(one["reserved_nanousd"] for one in json.loads(body)["calls"])) / 1e9


def drained(server: Served) -> bool:
    """Whether the ledger has all that the journals hold."""
    status, body = server.ask("GET", "/admin/v1/status", key=MASTER)
    return status == 200 and json.loads(body)["journal_lag_bytes"] == 0


@pytest.mark.parametrize("processes", [1, 3])
def test_200_at_once_on_one_dollar(tmp_path: Path, processes: int) -> None:
    with running(tmp_path / "home", processes) as server:
        key = new_key(server, max_budget=1, budget_duration="30d")
        seen: Counter[int] = Counter()
        while not seen[400]:
            with ThreadPoolExecutor(200) as pool:
                seen.update(pool.map(lambda _: attempt(server, key), range(2_000)))
            assert set(seen) <= {200, 400}, seen
        wait_for(lambda: drained(server), "the ledger has all")
        print(processes, "processes:", dict(seen), "spent", spend_of(server, key))
        assert spend_of(server, key) <= 1
        while attempt(server, key) == 200:  # what the others held has come back
            pass
        wait_for(lambda: drained(server), "the ledger has all")
        print("at the end", spend_of(server, key), "bound", bound_of_a_call(server))
        assert 1 - bound_of_a_call(server) < spend_of(server, key) <= 1


@pytest.mark.parametrize("processes", [1, 3])
def test_cancelled_calls_leave_nothing_reserved(tmp_path: Path, processes: int) -> None:
    calls = int(os.environ.get("SEKISHO_SOAK_CANCELS", "10000"))
    with running(tmp_path / "home", processes) as server:
        key = new_key(server, max_budget=1_000, budget_duration="30d", max_parallel_requests=200)
        chance = random.Random(7)
        with ThreadPoolExecutor(50) as pool:
            for _ in pool.map(lambda _: leave_early(server, key, chance), range(calls)):
                pass
        wait_for(lambda: drained(server), "the ledger has all", 120)
        time.sleep(2)
        spent = spend_of(server, key)
        print(processes, "processes:", calls, "cancelled calls cost", spent)
        # slots: as many at once as the limit allows pass; money: the rest of the budget is free to the last cent
        server.ask(
            "POST", "/key/update", {"key": key, "max_budget": spent + 0.02, "max_parallel_requests": 3}, key=MASTER
        )
        assert attempt(server, key) == 200
        wait_for(lambda: drained(server), "the ledger has all")
        assert spend_of(server, key) <= spent + 0.02


def test_kills_of_processes_and_of_the_store_never_overspend(tmp_path: Path) -> None:
    port = free_port()
    stop = threading.Event()
    seen: Counter[int] = Counter()
    with own_valkey(port=port) as (url, _), running(tmp_path / "home", 3, url) as server:
        key = new_key(server, max_budget=1.5, budget_duration="30d")

        def work() -> None:
            while not stop.is_set():
                seen[attempt(server, key)] += 1

        chance = random.Random(11)
        with ThreadPoolExecutor(24) as pool:
            workers = [pool.submit(work) for _ in range(24)]
            for turn in range(8):
                time.sleep(2)
                victim = chance.choice(("call-1", "call-2", "call-3", "control", "store", "store"))
                if victim == "store":
                    flush(port)
                else:
                    os.kill(server.children()[victim], signal.SIGKILL)
                print(turn, victim, dict(seen), spend_of_or_nothing(server, key))
            stop.set()
            for worker in workers:
                worker.result()
        wait_for(lambda: drained(server), "the ledger has all")
        while attempt(server, key) not in (400,):
            pass
        wait_for(lambda: drained(server), "the ledger has all")
        print(dict(seen), spend_of(server, key))
        assert 1.5 - 2 * bound_of_a_call(server) < spend_of(server, key) <= 1.5
        assert seen[200] > 100


def flush(port: int) -> None:
    """The store forgets everything, and every connection to it breaks."""
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(b"FLUSHALL\r\nCLIENT KILL TYPE normal SKIPME yes\r\n")
        line.recv(100)


def spend_of_or_nothing(server: Served, key: str) -> float | None:
    try:
        return spend_of(server, key)
    except (OSError, KeyError, ValueError):
        return None


def test_a_limit_lets_its_number_pass_each_minute_at_three_processes(tmp_path: Path) -> None:
    allowed, rate = 3_000, 100
    with running(tmp_path / "home", 3) as server:
        key = new_key(server, rpm_limit=allowed)
        passed: list[float] = []
        waits: Counter[int] = Counter()
        lock = threading.Lock()

        def one(_: int) -> None:
            started = time.monotonic()
            status, headers = ask(server, key)
            with lock:
                if status == 200:
                    passed.append(started)
                else:
                    assert status == 429, status
                    waits[int(headers["retry-after"])] += 1

        began = time.monotonic()
        with ThreadPoolExecutor(60) as pool:
            number = 0
            while time.monotonic() < began + 125:
                pool.submit(one, number)
                number += 1
                time.sleep(max(0.0, began + number / rate - time.monotonic()))
        inside = [sum(start <= at < start + 60 for at in passed) for start in (began, began + 30, began + 60)]
        print("asked", number, "passed", len(passed), "in windows of a minute", inside, "waits", min(waits), max(waits))
        assert all(count <= allowed * 1.01 for count in inside)
        assert inside[0] >= allowed * 0.99
        assert all(1 <= wait <= 59 for wait in waits)


def ask(server: Served, key: str) -> tuple[int, dict[str, str]]:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        connection.request("POST", "/v1/chat/completions", json.dumps(HELLO), headers)
        response = connection.getresponse()
        response.read()
        return response.status, {name.lower(): value for name, value in response.getheaders()}
    finally:
        connection.close()
