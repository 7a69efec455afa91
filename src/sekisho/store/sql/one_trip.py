"""aiosqlite for SQLAlchemy, with one trip to the connection's thread for each statement.

SQLAlchemy asks aiosqlite for a cursor, its execution, its rows and its end one after another: four trips, which cost
more than most statements. Here the first rows come back with the execution, nearly always all of them.
"""

import sqlite3
from collections.abc import Iterable
from functools import partial
from typing import Any

import aiosqlite

_FIRST_ROWS = 1_000


class OneTripCursor(aiosqlite.Cursor):
    """A cursor that is made when its statement is executed, and is closed with its last row."""

    _cursor: sqlite3.Cursor

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self.iter_chunk_size = connection._iter_chunk_size
        self._conn = connection
        self._rows: list[Any] = []
        self._is_open = False

    async def execute(self, sql: str, parameters: Iterable[Any] | None = None) -> "OneTripCursor":
        await self._execute(self._run, sql, parameters or ())  # type: ignore[no-untyped-call]
        return self

    async def executemany(self, sql: str, parameters: Iterable[Iterable[Any]]) -> "OneTripCursor":
        many = self._conn._conn.executemany
        self._cursor = await self._execute(many, sql, parameters)  # type: ignore[no-untyped-call]
        return self

    def _run(self, sql: str, parameters: Any) -> None:
        """In the connection's thread."""
        self._cursor = self._conn._conn.execute(sql, parameters)
        self._rows = self._cursor.fetchmany(_FIRST_ROWS)
        self._is_open = len(self._rows) == _FIRST_ROWS

    async def fetchall(self) -> list[Any]:
        rows = await self.fetchmany(len(self._rows))
        return rows + list(await super().fetchall()) if self._is_open else rows

    async def fetchmany(self, size: int | None = None) -> list[Any]:
        wanted = self.arraysize if size is None else size
        rows, self._rows = self._rows[:wanted], self._rows[wanted:]
        if len(rows) < wanted and self._is_open:
            rows += await super().fetchmany(wanted - len(rows))
        return rows

    async def fetchone(self) -> Any:
        rows = await self.fetchmany(1)
        return rows[0] if rows else None

    async def close(self) -> None:
        self._rows = []
        if self._is_open:
            self._is_open = False
            await super().close()


class OneTripConnection(aiosqlite.Connection):
    """A connection whose cursors are `OneTripCursor`s."""

    def cursor(self) -> OneTripCursor:  # type: ignore[override]  # SQLAlchemy enters it, which leads to itself
        return OneTripCursor(self)


def connect(database: str, **options: Any) -> OneTripConnection:
    """What `aiosqlite.connect` returns; SQLAlchemy awaits it."""
    connection = OneTripConnection(partial(sqlite3.connect, database, **options), iter_chunk_size=_FIRST_ROWS)
    connection._thread.daemon = True  # as SQLAlchemy sets it for connections that it makes itself
    return connection
