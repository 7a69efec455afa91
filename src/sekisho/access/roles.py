"""What each role may do: pure data, and the principal that roles make of somebody who asks.

A role holds in the whole organisation, in one team, or for oneself. Where it holds is its reach; what may be seen or
changed follows from permission and reach alone. Source: docs/why/roles.md
"""

from collections.abc import Mapping
from typing import Literal, get_args

import msgspec

Permission = Literal[
    "organisation:read",
    "organisation:write",
    "keys:read",
    "keys:write",
    "budgets:read",
    "budgets:write",
    "limits:read",
    "limits:write",
    "rules:read",
    "rules:write",
    "spend:read",
    "content:read",
    "content:write",
    "audit:read",
    "settings:read",
    "settings:write",
    "directory:write",
]
RoleName = Literal["platform_admin", "cost_manager", "team_lead", "developer", "auditor", "directory"]
PrincipalKind = Literal["operator", "master", "person", "service"]

PERMISSIONS: frozenset[Permission] = frozenset(get_args(Permission))
ROLES: Mapping[RoleName, frozenset[Permission]] = {
    "platform_admin": PERMISSIONS,
    "cost_manager": frozenset(
        {
            "organisation:read",
            "budgets:read",
            "budgets:write",
            "limits:read",
            "limits:write",
            "rules:read",
            "spend:read",
        }
    ),
    "team_lead": frozenset(
        {
            "organisation:read",
            "organisation:write",
            "keys:read",
            "keys:write",
            "budgets:read",
            "budgets:write",
            "limits:read",
            "limits:write",
            "spend:read",
        }
    ),
    "developer": frozenset(
        {"organisation:read", "keys:read", "budgets:read", "limits:read", "spend:read", "content:read"}
    ),
    "auditor": frozenset(
        {
            "organisation:read",
            "keys:read",
            "budgets:read",
            "limits:read",
            "rules:read",
            "spend:read",
            "content:read",
            "audit:read",
            "settings:read",
        }
    ),
    "directory": frozenset({"directory:write"}),
}
ACTOR_CHARACTERS = 200


class Grant(msgspec.Struct, frozen=True, order=True):
    """A role that somebody has: in one team, or, with an empty `team_id`, in the whole organisation.

    A developer's reach is the developer, whatever stands there."""

    role: RoleName
    team_id: str = ""


class Sight(msgspec.Struct, frozen=True):
    """A part of the organisation: all of it, or what belongs to these teams and to this user."""

    is_all: bool = False
    team_ids: frozenset[str] = frozenset()
    user_id: str = ""

    def covers(self, *, team_id: str = "", user_id: str = "") -> bool:
        """Whether what belongs to this team, or to this user, lies within."""
        return (
            self.is_all or (bool(team_id) and team_id in self.team_ids) or (bool(user_id) and user_id == self.user_id)
        )

    def covers_team(self, team_id: str) -> bool:
        """Whether all of the team lies within, not only somebody in it."""
        return self.is_all or team_id in self.team_ids

    def __bool__(self) -> bool:
        return self.is_all or bool(self.team_ids) or bool(self.user_id)


EVERYTHING = Sight(is_all=True)
NOTHING = Sight()


class Principal(msgspec.Struct, frozen=True):
    """Who asks. `actor`: how the record names this one. `token_expires_at`: when the token in use ends, if it does."""

    actor: str
    kind: PrincipalKind
    user_id: str = ""
    grants: tuple[Grant, ...] = ()
    token_expires_at: int | None = None

    @property
    def roles(self) -> frozenset[RoleName]:
        """The names of the roles, wherever they hold."""
        return frozenset(grant.role for grant in self.grants)

    @property
    def leads(self) -> frozenset[str]:
        """The ids of the teams that this principal leads."""
        return frozenset(grant.team_id for grant in self.grants if grant.role == "team_lead")

    @property
    def is_admin(self) -> bool:
        """Whether nothing is forbidden."""
        return Grant("platform_admin") in self.grants

    def sight(self, permission: Permission) -> Sight:
        """Where the permission holds."""
        able = [grant for grant in self.grants if permission in ROLES[grant.role]]
        if any(not grant.team_id and grant.role != "developer" for grant in able):
            return EVERYTHING
        teams = frozenset(grant.team_id for grant in able if grant.role != "developer")
        return Sight(False, teams, self.user_id if any(grant.role == "developer" for grant in able) else "")

    def may(self, permission: Permission) -> bool:
        """Whether the permission holds in the whole organisation."""
        return self.sight(permission).is_all


def administrator(actor: str, kind: PrincipalKind) -> Principal:
    """Somebody who may do everything: the local operator, the holder of the master key."""
    return Principal(actor, kind, grants=(Grant("platform_admin"),))
