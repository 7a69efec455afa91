"""Takes the calls of teams out of the ledger, with all that was summed from them: for what was only a demonstration.

Real calls are never taken out: the ledger is what bills are held against."""

from collections.abc import Sequence

import sqlalchemy as sa

from sekisho.store.sql.engine import Database
from sekisho.store.sql.names import Names
from sekisho.store.sql.roll_ups import ROLL_UPS
from sekisho.store.sql.tables.ledger import (
    attempt,
    call,
    call_action,
    call_message,
    running_call,
    task,
    task_mode,
)

_OF_CALLS = (attempt, call_message, call_action, running_call)


class SqlForgotten:
    """Deletes calls by team, all in one transaction."""

    def __init__(self, database: Database, names: Names) -> None:
        self._database = database
        self._names = names

    async def forget(self, org_id: str, teams: Sequence[str]) -> int:
        """Take out the calls of these teams and their sums; how many calls there were."""
        async with self._database.write() as connection:
            numbers = await self._names.known(connection, [org_id, *teams])
            org = numbers.get(org_id)
            wanted = [numbers[team] for team in teams if team in numbers]
            ids = sa.select(call.c.id).where(call.c.org == org, call.c.team.in_(wanted))
            for table in _OF_CALLS:
                await connection.execute(sa.delete(table).where(table.c.call_id.in_(ids)))
            for table in (one.table for one in ROLL_UPS):
                await connection.execute(sa.delete(table).where(table.c.org == org, table.c.team.in_(wanted)))
            tasks = sa.select(task.c.number).where(task.c.org == org, task.c.team.in_(wanted))
            await connection.execute(sa.delete(task_mode).where(task_mode.c.task.in_(tasks)))
            await connection.execute(sa.delete(task).where(task.c.org == org, task.c.team.in_(wanted)))
            gone = await connection.execute(sa.delete(call).where(call.c.org == org, call.c.team.in_(wanted)))
            return gone.rowcount
