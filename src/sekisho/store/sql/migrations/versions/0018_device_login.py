"""Command lines that wait for their person to let them in."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
oldest_code = "0017"


def upgrade() -> None:
    op.create_table(
        "device_login",
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("org_id", sa.String(64), nullable=False),
        sa.Column("user_code", sa.LargeBinary(32), nullable=False),
        sa.Column("client", sa.String(100), nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("polled_at", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("user_id", sa.String(200), nullable=False),
        sa.ForeignKeyConstraint(["org_id"], ["org.id"], name=op.f("device_login_org_id_fk")),
        sa.PrimaryKeyConstraint("digest", name=op.f("device_login_pk")),
        sa.UniqueConstraint("user_code", name=op.f("device_login_user_code_uq")),
    )
