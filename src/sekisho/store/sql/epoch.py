"""The epoch of what call processes must know: every write that changes it begins here."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.store.sql.tables.schema import counter

CHANNEL = "sekisho_epoch"


async def raise_epoch(connection: AsyncConnection) -> None:
    """Say that the snapshot is no longer what it was, on PostgreSQL to other replicas too, once it is committed.

    First in a transaction it is a lock too: on PostgreSQL others wait here, so what was read after it is still true.
    """
    await connection.execute(counter.update().where(counter.c.name == "epoch").values(value=counter.c.value + 1))
    if connection.dialect.name == "postgresql":
        await connection.execute(sa.text(f"NOTIFY {CHANNEL}"))
