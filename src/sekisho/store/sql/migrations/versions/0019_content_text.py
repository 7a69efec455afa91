"""Texts of calls, sealed, to be searched."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
oldest_code = "0018"


def upgrade() -> None:
    op.create_table(
        "content_text",
        sa.Column("call_id", sa.LargeBinary(16), primary_key=True),
        sa.Column("part", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("vault", sa.Integer, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("content_text_vault_call_id_ix", "content_text", ["vault", "call_id"])
