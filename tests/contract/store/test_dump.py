"""A backup's rows: from either engine into either, nothing is changed."""

import random
import shutil

import pytest
import sqlalchemy as sa

from sekisho.access.organisation import Tag, Team, User
from sekisho.access.rules import RuleWrite, StoredRule
from sekisho.ledger.journal_files import Batch, Segment
from sekisho.record.spend import SpendQuery
from sekisho.store.sql.dump import Chunk, DumpError, Loader, read_all
from sekisho.store.sql.engine import Database, sqlite_url
from sekisho.store.sql.ledger import SqlLedger
from sekisho.store.sql.migrate import HEAD
from sekisho.store.sql.names import Names
from sekisho.store.sql.organisation import SqlOrganisation
from sekisho.store.sql.rules import SqlRules
from sekisho.store.sql.spend import SqlSpend
from sekisho.store.sql.tables.schema import name
from sekisho.values import Budget, Scope, Window
from tests.contract.store.test_ledger import ALICE, BOB, opened, refused, settled


async def fill(database: Database) -> None:
    names = Names(database)
    organisation, rules = SqlOrganisation(database), SqlRules(database, names)
    await organisation.add_team(Team("red", "default", 1, "operator", 1, metadata={"部": "開発"}), ())
    await organisation.add_user(User("alice", "default", 1, "operator", 1))
    await organisation.put_tag(Tag("x", "default", 1, "operator", 1), is_new=True, by="operator")
    budget = Budget("b1", Scope("team", "red"), 2**62, Window("day", "Asia/Tokyo"))
    await rules.write("default", RuleWrite((StoredRule(budget, "default", 1, "operator", 1),)), "operator", 1)
    lot = random.Random(3)
    records = [one for n in range(40) for one in (opened(n, lot.choice([ALICE, BOB])), settled(n, cost=n * 10**9))]
    await SqlLedger(database, names).apply(Batch(Segment("p", 1), 7, (*records, opened(50), refused(51))))


async def rows_of(database: Database) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    async for chunk in read_all(database):
        found.setdefault(chunk.table, []).extend(repr(dict(zip(chunk.columns, row, strict=True))) for row in chunk.rows)
    return {table: sorted(rows) for table, rows in found.items()}


async def load(database: Database, chunks: list[Chunk], revision: str = HEAD) -> None:
    async with database.write() as connection:
        loader = Loader(connection)
        await loader.prepare(revision)
        for chunk in chunks:
            await loader.load(chunk)
        await loader.finish()


async def test_rows_of_either_engine_are_loaded_unchanged(database, tmp_path):
    await fill(database)
    there = Database(sqlite_url(tmp_path / "there.db"))
    await load(there, [chunk async for chunk in read_all(database)])
    assert await rows_of(there) == await rows_of(database)
    await there.close()


async def test_what_is_loaded_into_either_engine_goes_on_working(empty, tmp_path, template):
    shutil.copy(template, tmp_path / "source.db")
    source = Database(sqlite_url(tmp_path / "source.db"))
    await fill(source)
    await load(empty, [chunk async for chunk in read_all(source)])
    assert await rows_of(empty) == await rows_of(source)
    ledger = SqlLedger(empty, Names(empty))
    await ledger.apply(Batch(Segment("p", 1), 9, (settled(50, cost=5),)))
    before = await SqlSpend(source, Names(source)).spend("default", SpendQuery())
    after = await SqlSpend(empty, Names(empty)).spend("default", SpendQuery())
    assert after[0].cost_nanousd == before[0].cost_nanousd + 5
    async with empty.write() as connection:  # a number that the database gives
        await connection.execute(name.insert().values(text="never seen before"))
    await source.close()


async def test_nothing_is_loaded_over_what_is_there(database):
    with pytest.raises(DumpError, match="not empty"):
        await load(database, [])


@pytest.mark.parametrize(
    "chunk",
    [
        Chunk("sqlite_master", ["name"], [["x"]]),
        Chunk("alembic_version", ["version_num"], [["9999"]]),
        Chunk("name", ["id", "text", "more"], [[1, "a", "b"]]),
    ],
)
async def test_rows_of_tables_that_are_not_ours_are_refused_and_nothing_is_left(empty, chunk):
    with pytest.raises(DumpError, match="does not have"):
        await load(empty, [chunk])
    async with empty.read() as connection:
        assert await connection.run_sync(lambda one: sa.inspect(one).get_table_names()) == []


async def test_a_backup_of_a_newer_version_is_refused(empty):
    with pytest.raises(DumpError, match="newer"):
        await load(empty, [], revision="9999")


async def test_a_database_that_is_behind_is_not_read(empty):
    with pytest.raises(DumpError, match="Start it once"):
        [chunk async for chunk in read_all(empty)]
