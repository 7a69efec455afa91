"""Roles, reach and principals: what follows from the table."""

from typing import get_args

import pytest

from sekisho.access.roles import (
    EVERYTHING,
    NOTHING,
    PERMISSIONS,
    ROLES,
    Grant,
    Permission,
    Principal,
    RoleName,
    Sight,
    administrator,
)


def bob(*grants: Grant) -> Principal:
    return Principal("user:bob", "person", "bob", (Grant("developer"), *grants))


def test_every_role_is_in_the_table_and_only_the_administrator_has_everything():
    assert set(ROLES) == set(get_args(RoleName))
    assert {role for role, able in ROLES.items() if able == PERMISSIONS} == {"platform_admin"}


def test_an_auditor_and_a_developer_write_nothing():
    for role in ("auditor", "developer"):
        assert all(permission.endswith(":read") for permission in ROLES[role])
    assert {permission for permission in PERMISSIONS if permission.endswith(":read")} == ROLES["auditor"]


def test_a_cost_manager_has_nothing_to_do_with_keys():
    assert not any(permission.startswith("keys:") for permission in ROLES["cost_manager"])


ORG_ROLES: tuple[RoleName, ...] = ("cost_manager", "auditor")
TEAM_ROLES: tuple[RoleName, ...] = ("team_lead", "cost_manager", "auditor")


@pytest.mark.parametrize("permission", sorted(PERMISSIONS))
def test_a_roles_reach_is_where_it_was_given(permission: Permission):
    def expected(role: RoleName, sight: Sight) -> Sight:
        return sight if permission in ROLES[role] else NOTHING

    own = expected("developer", Sight(user_id="bob"))
    assert administrator("operator", "operator").sight(permission) == EVERYTHING
    assert bob().sight(permission) == own
    for role in ORG_ROLES:
        assert bob(Grant(role)).sight(permission) == (expected(role, EVERYTHING) or own)
    for role in TEAM_ROLES:
        both = Sight(False, expected(role, Sight(team_ids=frozenset({"red"}))).team_ids, own.user_id)
        assert bob(Grant(role, "red")).sight(permission) == both


def test_reaches_of_several_roles_add_up():
    principal = bob(Grant("team_lead", "red"), Grant("auditor", "blue"))
    assert principal.sight("keys:read") == Sight(False, frozenset({"red", "blue"}), "bob")
    assert principal.sight("keys:write") == Sight(False, frozenset({"red"}))
    assert (principal.leads, principal.is_admin, principal.may("keys:read")) == (frozenset({"red"}), False, False)


def test_a_sight_covers_its_teams_and_its_user_and_nobody_without_a_name():
    sight = Sight(False, frozenset({"red"}), "bob")
    assert sight.covers(team_id="red", user_id="charlie")
    assert sight.covers(team_id="blue", user_id="bob")
    assert not sight.covers(team_id="blue", user_id="charlie")
    assert not Sight().covers()
    assert not sight.covers()
    assert EVERYTHING.covers()
    assert (sight.covers_team("red"), sight.covers_team("blue"), EVERYTHING.covers_team("blue")) == (True, False, True)
