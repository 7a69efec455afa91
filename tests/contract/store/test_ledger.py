"""The ledger: whatever is repeated, reordered or torn away, the money is booked once."""

import contextlib
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.errors import StoreUnavailable
from sekisho.ledger.journal import Attempt, Caller, Opened, Record, Refused, Settled
from sekisho.ledger.journal_files import Batch, Segment
from sekisho.record.calls import CallFilter, CallRow, Payers, utc_day
from sekisho.record.spend import Spend, SpendQuery
from sekisho.store.sql.calls import SqlCalls
from sekisho.store.sql.engine import Database, sqlite_url
from sekisho.store.sql.ledger import SqlLedger
from sekisho.store.sql.names import Names
from sekisho.store.sql.spend import SqlSpend
from sekisho.values import Usage
from tests.thorough import examples

NOON = 1_763_035_200_000_000
DAY_US = 86_400_000_000
SEGMENT = Segment("call-1", 1)
ALICE = Caller("default", "key-a", "alice", "red", ("project:x",), "cline", "4.1", "session-1")
BOB = Caller("default", "key-b", "bob", "red")


def call_id(number: int) -> bytes:
    return (NOON // 1000 + number).to_bytes(6, "big") + number.to_bytes(10, "big")


def opened(number: int, caller: Caller = ALICE, model: str = "claude", at: int = NOON) -> Opened:
    return Opened(call_id(number), at, caller, "anthropic_messages", model, True, 2_000, 5_000_000)


def attempt(cost: int, usage: Usage = Usage(), error: str = "") -> Attempt:  # noqa: B008  a frozen value
    return Attempt("bedrock-1", NOON, 900_000, 200, error, usage, cost, cost, "2026-11", "geo", "req-1")


def settled(number: int, cost: int = 1_000_000, at: int = NOON + 1_000_000, status="ok", **changes) -> Settled:
    usage = Usage(10, 20, 30, 0, 40, 5)
    values: dict[str, Any] = {
        "stop_reason": "end_turn",
        "error": "",
        "message": "",
        "is_metered": True,
        "client_left": False,
        "usage": usage,
        "list_cost_nanousd": cost + 1,
        "cost_nanousd": cost,
        "attempts": (attempt(cost, usage),),
        "first_byte_us": 300_000,
        "upstream_us": 900_000,
        "stages_us": (1, 20, 300),
    }
    return Settled(call_id=call_id(number), ended_at=at, status=status, **values | changes)


def refused(number: int, caller: Caller = ALICE, model: str = "claude") -> Refused:
    at = NOON + number
    return Refused(
        call_id(number), at, at + 50, caller, "openai_chat", model, "authorize", "not_allowed", "No.", (1, 2)
    )


def batch(*records: Record, segment: Segment = SEGMENT, end: int = 100) -> Batch:
    return Batch(segment, end, records)


async def test_a_call_runs_and_is_settled_with_all_it_said(database, names):
    ledger, calls = SqlLedger(database, names), SqlCalls(database, names)
    await ledger.apply(batch(opened(1)))
    running = await calls.find("default", call_id(1))
    assert running is not None
    assert (running.status, running.ended_at, running.cost_nanousd) == ("running", None, 0)
    tools = (("", 488), ("Read", 2), ("x" * 64, 1))
    await ledger.apply(batch(settled(1, tools=tools), end=200))
    assert await calls.find("default", call_id(1)) == CallRow(
        id=call_id(1),
        change=2,
        status="ok",
        org_id="default",
        key_id="key-a",
        user_id="alice",
        team_id="red",
        tags=("project:x",),
        agent="cline",
        agent_version="4.1",
        session="session-1",
        door="anthropic_messages",
        model="claude",
        stream=True,
        request_bytes=2_000,
        reserved_nanousd=5_000_000,
        started_at=NOON,
        ended_at=NOON + 1_000_000,
        stop_reason="end_turn",
        usage=Usage(10, 20, 30, 0, 40, 5),
        list_cost_nanousd=1_000_001,
        cost_nanousd=1_000_000,
        price_version="2026-11",
        price_scope="geo",
        tools=tools,
        first_byte_us=300_000,
        upstream_us=900_000,
        stages_us=(1, 20, 300),
    )
    assert await ledger.offsets() == {"call-1-000001.log": 200}
    await ledger.forget(["call-1-000001.log"])
    assert await ledger.offsets() == {}


async def test_every_attempt_of_a_call_is_kept_in_order(database, names):
    failed = attempt(0, error="upstream_timeout")
    await SqlLedger(database, names).apply(batch(opened(1), settled(1, attempts=(failed, attempt(7)))))
    found = (await SqlCalls(database, names).attempts([call_id(1), call_id(2)]))[call_id(1)]
    assert [(one.deployment, one.error, one.cost_nanousd) for one in found] == [
        ("bedrock-1", "upstream_timeout", 0),
        ("bedrock-1", "", 7),
    ]


async def test_a_refused_call_says_where_and_why_and_costs_nothing(database, names):
    await SqlLedger(database, names).apply(batch(refused(1)))
    calls = SqlCalls(database, names)
    row = await calls.find("default", call_id(1))
    assert row is not None
    assert (row.status, row.stage, row.error, row.message) == ("refused", "authorize", "not_allowed", "No.")
    (total,) = await SqlSpend(database, names).spend("default", SpendQuery())
    assert total == Spend(refused=1)


async def test_the_open_calls_of_a_dead_process_cost_their_reserved_bound(database, names):
    ledger, calls = SqlLedger(database, names), SqlCalls(database, names)
    await ledger.apply(batch(opened(1), opened(2), settled(2)))
    await ledger.apply(batch(opened(3), segment=Segment("call-2", 1)))
    assert await ledger.interrupt("call-1", NOON + 5) == 1
    assert await ledger.interrupt("call-1", NOON + 9) == 0
    row = await calls.find("default", call_id(1))
    assert row is not None
    assert (row.status, row.cost_nanousd, row.is_metered, row.ended_at) == ("interrupted", 5_000_000, False, NOON + 5)
    alive = await calls.find("default", call_id(3))
    assert alive is not None
    assert alive.status == "running"
    (total,) = await SqlSpend(database, names).spend("default", SpendQuery())
    assert (total.calls, total.failed, total.cost_nanousd) == (2, 1, 6_000_000)


async def test_the_true_cost_replaces_the_bound_when_it_turns_up_after_all(database, names):
    ledger = SqlLedger(database, names)
    await ledger.apply(batch(opened(1)))
    await ledger.interrupt("call-1", NOON + 5)
    await ledger.apply(batch(settled(1, cost=3)))
    (total,) = await SqlSpend(database, names).spend("default", SpendQuery())
    assert (total.calls, total.failed, total.cost_nanousd) == (1, 0, 3)


async def test_text_that_a_database_may_not_take_is_stored_all_the_same(database, names):
    caller = Caller("default", "key-a", agent="a\0b", session="s" * 5_000, tags=("t" * 800, "u" * 800, "short"))
    await SqlLedger(database, names).apply(
        batch(opened(1, caller, model="m" * 3_000), settled(1, message="bad\0 text", error="e" * 2_000))
    )
    row = await SqlCalls(database, names).find("default", call_id(1))
    assert row is not None
    assert (row.agent, row.session, row.tags) == ("a\ufffdb", "s" * 1_000, ("t" * 800, "short"))
    assert (row.model, row.message) == ("m" * 1_000, "bad\ufffd text")


ODD = "6f0d9a3e-1111-4222-8333-00000000000A"  # not how a UUID is written
REQUEST = "6f0d9a3e-1111-4222-8333-00000000000a"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"upstream_request_id": REQUEST},
        {"upstream_request_id": ODD},
        {"upstream_request_id": "x" * 16},
        {"upstream_request_id": ""},
        {"deployment": ""},
        {"status": 201},
        {"error": "upstream_timeout"},
        {"duration_us": 899_999},
        {"usage": Usage(9)},
        {"usage": Usage(2**40)},
        {"cost_nanousd": 7},
        {"started_at": NOON + 2**40},
    ],
)
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_a_call_answered_at_the_first_try_shows_that_try_whatever_it_was(database, names, changes, order):
    one = msgspec.structs.replace(attempt(1_000_000, Usage(10, 20, 30, 0, 40, 5)), list_cost_nanousd=1_000_001)
    one = msgspec.structs.replace(one, **changes)
    usage = one.usage if changes.get("usage") == Usage(2**40) else Usage(10, 20, 30, 0, 40, 5)
    records = [opened(1), settled(1, usage=usage, attempts=(one,))]
    await SqlLedger(database, names).apply(batch(*(records[position] for position in order)))
    (found,) = (await SqlCalls(database, names).attempts([call_id(1)]))[call_id(1)]
    assert msgspec.structs.astuple(found) == msgspec.structs.astuple(one)


