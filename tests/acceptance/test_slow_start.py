"""`sekisho serve` whose control process needs long before it answers: waited for, and said so."""

import asyncio
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from tests.acceptance.processes import Served, heard, served
from tests.acceptance.test_processes import make_calls
from tests.servers import own_database

pytestmark = pytest.mark.xdist_group("processes and stores")
MIGRATING = "SELECT pg_advisory_lock(1397050185)"  # what a process that migrates holds
READING = "SELECT * FROM installation"  # in a transaction that stays open


@pytest.fixture
def url() -> Iterator[str]:
    with own_database(is_empty=True) as url:
        yield url


class Held:
    """Another session of the database, which holds what the control process needs."""

    def __init__(self, url: str, statement: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._connection = self._do(asyncpg.connect(url))
        self._do(self._connection.execute("BEGIN"))
        self._do(self._connection.execute(statement))

    def let_go(self) -> None:
        if not self._loop.is_closed():
            self._do(self._connection.close())
            self._loop.close()

    def _do(self, what):
        return self._loop.run_until_complete(what)


def waiting(held: Held, what: str, seconds: int, during: Callable[[Served], None]) -> Callable[[Served], None]:
    """Let go as soon as the start says that it has waited for `what` that long; `during` looks at it before."""

    def hear(server: Served) -> None:
        said = re.fullmatch(r"sekisho: Still starting after (\d+) s: (.*)\.", server.lines[-1])
        if said and what in said[2] and int(said[1]) >= seconds:
            server.port = int((server.home / "run" / "address").read_text().rpartition(":")[2])
            try:
                during(server)
            finally:
                server.port = 0
                held.let_go()

    return hear


def test_a_long_migration_is_waited_for_and_calls_are_told_to_try_again(tmp_path: Path, url: str) -> None:
    held = Held(url, MIGRATING)
    asked: list[int] = []

    def look(server: Served) -> None:
        asked.extend(server.ask("GET", path)[0] for path in ("/health/live", "/health/ready", "/console"))

    hear = waiting(held, "brings the database up to date", 25, look)
    try:
        with heard(tmp_path / "home", hear, SEKISHO_DATABASE_URL=url) as server:
            assert asked == [200, 503, 503] * (len(asked) // 3) != []  # each time that it was said
            assert make_calls(server, 1)
            assert not (tmp_path / "home" / "run" / "starting").exists()
    finally:
        held.let_go()


def test_books_that_are_added_up_again_are_waited_for_and_keys_are_known_meanwhile(tmp_path: Path, url: str) -> None:
    with served(tmp_path / "home", SEKISHO_DATABASE_URL=url, SEKISHO_TIME_ZONE="UTC") as first:
        key = first.key
    held = Held(url, READING)
    asked: list[int] = []

    def look(server: Served) -> None:
        asked.extend(server.ask("GET", "/v1/models", key=one)[0] for one in (key, "sk-unknown"))

    hear = waiting(held, "adds the days and months of the books up again", 5, look)
    options = {"SEKISHO_DATABASE_URL": url, "SEKISHO_TIME_ZONE": "Asia/Tokyo"}
    try:
        with heard(tmp_path / "home", hear, **options) as server:
            assert asked == [200, 401] * (len(asked) // 2) != []
            server.key = key
            assert make_calls(server, 1)
    finally:
        held.let_go()


def test_a_process_that_ends_again_and_again_is_not_waited_for(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "spool").touch()  # where a folder must be
    with pytest.raises(AssertionError, match="again and again; the lines above say why") as ended, served(home):
        pass
    assert str(ended.value).count("the call-1 process ended (1); starting it again") >= 3
