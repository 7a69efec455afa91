"""What the store has, as things under the addresses that a file would give them."""

from collections.abc import Iterator

from sekisho.access.declaration.fields import is_id
from sekisho.access.declaration.reading import ORGANISATION
from sekisho.access.declaration.rules import budget_fields, limit_fields, policy_fields, template_fields
from sekisho.access.declaration.things import (
    Address,
    Holdings,
    Thing,
    key_address,
    member_address,
    stated,
    tag_address,
    team_address,
    template_address,
    user_address,
)
from sekisho.access.declaration.words import render_time
from sekisho.access.organisation import Team
from sekisho.access.register import StoredKey
from sekisho.access.rules import StoredRule
from sekisho.values import Policy, RateLimit, Scope


def things_of(holdings: Holdings, now_us: int) -> dict[Address, Thing]:
    """Everything in use. A key without an alias, a budget without a name go by their ids; what was made from a shared
    budget is the owner's field `budget_template`."""
    templates = {stored.rule.scope: stored.template_id for stored in holdings.rules if stored.template_id}
    keys = {key.id: _key_name(key) for key in holdings.keys}
    return {thing.address: thing for thing in _things(holdings, templates, keys, now_us)}


def _things(holdings: Holdings, templates: dict[Scope, str], keys: dict[str, str], now_us: int) -> Iterator[Thing]:
    for template in holdings.templates:
        yield Thing(template_address(template.id), template_fields(template.terms), template)
    yield from _users(holdings, templates)
    for tag in holdings.tags:
        fields = stated(description=tag.description, budget_template=templates.get(Scope("tag", tag.name)))
        yield Thing(tag_address(tag.name), fields, tag)
    for team in holdings.teams:
        fields = stated(
            alias=team.alias,
            models=list(dict.fromkeys(team.models)),
            metadata=team.metadata,
            budget_template=templates.get(Scope("team", team.id)),
            blocked=team.blocked,
            content_level=team.content_level,
            content_days=team.content_days,
        )
        yield Thing(team_address(team.id), fields | _cut_streams(team), team)
    for member in holdings.members:
        role = "" if member.role == "member" else member.role
        fields = stated(role=role, budget_template=templates.get(member.scope))
        yield Thing(member_address(member.team_id, member.user_id), fields, member)
    for key in holdings.keys:
        yield Thing(key_address(_key_name(key)), _key_fields(key, templates.get(Scope("key", key.id))), key)
    for stored in holdings.rules:
        if not stored.template_id:
            yield _rule(stored, keys, now_us)


def _users(holdings: Holdings, templates: dict[Scope, str]) -> Iterator[Thing]:
    roles: dict[str, list[str]] = {}
    for grant in holdings.grants:
        if grant.role != "team_lead":  # the membership says so
            roles.setdefault(grant.user_id, []).append(role_text(grant.role, grant.team_id))
    for user in holdings.users:
        kind = "" if user.kind == "person" else user.kind
        shared = templates.get(Scope("user", user.id))
        fields = stated(
            alias=user.alias,
            email=user.email,
            kind=kind,
            metadata=user.metadata,
            budget_template=shared,
            roles=sorted(roles.get(user.id, ())),
        )
        yield Thing(user_address(user.id), fields, user)


def role_text(role: str, team_id: str) -> str:
    """A role as the file writes it."""
    return f"{role} in {team_id}" if team_id else role


def _key_name(key: StoredKey) -> str:
    return key.alias if is_id(key.alias) else key.id


def _key_fields(key: StoredKey, template_id: str | None) -> dict[str, object]:
    return stated(
        user=key.user_id,
        team=key.team_id,
        models=list(dict.fromkeys(key.models)),
        tags=list(dict.fromkeys(key.tags)),
        metadata=key.metadata,
        budget_template=template_id,
        expires=None if key.expires_at is None else render_time(key.expires_at),
        blocked=key.blocked,
    ) | _cut_streams(key)


def _cut_streams(one: Team | StoredKey) -> dict[str, object]:
    """It says something also when it says no."""
    return {} if one.cut_streams is None else {"cut_streams": one.cut_streams}


def _rule(stored: StoredRule, keys: dict[str, str], now_us: int) -> Thing:
    rule = stored.rule
    name = stored.name if is_id(stored.name) else rule.id
    owner = _owner(rule.scope, keys)
    if isinstance(rule, Policy):
        return Thing(("policy", *owner, name), policy_fields(rule), stored)
    if isinstance(rule, RateLimit):
        return Thing(("limit", *owner, name), limit_fields(rule), stored)
    fields = budget_fields(rule, allow_over_allocation=stored.allow_over_allocation)
    if rule.increase_until <= now_us:
        fields.pop("increase", None)  # it is over
    return Thing(("budget", *owner, name), fields, stored)


def _owner(scope: Scope, keys: dict[str, str]) -> Address:
    match scope.kind:
        case "org":
            return ORGANISATION
        case "member":
            team_id, _, user_id = scope.id.partition("/")
            return member_address(team_id, user_id)
        case "key":
            return key_address(keys.get(scope.id, scope.id))
        case "team":
            return team_address(scope.id)
        case "tag":
            return tag_address(scope.id)
    return user_address(scope.id)