async def test_the_parts_of_a_calls_time_are_its_total_however_clocks_step(database, names):
    ledger, calls = SqlLedger(database, names), SqlCalls(database, names)
    times = ((2_500_000, 700, 1_500_000, 900_000), (900, 0, 0, 900), (40_000, 30_000, 29_000, 0), (0, 0, 0, 0))
    for number, (total, lead, waited, upstream) in enumerate(times):
        split = {"total_us": total, "lead_us": lead, "waited_us": waited, "upstream_us": upstream}
        await ledger.apply(batch(opened(number), settled(number, at=NOON - 5_000_000, **split), end=number))
        row = await calls.find("default", call_id(number))
        assert (row.total_us, row.waited_us, row.upstream_us) == (total, waited, upstream)
        assert row.gateway_us + row.waited_us + row.upstream_us == row.total_us
        assert row.stages_us == (1, 20, 300)


async def test_a_row_stays_within_250_bytes_and_says_all_about_its_only_attempt(database, names):
    """Without indexes, on both engines."""
    ledger = SqlLedger(database, names)
    records: list[Record] = []
    for number in range(3_000):
        ended = settled(number, cost=number * 10_000, total_us=1_200_000, lead_us=120)
        one = msgspec.structs.replace(
            ended.attempts[0], list_cost_nanousd=ended.list_cost_nanousd, upstream_request_id=REQUEST
        )
        records += [opened(number), msgspec.structs.replace(ended, attempts=(one,))]
    await ledger.apply(batch(*records))
    pages = "SELECT sum(pgsize) FROM dbstat WHERE name = 'call'"
    async with database.read() as connection:
        query = pages if database.is_sqlite else "SELECT pg_relation_size('call')"
        assert (await connection.execute(sa.text(query))).scalar_one() / 3_000 <= 250
        assert (await connection.execute(sa.text("SELECT count(*) FROM attempt"))).scalar_one() == 0


