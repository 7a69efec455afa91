"""Narrow sums of calls at several levels of time, in place of the daily ones and those by the quarter of an hour.

They are built from the calls themselves, one UTC month after the other.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

QUARTER_US = 900_000_000
QUARTER, HOUR, DAY, MONTH = range(4)
MEASURES = (
    *("calls", "failed", "refused", "input_tokens", "cache_read_tokens", "cache_write_5m_tokens"),
    *("cache_write_1h_tokens", "output_tokens", "reasoning_tokens", "list_cost_nanousd", "cost_nanousd"),
)
ROLL_UPS = {
    "spend_by_team": ("team",),
    "spend_by_agent": ("team", "agent", "model"),
    "spend_by_tag": ("tag", "team"),
    "spend_by_tag_model": ("tag", "team", "model"),
    "spend_by_caller": ("key", "user", "team", "model"),
}
WITH_QUARTERS = ("spend_by_team", "spend_by_tag")

Sums = dict[tuple[str, tuple[int, ...]], list[int]]  # (table, primary key): measures


def upgrade() -> None:
    for name, dimensions in ROLL_UPS.items():
        _create(name, dimensions)
    _fill()
    op.drop_table("spend_day")
    op.drop_table("spend_quarter")


def _create(name: str, dimensions: tuple[str, ...]) -> None:
    op.create_table(
        name,
        sa.Column("org", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("level", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("bucket", sa.Integer(), autoincrement=False, nullable=False),
        *(sa.Column(one, sa.Integer(), autoincrement=False, nullable=False) for one in dimensions),
        *(sa.Column(one, sa.BigInteger(), nullable=False) for one in MEASURES),
        sa.PrimaryKeyConstraint("org", "level", "bucket", *dimensions, name=op.f(f"{name}_pk")),
        sqlite_with_rowid=False,
    )


def _fill() -> None:
    connection = op.get_bind()
    first, last = connection.execute(sa.text("SELECT min(started_at), max(started_at) FROM call")).one()
    if first is None:
        return
    found = connection.execute(sa.text("SELECT text, id FROM name WHERE text IN ('refused', 'failed', 'interrupted')"))
    status: dict[str, int] = {text: number for text, number in found}
    known = _Tags(connection)
    for start, end in _months(first, last):
        sums: Sums = {}
        for row in connection.execute(_calls_of(start, end, status)).all():
            org, key, user, team, tags, agent, model, quarter, *measures = row
            for table, names in _cells(key, user, team, known.of(tags), agent, model):
                for level in (MONTH, DAY, HOUR, QUARTER) if table in WITH_QUARTERS else (MONTH, DAY, HOUR):
                    cell = (table, (org, level, _bucket(level, int(quarter)), *names))
                    cell_sums = sums.setdefault(cell, [0] * len(MEASURES))
                    for position, measure in enumerate(measures):
                        cell_sums[position] += int(measure)
        _write(sums)


def _months(first_us: int, last_us: int) -> Iterator[tuple[int, int]]:
    at = datetime.fromtimestamp(first_us // 10**6, UTC)
    month = at.year * 12 + at.month - 1
    while _month_start(month) <= last_us:
        yield _month_start(month), _month_start(month + 1)
        month += 1


def _month_start(month: int) -> int:
    return int(datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC).timestamp()) * 10**6


def _calls_of(start: int, end: int, status: dict[str, int]) -> sa.TextClause:
    refused = status.get("refused", -1)
    failed = f"{status.get('failed', -1)}, {status.get('interrupted', -1)}"
    groups = 'org, "key", "user", team, tags, agent, model, started_at / 900000000'
    counts = (
        f"sum(CASE WHEN status = {refused} THEN 0 ELSE 1 END), "
        f"sum(CASE WHEN status IN ({failed}) THEN 1 ELSE 0 END), "
        f"sum(CASE WHEN status = {refused} THEN 1 ELSE 0 END)"
    )
    rest = ", ".join(f"sum({one})" for one in MEASURES[3:])
    return sa.text(
        f"SELECT {groups}, {counts}, {rest} FROM call WHERE duration_us IS NOT NULL "
        f"AND started_at >= {start} AND started_at < {end} GROUP BY 1, 2, 3, 4, 5, 6, 7, 8"
    )


def _cells(
    key: int, user: int, team: int, tags: tuple[int, ...], agent: int, model: int
) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "spend_by_team", (team,)
    yield "spend_by_agent", (team, agent, model)
    yield "spend_by_caller", (key, user, team, model)
    for tag in tags:
        yield "spend_by_tag", (tag, team)
        yield "spend_by_tag_model", (tag, team, model)


class _Tags:
    """The numbers of the tags in each set of tags, which is the number of a JSON list."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self._known: dict[int, tuple[int, ...]] = {0: (0,)}

    def of(self, number: int) -> tuple[int, ...]:
        if number not in self._known:
            text = self._connection.execute(sa.text(f"SELECT text FROM name WHERE id = {number}")).scalar_one()
            self._known[number] = tuple(map(self._number, dict.fromkeys(json.loads(text))))
        return self._known[number]

    def _number(self, tag: str) -> int:
        find = sa.text("SELECT id FROM name WHERE text = :tag").bindparams(tag=tag)
        number: int | None = self._connection.execute(find).scalar()
        if number is None:
            self._connection.execute(sa.text("INSERT INTO name (text) VALUES (:tag)").bindparams(tag=tag))
            number = self._connection.execute(find).scalar_one()
        return number


def _bucket(level: int, quarter: int) -> int:
    if level == MONTH:
        at = datetime.fromtimestamp(quarter * 900, UTC)
        return at.year * 12 + at.month - 1
    return quarter // {QUARTER: 1, HOUR: 4, DAY: 96}[level]


def _write(sums: Sums) -> None:
    for table, dimensions in ROLL_UPS.items():
        columns = ("org", "level", "bucket", *dimensions, *MEASURES)
        rows = [
            dict(zip(columns, (*key, *measures), strict=True))
            for (name, key), measures in sums.items()
            if name == table
        ]
        if rows:
            op.bulk_insert(sa.table(table, *map(sa.column, columns)), rows)
