"""Teams, users, rules and kept answers in the database: what one transaction does, whole or not at all."""

import pytest

from sekisho.access.answers import KeptAnswer
from sekisho.access.organisation import Member, Tag, Team, TeamChange, User
from sekisho.access.register import KeyChange, StoredKey
from sekisho.access.rules import NO_RULES, RuleFilter, RuleWrite, StoredRule
from sekisho.access.templates import Template
from sekisho.access.terms import ModelBudget, Terms
from sekisho.errors import BadRequest, Conflict, NotFound
from sekisho.store.sql.answers import SqlAnswers
from sekisho.store.sql.effective import SqlEffective
from sekisho.store.sql.keys import SqlKeys
from sekisho.store.sql.organisation import SqlOrganisation
from sekisho.store.sql.rules import SqlRules
from sekisho.values import Budget, RateLimit, Scope, Window

RED = Team("red", "default", 1, "operator", 1, "Red", ("claude",), {"名前": "開発"}, False)
KEY = StoredKey("k" * 26, "default", b"d" * 32, "wxyz", 1, "operator", 1, "alice", "alice", "red")
PERIOD = Window("period", period_s=60, starts_at=5)
BUDGET = Budget("b1", Scope("team", "red"), 2**52, PERIOD, "claude", False, (50, 80), 3, 9)
LIMIT = RateLimit("l1", Scope("key", KEY.id), "", 0, None, 3)


@pytest.fixture
async def organisation(database) -> SqlOrganisation:
    made = SqlOrganisation(database)
    await made.add_team(RED, (Member("default", "red", "alice", "lead", 1, "operator"),))
    return made


@pytest.fixture
async def keys(database, organisation) -> SqlKeys:
    keys = SqlKeys(database)
    await keys.add(KEY)
    return keys


@pytest.fixture
def rules(database, names) -> SqlRules:
    return SqlRules(database, names)


def stored(rule: Budget | RateLimit, name: str = "", **changes) -> StoredRule:
    return StoredRule(rule, "default", 1, "operator", 1, name, **changes)


async def write(rules: SqlRules, *put: StoredRule, drop: tuple[str, ...] = ()) -> None:
    await rules.write("default", RuleWrite(put, drop), "operator", 7)


async def test_a_rule_comes_back_as_it_was_kept(rules, keys):
    one, two = stored(BUDGET, "mine", duration="1m", template_id="t", allow_over_allocation=True), stored(LIMIT)
    await write(rules, one, two)
    assert await rules.find_rule("default", "budget", "b1") == one
    assert await rules.find_rule("default", "limit", "l1") == two
    assert await rules.find_rule("default", "limit", "b1") is None
    assert await rules.find_rule("another", "budget", "b1") is None
    assert await rules.list_rules("default", "budget", RuleFilter(template_id="t"), limit=9) == [one]
    assert await rules.list_rules("default", "budget", RuleFilter(scope_kind="key"), limit=9) == []


async def test_of_two_rules_in_one_write_none_stays_when_one_is_refused(rules, keys, database):
    before = await SqlEffective(database).current("default")
    for bad in (
        stored(Budget("b2", Scope("team", "nobody"), 1, PERIOD)),
        stored(Budget("b2", BUDGET.scope, 1, PERIOD), "same"),
    ):
        with pytest.raises(BadRequest):
            await write(rules, stored(BUDGET, "same"), bad)
    with pytest.raises(NotFound):
        await write(rules, stored(BUDGET), drop=("unknown",))
    assert await SqlEffective(database).current("default") == before


async def test_a_dropped_rules_name_is_free_in_the_same_write(rules, keys):
    await write(rules, stored(BUDGET, "same"))
    await write(rules, stored(Budget("b2", BUDGET.scope, 1, PERIOD), "same"), drop=("b1",))
    assert [one.rule.id for one in await rules.list_rules("default", "budget", RuleFilter(), limit=9)] == ["b2"]
    assert [(one.action, one.by) for one in await rules.rule_history("default", "b1", limit=9)] == [
        ("delete", "operator"),
        ("create", "operator"),
    ]
    assert await rules.rule_history("another", "b1", limit=9) == []


async def test_credits_add_up_in_their_window_only(rules, keys, database):
    await write(rules, stored(BUDGET))
    minute_us = 60_000_000
    for amount, at in ((3, 10), (4, 20), (5, 5 + minute_us)):
        await rules.add_credit("default", "b1", amount, "why", "operator", at)
    (budget,) = (await SqlEffective(database).current("default")).budgets
    assert (budget.credit_nanousd, budget.credit_from) == (5, 5 + minute_us)
    assert [(one.amount_nanousd, one.window_starts_at) for one in await rules.credits("default", "b1", limit=9)] == [
        (5, 5 + minute_us),
        (4, 5),
        (3, 5),
    ]
    with pytest.raises(NotFound):
        await rules.add_credit("another", "b1", 1, "why", "operator", 10)


