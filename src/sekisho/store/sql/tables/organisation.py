"""Who there is and what they may spend: keys, teams, people, tags, budgets, limits, policies."""

import sqlalchemy as sa

from sekisho.store.sql.tables.schema import metadata

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
