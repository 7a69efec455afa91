"""Whether streams of a revoked key are cut, by key and by team."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
oldest_code = "0019"


def upgrade() -> None:
    op.add_column("virtual_key", sa.Column("cut_streams", sa.Boolean))
    op.add_column("team", sa.Column("cut_streams", sa.Boolean))
