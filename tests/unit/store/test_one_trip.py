"""The one-trip driver of SQLite answers as SQLAlchemy's own does, however many rows there are."""

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from sekisho.store.sql import one_trip
from sekisho.store.sql.engine import sqlite_url

COUNT = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :to) SELECT i, i * i AS square FROM n"


@pytest.fixture(params=[True, False], ids=["one trip", "SQLAlchemy's own"])
async def connection(request, tmp_path):
    options = {"async_creator_fn": one_trip.connect} if request.param else {}
    engine = create_async_engine(sqlite_url(tmp_path / "some.db"), connect_args=options)
    async with engine.connect() as connection:
        yield connection
    await engine.dispose()


@pytest.mark.parametrize("rows", [1, 999, 1000, 1001, 2500])
async def test_every_row_comes_once_and_in_order(connection, rows):
    expected = [(number, number**2) for number in range(1, rows + 1)]
    result = await connection.execute(sa.text(COUNT), {"to": rows})
    assert (list(result.keys()), result.all()) == (["i", "square"], expected)
    streamed = await connection.stream(sa.text(COUNT), {"to": rows})
    assert [tuple(row) async for row in streamed] == expected
    some = await connection.stream(sa.text(COUNT), {"to": rows})
    assert [await some.fetchone(), *await some.fetchmany(700), *await some.fetchall()] == expected
    await (await connection.stream(sa.text(COUNT), {"to": rows})).close()


async def test_writes_say_how_many_rows_they_touched(connection):
    await connection.execute(sa.text("CREATE TABLE some (id INTEGER PRIMARY KEY, word TEXT UNIQUE)"))
    many = await connection.execute(sa.text("INSERT INTO some (word) VALUES (:word)"), [{"word": w} for w in "abc"])
    assert many.rowcount == 3
    assert (await connection.execute(sa.text("INSERT INTO some (word) VALUES ('d')"))).lastrowid == 4
    assert (await connection.execute(sa.text("UPDATE some SET word = word || '!' WHERE id > 2"))).rowcount == 2
    given = await connection.execute(sa.text("DELETE FROM some WHERE id < 3 RETURNING word"))
    assert given.all() == [("a",), ("b",)]
    with pytest.raises(sa.exc.IntegrityError):
        await connection.execute(sa.text("INSERT INTO some (word) VALUES ('d!')"))
