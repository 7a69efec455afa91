"""Every store test runs on SQLite and on PostgreSQL; each test worker has a PostgreSQL database of its own."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa

from sekisho.store.sql.engine import Database, sqlite_url
from sekisho.store.sql.keys import SqlKeys
from sekisho.store.sql.migrate import migrate
from sekisho.store.sql.names import Names
from sekisho.store.sql.tables import metadata
from tests.servers import postgres_server

ENGINES = ("sqlite", "postgresql")
_OURS = f"sekisho_test_{os.getpid()}"


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL database that is this worker's own."""
    asyncio.run(_maintain(f"DROP DATABASE IF EXISTS {_OURS} WITH (FORCE)", f"CREATE DATABASE {_OURS}"))
    yield _postgres_url(_OURS)
    asyncio.run(_maintain(f"DROP DATABASE IF EXISTS {_OURS} WITH (FORCE)"))


Rows = dict[str, list[dict[str, Any]]]
_SHAPE = sa.text(
    "SELECT (SELECT count(*) FROM pg_trigger), (SELECT count(*) FROM pg_constraint), (SELECT count(*) FROM pg_index), "
    "(SELECT count(*) FROM pg_attribute WHERE attrelid > 16384)"
)


@pytest.fixture(scope="session")
def migrated() -> Iterator[tuple[str, Any, Rows]]:
    """A migrated PostgreSQL database of this worker's own, its shape and the rows that are in it from the beginning."""
    name = f"{_OURS}_migrated"
    asyncio.run(_maintain(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)", f"CREATE DATABASE {name}"))
    asyncio.run(_fill(Database(_postgres_url(name))))
    yield _postgres_url(name), *asyncio.run(_state(Database(_postgres_url(name))))
    asyncio.run(_maintain(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))


async def _state(database: Database) -> tuple[Any, Rows]:
    async with database.read() as connection:
        shape = tuple((await connection.execute(_SHAPE)).one())
        found = {
            table.name: [dict(row) for row in (await connection.execute(sa.select(table))).mappings()]
            for table in metadata.sorted_tables
        }
    await database.close()
    return shape, found


async def _begin_again(database: Database, rows: Rows) -> None:
    """Leave nothing but the first rows: to migrate again would take a second of CPU, to copy a database its disk."""
    tables = [table.name for table in metadata.sorted_tables]
    filled = " UNION ALL ".join(f"SELECT '{name}' WHERE EXISTS (SELECT 1 FROM \"{name}\")" for name in tables)
    async with database.write() as connection:
        names = ", ".join(f'"{name}"' for name in (await connection.execute(sa.text(filled))).scalars())
        await connection.execute(sa.text("ALTER TABLE audit_entry DISABLE TRIGGER USER"))  # it is append-only
        await connection.execute(sa.text(f"TRUNCATE {names} RESTART IDENTITY CASCADE"))
        await connection.execute(sa.text("ALTER TABLE audit_entry ENABLE TRIGGER USER"))
        for table in metadata.sorted_tables:
            if rows[table.name]:
                await connection.execute(table.insert(), rows[table.name])


async def _maintain(*statements: str) -> None:
    before, after = postgres_server()
    connection = await asyncpg.connect(f"postgresql{before}postgres{after}")
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


def _postgres_url(name: str) -> str:
    before, after = postgres_server()
    return f"postgresql+asyncpg{before}{name}{after}"


async def _fill(database: Database) -> None:
    await migrate(database)
    await SqlKeys(database).ensure_org("default", "default", 0)
    await database.close()


@pytest.fixture(scope="session")
def template(tmp_path_factory) -> Path:
    """A migrated SQLite file to copy: migrations take longer than tests."""
    path: Path = tmp_path_factory.mktemp("template") / "sekisho.db"
    asyncio.run(_fill(Database(sqlite_url(path))))
    return path


@pytest.fixture(params=ENGINES)
async def empty(request, tmp_path, postgres) -> AsyncIterator[Database]:
    """A database with nothing in it."""
    database = Database(sqlite_url(tmp_path / "empty.db") if request.param == "sqlite" else postgres)
    if request.param == "postgresql":
        await _drop_all(database)
    yield database
    await database.close()


async def _drop_all(database: Database) -> None:
    async with database.write() as connection:
        await connection.run_sync(metadata.drop_all)
        await connection.execute(sa.text("DROP TABLE IF EXISTS alembic_version"))


@pytest.fixture(params=ENGINES)
async def database(request, tmp_path, template, migrated) -> AsyncIterator[Database]:
    """A migrated database with the organisation "default" and nothing else."""
    if request.param == "sqlite":
        shutil.copy(template, tmp_path / "sekisho.db")
        database = Database(sqlite_url(tmp_path / "sekisho.db"))
    else:
        url, shape, rows = migrated
        database = Database(url)
        async with database.read() as connection:
            is_whole = tuple((await connection.execute(_SHAPE)).one()) == shape
        if is_whole:
            await _begin_again(database, rows)
        else:  # the test before this one took triggers or constraints away
            await _drop_all(database)
            await migrate(database)
            await SqlKeys(database).ensure_org("default", "default", 0)
    yield database
    await database.close()


@pytest.fixture
def names(database) -> Names:
    return Names(database)
