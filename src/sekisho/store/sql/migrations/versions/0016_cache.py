"""What prompt caches did for calls, and the sums of it by day and team.

Calls from before have no such figures; the sums begin with the calls that come.
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
oldest_code = "0014"


def upgrade() -> None:
    op.create_table(
        "call_cache",
        sa.Column("call_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("saved_nanousd", sa.BigInteger(), nullable=False),
        sa.Column("lost_nanousd", sa.BigInteger(), nullable=False),
        sa.Column("lost_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cause", sa.Integer(), nullable=False),
        sa.Column("block", sa.String(length=40), nullable=False),
        sa.Column("detail", sa.String(length=200), nullable=False),
        sa.Column("before", sa.LargeBinary(length=16), nullable=False),
        sa.PrimaryKeyConstraint("call_id", name=op.f("call_cache_pk")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "cache_by_team",
        *(
            sa.Column(name, sa.Integer(), autoincrement=False, nullable=False)
            for name in ("org", "day", "team", "cause")
        ),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in (
                *("calls", "input_tokens", "cache_read_tokens", "cache_write_tokens"),
                *("saved_nanousd", "lost_nanousd"),
            )
        ),
        sa.PrimaryKeyConstraint("org", "day", "team", "cause", name=op.f("cache_by_team_pk")),
        sqlite_with_rowid=False,
    )
