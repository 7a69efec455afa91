"""How people may sign in and what the identity provider's groups give them: data that administrators set.

A rule names a group, as the provider calls it, and a role; a developer's rule or one with a team makes a member of the
team. Who is in no group of the rules gets in as a developer, or not at all. Source: docs/why/sign-in.md
"""

from collections.abc import Iterable
from typing import Literal, Protocol

import msgspec

from sekisho.access.grants import check_grant
from sekisho.access.roles import Grant, RoleName
from sekisho.clock import Clock
from sekisho.errors import BadRequest

MOST_RULES = 500
GROUP_CHARACTERS = 400


class GroupRule(msgspec.Struct, frozen=True):
    """What being in a group gives. With a `team_id` in that team, otherwise in the whole organisation."""

    group: str
    role: RoleName = "developer"
    team_id: str = ""


class SignInRules(msgspec.Struct, frozen=True):
    """`unmapped`: what somebody gets whose groups have no rule. `requires_totp`: local accounts must have a second
    factor. `allows_passwords`: local accounts may sign in. `returning`: the keys of somebody who comes back stay
    blocked, or work again."""

    groups: tuple[GroupRule, ...] = ()
    unmapped: Literal["nobody", "developer"] = "nobody"
    requires_totp: bool = False
    allows_passwords: bool = True
    returning: Literal["blocked", "restored"] = "blocked"


class Given(msgspec.Struct, frozen=True):
    """What somebody's groups give: roles, and teams of which one is a member (a lead is one too)."""

    grants: frozenset[Grant] = frozenset()
    team_ids: frozenset[str] = frozenset()
    is_known: bool = False


class SignInRuleStore(Protocol):
    """Where the rules are kept. Raises StoreUnavailable."""

    async def sign_in_rules(self, org_id: str) -> SignInRules:
        """The rules now."""
        ...

    async def set_sign_in_rules(self, org_id: str, rules: SignInRules, by: str, now_us: int) -> None:
        """Follow these from now on. Raises BadRequest for an unknown team."""
        ...


class SignInRuleRegister:
    """Reads and sets the rules of one organisation."""

    def __init__(self, store: SignInRuleStore, org_id: str, clock: Clock) -> None:
        self._store = store
        self._org_id = org_id
        self._clock = clock

    async def get(self) -> SignInRules:
        """The rules now."""
        return await self._store.sign_in_rules(self._org_id)

    async def set(self, rules: SignInRules, by: str) -> None:
        """Follow these from now on. Raises BadRequest."""
        check_rules(rules)
        await self._store.set_sign_in_rules(self._org_id, rules, by, self._clock.now_us())


def check_rules(rules: SignInRules) -> None:
    """Raises BadRequest for rules that cannot be."""
    if len(rules.groups) > MOST_RULES:
        raise BadRequest(f"There are at most {MOST_RULES} rules of groups.", param="groups")
    for rule in rules.groups:
        if not 0 < len(rule.group) <= GROUP_CHARACTERS or not rule.group.isprintable():
            raise BadRequest(f"A group has 1 to {GROUP_CHARACTERS} printable characters.", param="groups")
        if rule.role != "developer":
            check_grant(Grant(rule.role, rule.team_id))


def given_by(rules: SignInRules, groups: Iterable[str]) -> Given:
    """What the rules give to somebody in these groups."""
    held = set(groups)
    ours = [rule for rule in rules.groups if rule.group in held]
    return Given(
        grants=frozenset(Grant(rule.role, rule.team_id) for rule in ours if rule.role != "developer"),
        team_ids=frozenset(rule.team_id for rule in ours if rule.team_id and rule.role in ("developer", "team_lead")),
        is_known=bool(ours),
    )
