"""The tables, as SQLAlchemy Core. Migrations build them; a test proves that both say the same.

Only what SQLite and PostgreSQL both know. Times: BIGINT microseconds. Money: BIGINT nano-USD. Strings that repeat
(keys, users, models, agents ...) are rows of `name`, and the busy tables hold their small numbers.
"""

import sqlalchemy as sa

metadata = sa.MetaData(
    naming_convention={
        "pk": "%(table_name)s_pk",
        "ix": "%(table_name)s_%(column_0_N_name)s_ix",
        "uq": "%(table_name)s_%(column_0_N_name)s_uq",
        "fk": "%(table_name)s_%(column_0_name)s_fk",
    }
)

counter = sa.Table(
    "counter",
    metadata,
    sa.Column(
        "name", sa.String(40), primary_key=True
    ),  # "epoch" of the snapshot, "change" of calls, "content" generation
    sa.Column("value", sa.BigInteger, nullable=False),
)

org = sa.Table(
    "org",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
)

virtual_key = sa.Table(
    "virtual_key",
    metadata,
    sa.Column("id", sa.String(26), primary_key=True),
    sa.Column("org_id", sa.String(64), sa.ForeignKey("org.id"), nullable=False),
    sa.Column("digest", sa.LargeBinary(32), nullable=False, unique=True),
    sa.Column("hint", sa.String(4), nullable=False),
    sa.Column("alias", sa.String(200)),
    sa.Column("user_id", sa.String(200), nullable=False),
    sa.Column("team_id", sa.String(200), nullable=False),
    sa.Column("models", sa.JSON, nullable=False),
    sa.Column("tags", sa.JSON, nullable=False),
    sa.Column("metadata", sa.JSON, nullable=False),
    sa.Column("expires_at", sa.BigInteger),
    sa.Column("blocked", sa.Boolean, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.String(200), nullable=False),
    sa.Column("updated_at", sa.BigInteger, nullable=False),
    sa.Column("deleted_at", sa.BigInteger),
    sa.Column("previous_digest", sa.LargeBinary(32)),  # of the raw key before the last rotation
    sa.Column("previous_until", sa.BigInteger),
    sa.Column("cut_streams", sa.Boolean),  # NULL: as the team, else as the gateway is set
)
sa.Index(
    "virtual_key_live_alias_uq",
    virtual_key.c.org_id,
    virtual_key.c.alias,
    unique=True,
    sqlite_where=sa.text("deleted_at IS NULL"),
    postgresql_where=sa.text("deleted_at IS NULL"),
)

name = sa.Table(
    "name",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("text", sa.String(1000), nullable=False, unique=True),
)

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
    sa.Column("stop_reason", sa.Integer, nullable=False),
    sa.Column("error", sa.Integer, nullable=False),
    sa.Column("price_version", sa.Integer, nullable=False),
    sa.Column("price_scope", sa.Integer, nullable=False),
    sa.Column("task", sa.Integer, nullable=False, server_default="0"),  # its number, 0: none
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
    sa.Column("stages_us", sa.LargeBinary, nullable=False),  # msgpack list of integers
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
spend_by_agent = _roll_up("spend_by_agent", "team", "agent", "model")
spend_by_tag = _roll_up("spend_by_tag", "tag", "team")
spend_by_tag_model = _roll_up("spend_by_tag_model", "tag", "team", "model")
spend_by_caller = _roll_up("spend_by_caller", "key", "user", "team", "model")

journal_offset = sa.Table(
    "journal_offset",
    metadata,
    sa.Column("segment", sa.String(80), primary_key=True),
    sa.Column("end_offset", sa.BigInteger, nullable=False),
)

