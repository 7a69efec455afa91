"""Policies in Sekisho's own admin API, under /admin/v1/policies: what scopes may use."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from sekisho.access.policies import POLICY_LISTS, hours_text, parse_hours, problems_of
from sekisho.access.roles import Principal
from sekisho.access.rules import RuleChange, RuleFilter, RuleWrite, StoredRule
from sekisho.errors import BadRequest
from sekisho.values import Hours, Policy
from sekisho.web.admin.authority import Authority
from sekisho.web.admin.idempotency import idempotent_router
from sekisho.web.admin.paging import AfterNumber, PageSize, page
from sekisho.web.admin.scopes import ScopeFields, render_scope
from sekisho.web.admin.services import Services
from sekisho.web.admin.times import iso

Pattern = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]+$")]
Patterns = Annotated[list[Pattern], Field(max_length=200)]
_NAMED = tuple(name for name in POLICY_LISTS if name != "hours")


class PolicyUpdate(BaseModel):
    """What to change; what is left out stays, an empty list allows everything of its sort.

    `hours`: such as "mon-fri 09:00-18:00", in `time_zone` (the organisation's own if left out). `holidays`: dates on
    which there are no hours, such as "2026-12-29" or "2026-12-29/2027-01-03". `prefers`: which deployments come first,
    such as "region:ap-northeast-1". `max_output_tokens`: the longest answer; null: as long as the model gives."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(max_length=200)] = ""
    models: Patterns = []
    families: Patterns = []
    providers: Patterns = []
    regions: Patterns = []
    geographies: Patterns = []
    accounts: Patterns = []
    agents: Patterns = []
    hours: Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=50)] = []
    time_zone: Annotated[str, Field(max_length=100)] | None = None
    holidays: Patterns = []
    prefers: Patterns = []
    max_output_tokens: Annotated[int, Field(ge=1, le=10_000_000)] | None = None

    def change(self, old: Policy, time_zone: str) -> Policy:
        """`old` with what was sent in its place. Raises BadRequest for one that would allow everything, and for what
        can never fit."""
        sent = self.model_fields_set
        given: dict[str, Any] = {name: tuple(dict.fromkeys(getattr(self, name))) for name in _NAMED if name in sent}
        given |= {name: getattr(self, name) for name in ("name", "max_output_tokens") if name in sent}
        if "hours" in sent:
            given["hours"] = tuple(_hours(text, self.time_zone or time_zone) for text in self.hours)
        elif self.time_zone:
            raise BadRequest("time_zone is that of hours: send both.", param="time_zone")
        new = msgspec.structs.replace(old, **given)
        for name, why in problems_of(new):
            raise BadRequest(f"{name}: {why}.", param=name)
        return new


class PolicyCreation(PolicyUpdate):
    """A policy to be made."""

    scope: ScopeFields


class PolicyPage(BaseModel):
    """Policies, newest first. `next`: pass it as `after` for the following page; null at the end."""

    policies: list[dict[str, Any]]
    next: str | None


def policies_router(services: Services, authority: Authority) -> APIRouter:
    """Routes for administrators."""
    router = idempotent_router(services, authority, "/admin/v1/policies", "policies")
    reader = Annotated[Principal, Depends(authority.require("rules:read"))]
    writer = Annotated[Principal, Depends(authority.require("rules:write"))]
    rules = services.rules

    @router.post("", status_code=201)
    async def create_policy(body: PolicyCreation, who: writer) -> dict[str, Any]:
        """Make a policy; in force in every call process when this answers."""
        policy = body.change(Policy("", body.scope.scope()), services.time_zone)
        made = rules.draft(policy, who.actor, name=policy.name)
        await rules.write(RuleWrite((made,)), who.actor)
        return _render(made)

    @router.get("")
    async def list_policies(
        _who: reader,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        after: str = "",
        scope_kind: str = "",
        scope_id: str = "",
    ) -> PolicyPage:
        """Policies in use, newest first."""
        found = await rules.list("policy", RuleFilter(scope_kind, scope_id), limit=limit + 1, after=after)
        shown = [_render(stored) for stored in found[:limit]]
        return PolicyPage(policies=shown, next=shown[-1]["id"] if len(found) > limit else None)

    @router.get("/{policy_id}")
    async def get_policy(policy_id: str, _who: reader) -> dict[str, Any]:
        """One policy."""
        return _render(await rules.get("policy", policy_id))

    @router.patch("/{policy_id}")
    async def update_policy(policy_id: str, body: PolicyUpdate, who: writer) -> dict[str, Any]:
        """Change a policy; in force in every call process when this answers."""
        old = await rules.get("policy", policy_id)
        assert isinstance(old.rule, Policy)
        policy = body.change(old.rule, services.time_zone)
        new = msgspec.structs.replace(old, rule=policy, name=policy.name, updated_at=services.clock.now_us())
        await rules.write(RuleWrite((new,)), who.actor)
        return _render(new)

    @router.delete("/{policy_id}", status_code=204)
    async def delete_policy(policy_id: str, who: writer) -> None:
        """Take a policy away."""
        await rules.delete("policy", policy_id, who.actor)

    @router.get("/{policy_id}/history")
    async def policy_history(
        policy_id: str, _who: reader, limit: PageSize = 50, after: AfterNumber = None
    ) -> dict[str, Any]:
        """Who changed the policy, when, and what it was then; newest first, also of a deleted one.

        `next`: pass it as `after`; null at the end."""
        await rules.last_change(policy_id)
        found = await rules.history(policy_id, limit=limit + 1, after=after)
        return page("changes", found, limit, _change, lambda one: one.id)

    return router


def render_policy(policy: Policy) -> dict[str, Any]:
    """What a policy allows, as it was sent."""
    return {
        "name": policy.name,
        **{name: list(getattr(policy, name)) for name in _NAMED},
        "hours": [{"time": hours_text(one), "time_zone": one.time_zone} for one in policy.hours],
        "max_output_tokens": policy.max_output_tokens,
    }


def _change(change: RuleChange) -> dict[str, Any]:
    assert isinstance(change.rule, Policy)
    return {"action": change.action, "at": iso(change.at), "by": change.by} | render_policy(change.rule)


def _render(stored: StoredRule) -> dict[str, Any]:
    policy = stored.rule
    assert isinstance(policy, Policy)
    return {
        "id": policy.id,
        "scope": render_scope(policy.scope),
        **render_policy(policy),
        "created_at": iso(stored.created_at),
        "created_by": stored.created_by,
        "updated_at": iso(stored.updated_at),
    }


def _hours(text: str, time_zone: str) -> Hours:
    try:
        return parse_hours(text, time_zone)
    except (ValueError, OSError, KeyError) as error:  # KeyError: a zone that is not known
        raise BadRequest(f"hours: {error}.", param="hours") from error
