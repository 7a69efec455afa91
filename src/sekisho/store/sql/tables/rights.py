"""Who may do what, and what was done: roles, access tokens, one-time links, the audit log."""

import sqlalchemy as sa

from sekisho.store.sql.tables.schema import metadata

audit_entry = sa.Table(
    "audit_entry",  # triggers refuse to change or delete a row
    metadata,
    sa.Column("org_id", sa.String(64), primary_key=True),
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("actor", sa.String(200), nullable=False),
    sa.Column("action", sa.String(100), nullable=False),
    sa.Column("kind", sa.String(40), nullable=False),
    sa.Column("id", sa.String(401), nullable=False),
    sa.Column("before", sa.Text),  # canonical JSON, as it went into the hash
    sa.Column("after", sa.Text),
    sa.Column("previous", sa.LargeBinary(32), nullable=False),
    sa.Column("hash", sa.LargeBinary(32), nullable=False),
    sa.Index("audit_entry_actor_ix", "org_id", "actor", "sequence"),
    sa.Index("audit_entry_object_ix", "org_id", "kind", "id", "sequence"),
    sa.Index("audit_entry_at_ix", "org_id", "at"),
    sqlite_with_rowid=False,
)

audit_head = sa.Table(
    "audit_head",
    metadata,
    sa.Column("org_id", sa.String(64), primary_key=True),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("hash", sa.LargeBinary(32), nullable=False),
)

role_grant = sa.Table(
    "role_grant",  # who leads a team is said by its membership, not here
    metadata,
    sa.Column("org_id", sa.String(64), sa.ForeignKey("org.id"), primary_key=True),
    sa.Column("user_id", sa.String(200), primary_key=True),
    sa.Column("role", sa.String(40), primary_key=True),
    sa.Column("team_id", sa.String(200), primary_key=True),  # empty: in the whole organisation
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.String(200), nullable=False),
)

role_change = sa.Table(
    "role_change",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("org_id", sa.String(64), sa.ForeignKey("org.id"), nullable=False),
    sa.Column("user_id", sa.String(200), nullable=False),
    sa.Column("role", sa.String(40), nullable=False),
    sa.Column("team_id", sa.String(200), nullable=False),
    sa.Column("action", sa.String(20), nullable=False),  # "grant" or "revoke"
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("by", sa.String(200), nullable=False),
    sa.Index("role_change_user_ix", "org_id", "user_id"),
)

access_token = sa.Table(
    "access_token",
    metadata,
    sa.Column("id", sa.String(26), primary_key=True),
    sa.Column("org_id", sa.String(64), sa.ForeignKey("org.id"), nullable=False),
    sa.Column("digest", sa.LargeBinary(32), nullable=False, unique=True),
    sa.Column("hint", sa.String(4), nullable=False),  # empty: nobody has it yet
    sa.Column("user_id", sa.String(200), nullable=False),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("expires_at", sa.BigInteger),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.String(200), nullable=False),
    sa.Column("revoked_at", sa.BigInteger),
    sa.Index("access_token_user_ix", "org_id", "user_id"),
)

hand_over = sa.Table(
    "hand_over",
    metadata,
    sa.Column("id", sa.String(26), primary_key=True),
    sa.Column("org_id", sa.String(64), sa.ForeignKey("org.id"), nullable=False),
    sa.Column("digest", sa.LargeBinary(32), nullable=False, unique=True),
    sa.Column("kind", sa.String(20), nullable=False),  # "key" or "token"
    sa.Column("object_id", sa.String(26), nullable=False, index=True),
    sa.Column("user_id", sa.String(200), nullable=False),  # who must sign in to redeem it; empty: whoever has the link
    sa.Column("grace_s", sa.BigInteger, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.String(200), nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False),
    sa.Column("redeemed_at", sa.BigInteger),
    sa.Column("withdrawn_at", sa.BigInteger),
)
