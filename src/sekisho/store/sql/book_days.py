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
from sekisho.store.sql.roll_ups import MEASURES, ROLL_UPS, RollUp
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
        for position, one in reversed(list(enumerate(ROLL_UPS))):
            await connection.execute(sa.delete(one.table).where(one.table.c.level.in_((Level.DAY, Level.MONTH))))
            await _add_up(connection, one, Level.DAY, _finer(position), f"(bucket + {ahead_h}) / 24")
            await _add_up(connection, one, Level.MONTH, (one, Level.DAY), _month(is_sqlite=patient.is_sqlite))


def hours_ahead(time_zone: str) -> int:
    """Whole hours that a time zone is ahead of UTC in winter; one half an hour beside them is taken for the lesser."""
    zone = ZoneInfo(time_zone)
    offsets = [datetime(_SOME_YEAR, month, 1, tzinfo=UTC).astimezone(zone).utcoffset() for month in (1, 7)]
    return min(int(one.total_seconds() // 3600) for one in offsets if one is not None)


def _finer(position: int) -> tuple[RollUp, Level]:
    """Where the days of a roll-up come from: its own hours, or the days of the next that has its dimensions."""
    mine = ROLL_UPS[position]
    if Level.HOUR in mine.levels:
        return mine, Level.HOUR
    return next(one for one in ROLL_UPS[position + 1 :] if set(mine.dimensions) <= set(one.dimensions)), Level.DAY


async def _add_up(
    connection: AsyncConnection, one: RollUp, level: Level, finer: tuple[RollUp, Level], bucket: str
) -> None:
    source, source_level = finer
    dimensions = [f'"{name}"' for name in one.dimensions]
    columns = ", ".join(["org", "level", "bucket", *dimensions, *MEASURES])
    sums = ", ".join(f"sum({measure})" for measure in MEASURES)
    number = "bucket" if source_level is level else bucket
    await connection.execute(
        sa.text(
            f"INSERT INTO {one.table.name} ({columns}) "
            f"SELECT org, {int(level)}, {number}, {', '.join(dimensions)}, {sums} FROM {source.table.name} "
            f"WHERE level = {int(source_level)} GROUP BY {', '.join(str(n + 1) for n in range(3 + len(dimensions)))}"
        )
    )


def _month(*, is_sqlite: bool) -> str:
    """The number of the month in which the day `bucket` lies."""
    if is_sqlite:
        month = "CAST(strftime('{}', bucket * 86400, 'unixepoch') AS INTEGER)"
        return f"{month.format('%Y')} * 12 + {month.format('%m')} - 1"
    month = "CAST(extract({} FROM to_timestamp(bucket * 86400::bigint) AT TIME ZONE 'UTC') AS INTEGER)"
    return f"{month.format('year')} * 12 + {month.format('month')} - 1"
