"""Many rows in one statement, on both engines: what the drain writes a thousand times a second."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.store.sql.engine import Database

_ARRAYS: dict[type[object], str] = {
    sa.SmallInteger: "smallint[]",
    sa.Integer: "integer[]",
    sa.BigInteger: "bigint[]",
    sa.Boolean: "boolean[]",
    sa.LargeBinary: "bytea[]",
}


async def add_up(
    database: Database,
    connection: AsyncConnection,
    table: sa.Table,
    sums: Mapping[tuple[int, ...], tuple[int, ...]],
) -> None:
    """Add to the numbers of each row (its columns after the primary key); a row that is not there begins at zero.

    Rows are written in the order of the primary key: near ones share pages, and two writers cannot wait for each other.
    """
    rows = [key + sums[key] for key in sorted(sums)]
    await _insert(database, connection, list(table.c), rows, _on_conflict(table))


async def insert(
    database: Database,
    connection: AsyncConnection,
    table: sa.Table,
    rows: Sequence[Mapping[str, Any]],
    on_conflict: str = "",
) -> None:
    """Write new rows, which all have the same columns: integers, booleans and bytes as the driver takes them."""
    columns = [table.c[name] for name in rows[0]]
    names = [column.name for column in columns]
    await _insert(database, connection, columns, [tuple([row[name] for name in names]) for row in rows], on_conflict)


async def _insert(
    database: Database,
    connection: AsyncConnection,
    columns: Sequence[sa.Column[Any]],
    rows: Sequence[tuple[Any, ...]],
    on_conflict: str,
) -> None:
    statement = _statement(tuple(columns), database.is_sqlite) + on_conflict
    if database.is_sqlite:
        await connection.exec_driver_sql(statement, list(rows))
    else:
        await connection.exec_driver_sql(statement, tuple(list(column) for column in zip(*rows, strict=True)))


@lru_cache(maxsize=64)
def _statement(columns: tuple[sa.Column[Any], ...], is_sqlite: bool) -> str:
    names = ", ".join(f'"{column.name}"' for column in columns)
    into = f"INSERT INTO {columns[0].table.name} ({names})"
    if is_sqlite:
        return f"{into} VALUES ({', '.join('?' * len(columns))}) "
    arrays = ", ".join(f"${n}::{_ARRAYS[type(column.type)]}" for n, column in enumerate(columns, start=1))
    return f"{into} SELECT * FROM unnest({arrays}) "


@lru_cache(maxsize=64)
def _on_conflict(table: sa.Table) -> str:
    key = ", ".join(f'"{column.name}"' for column in table.primary_key)
    added = ", ".join(
        f'"{column.name}" = {table.name}."{column.name}" + excluded."{column.name}"'
        for column in table.c
        if not column.primary_key
    )
    return f"ON CONFLICT ({key}) DO UPDATE SET {added}"
