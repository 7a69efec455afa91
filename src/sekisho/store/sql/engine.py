"""Database engines: the one place that knows how SQLite and PostgreSQL differ.

SQLite runs in WAL mode with full syncs, and a writing transaction takes the write lock at its start, so that what it
read is still true when it writes. Errors of the driver become StoreUnavailable here; IntegrityError passes, because
it answers a question ("is this alias free?") that the caller asked.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from sekisho.errors import StoreUnavailable

_IMMEDIATE = "sekisho_immediate"


def sqlite_url(path: Path) -> str:
    """The database URL of a SQLite file."""
    return f"sqlite+aiosqlite:///{path}"


def readable_sqlite_url(path: Path) -> str:
    """The database URL of a SQLite file that must not be changed, not even its journal mode."""
    quoted = quote(quote(str(path.absolute())))  # SQLAlchemy takes one layer off, SQLite the other
    return f"sqlite+aiosqlite:///file:{quoted}?mode=ro&uri=true"


class Database:
    """One database, by SQLAlchemy URL: `sqlite+aiosqlite:///path` or `postgresql+asyncpg://...`."""

    def __init__(self, url: str) -> None:
        self.engine = create_async_engine(url, pool_pre_ping=not url.startswith("sqlite"))
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        self._write_lock = asyncio.Lock()
        if self.is_sqlite:
            prepare = _prepare_readable_sqlite if "mode=ro" in url else _prepare_sqlite
            sa.event.listen(self.engine.sync_engine, "connect", prepare)
            sa.event.listen(self.engine.sync_engine, "begin", _begin_sqlite)

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection that sees one state of the database and changes nothing."""
        try:
            async with self.engine.connect() as connection:
                if not self.is_sqlite:  # there each statement would see the newest state
                    await connection.execution_options(isolation_level="REPEATABLE READ")
                yield connection
        except SQLAlchemyError as error:
            raise StoreUnavailable("The database cannot be read.") from error

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction: committed at the end, rolled back on any error. On SQLite one at a time."""
        async with self._write_lock if self.is_sqlite else _no_lock():
            try:
                async with self.engine.connect() as connection:
                    await connection.execution_options(**{_IMMEDIATE: True})
                    async with connection.begin():
                        yield connection
            except IntegrityError:
                raise
            except SQLAlchemyError as error:
                raise StoreUnavailable("The database cannot be written.") from error

    def insert(self, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
        """An INSERT that knows `on_conflict_do_nothing` and `on_conflict_do_update`, the same on both engines."""
        return sqlite.insert(table) if self.is_sqlite else postgresql.insert(table)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin where we say so, not at the first write
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _prepare_readable_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA busy_timeout=5000")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    immediate = connection.get_execution_options().get(_IMMEDIATE)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


@asynccontextmanager
async def _no_lock() -> AsyncIterator[None]:
    yield
