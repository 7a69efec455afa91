"""Hear from PostgreSQL that the epoch was raised, sooner than by asking. It may miss news: whoever listens asks too."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from sekisho.errors import StoreUnavailable
from sekisho.store.sql.engine import Database, driver_errors
from sekisho.store.sql.epoch import CHANNEL


async def listen(database: Database, on_news: Callable[[], None]) -> None:
    """Call `on_news` at every news until the connection breaks or this is cancelled. Raises StoreUnavailable."""
    connection = await database.connect()
    has_ended = asyncio.Event()
    try:
        connection.add_termination_listener(lambda _: has_ended.set())
        await connection.add_listener(CHANNEL, lambda *_: on_news())
        await has_ended.wait()
    except driver_errors() as error:
        raise StoreUnavailable("The database cannot be listened to.") from error
    finally:
        with suppress(*driver_errors()):
            async with asyncio.timeout(1):
                await connection.close()
