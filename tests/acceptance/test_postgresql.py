"""`sekisho serve` on PostgreSQL: real processes, a database of its own, calls through the simulator."""

import asyncio
import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from sekisho.clock import id_text
from tests.acceptance.processes import Served, served, wait_for
from tests.acceptance.test_processes import HELLO, make_calls
from tests.servers import own_database, postgres_server

pytestmark = pytest.mark.xdist_group("processes and stores")


@pytest.fixture
def url() -> Iterator[str]:
    with own_database() as url:
        yield url


def rows(url: str, query: str) -> list[tuple]:
    """What PostgreSQL itself says, asked with its own driver."""

    async def ask() -> list[tuple]:
        connection = await asyncpg.connect(url)
        try:
            return [tuple(row) for row in await connection.fetch(query)]
        finally:
            await connection.close()

    return asyncio.run(ask())


def ledger(url: str) -> dict[str, str]:
    """The status of every call in the ledger, by call id."""
    query = "select call.id, name.text from call join name on name.id = call.status"
    return {id_text(call_id): status for call_id, status in rows(url, query)}


@pytest.fixture
def empty_url() -> Iterator[str]:
    with own_database(is_empty=True) as url:
        yield url


def test_a_call_is_booked_a_budget_refuses_and_a_restart_knows_all_of_it(tmp_path: Path, empty_url: str) -> None:
    url = empty_url
    with served(tmp_path / "home", SEKISHO_DATABASE_URL=url) as server:
        seen = make_calls(server, 2)
        wait_for(lambda: set(ledger(url).values()) == {"ok"} and set(seen) <= set(ledger(url)), "two calls booked")
        status, listed = server.ask("GET", "/v1/sekisho/status")
        assert (status, json.loads(listed)["today"]["calls"]) == (200, 2)
    assert not (tmp_path / "home" / "sekisho.db").exists()
    spent = rows(url, "select sum(cost_nanousd)::bigint from call")[0][0]
    assert spent == rows(url, "select sum(cost_nanousd)::bigint from spend_by_team where level = 2")[0][0] > 0
    master = {"SEKISHO_DATABASE_URL": url, "SEKISHO_MASTER_KEY": "sk-master-of-this-test"}
    with served(tmp_path / "home", **master) as again:
        again.key = server.key
        assert make_calls(again, 1)
        budget = {"scope": {"kind": "org", "id": "default"}, "amount_usd": "0.000001", "window": {"kind": "day"}}
        status, said = again.ask("POST", "/admin/v1/budgets", budget, key="sk-master-of-this-test")
        assert status == 201, said
        status, said = again.ask("POST", "/v1/messages", HELLO)
        assert status == 400 and b"budget" in said


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://alice:open-sesame@127.0.0.1:1/sekisho", "127.0.0.1:1/sekisho cannot be reached"),
        ("mysql://alice:open-sesame@127.0.0.1/sekisho", "database_url must look like postgresql://"),
    ],
)
def test_a_database_that_cannot_be_used_is_named_without_its_password(tmp_path: Path, url: str, said: str) -> None:
    with pytest.raises(AssertionError) as caught, served(tmp_path / "home", SEKISHO_DATABASE_URL=url):
        pass
    assert said in str(caught.value)
    assert "open-sesame" not in str(caught.value) and "Traceback" not in str(caught.value)


@contextmanager
def load(server: Served, url: str, calls: int = 12) -> Iterator[list[str]]:
    """Calls in threads of their own while the block runs; afterwards the ids of those whose end a client saw."""
    seen: list[str] = []
    before = len(ledger(url))
    threads = [threading.Thread(target=lambda: seen.extend(make_calls(server, calls))) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(ledger(url)) > before + 2, "load")
    yield seen
    for thread in threads:
        thread.join()


