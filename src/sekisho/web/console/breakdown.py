"""Spend by day, week or month, sliced by whatever a manager asks: a chart, its table and its export from one query."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, get_args
from urllib.parse import urlencode

from msgspec.structs import replace
from starlette.responses import Response

from sekisho.access.money import usd_text
from sekisho.errors import BadRequest
from sekisho.ledger.windows import span_at
from sekisho.record.spend import Dimension, Period, Spend, SpendQuery
from sekisho.values import Usage, Window
from sekisho.web.admin.spend import FIELDS, within_sight
from sekisho.web.admin.times import parse_since, parse_until
from sekisho.web.console.costs import DAY_US, add_usage
from sekisho.web.console.edge import Visit
from sekisho.web.console.exports import csv_address, csv_file, wants_csv
from sekisho.web.console.filters import MAY_LACK, NOTHING, asked_value, filter_said, filter_words
from sekisho.web.console.language import Words
from sekisho.web.console.nav import ROOT
from sekisho.web.console.page import Page
from sekisho.web.console.parts import Parts
from sekisho.web.console.rows import agent_name

DIMENSIONS: tuple[Dimension, ...] = ("team", "user", "key", "tag", "model", "agent", "mode", "repository")
PERIODS: tuple[Period, ...] = ("day", "week", "month")
USUAL_DAYS: Mapping[Period, int] = {"day": 30, "week": 84, "month": 365}
# What a list of calls or of tasks can be narrowed by, so that it is the same calls as those of a slice.
_OF_CALLS = frozenset({*DIMENSIONS, "since", "until"})
_OF_TASKS = _OF_CALLS - {"tag", "model"}
MOST_SERIES = 5  # the sixth is the rest
_MOST_DAYS = 900
_FIRST_US = 366 * DAY_US  # what was before 1971 was before every call
_REST = "\0rest"  # no value: names have no such character
MOST_SLICES = 200  # of more the cheapest are one row; the export has all
_COUNTED = ("calls", "failed", "refused", "list_cost_nanousd", "cost_nanousd")
_CSV_HEAD = (
    *("period", "value", "calls", "failed", "refused", "input_tokens", "cache_read_tokens", "cache_write_5m_tokens"),
    *("cache_write_1h_tokens", "output_tokens", "cost_usd"),
)


def breakdown_pages(parts: Parts) -> tuple[Page, ...]:
    """The pages of this file."""
    return (Page("breakdown", _Breakdown(parts).show, place="breakdown"),)


@dataclass(frozen=True)
class Slice:
    """One row of the table: a value with its sums over the whole time, and the addresses of its calls and tasks."""

    value: str
    label: str
    calls: int
    refused: int
    usage: Usage
    cost_nanousd: int
    share: float
    address: str
    tasks: str


@dataclass(frozen=True)
class _Asked:
    """What the address asks for; what cannot be in it is taken for the usual."""

    by: Dimension
    period: Period
    query: SpendQuery
    plain: Mapping[str, str]

    def address(self, **changes: str) -> str:
        fields = {**self.plain, **changes}
        return f"{ROOT}/breakdown?{urlencode({name: value for name, value in fields.items() if value})}"


@dataclass
class _Breakdown:
    parts: Parts

    async def show(self, visit: Visit) -> Response:
        """The slices that the address asks for."""
        asked = self._asked(visit)
        words = self.parts.words(visit)
        if wants_csv(visit):
            return csv_file(f"spend-by-{asked.by}", _CSV_HEAD, _export(await self._spend(asked.query), asked, words))
        rows = await self._spend(asked.query) if asked.by == "tag" else []
        sums = _added_up(rows, asked.by) if rows else await self._spend(replace(asked.query, period=None))
        (whole,) = await self._spend(replace(asked.query, by=(), period=None))  # a call with two tags is in two slices
        labels = await self._labels(asked.by, {_value(row, asked.by) for row in sums}, words)
        slices = _slices(sums, asked, labels, words)
        return self.parts.drawing.page(
            visit,
            "breakdown.html",
            m=words,
            asked=asked,
            slices=slices[:MOST_SLICES],
            rest=slices[MOST_SLICES:],
            chart=_chart(await self._periods(asked, slices, rows), slices, asked, labels, words) if slices else None,
            total=whole.cost_nanousd,
            usage=whole.usage,
            dimensions=[(words(f"by.{one}"), asked.address(by=one), one == asked.by) for one in DIMENSIONS],
            periods=[(words(f"window.{one}"), asked.address(period=one), one == asked.period) for one in PERIODS],
            chips=[
                (name, filter_said(name, value, words), asked.address(**{name: ""}))
                for name, value in asked.plain.items()
                if name in DIMENSIONS or name in ("since", "until")
            ],
            csv=csv_address(visit),
        )

    async def _spend(self, query: SpendQuery) -> list[Spend]:
        return await self.parts.services.spend.spend(self.parts.services.org_id, query)

    async def _periods(
        self, asked: _Asked, slices: Sequence[Slice], rows: Sequence[Spend]
    ) -> dict[str, dict[int, int]]:
        """What each slice that is drawn cost by period, and the others together as `_REST`: not every day of thousands
        of slices is read, but those of the few and of all together. Of tags all are, since their sums overlap."""
        query, shown = asked.query, [one.value for one in slices[:MOST_SERIES]]
        sums: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
        for row in rows:
            value = _value(row, asked.by)
            sums[value if value in shown else _REST][row.starts_at or 0] += row.cost_nanousd
        if rows:
            return sums
        for row in await self._spend(replace(query, by=())):
            sums[_REST][row.starts_at or 0] = row.cost_nanousd
        for row in await self._spend(replace(query, where={**query.where, asked.by: tuple(shown)})):
            sums[_value(row, asked.by)][row.starts_at or 0] = row.cost_nanousd
            sums[_REST][row.starts_at or 0] -= row.cost_nanousd
        return sums

    def _asked(self, visit: Visit) -> _Asked:
        given = visit.request.query_params
        by: Dimension = given["by"] if given.get("by") in DIMENSIONS else "team"  # type: ignore[assignment]
        period: Period = given["period"] if given.get("period") in get_args(Period) else "day"  # type: ignore[assignment]
        zone = self.parts.zone
        plain = {name: given[name][:401] for name in (*DIMENSIONS, "since", "until", "by", "period") if given.get(name)}
        since, until = self._span(plain, period, self.parts.words(visit))
        if "team" in plain:
            visit.need_team(plain["team"])
        where: dict[Dimension, tuple[str, ...]] = {
            one: (asked_value(plain[one]),) for one in DIMENSIONS if one in plain
        }
        query = SpendQuery((by,), period, since, until, zone.key, within_sight(where, visit.who))
        return _Asked(by, period, query, plain)

    def _span(self, plain: dict[str, str], period: Period, words: Words) -> tuple[int, int]:
        """The time that the fields ask for; what cannot be is taken for the usual, and then the fields say that."""
        zone = self.parts.zone
        try:
            wanted = (
                parse_since(plain.get("since"), "since", zone),
                parse_until(plain.get("until"), "until", zone),
            )
        except BadRequest:
            wanted = (None, None)
        since, until = wanted
        if until is None or until < _FIRST_US:
            now_us = self.parts.services.clock.now_us()
            until = parse_until(words.moment(now_us).date().isoformat(), "until", zone) or now_us
        if since is None or since >= until:
            first = words.moment(until - 1).date() - timedelta(days=USUAL_DAYS[period] - 1)
            since = parse_since(first.isoformat(), "since", zone) or 0
        since = max(since, until - _MOST_DAYS * DAY_US)
        for name, asked, found in (("since", wanted[0], since), ("until", wanted[1], until - 1)):
            if name in plain and asked != (since if name == "since" else until):
                plain[name] = f"{words.moment(found):%Y-%m-%d}"
        return since, until

    async def _labels(self, by: Dimension, values: set[str], words: Words) -> dict[str, str]:
        """What to show for each value."""
        services = self.parts.services
        labels = {value: value for value in values}
        if by == "key":
            labels |= {key: one.alias or key for key, one in (await services.keys.labels(values)).items()}
        elif by == "team":
            labels |= {one.id: one.alias or one.id for one in await services.teams.list(limit=2000)}
        elif by == "agent":
            labels = {value: agent_name(value) for value in values}
        elif by == "mode":
            labels = {value: filter_said("mode", value, words) for value in values}
        return labels | {"": filter_said(by, NOTHING, words)}


def _value(row: Spend, by: Dimension) -> str:
    value: str = getattr(row, FIELDS[by])
    return value


def _added_up(rows: Sequence[Spend], by: Dimension) -> list[Spend]:
    """One sum for each value."""
    groups: dict[str, list[Spend]] = defaultdict(list)
    for row in rows:
        groups[_value(row, by)].append(row)
    return [
        replace(
            some[0],
            starts_at=None,
            usage=add_usage(row.usage for row in some),
            **{measure: sum(getattr(row, measure) for row in some) for measure in _COUNTED},
        )
        for some in groups.values()
    ]


def _slices(sums: Sequence[Spend], asked: _Asked, labels: Mapping[str, str], words: Words) -> list[Slice]:
    top = max((row.cost_nanousd for row in sums), default=0) or 1
    kept = {name: value for name, value in asked.plain.items() if name not in ("by", "period")}
    ends = {"since": asked.query.since or 0, "until": (asked.query.until or 0) - 1}
    kept = {name: f"{words.moment(at):%Y-%m-%d}" for name, at in ends.items()} | kept
    made = []
    for row in sorted(sums, key=lambda row: (-row.cost_nanousd, _value(row, asked.by))):
        value = _value(row, asked.by)
        made.append(
            Slice(
                value=value,
                label=labels.get(value, value),
                calls=row.calls,
                refused=row.refused,
                usage=row.usage,
                cost_nanousd=row.cost_nanousd,
                share=round(100 * row.cost_nanousd / top, 1),
                address=_list("calls", _OF_CALLS, asked.by, value, kept),
                tasks=_list("tasks", _OF_TASKS, asked.by, value, kept),
            )
        )
    return made


def _list(place: str, filters: Collection[str], by: Dimension, value: str, kept: Mapping[str, str]) -> str:
    """The address of the calls or the tasks of a slice; none where no list can be narrowed to it."""
    if not {by, *kept} <= set(filters) or not (value or by in MAY_LACK):
        return ""
    return f"{ROOT}/{place}?{urlencode({**kept, **filter_words({by: value})})}"


def _chart(
    sums: Mapping[str, Mapping[int, int]],
    slices: Sequence[Slice],
    asked: _Asked,
    labels: Mapping[str, str],
    words: Words,
) -> dict[str, Any]:
    """What the script draws: the dearest slices, the rest together, for each period in dollars."""
    starts = _starts(asked)
    series = [(labels.get(one.value, one.value), sums.get(one.value, {})) for one in slices[:MOST_SERIES]]
    series.append((str(words("by.rest")), sums.get(_REST, {})))
    filters: dict[str, str] = {name: value for name, value in asked.plain.items() if name in DIMENSIONS}
    return {
        "kind": "stacked",
        "names": [words.month(at) if asked.period == "month" else words.date(at) for at in starts],
        "series": [
            {"name": name, "values": [by_start.get(at, 0) / 1e9 for at in starts]}
            for name, by_start in series
            if any(by_start.values())
        ],
        "words": {"sum": str(words("by.sum")), "calls": str(words("chart.calls"))},
        "dates": [f"{words.moment(at):%Y-%m-%d}" for at in starts],
        "ends": [f"{words.moment(end - 1):%Y-%m-%d}" for end in (*starts[1:], asked.query.until or 0)],
        "open": f"{ROOT}/calls?{urlencode(filters)}&since={{day}}&until={{day}}",
    }


def _starts(asked: _Asked) -> list[int]:
    """The first moments of all periods asked for, also of those in which nothing was spent; the first may be cut."""
    query = asked.query
    assert query.since is not None
    assert query.until is not None
    found, at = [], query.since
    while at < query.until:
        span = span_at(Window(asked.period, query.time_zone), at)
        assert span is not None
        found.append(max(span.starts_at, query.since))
        at = span.ends_at
    return found


def _export(rows: Sequence[Spend], asked: _Asked, words: Words) -> list[tuple[object, ...]]:
    return [
        (
            *(f"{words.moment(row.starts_at or 0):%Y-%m-%d}", _value(row, asked.by)),
            *(row.calls, row.failed, row.refused, row.usage.input_tokens, row.usage.cache_read_tokens),
            *(row.usage.cache_write_5m_tokens, row.usage.cache_write_1h_tokens, row.usage.output_tokens),
            usd_text(row.cost_nanousd),
        )
        for row in rows
    ]
