"""Tasks in the ledger: their sums are those of their calls, whatever is repeated, reordered or found to be the same."""

import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from sekisho.ledger.journal import Caller, Opened, Record, Refused, Settled, TaskNote
from sekisho.record.calls import CallFilter, Part
from sekisho.record.tasks import TaskFilter, TaskRow
from sekisho.store.sql.calls import SqlCalls
from sekisho.store.sql.engine import Database, sqlite_url
from sekisho.store.sql.ledger import SqlLedger
from sekisho.store.sql.names import Names
from sekisho.store.sql.tasks import SqlTasks
from tests.contract.store.test_ledger import ALICE, BOB, NOON, batch, call_id, opened, refused, settled

MINUTE_US = 60_000_000


def task_id(number: int) -> bytes:
    return bytes([number]) * 16


def note(number: int, was: int | None = None, mode: str = "act", turn: str = "agent", **hints: str) -> TaskNote:
    return TaskNote(task_id(number), task_id(was) if was is not None else b"", mode, turn, **hints)


def whole(number: int, said: TaskNote, cost: int = 1_000_000, caller: Caller = ALICE) -> list[Record]:
    """A call of so many minutes after noon, with its end."""
    at = NOON + number * MINUTE_US
    end = replace(settled(number, cost, at + 1_000_000), classes_nanousd=(1, 2, 3, cost - 6))
    return [replace(opened(number, caller, at=at), task=said), end]


async def test_a_task_adds_up_its_calls_by_mode_and_keeps_the_last_hints(database, names):
    ledger, tasks = SqlLedger(database, names), SqlTasks(database, names)
    records = [
        *whole(1, note(1, mode="plan", turn="human", repository="portal", branch="main"), 100),
        *whole(2, note(1), 200),
        replace(refused(3), task=note(1)),
        replace(opened(4, at=NOON + 4 * MINUTE_US), task=note(1)),
    ]
    await ledger.apply(batch(*records))
    row = await tasks.find("default", task_id(1))
    assert row == TaskRow(
        id=task_id(1),
        team_id="red",
        user_id="alice",
        key_id="key-a",
        agent="cline",
        repository="portal",
        branch="main",
        first_at=NOON + 3,
        last_at=NOON + 4 * MINUTE_US,
        calls=2,
        turns=1,
        failed=0,
        refused=1,
        running=1,
        cost_nanousd=300,
    )
    found = await tasks.by_mode("default", task_id(1))
    assert [(one.mode, one.calls, one.running, one.cost_nanousd, one.output_nanousd) for one in found] == [
        ("plan", 1, 0, 100, 94),
        ("act", 1, 1, 200, 194),
    ]


async def test_calls_say_their_task_mode_and_turn_and_are_listed_by_it(database, names):
    ledger, calls = SqlLedger(database, names), SqlCalls(database, names)
    await ledger.apply(batch(*whole(1, note(1, mode="plan", turn="human")), *whole(2, note(2)), *whole(3, note(1))))
    rows = await calls.recent("default", limit=9, where=CallFilter(task_id=task_id(1)))
    assert [(row.id, row.task_id, row.mode, row.turn) for row in rows] == [
        (call_id(3), task_id(1), "act", "agent"),
        (call_id(1), task_id(1), "plan", "human"),
    ]


async def test_the_outline_of_a_task_says_of_its_calls_what_their_rows_say(database, names):
    ledger, tasks, calls = SqlLedger(database, names), SqlTasks(database, names), SqlCalls(database, names)
    held = replace(opened(2, at=NOON + 2 * MINUTE_US), task=note(1), delayed_ms=400)
    failed = settled(2, 250, NOON + 3 * MINUTE_US, status="failed")
    running = replace(opened(4, at=NOON + 4 * MINUTE_US), task=note(1))
    records = [*whole(1, note(1, mode="plan")), held, failed, *whole(3, note(2)), running]
    await ledger.apply(batch(*records, replace(refused(5), task=note(1))))
    rows = (await calls.recent("default", limit=9, where=CallFilter(task_id=task_id(1))))[::-1]
    steps = await tasks.outline("default", task_id(1), limit=9)
    assert [(step.id, step.mode, step.status, step.waited_us) for step in steps] == [
        (row.id, row.mode, row.status, row.delayed_ms * 1000) for row in rows
    ]
    for step, row in zip(steps, rows, strict=True):
        usage, ended_at = row.usage, row.ended_at or row.started_at
        written = usage.cache_write_5m_tokens + usage.cache_write_1h_tokens
        assert step.prompt_tokens == (usage.input_tokens, usage.cache_read_tokens, written)
        assert (step.cost_nanousd, step.list_cost_nanousd) == (row.cost_nanousd, row.list_cost_nanousd)
        assert (step.output_tokens, step.upstream_us) == (usage.output_tokens, row.upstream_us)
        assert step.duration_us == ended_at - row.started_at
    assert {step.status for step in steps} == {"ok", "failed", "running", "refused"}
    assert await tasks.outline("default", task_id(1), limit=2) == steps[-2:]
    assert await tasks.outline("default", task_id(1), limit=9, part=Part(user_id="bob")) == []
    assert await tasks.outline("elsewhere", task_id(1), limit=9) == []


@pytest.mark.parametrize("is_late", [False, True], ids=["before", "after"])
async def test_what_turns_out_to_be_one_task_is_one_with_all_its_calls(database, names, is_late):
    """Also when the calls of the other id come from another journal later."""
    ledger, tasks, calls = SqlLedger(database, names), SqlTasks(database, names), SqlCalls(database, names)
    first, second = whole(1, note(1), 100), whole(2, note(2, was=1), 200)
    for records in (second, first) if is_late else (first, second):
        await ledger.apply(batch(*records))
    await ledger.apply(batch(*second))
    for one in (1, 2):
        row = await tasks.find("default", task_id(one))
        assert (row.id, row.calls, row.cost_nanousd) == (task_id(2), 2, 300)
        assert sum(mode.cost_nanousd for mode in await tasks.by_mode("default", task_id(one))) == 300
        assert len(await calls.recent("default", limit=9, where=CallFilter(task_id=task_id(one)))) == 2
    listed, _ = await tasks.list_tasks("default", limit=9)
    assert [row.id for row in listed] == [task_id(2)]


