"""kill -9, a hundred times: no call is lost, none is booked twice."""

import asyncio
import os
import random
import signal
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from sekisho.clock import SystemClock, parse_id
from sekisho.ledger.drain import Drain
from sekisho.ledger.journal_files import JournalReader
from sekisho.store.sql.engine import Database, sqlite_url
from sekisho.store.sql.ledger import SqlLedger
from sekisho.store.sql.migrate import migrate
from sekisho.store.sql.names import Names
from sekisho.store.sql.tables.ledger import call, journal_offset, running_call, spend_by_all
from tests.acceptance.processes import Served, served, wait_for
from tests.acceptance.test_processes import check_books, ledger, load

pytestmark = pytest.mark.soak
KILLS = 100
COST = 1_000

# Opens and settles calls as fast as it can, and says each call's id once its settlement is in the journal.
WRITER = """
import os, sys
from pathlib import Path
from sekisho.clock import SystemClock, id_text, new_id
from sekisho.ledger.journal import Caller, Opened, Settled
from sekisho.ledger.journal_files import JournalWriter
from sekisho.values import Usage

clock, caller, cost = SystemClock(), Caller("default", "key", "alice"), int(sys.argv[3])
writer = JournalWriter(Path(sys.argv[1]), sys.argv[2], segment_bytes=20_000)
while True:
    at = clock.now_us()
    call_id = new_id(at)
    writer.append(Opened(call_id, at, caller, "openai_chat", "m", True, 1, 5_000))
    writer.append(
        Settled(call_id, at, "ok", "end_turn", "", "", True, False, Usage(1), cost, cost, (), 0, 0, ())
    )
    os.write(1, id_text(call_id).encode() + b"\\n")
"""


async def test_a_writer_killed_in_mid_append_loses_and_doubles_nothing(tmp_path: Path) -> None:
    lot = random.Random(1)
    journal = tmp_path / "journal"
    database = Database(sqlite_url(tmp_path / "sekisho.db"))
    await migrate(database)
    drain = Drain(JournalReader(journal), SqlLedger(database, Names(database)), SystemClock())
    confirmed: set[bytes] = set()
    for number in range(KILLS):
        writer = await asyncio.create_subprocess_exec(
            sys.executable, "-c", WRITER, str(journal), f"call-{number}", str(COST), stdout=asyncio.subprocess.PIPE
        )
        assert writer.stdout is not None
        said = await writer.stdout.readexactly(lot.randrange(1, 20_000))
        await drain.drain_once()  # while it lives
        writer.kill()
        said += await writer.stdout.read()
        await writer.wait()
        confirmed |= {parse_id(line.decode()) for line in said.split(b"\n") if len(line) == 26}
        await drain.drain_once()
    async with database.read() as connection:
        booked = {found[0]: found[1] for found in await connection.execute(sa.select(call.c.id, call.c.cost_nanousd))}
        sums = spend_by_all.c
        query = sa.select(sums.level, sa.func.sum(sums.calls), sa.func.sum(sums.cost_nanousd)).group_by(sums.level)
        levels = (await connection.execute(query)).all()
        left = [
            (await connection.execute(sa.select(sa.func.count()).select_from(table))).scalar_one()
            for table in (running_call, journal_offset)
        ]
    await database.close()
    assert len(confirmed) > KILLS and confirmed <= set(booked)
    assert {booked[call_id] for call_id in confirmed} == {COST}
    assert len(set(booked) - confirmed) <= 2 * KILLS  # the call that was cut, and one whose id was not said any more
    assert {(count, cost) for _, count, cost in levels} == {(len(booked), sum(booked.values()))}
    assert left == [0, 0] and list(journal.iterdir()) == [] and drain.damaged == {}


def test_a_server_killed_under_load_loses_and_doubles_nothing(tmp_path: Path) -> None:
    lot = random.Random(2)
    key = ""
    seen: list[str] = []
    for number in range(KILLS):
        with served(tmp_path / "home") as server:
            key = server.key = server.key or key
            before = len(ledger(server.home))
            with load(server, callers=4, calls=15) as round_:
                wait_for(lambda: len(ledger(server.home)) > before + lot.randrange(20), "some calls")  # noqa: B023
                kill(server, number)
            seen += round_
    with served(tmp_path / "home") as server:
        check_books(server.home, seen)
        assert len(set(seen)) == len(seen) > KILLS


def kill(server: Served, number: int) -> None:
    """By turns: everything at once, the call process, the control process."""
    children = server.children()
    victims = ([server.process.pid, *children.values()], [children.get("call-1")], [children.get("control")])
    for pid in victims[number % 3]:
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
