"""All rows of a database as values that any engine takes: what a backup holds.

Reading is one consistent transaction; loading is one transaction into an empty database. The tables are those of the
revision that the rows were read at; what a newer version changed is then brought about by its migrations.
"""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import sqlalchemy as sa
from alembic import command, util
from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.store.sql.engine import Database
from sekisho.store.sql.migrate import HEAD, alembic_config
from sekisho.store.sql.tables import metadata

CHUNK = 5_000
VERSION_TABLE = "alembic_version"
# What calls said is not backed up: what is deleted must be gone, and the packs that belong to these rows lie elsewhere.
LEFT_OUT = (
    *("content", "content_block", "content_forgotten", "content_pack", "content_text", "content_vault"),
    "spool_offset",
)


class DumpError(Exception):
    """The rows cannot be read or loaded. Says why, in English and in Japanese."""

    def __init__(self, en: str, ja: str) -> None:
        self.en = en
        self.ja = ja
        super().__init__(en)


class Chunk(msgspec.Struct, frozen=True):
    """Some rows of one table."""

    table: str
    columns: list[str]
    rows: list[list[Any]]


async def read_all(database: Database) -> AsyncIterator[Chunk]:
    """Every row of every table but `LEFT_OUT` as of one moment, tables in an order in which they can be loaded.

    Raises DumpError for a database that is not at the revision of this version."""
    async with database.read() as connection:
        revision = await connection.run_sync(revision_of)
        if revision != HEAD:
            raise DumpError(
                f"The database is at revision {revision}, this Sekisho at {HEAD}. Start it once, then back up.",
                f"データベースはリビジョン {revision}、この関所は {HEAD} です。"
                "一度起動してからバックアップしてください。",
            )
        for table in metadata.sorted_tables:
            if table.name in LEFT_OUT:
                continue
            result = await connection.stream(sa.select(table))
            async for rows in result.partitions(CHUNK):
                yield Chunk(str(table.name), [str(name) for name in table.c.keys()], [list(row) for row in rows])


class Loader:
    """Loads chunks in one transaction of an empty database."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._tables = sa.MetaData()

    async def prepare(self, revision: str) -> None:
        """Make the empty tables of this revision. Raises DumpError when there are tables already, or when this
        version does not know the revision."""
        if await self._connection.run_sync(lambda connection: sa.inspect(connection).get_table_names()):
            raise DumpError(
                "The database is not empty: nothing is restored over what is there.",
                "データベースが空ではありません。上書きはしません。",
            )
        await self._connection.run_sync(_upgrade_to, revision)
        await self._connection.run_sync(self._tables.reflect)
        for table in reversed(self._tables.sorted_tables):
            if table.name != VERSION_TABLE and await self._has_rows(table):
                await self._connection.execute(table.delete())

    async def load(self, chunk: Chunk) -> None:
        """Insert rows."""
        table = self._tables.tables.get(chunk.table)
        if table is None or chunk.table == VERSION_TABLE or not set(chunk.columns) <= set(table.c.keys()):
            raise DumpError(
                f"The backup holds a table that its revision does not have: {chunk.table[:60]}.",
                f"バックアップに、そのリビジョンにないテーブルがあります（{chunk.table[:60]}）。",
            )
        json_nulls = {column.name for column in table.c if isinstance(column.type, sa.JSON) and column.nullable}
        rows = [dict(zip(chunk.columns, row, strict=True)) for row in chunk.rows]
        for row in rows if json_nulls else ():
            row.update({name: sa.null() for name in json_nulls if row.get(name, 0) is None})
        if rows:
            await self._connection.execute(table.insert(), rows)

    async def finish(self) -> None:
        """Let numbers that the database gives go on behind those that are loaded."""
        if self._connection.dialect.name != "postgresql":
            return
        for table in self._tables.sorted_tables:
            for column in table.primary_key:
                find = sa.text("SELECT pg_get_serial_sequence(:table, :column)")
                names = {"table": f'"{table.name}"', "column": column.name}
                if sequence := (await self._connection.execute(find, names)).scalar():
                    top = f'SELECT coalesce(max("{column.name}"), 0) + 1 FROM "{table.name}"'
                    await self._connection.execute(sa.text(f"SELECT setval('{sequence}', ({top}), false)"))

    async def _has_rows(self, table: sa.Table) -> bool:
        return (
            await self._connection.execute(sa.select(sa.literal(1)).select_from(table).limit(1))
        ).first() is not None


def revision_of(connection: sa.Connection) -> str | None:
    """The revision of a database; None when it has none."""
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    version: str | None = connection.execute(sa.text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()
    return version


def _upgrade_to(connection: sa.Connection, revision: str) -> None:
    config = alembic_config()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, revision)
    except util.CommandError as error:
        raise DumpError(
            "The backup was made by a newer version of Sekisho.",
            "バックアップはより新しいバージョンの関所で作成されています。",
        ) from error
