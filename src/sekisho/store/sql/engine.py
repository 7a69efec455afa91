"""Database engines: the one place that knows how SQLite and PostgreSQL differ.

SQLite runs in WAL mode with full syncs, and a writing transaction takes the write lock at its start, so that what it
read is still true when it writes. Errors of the driver become StoreUnavailable here; IntegrityError passes, because
it answers a question ("is this alias free?") that the caller asked.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from sekisho.errors import StoreUnavailable
from sekisho.store.sql import one_trip
from sekisho.store.sql.direct import T, Work, run_whole

if TYPE_CHECKING:
    import asyncpg

SQLITE_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000", "foreign_keys=ON")
_IMMEDIATE = "sekisho_immediate"
POOL_SIZE = 10
OLDEST_POSTGRES = 14
_CONNECT_S = 10.0
STATEMENT_S = 15.0
_MIGRATION_S = 6 * 3600.0
# A machine that is lost in the middle of a transaction must not hold its locks against all others.
_SERVER_SETTINGS = {"application_name": "sekisho", "idle_in_transaction_session_timeout": "10s"}
_SCHEME = re.compile(r"(postgresql|postgres)(\+asyncpg)?://")


def sqlite_url(path: Path) -> str:
    """The database URL of a SQLite file."""
    return f"sqlite+aiosqlite:///{path}"


def readable_sqlite_url(path: Path) -> str:
    """The database URL of a SQLite file that must not be changed, not even its journal mode."""
    quoted = quote(quote(str(path.absolute())))  # SQLAlchemy takes one layer off, SQLite the other
    return f"sqlite+aiosqlite:///file:{quoted}?mode=ro&uri=true"


class Database:
    """One database, by URL: `sqlite+aiosqlite:///path`, `postgresql://...` or `postgres://...`.

    A PostgreSQL URL means what it means to libpq, with several hosts, `sslmode`, `sslrootcert` and
    `target_session_attrs` too. `pool_size`: the most connections to PostgreSQL. `statement_s`: how long one statement
    may take there.
    """

    def __init__(self, url: str, *, pool_size: int = POOL_SIZE, statement_s: float = STATEMENT_S) -> None:
        self.is_sqlite = url.startswith("sqlite")
        self.url = url
        self._dsn = "" if self.is_sqlite else postgres_dsn(url)
        self._write_lock = asyncio.Lock()
        if self.is_sqlite:
            self.engine = create_async_engine(url, connect_args={"async_creator_fn": one_trip.connect})
            prepare = _prepare_readable_sqlite if "mode=ro" in url else _prepare_sqlite
            self._direct = sa.create_engine(url.replace("+aiosqlite", "", 1), pool_size=1, max_overflow=0)
            for engine in (self.engine.sync_engine, self._direct):
                sa.event.listen(engine, "connect", prepare)
                sa.event.listen(engine, "begin", _begin_sqlite)
        else:
            self.engine = create_async_engine(
                "postgresql+asyncpg://",
                async_creator=_creator(self._dsn, statement_s),
                pool_pre_ping=True,
                pool_size=pool_size,
                max_overflow=0,
                pool_timeout=_CONNECT_S,
            )
            sa.event.listen(self.engine.sync_engine, "handle_error", _give_up_connection)

    async def check(self) -> None:
        """Raises StoreUnavailable when the database cannot be reached or is of a version that is too old."""
        if self.is_sqlite:
            return
        async with self.read() as connection:
            version = int((await connection.execute(sa.text("SHOW server_version_num"))).scalar_one()) // 10_000
        if version < OLDEST_POSTGRES:
            raise StoreUnavailable(
                f"The database is PostgreSQL {version}; Sekisho needs PostgreSQL {OLDEST_POSTGRES} or later."
            )

    async def connect(self) -> "asyncpg.Connection":
        """A PostgreSQL connection of one's own, outside the pool. Raises StoreUnavailable."""
        return await _creator(self._dsn, STATEMENT_S)()

    @asynccontextmanager
    async def patient(self) -> "AsyncIterator[Database]":
        """The same database for statements that take long: the changes of a migration."""
        if self.is_sqlite:
            yield self
            return
        patient = Database(self._dsn, pool_size=1, statement_s=_MIGRATION_S)
        try:
            yield patient
        finally:
            await patient.close()

    async def close(self) -> None:
        """Close every connection of the pool."""
        await self.engine.dispose()
        if self.is_sqlite:
            self._direct.dispose()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection that sees one state of the database and changes nothing."""
        try:
            async with self.engine.connect() as connection:
                if not self.is_sqlite:  # there each statement would see the newest state
                    await connection.execution_options(isolation_level="REPEATABLE READ")
                yield connection
        except (SQLAlchemyError, OSError, TimeoutError) as error:  # the driver's timeouts come as they are
            raise StoreUnavailable("The database cannot be read.") from error

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction: committed at the end, rolled back on any error. On SQLite one at a time."""
        async with self._writing(), self.engine.connect() as connection:
            await connection.execution_options(**{_IMMEDIATE: True})
            async with connection.begin():
                yield connection

    async def transact(self, work: Work[T]) -> T:
        """What the work returns, which is done in one transaction as in `write`; for many statements.

        The work waits for nothing but its connection: on SQLite it runs in a thread, without an event loop."""
        if not self.is_sqlite:
            async with self.write() as connection:
                return await work(connection)
        async with self._writing():
            job = asyncio.ensure_future(asyncio.to_thread(run_whole, self._direct, {_IMMEDIATE: True}, work))
            try:
                return await asyncio.shield(job)
            finally:
                if not job.done():  # cancelled: what a thread has begun goes on, and the lock is its
                    await asyncio.wait([job])

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[None]:
        """The right to write, on SQLite one at a time; the errors of the driver as ours."""
        async with self._write_lock if self.is_sqlite else _no_lock():
            try:
                yield
            except IntegrityError:
                raise
            except (SQLAlchemyError, OSError, TimeoutError) as error:
                raise StoreUnavailable("The database cannot be written.") from error

    def insert(self, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
        """An INSERT that knows `on_conflict_do_nothing` and `on_conflict_do_update`, the same on both engines."""
        return sqlite.insert(table) if self.is_sqlite else postgresql.insert(table)


def _give_up_connection(context: sa.engine.ExceptionContext) -> None:
    """A connection that broke in the middle of something may be left in a state in which nothing works any more; the
    driver's own error for that is not taken for a broken connection by itself."""
    if type(context.original_exception).__name__ in ("InternalClientError", "InterfaceError", "Error"):
        context.is_disconnect = True


def postgres_dsn(url: str) -> str:
    """The URL as the driver takes it. Raises ValueError for what is not a PostgreSQL URL; never says the URL."""
    if not _SCHEME.match(url):
        raise ValueError("a database URL begins with postgresql:// or postgres://")
    dsn = _SCHEME.sub("postgresql://", url, count=1)
    if not urlsplit(dsn).path.strip("/"):
        raise ValueError("a database URL ends with the name of a database")
    return dsn


def place_of(dsn: str) -> str:
    """Where a PostgreSQL URL leads, without user, password and options: "host:port/name"."""
    parts = urlsplit(dsn)
    return unquote(parts.netloc.rpartition("@")[2] or "localhost") + parts.path


def driver_errors() -> tuple[type[Exception], ...]:
    """What the driver of PostgreSQL raises when a connection cannot be used; one that is cut off in the midst of
    something is left in a state that is an internal error to it."""
    import asyncpg  # noqa: PLC0415  only where PostgreSQL is used

    return (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)


def _creator(dsn: str, statement_s: float) -> "Callable[[], Awaitable[asyncpg.Connection]]":
    async def connect() -> "asyncpg.Connection":
        import asyncpg  # noqa: PLC0415  only where PostgreSQL is used

        expected: tuple[type[Exception], ...] = (ValueError, *driver_errors())
        try:
            return await asyncpg.connect(
                dsn, timeout=_CONNECT_S, command_timeout=statement_s, server_settings=_SERVER_SETTINGS
            )
        except expected as error:
            reason = getattr(error, "strerror", None) or str(error) or "it does not answer"
            raise StoreUnavailable(f"The database at {place_of(dsn)} cannot be reached: {reason}.") from error

    return connect


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin where we say so, not at the first write
    cursor = connection.cursor()
    for pragma in SQLITE_PRAGMAS:
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
