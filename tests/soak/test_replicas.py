"""Several machines on one PostgreSQL: one that is cut off, and how fast a revocation is in force on all."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.acceptance.processes import Served, wait_for
from tests.acceptance.test_postgresql import ledger, rows
from tests.acceptance.test_processes import HELLO
from tests.acceptance.test_replicas import machines

pytestmark = [pytest.mark.soak, pytest.mark.xdist_group("processes")]
ROUNDS = 20
STALLED = {
    "model": "claude-sonnet-4-6",
    "max_tokens": 50,
    "stream": True,
    "messages": [{"role": "user", "content": "[[simulate: stall s=20]] Hello"}],
}


def seconds_until_refused(server: Served, key: str) -> float:
    """Ask this machine again and again, each time for something small, until it knows no such key."""
    began_s = time.monotonic()
    while server.ask("POST", "/v1/messages/count_tokens", HELLO, key=key)[0] != 401:
        assert time.monotonic() < began_s + 10
    return time.monotonic() - began_s


def test_a_revocation_is_in_force_on_three_machines_within_a_second(tmp_path: Path) -> None:
    with machines(tmp_path, 3) as three, ThreadPoolExecutor(3) as asking:
        took_s = []
        for turn in range(ROUNDS):
            made = three.admin("POST", "/admin/v1/keys", {"alias": f"key {turn}"})
            wait_for(lambda: three.statuses(made["key"]) == [200] * 3, "a new key works everywhere", 10)  # noqa: B023
            refused = [asking.submit(seconds_until_refused, server, made["key"]) for server in three.servers]
            three.admin("POST", f"/admin/v1/keys/{made['id']}/block", at=turn % 3)
            took_s.append(max(one.result() for one in refused))
            assert three.statuses(made["key"]) == [401] * 3
    print("revoked on three machines, ms:", sorted(round(one * 1000) for one in took_s))
    assert max(took_s) < 1


def test_a_machine_that_cannot_confirm_closes_its_calls_are_settled_and_it_comes_back(tmp_path: Path) -> None:
    with machines(tmp_path, 2, SEKISHO_CONFIRM_TIMEOUT_S="2", SEKISHO_LOST_AFTER_S="5") as two:
        key = two.admin("POST", "/admin/v1/keys", {"alias": "alice"})["key"]
        wait_for(lambda: two.statuses(key) == [200, 200], "a key works everywhere", 10)
        with ThreadPoolExecutor() as threads:
            stream = threads.submit(two.servers[1].ask, "POST", "/v1/messages", STALLED, key)
            wait_for(lambda: "running" in ledger(two.url).values(), "a stream under way", 10)
            control = two.servers[1].children()["control"]
            os.kill(control, signal.SIGSTOP)
            try:
                wait_for(lambda: two.statuses(key) == [200, 503], "the machine that is cut off refuses", 20)
                assert two.servers[1].ask("GET", "/health/ready")[0] == 503
                wait_for(lambda: "interrupted" in ledger(two.url).values(), "its call settled by the other", 30)
                bound = "select cost_nanousd, reserved_nanousd from call where cost_nanousd = reserved_nanousd"
                assert len(rows(two.url, bound)) == 1
            finally:
                os.kill(control, signal.SIGCONT)
            wait_for(lambda: two.statuses(key) == [200, 200], "it serves again", 30)
            status, said = stream.result(60)
            assert status == 200 and b"message_stop" in said
        wait_for(lambda: not {"running", "interrupted"} & set(ledger(two.url).values()), "the true end booked", 20)
        assert rows(two.url, bound) == []
        days = "select sum(cost_nanousd)::bigint from spend_by_team where level = 2"
        assert rows(two.url, days) == rows(two.url, "select sum(cost_nanousd)::bigint from call")
