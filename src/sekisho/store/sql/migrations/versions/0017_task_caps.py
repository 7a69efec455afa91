"""Limits on what a single task may cost and on how many calls it may make."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
oldest_code = "0016"


def upgrade() -> None:
    for name in ("nanousd_per_task", "calls_per_task"):
        op.add_column("rate_limit", sa.Column(name, sa.BigInteger()))
