"""Rate limits in Sekisho's own admin API, under /admin/v1/limits."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from msgspec.structs import replace
from pydantic import BaseModel, ConfigDict, Field

from sekisho.access.roles import Permission, Principal
from sekisho.access.rules import RuleChange, RuleFilter, RuleWrite, StoredRule
from sekisho.errors import BadRequest
from sekisho.values import RateLimit
from sekisho.web.admin.authority import Authority
from sekisho.web.admin.idempotency import idempotent_router
from sekisho.web.admin.litellm_fields import Amount, public_name
from sekisho.web.admin.paging import AfterNumber, PageSize, page
from sekisho.web.admin.rights import Rights, shown_by
from sekisho.web.admin.scopes import ScopeFields, render_scope
from sekisho.web.admin.services import Services
from sekisho.web.admin.times import iso

_RATES = ("requests_per_minute", "tokens_per_minute", "parallel", "nanousd_per_task", "calls_per_task")


class LimitUpdate(BaseModel):
    """What to change; what is left out stays, null takes that sort of limit away.

    `nanousd_per_task`, `calls_per_task`: how far a single task may go, see docs/en/tasks.md."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(max_length=200)] = ""
    requests_per_minute: Amount | None = None
    tokens_per_minute: Amount | None = None
    parallel: Amount | None = None
    nanousd_per_task: Amount | None = None
    calls_per_task: Amount | None = None

    def change(self, old: RateLimit) -> RateLimit:
        """`old` with what was sent in its place. Raises BadRequest for a limit of nothing."""
        given = {name: getattr(self, name) for name in _RATES if name in self.model_fields_set}
        new = replace(old, **given)
        if all(getattr(new, name) is None for name in _RATES):
            raise BadRequest(f"State at least one of {', '.join(_RATES)}.", param=_RATES[0])
        return new


class LimitCreation(LimitUpdate):
    """A limit to be made. `model`: on one model only; empty: on all together."""

    scope: ScopeFields
    model: Annotated[str, Field(max_length=200)] = ""


class LimitPage(BaseModel):
    """Limits, newest first. `next`: pass it as `after` for the following page; null at the end."""

    limits: list[dict[str, Any]]
    next: str | None


def limits_router(services: Services, authority: Authority) -> APIRouter:
    """Routes for administrators."""
    router = idempotent_router(services, authority, "/admin/v1/limits", "limits")
    reader = Annotated[Principal, Depends(authority.within("limits:read"))]
    writer = Annotated[Principal, Depends(authority.within("limits:write"))]
    rules, rights = services.rules, Rights(services)

    @router.post("", status_code=201)
    async def create_limit(body: LimitCreation, who: writer) -> dict[str, Any]:
        """Make a limit; in force in every call process when this answers."""
        model = public_name(services.models(), body.model, "model") if body.model else ""
        await rights.need_new_rule(who, "limits:write", body.scope.scope())
        made = rules.draft(body.change(RateLimit("", body.scope.scope(), model)), who.actor, name=body.name)
        write = await rights.rules_within(who, RuleWrite((made,)))
        await rules.write(write, who.actor)
        return _render(write.put[0], who)

    @router.get("")
    async def list_limits(
        who: reader,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        after: str = "",
        scope_kind: str = "",
        scope_id: str = "",
    ) -> LimitPage:
        """Limits in use, newest first."""
        found = await rules.list(
            "limit", RuleFilter(scope_kind, scope_id, sight=who.sight("limits:read")), limit=limit + 1, after=after
        )
        shown = [_render(stored, who) for stored in found[:limit]]
        return LimitPage(limits=shown, next=shown[-1]["id"] if len(found) > limit else None)

    @router.get("/{limit_id}")
    async def get_limit(limit_id: str, who: reader) -> dict[str, Any]:
        """One limit."""
        return _render(await seen(limit_id, who, "limits:read"), who)

    @router.patch("/{limit_id}")
    async def update_limit(limit_id: str, body: LimitUpdate, who: writer) -> dict[str, Any]:
        """Change a limit; in force in every call process when this answers."""
        old = await seen(limit_id, who, "limits:write")
        assert isinstance(old.rule, RateLimit)
        name = body.name if "name" in body.model_fields_set else old.name
        new = replace(old, rule=body.change(old.rule), name=name, updated_at=services.clock.now_us())
        write = await rights.rules_within(who, RuleWrite((new,)))
        await rules.write(write, who.actor)
        return _render(write.put[0], who)

    @router.delete("/{limit_id}", status_code=204)
    async def delete_limit(limit_id: str, who: writer) -> None:
        """Take a limit away."""
        await rights.drop_rule(who, "limits:write", await rules.get("limit", limit_id))
        await rules.delete("limit", limit_id, who.actor)

    @router.get("/{limit_id}/history")
    async def limit_history(
        limit_id: str, who: reader, limit: PageSize = 50, after: AfterNumber = None
    ) -> dict[str, Any]:
        """Who changed the limit, when, and what it was then; newest first, also of a deleted one.

        `next`: pass it as `after`; null at the end."""
        last = await rules.last_change(limit_id)
        await rights.need_scope(who, "limits:read", last.rule.scope, "There is no such rule.")
        found = await rules.history(limit_id, limit=limit + 1, after=after)
        return page("changes", found, limit, lambda one: _change(one, who), lambda one: one.id)

    async def seen(limit_id: str, who: Principal, permission: Permission) -> StoredRule:
        found = await rules.get("limit", limit_id)
        await rights.need_rule(who, permission, found)
        return found

    return router


def _change(change: RuleChange, who: Principal) -> dict[str, Any]:
    rates = {name: getattr(change.rule, name) for name in _RATES}
    return {"action": change.action, "at": iso(change.at), "by": shown_by(who, "limits:read", change.by)} | rates


def _render(stored: StoredRule, who: Principal) -> dict[str, Any]:
    limit = stored.rule
    assert isinstance(limit, RateLimit)
    return {
        "id": limit.id,
        "name": stored.name,
        "scope": render_scope(limit.scope),
        "model": limit.model,
        **{name: getattr(limit, name) for name in _RATES},
        "budget_id": stored.template_id or None,
        "created_at": iso(stored.created_at),
        "created_by": shown_by(who, "limits:read", stored.created_by),
        "updated_at": iso(stored.updated_at),
    }
