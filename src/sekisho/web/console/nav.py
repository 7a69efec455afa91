"""Which places each role has: the one table that navigation, landing page and access follow.

A person looks through one role at a time. A place that the role in use does not have is answered as if it were not
there (404), whatever another role of the same person may open.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sekisho.access.roles import Grant, Principal, RoleName

ROOT = "/console"
TABS = 4  # places in the bottom bar of a narrow screen, before "more"


@dataclass(frozen=True, slots=True)
class Place:
    """A page that navigation leads to. `name`: its text is `nav.<name>`. `icon`: a name in _icons.html."""

    name: str
    path: str
    icon: str

    @property
    def address(self) -> str:
        return f"{ROOT}/{self.path}"


@dataclass(frozen=True, slots=True)
class Group:
    """Places under one heading, whose text is `nav.group.<name>`."""

    name: str
    places: tuple[Place, ...]


_LIVE = Place("live", "live", "calls")

_WHY = Place("why", "why", "why")
_TASKS = Place("tasks", "tasks", "task")
_BUDGETS = Place("budgets", "budgets", "tree")
_BREAKDOWN = Place("breakdown", "breakdown", "bars")

_KEYS = Place("keys", "keys", "key")
_SETUP = Place("setup", "setup", "setup")
_LIMITS = Place("limits", "limits", "sliders")
_POLICIES = Place("policies", "policies", "shield")
_AUDIT = Place("audit", "audit", "log")
_NOTICES = Place("notices", "notices", "bell")

NAV: Mapping[RoleName, tuple[Group, ...]] = {
    "platform_admin": (
        Group("now", (_LIVE, _TASKS, _NOTICES)),
        Group("way", (Place("models", "models", "model"), _KEYS, _LIMITS, _POLICIES)),
        Group("record", (_AUDIT, _WHY)),
        Group("settings", (Place("settings", "settings", "rates"), Place("sign_in", "settings/sign-in", "person"))),
    ),
    "cost_manager": (
        Group("cost", (Place("overview", "overview", "home"), _BUDGETS, _BREAKDOWN, _TASKS)),
        Group("record", (_NOTICES, _WHY)),
        Group("settings", (Place("rates", "rates", "rates"),)),
    ),
    "auditor": (
        Group("record", (Place("decisions", "decisions", "shield"), _AUDIT)),
        Group("way", (_KEYS, _LIMITS, _POLICIES)),
    ),
    "team_lead": (
        Group("team", (Place("team", "team", "home"), Place("members", "members", "people"), _KEYS, _BUDGETS)),
        Group("record", (_BREAKDOWN, _TASKS, _WHY)),
        Group("help", (_SETUP,)),
    ),
    "developer": (
        Group("own", (Place("me", "me", "person"), _TASKS, _KEYS)),
        Group("help", (_SETUP, _WHY)),
    ),
}


def places_of(role: RoleName) -> tuple[Place, ...]:
    """Every place of a role, in order; the first is where it lands."""
    return tuple(place for group in NAV[role] for place in group.places)


def may_open(role: RoleName, name: str) -> bool:
    """Whether the role has a place of this name."""
    return any(place.name == name for place in places_of(role))


def roles_of(who: Principal) -> tuple[RoleName, ...]:
    """The roles that a principal may look through, the widest first. An administrator holds those of the whole
    organisation as well."""
    wide: tuple[RoleName, ...] = ("cost_manager", "auditor")
    found: list[RoleName] = ["platform_admin", *wide] if who.is_admin else [one for one in wide if one in who.roles]
    if who.leads:
        found.append("team_lead")
    if who.user_id and "developer" in who.roles:
        found.append("developer")
    return tuple(role for role in found if NAV[role])


def acting_as(who: Principal, role: RoleName) -> Principal:
    """The same principal with what this role allows, and no more."""
    if role == "platform_admin":
        return who
    grants = tuple(grant for grant in who.grants if grant.role == role)
    if not grants and who.is_admin:
        grants = (Grant(role),)
    return Principal(who.actor, who.kind, who.user_id, grants, who.token_expires_at)
