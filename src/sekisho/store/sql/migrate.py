"""Brings a database to the newest schema. Alembic is imported only when there is something to do: it costs 0.2 s.

Of several processes that start at once one migrates, the others wait. A migration may say `oldest_code = "0007"`: code
whose HEAD is "0007" can go on using the schema after it, so that both versions run side by side while replicas are
upgraded one by one. A migration that says nothing shuts all older code out.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from sekisho.errors import StoreUnavailable
from sekisho.store.sql.engine import Database
from sekisho.store.sql.fresh import build
from sekisho.store.sql.tables.schema import installation

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

HEAD = "0023"  # a test holds it equal to the newest file in migrations/versions
_LOCK = 0x53454B49  # of PostgreSQL's advisory locks
_LOCK_WAIT = "120s"


async def migrate(database: Database) -> None:
    """Run the migrations that are missing, in one transaction. Raises StoreUnavailable."""
    async with database.read() as connection:
        if await connection.run_sync(_may_use):
            return
    if database.is_sqlite and await database.transact(lambda connection: build(connection, HEAD)):
        return
    async with database.patient() as patient, patient.write() as connection:
        if not database.is_sqlite:
            await connection.execute(sa.text(f"SET LOCAL lock_timeout = '{_LOCK_WAIT}'"))
            await connection.execute(sa.text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
        await connection.run_sync(_upgrade)


def alembic_config() -> "Config":
    """Alembic's view of the migrations in this package."""
    from alembic.config import Config  # noqa: PLC0415  slow to import, seldom needed

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def oldest_code(scripts: "ScriptDirectory", since: str | None) -> str:
    """The lowest HEAD of code that can use the newest schema, by what the migrations after `since` say."""
    if since is None:  # it is new: nobody uses it yet
        return HEAD
    revisions = [script for script in scripts.walk_revisions() if script.revision > since]
    return max((getattr(script.module, "oldest_code", script.revision) for script in revisions), default=HEAD)


def _may_use(connection: sa.Connection) -> bool:
    """Whether this code can work with the schema as it is."""
    version = _version(connection)
    if version is None or version <= HEAD:
        return version == HEAD
    return _oldest_code(connection) <= HEAD


def _version(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return version


def _oldest_code(connection: sa.Connection) -> str:
    """What the newer code that migrated has left for us; a text above every HEAD if it left nothing."""
    if not sa.inspect(connection).has_table(installation.name):
        return "~"
    return connection.execute(sa.select(installation.c.oldest_code)).scalar() or "~"


def _upgrade(connection: sa.Connection) -> None:
    from alembic import command  # noqa: PLC0415  slow to import, seldom needed
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    if _may_use(connection):  # another process was faster
        return
    version = _version(connection)
    if version is not None and version > HEAD:
        raise StoreUnavailable("The database was made by a newer version of Sekisho.")
    config = alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    oldest = max(_oldest_code(connection), oldest_code(ScriptDirectory.from_config(config), version))
    connection.execute(installation.update().values(oldest_code=oldest))
