"""Several control processes on one database: who lives, what a lost one leaves, and money that stays right."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from sekisho.access.replicas import Replica
from sekisho.clock import new_id
from sekisho.errors import MayNotJoin, StoreUnavailable
from sekisho.ledger.journal import Caller, Opened, Settled
from sekisho.ledger.journal_files import Batch, Segment
from sekisho.store.sql.engine import Database
from sekisho.store.sql.keys import SqlKeys
from sekisho.store.sql.ledger import SqlLedger
from sekisho.store.sql.migrate import migrate
from sekisho.store.sql.names import Names
from sekisho.store.sql.news import listen
from sekisho.store.sql.replicas import SqlReplicas, check_pepper
from sekisho.store.sql.tables.ledger import call, ended_process, spend_by_team
from sekisho.store.sql.tables.schema import replica
from sekisho.values import Usage
from tests.servers import own_database

LOST_US = 30_000_000
AT = 1_790_000_000_000_000
BOUND, COST = 9_000, 700
HERE = Replica("a" * 12, "life-1", "here", True)
THERE = Replica("b" * 12, "life-2", "there", True)


@pytest.fixture
def own_url() -> Iterator[str]:
    with own_database() as url:
        yield url


@pytest.fixture
async def shared(own_url: str) -> AsyncIterator[Database]:
    """A PostgreSQL database, migrated."""
    database = Database(own_url)
    await migrate(database)
    yield database
    await database.close()


def opened(call_id: bytes) -> Opened:
    return Opened(call_id, AT, Caller("default", "k", "alice", "red"), "openai_chat", "m", True, 1, BOUND)


def settled(call_id: bytes) -> Settled:
    return Settled(call_id, AT + 9, "ok", "end_turn", "", "", True, False, Usage(1), COST, COST, (), 0, 0, ())


async def books(database: Database) -> tuple[list[int], int]:
    """The cost of every call, and what the roll-up says of the day."""
    async with database.read() as connection:
        costs = (await connection.execute(sa.select(call.c.cost_nanousd).order_by(call.c.id))).scalars().all()
        total = sa.select(sa.func.sum(spend_by_team.c.cost_nanousd)).where(spend_by_team.c.level == 2)
        return list(costs), int((await connection.execute(total)).scalar() or 0)


async def test_the_true_end_of_a_call_replaces_its_interruption_once(database: Database, names: Names) -> None:
    ledger, call_id = SqlLedger(database, names), new_id(AT)
    await ledger.apply(Batch(Segment("lost.call-1", 1), 10, (opened(call_id),)))
    assert await ledger.interrupt("lost.call-1", AT + 5) == 1
    assert await books(database) == ([BOUND], BOUND)
    assert await ledger.interrupt("lost.call-1", AT + 6) == 0
    for end in (20, 30):  # it came back, and says it twice
        await ledger.apply(Batch(Segment("lost.call-1", 1), end, (settled(call_id),)))
        assert await books(database) == ([COST], COST)
    assert await ledger.interrupt("lost.call-1", AT + 7) == 0
    assert await books(database) == ([COST], COST)


async def test_whoever_settles_first_a_call_costs_what_it_cost(database: Database) -> None:
    """The survivors give a call up in the moment in which its machine comes back and settles it."""
    others = [Database(database.url) for _ in range(3)]
    ledgers = [SqlLedger(one, Names(one)) for one in (database, *others)]
    ids = [new_id(AT + turn * 1000) for turn in range(15)]
    for turn, call_id in enumerate(ids):
        process = f"lost.call-{turn}"
        await ledgers[0].apply(Batch(Segment(process, 1), 10, (opened(call_id),)))
        await asyncio.gather(
            ledgers[1].interrupt(process, AT + 5),
            ledgers[3].apply(Batch(Segment(process, 1), 20, (settled(call_id),))),
            ledgers[2].interrupt(process, AT + 5),
        )
    assert await books(database) == ([COST] * len(ids), COST * len(ids))
    for one in others:
        await one.close()


async def test_a_replica_that_was_silent_is_lost_once_and_may_come_back(shared: Database) -> None:
    replicas, ledger = SqlReplicas(shared), SqlLedger(shared, Names(shared))
    await replicas.join(HERE, LOST_US)
    await replicas.join(THERE, LOST_US)
    theirs = f"{THERE.id}.call-1.7"
    await ledger.apply(Batch(Segment(theirs, 1), 10, (opened(new_id(AT)),)))
    assert await replicas.lost(LOST_US) == []
    async with shared.write() as connection:
        silent = replica.update().where(replica.c.id == THERE.id)
        await connection.execute(silent.values(seen_at=replica.c.seen_at - LOST_US - 1))
    assert await replicas.lost(LOST_US) == [THERE.id]
    assert not await replicas.beat(THERE) and await replicas.beat(HERE)
    assert await replicas.lost(LOST_US) == [THERE.id]  # until somebody has settled its calls
    assert await replicas.open_processes(THERE.id) == [theirs]
    await ledger.interrupt(theirs, AT)
    assert await replicas.open_processes(THERE.id) == []
    again = replace(THERE, life="life-3")
    await replicas.join(again, LOST_US)
    await replicas.bury(THERE.id)  # too late: it is back
    assert await replicas.beat(again) and not await replicas.beat(THERE)
    async with shared.read() as connection:  # its processes live on, so nobody lets go of what they hold
        assert (await connection.execute(sa.select(ended_process.c.process))).scalars().all() == []


async def test_those_who_live_say_who_may_join(shared: Database) -> None:
    replicas = SqlReplicas(shared)
    await replicas.join(HERE, LOST_US)
    await replicas.join(replace(HERE, life="after kill -9"), LOST_US)
    with pytest.raises(MayNotJoin, match="A copy of this home runs on here"):
        await replicas.join(replace(HERE, life="copy", host="elsewhere"), LOST_US)
    with pytest.raises(MayNotJoin, match="set replicated"):
        await replicas.join(replace(THERE, is_replicated=False), LOST_US)
    await replicas.leave(replace(HERE, life="after kill -9"))
    await replicas.join(replace(THERE, is_replicated=False), LOST_US)
    with pytest.raises(MayNotJoin, match="was not told"):
        await replicas.join(HERE, LOST_US)


async def test_many_join_at_once_or_none_of_those_who_think_they_are_alone(shared: Database) -> None:
    others = [Replica(f"{number:012}", "life", f"host-{number}", False) for number in range(6)]
    joined = await asyncio.gather(*(SqlReplicas(shared).join(one, LOST_US) for one in others), return_exceptions=True)
    assert sorted(type(one).__name__ for one in joined) == ["MayNotJoin"] * 5 + ["NoneType"]


async def test_a_raised_epoch_is_heard_of(shared: Database) -> None:
    heard = asyncio.Event()
    listening = asyncio.create_task(listen(shared, heard.set))
    before = await SqlReplicas(shared).epoch()
    async with asyncio.timeout(20):
        while not heard.is_set():  # whoever begins to listen misses what was said before
            await SqlKeys(shared).raise_epoch()
            await asyncio.wait({asyncio.create_task(heard.wait())}, timeout=0.2)
    listening.cancel()
    await asyncio.wait({listening})
    assert await SqlReplicas(shared).epoch() > before


async def test_a_connection_that_is_cut_before_it_listens_is_an_unavailable_store(
    shared: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await shared.connect()
    await connection.close()

    async def connect() -> object:
        return connection

    monkeypatch.setattr(shared, "connect", connect)
    with pytest.raises(StoreUnavailable, match="cannot be listened to"):
        await listen(shared, lambda: None)


async def test_another_pepper_is_refused(database: Database) -> None:
    await check_pepper(database, b"1" * 32)
    await check_pepper(database, b"1" * 32)
    with pytest.raises(StoreUnavailable, match="another pepper"):
        await check_pepper(database, b"2" * 32)
