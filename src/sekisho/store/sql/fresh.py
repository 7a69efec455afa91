"""The newest schema in an empty SQLite file at once: migrations take longer than everything else at a first start.

A test holds it equal to what the migrations build: tables, indexes, triggers and first rows.
"""

import functools

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.store.sql.tables import metadata
from sekisho.store.sql.tables.schema import counter, installation, name

_APPEND_ONLY = "the audit log is append-only"
TRIGGERS = (
    *(
        f"CREATE TRIGGER audit_entry_no_{change.lower()} BEFORE {change} ON audit_entry "
        f"BEGIN SELECT RAISE(ABORT, '{_APPEND_ONLY}'); END"
        for change in ("UPDATE", "DELETE")
    ),
    "CREATE TRIGGER audit_entry_no_replace BEFORE INSERT ON audit_entry WHEN EXISTS "
    "(SELECT 1 FROM audit_entry WHERE org_id = NEW.org_id AND sequence = NEW.sequence) "
    f"BEGIN SELECT RAISE(ABORT, '{_APPEND_ONLY}'); END",
)


@functools.cache
def _statements() -> tuple[str, ...]:
    """What makes every table, index and trigger in SQLite, in order; to put it in words takes longer than to run it."""
    found: list[str] = []

    def note(statement: sa.schema.DDLElement, *_: object, **__: object) -> None:
        found.append(str(statement.compile(dialect=writer.dialect)))

    writer = sa.create_mock_engine("sqlite://", note)
    metadata.create_all(writer, checkfirst=False)
    return (*found, *TRIGGERS)


async def build(connection: AsyncConnection, revision: str) -> bool:
    """Make every table, trigger and first row, and note the revision as Alembic does. In a database that is not empty
    nothing is done; whether something was."""
    if (await connection.exec_driver_sql("SELECT 1 FROM sqlite_master LIMIT 1")).first():
        return False
    for statement in _statements():
        await connection.exec_driver_sql(statement)
    await connection.execute(counter.insert(), [{"name": one, "value": 0} for one in ("epoch", "change", "content")])
    await connection.execute(name.insert(), {"id": 0, "text": ""})
    await connection.execute(installation.insert(), {"id": 1, "oldest_code": revision})
    await connection.exec_driver_sql(
        "CREATE TABLE alembic_version "
        "(version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
    )
    await connection.exec_driver_sql(f"INSERT INTO alembic_version VALUES ('{revision}')")
    return True
