"""Roll-ups: sums of calls in narrow tables, so that a question about ten million calls reads thousands of rows.

Each table adds up by its own dimensions, by months and days; some also by hours, one by quarters of an hour (see
`cells`). A call's share is a function of its row, and a batch adds the difference between the rows after and before it,
in the same transaction. So sums equal rows, whatever is repeated or comes late. Source: docs/why/roll-ups.md
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from operator import itemgetter
from typing import Any, Final, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.record.spend import Dimension
from sekisho.store.sql.bulk import add_up
from sekisho.store.sql.cells import QUARTER_US, Calendar, Level, read_calendar
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
DAILY: Final = (Level.MONTH, Level.DAY)
HOURLY: Final = (*DAILY, Level.HOUR)
QUARTERLY: Final = (*HOURLY, Level.QUARTER)

Row = Mapping[str, Any]  # columns of `call`, names still as strings; `mode` in place of `kind`
Share = tuple[int, ...]  # of MEASURES, in their order


class RollUp(NamedTuple):
    """One table of sums, and the levels that it keeps, longest first."""

    table: sa.Table
    dimensions: tuple[Dimension, ...]
    levels: tuple[Level, ...]


# The cheapest to read first: a question is answered, level by level, by the first that keeps the level and has all the
# dimensions it names.
ROLL_UPS: Final = (
    RollUp(tables.spend_by_team, ("team",), QUARTERLY),
    RollUp(tables.spend_by_repository, ("team", "repository"), DAILY),
    RollUp(tables.spend_by_agent, ("team", "agent", "mode"), DAILY),
    RollUp(tables.spend_by_model, ("team", "model"), DAILY),
    RollUp(tables.spend_by_key, ("team", "user", "key"), DAILY),
    RollUp(tables.spend_by_caller, ("team", "user", "key", "model"), DAILY),
    RollUp(tables.spend_by_use, ("team", "user", "key", "agent", "model", "mode"), DAILY),
    RollUp(tables.spend_by_all, ("team", "user", "key", "repository", "agent", "model", "mode"), HOURLY),
    RollUp(tables.spend_by_tag, ("tag", "team"), HOURLY),
    RollUp(tables.spend_by_tag_use, ("tag", "team", "user", "key", "agent", "model", "mode"), DAILY),
    RollUp(tables.spend_by_tag_all, ("tag", "team", "user", "key", "repository", "agent", "model", "mode"), HOURLY),
)


def _names_of(dimensions: tuple[Dimension, ...]) -> Callable[[Row], tuple[str, ...]]:
    """Takes the names of these dimensions out of a row."""
    if len(dimensions) == 1:
        (only,) = dimensions
        return lambda row: (row[only],)
    return itemgetter(*dimensions)


_WITHOUT_TAG: Final = [
    (position, _names_of(one.dimensions)) for position, one in enumerate(ROLL_UPS) if "tag" not in one.dimensions
]
_WITH_TAG: Final = [  # the tag is the first
    (position, _names_of(one.dimensions[1:])) for position, one in enumerate(ROLL_UPS) if "tag" in one.dimensions
]


class Cell(NamedTuple):
    """Where a share goes before it is spread over the levels: names still as strings, in the roll-up's order."""

    roll_up: int
    org: str
    quarter: int
    names: tuple[str, ...]


Gain = dict[Cell, Share]


def sources_of(dimensions: Collection[Dimension]) -> dict[Level, RollUp]:
    """Who tells about these dimensions at each level, the longest level first."""
    found: dict[Level, RollUp] = {}
    for level in QUARTERLY:
        for one in ROLL_UPS:
            if level in one.levels and set(dimensions) <= set(one.dimensions):
                found[level] = one
                break
    return found


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
    if not gain:
        return
    calendar = await read_calendar(connection)
    cells: list[list[tuple[Cell, Share]]] = [[] for _ in ROLL_UPS]
    for one in gain.items():
        cells[one[0].roll_up].append(one)
    for roll_up, some in zip(ROLL_UPS, cells, strict=True):
        if sums := _spread(roll_up, some, numbers, calendar):
            await add_up(database, connection, roll_up.table, sums)


def tags_of(text: str) -> tuple[str, ...]:
    """The tags in the column of a call: a JSON list; "" alone where there is none."""
    return tuple(dict.fromkeys(msgspec.json.decode(text, type=list[str]))) if text else ("",)


def _gather(gain: Gain, row: Row, share: Share) -> None:
    org, quarter = row["org"], row["started_at"] // QUARTER_US
    cells = [Cell(position, org, quarter, names_of(row)) for position, names_of in _WITHOUT_TAG]
    for tag in tags_of(row["tags"]):
        cells.extend([Cell(position, org, quarter, (tag, *names_of(row))) for position, names_of in _WITH_TAG])
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
    roll_up: RollUp, cells: Iterable[tuple[Cell, Share]], numbers: Mapping[str, int], calendar: Calendar
) -> dict[tuple[int, ...], Share]:
    """The rows to add: primary key to share."""
    sums: dict[tuple[int, ...], Share] = {}
    for cell, share in cells:
        org, names = numbers[cell.org], tuple(numbers[name] for name in cell.names)
        for level in roll_up.levels:
            key = (org, int(level), calendar.bucket(level, cell.quarter), *names)
            known = sums.get(key)
            sums[key] = share if known is None else tuple(map(int.__add__, known, share))
    return sums
