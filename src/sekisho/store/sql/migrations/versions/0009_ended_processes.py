"""Which call processes have ended: shared counters let go of what those held."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "ended_process",
        sa.Column("process", sa.String(length=128), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("process", name=op.f("ended_process_pk")),
    )
