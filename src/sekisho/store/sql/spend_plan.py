"""Which cells of a roll-up make up a span of time: whole months, days and hours, and what is left at its ends.

A cell that a span only touches is either left out and its shorter part added from finer cells, or taken whole and the
other part subtracted, whichever reads less. Pure arithmetic, no I/O.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sekisho.ledger.windows import Span
from sekisho.store.sql.cells import QUARTER_US, Calendar, Level

FIRST_US = 0
LAST_US = 221_845_392_000_000_000  # the year 9000


class Part(NamedTuple):
    """Cells `first` <= number < `last` of a level; `sign` -1 takes them away. `group`: which span they belong to."""

    level: Level
    first: int
    last: int
    group: int
    sign: int


class Edge(NamedTuple):
    """A piece of time that is no whole cell: its calls are read themselves."""

    span: Span
    group: int
    sign: int


class Plan(NamedTuple):
    """All that must be read for some spans."""

    parts: list[Part]
    edges: list[Edge]
    calendar: Calendar


def plan(spans: Sequence[Span], levels: Sequence[Level], calendar: Calendar) -> Plan:
    """The cells of these levels (longest first; none: only calls) and the edges for each span."""
    made = Plan([], [], calendar)
    for group, span in enumerate(spans):
        start, end = max(span.starts_at, FIRST_US), min(span.ends_at, LAST_US)
        _cover(made, Span(start, end), tuple(levels), group, 1)
    return made


def _cover(made: Plan, span: Span, levels: tuple[Level, ...], group: int, sign: int) -> None:
    start, end = span.starts_at, span.ends_at
    if start >= end:
        return
    if not levels:
        made.edges.append(Edge(span, group, sign))
        return
    level, finer = levels[0], levels[1:]
    bucket, starts = made.calendar.bucket, made.calendar.start
    first, last = bucket(level, start // QUARTER_US), bucket(level, end // QUARTER_US)
    first_start, last_start = starts(level, first), starts(level, last)
    first_end, last_end = starts(level, first + 1), starts(level, last + 1)
    if first == last:
        if (end - start) * 2 <= first_end - first_start:
            _cover(made, span, finer, group, sign)
        else:
            made.parts.append(Part(level, first, first + 1, group, sign))
            _cover(made, Span(first_start, start), finer, group, -sign)
            _cover(made, Span(end, first_end), finer, group, -sign)
        return
    if start - first_start <= first_end - start:
        _cover(made, Span(first_start, start), finer, group, -sign)
    else:
        _cover(made, Span(start, first_end), finer, group, sign)
        first += 1
    if end - last_start <= last_end - end:
        _cover(made, Span(last_start, end), finer, group, sign)
    else:
        _cover(made, Span(end, last_end), finer, group, -sign)
        last += 1
    if first < last:
        made.parts.append(Part(level, first, last, group, sign))
