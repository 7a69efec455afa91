"""The dictionary of strings that repeat: written once, stored as small numbers in the busy tables."""

from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.store.sql.engine import Database
from sekisho.store.sql.tables.schema import name

NAME_CHARACTERS = 1000  # PostgreSQL cannot index much more than 2,700 bytes
CACHE_SIZE = 50_000
QUERY_SIZE = 500
EMPTY = 0  # the number of "", written by the first migration


def clean(text: str) -> str:
    """The text as it is stored: cut to what an index takes, without NUL, which PostgreSQL refuses."""
    return text.replace("\0", "\ufffd")[:NAME_CHARACTERS] if len(text) > NAME_CHARACTERS or "\0" in text else text


class Names:
    """Turns strings into numbers and back. What is cached was committed: a number never changes its meaning.

    The caches are taken in hand before they are asked twice: another thread may begin new ones."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._numbers = {"": EMPTY}
        self._texts = {EMPTY: ""}

    async def numbers(self, connection: AsyncConnection, texts: Iterable[str]) -> dict[str, int]:
        """The number of each string, giving new ones in this transaction. Keys are the strings after `clean`.

        Call `remember` with the result once the transaction is committed, and only then.
        """
        wanted, cached = {clean(text) for text in texts}, self._numbers
        found = {text: cached[text] for text in wanted if text in cached}
        missing = sorted(wanted - found.keys())
        found.update(await _select(connection, missing))
        missing = [text for text in missing if text not in found]
        if missing:
            insert = self._database.insert(name).on_conflict_do_nothing(index_elements=[name.c.text])
            await connection.execute(insert, [{"text": text} for text in missing])
            found.update(await _select(connection, missing))
        return found

    async def find(self, connection: AsyncConnection, text: str) -> int | None:
        """The number of a string, or None when nothing ever had this name."""
        text, cached = clean(text), self._numbers
        if text in cached:
            return cached[text]
        found = await _select(connection, [text])
        self.remember(found)
        return found.get(text)

    async def known(self, connection: AsyncConnection, texts: Iterable[str]) -> dict[str, int]:
        """The number of each string that ever had one."""
        wanted, cached = {clean(text) for text in texts}, self._numbers
        found = {text: cached[text] for text in wanted if text in cached}
        fresh = await _select(connection, sorted(wanted - found.keys()))
        self.remember(fresh)
        return found | fresh

    async def texts(self, connection: AsyncConnection, numbers: Iterable[int]) -> dict[int, str]:
        """The string behind each number."""
        wanted, cached = set(numbers), self._texts
        found = {number: cached[number] for number in wanted if number in cached}
        missing = sorted(wanted - found.keys())
        fresh: dict[str, int] = {}
        for start in range(0, len(missing), QUERY_SIZE):
            query = sa.select(name.c.text, name.c.id).where(name.c.id.in_(missing[start : start + QUERY_SIZE]))
            fresh.update((text, number) for text, number in await connection.execute(query))
        self.remember(fresh)
        return found | {number: text for text, number in fresh.items()}

    def remember(self, committed: dict[str, int]) -> None:
        """Keep numbers that are in the database for good."""
        if len(self._numbers) + len(committed) > CACHE_SIZE:
            self._numbers = {"": EMPTY}
            self._texts = {EMPTY: ""}
        self._numbers.update(committed)
        self._texts.update((number, text) for text, number in committed.items())


async def _select(connection: AsyncConnection, texts: list[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for start in range(0, len(texts), QUERY_SIZE):
        query = sa.select(name.c.text, name.c.id).where(name.c.text.in_(texts[start : start + QUERY_SIZE]))
        found.update((text, number) for text, number in await connection.execute(query))
    return found
