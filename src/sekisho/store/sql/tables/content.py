"""What calls said: keys of teams, blocks in packs, sealed texts."""

import sqlalchemy as sa

from sekisho.store.sql.tables.schema import metadata

content_vault = sa.Table(
    "content_vault",  # one per team that has content: the key to all of it
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("org_id", sa.String(64), sa.ForeignKey("org.id"), nullable=False),
    sa.Column("team_id", sa.String(200), nullable=False),
    sa.Column("wrapped", sa.LargeBinary, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("org_id", "team_id"),
)

content = sa.Table(
    "content",  # see record.content.ContentRow
    metadata,
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
    sa.Column("pieces", sa.LargeBinary, nullable=False),  # msgpack of record.content.Pieces
    sa.Column("answer", sa.LargeBinary, nullable=False),  # likewise
    sa.Column("answer_form", sa.String(10), nullable=False),
    sa.Column("request_state", sa.String(10), nullable=False),
    sa.Column("answer_state", sa.String(10), nullable=False),
    sa.Column("depth", sa.Integer, nullable=False),
    sa.Column("children", sa.Integer, nullable=False),
    sa.Column("is_gone", sa.Boolean, nullable=False),
    sa.Index("content_vault_started_at_ix", "vault", "started_at"),
    sa.Index("content_parent_ix", "parent"),
    sa.Index("content_task_id_ix", "task_id"),
    sa.Index("content_user_id_ix", "user_id"),
    sqlite_with_rowid=False,
)

content_block = sa.Table(
    "content_block",
    metadata,
    sa.Column("vault", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("address", sa.LargeBinary(16), primary_key=True),
    sa.Column("pack", sa.String(32), nullable=False, index=True),
    sa.Column("start", sa.Integer, nullable=False),
    sa.Column("length", sa.Integer, nullable=False),
    sa.Column("refs", sa.Integer, nullable=False),
    sqlite_with_rowid=False,
)

content_pack = sa.Table(
    "content_pack",
    metadata,
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("vault", sa.Integer, nullable=False, index=True),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("is_doomed", sa.Boolean, nullable=False, index=True),  # its bytes are to be deleted
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

content_text = sa.Table(
    "content_text",  # what a call added, as text to be searched; sealed with its team's key
    metadata,
    sa.Column("call_id", sa.LargeBinary(16), primary_key=True),
    sa.Column("part", sa.Integer, primary_key=True, autoincrement=False),  # 0: the request; else a part of the answer
    sa.Column("vault", sa.Integer, nullable=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Index("content_text_vault_call_id_ix", "vault", "call_id"),
    sqlite_with_rowid=False,
)

content_forgotten = sa.Table(
    "content_forgotten",  # deletions, for processes whose spools may still hold what was deleted
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("call_id", sa.LargeBinary(16), nullable=False),
    sa.Column("task_id", sa.LargeBinary(16), nullable=False),
    sa.Column("user_id", sa.String(200), nullable=False),
    sa.Column("team_id", sa.String(200)),  # NULL: no team is meant
)

spool_offset = sa.Table(
    "spool_offset",
    metadata,
    sa.Column("segment", sa.String(160), primary_key=True),
    sa.Column("end_offset", sa.BigInteger, nullable=False),
)
