"""Makes the days and months of the roll-ups those of the books: adds them up again when the books change time zone.

Whatever the cells are, every sum is exact; in the books' own time zone it is also quick.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.store.sql.cells import QUARTER_US, Calendar, Level, read_calendar
from sekisho.store.sql.engine import Database
from sekisho.store.sql.roll_ups import DAILY, MEASURES, STEPS, RollUp, Step
from sekisho.store.sql.tables.schema import installation

_SOME_YEAR: Final = 2026  # in which every zone of today has the hours that it keeps


async def keep_days_of(database: Database, time_zone: str) -> None:
    """From now on days and months begin as in this time zone. Calls that are being booked and questions wait meanwhile.

    On ten million calls it takes some minutes; where nothing changes, nothing is done."""
    ahead_h = hours_ahead(time_zone)
    async with database.read() as connection:
        if (await read_calendar(connection)).ahead_h == ahead_h:
            return
    async with database.patient() as patient, patient.write() as connection:
        if not patient.is_sqlite:  # everybody who numbers cells has read this table first
            await connection.execute(sa.text("LOCK TABLE installation IN ACCESS EXCLUSIVE MODE"))
        if (await read_calendar(connection)).ahead_h == ahead_h:  # another process was faster
            return
        await connection.execute(installation.update().values(ahead_h=ahead_h))
        for step in STEPS:
            if step.level in DAILY:
                await _add_up(connection, step, Calendar(ahead_h))


def hours_ahead(time_zone: str) -> int:
    """Whole hours that a time zone is ahead of UTC in winter; one half an hour beside them is taken for the lesser."""
    zone = ZoneInfo(time_zone)
    offsets = [datetime(_SOME_YEAR, month, 1, tzinfo=UTC).astimezone(zone).utcoffset() for month in (1, 7)]
    return min(int(one.total_seconds() // 3600) for one in offsets if one is not None)


async def _add_up(connection: AsyncConnection, step: Step, calendar: Calendar) -> None:
    """Add up the cells of one level again, one number after the other: to sort all at once takes many times longer."""
    assert step.source is not None  # days are made of hours or of days
    table, (source, finer) = step.roll_up.table, step.source
    dimensions = [f'"{name}"' for name in step.roll_up.dimensions]
    columns = ", ".join(["org", "level", "bucket", *dimensions, *MEASURES])
    sums = ", ".join(f"sum({measure})" for measure in MEASURES)
    add_up = sa.text(
        f"INSERT INTO {table.name} ({columns}) SELECT org, {int(step.level)}, CAST(:number AS INTEGER), "
        f"{', '.join(dimensions)}, {sums} FROM {source.table.name} "
        f"WHERE org = :org AND level = {int(finer)} AND bucket >= :first AND bucket < :last "
        f"GROUP BY org, {', '.join(dimensions)}"
    )
    for org, *ends in await _ends(connection, source, finer):
        await connection.execute(sa.delete(table).where(table.c.org == org, table.c.level == step.level))
        first, last = (calendar.bucket(step.level, calendar.start(finer, number) // QUARTER_US) for number in ends)
        for number in range(first, last + 1):
            within = [
                calendar.bucket(finer, calendar.start(step.level, one) // QUARTER_US) for one in (number, number + 1)
            ]
            await connection.execute(add_up.bindparams(org=org, number=number, first=within[0], last=within[1]))


async def _ends(connection: AsyncConnection, source: RollUp, level: Level) -> Sequence[Sequence[int]]:
    """The organisations with the least and the greatest number of their cells."""
    cell = source.table.c
    query = sa.select(cell.org, sa.func.min(cell.bucket), sa.func.max(cell.bucket)).where(cell.level == level)
    return [tuple(row) for row in (await connection.execute(query.group_by(cell.org))).all()]
