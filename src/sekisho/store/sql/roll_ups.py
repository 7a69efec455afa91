"""Roll-ups: sums of calls in narrow tables, so that a question about ten million calls reads thousands of rows.

Each table adds up by its own dimensions, at several levels of time: UTC months, days and hours, where dimensions are
few also quarters of an hour (every time zone begins its days on one). A call's share is a function of its row, and a
batch adds the difference between the rows after and before it, in the same transaction. So sums equal rows, whatever
is repeated or comes late. Source: docs/why/roll-ups.md
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from enum import IntEnum
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.record.spend import Dimension
from sekisho.store.sql.bulk import add_up
from sekisho.store.sql.engine import Database
from sekisho.store.sql.tables import ledger as tables
from sekisho.values import Usage

RUNNING: Final = "running"
FAILED: Final = ("failed", "interrupted")
REFUSED: Final = "refused"
MEASURES: Final = (
    *("calls", "failed", "refused"),
    *Usage.__struct_fields__,
    *("list_cost_nanousd", "cost_nanousd"),
)
QUARTER_US: Final = 900_000_000
_DAY_US: Final = 86_400_000_000
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()

Row = Mapping[str, Any]  # columns of `call`, names still as strings; `mode` in place of `kind`
Share = tuple[int, ...]  # of MEASURES, in their order


class Level(IntEnum):
    """How long one cell of a roll-up is; the value of its column `level`."""

    QUARTER = 0
    HOUR = 1
    DAY = 2
    MONTH = 3


HOURLY: Final = (Level.MONTH, Level.DAY, Level.HOUR)
QUARTERLY: Final = (*HOURLY, Level.QUARTER)


class RollUp(NamedTuple):
    """One table of sums, and the levels that it keeps, longest first."""

    table: sa.Table
    dimensions: tuple[Dimension, ...]
    levels: tuple[Level, ...]


# The cheapest to read first: a question is answered by the first that has all the dimensions it names.
ROLL_UPS: Final = (
    RollUp(tables.spend_by_team, ("team",), QUARTERLY),
    RollUp(tables.spend_by_agent, ("team", "agent", "model", "mode"), HOURLY),
    RollUp(tables.spend_by_tag, ("tag", "team"), QUARTERLY),
    RollUp(tables.spend_by_tag_model, ("tag", "team", "model", "mode"), HOURLY),
    RollUp(tables.spend_by_caller, ("key", "user", "team", "model"), HOURLY),
    RollUp(tables.spend_by_repository, ("repository", "key", "user", "team", "agent", "model", "mode"), HOURLY),
)


class Cell(NamedTuple):
    """Where a share goes before it is spread over the levels: names still as strings, in the roll-up's order."""

    roll_up: int
    org: str
    quarter: int
    names: tuple[str, ...]


Gain = dict[Cell, Share]


def bucket(level: Level, quarter: int) -> int:
    """The number of the cell of this level in which a quarter lies. A month is year x 12 + month - 1."""
    match level:
        case Level.QUARTER:
            return quarter
        case Level.HOUR:
            return quarter // 4
        case Level.DAY:
            return quarter // 96
    return _month_of(quarter // 96)


def bucket_start(level: Level, number: int) -> int:
    """When a cell begins."""
    match level:
        case Level.QUARTER:
            return number * QUARTER_US
        case Level.HOUR:
            return number * 4 * QUARTER_US
        case Level.DAY:
            return number * _DAY_US
    return _days_before(number) * _DAY_US


def difference(before: Mapping[bytes, Row], after: Mapping[bytes, Row]) -> Gain:
    """What the sums must gain when these rows take the place of those; negative where a call moves elsewhere."""
    gain: Gain = {}
    for call_id, row in after.items():
        old = before.get(call_id)
        if row is old:
            continue
        if old is not None and old["status"] != RUNNING:
            _gather(gain, old, tuple(-part for part in _share(old)))
        if row["status"] != RUNNING:
            _gather(gain, row, _share(row))
    return {cell: share for cell, share in gain.items() if any(share)}


def names_in(gain: Gain) -> Iterator[str]:
    """Every string that the cells are named by."""
    for cell in gain:
        yield cell.org
        yield from cell.names


async def add(database: Database, connection: AsyncConnection, gain: Gain, numbers: Mapping[str, int]) -> None:
    """Add to every roll-up at every level, in this transaction."""
    for position, roll_up in enumerate(ROLL_UPS):
        sums = _spread(roll_up, (one for one in gain.items() if one[0].roll_up == position), numbers)
        if sums:
            await add_up(database, connection, roll_up.table, sums)


def tags_of(text: str) -> tuple[str, ...]:
    """The tags in the column of a call: a JSON list; "" alone where there is none."""
    return tuple(dict.fromkeys(msgspec.json.decode(text, type=list[str]))) if text else ("",)


def _gather(gain: Gain, row: Row, share: Share) -> None:
    org, quarter, team, model = row["org"], row["started_at"] // QUARTER_US, row["team"], row["model"]
    key, user, agent, mode = row["key"], row["user"], row["agent"], row["mode"]
    cells = [
        Cell(0, org, quarter, (team,)),
        Cell(1, org, quarter, (team, agent, model, mode)),
        Cell(4, org, quarter, (key, user, team, model)),
        Cell(5, org, quarter, (row["repository"], key, user, team, agent, model, mode)),
    ]
    for tag in tags_of(row["tags"]):
        cells.append(Cell(2, org, quarter, (tag, team)))
        cells.append(Cell(3, org, quarter, (tag, team, model, mode)))
    for cell in cells:
        known = gain.get(cell)
        gain[cell] = share if known is None else tuple(map(int.__add__, known, share))


def _share(row: Row) -> Share:
    status = row["status"]
    return (
        int(status != REFUSED),
        int(status in FAILED),
        int(status == REFUSED),
        row["input_tokens"],
        row["cache_read_tokens"],
        row["cache_write_5m_tokens"],
        row["cache_write_1h_tokens"],
        row["output_tokens"],
        row["reasoning_tokens"],
        row["list_cost_nanousd"],
        row["cost_nanousd"],
    )


def _spread(
    roll_up: RollUp, cells: Iterable[tuple[Cell, Share]], numbers: Mapping[str, int]
) -> dict[tuple[int, ...], Share]:
    """The rows to add: primary key to share."""
    sums: dict[tuple[int, ...], Share] = {}
    for cell, share in cells:
        org, names = numbers[cell.org], tuple(numbers[name] for name in cell.names)
        for level in roll_up.levels:
            key = (org, int(level), bucket(level, cell.quarter), *names)
            known = sums.get(key)
            sums[key] = share if known is None else tuple(map(int.__add__, known, share))
    return sums


@lru_cache(maxsize=4096)
def _month_of(day: int) -> int:
    first = date.fromordinal(_EPOCH_ORDINAL + day)
    return first.year * 12 + first.month - 1


def _days_before(month: int) -> int:
    return date(month // 12, month % 12 + 1, 1).toordinal() - _EPOCH_ORDINAL
