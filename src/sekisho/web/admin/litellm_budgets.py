"""LiteLLM's shared budgets (/budget) and tags (/tag)."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from sekisho.access.organisation import Tag
from sekisho.access.roles import Principal
from sekisho.access.templates import Template
from sekisho.access.terms import Terms
from sekisho.errors import BadRequest
from sekisho.values import Scope
from sekisho.web.admin.authority import Authority
from sekisho.web.admin.idempotency import idempotent_router
from sekisho.web.admin.litellm_fields import (
    Id,
    KnownFields,
    TermFields,
    plan_fields,
    prepare_rules,
    render_fields,
    render_spend,
    render_terms,
)
from sekisho.web.admin.services import Services
from sekisho.web.admin.times import iso

MOST_TAGS = 10_000


class BudgetFields(TermFields):
    """A shared budget: the same for every key, team and user that points to it, each with money of its own."""


class BudgetReference(BaseModel):
    """One shared budget."""

    id: Id


class BudgetReferences(BaseModel):
    """Shared budgets."""

    budgets: list[Id]


class TagFields(TermFields):
    """The fields of a tag that this version knows."""

    name: Id
    description: Annotated[str, Field(max_length=1000)] | None = None


class TagReference(BaseModel):
    """One tag."""

    name: Id


class TagReferences(KnownFields):
    """Tags."""

    names: list[Id]


def litellm_budgets_router(services: Services, authority: Authority) -> APIRouter:
    """Routes under /budget."""
    router = idempotent_router(services, authority, "/budget", "LiteLLM-compatible")
    reader = Annotated[Principal, Depends(authority.require("budgets:read"))]
    writer = Annotated[Principal, Depends(authority.require("budgets:write"))]
    templates = services.templates

    @router.post("/new")
    async def new(body: BudgetFields, who: writer) -> dict[str, Any]:
        """Make a shared budget."""
        body.refuse_unknown()
        terms = body.terms(Terms(), services.models(), services.clock.now_us())
        return _render(await templates.create(body.budget_id or "", terms, who.actor))

    @router.post("/update")
    async def update(body: BudgetFields, who: writer) -> dict[str, Any]:
        """Change a shared budget, for all that point to it; in force when this answers."""
        body.refuse_unknown()
        if not body.budget_id:
            raise BadRequest("Say which budget in budget_id.", param="budget_id")
        old = (await templates.get(body.budget_id)).terms
        terms = body.terms(old, services.models(), services.clock.now_us())
        return _render(await templates.update(body.budget_id, terms, who.actor))

    @router.post("/info")
    async def info(body: BudgetReferences, _who: reader) -> list[dict[str, Any]]:
        """The shared budgets that are named."""
        return [_render(await templates.get(budget_id)) for budget_id in body.budgets]

    @router.get("/list")
    async def list_budgets(_who: reader) -> list[dict[str, Any]]:
        """Every shared budget."""
        return [_render(template) for template in await templates.list()]

    @router.post("/delete")
    async def delete(body: BudgetReference, who: writer) -> dict[str, Any]:
        """Delete a shared budget; whoever pointed to it has none any more."""
        await templates.delete(body.id, who.actor)
        return {"deleted_budget": body.id}

    return router


def litellm_tags_router(services: Services, authority: Authority) -> APIRouter:
    """Routes under /tag."""
    router = idempotent_router(services, authority, "/tag", "LiteLLM-compatible")
    reader = Annotated[Principal, Depends(authority.require("organisation:read"))]
    writer = Annotated[Principal, Depends(authority.require("organisation:write"))]
    tags = services.tags

    @router.post("/new")
    async def new(body: TagFields, who: writer) -> dict[str, Any]:
        """Make a tag, with a budget if one is stated."""
        body.refuse_unknown()
        planner = await prepare_rules(services, body, who.actor)
        rules = planner(Scope("tag", body.name), ())
        return await show(await tags.create(body.name, body.description or "", who.actor, rules))

    @router.post("/update")
    async def update(body: TagFields, who: writer) -> dict[str, Any]:
        """Change a tag; its budget is in force when this answers."""
        body.refuse_unknown()
        tag = await tags.get(body.name)
        rules = await plan_fields(services, body, Scope("tag", body.name), who.actor)
        if body.description is None:
            await services.rules.write(rules, who.actor)
            return await show(tag)
        return await show(await tags.update(body.name, body.description, who.actor, rules))

    @router.post("/info")
    async def info(body: TagReferences, _who: reader) -> dict[str, Any]:
        """The tags that are named, by name."""
        return {name: await show(await tags.get(name)) for name in body.names}

    @router.get("/list")
    async def list_tags(_who: reader) -> list[dict[str, Any]]:
        """Every tag."""
        return [await show(tag) for tag in await tags.list(limit=MOST_TAGS)]

    @router.post("/delete")
    async def delete(body: TagReference, who: writer) -> dict[str, Any]:
        """Delete a tag and its budgets. Keys that carry the name go on carrying it."""
        await tags.delete(body.name, who.actor)
        return {"message": f"Tag {body.name} deleted."}

    async def show(tag: Tag) -> dict[str, Any]:
        scope = Scope("tag", tag.name)
        rules = await services.rules.of(scope)
        spend = await render_spend(services, rules, scope)
        return _render_tag(tag) | render_terms(rules, services.clock.now_us()) | {"spend": spend}

    return router


def _render(template: Template) -> dict[str, Any]:
    return {
        "budget_id": template.id,
        **render_fields(template.terms),
        "created_at": iso(template.created_at),
        "created_by": template.created_by,
        "updated_at": iso(template.updated_at),
    }


def _render_tag(tag: Tag) -> dict[str, Any]:
    return {
        "name": tag.name,
        "description": tag.description or None,
        "created_at": iso(tag.created_at),
        "created_by": tag.created_by,
        "updated_at": iso(tag.updated_at),
    }
