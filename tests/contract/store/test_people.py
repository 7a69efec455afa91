"""Roles, tokens, one-time links, required metadata and owners in the database, on both engines."""

import asyncio

import pytest
from msgspec.structs import replace

from sekisho.access.grants import RoleGrant
from sekisho.access.hand_over import HandOver
from sekisho.access.organisation import Member, Tag, Team, User, UserChange
from sekisho.access.register import KeyFilter, Rotation, StoredKey
from sekisho.access.required import RequiredField
from sekisho.access.roles import Grant, Sight
from sekisho.access.rules import RuleFilter, RuleWrite, StoredRule
from sekisho.access.tokens import AccessToken
from sekisho.errors import BadRequest, Conflict, NotFound
from sekisho.store.sql.grants import SqlGrants
from sekisho.store.sql.hand_over import SqlHandOvers
from sekisho.store.sql.keys import SqlKeys
from sekisho.store.sql.organisation import SqlOrganisation
from sekisho.store.sql.required import SqlRequired
from sekisho.store.sql.rules import SqlRules
from sekisho.store.sql.tokens import SqlTokens
from sekisho.values import Budget, Scope, Window


def token(number: int, user: str, **changes) -> AccessToken:
    digest = bytes([number]) * 32
    return AccessToken(f"t{number:025d}", "default", digest, "wxyz", user, number, "operator", **changes)


def key(number: int, user: str = "", team: str = "") -> StoredKey:
    digest = bytes([number]) * 32
    return StoredKey(
        f"k{number:025d}", "default", digest, "wxyz", number, "operator", number, user_id=user, team_id=team
    )


@pytest.fixture
async def organisation(database) -> SqlOrganisation:
    made = SqlOrganisation(database)
    for team, lead in (("red", "alice"), ("blue", "charlie")):
        await made.add_team(
            Team(team, "default", 1, "operator", 1), (Member("default", team, lead, "lead", 1, "operator"),)
        )
    await made.put_members((Member("default", "red", "bob", "member", 1, "operator"),))
    return made


async def test_roles_are_given_taken_and_end_with_user_and_team(organisation, database):
    grants = SqlGrants(database)
    await grants.put_grant("default", "bob", Grant("auditor"), "operator", 5)
    await grants.put_grant("default", "bob", Grant("auditor"), "operator", 6)
    await grants.put_grant("default", "bob", Grant("cost_manager", "blue"), "operator", 7)
    await grants.put_grant("default", "bob", Grant("team_lead", "red"), "operator", 8)
    wanted = (Grant("auditor"), Grant("cost_manager", "blue"), Grant("team_lead", "red"))
    assert await grants.grants_of("default", "bob") == ("person", wanted)
    listed = await grants.list_grants("default", user_id="bob", limit=9)
    assert [(one.role, one.team_id) for one in listed] == [(one.role, one.team_id) for one in wanted]
    assert listed[0] == RoleGrant("bob", "auditor", "", 5, "operator")
    for missing in (Grant("auditor", "red"), Grant("team_lead", "blue")):
        with pytest.raises(NotFound):
            await grants.drop_grant("default", "bob", missing, "operator", 9)
    await grants.drop_grant("default", "bob", Grant("team_lead", "red"), "operator", 9)
    assert await grants.is_member("default", "red", "bob")
    await organisation.delete_team("default", "blue", "operator", 10)
    assert await grants.grants_of("default", "bob") == ("person", (Grant("auditor"),))
    await organisation.delete_user("default", "bob", "operator", 11)
    assert await grants.grants_of("default", "bob") is None
    history = await grants.role_history("default", user_id="bob", limit=9)
    assert [(one.action, one.role) for one in history[:3]] == [
        ("revoke", "auditor"),
        ("revoke", "cost_manager"),
        ("revoke", "team_lead"),
    ]
    with pytest.raises(NotFound):
        await grants.put_grant("default", "bob", Grant("auditor"), "operator", 12)


async def test_tokens_are_found_by_digest_seen_by_whom_they_concern_and_end_with_their_user(organisation, database):
    tokens = SqlTokens(database)
    for number, user in enumerate(("alice", "bob", "charlie"), 1):
        await tokens.add_token(token(number, user))
    with pytest.raises(NotFound):
        await tokens.add_token(token(9, "nobody"))
    assert await tokens.find_token("default", digest=b"\2" * 32) == token(2, "bob")
    assert await tokens.find_token("another", digest=b"\2" * 32) is None

    async def seen(sight: Sight) -> list[str]:
        return [one.user_id for one in await tokens.list_tokens("default", sight=sight, limit=9)]

    assert await seen(Sight(user_id="bob")) == ["bob"]
    assert await seen(Sight(team_ids=frozenset({"red"}))) == ["bob", "alice"]
    assert await seen(Sight()) == []
    await tokens.set_token_digest("default", token(2, "bob").id, b"z" * 32, "zzzz", "bob", 5)
    assert await tokens.find_token("default", digest=b"\2" * 32) is None
    await organisation.delete_user("default", "bob", "operator", 6)
    assert await tokens.find_token("default", digest=b"z" * 32) is None
    with pytest.raises(NotFound):
        await tokens.revoke_token("default", token(2, "bob").id, "operator", 7)


