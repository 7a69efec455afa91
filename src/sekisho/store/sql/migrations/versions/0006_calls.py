"""Calls with narrower columns in an order without padding, which also say all about their only attempt.

Rows of attempts that are there stay.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

INT32_MAX = 2**31 - 1
WIDE = ("change", "started_at", "duration_us", "upstream_us", "reserved_nanousd", "list_cost_nanousd", "cost_nanousd")
NUMBERS = (
    *("org", "key", "user", "team", "tags", "agent", "agent_version", "session", "door", "model"),
    *("status", "stage", "stop_reason", "error", "price_version", "price_scope"),
)
ADDED = ("deployment", "sent_us")
CUT = (
    *("first_byte_us", "request_bytes", "input_tokens", "cache_read_tokens", "cache_write_5m_tokens"),
    *("cache_write_1h_tokens", "output_tokens", "reasoning_tokens"),
)
FLAGS = ("stream", "has_caller", "is_metered", "client_left")
INDEXES = {
    "call_org_change_ix": ["org", "change"],
    "call_key_id_ix": ["key", "id"],
    "call_user_id_ix": ["user", "id"],
}


def upgrade() -> None:
    for name in INDEXES:
        op.drop_index(name, "call")
    op.rename_table("call", "call_before")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE call_before RENAME CONSTRAINT call_pk TO call_before_pk")
    op.create_table(
        "call",
        *(sa.Column(name, sa.BigInteger(), nullable=name == "duration_us") for name in WIDE),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in (*NUMBERS, *ADDED, *CUT)),
        *(sa.Column(name, sa.Boolean(), nullable=False) for name in FLAGS),
        sa.Column("id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("stages_us", sa.LargeBinary(), nullable=False),
        sa.Column("upstream_request_id", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("call_pk")),
        sqlite_with_rowid=False,
    )
    same = (*WIDE, *NUMBERS, *FLAGS, "id", "stages_us")
    columns = ", ".join(f'"{name}"' for name in (*same, *CUT, *ADDED, "upstream_request_id"))
    cut = (f'CASE WHEN "{name}" > {INT32_MAX} THEN {INT32_MAX} ELSE "{name}" END' for name in CUT)
    values = ", ".join((*(f'"{name}"' for name in same), *cut, "0", "0"))
    insert = sa.text(f"INSERT INTO call ({columns}) SELECT {values}, :nothing FROM call_before")
    op.get_bind().execute(insert.bindparams(sa.bindparam("nothing", b"", sa.LargeBinary())))
    op.drop_table("call_before")
    for name, indexed in INDEXES.items():
        op.create_index(name, "call", indexed, unique=False)
