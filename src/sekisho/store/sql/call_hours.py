"""In which hours calls of a kind began, newest first: so that a list of rare calls does not read the whole ledger.

The roll-ups say it, from months to days to hours, only as far back as somebody goes on asking. Calls under way
are in no roll-up; whoever asks looks for them apart.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.ledger.windows import Span
from sekisho.record.calls import CallFilter
from sekisho.record.spend import Dimension
from sekisho.store.sql.cells import QUARTER_US, Calendar, Level, read_calendar
from sekisho.store.sql.names import Names
from sekisho.store.sql.part import in_part
from sekisho.store.sql.roll_ups import FAILED, REFUSED, RUNNING, sources_of
from sekisho.store.sql.spend_plan import FIRST_US, LAST_US

LONGEST_LEAD_US: Final = 600_000_000  # an id is made when a request begins to come, a call starts when it is admitted
_SKEW_US: Final = 1_000_000
_LONGEST_US: Final = 6 * 3_600_000_000  # so much of the ledger is read at once


class _Step(NamedTuple):
    """Where to look at one level, and for which cells."""

    level: Level
    table: sa.Table
    conditions: Sequence[sa.ColumnElement[bool]]


async def hours_of(
    connection: AsyncConnection, names: Names, org: int, where: CallFilter, before: bytes | None
) -> AsyncIterator[Span] | None:
    """Spans of time, newest first, between which no call that fits ended: those of ids, not of starts. None where only
    the calls can tell, or where an index finds them at once."""
    needed = _needed(where)
    if needed is None or where.status == RUNNING:
        return None
    steps = [
        _Step(level, one.table, await _conditions(connection, names, org, where, one.table))
        for level, one in sources_of(needed).items()
        if level is not Level.QUARTER
    ]
    until = LAST_US if where.until is None else where.until
    if before is not None:
        until = min(until, int.from_bytes(before[:6]) * 1000 + LONGEST_LEAD_US)
    within = Span(max(FIRST_US, where.since or 0), until)
    return _joined(_cells(connection, await read_calendar(connection), within, steps))


async def _cells(
    connection: AsyncConnection, calendar: Calendar, within: Span, steps: Sequence[_Step]
) -> AsyncIterator[Span]:
    """The hours in a span that have calls, newest first."""
    if within.starts_at >= within.ends_at:
        return
    (level, table, conditions), *finer = steps
    cell = table.c
    first = calendar.bucket(level, within.starts_at // QUARTER_US)
    last = calendar.bucket(level, (within.ends_at - 1) // QUARTER_US)
    query = sa.select(cell.bucket).where(*conditions, cell.level == int(level), cell.bucket.between(first, last))
    for number in (await connection.execute(query.distinct().order_by(cell.bucket.desc()))).scalars().all():
        starts_at, ends_at = calendar.start(level, number), calendar.start(level, number + 1)
        span = Span(max(starts_at, within.starts_at), min(ends_at, within.ends_at))
        if not finer:
            yield span
            continue
        async for part in _cells(connection, calendar, span, finer):
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


def _needed(where: CallFilter) -> set[Dimension] | None:
    """The dimensions that the filter names; None for filters that an index answers at once, and for none at all."""
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
    return needed


async def _conditions(
    connection: AsyncConnection, names: Names, org: int, where: CallFilter, table: sa.Table
) -> list[sa.ColumnElement[bool]]:
    cell = table.c
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
        conditions.append(await in_part(connection, names, where.part, table))
    counted = {REFUSED: cell.refused, **dict.fromkeys(FAILED, cell.failed)}
    return [*conditions, counted.get(where.status, cell.calls + cell.refused) > 0]