async def test_of_two_who_claim_a_link_one_gets_it(database):
    links = SqlHandOvers(database)
    link = HandOver("h" * 26, "default", b"h" * 32, "key", "k" * 26, "", 0, 1, "operator", 100)
    await links.add_hand_over(link)
    assert await links.find_hand_over("default", digest=link.digest) == link
    claims = await asyncio.gather(*(links.claim("default", link.id, "bob", 5) for _ in range(5)))
    assert sorted(claims) == [False, False, False, False, True]
    await links.unclaim("default", link.id, "bob", 6)
    assert not await links.claim("default", link.id, "bob", 100)  # too late
    newer = HandOver("i" * 26, "default", b"i" * 32, "key", "k" * 26, "", 0, 7, "operator", 100)
    await links.add_hand_over(newer)
    assert not await links.claim("default", link.id, "bob", 8)  # withdrawn by the newer one
    assert await links.withdraw("default", newer.id, "operator", 9)
    assert [one.id for one in await links.list_hand_overs("default", limit=9)] == [newer.id, link.id]


async def test_a_rotated_key_is_found_by_both_digests_and_no_other_takes_the_old_one(organisation, database):
    keys = SqlKeys(database)
    await keys.add(key(1, "bob", "red"))
    rotated = await keys.rotate("default", key(1).id, Rotation(b"n" * 32, "nnnn", b"\1" * 32, 99), "bob", 5)
    for digest in (b"\1" * 32, b"n" * 32):
        assert await keys.find("default", digest=digest) == rotated
    with pytest.raises(BadRequest):
        await keys.add(replace(key(1), id="x" * 26))
    await keys.add(key(2))
    with pytest.raises(BadRequest):
        await keys.rotate("default", key(2).id, Rotation(b"n" * 32, "nnnn"), "bob", 6)


async def test_a_sight_cuts_keys_and_rules_and_knows_upper_case_from_lower(organisation, database, names):
    keys, rules = SqlKeys(database), SqlRules(database, names)
    await organisation.add_team(
        Team("Red", "default", 1, "operator", 1), (Member("default", "Red", "charlie", "member", 1, "operator"),)
    )
    for made in (key(1, "bob", "red"), key(2, "charlie", "Red"), key(3, "bob")):
        await keys.add(made)
    scopes = [Scope("team", "red"), Scope("team", "Red"), Scope("member", "red/bob"), Scope("member", "Red/charlie")]
    scopes += [Scope("user", "bob"), Scope("user", "charlie"), Scope("org", "default")]
    scopes += [Scope("key", key(number).id) for number in (1, 2, 3)]
    budgets = [Budget(f"b{number}", scope, 1, Window("day")) for number, scope in enumerate(scopes)]
    put = tuple(StoredRule(one, "default", 1, "operator", 1, allow_over_allocation=True) for one in budgets)
    await rules.write("default", RuleWrite(put), "operator", 2)

    async def seen(sight: Sight) -> tuple[set[str], set[Scope]]:
        found = await keys.list("default", KeyFilter(sight=sight), limit=9)
        kept = await rules.list_rules("default", "budget", RuleFilter(sight=sight), limit=99)
        return {one.id[-1] for one in found}, {one.rule.scope for one in kept}

    assert await seen(Sight(team_ids=frozenset({"red"}))) == (
        {"1"},
        {Scope("team", "red"), Scope("member", "red/bob"), Scope("key", key(1).id)},
    )
    assert await seen(Sight(user_id="bob")) == (
        {"1", "3"},
        {Scope("user", "bob"), Scope("member", "red/bob"), Scope("key", key(1).id), Scope("key", key(3).id)},
    )
    assert await seen(Sight()) == (set(), set())


async def test_required_metadata_is_judged_in_the_transaction_that_writes(organisation, database):
    required = SqlRequired(database)
    await required.set_required("default", {"service": (RequiredField("team", ("red",)),)}, "operator", 5)
    bare = User("ci", "default", 6, "operator", 6, kind="service")
    with pytest.raises(BadRequest, match="team"):
        await organisation.add_user(bare)
    with pytest.raises(BadRequest, match="team"):
        await organisation.change_user("default", "bob", UserChange(kind="service"), "operator", 7)
    assert await organisation.find_user("default", "ci") is None
    await organisation.change_user("default", "bob", UserChange(alias="Bob"), "operator", 8)
    kinds = {(kind, id_) for kind, id_, _ in await required.metadata("default")}
    assert kinds >= {("team", "red"), ("user", "bob")}


async def test_what_a_user_owns_goes_to_the_successor(organisation, database):
    await organisation.add_user(User("ci", "default", 2, "operator", 2, kind="service", owner="user:alice"))
    await organisation.put_tag(Tag("x", "default", 2, "operator", 2, owner="user:alice"), "operator", is_new=True)
    with pytest.raises(Conflict, match="service account ci, tag x, team red"):
        await organisation.delete_user("default", "alice", "operator", 3)
    await organisation.delete_user("default", "alice", "operator", 4, transfer_to="charlie")
    service, tag = await organisation.find_user("default", "ci"), await organisation.find_tag("default", "x")
    assert (service and service.owner, tag and tag.owner) == ("user:charlie", "user:charlie")
    leads = [one.user_id for one in await organisation.list_members("default", team_id="red") if one.role == "lead"]
    assert leads == ["charlie"]
