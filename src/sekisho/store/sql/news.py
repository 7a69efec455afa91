"""Hear from PostgreSQL that the epoch was raised, sooner than by asking. It may miss news: whoever listens asks too."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from sekisho.store.sql.engine import Database
from sekisho.store.sql.epoch import CHANNEL


async def listen(database: Database, on_news: Callable[[], None]) -> None:
    """Call `on_news` at every news until the connection breaks or this is cancelled. Raises StoreUnavailable."""
    connection = await database.connect()
    has_ended = asyncio.Event()
    try:
        connection.add_termination_listener(lambda _: has_ended.set())
        await connection.add_listener(CHANNEL, lambda *_: on_news())
        await has_ended.wait()
    finally:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(1):
                await connection.close()
