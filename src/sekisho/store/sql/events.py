"""Events in the database: each once, which a unique key sees to."""

import sqlalchemy as sa

from sekisho.record.events import Event
from sekisho.store.sql.engine import Database
from sekisho.store.sql.tables.ledger import event


class SqlEvents:
    """`record.events.EventStore` over SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(self, org_id: str, events: list[Event]) -> None:
        """Keep those that are not there yet."""
        if not events:
            return
        insert = self._database.insert(event).on_conflict_do_nothing(index_elements=["org_id", "kind", "key"])
        rows = [
            {"org_id": org_id, "kind": one.kind, "key": one.key, "at": one.at, "detail": one.detail} for one in events
        ]
        async with self._database.write() as connection:
            for row in rows:
                await connection.execute(insert.values(row))

    async def list_events(self, org_id: str, *, limit: int, before: int | None = None) -> list[Event]:
        """Events, newest first."""
        query = sa.select(event).where(event.c.org_id == org_id).order_by(event.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(event.c.id < before)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).mappings()
            return [Event(row["kind"], row["key"], row["at"], row["detail"], row["id"]) for row in rows]
