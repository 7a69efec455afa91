"""Sessions that are listed and age, local accounts with a second factor, and failures that slow guessing down."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
oldest_code = "0011"


def upgrade() -> None:
    for column in (
        sa.Column("id", sa.String(26), nullable=False, server_default=""),
        sa.Column("method", sa.String(20), nullable=False, server_default="link"),
        sa.Column("seen_at", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("address", sa.String(64), nullable=False, server_default=""),
        sa.Column("agent", sa.String(200), nullable=False, server_default=""),
        sa.Column("id_token", sa.LargeBinary),
    ):
        op.add_column("console_session", column)
    op.create_index("console_session_user_ix", "console_session", ["org_id", "user_id"])
    op.create_table(
        "local_account",
        sa.Column("org_id", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(200), nullable=False),
        sa.Column("password", sa.String(200), nullable=False),
        sa.Column("password_at", sa.BigInteger, nullable=False),
        sa.Column("totp", sa.LargeBinary, nullable=False),
        sa.Column("totp_at", sa.BigInteger, nullable=False),
        sa.Column("totp_step", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["org_id"], ["org.id"], name=op.f("local_account_org_id_fk")),
        sa.PrimaryKeyConstraint("org_id", "user_id", name=op.f("local_account_pk")),
    )
    op.create_table(
        "recovery_code",
        sa.Column("org_id", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(200), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.ForeignKeyConstraint(["org_id"], ["org.id"], name=op.f("recovery_code_org_id_fk")),
        sa.PrimaryKeyConstraint("org_id", "user_id", "digest", name=op.f("recovery_code_pk")),
    )
    op.create_table(
        "sign_in_failure",
        sa.Column("org_id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(400), nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("wait_until", sa.BigInteger, nullable=False),
        sa.Column("failed_at", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["org_id"], ["org.id"], name=op.f("sign_in_failure_org_id_fk")),
        sa.PrimaryKeyConstraint("org_id", "name", name=op.f("sign_in_failure_pk")),
    )
    op.create_index("sign_in_failure_failed_at_ix", "sign_in_failure", ["failed_at"])
