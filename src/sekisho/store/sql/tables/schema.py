"""What every table belongs to, and the tables that no other part owns."""

import sqlalchemy as sa

metadata = sa.MetaData(
    naming_convention={
        "pk": "%(table_name)s_pk",
        "ix": "%(table_name)s_%(column_0_N_name)s_ix",
        "uq": "%(table_name)s_%(column_0_N_name)s_uq",
        "fk": "%(table_name)s_%(column_0_name)s_fk",
    }
)

counter = sa.Table(
    "counter",
    metadata,
    sa.Column(
        "name", sa.String(40), primary_key=True
    ),  # "epoch" of the snapshot, "change" of calls, "content" generation
    sa.Column("value", sa.BigInteger, nullable=False),
)

org = sa.Table(
    "org",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
)

name = sa.Table(
    "name",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("text", sa.String(1000), nullable=False, unique=True),
)

idempotent_answer = sa.Table(
    "idempotent_answer",
    metadata,
    sa.Column("digest", sa.LargeBinary(32), primary_key=True),  # of who asked, where, and the key given
    sa.Column("request_digest", sa.LargeBinary(32), nullable=False),
    sa.Column("status", sa.Integer, nullable=False),  # 0: not answered yet
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False, index=True),
)

replica = sa.Table(
    "replica",  # a control process that shares this database, for as long as it lives
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),  # of its home
    sa.Column("life", sa.String(32), nullable=False),  # of the process; empty once others took it for lost
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("is_replicated", sa.Boolean, nullable=False),
    sa.Column("started_at", sa.BigInteger, nullable=False),  # this and the next by the database's clock
    sa.Column("seen_at", sa.BigInteger, nullable=False),
)

installation = sa.Table(
    "installation",  # one row
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("pepper_digest", sa.LargeBinary(32)),
    sa.Column("oldest_code", sa.String(32), nullable=False),  # the lowest HEAD of code that may use this schema
    sa.Column("ahead_h", sa.Integer, nullable=False, server_default="0"),  # of UTC, see `cells`
)

setting = sa.Table(
    "setting",  # what administrators set as data
    metadata,
    sa.Column("org_id", sa.String(64), sa.ForeignKey("org.id"), primary_key=True),
    sa.Column("name", sa.String(60), primary_key=True),
    sa.Column("value", sa.JSON, nullable=False),
    sa.Column("updated_at", sa.BigInteger, nullable=False),
    sa.Column("updated_by", sa.String(200), nullable=False),
)
