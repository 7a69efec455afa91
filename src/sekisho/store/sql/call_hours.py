"""In which hours calls of a kind began, newest first: so that a list of rare calls does not read the whole ledger.

The roll-ups say it, from months to days to hours, only as far back as somebody goes on asking. Calls under way
are in no roll-up; whoever asks looks for them apart.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.ledger.windows import Span
from sekisho.record.calls import CallFilter
from sekisho.record.spend import Dimension
from sekisho.store.sql.names import Names
from sekisho.store.sql.part import in_part
from sekisho.store.sql.roll_ups import (
    FAILED,
    QUARTER_US,
    REFUSED,
    ROLL_UPS,
    RUNNING,
    Level,
    RollUp,
    bucket,
    bucket_start,
)
from sekisho.store.sql.spend_plan import FIRST_US, LAST_US

LONGEST_LEAD_US: Final = 600_000_000  # an id is made when a request begins to come, a call starts when it is admitted
_SKEW_US: Final = 1_000_000
_LONGEST_US: Final = 6 * 3_600_000_000  # so much of the ledger is read at once
_LEVELS: Final = (Level.MONTH, Level.DAY, Level.HOUR)


async def hours_of(
    connection: AsyncConnection, names: Names, org: int, where: CallFilter, before: bytes | None
) -> AsyncIterator[Span] | None:
    """Spans of time, newest first, between which no call that fits ended: those of ids, not of starts. None where only
    the calls can tell, or where an index finds them at once."""
    roll_up = _roll_up_for(where)
    if roll_up is None or where.status == RUNNING:
        return None
    conditions = await _conditions(connection, names, org, where, roll_up)
    until = LAST_US if where.until is None else where.until
    if before is not None:
        until = min(until, int.from_bytes(before[:6]) * 1000 + LONGEST_LEAD_US)
    return _joined(_cells(connection, roll_up, conditions, Span(max(FIRST_US, where.since or 0), until), _LEVELS))


async def _cells(
    connection: AsyncConnection,
    roll_up: RollUp,
    conditions: Sequence[sa.ColumnElement[bool]],
    within: Span,
    levels: Sequence[Level],
) -> AsyncIterator[Span]:
    """The hours in a span that have calls, newest first."""
    if within.starts_at >= within.ends_at:
        return
    cell, (level, *finer) = roll_up.table.c, levels
    first = bucket(level, within.starts_at // QUARTER_US)
    last = bucket(level, (within.ends_at - 1) // QUARTER_US)
    query = sa.select(cell.bucket).where(*conditions, cell.level == int(level), cell.bucket.between(first, last))
    for number in (await connection.execute(query.distinct().order_by(cell.bucket.desc()))).scalars().all():
        starts_at, ends_at = bucket_start(level, number), bucket_start(level, number + 1)
        span = Span(max(starts_at, within.starts_at), min(ends_at, within.ends_at))
        if not finer:
            yield span
            continue
        async for part in _cells(connection, roll_up, conditions, span, finer):
            yield part


async def _joined(spans: AsyncIterator[Span]) -> AsyncIterator[Span]:
    """With room for ids, those that touch within a day as one."""
    current: Span | None = None
    async for one in spans:
        span = Span(max(FIRST_US, one.starts_at - LONGEST_LEAD_US), one.ends_at + _SKEW_US)
        if (
            current is not None
            and span.ends_at >= current.starts_at
            and current.ends_at - span.starts_at <= _LONGEST_US
        ):
            current = Span(span.starts_at, current.ends_at)
            continue
        if current is not None:
            yield current
        current = span
    if current is not None:
        yield current


def _roll_up_for(where: CallFilter) -> RollUp | None:
    """The cheapest roll-up that knows what the filter names; none for those that an index finds at once."""
    if where.key_id or where.user_id or where.task_id:
        return None
    named: dict[Dimension, str | None] = {
        "team": where.team_id or None,
        "model": where.model or None,
        "agent": where.agent or None,
        "tag": where.tag or None,
        "mode": where.mode,
        "repository": where.repository,
        "user": None if where.part is None else "",
    }
    needed = {one for one, value in named.items() if value is not None}
    needed |= {"team"} if where.part is not None else set()
    if not needed and not where.status:
        return None
    return next((one for one in ROLL_UPS if needed <= set(one.dimensions)), None)


async def _conditions(
    connection: AsyncConnection, names: Names, org: int, where: CallFilter, roll_up: RollUp
) -> list[sa.ColumnElement[bool]]:
    cell = roll_up.table.c
    given: dict[str, str | None] = {
        "team": where.team_id or None,
        "model": where.model or None,
        "agent": where.agent or None,
        "tag": where.tag or None,
        "mode": where.mode,
        "repository": where.repository,
    }
    conditions = [cell.org == org]
    for dimension, text in given.items():
        if text is not None:
            number = await names.find(connection, text)
            conditions.append(sa.false() if number is None else cell[dimension] == number)
    if where.part is not None:
        conditions.append(await in_part(connection, names, where.part, roll_up.table))
    counted = {REFUSED: cell.refused, **dict.fromkeys(FAILED, cell.failed)}
    return [*conditions, counted.get(where.status, cell.calls + cell.refused) > 0]
