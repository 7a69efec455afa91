"""People as the directory knows them, on both engines: arriving, groups, leaving, coming back, being forgotten."""

import asyncio

import msgspec
import pytest

from sekisho.access.directory import Arrival
from sekisho.access.organisation import Team, User
from sekisho.access.register import StoredKey
from sekisho.access.roles import Grant
from sekisho.access.scim import Filter, ScimGroup, ScimRefused, ScimUser
from sekisho.access.sign_in_rules import GroupRule, SignInRules
from sekisho.errors import NotAllowed, NotFound
from sekisho.store.sql.directory import SqlDirectory
from sekisho.store.sql.effective import SqlEffective
from sekisho.store.sql.engine import Database
from sekisho.store.sql.grants import SqlGrants
from sekisho.store.sql.keys import SqlKeys
from sekisho.store.sql.organisation import SqlOrganisation
from sekisho.store.sql.scim import SqlScim
from sekisho.store.sql.sign_in_rules import SqlSignInRules

ALICE = Arrival("https://id", "1", "Alice", "Alice Adams", "alice@example.com", ("dept-a",))
PROVISIONED = ScimUser("s1", "", "Alice", "x1", True, {"userName": "Alice", "active": True}, 1, 5, 5)
RULES = SignInRules((GroupRule("dept-a", "team_lead", "red"), GroupRule("money", "cost_manager")))


@pytest.fixture
async def directory(database: Database) -> SqlDirectory:
    await SqlOrganisation(database).add_team(Team("red", "default", 1, "operator", 1), ())
    await SqlSignInRules(database).set_sign_in_rules("default", RULES, "operator", 2)
    return SqlDirectory(database)


async def grants_of(database: Database, user_id: str) -> tuple[Grant, ...]:
    found = await SqlGrants(database).grants_of("default", user_id)
    assert found is not None
    return found[1]


async def test_an_arrival_is_one_user_however_often_it_comes(database, directory):
    assert await asyncio.gather(*(directory.arrive("default", ALICE, 5) for _ in range(3))) == ["alice"] * 3
    assert await grants_of(database, "alice") == (Grant("team_lead", "red"),)
    moved = msgspec.structs.replace(ALICE, user_name="other", groups=("money",))
    assert await directory.arrive("default", moved, 6) == "alice"
    assert await grants_of(database, "alice") == (Grant("cost_manager"),)
    with pytest.raises(NotAllowed):
        await directory.arrive("default", msgspec.structs.replace(ALICE, subject="2"), 7)
    assert await directory.arrive("default", msgspec.structs.replace(ALICE, groups=None), 8) == "alice"
    assert await grants_of(database, "alice") == (Grant("cost_manager"),)  # nothing was said of groups
    assert await directory.arrive("default", msgspec.structs.replace(ALICE, groups=()), 9) is None
    assert await grants_of(database, "alice") == ()


async def test_a_name_does_not_take_over_rights_that_were_given_by_hand(database, directory):
    people = SqlOrganisation(database)
    for user_id in ("alice", "bob"):
        await people.add_user(User(user_id, "default", 3, "operator", 3))
    await SqlGrants(database).put_grant("default", "alice", Grant("platform_admin"), "operator", 4)
    with pytest.raises(NotAllowed):
        await directory.arrive("default", ALICE, 5)
    bob = msgspec.structs.replace(ALICE, subject="2", user_name="bob")
    assert await directory.arrive("default", bob, 6) == "bob"  # nothing to take over
    await SqlGrants(database).put_grant("default", "bob", Grant("auditor"), "operator", 7)
    assert await directory.arrive("default", bob, 8) == "bob"  # linked before


async def test_a_deleted_user_is_forgotten_and_its_name_is_free(database, directory):
    await directory.arrive("default", msgspec.structs.replace(ALICE, groups=("money",)), 5)
    await directory.leave("default", "alice", "operator", 6)
    await SqlOrganisation(database).delete_user("default", "alice", "operator", 7)
    assert await directory.arrive("default", msgspec.structs.replace(ALICE, subject="2"), 8) == "alice"


async def test_leaving_and_coming_back_happen_once_and_restore_what_they_took(database, directory):
    await directory.arrive("default", ALICE, 5)
    key = StoredKey("k1", "default", b"d" * 32, "abcd", 5, "operator", 5, user_id="alice")
    await SqlKeys(database).add(key)
    assert await directory.leave("default", "alice", "operator", 6)
    assert not await directory.leave("default", "alice", "operator", 6)
    with pytest.raises(NotAllowed):
        await directory.arrive("default", ALICE, 7)
    assert (await SqlEffective(database).current("default")).left == {"alice"}
    assert await SqlGrants(database).grants_of("default", "alice") is None
    rules = msgspec.structs.replace(RULES, returning="restored")
    await SqlSignInRules(database).set_sign_in_rules("default", rules, "operator", 8)
    assert await directory.come_back("default", "alice", "operator", 9)
    assert not await directory.come_back("default", "alice", "operator", 9)
    now = await SqlEffective(database).current("default")
    assert (now.left, [one.blocked for one in now.keys]) == (frozenset(), [False])


async def test_provisioned_users_and_groups(database, directory):
    scim = SqlScim(database)
    made = await scim.add_user("default", PROVISIONED, "service:directory")
    assert made.user_id == "alice"
    for other in ("ALICE", "alice"):
        with pytest.raises(ScimRefused):
            await scim.add_user("default", msgspec.structs.replace(PROVISIONED, id="s2", user_name=other), "x")
    bob = msgspec.structs.replace(PROVISIONED, id="s2", user_name="bob")
    await scim.add_user("default", bob, "x")
    with pytest.raises(ScimRefused):
        await scim.change_user("default", bob.id, lambda now: msgspec.structs.replace(now, user_name="ALICE"), "x")
    group = ScimGroup("g1", "dept-a", "o1", 1, 6, 6, (("s1", ""),))
    assert (await scim.add_group("default", group, "x")).members == (("s1", "Alice"),)
    assert await grants_of(database, "alice") == (Grant("team_lead", "red"),)
    with pytest.raises(ScimRefused):
        await scim.add_group("default", msgspec.structs.replace(group, id="g2"), "x")
    assert await scim.groups_of("default", ["s1", "s2"]) == {"s1": [("g1", "dept-a")]}
    assert [one.id for one in (await scim.list_users("default", Filter("username", "BOB"), skip=0, limit=9))[1]] == [
        "s2"
    ]
    found = await scim.list_groups("default", Filter("externalid", "o1"), skip=0, limit=9, has_members=True)
    assert (found[0], found[1][0].members) == (1, (("s1", "Alice"),))
    await scim.remove_user("default", "s1", "x", 8)
    assert (await SqlEffective(database).current("default")).left == {"alice"}
    found_group = await scim.find_group("default", "g1")
    assert found_group is not None
    assert found_group.members == ()
    with pytest.raises(NotFound):
        await scim.remove_user("default", "s1", "x", 8)
    await scim.remove_group("default", "g1", "x", 9)
    assert await scim.find_group("default", "g1") is None


async def test_rules_that_change_are_followed_by_everybody(database, directory):
    await directory.arrive("default", ALICE, 5)
    await SqlOrganisation(database).add_user(User("bob", "default", 1, "operator", 1))
    await SqlSignInRules(database).set_sign_in_rules("default", SignInRules((GroupRule("dept-a", "auditor"),)), "x", 6)
    await directory.follow("default", 7)
    assert await grants_of(database, "alice") == (Grant("auditor"),)
    assert await grants_of(database, "bob") == ()
