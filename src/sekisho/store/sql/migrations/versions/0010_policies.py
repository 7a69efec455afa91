"""What scopes may use: models, providers, Regions, agents, hours."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "policy",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("org_id", sa.String(length=64), nullable=False),
        sa.Column("scope_kind", sa.String(length=20), nullable=False),
        sa.Column("scope_id", sa.String(length=401), nullable=False),
        sa.Column("name", sa.String(length=1000), nullable=False),
        sa.Column("allowed", sa.JSON(), nullable=False),
        sa.Column("template_id", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=200), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["org_id"], ["org.id"], name=op.f("policy_org_id_fk")),
        sa.PrimaryKeyConstraint("id", name=op.f("policy_pk")),
    )
    op.create_index("policy_scope_ix", "policy", ["org_id", "scope_kind", "scope_id"])