callers = st.builds(
    Caller,
    st.just("default"),
    st.sampled_from(["key-a", "key-b", ""]),
    st.sampled_from(["alice", "bob"]),
    st.sampled_from(["red", "blue"]),
)


@st.composite
def histories(draw) -> list[list[Record]]:
    """Batches as a drain may deliver them: calls interleaved, records lost, doubled and out of order."""
    streams: list[Record] = []
    for number in range(draw(st.integers(1, 6))):
        start = NOON + draw(st.integers(0, 2)) * DAY_US
        kind = draw(st.sampled_from(["whole", "whole", "open", "settled", "refused"]))
        if kind == "refused":
            streams.append(refused(number, draw(callers)))
            continue
        if kind in ("whole", "open"):
            streams.append(opened(number, draw(callers), draw(st.sampled_from(["claude", "nova"])), start))
        if kind in ("whole", "settled"):
            status = draw(st.sampled_from(["ok", "failed", "interrupted"]))
            cost = draw(st.integers(0, 10**9))
            end = start + draw(st.integers(0, 2 * DAY_US))
            streams.append(settled(number, cost, end, status, error=draw(st.sampled_from(["", "gone"]))))
    shuffled = draw(st.permutations(streams + draw(st.lists(st.sampled_from(streams), max_size=6))))
    batches: list[list[Record]] = [[]]
    for record in shuffled:
        batches[-1].append(record)
        if draw(st.booleans()):
            batches.append([])
    return [one for one in batches if one]


def brute_force(history: list[list[Record]]) -> dict[tuple[int, str, str, str, str], Counter[str]]:
    """The sums, the slow way: find each call's records, then add up."""
    every = [record for one in history for record in one]
    sums: dict[tuple[int, str, str, str, str], Counter[str]] = {}
    for one_id in {record.call_id for record in every}:
        first = {type(record): record for record in reversed(every) if record.call_id == one_id}
        opening, settlement, refusal = first.get(Opened), first.get(Settled), first.get(Refused)
        if isinstance(refusal, Refused):
            caller, model, at, add = refusal.caller, refusal.model, refusal.started_at, Counter(refused=1)
        elif isinstance(settlement, Settled):
            known = opening if isinstance(opening, Opened) else None
            caller = known.caller if known else Caller("", "")
            model, at = (known.model, known.started_at) if known else ("", settlement.ended_at)
            failed = int(settlement.status != "ok")
            tokens = settlement.usage.total_tokens
            add = Counter(calls=1, failed=failed, cost=settlement.cost_nanousd, tokens=tokens)
        else:
            continue
        cell = (utc_day(at), caller.key_id, caller.user_id, caller.team_id, model)
        sums.setdefault(cell, Counter()).update(add)
    return {cell: +add for cell, add in sums.items() if +add}


