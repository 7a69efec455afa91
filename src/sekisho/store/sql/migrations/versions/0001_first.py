"""The first tables: keys, calls, spend, journal offsets, console sessions."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    _control()
    _calls()
    _attempts()
    _sums()
    _first_rows()


def _control() -> None:
    op.create_table(
        "counter",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("counter_pk")),
    )
    op.create_table(
        "org",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("org_pk")),
    )
    op.create_table(
        "virtual_key",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("org_id", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("hint", sa.String(length=4), nullable=False),
        sa.Column("alias", sa.String(length=200), nullable=True),
        sa.Column("user_id", sa.String(length=200), nullable=False),
        sa.Column("team_id", sa.String(length=200), nullable=False),
        sa.Column("models", sa.JSON(), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("blocked", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=200), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["org_id"], ["org.id"], name=op.f("virtual_key_org_id_fk")),
        sa.PrimaryKeyConstraint("id", name=op.f("virtual_key_pk")),
        sa.UniqueConstraint("digest", name=op.f("virtual_key_digest_uq")),
    )
    op.create_index(
        "virtual_key_live_alias_uq",
        "virtual_key",
        ["org_id", "alias"],
        unique=True,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_table(
        "login_code",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("org_id", sa.String(length=64), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["org_id"], ["org.id"], name=op.f("login_code_org_id_fk")),
        sa.PrimaryKeyConstraint("digest", name=op.f("login_code_pk")),
    )
    op.create_table(
        "console_session",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("org_id", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["org_id"], ["org.id"], name=op.f("console_session_org_id_fk")),
        sa.PrimaryKeyConstraint("digest", name=op.f("console_session_pk")),
    )


def _calls() -> None:
    op.create_table(
        "name",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("text", sa.String(length=1000), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("name_pk")),
        sa.UniqueConstraint("text", name=op.f("name_text_uq")),
    )
    op.create_table(
        "call",
        sa.Column("id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("change", sa.BigInteger(), nullable=False),
        sa.Column("org", sa.Integer(), nullable=False),
        sa.Column("key", sa.Integer(), nullable=False),
        sa.Column("user", sa.Integer(), nullable=False),
        sa.Column("team", sa.Integer(), nullable=False),
        sa.Column("tags", sa.Integer(), nullable=False),
        sa.Column("agent", sa.Integer(), nullable=False),
        sa.Column("agent_version", sa.Integer(), nullable=False),
        sa.Column("session", sa.Integer(), nullable=False),
        sa.Column("door", sa.Integer(), nullable=False),
        sa.Column("model", sa.Integer(), nullable=False),
        sa.Column("stream", sa.Boolean(), nullable=False),
        sa.Column("request_bytes", sa.Integer(), nullable=False),
        sa.Column("reserved_nanousd", sa.BigInteger(), nullable=False),
        sa.Column("has_caller", sa.Boolean(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("stage", sa.Integer(), nullable=False),
        sa.Column("stop_reason", sa.Integer(), nullable=False),
        sa.Column("error", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("duration_us", sa.BigInteger(), nullable=True),
        sa.Column("first_byte_us", sa.BigInteger(), nullable=False),
        sa.Column("upstream_us", sa.BigInteger(), nullable=False),
        sa.Column("stages_us", sa.LargeBinary(), nullable=False),
        sa.Column("is_metered", sa.Boolean(), nullable=False),
        sa.Column("client_left", sa.Boolean(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cache_read_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cache_write_5m_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cache_write_1h_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("reasoning_tokens", sa.BigInteger(), nullable=False),
        sa.Column("list_cost_nanousd", sa.BigInteger(), nullable=False),
        sa.Column("cost_nanousd", sa.BigInteger(), nullable=False),
        sa.Column("price_version", sa.Integer(), nullable=False),
        sa.Column("price_scope", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("call_pk")),
        sqlite_with_rowid=False,
    )
    op.create_index("call_key_id_ix", "call", ["key", "id"], unique=False)
    op.create_index("call_org_change_ix", "call", ["org", "change"], unique=False)
    op.create_index("call_user_id_ix", "call", ["user", "id"], unique=False)
    op.create_table(
        "call_message",
        sa.Column("call_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("call_id", name=op.f("call_message_pk")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "running_call",
        sa.Column("call_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("process", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("call_id", name=op.f("running_call_pk")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("running_call_process_ix"), "running_call", ["process"], unique=False)


def _attempts() -> None:
    op.create_table(
        "attempt",
        sa.Column("call_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("deployment", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("duration_us", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("error", sa.Integer(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cache_read_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cache_write_5m_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cache_write_1h_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("reasoning_tokens", sa.BigInteger(), nullable=False),
        sa.Column("list_cost_nanousd", sa.BigInteger(), nullable=False),
        sa.Column("cost_nanousd", sa.BigInteger(), nullable=False),
        sa.Column("price_version", sa.Integer(), nullable=False),
        sa.Column("price_scope", sa.Integer(), nullable=False),
        sa.Column("upstream_request_id", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("call_id", "number", name=op.f("attempt_pk")),
        sqlite_with_rowid=False,
    )


def _sums() -> None:
    op.create_table(
        "spend_day",
        sa.Column("org", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("day", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("key", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("user", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("team", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("model", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("failed", sa.BigInteger(), nullable=False),
        sa.Column("refused", sa.BigInteger(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cache_read_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cache_write_5m_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cache_write_1h_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("reasoning_tokens", sa.BigInteger(), nullable=False),
        sa.Column("list_cost_nanousd", sa.BigInteger(), nullable=False),
        sa.Column("cost_nanousd", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("org", "day", "key", "user", "team", "model", name=op.f("spend_day_pk")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "journal_offset",
        sa.Column("segment", sa.String(length=80), nullable=False),
        sa.Column("end_offset", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("segment", name=op.f("journal_offset_pk")),
    )


def _first_rows() -> None:
    counter = sa.table("counter", sa.column("name"), sa.column("value"))
    op.bulk_insert(counter, [{"name": "epoch", "value": 0}, {"name": "change", "value": 0}])
    name = sa.table("name", sa.column("id"), sa.column("text"))
    op.bulk_insert(name, [{"id": 0, "text": ""}])