content_vault = sa.Table(
    "content_vault",  # one per team that has content: the key to all of it
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("org_id", sa.String(64), sa.ForeignKey("org.id"), nullable=False),
    sa.Column("team_id", sa.String(200), nullable=False),
    sa.Column("wrapped", sa.LargeBinary, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("org_id", "team_id"),
)

content = sa.Table(
    "content",  # see record.content.ContentRow
    metadata,
    sa.Column("call_id", sa.LargeBinary(16), primary_key=True),
    sa.Column("vault", sa.Integer, nullable=False),
    sa.Column("started_at", sa.BigInteger, nullable=False),
    sa.Column("user_id", sa.String(200), nullable=False),
    sa.Column("key_id", sa.String(26), nullable=False),
    sa.Column("task_id", sa.LargeBinary(16), nullable=False),
    sa.Column("level", sa.String(10), nullable=False),
    sa.Column("door", sa.String(40), nullable=False),
    sa.Column("stream", sa.Boolean, nullable=False),
    sa.Column("parent", sa.LargeBinary(16), nullable=False),
    sa.Column("kept", sa.Integer, nullable=False),
    sa.Column("tail", sa.Integer, nullable=False),
    sa.Column("pieces", sa.LargeBinary, nullable=False),  # msgpack of record.content.Pieces
    sa.Column("answer", sa.LargeBinary, nullable=False),  # likewise
    sa.Column("answer_form", sa.String(10), nullable=False),
    sa.Column("request_state", sa.String(10), nullable=False),
    sa.Column("answer_state", sa.String(10), nullable=False),
    sa.Column("depth", sa.Integer, nullable=False),
    sa.Column("children", sa.Integer, nullable=False),
    sa.Column("is_gone", sa.Boolean, nullable=False),
    sa.Index("content_vault_started_at_ix", "vault", "started_at"),
    sa.Index("content_parent_ix", "parent"),
    sa.Index("content_task_id_ix", "task_id"),
    sa.Index("content_user_id_ix", "user_id"),
    sqlite_with_rowid=False,
)

content_block = sa.Table(
    "content_block",
    metadata,
    sa.Column("vault", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("address", sa.LargeBinary(16), primary_key=True),
    sa.Column("pack", sa.String(32), nullable=False, index=True),
    sa.Column("start", sa.Integer, nullable=False),
    sa.Column("length", sa.Integer, nullable=False),
    sa.Column("refs", sa.Integer, nullable=False),
    sqlite_with_rowid=False,
)

content_pack = sa.Table(
    "content_pack",
    metadata,
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("vault", sa.Integer, nullable=False, index=True),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("is_doomed", sa.Boolean, nullable=False, index=True),  # its bytes are to be deleted
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

content_text = sa.Table(
    "content_text",  # what a call added, as text to be searched; sealed with its team's key
    metadata,
    sa.Column("call_id", sa.LargeBinary(16), primary_key=True),
    sa.Column("part", sa.Integer, primary_key=True, autoincrement=False),  # 0: the request; else a part of the answer
    sa.Column("vault", sa.Integer, nullable=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Index("content_text_vault_call_id_ix", "vault", "call_id"),
    sqlite_with_rowid=False,
)

spool_offset = sa.Table(
    "spool_offset",
    metadata,
    sa.Column("segment", sa.String(160), primary_key=True),
    sa.Column("end_offset", sa.BigInteger, nullable=False),
)

login_code = sa.Table(
    "login_code",
    metadata,
    sa.Column("digest", sa.LargeBinary(32), primary_key=True),
    sa.Column("org_id", sa.String(64), sa.ForeignKey("org.id"), nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False),
    sa.Column("user_id", sa.String(200), nullable=False, server_default=""),  # empty: the operator
)

console_session = sa.Table(
    "console_session",
    metadata,
    sa.Column("digest", sa.LargeBinary(32), primary_key=True),
    sa.Column("org_id", sa.String(64), sa.ForeignKey("org.id"), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False),
    sa.Column("user_id", sa.String(200), nullable=False, server_default=""),  # empty: the operator
    sa.Column("id", sa.String(26), nullable=False, server_default=""),
    sa.Column("method", sa.String(20), nullable=False, server_default="link"),
    sa.Column("seen_at", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("address", sa.String(64), nullable=False, server_default=""),
    sa.Column("agent", sa.String(200), nullable=False, server_default=""),
    sa.Column("id_token", sa.LargeBinary),  # of the identity provider, sealed
    sa.Index("console_session_user_ix", "org_id", "user_id"),
)

local_account = sa.Table(
    "local_account",
    metadata,
    sa.Column("org_id", sa.String(64), sa.ForeignKey("org.id"), primary_key=True),
    sa.Column("user_id", sa.String(200), primary_key=True),
    sa.Column("password", sa.String(200), nullable=False),  # a digest; empty: none set
    sa.Column("password_at", sa.BigInteger, nullable=False),
    sa.Column("totp", sa.LargeBinary, nullable=False),  # the secret, sealed; empty: no second factor
    sa.Column("totp_at", sa.BigInteger, nullable=False),
    sa.Column("totp_step", sa.BigInteger, nullable=False),  # of the code used last
)

recovery_code = sa.Table(
    "recovery_code",
    metadata,
    sa.Column("org_id", sa.String(64), sa.ForeignKey("org.id"), primary_key=True),
    sa.Column("user_id", sa.String(200), primary_key=True),
    sa.Column("digest", sa.LargeBinary(32), primary_key=True),
)

directory_link = sa.Table(
    "directory_link",  # which account of the identity provider is which user
    metadata,
    sa.Column("org_id", sa.String(64), sa.ForeignKey("org.id"), primary_key=True),
    sa.Column("issuer", sa.String(400), primary_key=True),
    sa.Column("subject", sa.String(255), primary_key=True),
    sa.Column("user_id", sa.String(200), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Index("directory_link_user_ix", "org_id", "user_id"),
)

directory_group = sa.Table(
    "directory_group",  # the groups that a user was in when the identity provider said so last
    metadata,
    sa.Column("org_id", sa.String(64), sa.ForeignKey("org.id"), primary_key=True),
    sa.Column("user_id", sa.String(200), primary_key=True),
    sa.Column("name", sa.String(400), primary_key=True),
)

leaver_key = sa.Table(
    "leaver_key",  # the keys that were blocked because their user left
    metadata,
    sa.Column("org_id", sa.String(64), sa.ForeignKey("org.id"), primary_key=True),
    sa.Column("user_id", sa.String(200), primary_key=True),
    sa.Column("key_id", sa.String(26), primary_key=True),
)

scim_user = sa.Table(
    "scim_user",  # what the directory provisioned; what it says of groups is in scim_member
    metadata,
    sa.Column("org_id", sa.String(64), sa.ForeignKey("org.id"), primary_key=True),
    sa.Column("id", sa.String(26), primary_key=True),
    sa.Column("user_id", sa.String(200), nullable=False),
    sa.Column("user_name", sa.String(320), nullable=False),
    sa.Column("user_name_key", sa.String(320), nullable=False),  # without differences of case
    sa.Column("external_id", sa.String(400), nullable=False),
    sa.Column("active", sa.Boolean, nullable=False),
    sa.Column("body", sa.JSON, nullable=False),  # the attributes, as they are given back
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("updated_at", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("org_id", "user_name_key"),
    sa.Index("scim_user_external_ix", "org_id", "external_id"),
    sa.Index("scim_user_user_ix", "org_id", "user_id"),
)

scim_group = sa.Table(
    "scim_group",
    metadata,
    sa.Column("org_id", sa.String(64), sa.ForeignKey("org.id"), primary_key=True),
    sa.Column("id", sa.String(26), primary_key=True),
    sa.Column("display_name", sa.String(400), nullable=False),
    sa.Column("external_id", sa.String(400), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("updated_at", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("org_id", "display_name"),
)

scim_member = sa.Table(
    "scim_member",
    metadata,
    sa.Column("org_id", sa.String(64), sa.ForeignKey("org.id"), primary_key=True),
    sa.Column("group_id", sa.String(26), primary_key=True),
    sa.Column("member_id", sa.String(26), primary_key=True),  # a scim_user
    sa.Index("scim_member_member_ix", "org_id", "member_id"),
)

device_login = sa.Table(
    "device_login",  # a command line that waits for its person to let it in
    metadata,
    sa.Column("digest", sa.LargeBinary(32), primary_key=True),
    sa.Column("org_id", sa.String(64), sa.ForeignKey("org.id"), nullable=False),
    sa.Column("user_code", sa.LargeBinary(32), nullable=False, unique=True),
    sa.Column("client", sa.String(100), nullable=False),
    sa.Column("address", sa.String(64), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False),
    sa.Column("polled_at", sa.BigInteger, nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("user_id", sa.String(200), nullable=False),
)

sign_in_failure = sa.Table(
    "sign_in_failure",
    metadata,
    sa.Column("org_id", sa.String(64), sa.ForeignKey("org.id"), primary_key=True),
    sa.Column("name", sa.String(400), primary_key=True),  # which counter: see access.lockout
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("wait_until", sa.BigInteger, nullable=False),
    sa.Column("failed_at", sa.BigInteger, nullable=False, index=True),
)

team = sa.Table(
    "team",
    metadata,
    sa.Column("org_id", sa.String(64), sa.ForeignKey("org.id"), primary_key=True),
    sa.Column("id", sa.String(200), primary_key=True),
    sa.Column("alias", sa.String(200)),
    sa.Column("models", sa.JSON, nullable=False),
    sa.Column("metadata", sa.JSON, nullable=False),
    sa.Column("blocked", sa.Boolean, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.String(200), nullable=False),
    sa.Column("updated_at", sa.BigInteger, nullable=False),
    sa.Column("deleted_at", sa.BigInteger),
    sa.Column("content_level", sa.String(10), nullable=False, server_default=""),  # empty: the organisation's
    sa.Column("content_days", sa.Integer, nullable=False, server_default="0"),  # 0: the organisation's
    sa.Column("cut_streams", sa.Boolean),  # NULL: as the gateway is set
)
sa.Index(
    "team_live_alias_uq",
    team.c.org_id,
    team.c.alias,
    unique=True,
    sqlite_where=sa.text("deleted_at IS NULL"),
    postgresql_where=sa.text("deleted_at IS NULL"),
)

person = sa.Table(
    "person",  # a user of the API: "user" is a reserved word of PostgreSQL
    metadata,
    sa.Column("org_id", sa.String(64), sa.ForeignKey("org.id"), primary_key=True),
    sa.Column("id", sa.String(200), primary_key=True),
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("alias", sa.String(200), nullable=False),
    sa.Column("email", sa.String(320), nullable=False),
    sa.Column("metadata", sa.JSON, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.String(200), nullable=False),
    sa.Column("updated_at", sa.BigInteger, nullable=False),
    sa.Column("deleted_at", sa.BigInteger),
    sa.Column("owner", sa.String(210), nullable=False, server_default=""),  # "user:ID", "team:ID"
    sa.Column("left_at", sa.BigInteger),  # the directory says that this person is no longer active
)

team_member = sa.Table(
    "team_member",
    metadata,
    sa.Column("org_id", sa.String(64), sa.ForeignKey("org.id"), primary_key=True),
    sa.Column("team_id", sa.String(200), primary_key=True),
    sa.Column("user_id", sa.String(200), primary_key=True),
    sa.Column("role", sa.String(20), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.String(200), nullable=False),
    sa.Index("team_member_user_ix", "org_id", "user_id"),
)

tag = sa.Table(
    "tag",
    metadata,
    sa.Column("org_id", sa.String(64), sa.ForeignKey("org.id"), primary_key=True),
    sa.Column("name", sa.String(200), primary_key=True),
    sa.Column("description", sa.String(1000), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.String(200), nullable=False),
    sa.Column("updated_at", sa.BigInteger, nullable=False),
    sa.Column("deleted_at", sa.BigInteger),
    sa.Column("owner", sa.String(210), nullable=False, server_default=""),  # "user:ID", "team:ID"
)

budget = sa.Table(
    "budget",
    metadata,
    sa.Column("id", sa.String(26), primary_key=True),
    sa.Column("org_id", sa.String(64), sa.ForeignKey("org.id"), nullable=False),
    sa.Column("scope_kind", sa.String(20), nullable=False),
    sa.Column("scope_id", sa.String(401), nullable=False),
    sa.Column("name", sa.String(1000), nullable=False),
    sa.Column("model", sa.String(1000), nullable=False),
    sa.Column("amount_nanousd", sa.BigInteger, nullable=False),
    sa.Column("window_kind", sa.String(20), nullable=False),
    sa.Column("time_zone", sa.String(100), nullable=False),
    sa.Column("period_s", sa.BigInteger, nullable=False),
    sa.Column("starts_at", sa.BigInteger, nullable=False),
    sa.Column("ends_at", sa.BigInteger, nullable=False),
    sa.Column("duration", sa.String(40), nullable=False),
    sa.Column("is_hard", sa.Boolean, nullable=False),
    sa.Column("thresholds", sa.JSON, nullable=False),
    sa.Column("increase_nanousd", sa.BigInteger, nullable=False),
    sa.Column("increase_until", sa.BigInteger, nullable=False),
    sa.Column("allow_over_allocation", sa.Boolean, nullable=False),
    sa.Column("template_id", sa.String(200), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.String(200), nullable=False),
    sa.Column("updated_at", sa.BigInteger, nullable=False),
    sa.Column("deleted_at", sa.BigInteger),
    sa.Index("budget_scope_ix", "org_id", "scope_kind", "scope_id"),
)

budget_credit = sa.Table(
    "budget_credit",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("budget_id", sa.String(26), sa.ForeignKey("budget.id"), nullable=False, index=True),
    sa.Column("kind", sa.String(20), nullable=False),  # "credit", or "reset": what was spent until then
    sa.Column("amount_nanousd", sa.BigInteger, nullable=False),
    sa.Column("window_starts_at", sa.BigInteger, nullable=False),
    sa.Column("reason", sa.String(1000), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.String(200), nullable=False),
)

rate_limit = sa.Table(
    "rate_limit",
    metadata,
    sa.Column("id", sa.String(26), primary_key=True),
    sa.Column("org_id", sa.String(64), sa.ForeignKey("org.id"), nullable=False),
    sa.Column("scope_kind", sa.String(20), nullable=False),
    sa.Column("scope_id", sa.String(401), nullable=False),
    sa.Column("name", sa.String(1000), nullable=False),
    sa.Column("model", sa.String(1000), nullable=False),
    sa.Column("requests_per_minute", sa.BigInteger),
    sa.Column("tokens_per_minute", sa.BigInteger),
    sa.Column("parallel", sa.BigInteger),
    sa.Column("nanousd_per_task", sa.BigInteger),
    sa.Column("calls_per_task", sa.BigInteger),
    sa.Column("template_id", sa.String(200), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.String(200), nullable=False),
    sa.Column("updated_at", sa.BigInteger, nullable=False),
    sa.Column("deleted_at", sa.BigInteger),
    sa.Index("rate_limit_scope_ix", "org_id", "scope_kind", "scope_id"),
)

policy = sa.Table(
    "policy",
    metadata,
    sa.Column("id", sa.String(26), primary_key=True),
    sa.Column("org_id", sa.String(64), sa.ForeignKey("org.id"), nullable=False),
    sa.Column("scope_kind", sa.String(20), nullable=False),
    sa.Column("scope_id", sa.String(401), nullable=False),
    sa.Column("name", sa.String(1000), nullable=False),
    sa.Column("allowed", sa.JSON, nullable=False),  # the lists of values.Policy by their names
    sa.Column("template_id", sa.String(200), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.String(200), nullable=False),
    sa.Column("updated_at", sa.BigInteger, nullable=False),
    sa.Column("deleted_at", sa.BigInteger),
    sa.Index("policy_scope_ix", "org_id", "scope_kind", "scope_id"),
)

rule_change = sa.Table(
    "rule_change",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("rule_id", sa.String(26), nullable=False, index=True),
    sa.Column("action", sa.String(20), nullable=False),  # "create", "update" or "delete"
    sa.Column("rule", sa.JSON, nullable=False),  # the budget or limit as it was after it
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("by", sa.String(200), nullable=False),
)

budget_template = sa.Table(
    "budget_template",
    metadata,
    sa.Column("org_id", sa.String(64), sa.ForeignKey("org.id"), primary_key=True),
    sa.Column("id", sa.String(200), primary_key=True),
    sa.Column("terms", sa.JSON, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.String(200), nullable=False),
    sa.Column("updated_at", sa.BigInteger, nullable=False),
)

idempotent_answer = sa.Table(
    "idempotent_answer",
    metadata,
    sa.Column("digest", sa.LargeBinary(32), primary_key=True),  # of who asked, where, and the key given
    sa.Column("request_digest", sa.LargeBinary(32), nullable=False),
    sa.Column("status", sa.Integer, nullable=False),  # 0: not answered yet
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False, index=True),
)

replica = sa.Table(
    "replica",  # a control process that shares this database, for as long as it lives
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),  # of its home
    sa.Column("life", sa.String(32), nullable=False),  # of the process; empty once others took it for lost
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("is_replicated", sa.Boolean, nullable=False),
    sa.Column("started_at", sa.BigInteger, nullable=False),  # this and the next by the database's clock
    sa.Column("seen_at", sa.BigInteger, nullable=False),
)

installation = sa.Table(
    "installation",  # one row
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("pepper_digest", sa.LargeBinary(32)),
    sa.Column("oldest_code", sa.String(32), nullable=False),  # the lowest HEAD of code that may use this schema
)

audit_entry = sa.Table(
    "audit_entry",  # triggers refuse to change or delete a row
    metadata,
    sa.Column("org_id", sa.String(64), primary_key=True),
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("actor", sa.String(200), nullable=False),
    sa.Column("action", sa.String(100), nullable=False),
    sa.Column("kind", sa.String(40), nullable=False),
    sa.Column("id", sa.String(401), nullable=False),
    sa.Column("before", sa.Text),  # canonical JSON, as it went into the hash
    sa.Column("after", sa.Text),
    sa.Column("previous", sa.LargeBinary(32), nullable=False),
    sa.Column("hash", sa.LargeBinary(32), nullable=False),
    sa.Index("audit_entry_actor_ix", "org_id", "actor", "sequence"),
    sa.Index("audit_entry_object_ix", "org_id", "kind", "id", "sequence"),
    sa.Index("audit_entry_at_ix", "org_id", "at"),
    sqlite_with_rowid=False,
)

audit_head = sa.Table(
    "audit_head",
    metadata,
    sa.Column("org_id", sa.String(64), primary_key=True),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("hash", sa.LargeBinary(32), nullable=False),
)

role_grant = sa.Table(
    "role_grant",  # who leads a team is said by its membership, not here
    metadata,
    sa.Column("org_id", sa.String(64), sa.ForeignKey("org.id"), primary_key=True),
    sa.Column("user_id", sa.String(200), primary_key=True),
    sa.Column("role", sa.String(40), primary_key=True),
    sa.Column("team_id", sa.String(200), primary_key=True),  # empty: in the whole organisation
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.String(200), nullable=False),
)

role_change = sa.Table(
    "role_change",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("org_id", sa.String(64), sa.ForeignKey("org.id"), nullable=False),
    sa.Column("user_id", sa.String(200), nullable=False),
    sa.Column("role", sa.String(40), nullable=False),
    sa.Column("team_id", sa.String(200), nullable=False),
    sa.Column("action", sa.String(20), nullable=False),  # "grant" or "revoke"
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("by", sa.String(200), nullable=False),
    sa.Index("role_change_user_ix", "org_id", "user_id"),
)

access_token = sa.Table(
    "access_token",
    metadata,
    sa.Column("id", sa.String(26), primary_key=True),
    sa.Column("org_id", sa.String(64), sa.ForeignKey("org.id"), nullable=False),
    sa.Column("digest", sa.LargeBinary(32), nullable=False, unique=True),
    sa.Column("hint", sa.String(4), nullable=False),  # empty: nobody has it yet
    sa.Column("user_id", sa.String(200), nullable=False),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("expires_at", sa.BigInteger),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.String(200), nullable=False),
    sa.Column("revoked_at", sa.BigInteger),
    sa.Index("access_token_user_ix", "org_id", "user_id"),
)

hand_over = sa.Table(
    "hand_over",
    metadata,
    sa.Column("id", sa.String(26), primary_key=True),
    sa.Column("org_id", sa.String(64), sa.ForeignKey("org.id"), nullable=False),
    sa.Column("digest", sa.LargeBinary(32), nullable=False, unique=True),
    sa.Column("kind", sa.String(20), nullable=False),  # "key" or "token"
    sa.Column("object_id", sa.String(26), nullable=False, index=True),
    sa.Column("user_id", sa.String(200), nullable=False),  # who must sign in to redeem it; empty: whoever has the link
    sa.Column("grace_s", sa.BigInteger, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.String(200), nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False),
    sa.Column("redeemed_at", sa.BigInteger),
    sa.Column("withdrawn_at", sa.BigInteger),
)

setting = sa.Table(
    "setting",  # what administrators set as data
    metadata,
    sa.Column("org_id", sa.String(64), sa.ForeignKey("org.id"), primary_key=True),
    sa.Column("name", sa.String(60), primary_key=True),
    sa.Column("value", sa.JSON, nullable=False),
    sa.Column("updated_at", sa.BigInteger, nullable=False),
    sa.Column("updated_by", sa.String(200), nullable=False),
)

declared = sa.Table(
    "declared",  # what applied files stated, by address: whose it is, and what it was then
    metadata,
    sa.Column("org_id", sa.String(64), sa.ForeignKey("org.id"), primary_key=True),
    sa.Column("address", sa.String(1000), primary_key=True),  # a JSON list of kind and ids
    sa.Column("is_made", sa.Boolean, nullable=False),  # an apply made the thing, or was told to adopt it
    sa.Column("fields", sa.JSON, nullable=False),
    sa.Column("applied_at", sa.BigInteger, nullable=False),
    sa.Column("applied_by", sa.String(200), nullable=False),
)
