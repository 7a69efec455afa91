"""Sums taken from the calls themselves: for pieces of time that are no whole cell, and what no roll-up can tell."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import product
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.ledger.windows import Span
from sekisho.record.spend import Dimension
from sekisho.store.sql.names import Names
from sekisho.store.sql.part import CALL_ORG
from sekisho.store.sql.roll_ups import FAILED, MEASURES, REFUSED, tags_of
from sekisho.store.sql.spend_plan import Edge
from sekisho.store.sql.tables.ledger import call
from sekisho.store.sql.task_sums import MODES, mode_number

Sums = dict[tuple[int, ...], list[int]]  # (number of the span, numbers of the names): measures
_COLUMNS: Final[tuple[Dimension, ...]] = ("key", "user", "team", "agent", "model", "repository", "mode")


class Question(NamedTuple):
    """What to add up: for each span, by these dimensions, of calls with one of these names (by number) in each."""

    org: int
    spans: Sequence[Span]
    by: tuple[Dimension, ...]
    where: Mapping[Dimension, Collection[int]]
    measures: tuple[str, ...] = MEASURES


async def add_calls(connection: AsyncConnection, names: Names, sums: Sums, edge: Edge, question: Question) -> None:
    """Add what the calls of one edge say, or take it away, as the edge says."""
    columns = [one for one in _COLUMNS if one in question.by or one in question.where]
    with_tags = "tag" in question.by or "tag" in question.where
    numbers = await names.known(connection, {REFUSED, *FAILED, *MODES})
    rows = (await connection.execute(_query(edge.span, question, columns, numbers, with_tags=with_tags))).all()
    tags = await _tags(connection, names, {row[0] for row in rows}) if with_tags else {}
    for tag_set, *row in rows:
        if row[-1] is None:  # a sum over no call at all
            continue
        found: dict[str, tuple[int, ...]] = {one: (row[position],) for position, one in enumerate(columns)}
        found["tag"] = _tags_that_count(tags.get(tag_set, ()), question)
        if "tag" in question.where and not found["tag"]:
            continue
        for key in product((edge.group,), *(found[one] for one in question.by)):
            known = sums.setdefault(key, [0] * len(question.measures))
            for position, part in enumerate(row[len(columns) :]):
                known[position] += edge.sign * part


def _query(
    span: Span, question: Question, dimensions: Iterable[Dimension], numbers: Mapping[str, int], *, with_tags: bool
) -> sa.Select[Any]:
    """Rows: the number of the tag set (0 where nobody asks), the columns, the measures."""
    columns = {one: _column(one, numbers) for one in dimensions}
    groups = [*columns.values(), *([call.c.tags] if with_tags else [])]
    measures = [sa.cast(sa.func.sum(_measure(one, numbers)), sa.BigInteger) for one in question.measures]
    query = (
        sa.select(call.c.tags if with_tags else sa.literal(0), *columns.values(), *measures)
        # an id begins with the millisecond of the start, so the primary key is the index
        .where(CALL_ORG == question.org, call.c.duration_us.is_not(None))
        .where(call.c.id >= first_id(span.starts_at), call.c.id < first_id(span.ends_at + 999))
        .where(call.c.started_at >= span.starts_at, call.c.started_at < span.ends_at)
        .group_by(*groups)
    )
    for one, wanted in question.where.items():
        if one != "tag":
            query = query.where(columns[one].in_(sorted(wanted)))
    return query


def _column(dimension: Dimension, numbers: Mapping[str, int]) -> sa.ColumnElement[int]:
    """The number of the name in this dimension."""
    if dimension == "mode":
        return mode_number(numbers)
    return call.c[dimension]


def _measure(measure: str, numbers: Mapping[str, int]) -> Any:
    if measure in call.c:
        return call.c[measure]
    refused = numbers.get(REFUSED, -1)
    match measure:
        case "calls":
            condition = call.c.status != refused
        case "refused":
            condition = call.c.status == refused
        case _:
            condition = call.c.status.in_([numbers.get(one, -1) for one in FAILED])
    return sa.case((condition, 1), else_=0)


async def _tags(connection: AsyncConnection, names: Names, numbers: set[int]) -> dict[int, tuple[int, ...]]:
    """The tags in each set of tags."""
    tags = {number: tags_of(text) for number, text in (await names.texts(connection, numbers)).items()}
    known = await names.known(connection, {tag for some in tags.values() for tag in some})
    return {number: tuple(known[tag] for tag in some) for number, some in tags.items()}


def _tags_that_count(tags: tuple[int, ...], question: Question) -> tuple[int, ...]:
    """Those wanted; none where the call does not count. A call that is not told apart by tag counts once."""
    if "tag" in question.where:
        tags = tuple(tag for tag in tags if tag in question.where["tag"])
        return tags if "tag" in question.by else tags[:1]
    return tags


def first_id(at_us: int) -> bytes:
    """The least id that a call of this millisecond can have."""
    return min(max(at_us, 0) // 1000, (1 << 48) - 1).to_bytes(6, "big") + bytes(10)
