"""Answers what was spent, from the roll-ups and, at the ends of a span that are no whole cell, from the calls."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.errors import BadRequest
from sekisho.ledger.windows import Span, check_window, span_at
from sekisho.record.spend import MOST_PERIODS, Dimension, Period, Spend, SpendQuery
from sekisho.store.sql.cells import Calendar, Level, read_calendar
from sekisho.store.sql.engine import Database
from sekisho.store.sql.names import Names
from sekisho.store.sql.roll_ups import MEASURES, ROLL_UPS, RollUp, sources_of
from sekisho.store.sql.spend_edges import Question, Sums, add_calls
from sekisho.store.sql.spend_plan import FIRST_US, LAST_US, Part, plan
from sekisho.values import Usage, Window

_MOST_SELECTS = 100  # of more, to prepare them takes longer than to sort
_FIELDS: Final[Mapping[Dimension, str]] = {
    "key": "key_id",
    "user": "user_id",
    "team": "team_id",
    "tag": "tag",
    "model": "model",
    "agent": "agent",
    "mode": "mode",
    "repository": "repository",
}


class SqlSpend:
    """`record.spend.SpendQueries` over SQL."""

    def __init__(self, database: Database, names: Names) -> None:
        self._database = database
        self._names = names

    async def spend(self, org_id: str, query: SpendQuery) -> list[Spend]:
        """By period, then dearest first."""
        by = tuple(dict.fromkeys(query.by))
        spans = _spans(query)
        async with self._database.read() as connection:
            org = await self._names.find(connection, org_id)
            where = {
                dimension: set((await self._names.known(connection, values)).values())
                for dimension, values in query.where.items()
            }
            sums: Sums = {}
            if org is not None and all(where.values()):
                sums = await read_sums(connection, self._names, Question(org, spans, by, where))
            texts = await self._names.texts(connection, {number for key in sums for number in key[1:]})
        if not by and query.period is None:
            return [_spend({}, next(iter(sums.values()), [0] * len(MEASURES)))]
        rows = []
        for (group, *numbers), measures in sums.items():
            if measures[0] or measures[2]:
                fields: dict[str, Any] = {_FIELDS[one]: texts[number] for one, number in zip(by, numbers, strict=True)}
                if query.period is not None:
                    fields["starts_at"] = spans[group].starts_at
                rows.append(_spend(fields, measures))
        rows.sort(key=lambda row: (row.starts_at or 0, -row.cost_nanousd, row.team_id, row.user_id, row.key_id))
        return rows


async def read_sums(connection: AsyncConnection, names: Names, question: Question) -> Sums:
    """The sums, by the number of the span and the numbers of the names; where there is nothing, nothing is said."""
    calendar, sources = await read_calendar(connection), _sources(question)
    spans = await _filled(connection, question, calendar) if sources else question.spans
    parts, edges = plan(spans, tuple(sources), calendar)[:2]
    is_sqlite = connection.dialect.name == "sqlite"
    if parts and not is_sqlite:
        await connection.execute(sa.text("SET LOCAL jit = off"))  # it would take longer than the query
    sums: Sums = {}
    for roll_up in dict.fromkeys(sources.values()):
        if some := [part for part in parts if sources[part.level] is roll_up]:
            query = sa.text(_query(roll_up, some, question, is_sqlite=is_sqlite))
            _gather(sums, (await connection.execute(query)).all(), 1 + len(question.by))
    for edge in edges:
        await add_calls(connection, names, sums, edge, question)
    return sums


def _gather(sums: Sums, rows: Iterable[Sequence[int]], width: int) -> None:
    for row in rows:
        key, measures = tuple(row[:width]), list(row[width:])
        known = sums.get(key)
        sums[key] = measures if known is None else list(map(int.__add__, known, measures))


async def _filled(connection: AsyncConnection, question: Question, calendar: Calendar) -> list[Span]:
    """The spans without the months before the first call and after the last: a year of a young ledger costs what there
    is, not an empty look for each of its days."""
    cells = f"FROM {ROLL_UPS[0].table.name} WHERE org = {question.org} AND level = {int(Level.MONTH)}"
    query = sa.text(f"SELECT (SELECT min(bucket) {cells}), (SELECT max(bucket) {cells})")
    first, last = (await connection.execute(query)).one()
    if first is None:
        return []
    begins_at, ends_at = calendar.start(Level.MONTH, first), calendar.start(Level.MONTH, last + 1)
    return [Span(max(span.starts_at, begins_at), min(span.ends_at, ends_at)) for span in question.spans]


def _sources(question: Question) -> Mapping[Level, RollUp]:
    """Who tells, by level; nobody: only the calls can. A call with two of the tags wanted counts once."""
    if "tag" not in question.by and len(question.where.get("tag", ())) > 1:
        return {}
    return sources_of({*question.by, *question.where})


def _spans(query: SpendQuery) -> list[Span]:
    """The span as a whole, or its periods. Raises BadRequest."""
    check_window(Window(query.period or "day", query.time_zone))
    if query.period is None:
        return [Span(FIRST_US if query.since is None else query.since, LAST_US if query.until is None else query.until)]
    if query.since is None or query.until is None:
        raise BadRequest("Sums by day, week or month need both ends of the time.", param="since")
    return list(_periods(query.period, query.time_zone, max(query.since, FIRST_US), min(query.until, LAST_US)))


def _periods(period: Period, time_zone: str, since: int, until: int) -> Iterator[Span]:
    """The periods that begin before `until`, the first and the last cut to what was asked for; starts are uncut."""
    at, count = since, 0
    while at < until:
        span = span_at(Window(period, time_zone), at)
        if span is None:
            return
        count += 1
        if count > MOST_PERIODS:
            raise BadRequest(f"Ask for at most {MOST_PERIODS} days, weeks or months at once.", param="since")
        yield Span(max(span.starts_at, since), min(span.ends_at, until))
        at = span.ends_at


def _query(roll_up: RollUp, parts: Sequence[Part], question: Question, *, is_sqlite: bool) -> str:
    """Rows: the number of the span, the numbers of the names, the measures; of one cell several rows may speak.

    Everything in it is a number or a name of our own."""
    first = roll_up.dimensions[0]
    if first in question.where or first in question.by:  # the index leads to the names, or has them in their order
        parts = [part._replace(first=n, last=n + 1) for part in parts for n in range(part.first, part.last)]
    if is_sqlite and first in question.by and len(parts) <= _MOST_SELECTS:
        return " UNION ALL ".join(_cells_of(roll_up, part, question) for part in parts)
    return _joined(roll_up, parts, question, is_sqlite=is_sqlite)


def _cells_of(roll_up: RollUp, part: Part, question: Question) -> str:
    """The sums of one part, grouped in the order of the index: of a join SQLite would sort all the cells."""
    names = [f'"{one}"' for one in question.by]
    sums = [f'{"-" if part.sign < 0 else ""}sum("{one}")' for one in question.measures]
    within = f"= {part.first}" if part.last == part.first + 1 else f"BETWEEN {part.first} AND {part.last - 1}"
    return (
        f"SELECT {', '.join([str(part.group), *names, *sums])} FROM {roll_up.table.name} AS cell "
        f"WHERE org = {question.org} AND level = {int(part.level)} AND bucket {within}{_filters(question)} "
        f"GROUP BY {', '.join(names or ['org'])}"
    )


def _joined(roll_up: RollUp, parts: Sequence[Part], question: Question, *, is_sqlite: bool) -> str:
    values = ", ".join(f"({int(p.level)}, {p.first}, {p.last}, {p.group}, {p.sign})" for p in parts)
    groups = ", ".join(["part.grp", *(f'cell."{one}"' for one in question.by)])
    sums = ", ".join(f'CAST(sum(cell."{one}" * part.sign) AS BIGINT)' for one in question.measures)
    is_each = all(part.last == part.first + 1 for part in parts)
    within = "bucket = part.first" if is_each else "bucket >= part.first AND bucket < part.last"
    cells = (
        f"{roll_up.table.name} AS cell WHERE cell.org = {question.org} AND cell.level = part.level AND cell.{within}"
        f"{_filters(question)}"
    )
    if not is_sqlite:  # the offset keeps PostgreSQL from making one join of it, which reads the table whole
        cells = f"LATERAL (SELECT * FROM {cells} OFFSET 0) AS cell"
    return (
        f"WITH part(level, first, last, grp, sign) AS (VALUES {values}) "
        f"SELECT {groups}, {sums} FROM part CROSS JOIN {cells} GROUP BY {groups}"
    )


def _filters(question: Question) -> str:
    return "".join(
        f' AND cell."{one}" IN ({", ".join(map(str, sorted(numbers)))})' for one, numbers in question.where.items()
    )


def _spend(fields: dict[str, Any], measures: Sequence[int]) -> Spend:
    calls, failed, refused, *usage, list_cost, cost = measures
    return Spend(
        **fields,
        calls=calls,
        failed=failed,
        refused=refused,
        usage=Usage(*usage),
        list_cost_nanousd=list_cost,
        cost_nanousd=cost,
    )
