"""Events, and what budgets did to single calls."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "call_action",
        sa.Column("call_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("asked_model", sa.String(length=1000), nullable=False),
        sa.Column("clamped_tokens", sa.BigInteger(), nullable=False),
        sa.Column("delayed_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("call_id", name=op.f("call_action_pk")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("org_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["org_id"], ["org.id"], name=op.f("event_org_id_fk")),
        sa.PrimaryKeyConstraint("id", name=op.f("event_pk")),
        sa.UniqueConstraint("org_id", "kind", "key", name=op.f("event_org_id_kind_key_uq")),
    )
