"""Teams, users, budgets, limits, and what each scope spent by the quarter of an hour.

Teams and users that keys already name are made, so that every key goes on working; what was spent so far is summed up.
"""

import json
from collections import Counter
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

KINDS = ("org", "team", "member", "user", "key", "tag")  # a row's `kind` is the position here
QUARTER_US = 900_000_000


def upgrade() -> None:
    _organisation()
    _rules()
    _sums()
    _people_of_keys()
    _first_sums()


def _organisation() -> None:
    op.create_table(
        "team",
        sa.Column("org_id", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("alias", sa.String(length=200), nullable=True),
        sa.Column("models", sa.JSON(), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("blocked", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=200), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["org_id"], ["org.id"], name=op.f("team_org_id_fk")),
        sa.PrimaryKeyConstraint("org_id", "id", name=op.f("team_pk")),
    )
    op.create_index(
        "team_live_alias_uq",
        "team",
        ["org_id", "alias"],
        unique=True,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_table(
        "person",
        sa.Column("org_id", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("alias", sa.String(length=200), nullable=False),
        sa.Column("email", sa.String(length=320), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=200), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["org_id"], ["org.id"], name=op.f("person_org_id_fk")),
        sa.PrimaryKeyConstraint("org_id", "id", name=op.f("person_pk")),
    )
    op.create_table(
        "team_member",
        sa.Column("org_id", sa.String(length=64), nullable=False),
        sa.Column("team_id", sa.String(length=200), nullable=False),
        sa.Column("user_id", sa.String(length=200), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(["org_id"], ["org.id"], name=op.f("team_member_org_id_fk")),
        sa.PrimaryKeyConstraint("org_id", "team_id", "user_id", name=op.f("team_member_pk")),
    )
    op.create_index("team_member_user_ix", "team_member", ["org_id", "user_id"], unique=False)
    op.create_table(
        "tag",
        sa.Column("org_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("description", sa.String(length=1000), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=200), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["org_id"], ["org.id"], name=op.f("tag_org_id_fk")),
        sa.PrimaryKeyConstraint("org_id", "name", name=op.f("tag_pk")),
    )


def _rules() -> None:
    op.create_table(
        "budget",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("org_id", sa.String(length=64), nullable=False),
        sa.Column("scope_kind", sa.String(length=20), nullable=False),
        sa.Column("scope_id", sa.String(length=401), nullable=False),
        sa.Column("name", sa.String(length=1000), nullable=False),
        sa.Column("model", sa.String(length=1000), nullable=False),
        sa.Column("amount_nanousd", sa.BigInteger(), nullable=False),
        sa.Column("window_kind", sa.String(length=20), nullable=False),
        sa.Column("time_zone", sa.String(length=100), nullable=False),
        sa.Column("period_s", sa.BigInteger(), nullable=False),
        sa.Column("starts_at", sa.BigInteger(), nullable=False),
        sa.Column("ends_at", sa.BigInteger(), nullable=False),
        sa.Column("duration", sa.String(length=40), nullable=False),
        sa.Column("is_hard", sa.Boolean(), nullable=False),
        sa.Column("thresholds", sa.JSON(), nullable=False),
        sa.Column("increase_nanousd", sa.BigInteger(), nullable=False),
        sa.Column("increase_until", sa.BigInteger(), nullable=False),
        sa.Column("allow_over_allocation", sa.Boolean(), nullable=False),
        sa.Column("template_id", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=200), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["org_id"], ["org.id"], name=op.f("budget_org_id_fk")),
        sa.PrimaryKeyConstraint("id", name=op.f("budget_pk")),
    )
    op.create_index("budget_scope_ix", "budget", ["org_id", "scope_kind", "scope_id"], unique=False)
    op.create_table(
        "budget_credit",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("budget_id", sa.String(length=26), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("amount_nanousd", sa.BigInteger(), nullable=False),
        sa.Column("window_starts_at", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(length=1000), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(["budget_id"], ["budget.id"], name=op.f("budget_credit_budget_id_fk")),
        sa.PrimaryKeyConstraint("id", name=op.f("budget_credit_pk")),
    )
    op.create_index(op.f("budget_credit_budget_id_ix"), "budget_credit", ["budget_id"], unique=False)
    op.create_table(
        "rate_limit",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("org_id", sa.String(length=64), nullable=False),
        sa.Column("scope_kind", sa.String(length=20), nullable=False),
        sa.Column("scope_id", sa.String(length=401), nullable=False),
        sa.Column("name", sa.String(length=1000), nullable=False),
        sa.Column("model", sa.String(length=1000), nullable=False),
        sa.Column("requests_per_minute", sa.BigInteger(), nullable=True),
        sa.Column("tokens_per_minute", sa.BigInteger(), nullable=True),
        sa.Column("parallel", sa.BigInteger(), nullable=True),
        sa.Column("template_id", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=200), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["org_id"], ["org.id"], name=op.f("rate_limit_org_id_fk")),
        sa.PrimaryKeyConstraint("id", name=op.f("rate_limit_pk")),
    )
    op.create_index("rate_limit_scope_ix", "rate_limit", ["org_id", "scope_kind", "scope_id"], unique=False)
    op.create_table(
        "rule_change",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("rule_id", sa.String(length=26), nullable=False),
        sa.Column("action", sa.String(length=20), nullable=False),
        sa.Column("rule", sa.JSON(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("rule_change_pk")),
    )
    op.create_index(op.f("rule_change_rule_id_ix"), "rule_change", ["rule_id"], unique=False)
    op.create_table(
        "budget_template",
        sa.Column("org_id", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("terms", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=200), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["org_id"], ["org.id"], name=op.f("budget_template_org_id_fk")),
        sa.PrimaryKeyConstraint("org_id", "id", name=op.f("budget_template_pk")),
    )


def _sums() -> None:
    op.create_table(
        "spend_quarter",
        sa.Column("org", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("scope", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("quarter", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("model", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("cost_nanousd", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("org", "kind", "scope", "quarter", "model", name=op.f("spend_quarter_pk")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "idempotent_answer",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("request_digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("idempotent_answer_pk")),
    )
    op.create_index(op.f("idempotent_answer_expires_at_ix"), "idempotent_answer", ["expires_at"], unique=False)


def _people_of_keys() -> None:
    keys = sa.table("virtual_key", *(sa.column(name) for name in ("org_id", "user_id", "team_id", "deleted_at")))
    live = sa.select(keys.c.org_id, keys.c.team_id, keys.c.user_id).where(keys.c.deleted_at.is_(None))
    found = op.get_bind().execute(live).all()
    made = {"metadata": {}, "created_at": 0, "created_by": "upgrade", "updated_at": 0}
    teams = sorted({(org_id, team_id) for org_id, team_id, _ in found if team_id})
    users = sorted({(org_id, user_id) for org_id, _, user_id in found if user_id})
    if teams:
        rows = [{"org_id": org_id, "id": id_, "alias": None, "models": [], "blocked": False} for org_id, id_ in teams]
        op.bulk_insert(_table("team", *rows[0], *made), [row | made for row in rows])
    if users:
        rows = [{"org_id": org_id, "id": id_, "kind": "person", "alias": "", "email": ""} for org_id, id_ in users]
        op.bulk_insert(_table("person", *rows[0], *made), [row | made for row in rows])


def _table(name: str, *columns: str) -> sa.TableClause:
    json_columns = ("models", "metadata")
    return sa.table(name, *(sa.column(column, sa.JSON() if column in json_columns else None) for column in columns))


def _first_sums() -> None:
    connection = op.get_bind()
    texts = {number: text for number, text in connection.execute(sa.text("SELECT id, text FROM name"))}
    numbers = {text: number for number, text in texts.items()}
    sums: Counter[tuple[int, int, str, int, int]] = Counter()
    query = (
        'SELECT org, "key", "user", team, tags, model, started_at / 900000000, sum(cost_nanousd) FROM call '
        "WHERE cost_nanousd <> 0 AND duration_us IS NOT NULL GROUP BY 1, 2, 3, 4, 5, 6, 7"
    )
    for org, key, user, team, tags, model, quarter, cost in connection.execute(sa.text(query)):
        for kind, scope in _scopes(texts[org], texts[key], texts[user], texts[team], texts[tags]):
            sums[org, KINDS.index(kind), scope, quarter, model] += int(cost)
    missing = sorted({scope for _, _, scope, _, _ in sums} - numbers.keys())
    if missing:
        name = sa.table("name", sa.column("id"), sa.column("text"))
        op.bulk_insert(name, [{"text": text} for text in missing])
        numbers = {text: number for number, text in connection.execute(sa.text("SELECT id, text FROM name"))}
    columns = ("org", "kind", "scope", "quarter", "model", "cost_nanousd")
    rows: list[dict[str, Any]] = [
        dict(zip(columns, (org, kind, numbers[scope], quarter, model, cost), strict=True))
        for (org, kind, scope, quarter, model), cost in sums.items()
    ]
    if rows:
        op.bulk_insert(_table("spend_quarter", *columns), rows)


def _scopes(org: str, key: str, user: str, team: str, tags: str) -> set[tuple[str, str]]:
    found = {("org", org), ("key", key), ("user", user), ("team", team)}
    if team and user:
        found.add(("member", f"{team}/{user}"[:1000]))
    found.update(("tag", tag) for tag in (json.loads(tags) if tags else ()))
    return {(kind, scope) for kind, scope in found if scope}
