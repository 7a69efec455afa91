"""A database of an earlier version goes on with every figure that it had."""

import random
from collections import Counter

import sqlalchemy as sa

from sekisho.ledger.journal import Settled
from sekisho.ledger.journal_files import Batch, Segment
from sekisho.record.spend import Dimension, SpendQuery
from sekisho.store.sql.booked import SqlBooked
from sekisho.store.sql.engine import Database
from sekisho.store.sql.ledger import SqlLedger
from sekisho.store.sql.migrate import migrate
from sekisho.store.sql.names import Names
from sekisho.store.sql.organisation import SqlOrganisation
from sekisho.store.sql.spend import SqlSpend
from sekisho.values import Budget, Scope, Usage, Window
from tests.contract.store.cells import cells_kept, cells_of_calls
from tests.migration.previous import DAY_US, a_call, build, fill
from tests.thorough import seeds

NAMES = {1: "default", 2: "k", 3: "alice", 4: "red", 5: '["x"]', 6: "ok", 7: "m", 8: "refused", 9: "failed"}
NAMES |= {
    10: "running",
    11: "interrupted",
    12: "bob",
    13: "blue",
    14: '["x","y"]',
    15: "nova",
    16: "cline",
    17: "plan",
    18: "act",
}
NAMES |= {19: "shop", 20: "infra"}
REPOSITORIES = (0, 19, 20, 0)  # of no task, then of each
OK = {"org": 1, "key": 2, "user": 3, "team": 4, "tags": 5, "status": 6, "model": 7}


async def test_keys_and_calls_of_the_first_schema_are_carried_over(empty):
    await build(empty, "0001")
    one = a_call(1, **OK)
    await fill(empty, [one], NAMES, with_key=True)
    await migrate(empty)
    names = Names(empty)
    assert [team.id for team in await SqlOrganisation(empty).list_teams("default", limit=9)] == ["red"]
    assert [user.id for user in await SqlOrganisation(empty).list_users("default", limit=9)] == ["alice"]
    scopes = [Scope("org", "default"), Scope("member", "red/alice"), Scope("tag", "x"), Scope("key", "k")]
    budgets = tuple(Budget(scope.kind, scope, 1, Window("day")) for scope in scopes)
    spent = await SqlBooked(empty, names).spent("default", budgets, DAY_US * 20_000)
    assert [(one.budget.id, one.spent_nanousd) for one in spent] == [("org", 7), ("member", 7), ("tag", 7), ("key", 7)]
    call_id = one["id"]
    assert isinstance(call_id, bytes)
    settled = Settled(call_id, DAY_US * 20_001, "ok", "end_turn", "", "", True, False, Usage(1), 9, 9, (), 1, 1, ())
    await SqlLedger(empty, names).apply(Batch(Segment("p", 1), 1, (settled,)))  # booked again: nothing is added
    assert await SqlBooked(empty, names).spent("default", budgets, DAY_US * 20_000) == spent


@seeds(1)
async def test_the_sums_of_the_previous_version_are_kept(empty, seed):
    lot = random.Random(seed)
    await build(empty, "0002")
    calls = [random_call(lot, number) for number in range(200)]
    await fill(empty, calls, NAMES, with_key=False)
    await build(empty, "0020")
    await put_in_tasks(empty, lot, calls)
    await migrate(empty)
    assert await cells_kept(empty) == await cells_of_calls(empty)
    spend = SqlSpend(empty, Names(empty))
    for by, columns in BY.items():
        expected: Counter[tuple[object, ...]] = Counter()
        for one in calls:
            for tag in TAGS[one["tags"]] if "tag" in by else ("",):
                if one["duration_us"] is not None:
                    key = tuple(tag if column == "tags" else NAMES.get(one[column], "") for column in columns)
                    expected[key] += one["cost_nanousd"]
        rows = await spend.spend("default", SpendQuery(by=by))
        fields = [one if one in ("tag", "model", "agent", "mode", "repository") else f"{one}_id" for one in by]
        assert {tuple(getattr(row, field) for field in fields): row.cost_nanousd for row in rows} == expected
        refused = sum(row.refused for row in rows)
        if "tag" not in by:
            assert refused == sum(one["status"] == 8 for one in calls)
    assert await count(empty, "call") == len(calls)


BY: dict[tuple[Dimension, ...], tuple[str, ...]] = {
    ("team",): ("team",),
    ("team", "agent", "model", "mode"): ("team", "agent", "model", "mode"),
    ("tag", "team"): ("tags", "team"),
    ("tag", "team", "model", "mode"): ("tags", "team", "model", "mode"),
    ("key", "user", "team", "model"): ("key", "user", "team", "model"),
    ("repository", "user"): ("repository", "user"),
}
TAGS = {0: ("",), 5: ("x",), 14: ("x", "y")}


async def put_in_tasks(database: Database, lot: random.Random, calls: list[dict[str, object]]) -> None:
    """Tasks as the version before 0021 has them, some without a repository; each call in one or none, in some mode."""
    async with database.write() as connection:
        for number, repository in enumerate(REPOSITORIES[1:], start=1):
            await connection.execute(
                sa.text(
                    f"INSERT INTO task VALUES (:number, :id, NULL, 1, 4, 3, 2, 16, :repository{', 0' * 9})"
                ).bindparams(number=number, id=bytes([number]) * 16, repository=repository)
            )
        for one in calls:
            task, mode = lot.randrange(len(REPOSITORIES)), lot.randrange(3)
            one |= {"repository": REPOSITORIES[task], "mode": (0, 17, 18)[mode]}
            await connection.execute(
                sa.text("UPDATE call SET task = :task, kind = :kind WHERE id = :id").bindparams(
                    task=task, kind=mode * 16 + lot.randrange(9), id=one["id"]
                )
            )


def random_call(lot: random.Random, number: int):
    status = lot.choice([6, 6, 6, 8, 9, 10, 11])
    cost = lot.randrange(10**12) if status in (6, 9, 11) else 0
    return a_call(
        number,
        org=1,
        key=2,
        user=lot.choice([3, 12, 0]),
        team=lot.choice([4, 13, 0]),
        tags=lot.choice([0, 5, 14]),
        agent=lot.choice([16, 0]),
        model=lot.choice([7, 15]),
        status=status,
        duration_us=None if status == 10 else lot.randrange(10**9),
        started_at=DAY_US * 20_000 + lot.randrange(70 * DAY_US),
        cost_nanousd=cost,
        list_cost_nanousd=cost,
    )


async def count(database: Database, table: str) -> int:
    async with database.read() as connection:
        number: int = (await connection.execute(sa.text(f"SELECT count(*) FROM {table}"))).scalar_one()
        return number
