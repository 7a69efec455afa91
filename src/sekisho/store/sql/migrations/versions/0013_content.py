"""Content of calls: keys of teams, what is kept of each call, its blocks and packs; how far the spool is taken."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
oldest_code = "0012"


def upgrade() -> None:
    op.create_table(
        "content_vault",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("org_id", sa.String(64), sa.ForeignKey("org.id", name="content_vault_org_id_fk"), nullable=False),
        sa.Column("team_id", sa.String(200), nullable=False),
        sa.Column("wrapped", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("org_id", "team_id", name="content_vault_org_id_team_id_uq"),
    )
    op.create_table(
        "content",
        sa.Column("call_id", sa.LargeBinary(16), primary_key=True),
        sa.Column("vault", sa.Integer, nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("user_id", sa.String(200), nullable=False),
        sa.Column("key_id", sa.String(26), nullable=False),
        sa.Column("task_id", sa.LargeBinary(16), nullable=False),
        sa.Column("level", sa.String(10), nullable=False),
        sa.Column("door", sa.String(40), nullable=False),
        sa.Column("stream", sa.Boolean, nullable=False),
        sa.Column("parent", sa.LargeBinary(16), nullable=False),
        sa.Column("kept", sa.Integer, nullable=False),
        sa.Column("tail", sa.Integer, nullable=False),
        sa.Column("pieces", sa.LargeBinary, nullable=False),
        sa.Column("answer", sa.LargeBinary, nullable=False),
        sa.Column("answer_form", sa.String(10), nullable=False),
        sa.Column("request_state", sa.String(10), nullable=False),
        sa.Column("answer_state", sa.String(10), nullable=False),
        sa.Column("depth", sa.Integer, nullable=False),
        sa.Column("children", sa.Integer, nullable=False),
        sa.Column("is_gone", sa.Boolean, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("content_vault_started_at_ix", "content", ["vault", "started_at"])
    op.create_index("content_parent_ix", "content", ["parent"])
    op.create_index("content_task_id_ix", "content", ["task_id"])
    op.create_index("content_user_id_ix", "content", ["user_id"])
    op.create_table(
        "content_block",
        sa.Column("vault", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("address", sa.LargeBinary(16), primary_key=True),
        sa.Column("pack", sa.String(32), nullable=False),
        sa.Column("start", sa.Integer, nullable=False),
        sa.Column("length", sa.Integer, nullable=False),
        sa.Column("refs", sa.Integer, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("content_block_pack_ix", "content_block", ["pack"])
    op.create_table(
        "content_pack",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("vault", sa.Integer, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("is_doomed", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("content_pack_vault_ix", "content_pack", ["vault"])
    op.create_index("content_pack_is_doomed_ix", "content_pack", ["is_doomed"])
    op.create_table(
        "spool_offset",
        sa.Column("segment", sa.String(160), primary_key=True),
        sa.Column("end_offset", sa.BigInteger, nullable=False),
    )
    op.add_column("team", sa.Column("content_level", sa.String(10), nullable=False, server_default=""))
    op.add_column("team", sa.Column("content_days", sa.Integer, nullable=False, server_default="0"))
    counter = sa.table("counter", sa.column("name"), sa.column("value"))
    op.bulk_insert(counter, [{"name": "content", "value": 0}])
