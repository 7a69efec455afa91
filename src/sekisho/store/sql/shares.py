"""What calls add to the roll-ups.

A call's share is a function of its row, and a batch adds the difference between the rows after and before it, in the
same transaction. So sums equal rows, whatever is repeated or comes late.
"""

from collections.abc import Callable, Iterator, Mapping
from operator import itemgetter
from typing import Any, Final, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.record.spend import Dimension
from sekisho.store.sql.bulk import add_up
from sekisho.store.sql.cells import QUARTER_US, Calendar, Level, read_calendar
from sekisho.store.sql.engine import Database
from sekisho.store.sql.roll_ups import FAILED, REFUSED, ROLL_UPS, RUNNING, STEPS, RollUp, Step, tags_of

Row = Mapping[str, Any]  # columns of `call`, names still as strings; `mode` in place of `kind`
Share = tuple[int, ...]  # of MEASURES, in their order
Cells = dict[tuple[int, ...], Share]  # primary key of a roll-up to what it gains

_NAMED: Final[tuple[Dimension, ...]] = ("team", "user", "key", "repository", "agent", "model", "mode")
_names_of: Final = itemgetter(*_NAMED)


class Place(NamedTuple):
    """All that decides in which cells a share is: `names` in the order of _NAMED, `tags` as the call has them."""

    org: str
    quarter: int
    names: tuple[str, ...]
    tags: str


Gain = dict[Place, Share]


def difference(before: Mapping[bytes, Row], after: Mapping[bytes, Row]) -> Gain:
    """What the sums must gain when these rows take the place of those; negative where a call moves elsewhere."""
    gain: Gain = {}
    for call_id, row in after.items():
        old = before.get(call_id)
        if row is old:
            continue
        if old is not None and old["status"] != RUNNING:
            _add(gain, _place(old), tuple([-part for part in _share(old)]))
        if row["status"] != RUNNING:
            _add(gain, _place(row), _share(row))
    return {place: share for place, share in gain.items() if any(share)}


def names_in(gain: Gain) -> Iterator[str]:
    """Every string that the cells are named by."""
    for place in gain:
        yield place.org
        yield from place.names
        yield from tags_of(place.tags)


async def add(database: Database, connection: AsyncConnection, gain: Gain, numbers: Mapping[str, int]) -> None:
    """Add to every roll-up at every level, in this transaction."""
    if not gain:
        return
    calendar = await read_calendar(connection)
    found: dict[tuple[RollUp, Level], Cells] = {}
    for step in STEPS:
        if step.source is None:
            found[step.roll_up, step.level] = _of_calls(gain, step, numbers, calendar)
        elif step.source[0] is step.roll_up:
            found[step.roll_up, step.level] = _longer(found[step.source], step, calendar)
        else:
            found[step.roll_up, step.level] = _narrower(found[step.source], step)
    for one in ROLL_UPS:
        await add_up(
            database, connection, one.table, {k: v for level in one.levels for k, v in found[one, level].items()}
        )


def _of_calls(gain: Gain, step: Step, numbers: Mapping[str, int], calendar: Calendar) -> Cells:
    """The cells of the finest level of a roll-up that no other can tell."""
    cells: Cells = {}
    level, by_tag = int(step.level), "tag" in step.roll_up.dimensions
    pick = _picker([_NAMED.index(one) for one in step.roll_up.dimensions if one != "tag"])
    for place, share in gain.items():
        names = pick([numbers[name] for name in place.names])
        at = (numbers[place.org], level, calendar.bucket(step.level, place.quarter))
        for tag in tags_of(place.tags) if by_tag else ():
            _add(cells, (*at, numbers[tag], *names), share)
        if not by_tag:
            _add(cells, (*at, *names), share)
    return cells


def _longer(finer: Cells, step: Step, calendar: Calendar) -> Cells:
    """The cells of a level out of those of a finer one of the same roll-up."""
    assert step.source is not None
    starts, level = calendar.start, step.level
    numbers = {
        number: calendar.bucket(level, starts(step.source[1], number) // QUARTER_US)
        for number in {cell[2] for cell in finer}
    }
    cells: Cells = {}
    for cell, share in finer.items():
        _add(cells, (cell[0], int(level), numbers[cell[2]], *cell[3:]), share)
    return cells


def _narrower(wider: Cells, step: Step) -> Cells:
    """The cells of a roll-up out of those of a wider one at the same level."""
    assert step.source is not None
    dimensions = step.source[0].dimensions
    pick = _picker([0, 1, 2, *(3 + dimensions.index(one) for one in step.roll_up.dimensions)])
    cells: Cells = {}
    for cell, share in wider.items():
        _add(cells, pick(cell), share)
    return cells


def _picker(positions: list[int]) -> Callable[[Any], tuple[int, ...]]:
    if len(positions) == 1:
        (only,) = positions
        return lambda values: (values[only],)
    return itemgetter(*positions)


def _add(sums: dict[Any, Share], key: Any, share: Share) -> None:
    known = sums.get(key)
    sums[key] = share if known is None else tuple(map(int.__add__, known, share))


def _place(row: Row) -> Place:
    return Place(row["org"], row["started_at"] // QUARTER_US, _names_of(row), row["tags"])


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
