"""Taking the demonstration out of the ledger leaves what others did as if it had never been there."""

from sekisho.ledger.journal import Attempt, Caller, Opened, Record, Settled, TaskNote
from sekisho.ledger.journal_files import Batch, Segment
from sekisho.record.spend import SpendQuery
from sekisho.store.sql.forgotten import SqlForgotten
from sekisho.store.sql.ledger import SqlLedger
from sekisho.store.sql.names import Names
from sekisho.store.sql.spend import SqlSpend
from sekisho.store.sql.tasks import SqlTasks
from sekisho.values import Usage

NOW = 1_763_035_200_000_000


def booked(number: int, team: str, cost: int) -> tuple[Record, ...]:
    """A call of Alice in this team, with two attempts."""
    call_id = number.to_bytes(16, "big")
    usage = Usage(10, 0, 0, 0, 5)
    attempts = tuple(
        Attempt("deployment", NOW, 1_000, 200, "", usage, cost // 2, cost // 2, "v", "us") for _ in range(2)
    )
    caller = Caller("default", f"key-{team}", "alice", team, ("x",))
    return (
        Opened(call_id, NOW, caller, "openai_chat", "m", True, 9, cost, task=TaskNote(call_id, mode="act")),
        Settled(call_id, NOW + 9, "ok", None, "", "a word", True, False, usage, cost, cost, attempts, 1, 1, ()),
    )


async def test_only_the_teams_that_are_named_lose_their_calls(database):
    ledger, names = SqlLedger(database, Names(database)), Names(database)
    records = (*booked(1, "demo-a", 1_000), *booked(2, "red", 500), *booked(3, "demo-b", 2_000), *booked(4, "", 70))
    await ledger.apply(Batch(Segment("p", 1), 1, records))
    assert await SqlForgotten(database, names).forget("default", ("demo-a", "demo-b", "demo-never")) == 2
    spend = SqlSpend(database, Names(database))
    for by in (("team",), ("user", "team"), ("tag", "team"), ("agent", "team"), ("key",)):
        rows = await spend.spend("default", SpendQuery(by=by))
        assert sorted(row.cost_nanousd for row in rows) == [70, 500], by
    tasks, _ = await SqlTasks(database, Names(database)).list_tasks("default", limit=10)
    assert sorted(row.cost_nanousd for row in tasks) == [70, 500]
    assert await SqlForgotten(database, names).forget("default", ("demo-a", "demo-b")) == 0
