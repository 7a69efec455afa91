"""What applied files stated, so that the next apply knows its own and sees what others changed."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "declared",
        sa.Column("org_id", sa.String(length=64), nullable=False),
        sa.Column("address", sa.String(length=1000), nullable=False),
        sa.Column("is_made", sa.Boolean(), nullable=False),
        sa.Column("fields", sa.JSON(), nullable=False),
        sa.Column("applied_at", sa.BigInteger(), nullable=False),
        sa.Column("applied_by", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(["org_id"], ["org.id"], name=op.f("declared_org_id_fk")),
        sa.PrimaryKeyConstraint("org_id", "address", name=op.f("declared_pk")),
    )
