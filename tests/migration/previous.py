"""Databases as earlier versions left them: built by their migrations, filled by SQL alone."""

import sqlalchemy as sa
from alembic import command

from sekisho.store.sql.engine import Database
from sekisho.store.sql.migrate import alembic_config

DAY_US = 86_400_000_000
CALL_COLUMNS = (
    *("id", "change", "org", "key", "user", "team", "tags", "agent", "agent_version", "session", "door", "model"),
    *("stream", "request_bytes", "reserved_nanousd", "has_caller", "status", "stage", "stop_reason", "error"),
    *("started_at", "duration_us", "first_byte_us", "upstream_us", "stages_us", "is_metered", "client_left"),
    *("input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "output_tokens"),
    *("reasoning_tokens", "list_cost_nanousd", "cost_nanousd", "price_version", "price_scope"),
)


async def build(database: Database, revision: str) -> None:
    """Make the tables of this revision."""

    def upgrade(connection: sa.Connection) -> None:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)

    async with database.write() as connection:
        await connection.run_sync(upgrade)


async def fill(database: Database, calls: list[dict[str, object]], names: dict[int, str], *, with_key: bool) -> None:
    """Put rows of calls, the names that their numbers stand for and, if asked, a key of Alice's into it."""
    async with database.write() as connection:
        await connection.execute(sa.text("INSERT INTO org (id, name, created_at) VALUES ('default', 'default', 0)"))
        for number, text in names.items():
            await connection.execute(
                sa.text("INSERT INTO name (id, text) VALUES (:id, :text)").bindparams(id=number, text=text)
            )
        if not database.is_sqlite:
            await connection.execute(sa.text("SELECT setval('name_id_seq', 1000)"))
        columns = ", ".join(f'"{one}"' for one in CALL_COLUMNS)
        marks = ", ".join(f":{one}" for one in CALL_COLUMNS)
        for one in calls:
            await connection.execute(sa.text(f"INSERT INTO call ({columns}) VALUES ({marks})").bindparams(**one))
        if with_key:
            await connection.execute(
                sa.text(
                    "INSERT INTO virtual_key (id, org_id, digest, hint, user_id, team_id, models, tags, metadata, "
                    "blocked, created_at, created_by, updated_at) VALUES "
                    "('k', 'default', :digest, 'wxyz', 'alice', 'red', '[]', '[]', '{}', :no, 1, 'o', 1)"
                ).bindparams(digest=b"d" * 32, no=False)
            )


def a_call(number: int, **fields: object) -> dict[str, object]:
    """The columns of a settled call that cost 7 nano-USD at noon of day 20,000; `fields` say what is different."""
    started_at = DAY_US * 20_000 + DAY_US // 2
    row: dict[str, object] = dict.fromkeys(CALL_COLUMNS, 0)
    row |= {"change": number, "stream": True, "has_caller": True, "is_metered": True, "client_left": False}
    row |= {"started_at": started_at, "duration_us": 5, "stages_us": b"", "input_tokens": 1}
    row |= {"list_cost_nanousd": 7, "cost_nanousd": 7} | fields
    at = row["started_at"]
    assert isinstance(at, int)
    return row | {"id": (at // 1000).to_bytes(6, "big") + number.to_bytes(10, "big")}
