"""Who shares the database, and the pepper that all of them must have. Times are the database's own, so that clocks of
machines need not agree."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.access.replicas import Replica
from sekisho.errors import MayNotJoin, StoreUnavailable
from sekisho.store.sql.engine import Database
from sekisho.store.sql.tables.ledger import ended_process, running_call
from sekisho.store.sql.tables.schema import counter, installation, replica

_LOCK = 0x53454B4A  # of PostgreSQL's advisory locks: one joins or is taken for lost at a time
_NOW_US = sa.text("SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)")


class SqlReplicas:
    """`access.replicas.Replicas` on PostgreSQL; SQLite has one process only."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def join(self, me: Replica, lost_after_us: int) -> None:
        """Be one of those that live. Raises MayNotJoin, saying what to do, when they do not allow it."""
        async with self._database.write() as connection:
            now_us = await _turn(connection)
            rows = (await connection.execute(sa.select(replica))).mappings().all()
            living = [row for row in rows if row["life"] and row["seen_at"] > now_us - lost_after_us]
            for row in living:
                if row["id"] != me.id:
                    _check_neighbour(me, row["host"], is_replicated=row["is_replicated"])
                elif row["host"] != me.host:
                    raise MayNotJoin(
                        f"A copy of this home runs on {row['host']}: give every replica a home of its own, and wait "
                        f"{lost_after_us // 1_000_000} s if it has just moved here."
                    )
            values = {
                "life": me.life,
                "host": me.host,
                "is_replicated": me.is_replicated,
                "started_at": now_us,
                "seen_at": now_us,
            }
            # taken for lost and back: its call processes go on under the names they had
            theirs = ended_process.c.process.startswith(f"{me.id}.", autoescape=True)
            await connection.execute(ended_process.delete().where(theirs))
            insert = self._database.insert(replica).values(id=me.id, **values)
            await connection.execute(insert.on_conflict_do_update(index_elements=["id"], set_=values))

    async def beat(self, me: Replica) -> bool:
        """Say that this life goes on; False if it was ended by others."""
        async with self._database.write() as connection:
            now_us = (await connection.execute(_NOW_US)).scalar_one()
            mine = replica.update().where(replica.c.id == me.id, replica.c.life == me.life)
            return (await connection.execute(mine.values(seen_at=now_us))).rowcount == 1

    async def leave(self, me: Replica) -> None:
        """Be gone in good order."""
        async with self._database.write() as connection:
            await connection.execute(replica.delete().where(replica.c.id == me.id, replica.c.life == me.life))

    async def epoch(self) -> int:
        """The epoch of what call processes must know."""
        async with self._database.read() as connection:
            query = sa.select(counter.c.value).where(counter.c.name == "epoch")
            epoch: int = (await connection.execute(query)).scalar_one()
            return epoch

    async def lost(self, lost_after_us: int) -> Sequence[str]:
        """End the lives of those that were silent for so long; the ids of all whose calls are to be settled.

        Whoever dies in the middle of settling them leaves the row to the next one."""
        async with self._database.write() as connection:
            now_us = await _turn(connection)
            silent = replica.update().where(replica.c.seen_at < now_us - lost_after_us)
            await connection.execute(silent.values(life=""))
            return list((await connection.execute(sa.select(replica.c.id).where(replica.c.life == ""))).scalars())

    async def open_processes(self, replica_id: str) -> Sequence[str]:
        """The call processes of a replica of which calls are open: their names begin with its id."""
        async with self._database.read() as connection:
            theirs = running_call.c.process.startswith(f"{replica_id}.", autoescape=True)
            query = sa.select(running_call.c.process).where(theirs).distinct()
            return list((await connection.execute(query)).scalars())

    async def bury(self, replica_id: str) -> None:
        """Forget a lost replica, unless it has come back."""
        async with self._database.write() as connection:
            await connection.execute(replica.delete().where(replica.c.id == replica_id, replica.c.life == ""))


async def check_pepper(database: Database, pepper_digest: bytes) -> None:
    """Keep the digest of the pepper that this database's keys are made with. Raises StoreUnavailable for another."""
    async with database.write() as connection:
        unset = installation.update().where(installation.c.pepper_digest.is_(None))
        await connection.execute(unset.values(pepper_digest=pepper_digest))
        known = (await connection.execute(sa.select(installation.c.pepper_digest))).scalar()
    if known != pepper_digest:
        raise StoreUnavailable(
            "The keys in this database were made with another pepper, so none of them would open: set pepper to the "
            "one it was first started with (SEKISHO_PEPPER, or secrets/pepper in that home)."
        )


async def _turn(connection: AsyncConnection) -> int:
    """Wait until no other transaction is looking at who lives; the time then."""
    await connection.execute(sa.text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
    now_us: int = (await connection.execute(_NOW_US)).scalar_one()
    return now_us


def _check_neighbour(me: Replica, host: str, *, is_replicated: bool) -> None:
    if not me.is_replicated:
        raise MayNotJoin(
            f"Another Sekisho, on {host}, uses this database: set replicated (SEKISHO_REPLICATED=true) on all of them, "
            "or give this one a database of its own."
        )
    if not is_replicated:
        raise MayNotJoin(
            f"The Sekisho on {host} uses this database and was not told that it is one of several: set replicated "
            "(SEKISHO_REPLICATED=true) there first."
        )
