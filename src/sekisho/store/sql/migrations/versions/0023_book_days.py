"""More and narrower roll-ups: most keep only months and days, hours are kept by the widest; days may be the books'.

The sums of the widest are those that there were. Those by tag are made of the calls; all others, in SQL alone, of the
widest.
"""

import json

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"

QUARTER, HOUR, DAY, MONTH = 0, 1, 2, 3
DAY_MS = 86_400_000
MEASURES = (
    *("calls", "failed", "refused", "input_tokens", "cache_read_tokens", "cache_write_5m_tokens"),
    *("cache_write_1h_tokens", "output_tokens", "reasoning_tokens", "list_cost_nanousd", "cost_nanousd"),
)
ALL = ("team", "user", "key", "repository", "agent", "model", "mode")
OF_ALL = {
    "spend_by_use": ("team", "user", "key", "agent", "model", "mode"),
    "spend_by_caller": ("team", "user", "key", "model"),
    "spend_by_key": ("team", "user", "key"),
    "spend_by_model": ("team", "model"),
    "spend_by_agent": ("team", "agent", "mode"),
    "spend_by_repository": ("team", "repository"),
}
TAG_ALL = ("tag", *ALL)
TAG_USE = ("tag", "team", "user", "key", "agent", "model", "mode")


def upgrade() -> None:
    op.add_column("installation", sa.Column("ahead_h", sa.Integer(), nullable=False, server_default="0"))
    _create("spend_by_all", ALL)
    for level in (HOUR, DAY, MONTH):
        _copy("spend_by_repository", level, "spend_by_all", ALL)
    for name in ("spend_by_repository", "spend_by_agent", "spend_by_caller", "spend_by_tag_model"):
        op.drop_table(name)
    for name, dimensions in OF_ALL.items():
        _create(name, dimensions)
        for level in (DAY, MONTH):
            _copy("spend_by_all", level, name, dimensions)
    op.execute(f"DELETE FROM spend_by_tag WHERE level = {QUARTER}")
    _create("spend_by_tag_all", TAG_ALL)
    _create("spend_by_tag_use", TAG_USE)
    connection = op.get_bind()
    if connection.execute(sa.text("SELECT 1 FROM call LIMIT 1")).scalar() is None:
        return
    _list_tags(connection)
    _add_up_calls(connection)
    connection.execute(sa.text("DROP TABLE tag_in_set"))
    for level in (DAY, MONTH):
        _copy("spend_by_tag_all", level - 1, "spend_by_tag_all", TAG_ALL, level, _bucket(connection, level))
        _copy("spend_by_tag_all", level, "spend_by_tag_use", TAG_USE)


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


def _copy(
    source: str, level: int, target: str, dimensions: tuple[str, ...], to_level: int | None = None, bucket: str = ""
) -> None:
    """Add the cells of a level up in another table, or in those of a longer level."""
    named = ", ".join(f'"{one}"' for one in dimensions)
    sums = ", ".join(f"sum({one})" for one in MEASURES)
    op.execute(
        f"INSERT INTO {target} ({_columns(dimensions)}) "
        f"SELECT org, {to_level or level}, {bucket or 'bucket'}, {named}, {sums} "
        f"FROM {source} WHERE level = {level} GROUP BY {_keys(dimensions)} ORDER BY {_keys(dimensions)}"
    )


def _columns(dimensions: tuple[str, ...]) -> str:
    return ", ".join(f'"{one}"' for one in ("org", "level", "bucket", *dimensions, *MEASURES))


def _keys(dimensions: tuple[str, ...]) -> str:
    return ", ".join(str(place + 1) for place in range(3 + len(dimensions)))


