"""Lists of calls narrowed by what roll-ups know, against a plain look at every call; on both engines."""

import shutil
from collections import Counter
from typing import Any

import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sekisho.ledger.journal import Caller, Opened, Record, Refused, Settled
from sekisho.ledger.journal_files import Batch, Segment
from sekisho.record.calls import CallFilter, Part
from sekisho.store.sql.booked import SqlBooked
from sekisho.store.sql.calls import SqlCalls
from sekisho.store.sql.engine import Database, sqlite_url
from sekisho.store.sql.ledger import SqlLedger
from sekisho.store.sql.names import Names
from sekisho.store.sql.roll_ups import ROLL_UPS
from sekisho.store.sql.tables.ledger import call, running_call
from sekisho.store.sql.tasks import SqlTasks
from sekisho.values import Usage
from tests.contract.store.test_spend import NOW, callers, tasks, times
from tests.thorough import examples

LEADS = st.sampled_from([0, 0, 20_000_000, 400_000_000])  # between the making of an id and the start
ENDS = {"o": "ok", "f": "failed", "r": "refused", "i": "interrupted", "u": "running"}

made_calls = st.lists(
    st.tuples(callers, st.sampled_from(["claude", "nova"]), times, LEADS, st.sampled_from("offrriu"), tasks),
    max_size=40,
)
filters = st.builds(
    CallFilter,
    team_id=st.sampled_from(["", "", "red"]),
    model=st.sampled_from(["", "claude", "never"]),
    status=st.sampled_from(["", "", *ENDS.values()]),
    since=st.one_of(st.none(), times),
    until=st.one_of(st.none(), times),
    is_ended=st.booleans(),
    part=st.sampled_from([None, None, Part(("red",)), Part(("blue",), "alice")]),
    agent=st.sampled_from(["", "", "codex"]),
    tag=st.sampled_from(["", "", "x"]),
    mode=st.sampled_from([None, None, "plan", ""]),
    repository=st.sampled_from([None, None, "shop", "", "never"]),
)


