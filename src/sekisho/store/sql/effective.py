"""Everything in the database that a snapshot is made of, in one consistent read."""

import sqlalchemy as sa

from sekisho.access.resolution import Effective
from sekisho.store.sql.engine import Database
from sekisho.store.sql.keys import read_keys
from sekisho.store.sql.organisation import read_teams
from sekisho.store.sql.rules import read_budgets, read_limits, read_policies
from sekisho.store.sql.tables import counter


class SqlEffective:
    """Reads what is in force."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def current(self, org_id: str) -> Effective:
        """The epoch, and all keys, teams, budgets, limits and policies in use as of it."""
        async with self._database.read() as connection:
            epoch = (await connection.execute(sa.select(counter.c.value).where(counter.c.name == "epoch"))).scalar_one()
            return Effective(
                epoch=epoch,
                keys=await read_keys(connection, org_id),
                teams=await read_teams(connection, org_id),
                budgets=await read_budgets(connection, org_id),
                limits=await read_limits(connection, org_id),
                policies=await read_policies(connection, org_id),
            )
