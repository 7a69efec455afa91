"""Every store test runs on SQLite and on PostgreSQL; each test worker has a PostgreSQL database of its own."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

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


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL database that is this worker's own."""
    before, after = postgres_server()
    name = f"sekisho_test_{os.getpid()}"

    async def maintain(*statements: str) -> None:
        connection = await asyncpg.connect(f"postgresql{before}postgres{after}")
        for statement in statements:
            await connection.execute(statement)
        await connection.close()

    drop = f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"
    asyncio.run(maintain(drop, f"CREATE DATABASE {name}"))
    yield f"postgresql+asyncpg{before}{name}{after}"
    asyncio.run(maintain(drop))


@pytest.fixture(scope="session")
def template(tmp_path_factory) -> Path:
    """A migrated SQLite file to copy: migrations take longer than tests."""

    async def build() -> None:
        database = Database(sqlite_url(path))
        await migrate(database)
        await SqlKeys(database).ensure_org("default", "default", 0)
        await database.close()

    path: Path = tmp_path_factory.mktemp("template") / "sekisho.db"
    asyncio.run(build())
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
async def database(request, tmp_path, template, postgres) -> AsyncIterator[Database]:
    """A migrated database with the organisation "default" and nothing else."""
    if request.param == "sqlite":
        shutil.copy(template, tmp_path / "sekisho.db")
        database = Database(sqlite_url(tmp_path / "sekisho.db"))
    else:
        database = Database(postgres)
        await _drop_all(database)
        await migrate(database)
        await SqlKeys(database).ensure_org("default", "default", 0)
    yield database
    await database.close()


@pytest.fixture
def names(database) -> Names:
    return Names(database)
