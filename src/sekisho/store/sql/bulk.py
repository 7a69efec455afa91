"""Many rows in one statement, on both engines: what the drain writes a thousand times a second."""

from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.store.sql.engine import Database

_ARRAYS: dict[type[object], str] = {
    sa.SmallInteger: "smallint[]",
    sa.Integer: "integer[]",
    sa.BigInteger: "bigint[]",
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
    if database.is_sqlite:
        await connection.exec_driver_sql(_sqlite_upsert(table), rows)
    else:
        await connection.exec_driver_sql(
            _postgresql_upsert(table), tuple(list(column) for column in zip(*rows, strict=True))
        )


def _sqlite_upsert(table: sa.Table) -> str:
    marks = ", ".join("?" * len(table.c))
    return f"INSERT INTO {table.name} ({_columns(table)}) VALUES ({marks}) {_on_conflict(table)}"


def _postgresql_upsert(table: sa.Table) -> str:
    arrays = ", ".join(f"${n}::{_ARRAYS[type(column.type)]}" for n, column in enumerate(table.c, start=1))
    return f"INSERT INTO {table.name} ({_columns(table)}) SELECT * FROM unnest({arrays}) {_on_conflict(table)}"


def _columns(table: sa.Table) -> str:
    return ", ".join(f'"{column.name}"' for column in table.c)


def _on_conflict(table: sa.Table) -> str:
    key = ", ".join(f'"{column.name}"' for column in table.primary_key)
    added = ", ".join(
        f'"{column.name}" = {table.name}."{column.name}" + excluded."{column.name}"'
        for column in table.c
        if not column.primary_key
    )
    return f"ON CONFLICT ({key}) DO UPDATE SET {added}"
