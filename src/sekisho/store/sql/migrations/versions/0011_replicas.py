"""Which control processes share the database, which pepper its keys were made with, which code may still use it."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_table(
        "replica",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("life", sa.String(32), nullable=False),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("is_replicated", sa.Boolean, nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("seen_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "installation",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("pepper_digest", sa.LargeBinary(32)),
        sa.Column("oldest_code", sa.String(32), nullable=False),
    )
    installation = sa.table("installation", sa.column("id"), sa.column("oldest_code"))
    op.bulk_insert(installation, [{"id": 1, "oldest_code": revision}])