async def test_tasks_of_two_people_are_never_made_one(database, names):
    ledger, tasks = SqlLedger(database, names), SqlTasks(database, names)
    await ledger.apply(batch(*whole(1, note(1), 100), *whole(2, note(2, was=1), 200, BOB)))
    rows = [await tasks.find("default", task_id(one)) for one in (1, 2)]
    assert [(row.user_id, row.cost_nanousd) for row in rows] == [("alice", 100), ("bob", 200)]


async def test_pages_follow_each_other_in_both_orders_and_filters_hold(database, names):
    ledger, tasks = SqlLedger(database, names), SqlTasks(database, names)
    for number in range(1, 8):
        caller = BOB if number % 3 == 0 else ALICE
        mode = "plan" if number == 5 else "act"
        await ledger.apply(batch(*whole(number, note(number, mode=mode), 1_000 - number % 4, caller)))

    async def pages(**given: Any) -> list[int]:
        found: list[int] = []
        cursor = None
        while True:
            rows, cursor = await tasks.list_tasks("default", limit=2, after=cursor, **given)
            found += [row.id[0] for row in rows]
            if cursor is None:
                return found

    assert await pages() == [7, 6, 5, 4, 3, 2, 1]
    assert await pages(order="cost") == [4, 5, 1, 6, 2, 7, 3]
    assert await pages(where=TaskFilter(user_id="bob")) == [6, 3]
    assert await pages(where=TaskFilter(mode="plan")) == [5]
    assert await pages(where=TaskFilter(agent="cline", min_cost_nanousd=999)) == [5, 4, 1]
    assert await pages(where=TaskFilter(since=NOON + 5 * MINUTE_US, until=NOON + 7 * MINUTE_US)) == [6, 5]
    assert await pages(where=TaskFilter(part=Part(user_id="bob"))) == [6, 3]
    assert await pages(where=TaskFilter(part=Part(team_ids=("blue",)))) == []


notes = st.builds(
    note,
    st.integers(1, 4),
    st.one_of(st.none(), st.integers(1, 4)),
    st.sampled_from(["plan", "act", ""]),
    st.sampled_from(["human", "agent", "repeat"]),
)


@st.composite
def histories(draw) -> list[list[Record]]:
    """Batches as a drain may deliver them."""
    streams: list[Record] = []
    for number in range(draw(st.integers(1, 7))):
        said = draw(st.one_of(st.none(), notes))
        kind = draw(st.sampled_from(["whole", "whole", "open", "refused"]))
        if kind == "refused":
            streams.append(replace(refused(number), task=said))
            continue
        streams.append(replace(opened(number), task=said))
        if kind == "whole":
            status = draw(st.sampled_from(["ok", "failed"]))
            streams.append(settled(number, draw(st.integers(0, 10**9)), status=status))
    again = draw(st.lists(st.sampled_from(streams), max_size=5))
    batches: list[list[Record]] = [[]]
    for record in draw(st.permutations(streams + again)):
        batches[-1].append(record)
        if draw(st.booleans()):
            batches.append([])
    return [one for one in batches if one]


def brute_force(history: list[list[Record]]) -> dict[frozenset[bytes], Counter[str]]:
    """The sums of each task, the slow way: ids that were said to be the same are one; then each call is added."""
    every = [record for one in history for record in one]
    first = {(type(record), record.call_id): record for record in reversed(every)}
    groups: list[set[bytes]] = []
    for record in first.values():
        said = record.task if isinstance(record, Opened | Refused) else None
        if said is not None:
            new = {said.id, said.was} - {b""}
            touched = [group for group in groups if group & new]
            groups = [group for group in groups if not group & new] + [new.union(*touched)]
    sums: dict[frozenset[bytes], Counter[str]] = {}
    for record in first.values():
        said = record.task if isinstance(record, Opened | Refused) else None
        if said is None:
            continue
        group = frozenset(next(one for one in groups if said.id in one))
        add = Counter(turns=int(said.turn == "human"))
        end = first.get((Settled, record.call_id))
        if isinstance(record, Refused):
            add["refused"] = 1
        elif isinstance(end, Settled):
            add += Counter(calls=1, failed=int(end.status != "ok"), cost_nanousd=end.cost_nanousd)
        else:
            add["running"] = 1
        sums.setdefault(group, Counter()).update(add)
    return {group: +add for group, add in sums.items()}


@given(history=histories())
@settings(max_examples=60, deadline=None)
async def test_no_repetition_or_order_changes_a_sum(template, history):
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(template, Path(folder) / "db")
        database = Database(sqlite_url(Path(folder) / "db"))
        ledger = SqlLedger(database, Names(database))
        tasks = SqlTasks(database, Names(database))
        for position, records in enumerate(history):
            await ledger.apply(batch(*records, end=position))
        for group, add in brute_force(history).items():
            found = {await tasks.find("default", one) for one in group} - {None}
            assert len(found) == 1
            (row,) = found
            columns = ("calls", "turns", "failed", "refused", "running", "cost_nanousd")
            assert +Counter({column: getattr(row, column) for column in columns}) == add
            modes = await tasks.by_mode("default", row.id)
            for column in columns:
                assert sum(getattr(one, column) for one in modes) == add[column]
        await database.close()
