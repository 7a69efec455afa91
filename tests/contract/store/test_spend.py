"""Spend, against a slow sum over every call: any grouping, filter, span and time zone, on both engines."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sekisho.errors import BadRequest
from sekisho.ledger.journal import Caller, Opened, Record, Refused, Settled, TaskNote
from sekisho.ledger.journal_files import Batch, Segment
from sekisho.ledger.windows import Span
from sekisho.record.spend import Dimension, Period, Spend, SpendQuery
from sekisho.store.sql.book_days import hours_ahead, keep_days_of
from sekisho.store.sql.cells import Calendar, Level
from sekisho.store.sql.ledger import SqlLedger
from sekisho.store.sql.names import Names
from sekisho.store.sql.roll_ups import DAILY, HOURLY, QUARTERLY, ROLL_UPS
from sekisho.store.sql.spend import SqlSpend
from sekisho.store.sql.spend_plan import plan
from sekisho.store.sql.tables.ledger import call
from sekisho.values import Usage
from tests.contract.store.cells import cells_kept, cells_of_calls
from tests.thorough import examples

NOW = 1_763_035_200_000_000
MINUTE_US = 60_000_000
DAY_US = 1440 * MINUTE_US
ZONES = ("UTC", "Asia/Tokyo", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe", "America/New_York")
DIMENSIONS: tuple[Dimension, ...] = ("key", "user", "team", "tag", "model", "agent", "mode", "repository")

callers = st.builds(
    Caller,
    st.just("default"),
    st.sampled_from(["key-a", "key-b"]),
    st.sampled_from(["alice", "bob", ""]),
    st.sampled_from(["red", "blue", ""]),
    st.lists(st.sampled_from(["x", "y", "z"]), max_size=3).map(tuple),
    st.sampled_from(["cline", "codex"]),
)
times = st.one_of(
    st.integers(NOW - 70 * DAY_US, NOW + DAY_US),
    st.builds(  # on an edge of a quarter of an hour, or beside it
        lambda quarter, off: (NOW // (15 * MINUTE_US) + quarter) * 15 * MINUTE_US + off,
        st.integers(-3_000, 90),
        st.integers(-2, 2),
    ),
)
tasks = st.one_of(
    st.none(),
    st.builds(
        lambda number, mode, repository: TaskNote(bytes([number]) * 16, b"", mode, "human", repository),
        st.integers(1, 3),
        st.sampled_from(["plan", "act", ""]),
        st.sampled_from(["shop", "infra", ""]),
    ),
)
calls_made = st.tuples(
    callers, st.sampled_from(["claude", "nova"]), times, st.integers(0, 10**12), st.sampled_from("ofri"), tasks
)
values: dict[Dimension, list[str]] = {
    "key": ["key-a", "key-b", "never"],
    "user": ["alice", ""],
    "team": ["red", "blue", ""],
    "tag": ["x", "y", ""],
    "model": ["claude", "never"],
    "agent": ["cline"],
    "mode": ["plan", "act", ""],
    "repository": ["shop", ""],
}
filters = st.dictionaries(st.sampled_from(DIMENSIONS), st.just(None), max_size=2).flatmap(
    lambda chosen: st.fixed_dictionaries(
        {one: st.lists(st.sampled_from(values[one]), min_size=1, max_size=2, unique=True).map(tuple) for one in chosen}
    )
)


@st.composite
def queries(draw: st.DrawFn) -> SpendQuery:
    since, until = sorted((draw(times), draw(times)))
    period: Period | None = draw(st.sampled_from([None, None, "day", "week", "month"]))
    return SpendQuery(
        by=tuple(draw(st.lists(st.sampled_from(DIMENSIONS), max_size=3, unique=True))),
        period=period,
        since=since if period else draw(st.sampled_from([since, None])),
        until=until if period else draw(st.sampled_from([until, None])),
        time_zone=draw(st.sampled_from(ZONES)),
        where=draw(filters),
    )


def records_of(made: list[Any]) -> Iterator[tuple[Record, ...]]:
    """What the journal says of each call: ok, failed, refused, or interrupted by the end of its process."""
    for number, (caller, model, at, cost, end, task) in enumerate(made):
        call_id = (at // 1000).to_bytes(6, "big") + number.to_bytes(10, "big")
        opened = Opened(call_id, at, caller, "openai_chat", model, False, 10, cost, task=task)
        if end == "r":
            yield (
                Refused(
                    call_id, at, at + 5, caller, "openai_chat", model, "admit", "budget_exceeded", "No.", (), task=task
                ),
            )
        elif end == "i":
            yield (opened,)
        else:
            status: Any = "ok" if end == "o" else "failed"
            usage = Usage(number, 2, 3, 4, 5, 1)
            yield (
                opened,
                Settled(call_id, at + 9, status, None, "", "", True, False, usage, cost + 1, cost, (), 1, 1, ()),
            )


def first_moment(at_us: int, period: Period, zone: ZoneInfo) -> int:
    """When the period that holds this time begins, by the calendar of the standard library."""
    day = datetime.fromtimestamp(at_us // 10**6, zone).date()
    if period == "week":
        day -= timedelta(days=day.weekday())
    elif period == "month":
        day = day.replace(day=1)
    return int(datetime.combine(day, time(), zone).astimezone(UTC).timestamp()) * 10**6


def slow(made: list[Any], query: SpendQuery) -> dict[tuple[Any, ...], Counter[str]]:
    zone = ZoneInfo(query.time_zone)
    sums: dict[tuple[Any, ...], Counter[str]] = {}
    for number, (caller, model, at, cost, end, task) in enumerate(made):
        who = {"key": (caller.key_id,), "user": (caller.user_id,), "team": (caller.team_id,)}
        who |= {"tag": tuple(sorted(set(caller.tags))) or ("",), "model": (model,), "agent": (caller.agent,)}
        who |= {"mode": (task.mode if task else "",), "repository": (task.repository if task else "",)}
        if at < (query.since or 0) or at >= (query.until or at + 1):
            continue
        if any(not set(who[one]) & set(wanted) for one, wanted in query.where.items()):
            continue
        starts_at = max(first_moment(at, query.period, zone), query.since or 0) if query.period else None
        tags = tuple(tag for tag in who["tag"] if tag in query.where.get("tag", who["tag"]))
        for tag in tags if "tag" in query.by else ("",):
            key = (starts_at, *(tag if one == "tag" else who[one][0] for one in query.by))
            add = Counter(calls=end != "r", failed=end in "fi", refused=end == "r")
            if end in "of":
                add.update(input=number, output=5, cost=cost, list=cost + 1)
            elif end == "i":
                add.update(cost=cost, list=cost)
            sums.setdefault(key, Counter()).update(add)
    return {key: +add for key, add in sums.items()}


def shown(rows: list[Spend], query: SpendQuery) -> dict[tuple[Any, ...], Counter[str]]:
    names = {"key": "key_id", "user": "user_id", "team": "team_id"}
    found = {}
    for row in rows:
        key = (row.starts_at, *(getattr(row, names.get(one, one)) for one in query.by))
        add = Counter(calls=row.calls, failed=row.failed, refused=row.refused, input=row.usage.input_tokens)
        add.update(output=row.usage.output_tokens, cost=row.cost_nanousd, list=row.list_cost_nanousd)
        found[key] = +add
    return found


@given(
    made=st.lists(calls_made, max_size=25),
    asked=st.lists(queries(), min_size=1, max_size=5),
    order=st.randoms(use_true_random=False),
    books=st.tuples(st.sampled_from(ZONES), st.sampled_from(ZONES)),
)
@settings(max_examples=examples(15), suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_every_sum_is_that_of_the_calls(database, made, asked, order, books):
    """Whoever's days the cells are, and when the books move to another time zone while calls are booked."""
    async with database.write() as connection:
        for table in (call, *(roll_up.table for roll_up in ROLL_UPS)):
            await connection.execute(table.delete())
    records = [record for some in records_of(made) for record in some]
    order.shuffle(records)  # settlements before openings: such calls move to another cell
    ledger = SqlLedger(database, Names(database))
    for start in range(0, len(records), 7):
        await keep_days_of(database, books[start > len(records) // 2])
        await ledger.apply(Batch(Segment("p", 1), start + 7, tuple(records[start : start + 7])))
    await ledger.interrupt("p", NOW + 2 * DAY_US)
    assert await cells_kept(database) == await cells_of_calls(database)
    spend = SqlSpend(database, Names(database))
    for query in asked:
        rows = await spend.spend("default", query)
        expected = slow(made, query)
        if not (query.by or query.period):
            expected = expected or {(None,): Counter()}
        assert shown(rows, query) == expected
        assert [(row.starts_at or 0, -row.cost_nanousd) for row in rows] == sorted(
            (row.starts_at or 0, -row.cost_nanousd) for row in rows
        )


@given(
    start=st.integers(0, 3 * 10**15),
    length=st.one_of(st.integers(1, 10**14), st.integers(1, 40_000).map(lambda n: n * 15 * MINUTE_US)),
    levels=st.sampled_from([DAILY, HOURLY, QUARTERLY]),
    calendar=st.builds(Calendar, st.integers(-12, 14)),
)
def test_the_cells_of_a_span_cover_each_moment_once(start, length, levels, calendar):
    made = plan([Span(start, start + length)], levels, calendar)
    changes: Counter[int] = Counter()  # how much the cover gains at a moment
    starts = calendar.start
    pieces = [(starts(one.level, one.first), starts(one.level, one.last), one.sign) for one in made.parts]
    for first, last, sign in pieces + [(edge.span.starts_at, edge.span.ends_at, edge.sign) for edge in made.edges]:
        changes[first] += sign
        changes[last] -= sign
    assert {at: gain for at, gain in changes.items() if gain} == {start: 1, start + length: -1}
    assert sum(one.last - one.first for one in made.parts if one.level is not Level.MONTH) <= 2 * (16 + 12 + 2)
    longest = DAY_US // 2 if levels is DAILY else 30 * MINUTE_US
    assert all(edge.span.ends_at - edge.span.starts_at <= longest for edge in made.edges)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/Los_Angeles"])
def test_a_month_of_the_books_begins_on_its_first_day(zone):
    calendar = Calendar(hours_ahead(zone))
    months = [date(year, month, 1) for year in (1971, 2024, 2100) for month in (1, 3)]
    for day in months:
        starts_at = calendar.start(Level.MONTH, day.year * 12 + day.month - 1)
        assert datetime.fromtimestamp(starts_at // 10**6, ZoneInfo(zone)) == datetime.combine(
            day, time(), ZoneInfo(zone)
        )
        assert calendar.bucket(Level.MONTH, starts_at // (15 * MINUTE_US)) == day.year * 12 + day.month - 1
        assert calendar.bucket(Level.MONTH, starts_at // (15 * MINUTE_US) - 1) == day.year * 12 + day.month - 2


@pytest.mark.parametrize(
    ("name", "first", "cells"),
    [
        ("Asia/Tokyo", date(2026, 7, 1), 1),
        ("America/New_York", date(2026, 1, 1), 1),
        ("America/New_York", date(2026, 7, 1), 3),  # clocks are an hour forward
    ],
)
@pytest.mark.parametrize(("days", "level"), [(1, Level.DAY), (31, Level.MONTH)])
def test_a_day_of_the_books_is_one_cell_and_so_is_a_month(name, first, cells, days, level):
    zone = ZoneInfo(name)
    ends = [datetime.combine(one, time(), zone) for one in (first, first + timedelta(days))]
    made = plan([Span(*(int(one.timestamp()) * 10**6 for one in ends))], HOURLY, Calendar(hours_ahead(name)))
    assert not made.edges
    assert [one.level for one in made.parts].count(level) == 1
    assert sum(one.last - one.first for one in made.parts) == cells


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (SpendQuery(period="day", since=0, until=2000 * DAY_US), "at most 1000"),
        (SpendQuery(period="day", since=0), "both ends"),
        (SpendQuery(time_zone="Mars/Olympus"), "no time zone"),
    ],
)
async def test_a_question_that_cannot_be_answered_is_refused(database, query, words):
    with pytest.raises(BadRequest, match=words):
        await SqlSpend(database, Names(database)).spend("default", query)


async def test_another_organisation_sees_nothing(database, names):
    made = [(Caller("default", "key-a", "alice", "red"), "claude", NOW, 7, "o", None)]
    (records,) = records_of(made)
    await SqlLedger(database, names).apply(Batch(Segment("p", 1), 1, records))
    spend = SqlSpend(database, names)
    assert await spend.spend("another", SpendQuery(by=("team",))) == []
    assert await spend.spend("another", SpendQuery()) == [Spend()]
