"""What the ledger has booked on budgets, with how far into the journal that reaches."""

import sqlalchemy as sa

from sekisho.ledger.booked import Booked
from sekisho.ledger.counters import Spent
from sekisho.store.sql.engine import Database
from sekisho.store.sql.names import Names
from sekisho.store.sql.rules import read_budgets
from sekisho.store.sql.scope_spend import SpendSums
from sekisho.store.sql.tables import journal_offset
from sekisho.values import Budget


class SqlBooked:
    """`ledger.booked.SpentQueries` over SQL."""

    def __init__(self, database: Database, names: Names) -> None:
        self._database = database
        self._sums = SpendSums(names)

    async def spent(self, org_id: str, budgets: tuple[Budget, ...], at_us: int) -> tuple[Spent, ...]:
        """What these budgets have spent in their windows at this time."""
        async with self._database.read() as connection:
            return await self._sums.read(connection, org_id, budgets, at_us)

    async def booked(self, org_id: str, at_us: int) -> Booked:
        """What every budget in force has spent, in one consistent read with the journal offsets."""
        async with self._database.read() as connection:
            rows = await connection.execute(sa.select(journal_offset.c.segment, journal_offset.c.end_offset))
            offsets = {segment: end_offset for segment, end_offset in rows}
            budgets = await read_budgets(connection, org_id)
            return Booked(at_us, await self._sums.read(connection, org_id, budgets, at_us), offsets)
