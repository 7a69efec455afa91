"""LiteLLM's organization routes that read: there is one organisation here, and it is what the settings make it."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from sekisho.errors import NotFound
from sekisho.values import Scope
from sekisho.web.admin.authority import Authority
from sekisho.web.admin.litellm_fields import refuse_unknown_query, render_spend, render_terms
from sekisho.web.admin.services import Services

MOST_OBJECTS = 10_000


def litellm_organization_router(services: Services, authority: Authority) -> APIRouter:
    """Routes under /organization."""
    router = APIRouter(
        prefix="/organization",
        tags=["LiteLLM-compatible"],
        dependencies=[Depends(authority.require("organisation:read")), Depends(refuse_unknown_query)],
    )

    @router.get("/list")
    async def list_organizations() -> list[dict[str, Any]]:
        """The one there is."""
        return [await show()]

    @router.get("/info")
    async def info(organization_id: Annotated[str, Query(max_length=200)]) -> dict[str, Any]:
        """The one there is, with its teams and users."""
        if organization_id != services.org_id:
            raise NotFound("There is no such organization.")
        return await show()

    async def show() -> dict[str, Any]:
        scope = Scope("org", services.org_id)
        rules = await services.rules.of(scope)
        terms = render_terms(rules, services.clock.now_us())
        teams = await services.teams.list(limit=MOST_OBJECTS)
        users = await services.users.list(limit=MOST_OBJECTS)
        return {
            "organization_id": services.org_id,
            "organization_alias": services.org_id,
            "budget_id": terms["budget_id"],
            "metadata": {},
            "models": [],
            "spend": await render_spend(services, rules, scope),
            "litellm_budget_table": {name: value for name, value in terms.items() if name != "budget_id"},
            "teams": [{"team_id": team.id, "team_alias": team.alias or None} for team in teams],
            "members": [{"user_id": user.id, "user_email": user.email or None} for user in users],
        }

    return router
