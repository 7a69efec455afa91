"""Several call processes that count together in a Valkey, as an operator runs them."""

import json
import os
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.acceptance.processes import Served, served, wait_for
from tests.acceptance.test_budgets_restart import MASTER, call, new_key, spend_of
from tests.servers import own_valkey, valkey_url

pytestmark = pytest.mark.xdist_group("processes and stores")
THREE = {"SEKISHO_MASTER_KEY": MASTER, "SEKISHO_CALL_PROCESSES": "3"}


def calls_at_once(server: Served, key: str, calls: int, threads: int = 40) -> Counter[int]:
    """Statuses of that many calls, as many at a time as there are threads."""
    with ThreadPoolExecutor(threads) as pool:
        return Counter(status for status, _ in pool.map(lambda _: call(server, key), range(calls)))


def spread(server: Served, asked: int) -> Counter[str]:
    """Which processes answered so many new connections."""
    answers = (json.loads(server.ask("GET", "/health/ready")[1]) for _ in range(asked))
    return Counter(answer["process"].partition(".")[0] for answer in answers)


def test_three_processes_spend_no_more_than_the_budget_together(tmp_path: Path) -> None:
    with served(tmp_path / "home", **THREE, SEKISHO_VALKEY_URL=valkey_url()) as server:
        assert {"call-1", "call-2", "call-3"} <= server.children().keys()
        status, body = server.ask("GET", "/admin/v1/status", key=MASTER)
        said = json.loads(body)
        assert status == 200
        assert sorted(name.partition(".")[0] for name in said["processes"]) == ["call-1", "call-2", "call-3"]
        assert said["counters"] == {
            "engine": "valkey",
            "address": valkey_url() + "/0",
            "failure": "",
            "budgets_fail_mode": "closed",
            "limits_fail_mode": "closed",
        }
        key = new_key(server, max_budget=0.01, budget_duration="30d")
        seen = calls_at_once(server, key, 200)
        assert set(seen) == {200, 400}
        wait_for(lambda: spend_of(server, key) > 0, "spend in the ledger")
        assert spend_of(server, key) <= 0.01
        print(spread(server, 300))
        let_somebody_leave(server)


def let_somebody_leave(server: Served) -> None:
    """A person whom the directory turns off: when it has its answer, no process takes the person's key any more."""
    status, body = server.ask("POST", "/scim/v2/Users", {"userName": "alice@example.com"}, MASTER)
    assert status == 201, body
    key = new_key(server, user_id="alice@example.com")
    assert calls_at_once(server, key, 12, threads=12) == {200: 12}
    change = {"Operations": [{"op": "replace", "value": {"active": False}}]}
    before = time.monotonic()
    assert server.ask("PATCH", f"/scim/v2/Users/{json.loads(body)['id']}", change, MASTER)[0] == 200
    print(f"a leaver's key is dead in {time.monotonic() - before:.3f} s")
    assert calls_at_once(server, key, 30, threads=30) == {401: 30}


def test_calls_pass_again_after_a_process_was_killed_and_nothing_stays_reserved(tmp_path: Path) -> None:
    with served(tmp_path / "home", **THREE, SEKISHO_VALKEY_URL=valkey_url()) as server:
        key = new_key(server, max_budget=1, budget_duration="30d", max_parallel_requests=1000)
        for victim in ("call-2", "control"):
            with ThreadPoolExecutor(1) as pool:
                load = pool.submit(lambda: [attempt(server, key) for _ in range(60)])
                os.kill(server.children()[victim], signal.SIGKILL)
                seen = Counter(load.result())
            assert seen[200] > 0
            wait_for(lambda: call(server, key)[0] == 200, "calls pass again")


def attempt(server: Served, key: str) -> int:
    """The status of a call; 0 when its process died."""
    try:
        return call(server, key)[0]
    except OSError:
        return 0


def test_a_budget_holds_while_the_store_is_killed_and_comes_back_empty(tmp_path: Path) -> None:
    with own_valkey() as (url, store), served(tmp_path / "home", **THREE, SEKISHO_VALKEY_URL=url) as server:
        key = new_key(server, max_budget=0.02, budget_duration="30d")
        free = new_key(server)
        assert call(server, key)[0] == 200
        stop = threading.Event()
        seen: Counter[int] = Counter()

        def work() -> None:
            while not stop.is_set():
                seen[attempt(server, key)] += 1

        with ThreadPoolExecutor(8) as pool:
            workers = [pool.submit(work) for _ in range(8)]
            store.kill()
            store.wait()
            wait_for(lambda: seen[503] > 8, "hard budgets fail closed")
            assert call(server, free)[0] == 200
            with own_valkey(port=int(url.rpartition(":")[2])):
                passed = seen[200]
                wait_for(lambda: seen[200] > passed or seen[400] > 0, "calls pass again")
                wait_for(lambda: seen[400] > 0, "the budget is used up")
                stop.set()
                for worker in workers:
                    worker.result()
                assert spend_of(server, key) <= 0.02


def test_several_processes_without_a_store_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="call_processes above 1 needs valkey_url"):
        with served(tmp_path / "home", **THREE):
            pass
