"""Transactions that are run whole: all or nothing, with the errors of others, whoever stops waiting for them."""

import asyncio
import threading
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from sekisho.errors import StoreUnavailable
from sekisho.store.sql.tables.schema import name

SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)  # where they are run whole, one at a time


async def texts(database) -> set[str]:
    async with database.read() as connection:
        return set((await connection.execute(sa.select(name.c.text).where(name.c.text.like("whole%")))).scalars())


def writing(*words: str, error: Exception | None = None) -> Any:
    async def work(connection) -> int:
        for word in words:
            await connection.execute(name.insert(), {"text": word})
        if error is not None:
            raise error
        return len(words)

    return work


async def test_what_was_written_is_there_and_the_answer_comes_back(database):
    assert await database.transact(writing("whole 1", "whole 2")) == 2
    assert await texts(database) == {"whole 1", "whole 2"}


@pytest.mark.parametrize("error", [ValueError("x"), StoreUnavailable("x")], ids=lambda error: type(error).__name__)
async def test_an_error_of_the_work_leaves_nothing_and_comes_as_it_is(database, error):
    with pytest.raises(type(error)) as caught:
        await database.transact(writing("whole 1", error=error))
    assert caught.value is error
    assert await texts(database) == set()


async def test_errors_of_the_database_are_those_of_any_transaction(database):
    await database.transact(writing("whole 1"))
    with pytest.raises(IntegrityError):
        await database.transact(writing("whole 2", "whole 1"))
    with pytest.raises(StoreUnavailable):
        await database.transact(lambda connection: connection.exec_driver_sql("SELECT nothing FROM nowhere"))
    assert await texts(database) == {"whole 1"}


@SQLITE
async def test_transactions_of_both_kinds_wait_for_each_other(database):
    async def count(connection) -> int:
        found: int = (
            await connection.execute(sa.select(sa.func.count()).where(name.c.text.like("whole%")))
        ).scalar_one()
        await connection.execute(name.insert(), {"text": f"whole {found}"})
        return found

    async def other() -> int:
        async with database.write() as connection:
            return await count(connection)

    found = await asyncio.gather(*(database.transact(count) if n % 2 else other() for n in range(10)))
    assert sorted(found) == list(range(10))


@SQLITE
async def test_who_stops_waiting_does_not_cut_a_transaction_in_two(database):
    """It is finished, and only then does the next begin."""
    begun, go_on = threading.Event(), threading.Event()

    async def work(connection) -> None:
        await connection.execute(name.insert(), {"text": "whole 1"})
        begun.set()
        assert go_on.wait(10)
        await connection.execute(name.insert(), {"text": "whole 2"})

    waiting = asyncio.create_task(database.transact(work))
    assert await asyncio.to_thread(begun.wait, 10)
    waiting.cancel()
    following = asyncio.create_task(database.transact(writing("whole 3")))
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await following
    assert await texts(database) == {"whole 1", "whole 2", "whole 3"}


@SQLITE
async def test_work_that_waits_for_something_else_is_refused_and_rolled_back(database):
    async def work(connection) -> None:
        await connection.execute(name.insert(), {"text": "whole 1"})
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="other than its connection"):
        await database.transact(work)
    assert await texts(database) == set()
