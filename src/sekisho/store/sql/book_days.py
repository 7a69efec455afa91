"""Makes the days and months of the roll-ups those of the books: adds them up again when the books change time zone.

Whatever the cells are, every sum is exact; in the books' own time zone it is also quick.
"""

from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.store.sql.cells import Level, read_calendar
from sekisho.store.sql.engine import Database
from sekisho.store.sql.roll_ups import MEASURES, STEPS, Step
from sekisho.store.sql.tables.schema import installation

_SOME_YEAR: Final = 2026  # in which every zone of today has the hours that it keeps


async def keep_days_of(database: Database, time_zone: str) -> None:
    """From now on days and months begin as in this time zone. Calls that are being booked and questions wait meanwhile.

    On ten million calls it takes a minute or two; where nothing changes, nothing is done."""
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
        numbers = {Level.DAY: f"(bucket + {ahead_h}) / 24", Level.MONTH: _month(is_sqlite=patient.is_sqlite)}
        for step in STEPS:
            if step.level in numbers:
                table = step.roll_up.table
                await connection.execute(sa.delete(table).where(table.c.level == step.level))
                await _add_up(connection, step, numbers[step.level])


def hours_ahead(time_zone: str) -> int:
    """Whole hours that a time zone is ahead of UTC in winter; one half an hour beside them is taken for the lesser."""
    zone = ZoneInfo(time_zone)
    offsets = [datetime(_SOME_YEAR, month, 1, tzinfo=UTC).astimezone(zone).utcoffset() for month in (1, 7)]
    return min(int(one.total_seconds() // 3600) for one in offsets if one is not None)


async def _add_up(connection: AsyncConnection, step: Step, number: str) -> None:
    """Add up the cells of one level. `number`: that of its cell from the finer `bucket`."""
    assert step.source is not None  # days are made of hours or of days
    source, level = step.source
    dimensions = [f'"{name}"' for name in step.roll_up.dimensions]
    columns = ", ".join(["org", "level", "bucket", *dimensions, *MEASURES])
    sums = ", ".join(f"sum({measure})" for measure in MEASURES)
    keys = ", ".join(str(n + 1) for n in range(3 + len(dimensions)))
    await connection.execute(
        sa.text(
            f"INSERT INTO {step.roll_up.table.name} ({columns}) "
            f"SELECT org, {int(step.level)}, {'bucket' if level is step.level else number}, {', '.join(dimensions)}, "
            f"{sums} FROM {source.table.name} WHERE level = {int(level)} GROUP BY {keys}"
        )
    )


def _month(*, is_sqlite: bool) -> str:
    """The number of the month in which the day `bucket` lies."""
    if is_sqlite:
        month = "CAST(strftime('{}', bucket * 86400, 'unixepoch') AS INTEGER)"
        return f"{month.format('%Y')} * 12 + {month.format('%m')} - 1"
    month = "CAST(extract({} FROM to_timestamp(bucket * 86400::bigint) AT TIME ZONE 'UTC') AS INTEGER)"
    return f"{month.format('year')} * 12 + {month.format('month')} - 1"
