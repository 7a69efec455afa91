"""Budgets of a real server: set by LiteLLM's fields, spent, kept over restarts and kills."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.processes import Served, served, wait_for

pytestmark = pytest.mark.xdist_group("processes")
MASTER = "sk-master-0000000000000000000000000000"
HELLO = {"model": "nova-pro", "max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}]}


def new_key(server: Served, **fields: object) -> str:
    status, body = server.ask("POST", "/key/generate", fields, key=MASTER)
    assert status == 200, body
    return str(json.loads(body)["key"])


def call(server: Served, key: str) -> tuple[int, str]:
    status, body = server.ask("POST", "/v1/chat/completions", HELLO, key=key)
    return status, body.decode()


def spend_all(server: Served, key: str) -> int:
    """Call until the budget refuses; how many calls passed."""
    for passed in range(500):
        status, text = call(server, key)
        if status != 200:
            assert status == 400 and "budget_exceeded" in text
            return passed
    raise AssertionError("the budget never refused")


def spend_of(server: Served, key: str) -> float:
    body = server.ask("GET", f"/key/info?key={key}", key=MASTER)[1]
    return float(json.loads(body)["info"]["spend"])


def explained(server: Served, key: str) -> dict[str, Any]:
    said = server.ask("POST", "/v1/sekisho/explain", {"model": "claude-sonnet-4-6", "max_tokens": 50}, key=key)[1]
    found: dict[str, Any] = json.loads(said)
    return found


def test_a_key_stops_at_its_budget_and_stays_stopped_after_restarts(tmp_path: Path) -> None:
    with served(tmp_path / "home", SEKISHO_MASTER_KEY=MASTER) as server:
        key = new_key(server, max_budget=0.01, budget_duration="30d")
        passed = spend_all(server, key)
        assert passed > 2
        for victim in ("call-1", "control"):
            os.kill(server.children()[victim], signal.SIGKILL)
            wait_for(lambda: server.ask("GET", "/key/list", key=MASTER)[0] == 200, "both planes again")
            assert call(server, key)[0] == 400
        wait_for(lambda: spend_of(server, key) > 0, "spend in the ledger")
        assert spend_of(server, key) <= 0.01
    with served(tmp_path / "home", SEKISHO_MASTER_KEY=MASTER) as server:
        assert call(server, key)[0] == 400
        status, _ = server.ask("POST", "/key/update", {"key": key, "max_budget": 0.02}, key=MASTER)
        assert status == 200
        assert call(server, key)[0] == 200
        spend_all(server, key)
        wait_for(lambda: spend_of(server, key) > 0.01, "more spend in the ledger")
        assert spend_of(server, key) <= 0.02
        limited = new_key(server, rpm_limit=2)  # in force at once
        assert [call(server, limited)[0] for _ in range(3)] == [200, 200, 429]
        wait_for(lambda: explained(server, limited)["live"], "the call process answers what it counts")
        (limit,) = explained(server, limited)["limits"]
        assert limit["used"] == {"requests": 2, "tokens": None, "parallel": None}
