"""Roll-ups: sums of calls in narrow tables, so that a question about ten million calls reads thousands of rows.

Each table adds up by its own dimensions, by months and days; some also by hours, one by quarters of an hour (see
`cells`). What a call adds to them: see `shares`. Source: docs/why/roll-ups.md
"""

from collections.abc import Collection, Iterator
from itertools import pairwise
from typing import Final, NamedTuple

import msgspec
import sqlalchemy as sa

from sekisho.record.spend import Dimension
from sekisho.store.sql.cells import Level
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


class Step(NamedTuple):
    """How one level of a roll-up is added up: from another level of it or from the same level of a wider one.

    Without a source it is added up from the calls."""

    roll_up: RollUp
    level: Level
    source: tuple[RollUp, Level] | None


def _steps() -> Iterator[Step]:
    for position, one in reversed(list(enumerate(ROLL_UPS))):
        finest = one.levels[-1]
        yield Step(one, finest, _wider(position, finest))
        for finer, level in pairwise(reversed(one.levels)):
            yield Step(one, level, (one, finer))


def _wider(position: int, level: Level) -> tuple[RollUp, Level] | None:
    """The next roll-up that has the dimensions and keeps the level. Of tags it tells more than of calls: a call may
    have two."""
    mine = set(ROLL_UPS[position].dimensions)
    for one in ROLL_UPS[position + 1 :]:
        if level in one.levels and mine <= set(one.dimensions) and ("tag" in mine) == ("tag" in one.dimensions):
            return one, level
    return None


STEPS: Final = tuple(_steps())  # each after its source


def sources_of(dimensions: Collection[Dimension]) -> dict[Level, RollUp]:
    """Who tells about these dimensions at each level, the longest level first."""
    found: dict[Level, RollUp] = {}
    for level in QUARTERLY:
        for one in ROLL_UPS:
            if level in one.levels and set(dimensions) <= set(one.dimensions):
                found[level] = one
                break
    return found


def tags_of(text: str) -> tuple[str, ...]:
    """The tags in the column of a call: a JSON list; "" alone where there is none."""
    return tuple(dict.fromkeys(msgspec.json.decode(text, type=list[str]))) if text else ("",)
