"""Sessions, local accounts and the failures that slow guessing down, on both engines."""

import asyncio

import msgspec
import pytest

from sekisho.access.accounts import Account, AccountChange
from sekisho.access.lockout import Guess
from sekisho.access.organisation import Team, User
from sekisho.access.sessions import Session
from sekisho.access.sign_in_rules import GroupRule, SignInRules
from sekisho.errors import BadRequest, NotFound
from sekisho.store.sql.accounts import SqlAccounts, SqlLockout
from sekisho.store.sql.engine import Database
from sekisho.store.sql.organisation import SqlOrganisation
from sekisho.store.sql.sessions import SqlSessions
from sekisho.store.sql.sign_in_rules import SqlSignInRules

SESSION = Session("one", "", "link", 20, 20, 500, "192.0.2.1", "Firefox", b"sealed")
GUESSES = (Guess("account", "alice"), Guess("address", "192.0.2.1"))


def session(name: str, user_id: str, at: int = 20) -> Session:
    return msgspec.structs.replace(SESSION, id=name, user_id=user_id, created_at=at, seen_at=at)


@pytest.fixture
async def people(database: Database) -> SqlOrganisation:
    organisation = SqlOrganisation(database)
    await organisation.add_user(User("alice", "default", 1, "operator", 1, email="Alice@example.com"))
    await organisation.add_user(User("bob", "default", 1, "operator", 1, email="shared@example.com"))
    await organisation.add_user(User("charlie", "default", 1, "operator", 1, email="shared@example.com"))
    await organisation.add_user(User("robot", "default", 1, "operator", 1, kind="service"))
    return organisation


async def test_a_code_opens_one_session_in_time_and_in_its_own_organisation(database):
    sessions = SqlSessions(database)
    await sessions.add_code("default", b"code", "operator", 1, expires_at=100, user_id="alice")
    await sessions.add_code("default", b"late", "operator", 1, expires_at=10)
    assert await sessions.find_code("default", b"late", SESSION.created_at) is None
    assert await sessions.find_code("another", b"code", 9) is None
    assert [await sessions.find_code("default", b"code", 99) for _ in range(2)] == [
        "alice"
    ] * 2  # looking spends nothing
    assert await sessions.find_code("default", b"code", 100) is None
    assert await sessions.redeem("default", b"late", b"s0", SESSION) is None
    assert await sessions.redeem("another", b"code", b"s1", SESSION) is None
    assert await sessions.redeem("default", b"code", b"s1", SESSION) == "alice"
    assert await sessions.redeem("default", b"code", b"s2", SESSION) is None
    assert await sessions.find_session("default", b"s1") == session("one", "alice")
    assert await sessions.find_session("another", b"s1") is None
    assert await sessions.find_session("default", b"s2") is None
    await sessions.end("default", b"s1", 20)
    assert await sessions.find_session("default", b"s1") is None


async def test_sessions_are_listed_and_ended_by_person(database):
    sessions = SqlSessions(database)
    for name, who, at in (("a", "alice", 20), ("b", "alice", 30), ("c", "alice", 40), ("d", "bob", 50)):
        await sessions.add_session("default", name.encode(), session(name, who, at))
    await sessions.touch("default", b"a", 60)
    assert [(one.id, one.seen_at) for one in await sessions.list_sessions("default", "alice")] == [
        ("c", 40),
        ("b", 30),
        ("a", 60),
    ]
    assert await sessions.end_sessions("default", "bob", "user:bob", 61, only="a") == 0
    assert await sessions.end_sessions("default", "alice", "user:alice", 61, only="a") == 1
    assert await sessions.end_sessions("default", "alice", "user:alice", 62, but="c") == 1
    assert [one.id for one in await sessions.list_sessions("default", "alice")] == ["c"]
    assert [one.id for one in await sessions.list_sessions("default", "bob")] == ["d"]


async def test_people_sign_in_by_id_or_by_an_address_that_only_they_have(database, people):
    accounts = SqlAccounts(database)

    async def who(login: str) -> str:
        found = await accounts.find_login("default", login)
        return found.id if found else ""

    found = {
        login: await who(login) for login in ("alice", "ALICE", "alice@EXAMPLE.com", "shared@example.com", "robot")
    }
    assert found == {
        "alice": "alice",
        "ALICE": "alice",
        "alice@EXAMPLE.com": "alice",
        "shared@example.com": "",
        "robot": "",
    }
    await people.delete_user("default", "alice", "operator", 5)
    assert await who("alice") == ""


async def test_an_account_is_changed_and_ends_with_its_user(database, people):
    accounts = SqlAccounts(database)
    assert await accounts.find_account("default", "alice") == Account("alice")
    change = AccountChange(password="digest", password_at=7, recovery=(b"1" * 32, b"2" * 32))
    await accounts.change_account("default", "alice", change, "user:alice", "password.set", 7)
    await accounts.change_account("default", "alice", AccountChange(totp=b"x"), "user:alice", "totp.enrol", 8)
    assert await accounts.find_account("default", "alice") == Account("alice", "digest", 7, b"x")
    assert await accounts.recovery_left("default", "alice") == 2
    assert await accounts.use_recovery("default", "alice", b"1" * 32, 9)
    assert not await accounts.use_recovery("default", "alice", b"1" * 32, 9)
    assert await accounts.recovery_left("default", "alice") == 1
    with pytest.raises(NotFound):
        await accounts.change_account("default", "nobody", change, "operator", "password.set", 7)
    await people.delete_user("default", "alice", "operator", 10)
    assert await accounts.find_account("default", "alice") == Account("alice")
    assert await accounts.recovery_left("default", "alice") == 0


async def test_of_two_uses_of_one_step_only_one_counts(database, people):
    accounts = SqlAccounts(database)
    await accounts.change_account("default", "alice", AccountChange(totp=b"x"), "user:alice", "totp.enrol", 8)
    used = await asyncio.gather(*(accounts.use_step("default", "alice", 5) for _ in range(4)))
    assert sorted(used) == [False, False, False, True]
    assert not await accounts.use_step("default", "alice", 4)


async def test_many_attempts_at_once_are_all_counted(database):
    lockout = SqlLockout(database)
    standings = await asyncio.gather(*(lockout.attempt("default", GUESSES, 10**12) for _ in range(12)))
    assert sum(one.wait_s == 0 for one in standings) == 5  # the fifth failure makes the sixth wait
    assert (await lockout.attempt("default", GUESSES, 10**12)).wait_s > 0
    await lockout.take_back("default", GUESSES, 10**12)  # they wait for longer than that
    assert (await lockout.attempt("default", GUESSES, 10**12)).wait_s > 0
    await lockout.take_back("default", GUESSES, 2 * 10**12)
    assert (await lockout.attempt("default", GUESSES, 10**12)).wait_s == 0
    await lockout.clear("default", GUESSES, 10**12)
    assert (await lockout.attempt("default", GUESSES, 10**12)).wait_s == 0


async def test_rules_name_teams_that_exist(database, people):
    rules = SqlSignInRules(database)
    assert await rules.sign_in_rules("default") == SignInRules()
    wanted = SignInRules((GroupRule("leads", "team_lead", "red"),), unmapped="developer", requires_totp=True)
    with pytest.raises(BadRequest):
        await rules.set_sign_in_rules("default", wanted, "operator", 5)
    await people.add_team(Team("red", "default", 1, "operator", 1), ())
    await rules.set_sign_in_rules("default", wanted, "operator", 5)
    assert await rules.sign_in_rules("default") == wanted
