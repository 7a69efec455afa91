"""The days of the sums are those of the books, also when these move to another time zone."""

import asyncio

import pytest

from sekisho.app.control_plane import ControlPlaneSettings, open_control_plane
from sekisho.clock import SystemClock
from sekisho.ledger.journal import Caller, Opened, Record, Settled
from sekisho.ledger.journal_files import Batch, Segment
from sekisho.store.sql.book_days import hours_ahead, keep_days_of
from sekisho.store.sql.cells import read_calendar
from sekisho.store.sql.engine import Database, sqlite_url
from sekisho.store.sql.ledger import SqlLedger
from sekisho.store.sql.names import Names
from sekisho.values import Usage
from tests.contract.store.cells import cells_kept, cells_of_calls

NOW = 1_763_035_200_000_000
HOUR_US = 3_600_000_000


def batch(number: int) -> Batch:
    """Calls of every hour of two days, around the end of a month."""
    records: list[Record] = []
    for hour in range(48):
        at = NOW + (17 * 24 + hour) * HOUR_US
        call_id = (at // 1000).to_bytes(6, "big") + (number * 100 + hour).to_bytes(10, "big")
        caller = Caller("default", f"key-{number % 3}", "alice", "red", ("x", "y")[: number % 3], "cline")
        records.append(Opened(call_id, at, caller, "openai_chat", "claude", False, 10, 5))
        records.append(
            Settled(call_id, at + 9, "ok", None, "", "", True, False, Usage(1, 2, 3, 4, 5, 1), 5, 4, (), 1, 1, ())
        )
    return Batch(Segment(f"p{number}", 1), 1, tuple(records))


async def test_calls_booked_while_the_days_move_are_in_the_right_cells(database):
    """Two control processes book while a third moves the books to and fro."""
    ledgers = [SqlLedger(database, Names(database)) for _ in range(2)]

    async def book(ledger: SqlLedger, first: int) -> None:
        for number in range(first, first + 12):
            await ledger.apply(batch(number))

    async def move() -> None:
        for zone in ("Asia/Tokyo", "America/New_York", "Asia/Tokyo", "UTC", "Asia/Tokyo"):
            await keep_days_of(database, zone)
            await asyncio.sleep(0.02)

    await asyncio.gather(book(ledgers[0], 0), book(ledgers[1], 100), move())
    assert await cells_kept(database) == await cells_of_calls(database)
    async with database.read() as connection:
        assert (await read_calendar(connection)).ahead_h == 9


@pytest.mark.parametrize(
    ("zone", "ahead_h"),
    [
        ("UTC", 0),
        ("Asia/Tokyo", 9),
        ("Asia/Kolkata", 5),
        ("America/New_York", -5),
        ("America/St_Johns", -4),
        ("Australia/Sydney", 10),
        ("Pacific/Kiritimati", 14),
    ],
)
def test_the_hours_ahead_are_those_of_winter(zone, ahead_h):
    assert hours_ahead(zone) == ahead_h


async def test_a_control_process_with_another_time_zone_moves_the_books(tmp_path):
    clock = SystemClock()
    for zone, ahead_h in (("UTC", 0), ("Asia/Tokyo", 9), ("Asia/Tokyo", 9)):
        plane = await open_control_plane(tmp_path, ControlPlaneSettings(models=tuple, time_zone=zone), clock)
        try:
            database = Database(sqlite_url(tmp_path / "sekisho.db"))
            async with database.read() as connection:
                assert (await read_calendar(connection)).ahead_h == ahead_h
            await SqlLedger(database, Names(database)).apply(batch(ahead_h))
            assert await cells_kept(database) == await cells_of_calls(database)
            await database.close()
        finally:
            await plane.close()
