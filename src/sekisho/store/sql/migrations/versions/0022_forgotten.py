"""Deletions of content, for processes whose spools may still hold what was deleted."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
oldest_code = "0021"


def upgrade() -> None:
    op.create_table(
        "content_forgotten",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("call_id", sa.LargeBinary(16), nullable=False),
        sa.Column("task_id", sa.LargeBinary(16), nullable=False),
        sa.Column("user_id", sa.String(200), nullable=False),
        sa.Column("team_id", sa.String(200)),
    )