def _list_tags(connection: sa.Connection) -> None:
    """Which tags are in each set of tags, by number; a set is the number of a JSON list."""
    connection.execute(sa.text("CREATE TEMPORARY TABLE tag_in_set (tags INTEGER, tag INTEGER)"))
    sets = connection.execute(sa.text("SELECT id, text FROM name WHERE id IN (SELECT DISTINCT tags FROM call)")).all()
    add = sa.text("INSERT INTO tag_in_set VALUES (:tags, :tag)")
    for number, text in sets:
        for tag in dict.fromkeys(json.loads(text)) if text else ("",):
            connection.execute(add.bindparams(tags=number, tag=_number(connection, tag)))


def _number(connection: sa.Connection, text: str) -> int:
    """The number of this name, made if there is none."""
    find = sa.text("SELECT id FROM name WHERE text = :text").bindparams(text=text)
    number: int | None = connection.execute(find).scalar()
    if number is None:
        connection.execute(sa.text("INSERT INTO name (text) VALUES (:text)").bindparams(text=text))
        number = connection.execute(find).scalar_one()
    return number


def _add_up_calls(connection: sa.Connection) -> None:
    """The hours of ended calls by tag and everything else. Day by day: to sort all at once takes many times longer."""
    number = {one: _number(connection, one) for one in ("plan", "act", "refused", "failed", "interrupted")}
    failed = f"({number['failed']}, {number['interrupted']})"
    mode = f"CASE WHEN kind < 16 THEN 0 WHEN kind < 32 THEN {number['plan']} ELSE {number['act']} END"
    named = ", ".join(mode if one == "mode" else f'"{one}"' for one in TAG_ALL)
    counts = (
        f"sum(CASE WHEN status = {number['refused']} THEN 0 ELSE 1 END), "
        f"sum(CASE WHEN status IN {failed} THEN 1 ELSE 0 END), "
        f"sum(CASE WHEN status = {number['refused']} THEN 1 ELSE 0 END), "
    )
    sums = counts + ", ".join(f"sum({one})" for one in MEASURES[3:])
    key = ", ".join(f'"{one}"' for one in ("org", "level", "bucket", *TAG_ALL))
    added = ", ".join(f"{one} = spend_by_tag_all.{one} + excluded.{one}" for one in MEASURES)
    some = sa.text(
        f"INSERT INTO spend_by_tag_all ({_columns(TAG_ALL)}) "
        # org + 0: or SQLite reads every call by the index of changes
        f"SELECT org + 0, {HOUR}, started_at / 3600000000, {named}, {sums} "
        "FROM call JOIN tag_in_set ON tag_in_set.tags = call.tags "
        "WHERE duration_us IS NOT NULL AND call.id >= :first AND call.id < :last "
        f"GROUP BY {_keys(TAG_ALL)} ON CONFLICT ({key}) DO UPDATE SET {added}"
    )
    first, last = (
        connection.execute(sa.text(f"SELECT id FROM call ORDER BY id {way} LIMIT 1")).scalar_one()
        for way in ("ASC", "DESC")
    )
    for day in range(_day_of(first), _day_of(last) + 1):  # an id begins with its millisecond; its hour may be the next
        connection.execute(some.bindparams(first=_first_id(day), last=_first_id(day + 1)))


def _day_of(call_id: bytes) -> int:
    return int.from_bytes(call_id[:6], "big") // DAY_MS


def _first_id(day: int) -> bytes:
    return (day * DAY_MS).to_bytes(6, "big") + bytes(10)


def _bucket(connection: sa.Connection, level: int) -> str:
    """The number of the longer cell in which `bucket` lies."""
    if level == DAY:
        return "bucket / 24"
    if connection.dialect.name == "sqlite":
        month = "CAST(strftime('{}', bucket * 86400, 'unixepoch') AS INTEGER)"
        return f"{month.format('%Y')} * 12 + {month.format('%m')} - 1"
    month = "CAST(extract({} FROM to_timestamp(bucket * 86400::bigint) AT TIME ZONE 'UTC') AS INTEGER)"
    return f"{month.format('year')} * 12 + {month.format('month')} - 1"
