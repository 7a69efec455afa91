"""Bounds against costs, read from the calls themselves: a report for an operator, not a hot query."""

import sqlalchemy as sa

from sekisho.record.bounds import BoundSum
from sekisho.store.sql.engine import Database
from sekisho.store.sql.names import Names
from sekisho.store.sql.spend_edges import first_id
from sekisho.store.sql.tables.ledger import call, call_action


class SqlBounds:
    """`record.bounds.BoundQueries` over SQL."""

    def __init__(self, database: Database, names: Names) -> None:
        self._database = database
        self._names = names

    async def bounds(self, org_id: str, since: int, until: int) -> list[BoundSum]:
        """Sums over the calls that began in this time."""
        columns, acted = call.c, call_action.c
        async with self._database.read() as connection:
            org = await self._names.find(connection, org_id)
            ok = await self._names.find(connection, "ok")
            if org is None or ok is None:
                return []
            query = (
                sa.select(
                    columns.agent,
                    columns.model,
                    sa.func.count(),
                    sa.func.sum(columns.reserved_nanousd),
                    sa.func.sum(columns.cost_nanousd),
                    _count(columns.cost_nanousd > columns.reserved_nanousd),
                    _count(acted.clamped_tokens > 0),
                    _count(acted.asked_model != ""),
                )
                .outerjoin(call_action, acted.call_id == columns.id)
                .where(
                    columns.org == org,
                    columns.status == ok,
                    columns.is_metered.is_(True),
                    columns.id >= first_id(since),
                    columns.id < first_id(until),
                )
                .group_by(columns.agent, columns.model)
                .order_by(sa.func.sum(columns.reserved_nanousd).desc())
            )
            rows = (await connection.execute(query)).all()
            texts = await self._names.texts(connection, {number for row in rows for number in row[:2]})
        return [BoundSum(texts[row[0]], texts[row[1]], *map(int, row[2:])) for row in rows]


def _count(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    return sa.func.sum(sa.case((condition, 1), else_=0))
