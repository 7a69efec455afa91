"""What budgets have spent, against a slow sum over every call: any window, any time zone, any scope."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from sekisho.access.organisation import Tag, Team, User
from sekisho.access.rules import RuleWrite, StoredRule
from sekisho.ledger.counters import Spent
from sekisho.ledger.journal import Caller, Opened, Record, Settled
from sekisho.ledger.journal_files import Batch, Segment
from sekisho.ledger.windows import span_at
from sekisho.store.sql.booked import SqlBooked
from sekisho.store.sql.engine import Database, sqlite_url
from sekisho.store.sql.ledger import SqlLedger
from sekisho.store.sql.names import Names
from sekisho.store.sql.organisation import SqlOrganisation
from sekisho.store.sql.rules import SqlRules
from sekisho.values import END_OF_TIME, Budget, Scope, Usage, Window
from tests.thorough import examples

NOW = 1_763_035_200_000_000
MINUTE_US = 60_000_000
ZONES = ("UTC", "Asia/Tokyo", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns")


def opened(number: int, caller: Caller, model: str, at: int) -> Opened:
    call_id = (at // 1000).to_bytes(6, "big") + number.to_bytes(10, "big")
    return Opened(call_id, at, caller, "openai_chat", model, False, 10, 7_000)


def settled(opening: Opened, cost: int, at: int) -> Settled:
    return Settled(
        *(opening.call_id, at, "ok", "end_turn", "", "", True, False, Usage(1), cost, cost, (), 1, 1, ()),
    )


callers = st.builds(
    Caller,
    st.just("default"),
    st.sampled_from(["key-a", "key-b"]),
    st.sampled_from(["alice", "bob", ""]),
    st.sampled_from(["red", "blue", ""]),
    st.lists(st.sampled_from(["x", "y", "z"]), max_size=3).map(tuple),
)
times = st.one_of(
    st.integers(NOW - 40 * 1440 * MINUTE_US, NOW + 1440 * MINUTE_US),
    # on an edge of a quarter, or beside it
    st.builds(
        lambda quarter, off: (NOW // (15 * MINUTE_US) + quarter) * 15 * MINUTE_US + off,
        st.integers(-200, 40),
        st.integers(-2, 2),
    ),
)
windows = st.one_of(
    st.builds(Window, st.sampled_from(["day", "week", "month"]), st.sampled_from(ZONES)),
    st.builds(lambda s, start: Window("period", period_s=s, starts_at=start), st.integers(1, 2_000_000), times),
    st.builds(
        lambda start, length: Window("fixed", starts_at=start, ends_at=start + length),
        times,
        st.integers(1, 60 * 1440 * MINUTE_US),
    ),
    st.just(Window("fixed", ends_at=END_OF_TIME)),
)
scopes = st.sampled_from(
    [
        Scope("org", "default"),
        Scope("org", "another"),
        Scope("team", "red"),
        Scope("member", "red/alice"),
        Scope("user", "alice"),
        Scope("key", "key-a"),
        Scope("tag", "x"),
        Scope("tag", "never used"),
    ]
)
budgets = st.lists(
    st.builds(Budget, st.just(""), scopes, st.just(1), windows, st.sampled_from(["", "claude", "gpt"])),
    min_size=1,
    max_size=8,
)


def pays(scope: Scope, caller: Caller) -> bool:
    match scope.kind:
        case "org":
            return scope.id == caller.org_id
        case "team":
            return scope.id == caller.team_id
        case "user":
            return scope.id == caller.user_id
        case "key":
            return scope.id == caller.key_id
        case "tag":
            return scope.id in caller.tags
    return scope.id == f"{caller.team_id}/{caller.user_id}"


@given(
    calls=st.lists(
        st.tuples(callers, st.sampled_from(["claude", "nova"]), times, st.integers(0, 10**12), st.booleans()),
        max_size=25,
    ),
    budgets=budgets,
    at_us=times,
    order=st.randoms(use_true_random=False),
)
@settings(max_examples=examples(15))
async def test_sums_are_those_of_the_calls_that_started_in_the_window(template, calls, budgets, at_us, order):
    budgets = [Budget(str(n), b.scope, b.amount_nanousd, b.window, b.model) for n, b in enumerate(budgets)]
    records: list[Record] = []
    expected: list[tuple[Caller, str, int, int]] = []
    for number, (caller, model, at, cost, is_settled) in enumerate(calls):
        opening = opened(number, caller, model, at)
        records.append(opening)
        if is_settled:
            records.append(settled(opening, cost, at + 3_000_000_000))
            expected.append((caller, model, at, cost))
    order.shuffle(records)
    slow = []
    for budget in budgets:
        span = span_at(budget.window, at_us)
        if span:
            mine = [
                c
                for who, model, at, c in expected
                if pays(budget.scope, who) and span.holds(at) and budget.model in ("", model)
            ]
            slow.append(Spent(budget, span.starts_at, sum(mine)))
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(template, Path(folder) / "db")
        database = Database(sqlite_url(Path(folder) / "db"))
        names = Names(database)
        ledger = SqlLedger(database, names)
        for start in range(0, len(records), 7):
            await ledger.apply(Batch(Segment("p", 1), start + 7, tuple(records[start : start + 7])))
        assert await SqlBooked(database, Names(database)).spent("default", tuple(budgets), at_us) == tuple(slow)
        await database.close()


async def test_all_budgets_are_summed_with_how_far_the_journal_is_booked(database, names):
    organisation, rules = SqlOrganisation(database), SqlRules(database, names)
    await organisation.add_team(Team("red", "default", 1, "operator", 1), ())
    await organisation.add_user(User("alice", "default", 1, "operator", 1))
    await organisation.put_tag(Tag("x", "default", 1, "operator", 1), "operator", is_new=True)
    made = [
        Budget("b1", Scope("team", "red"), 5, Window("day", "Asia/Kathmandu")),
        Budget("b2", Scope("tag", "x"), 5, Window("fixed"), model="claude"),
        Budget("b3", Scope("user", "alice"), 5, Window("fixed", starts_at=NOW + 1)),
    ]
    put = tuple(StoredRule(budget, "default", 1, "operator", 1) for budget in made)
    await rules.write("default", RuleWrite(put), "operator", 1)
    caller = Caller("default", "k", "alice", "red", ("x", "y", "x"))
    first, second = opened(1, caller, "claude", NOW), opened(2, caller, "nova", NOW)
    await SqlLedger(database, names).apply(
        Batch(Segment("p", 3), 99, (first, second, settled(first, 40, NOW), settled(second, 2, NOW)))
    )
    booked = await SqlBooked(database, names).booked("default", NOW)
    midnight = NOW - (NOW + 345 * MINUTE_US) % (1440 * MINUTE_US)
    assert (booked.at_us, booked.offsets) == (NOW, {"p-000003.log": 99})
    assert {(one.budget.id, one.window_starts_at, one.spent_nanousd) for one in booked.spent} == {
        ("b1", midnight, 42),
        ("b2", 0, 40),
    }


async def test_an_open_call_of_a_dead_process_counts_at_its_bound_and_later_at_its_cost(database, names):
    ledger, booked = SqlLedger(database, names), SqlBooked(database, names)
    budget = Budget("b", Scope("key", "k"), 1, Window("day"))
    opening = opened(1, Caller("default", "k"), "claude", NOW)

    async def spent() -> int:
        return (await booked.spent("default", (budget,), NOW))[0].spent_nanousd

    await ledger.apply(Batch(Segment("p", 1), 1, (opening,)))
    assert await spent() == 0
    await ledger.interrupt("p", NOW + 5)
    assert await spent() == 7_000
    await ledger.apply(Batch(Segment("p", 1), 2, (settled(opening, 3, NOW + 9),)))
    assert await spent() == 3


async def test_windows_behind_the_one_of_now_are_named_where_calls_have_started_in_them(database, names):
    """A clock that is set back: what was spent tomorrow must not be forgotten by those who load counters today."""
    organisation, rules = SqlOrganisation(database), SqlRules(database, names)
    await organisation.add_team(Team("red", "default", 1, "operator", 1), ())
    hour, day, whole = Window("period", period_s=3600), Window("day"), Window("fixed")
    made = [Budget(name, Scope("team", "red"), 5, window) for name, window in (("h", hour), ("d", day), ("f", whole))]
    await rules.write(
        "default", RuleWrite(tuple(StoredRule(b, "default", 1, "operator", 1) for b in made)), "operator", 1
    )
    midnight = NOW - NOW % (1440 * MINUTE_US)
    caller = Caller("default", "k", "alice", "red")
    calls = [opened(n, caller, "m", midnight + hours * 60 * MINUTE_US) for n, hours in ((1, 0), (2, 1), (3, 25))]
    records = tuple(record for call in calls for record in (call, settled(call, 10 ** call.call_id[-1], NOW)))
    await SqlLedger(database, names).apply(Batch(Segment("p", 1), 99, records))
    booked = await SqlBooked(database, names).booked("default", midnight + 1)
    found = {(one.budget.id, one.window_starts_at): one.spent_nanousd for one in booked.spent}
    assert {key: cost for key, cost in found.items() if cost} == {
        ("h", midnight): 10,
        ("h", midnight + 60 * MINUTE_US): 100,
        ("h", midnight + 25 * 60 * MINUTE_US): 1_000,
        ("d", midnight): 110,
        ("d", midnight + 1440 * MINUTE_US): 1_000,
        ("f", 0): 1_110,
    }
