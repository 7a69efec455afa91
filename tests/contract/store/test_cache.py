"""What prompt caches did, in the ledger: sums are those of the calls, whatever is repeated or reordered."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from sekisho.ledger.journal import CacheBreak, Caching, Caller, Record
from sekisho.record.cache import REMEDIES, CacheFilter, CacheSum
from sekisho.record.calls import Part
from sekisho.store.sql.cache import SqlCache
from sekisho.store.sql.cache_sums import DAY_US
from sekisho.store.sql.calls import SqlCalls
from sekisho.store.sql.engine import Database, sqlite_url
from sekisho.store.sql.ledger import SqlLedger
from sekisho.store.sql.names import Names
from sekisho.values import Usage
from tests.contract.store.test_ledger import ALICE, BOB, NOON, batch, call_id, opened, settled
from tests.contract.store.test_tasks import note, task_id
from tests.thorough import examples

DAY = NOON // DAY_US
ALL = CacheFilter()
GREEN = replace(BOB, team_id="green")
USAGE = Usage(10, 80, 6, 4, 7)
TELL = CacheBreak("tools_order", "tools", "", 70, 40, call_id(1))


def call_of(
    number: int, caller: Caller = ALICE, *, at: int = NOON, task: int = 1, saved: int = 100, broke: Any = None
) -> list[Record]:
    end = replace(settled(number, 500, at + 1_000_000), usage=USAGE, caching=Caching(saved, broke))
    return [replace(opened(number, caller, at=at), task=note(task)), end]


def total(calls: int, saved: int, lost: int, **named: Any) -> CacheSum:
    return CacheSum(
        calls=calls,
        input_tokens=10 * calls,
        cache_read_tokens=80 * calls,
        cache_write_tokens=10 * calls,
        saved_nanousd=saved,
        lost_nanousd=lost,
        **named,
    )


async def test_sums_by_team_day_and_cause(database, names):
    ledger, cache = SqlLedger(database, names), SqlCache(database, names)
    charlie = replace(BOB, team_id="blue", user_id="charlie")
    records = [
        *call_of(1),
        *call_of(2, saved=-30, broke=TELL),
        *call_of(3, charlie, at=NOON + DAY_US, broke=replace(TELL, cause="expired", lost_nanousd=9)),
        *call_of(4, GREEN, at=NOON + DAY_US),
    ]
    await ledger.apply(batch(*records))
    await ledger.apply(batch(*records))  # again, as after a crash
    (whole,) = await cache.sums("default", (), ALL)
    assert whole == total(4, 270, 49) and whole.hit_rate == 0.8
    assert await cache.sums("default", ("team", "day"), ALL) == [
        total(2, 70, 40, team_id=ALICE.team_id, day=DAY),
        total(1, 100, 9, team_id="blue", day=DAY + 1),
        total(1, 100, 0, team_id="green", day=DAY + 1),
    ]
    assert await cache.sums("default", ("cause",), ALL) == [
        CacheSum(cause="tools_order", calls=1, lost_nanousd=40),
        CacheSum(cause="expired", calls=1, lost_nanousd=9),
    ]
    assert await cache.sums("default", (), CacheFilter(since=NOON + DAY_US)) == [total(2, 200, 9)]
    assert await cache.sums("default", (), CacheFilter(team_id="blue")) == [total(1, 100, 9)]
    assert await cache.sums("default", (), CacheFilter(part=Part(user_id="charlie"))) == [total(1, 100, 9)]
    assert await cache.sums("default", (), CacheFilter(part=Part(("blue",), "alice"))) == [total(3, 170, 49)]
    assert await cache.sums("default", (), CacheFilter(team_id="blue", part=Part(("blue",), "x"))) == [total(1, 100, 9)]
    assert await cache.sums("other", (), ALL) == [total(0, 0, 0)]


async def test_the_sum_of_a_task_also_when_it_turns_out_to_be_another(database, names):
    ledger, cache = SqlLedger(database, names), SqlCache(database, names)
    await ledger.apply(batch(*call_of(1, broke=TELL), *call_of(2, task=2)))
    assert await cache.of_task("default", task_id(1)) == [
        total(1, 100, 40),
        CacheSum(cause="tools_order", calls=1, lost_nanousd=40),
    ]
    again = call_of(3, task=2)
    again[0] = replace(again[0], task=note(2, was=1))
    await ledger.apply(batch(*again))
    assert (await cache.of_task("default", task_id(2)))[0] == total(3, 300, 40)
    assert (await cache.of_task("default", task_id(1)))[0] == total(3, 300, 40)


async def test_breaks_are_listed_newest_first_and_calls_tell_theirs(database, names):
    ledger, cache, calls = SqlLedger(database, names), SqlCache(database, names), SqlCalls(database, names)
    broken = replace(TELL, cause="tools_changed", detail="run")
    await ledger.apply(batch(*call_of(1), *call_of(2, broke=TELL), *call_of(3, BOB, task=2, broke=broken)))
    found = await cache.breaks("default", limit=9, where=ALL)
    assert [(one.call_id, one.cause, one.block, one.detail, one.task_id) for one in found] == [
        (call_id(3), "tools_changed", "tools", "run", task_id(2)),
        (call_id(2), "tools_order", "tools", "", task_id(1)),
    ]
    assert (found[1].lost_tokens, found[1].lost_nanousd, found[1].before) == (70, 40, call_id(1))
    for where in (
        CacheFilter(task_id=task_id(1)),
        CacheFilter(cause="tools_order"),
        CacheFilter(part=Part(user_id=ALICE.user_id)),
    ):
        assert [one.call_id for one in await cache.breaks("default", limit=9, where=where)] == [call_id(2)]
    assert [one.call_id for one in await cache.breaks("default", limit=9, before=call_id(3), where=ALL)] == [call_id(2)]
    row = await calls.find("default", call_id(2))
    assert row is not None
    assert (row.cache_saved_nanousd, row.cache_lost_nanousd, row.cache_cause) == (100, 40, "tools_order")


@pytest.mark.parametrize("cause", REMEDIES)
def test_every_cause_has_a_remedy_in_both_languages(cause) -> None:
    assert all(len(REMEDIES[cause][language]) > 10 for language in ("en", "ja"))


@settings(max_examples=examples(10))
@given(order=st.permutations(range(8)), cut=st.integers(0, 8))
async def test_sums_do_not_hang_on_the_order_of_records(template: Any, order: list[int], cut: int) -> None:
    records = [*call_of(1, broke=TELL), *call_of(2), *call_of(3, GREEN, at=NOON + DAY_US), *call_of(4, saved=-7)]
    mixed = [records[number] for number in order]
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(template, Path(folder) / "db")
        database = Database(sqlite_url(Path(folder) / "db"))
        ledger, cache = SqlLedger(database, Names(database)), SqlCache(database, Names(database))
        for position, part in enumerate(part for part in (mixed[:cut], mixed[cut:]) if part):
            await ledger.apply(batch(*part, end=position))
        by_team = await cache.sums("default", ("team",), ALL)
        causes = await cache.sums("default", ("team", "cause"), ALL)
        await database.close()
    assert by_team == [
        total(3, 193, 40, team_id=ALICE.team_id),
        total(1, 100, 0, team_id="green"),
    ]
    assert causes == [CacheSum(team_id=ALICE.team_id, cause="tools_order", calls=1, lost_nanousd=40)]