class TearingLedger(SqlLedger):
    """Fails at the end of a transaction, as a crash before the commit does, when told to."""

    fails = False

    async def _keep_offset(self, connection: AsyncConnection, segment: str, end_offset: int) -> None:
        await super()._keep_offset(connection, segment, end_offset)
        if self.fails:
            raise StoreUnavailable("torn")


@given(history=histories(), crashes=st.sets(st.integers(0, 20)), again=st.integers(0, 20))
@settings(max_examples=examples(15))
async def test_no_repetition_order_or_crash_changes_a_sum(template, history, crashes, again):
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(template, Path(folder) / "db")
        database = Database(sqlite_url(Path(folder) / "db"))
        names = Names(database)
        ledger = TearingLedger(database, names)
        for position, records in enumerate(history):
            ledger.fails = position in crashes
            with contextlib.suppress(StoreUnavailable):
                await ledger.apply(batch(*records, end=position))
            if ledger.fails:
                ledger.fails = False
                await ledger.apply(batch(*records, end=position))
        for records in history[again:]:  # a crash after the commit, before the offset was known: all again
            await ledger.apply(batch(*records))
        assert await sums_of(database, names) == brute_force(history)
        await database.close()


async def sums_of(database: Database, names: Names) -> dict[tuple[int, str, str, str, str], Counter[str]]:
    spend = SqlSpend(database, names)
    every = SpendQuery(
        by=("key", "user", "team", "model"), period="day", since=NOON - 5 * DAY_US, until=NOON + 5 * DAY_US
    )
    found = {}
    for org in ("default", ""):  # the empty one holds what nobody is known to have called
        for row in await spend.spend(org, every):
            cell = (utc_day(row.starts_at or 0), row.key_id, row.user_id, row.team_id, row.model)
            add = Counter(calls=row.calls, failed=row.failed, refused=row.refused, cost=row.cost_nanousd)
            found[cell] = add + Counter(tokens=row.usage.total_tokens)
    return found


async def test_recent_calls_come_newest_first_page_by_page_and_filtered(database, names):
    ledger, calls = SqlLedger(database, names), SqlCalls(database, names)
    await ledger.apply(batch(*(opened(n, BOB if n % 2 else ALICE, at=NOON + n * 1000) for n in range(6)), settled(4)))
    first = await calls.recent("default", limit=4)
    assert [row.id for row in first] == [call_id(n) for n in (5, 4, 3, 2)]
    rest = await calls.recent("default", limit=4, before=first[-1].id)
    assert [row.id for row in rest] == [call_id(1), call_id(0)]

    async def only(**where) -> list[bytes]:
        return [row.id for row in await calls.recent("default", limit=9, where=CallFilter(**where))]

    assert await only(key_id="key-b") == [call_id(n) for n in (5, 3, 1)]
    assert await only(user_id="alice", status="running") == [call_id(2), call_id(0)]
    assert await only(is_ended=True) == [call_id(4)]
    assert await only(since=NOON + 1000, until=NOON + 3000) == [call_id(2), call_id(1)]
    assert await only(model="never seen") == []
    assert await only(agent="cline") == [call_id(n) for n in (4, 2, 0)]
    assert await only(tag="project:x") == [call_id(n) for n in (4, 2, 0)]
    for near in ("project", "PROJECT:X", "%", '"', "project:x,"):
        assert await only(tag=near) == []
    assert await calls.recent("another", limit=9) == []


async def test_who_pays_for_what_changed_is_named_once(database, names):
    ledger, calls = SqlLedger(database, names), SqlCalls(database, names)
    await ledger.apply(batch(opened(1), opened(2, BOB)))
    alice, bob = (Payers(one.key_id, one.user_id, one.team_id, one.tags) for one in (ALICE, BOB))
    assert await calls.payers_since("default", after=0) == {alice, bob}
    seen = await calls.last_change()
    assert await calls.payers_since("default", after=seen) == set()
    await ledger.apply(batch(opened(3), settled(1)))
    assert await calls.payers_since("default", after=seen) == {alice}
    assert await calls.payers_since("another", after=0) == set()


async def test_a_live_page_sees_each_change_once(database, names):
    ledger, calls = SqlLedger(database, names), SqlCalls(database, names)
    await ledger.apply(batch(opened(1), opened(2)))
    seen = await calls.last_change()
    await ledger.apply(batch(settled(1), opened(1), opened(3)))
    changed = await calls.changed("default", after=seen, limit=10)
    assert [(row.id, row.status) for row in changed] == [(call_id(1), "ok"), (call_id(3), "running")]
    assert await calls.last_change() == changed[-1].change
    assert await calls.changed("default", after=changed[-1].change, limit=10) == []