def test_at_the_level_cluster_what_a_client_saw_is_in_postgresql_already(tmp_path: Path, url: str) -> None:
    everything: list[str] = []
    with served(tmp_path / "home", SEKISHO_DATABASE_URL=url, SEKISHO_JOURNAL_DURABILITY="cluster") as server:
        for victims in (("call-1",), ("control",), ("call-1", "control", "simulator")):
            with load(server, url) as seen:
                for victim, pid in server.children().items():
                    if victim in victims:
                        os.kill(pid, signal.SIGKILL)
            booked = ledger(url)  # nobody has waited for anything
            assert seen and {booked.get(call_id) for call_id in seen} == {"ok"}
            wait_for(lambda: server.ask("GET", "/health/ready")[0] == 200, "ready again")
            everything += [*seen, *make_calls(server, 1)]
            wait_for(lambda: "running" not in ledger(url).values(), "every call settled")
    assert_booked_once(url)
    assert len(set(everything)) == len(everything)


def test_postgresql_may_cut_all_connections_again_and_again_and_then_refuse_new_ones(tmp_path: Path, url: str) -> None:
    with served(tmp_path / "home", SEKISHO_DATABASE_URL=url, SEKISHO_JOURNAL_DURABILITY="cluster") as server:
        control = server.children()["control"]
        with load(server, url, calls=30) as seen:
            assert sum(cut_connections(url) for _ in range(8)) > 8
            with refused_connections(url):
                rows(beside(url)[0], "select pg_sleep(1)")
        seen += make_calls(server, 1)
        wait_for(lambda: "running" not in ledger(url).values(), "every call settled")
        assert {ledger(url).get(call_id) for call_id in seen} == {"ok"}
        assert server.children()["control"] == control  # it has lived through all of it
    assert_booked_once(url)
    assert len(set(seen)) == len(seen) > 0


def assert_booked_once(url: str) -> None:
    """The sums are those of the calls, each counted once."""
    (totals,) = rows(url, "select count(*), sum(cost_nanousd)::bigint from call where duration_us is not null")
    summed = "select sum(calls)::bigint, sum(cost_nanousd)::bigint from spend_by_team where level = 2"
    assert totals == rows(url, summed)[0]


def beside(url: str) -> tuple[str, str]:
    """The URL of the server's own database, and the name of the one in `url`."""
    before, after = postgres_server()
    return f"postgresql{before}postgres{after}", urlsplit(url).path.strip("/")


def cut_connections(url: str) -> int:
    """Let the server cut all connections to the database, then give it 0.2 s; how many there were."""
    server, name = beside(url)
    cut = rows(server, f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'")
    rows(server, "select pg_sleep(0.2)")
    return len(cut)


@contextmanager
def refused_connections(url: str) -> Iterator[None]:
    """What a server that restarts looks like: all connections are cut and nobody gets a new one in the block."""
    server, name = beside(url)
    rows(server, f"alter database {name} allow_connections false")
    try:
        cut_connections(url)
        yield
    finally:
        rows(server, f"alter database {name} allow_connections true")


def test_at_the_level_cluster_a_call_fails_closed_while_the_control_process_is_stopped(
    tmp_path: Path, url: str
) -> None:
    with served(tmp_path / "home", SEKISHO_DATABASE_URL=url, SEKISHO_JOURNAL_DURABILITY="cluster") as server:
        assert len(make_calls(server, 1)) == 1
        control = server.children()["control"]
        os.kill(control, signal.SIGSTOP)
        try:
            status, said = server.ask("POST", "/v1/messages", HELLO)
            assert (status, json.loads(said)["error"]["type"]) == (503, "overloaded_error")
        finally:
            os.kill(control, signal.SIGCONT)
        assert len(make_calls(server, 1)) == 1
        wait_for(lambda: sorted(ledger(url).values()) == ["failed", "ok", "ok"], "the refused call booked as failed")
    assert rows(url, "select cost_nanousd from call join name on name.id = call.status where text = 'failed'") == [(0,)]