def records_of(made: list[Any]) -> list[tuple[bytes, list[Record]]]:
    """What the journal says of each call, and its id."""
    found = []
    for number, (caller, model, at, lead, end, task) in enumerate(made):
        call_id = ((at - lead) // 1000).to_bytes(6, "big") + number.to_bytes(10, "big")
        opened = Opened(call_id, at, caller, "openai_chat", model, False, 10, 5, task=task)
        settled = Settled(call_id, at + 9, "ok" if end == "o" else "failed", None, "", "", True, False, Usage(1), 3, 3,
                          (), 1, 1, ())  # fmt: skip
        refused = Refused(call_id, at, at + 5, caller, "openai_chat", model, "admit", "no", "No.", (), task=task)
        records: list[Record] = [refused] if end == "r" else [opened, settled] if end in "of" else [opened]
        found.append((call_id, records))
    return found


def fits(one: Any, where: CallFilter) -> bool:
    caller, model, at, _, end, task = one
    part = where.part
    return all(
        (
            where.team_id in ("", caller.team_id),
            where.model in ("", model),
            where.status in ("", ENDS[end]),
            at >= (where.since or 0),
            where.until is None or at < where.until,
            not where.is_ended or end != "u",
            part is None or caller.team_id in part.team_ids or (part.user_id and caller.user_id == part.user_id),
            where.agent in ("", caller.agent),
            not where.tag or where.tag in caller.tags,
            where.mode in (None, task.mode if task else ""),
            where.repository in (None, task.repository if task else ""),
        )
    )


@given(made=made_calls, asked=st.lists(st.tuples(filters, st.integers(1, 9)), min_size=1, max_size=6))
@settings(max_examples=examples(8), suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_page_by_page_a_list_holds_every_call_that_fits_newest_first(database, made, asked):
    async with database.write() as connection:
        for table in (call, running_call, *(roll_up.table for roll_up in ROLL_UPS)):
            await connection.execute(table.delete())
    ledger, calls = SqlLedger(database, Names(database)), SqlCalls(database, Names(database))
    known = records_of(made)
    for process in ("i", "u"):  # the process of the interrupted ones dies
        records = [
            one
            for (_, some), each in zip(known, made, strict=True)
            for one in some
            if (each[4] == "u") == (process == "u")
        ]
        await ledger.apply(Batch(Segment(process, 1), 1, tuple(records)))
    await ledger.interrupt("i", 10**16)
    for where, size in asked:
        wanted = sorted(
            (call_id for (call_id, _), one in zip(known, made, strict=True) if fits(one, where)), reverse=True
        )
        seen: list[bytes] = []
        while page := await calls.recent("default", limit=size, before=seen[-1] if seen else None, where=where):
            assert len(page) <= size
            seen += [row.id for row in page]
        assert seen == wanted
    await check_pace(calls, made)


async def test_no_list_of_calls_sorts_the_ledger(tmp_path, template):
    """SQLite has no statistics of how many calls there are: the plan is the same for ten and for ten million."""
    shutil.copy(template, tmp_path / "x.db")
    database = Database(sqlite_url(tmp_path / "x.db"))
    statements: list[tuple[str, Any]] = []
    names, calls = Names(database), SqlCalls(database, Names(database))
    made = [(Caller("default", "key-a", "alice", "red", ("x",), "codex"), "claude", NOW, 0, "o", None)]
    for _, records in records_of(made):
        await SqlLedger(database, names).apply(Batch(Segment("p", 1), 1, tuple(records)))
    sa.event.listen(
        database.engine.sync_engine,
        "before_cursor_execute",
        lambda _connection, _cursor, statement, parameters, *_: statements.append((statement, parameters)),
    )
    for where in (
        *(CallFilter(), CallFilter(key_id="key-a"), CallFilter(user_id="alice"), CallFilter(task_id=bytes(16))),
        *(CallFilter(model="claude"), CallFilter(tag="x", status="failed"), CallFilter(part=Part(("red",), "alice"))),
    ):
        await calls.recent("default", limit=9, where=where)
    await calls.changed("default", after=0, limit=9)
    await calls.payers_since("default", after=0)
    await calls.pace("default", since=NOW, step_us=60_000_000)
    await SqlTasks(database, names).outline("default", bytes(16), limit=9)
    await SqlBooked(database, names).booked("default", NOW)
    asked = [(statement, parameters) for statement, parameters in statements if "FROM call" in statement]
    assert len(asked) > 8
    async with database.read() as connection:
        for statement, parameters in asked:
            rows = (await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)).all()
            plan = [str(row[-1]) for row in rows]
            if "call.change >" not in statement:
                assert not any("call_org_change_ix" in one for one in plan), (statement, plan)
    await database.close()


async def check_pace(calls: SqlCalls, made: list[Any]) -> None:
    since = min((one[2] for one in made), default=0)
    paces = await calls.pace("default", since=since, step_us=60_000_000)
    found = Counter({(one.began, one.ended, one.status): one.calls for one in paces})
    spans = {"o": 9, "f": 9, "r": 5}
    wanted = Counter(
        ((at - since) // 60_000_000, (at + spans[end] - since) // 60_000_000, ENDS[end])
        for *_, at, _, end, _ in made
        if end in spans
    )
    assert {key: count for key, count in found.items() if key[2] not in ("running", "interrupted")} == wanted
    own = await calls.own_times("default", since=since)
    assert sorted(own) == sorted((at, 8) for *_, at, _, end, _ in made if end == "o")
    some = await calls.own_times("default", since=since, share=0.05)  # ids end with their number here
    assert sorted(some) == sorted(
        (at, 8) for number, (*_, at, _, end, _) in enumerate(made) if end == "o" and number < 12
    )
    assert await calls.under_way("default") == (
        sum(one[4] == "u" for one in made),
        5 * sum(one[4] == "u" for one in made),
    )
