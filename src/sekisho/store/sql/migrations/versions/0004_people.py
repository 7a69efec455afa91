"""Roles, access tokens, hand-overs of secrets, settings, and keys that are rotated."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("virtual_key", sa.Column("previous_digest", sa.LargeBinary(length=32), nullable=True))
    op.add_column("virtual_key", sa.Column("previous_until", sa.BigInteger(), nullable=True))
    for table in ("login_code", "console_session"):
        op.add_column(table, sa.Column("user_id", sa.String(length=200), nullable=False, server_default=""))
    for table in ("person", "tag"):
        op.add_column(table, sa.Column("owner", sa.String(length=210), nullable=False, server_default=""))
    _roles()
    _secrets()
    _settings()


def _roles() -> None:
    op.create_table(
        "role_grant",
        sa.Column("org_id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=200), nullable=False),
        sa.Column("role", sa.String(length=40), nullable=False),
        sa.Column("team_id", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(["org_id"], ["org.id"], name=op.f("role_grant_org_id_fk")),
        sa.PrimaryKeyConstraint("org_id", "user_id", "role", "team_id", name=op.f("role_grant_pk")),
    )
    op.create_table(
        "role_change",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("org_id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=200), nullable=False),
        sa.Column("role", sa.String(length=40), nullable=False),
        sa.Column("team_id", sa.String(length=200), nullable=False),
        sa.Column("action", sa.String(length=20), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(["org_id"], ["org.id"], name=op.f("role_change_org_id_fk")),
        sa.PrimaryKeyConstraint("id", name=op.f("role_change_pk")),
    )
    op.create_index(op.f("role_change_user_ix"), "role_change", ["org_id", "user_id"])


def _secrets() -> None:
    op.create_table(
        "access_token",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("org_id", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("hint", sa.String(length=4), nullable=False),
        sa.Column("user_id", sa.String(length=200), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=200), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["org_id"], ["org.id"], name=op.f("access_token_org_id_fk")),
        sa.PrimaryKeyConstraint("id", name=op.f("access_token_pk")),
        sa.UniqueConstraint("digest", name=op.f("access_token_digest_uq")),
    )
    op.create_index(op.f("access_token_user_ix"), "access_token", ["org_id", "user_id"])
    op.create_table(
        "hand_over",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("org_id", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("object_id", sa.String(length=26), nullable=False),
        sa.Column("user_id", sa.String(length=200), nullable=False),
        sa.Column("grace_s", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=200), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("redeemed_at", sa.BigInteger(), nullable=True),
        sa.Column("withdrawn_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["org_id"], ["org.id"], name=op.f("hand_over_org_id_fk")),
        sa.PrimaryKeyConstraint("id", name=op.f("hand_over_pk")),
        sa.UniqueConstraint("digest", name=op.f("hand_over_digest_uq")),
    )
    op.create_index(op.f("hand_over_object_id_ix"), "hand_over", ["object_id"])


def _settings() -> None:
    op.create_table(
        "setting",
        sa.Column("org_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_by", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(["org_id"], ["org.id"], name=op.f("setting_org_id_fk")),
        sa.PrimaryKeyConstraint("org_id", "name", name=op.f("setting_pk")),
    )
