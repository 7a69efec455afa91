"""The cells of roll-ups in time: months, days, hours and quarters of an hour, by number.

Quarters and hours are those of UTC. Days and months are those of the books: they begin a whole number of hours before
UTC's, so that "each day of this month in Tokyo" reads one cell for each day. Source: docs/why/roll-ups.md
"""

from datetime import date
from enum import IntEnum
from functools import lru_cache
from typing import Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.store.sql.tables.schema import installation

QUARTER_US: Final = 900_000_000
_DAY_US: Final = 86_400_000_000
_HOUR_US: Final = 3_600_000_000
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()


class Level(IntEnum):
    """How long one cell of a roll-up is; the value of its column `level`."""

    QUARTER = 0
    HOUR = 1
    DAY = 2
    MONTH = 3


class Calendar(NamedTuple):
    """Whose days the cells are: `ahead_h` hours ahead of UTC."""

    ahead_h: int = 0

    def bucket(self, level: Level, quarter: int) -> int:
        """The number of the cell of this level in which a quarter of UTC lies. A month is year x 12 + month - 1."""
        match level:
            case Level.QUARTER:
                return quarter
            case Level.HOUR:
                return quarter // 4
            case Level.DAY:
                return (quarter + 4 * self.ahead_h) // 96
        return _month_of((quarter + 4 * self.ahead_h) // 96)

    def start(self, level: Level, number: int) -> int:
        """When a cell begins."""
        match level:
            case Level.QUARTER:
                return number * QUARTER_US
            case Level.HOUR:
                return number * _HOUR_US
            case Level.DAY:
                return number * _DAY_US - self.ahead_h * _HOUR_US
        return _days_before(number) * _DAY_US - self.ahead_h * _HOUR_US


async def read_calendar(connection: AsyncConnection) -> Calendar:
    """The one by which the cells are numbered now: to be read in each transaction that reads or writes them."""
    return Calendar((await connection.execute(_AHEAD)).scalar_one())


_AHEAD: Final = sa.select(installation.c.ahead_h)


@lru_cache(maxsize=4096)
def _month_of(day: int) -> int:
    first = date.fromordinal(_EPOCH_ORDINAL + day)
    return first.year * 12 + first.month - 1


def _days_before(month: int) -> int:
    return date(month // 12, month % 12 + 1, 1).toordinal() - _EPOCH_ORDINAL
