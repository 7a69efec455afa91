"""Spend by plan/act mode and by repository: calls say their repository, and three roll-ups know mode or both.

Calls from before take the repository of their task; their columns stand in an order without padding again. The sums are
made of the calls, in SQL alone: the finest cells from the calls, each longer level from the one below it.
"""

import json

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"

HOUR, DAY, MONTH = 1, 2, 3
MEASURES = (
    *("calls", "failed", "refused", "input_tokens", "cache_read_tokens", "cache_write_5m_tokens"),
    *("cache_write_1h_tokens", "output_tokens", "reasoning_tokens", "list_cost_nanousd", "cost_nanousd"),
)
WIDE = ("change", "started_at", "duration_us", "upstream_us", "reserved_nanousd", "list_cost_nanousd", "cost_nanousd")
NUMBERS = (
    *("org", "key", "user", "team", "tags", "agent", "agent_version", "session", "door", "model"),
    *("status", "stage", "stop_reason", "error", "price_version", "price_scope"),
)
REST = (
    *("deployment", "sent_us", "first_byte_us", "request_bytes", "input_tokens", "cache_read_tokens"),
    *("cache_write_5m_tokens", "cache_write_1h_tokens", "output_tokens", "reasoning_tokens"),
)
FLAGS = ("stream", "has_caller", "is_metered", "client_left")
BYTES = ("id", "stages_us", "upstream_request_id")
INDEXES = {
    "call_org_change_ix": ["org", "change"],
    "call_key_id_ix": ["key", "id"],
    "call_user_id_ix": ["user", "id"],
    "call_task_id_ix": ["task", "id"],
}
ROLL_UPS = {
    "spend_by_agent": ("team", "agent", "model", "mode"),
    "spend_by_tag_model": ("tag", "team", "model", "mode"),
    "spend_by_repository": ("repository", "key", "user", "team", "agent", "model", "mode"),
}


def upgrade() -> None:
    _rebuild_calls()
    op.drop_table("spend_by_agent")
    op.drop_table("spend_by_tag_model")
    for name, dimensions in ROLL_UPS.items():
        _create(name, dimensions)
    connection = op.get_bind()
    if connection.execute(sa.text("SELECT 1 FROM call LIMIT 1")).scalar() is None:
        return
    _list_tags(connection)
    for name, dimensions in ROLL_UPS.items():
        for finer, level in ((None, HOUR), (HOUR, DAY), (DAY, MONTH)):
            _fill(connection, name, dimensions, finer, level)
    connection.execute(sa.text("DROP TABLE tag_in_set"))


def _rebuild_calls() -> None:
    for name in INDEXES:
        op.drop_index(name, "call")
    op.rename_table("call", "call_before")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE call_before RENAME CONSTRAINT call_pk TO call_before_pk")
    op.create_table(
        "call",
        *(sa.Column(name, sa.BigInteger(), nullable=name == "duration_us") for name in WIDE),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in NUMBERS),
        *(sa.Column(name, sa.Integer(), nullable=False, server_default="0") for name in ("task", "repository")),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in REST),
        sa.Column("kind", sa.SmallInteger(), nullable=False, server_default="0"),
        *(sa.Column(name, sa.Boolean(), nullable=False) for name in FLAGS),
        sa.Column("id", sa.LargeBinary(length=16), nullable=False),
        *(sa.Column(name, sa.LargeBinary(), nullable=False) for name in BYTES[1:]),
        sa.PrimaryKeyConstraint("id", name=op.f("call_pk")),
        sqlite_with_rowid=False,
    )
    same = (*WIDE, *NUMBERS, "task", *REST, "kind", *FLAGS, *BYTES)
    columns, values = (", ".join(f'{of}"{name}"' for name in same) for of in ("", "old."))
    op.execute(
        f"INSERT INTO call ({columns}, repository) SELECT {values}, coalesce(task.repository, 0) "
        "FROM call_before AS old LEFT JOIN task ON task.number = old.task ORDER BY old.id"
    )
    op.drop_table("call_before")
    for name, indexed in INDEXES.items():
        op.create_index(name, "call", indexed, unique=False)


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


def _fill(connection: sa.Connection, name: str, dimensions: tuple[str, ...], finer: int | None, level: int) -> None:
    """The cells of one level."""
    if finer is None:
        source, bucket, named, sums = _of_calls(connection, dimensions)
    else:
        source, bucket = f"{name} WHERE level = {finer}", _bucket(connection, level)
        named = ", ".join(f'"{one}"' for one in dimensions)
        sums = ", ".join(f"sum({one})" for one in MEASURES)
    columns = ", ".join(f'"{one}"' for one in ("org", "level", "bucket", *dimensions, *MEASURES))
    keys = ", ".join(str(place + 1) for place in range(3 + len(dimensions)))
    connection.execute(
        sa.text(
            f"INSERT INTO {name} ({columns}) SELECT org, {level}, {bucket}, {named}, {sums} FROM {source} "
            f"GROUP BY {keys}"
        )
    )


def _of_calls(connection: sa.Connection, dimensions: tuple[str, ...]) -> tuple[str, str, str, str]:
    """Where ended calls come from, their hour, their names and their sums."""
    number = {one: _number(connection, one) for one in ("plan", "act", "refused", "failed", "interrupted")}
    failed = f"({number['failed']}, {number['interrupted']})"
    source = "call"
    if "tag" in dimensions:
        source += " JOIN tag_in_set ON tag_in_set.tags = call.tags"
    mode = f"CASE WHEN kind < 16 THEN 0 WHEN kind < 32 THEN {number['plan']} ELSE {number['act']} END"
    counts = (
        f"sum(CASE WHEN status = {number['refused']} THEN 0 ELSE 1 END), "
        f"sum(CASE WHEN status IN {failed} THEN 1 ELSE 0 END), "
        f"sum(CASE WHEN status = {number['refused']} THEN 1 ELSE 0 END), "
    )
    return (
        f"{source} WHERE duration_us IS NOT NULL",
        "started_at / 3600000000",
        ", ".join(mode if one == "mode" else f'"{one}"' for one in dimensions),
        counts + ", ".join(f"sum({one})" for one in MEASURES[3:]),
    )


def _bucket(connection: sa.Connection, level: int) -> str:
    """The number of the longer cell in which `bucket` lies."""
    if level == DAY:
        return "bucket / 24"
    if connection.dialect.name == "sqlite":
        month = "CAST(strftime('{}', bucket * 86400, 'unixepoch') AS INTEGER)"
        return f"{month.format('%Y')} * 12 + {month.format('%m')} - 1"
    month = "CAST(extract({} FROM to_timestamp(bucket * 86400::bigint) AT TIME ZONE 'UTC') AS INTEGER)"
    return f"{month.format('year')} * 12 + {month.format('month')} - 1"
