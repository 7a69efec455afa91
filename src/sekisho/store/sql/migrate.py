"""Brings a database to the newest schema. Alembic is imported only when there is something to do: it costs 0.2 s."""

from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from sekisho.errors import StoreUnavailable
from sekisho.store.sql.engine import Database
from sekisho.store.sql.fresh import build

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0010"  # a test holds it equal to the newest file in migrations/versions


async def migrate(database: Database) -> None:
    """Run the migrations that are missing, in one transaction. Raises StoreUnavailable."""
    async with database.read() as connection:
        version = await connection.run_sync(_version)
    if version == HEAD:
        return
    async with database.write() as connection:
        if database.is_sqlite and not await connection.run_sync(lambda one: sa.inspect(one).get_table_names()):
            await connection.run_sync(build, HEAD)
        else:
            await connection.run_sync(_upgrade)


def alembic_config() -> "Config":
    """Alembic's view of the migrations in this package."""
    from alembic.config import Config  # noqa: PLC0415  slow to import, seldom needed

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def _version(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return version


def _upgrade(connection: sa.Connection) -> None:
    from alembic import command, util  # noqa: PLC0415  slow to import, seldom needed

    config = alembic_config()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except util.CommandError as error:  # a revision that this package does not have
        raise StoreUnavailable("The database was made by a newer version of Sekisho.") from error