async def test_a_deleted_team_takes_keys_members_and_rules_along(organisation, keys, rules, database):
    await organisation.add_team(Team("blue", "default", 1, "operator", 1), ())
    gone: list[Budget | RateLimit] = [BUDGET, LIMIT, Budget("b3", Scope("member", "red/alice"), 1, PERIOD)]
    stays: list[Budget | RateLimit] = [
        Budget("b4", Scope("user", "alice"), 1, PERIOD),
        Budget("b5", Scope("team", "blue"), 1, PERIOD),
    ]
    await write(rules, *(stored(rule) for rule in gone + stays))
    await organisation.delete_team("default", "red", "operator", 9)
    effective = await SqlEffective(database).current("default")
    assert (effective.keys, effective.limits, [team.id for team in effective.teams]) == ((), (), ["blue"])
    assert list(effective.budgets) == stays
    assert await organisation.list_members("default") == []
    with pytest.raises(NotFound):
        await organisation.delete_team("default", "red", "operator", 9)
    with pytest.raises(BadRequest):
        await keys.add(StoredKey("l" * 26, "default", b"e" * 32, "wxyz", 1, "operator", 1, team_id="red"))


async def test_a_deleted_user_takes_keys_memberships_and_rules_along(organisation, keys, rules, database):
    gone: list[Budget | RateLimit] = [
        LIMIT,
        Budget("b3", Scope("member", "red/alice"), 1, PERIOD),
        Budget("b4", Scope("user", "alice"), 1, PERIOD),
    ]
    await write(rules, stored(BUDGET), *(stored(rule) for rule in gone))
    with pytest.raises(Conflict, match="team red"):
        await organisation.delete_user("default", "alice", "operator", 9)
    await organisation.add_user(User("bob", "default", 8, "operator", 8))
    await organisation.delete_user("default", "alice", "operator", 9, transfer_to="bob")
    assert [(one.user_id, one.role) for one in await organisation.list_members("default", team_id="red")] == [
        ("bob", "lead")
    ]
    effective = await SqlEffective(database).current("default")
    assert (effective.keys, effective.limits, effective.budgets) == ((), (), (BUDGET,))
    assert await organisation.list_members("default", user_id="alice") == []
    await organisation.add_user(User("alice", "default", 20, "operator", 20, email="new@example.com"))
    again = await organisation.find_user("default", "alice")
    assert again is not None
    assert (again.created_at, again.email) == (20, "new@example.com")


async def test_a_key_moves_to_a_team_that_exists_and_makes_its_user(organisation, keys):
    with pytest.raises(BadRequest, match="no team"):
        await keys.change("default", KEY.id, KeyChange(team_id="nobody"), "operator", 5, NO_RULES)
    await keys.change("default", KEY.id, KeyChange(team_id="", user_id="bob"), "operator", 5)
    bob = await organisation.find_user("default", "bob")
    assert bob is not None
    assert (bob.created_by, bob.created_at) == ("operator", 5)


async def test_ids_and_aliases_are_taken_once_and_free_again(organisation):
    with pytest.raises(BadRequest, match="id"):
        await organisation.add_team(RED, ())
    with pytest.raises(BadRequest, match="alias"):
        await organisation.add_team(Team("blue", "default", 1, "operator", 1, "Red"), ())
    await organisation.change_team("default", "red", TeamChange(alias="", blocked=True), "operator", 9)
    await organisation.add_team(Team("blue", "default", 1, "operator", 1, "Red"), ())
    red = await organisation.find_team("default", "red")
    assert red is not None
    assert (red.alias, red.blocked, red.models, red.updated_at) == ("", True, ("claude",), 9)
    assert await organisation.find_team("another", "red") is None


async def test_a_tag_is_described_anew_and_deleted(organisation):
    await organisation.put_tag(Tag("x", "default", 1, "operator", 1, "one"), "operator", is_new=True)
    with pytest.raises(BadRequest):
        await organisation.put_tag(Tag("x", "default", 1, "operator", 1), "operator", is_new=True)
    await organisation.put_tag(Tag("x", "default", 1, "operator", 2, "two"), "operator", is_new=False)
    assert await organisation.list_tags("default", limit=9) == [Tag("x", "default", 1, "operator", 2, "two")]
    await organisation.delete_tag("default", "x", "operator", 3)
    assert await organisation.find_tag("default", "x") is None


async def test_a_template_comes_back_as_it_was_kept(rules):
    terms = Terms(5, None, "1d", 3, model_budgets={"claude": ModelBudget(7, "1h")}, model_tokens={"nova": 0})
    template = Template("small", terms, 1, "operator", 1)
    await rules.put_template("default", template, NO_RULES, "operator", 1)
    assert await rules.find_template("default", "small") == template
    assert await rules.list_templates("another") == []
    await rules.delete_template("default", "small", NO_RULES, "operator", 1)
    assert await rules.list_templates("default") == []


async def test_an_answer_is_claimed_once_kept_and_forgotten_in_time(database):
    answers = SqlAnswers(database)
    assert await answers.claim(b"k", b"r", now_us=1, expires_at=10) is None
    assert await answers.claim(b"k", b"s", now_us=2, expires_at=11) == KeptAnswer(b"r", 0, b"")
    await answers.keep(b"k", 201, b"{}")
    assert await answers.claim(b"k", b"r", now_us=9, expires_at=19) == KeptAnswer(b"r", 201, b"{}")
    assert await answers.claim(b"k", b"s", now_us=10, expires_at=20) is None
    await answers.release(b"k")
    assert await answers.claim(b"k", b"t", now_us=11, expires_at=21) is None
