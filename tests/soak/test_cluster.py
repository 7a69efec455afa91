"""Durability "cluster" under kill -9: what a client saw is in PostgreSQL, exactly once."""

import random
import secrets
from pathlib import Path

import pytest

from tests.acceptance.processes import served, wait_for
from tests.acceptance.test_postgresql import ledger, load, rows
from tests.servers import own_database
from tests.soak.test_kills import kill

pytestmark = [pytest.mark.soak, pytest.mark.xdist_group("processes")]
KILLS = 30
DAYS = "select sum(calls)::bigint, sum(cost_nanousd)::bigint from spend_by_team where level = 2"
CALLS = "select count(*), sum(cost_nanousd)::bigint from call where duration_us is not null"


def check(url: str, seen: list[str]) -> None:
    """Nobody waits here: what a client saw is committed."""
    booked = ledger(url)
    assert {booked.get(call_id) for call_id in seen} <= {"ok"}
    assert len(set(seen)) == len(seen)


def test_killed_under_load(tmp_path: Path) -> None:
    lot = random.Random(3)
    seen: list[str] = []
    with own_database() as url:
        settings = {
            "SEKISHO_DATABASE_URL": url,
            "SEKISHO_JOURNAL_DURABILITY": "cluster",
            "SEKISHO_PEPPER": secrets.token_hex(32),
        }
        key = ""
        for number in range(KILLS):
            with served(tmp_path / "home", **settings) as server:
                key = server.key = server.key or key
                before = len(ledger(url))
                with load(server, url) as round_:
                    wait_for(lambda: len(ledger(url)) > before + lot.randrange(20), "some calls")  # noqa: B023
                    kill(server, number)
                seen += round_
                check(url, seen)
        with served(tmp_path / "home", **settings):
            wait_for(lambda: "running" not in ledger(url).values(), "every call settled")
        check(url, seen)
        assert len(seen) > KILLS and rows(url, DAYS) == rows(url, CALLS)
    print(f"{KILLS} kills, {len(seen)} calls seen to their end: none lost, none twice")
