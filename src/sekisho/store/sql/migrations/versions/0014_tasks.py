"""Tasks: which calls belong together, and what they cost in all and by mode."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.add_column("call", sa.Column("task", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("call", sa.Column("kind", sa.SmallInteger(), nullable=False, server_default="0"))
    op.create_index("call_task_id_ix", "call", ["task", "id"])
    op.create_table(
        "task",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("same_as", sa.Integer()),
        *(
            sa.Column(name, sa.Integer(), nullable=False)
            for name in ("org", "team", "user", "key", "agent", "repository", "branch")
        ),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("first_at", "last_at", "calls", "turns", "failed", "refused", "running", "cost_nanousd")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("task_pk")),
        sa.UniqueConstraint("id", name=op.f("task_id_uq")),
    )
    op.create_index(op.f("task_same_as_ix"), "task", ["same_as"])
    op.create_index("task_org_last_at_ix", "task", ["org", "last_at", "number"])
    op.create_index("task_org_cost_nanousd_ix", "task", ["org", "cost_nanousd", "number"])
    op.create_index("task_user_last_at_ix", "task", ["user", "last_at"])
    op.create_table(
        "task_mode",
        sa.Column("task", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("mode", sa.Integer(), autoincrement=False, nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in (
                *("calls", "turns", "failed", "refused", "running"),
                *("input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens"),
                *("output_tokens", "reasoning_tokens", "list_cost_nanousd", "cost_nanousd"),
                *("input_nanousd", "cache_read_nanousd", "cache_write_nanousd", "output_nanousd"),
            )
        ),
        sa.PrimaryKeyConstraint("task", "mode", name=op.f("task_mode_pk")),
        sqlite_with_rowid=False,
    )
