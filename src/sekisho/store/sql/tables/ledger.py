"""Calls and what is summed from them: rows, attempts, tasks, prompt caches, spend, events."""

import sqlalchemy as sa

from sekisho.store.sql.tables.schema import metadata

call = sa.Table(
    "call",  # wide columns first: PostgreSQL pads a narrow one before a wide one
    metadata,
    sa.Column("change", sa.BigInteger, nullable=False),
    sa.Column("started_at", sa.BigInteger, nullable=False),
    sa.Column("duration_us", sa.BigInteger),  # NULL: running
    sa.Column("upstream_us", sa.BigInteger, nullable=False),
    sa.Column("reserved_nanousd", sa.BigInteger, nullable=False),
    sa.Column("list_cost_nanousd", sa.BigInteger, nullable=False),
    sa.Column("cost_nanousd", sa.BigInteger, nullable=False),
    sa.Column("org", sa.Integer, nullable=False),
    sa.Column("key", sa.Integer, nullable=False),
    sa.Column("user", sa.Integer, nullable=False),
    sa.Column("team", sa.Integer, nullable=False),
    sa.Column("tags", sa.Integer, nullable=False),
    sa.Column("agent", sa.Integer, nullable=False),
    sa.Column("agent_version", sa.Integer, nullable=False),
    sa.Column("session", sa.Integer, nullable=False),
    sa.Column("door", sa.Integer, nullable=False),
    sa.Column("model", sa.Integer, nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("stage", sa.Integer, nullable=False),
    sa.Column("stop_reason", sa.Integer, nullable=False),  # with the tools that were called, see `endings`
    sa.Column("error", sa.Integer, nullable=False),
    sa.Column("price_version", sa.Integer, nullable=False),
    sa.Column("price_scope", sa.Integer, nullable=False),
    sa.Column("task", sa.Integer, nullable=False, server_default="0"),  # its number, 0: none
    sa.Column("repository", sa.Integer, nullable=False, server_default="0"),
    sa.Column("deployment", sa.Integer, nullable=False),  # of the only attempt, where this row says all of it
    sa.Column("sent_us", sa.Integer, nullable=False),  # from the start of the call to that of the only attempt
    sa.Column("first_byte_us", sa.Integer, nullable=False),
    sa.Column("request_bytes", sa.Integer, nullable=False),
    sa.Column("input_tokens", sa.Integer, nullable=False),
    sa.Column("cache_read_tokens", sa.Integer, nullable=False),
    sa.Column("cache_write_5m_tokens", sa.Integer, nullable=False),
    sa.Column("cache_write_1h_tokens", sa.Integer, nullable=False),
    sa.Column("output_tokens", sa.Integer, nullable=False),
    sa.Column("reasoning_tokens", sa.Integer, nullable=False),
    sa.Column("kind", sa.SmallInteger, nullable=False, server_default="0"),  # mode and turn, see `task_sums.kind_of`
    sa.Column("stream", sa.Boolean, nullable=False),
    sa.Column("has_caller", sa.Boolean, nullable=False),  # False until its opening is known
    sa.Column("is_metered", sa.Boolean, nullable=False),
    sa.Column("client_left", sa.Boolean, nullable=False),
    sa.Column("id", sa.LargeBinary(16), primary_key=True),
    sa.Column("stages_us", sa.LargeBinary, nullable=False),  # see `times`
    sa.Column("upstream_request_id", sa.LargeBinary, nullable=False),  # of the only attempt, see `attempts.pack`
    sa.Index("call_org_change_ix", "org", "change"),
    sa.Index("call_key_id_ix", "key", "id"),
    sa.Index("call_user_id_ix", "user", "id"),
    sa.Index("call_task_id_ix", "task", "id"),
    sqlite_with_rowid=False,
)

call_message = sa.Table(
    "call_message",
    metadata,
    sa.Column("call_id", sa.LargeBinary(16), primary_key=True),
    sa.Column("text", sa.Text, nullable=False),
    sqlite_with_rowid=False,
)

call_action = sa.Table(
    "call_action",
    metadata,
    sa.Column("call_id", sa.LargeBinary(16), primary_key=True),
    sa.Column("asked_model", sa.String(1000), nullable=False),
    sa.Column("clamped_tokens", sa.BigInteger, nullable=False),
    sa.Column("delayed_ms", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

task = sa.Table(
    "task",  # see `task_sums`
    metadata,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("id", sa.LargeBinary(16), nullable=False, unique=True),
    sa.Column("same_as", sa.Integer, index=True),  # the number of the task that it turned out to be
    sa.Column("org", sa.Integer, nullable=False),
    sa.Column("team", sa.Integer, nullable=False),
    sa.Column("user", sa.Integer, nullable=False),
    sa.Column("key", sa.Integer, nullable=False),  # of its first call; a person may have several
    sa.Column("agent", sa.Integer, nullable=False),
    sa.Column("repository", sa.Integer, nullable=False),
    sa.Column("branch", sa.Integer, nullable=False),
    sa.Column("first_at", sa.BigInteger, nullable=False),
    sa.Column("last_at", sa.BigInteger, nullable=False),
    *(
        sa.Column(name, sa.BigInteger, nullable=False)
        for name in ("calls", "turns", "failed", "refused", "running", "cost_nanousd")
    ),
    sa.Index("task_org_last_at_ix", "org", "last_at", "number"),
    sa.Index("task_org_cost_nanousd_ix", "org", "cost_nanousd", "number"),
    sa.Index("task_user_last_at_ix", "user", "last_at"),
)

task_mode = sa.Table(
    "task_mode",
    metadata,
    sa.Column("task", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("mode", sa.Integer, primary_key=True, autoincrement=False),
    *(
        sa.Column(name, sa.BigInteger, nullable=False)
        for name in (
            *("calls", "turns", "failed", "refused", "running"),
            *("input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens"),
            *("output_tokens", "reasoning_tokens", "list_cost_nanousd", "cost_nanousd"),
            *("input_nanousd", "cache_read_nanousd", "cache_write_nanousd", "output_nanousd"),
        )
    ),
    sqlite_with_rowid=False,
)

call_cache = sa.Table(
    "call_cache",  # what a prompt cache did for a call, see ledger.journal.Caching
    metadata,
    sa.Column("call_id", sa.LargeBinary(16), primary_key=True),
    sa.Column("saved_nanousd", sa.BigInteger, nullable=False),
    sa.Column("lost_nanousd", sa.BigInteger, nullable=False),
    sa.Column("lost_tokens", sa.BigInteger, nullable=False),
    sa.Column("cause", sa.Integer, nullable=False),  # 0: it was not broken
    sa.Column("block", sa.String(40), nullable=False),
    sa.Column("detail", sa.String(200), nullable=False),
    sa.Column("before", sa.LargeBinary(16), nullable=False),
    sqlite_with_rowid=False,
)

cache_by_team = sa.Table(
    "cache_by_team",  # see `cache_sums`
    metadata,
    sa.Column("org", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("team", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("cause", sa.Integer, primary_key=True, autoincrement=False),  # 0: all calls
    sa.Column("calls", sa.BigInteger, nullable=False),
    sa.Column("input_tokens", sa.BigInteger, nullable=False),
    sa.Column("cache_read_tokens", sa.BigInteger, nullable=False),
    sa.Column("cache_write_tokens", sa.BigInteger, nullable=False),
    sa.Column("saved_nanousd", sa.BigInteger, nullable=False),
    sa.Column("lost_nanousd", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

event = sa.Table(
    "event",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("org_id", sa.String(64), sa.ForeignKey("org.id"), nullable=False),
    sa.Column("kind", sa.String(40), nullable=False),
    sa.Column("key", sa.String(200), nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("detail", sa.JSON, nullable=False),
    sa.UniqueConstraint("org_id", "kind", "key"),
)

running_call = sa.Table(
    "running_call",
    metadata,
    sa.Column("call_id", sa.LargeBinary(16), primary_key=True),
    sa.Column("process", sa.String(64), nullable=False, index=True),
    sqlite_with_rowid=False,
)

ended_process = sa.Table(
    "ended_process",  # call processes that have died and are booked whole, for as long as counters may know of them
    metadata,
    sa.Column("process", sa.String(128), primary_key=True),
    sa.Column("ended_at", sa.BigInteger, nullable=False),
)

attempt = sa.Table(
    "attempt",
    metadata,
    sa.Column("call_id", sa.LargeBinary(16), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("deployment", sa.Integer, nullable=False),
    sa.Column("started_at", sa.BigInteger, nullable=False),
    sa.Column("duration_us", sa.BigInteger, nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("error", sa.Integer, nullable=False),
    sa.Column("input_tokens", sa.BigInteger, nullable=False),
    sa.Column("cache_read_tokens", sa.BigInteger, nullable=False),
    sa.Column("cache_write_5m_tokens", sa.BigInteger, nullable=False),
    sa.Column("cache_write_1h_tokens", sa.BigInteger, nullable=False),
    sa.Column("output_tokens", sa.BigInteger, nullable=False),
    sa.Column("reasoning_tokens", sa.BigInteger, nullable=False),
    sa.Column("list_cost_nanousd", sa.BigInteger, nullable=False),
    sa.Column("cost_nanousd", sa.BigInteger, nullable=False),
    sa.Column("price_version", sa.Integer, nullable=False),
    sa.Column("price_scope", sa.Integer, nullable=False),
    sa.Column("upstream_request_id", sa.String(200), nullable=False),
    sqlite_with_rowid=False,
)


def _roll_up(name: str, *dimensions: str) -> sa.Table:
    """A table of sums, see `roll_ups`: one row per organisation, cell of time, and dimensions."""
    return sa.Table(
        name,
        metadata,
        sa.Column("org", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("level", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("bucket", sa.Integer, primary_key=True, autoincrement=False),
        *(sa.Column(one, sa.Integer, primary_key=True, autoincrement=False) for one in dimensions),
        sa.Column("calls", sa.BigInteger, nullable=False),
        sa.Column("failed", sa.BigInteger, nullable=False),
        sa.Column("refused", sa.BigInteger, nullable=False),
        sa.Column("input_tokens", sa.BigInteger, nullable=False),
        sa.Column("cache_read_tokens", sa.BigInteger, nullable=False),
        sa.Column("cache_write_5m_tokens", sa.BigInteger, nullable=False),
        sa.Column("cache_write_1h_tokens", sa.BigInteger, nullable=False),
        sa.Column("output_tokens", sa.BigInteger, nullable=False),
        sa.Column("reasoning_tokens", sa.BigInteger, nullable=False),
        sa.Column("list_cost_nanousd", sa.BigInteger, nullable=False),
        sa.Column("cost_nanousd", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )


spend_by_team = _roll_up("spend_by_team", "team")

spend_by_key = _roll_up("spend_by_key", "team", "user", "key")

spend_by_model = _roll_up("spend_by_model", "team", "model")

spend_by_agent = _roll_up("spend_by_agent", "team", "agent", "mode")

spend_by_repository = _roll_up("spend_by_repository", "team", "repository")

spend_by_caller = _roll_up("spend_by_caller", "team", "user", "key", "model")

spend_by_use = _roll_up("spend_by_use", "team", "user", "key", "agent", "model", "mode")

spend_by_all = _roll_up("spend_by_all", "team", "user", "key", "repository", "agent", "model", "mode")

spend_by_tag = _roll_up("spend_by_tag", "tag", "team")

spend_by_tag_use = _roll_up("spend_by_tag_use", "tag", "team", "user", "key", "agent", "model", "mode")

spend_by_tag_all = _roll_up("spend_by_tag_all", "tag", "team", "user", "key", "repository", "agent", "model", "mode")

journal_offset = sa.Table(
    "journal_offset",
    metadata,
    sa.Column("segment", sa.String(80), primary_key=True),
    sa.Column("end_offset", sa.BigInteger, nullable=False),
)
