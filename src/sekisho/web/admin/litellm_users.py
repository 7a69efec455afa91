"""LiteLLM's user routes."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from msgspec import UNSET
from pydantic import BaseModel

from sekisho.access.organisation import User, UserChange
from sekisho.access.register import KeyDraft, KeyFilter
from sekisho.access.roles import Principal
from sekisho.errors import BadRequest, SekishoError
from sekisho.values import Scope
from sekisho.web.admin.authority import Authority
from sekisho.web.admin.idempotency import idempotent_router
from sekisho.web.admin.litellm_fields import Id, TermFields, plan_fields, prepare_rules, render_spend, render_terms
from sekisho.web.admin.rights import Rights, shown_by
from sekisho.web.admin.services import Services
from sekisho.web.admin.times import iso

MOST_USERS = 10_000
MOST_KEYS = 10_000


class UserFields(TermFields):
    """The fields of a user that this version knows. `user_role`: nobody administers with a virtual key here."""

    user_id: Id | None = None
    user_email: str | None = None
    user_alias: Id | None = None
    user_role: Literal["internal_user"] | None = None
    metadata: dict[str, Any] | None = None


class NewUser(UserFields):
    """A user to be made, with a key unless `auto_create_key` is false, and as a member of `teams`."""

    teams: tuple[Id, ...] = ()
    auto_create_key: bool = True
    key_alias: Id | None = None


class Deletion(BaseModel):
    """Users to delete. `transfer_to`: who owns from now on what they own."""

    user_ids: list[Id]
    transfer_to: Id = ""


def litellm_users_router(services: Services, authority: Authority) -> APIRouter:  # noqa: C901  one closure per route
    """Routes under /user."""
    router = idempotent_router(services, authority, "/user", "LiteLLM-compatible")
    reader = Annotated[Principal, Depends(authority.within("organisation:read"))]
    writer = Annotated[Principal, Depends(authority.require("organisation:write"))]
    users, rights = services.users, Rights(services)

    @router.post("/new")
    async def new(body: NewUser, who: writer) -> dict[str, Any]:
        """Make a user and, as LiteLLM does, a key; the answer is the only place where its raw form appears."""
        body.refuse_unknown()
        for team_id in body.teams:
            await services.teams.get(team_id)
        if body.auto_create_key and body.key_alias and await services.keys.count(KeyFilter(alias=body.key_alias)):
            raise BadRequest("Another key already has this alias.", param="key_alias")
        planner = await prepare_rules(services, body, who.actor)
        user = await users.create(
            who.actor,
            user_id=body.user_id or "",
            alias=body.user_alias or "",
            email=body.user_email or "",
            metadata=body.metadata or {},
            team_ids=list(dict.fromkeys(body.teams)),
            rules=lambda scope: planner(scope, ()),
        )
        if not body.auto_create_key:
            return await show(user, who)
        try:
            issued = await services.keys.create(KeyDraft(alias=body.key_alias or "", user_id=user.id), who.actor)
        except SekishoError:
            await users.delete(user.id, who.actor)
            raise
        return await show(user, who) | {"key": issued.key, "token": issued.stored.digest.hex()}

    @router.post("/update")
    async def update(body: UserFields, who: writer) -> dict[str, Any]:
        """Change a user; limits and budgets are in force when this answers."""
        body.refuse_unknown()
        if not body.user_id:
            raise BadRequest("Say which user in user_id.", param="user_id")
        await users.get(body.user_id)
        rules = await plan_fields(services, body, Scope("user", body.user_id), who.actor)
        change = UserChange(
            alias=UNSET if body.user_alias is None else body.user_alias,
            email=UNSET if body.user_email is None else body.user_email,
            metadata=UNSET if body.metadata is None else body.metadata,
        )
        user = await users.update(body.user_id, change, who.actor, rules)
        return {"user_id": body.user_id, "data": await show(user, who)}

    @router.get("/info")
    async def info(user_id: str, who: reader) -> dict[str, Any]:
        """One user with its keys and teams."""
        await rights.need_user(who, user_id)
        user = await users.get(user_id)
        where = KeyFilter(user_id=user_id, sight=who.sight("keys:read"))
        keys = await services.keys.list(where, limit=MOST_KEYS)
        sight = who.sight("organisation:read")
        return {
            "user_id": user_id,
            "user_info": await show(user, who),
            "keys": [
                {"token": key.digest.hex(), "key_alias": key.alias or None, "team_id": key.team_id or None}
                for key in keys
            ],
            "teams": [
                {"team_id": one.team_id, "role": one.role}
                for one in await services.teams.memberships(user_id)
                if sight.covers(team_id=one.team_id, user_id=user_id)
            ],
        }

    @router.get("/list")
    async def list_users(
        who: reader,
        page: Annotated[int, Query(ge=1, le=100_000)] = 1,
        page_size: Annotated[int, Query(ge=1, le=100)] = 25,
        user_email: str = "",
    ) -> dict[str, Any]:
        """Users, by id."""
        sight = who.sight("organisation:read")
        among = None if sight.is_all else await rights.member_ids(sight)
        found = await users.list(limit=MOST_USERS, email=user_email, among=among)
        shown = found[(page - 1) * page_size : page * page_size]
        return {
            "users": [await show(user, who) for user in shown],
            "total": len(found),
            "page": page,
            "page_size": page_size,
            "total_pages": -(-len(found) // page_size),
        }

    @router.post("/delete")
    async def delete(body: Deletion, who: writer) -> dict[str, Any]:
        """Delete users with their keys: all that are named, or none when one is unknown."""
        for user_id in body.user_ids:
            await users.get(user_id)
        for user_id in dict.fromkeys(body.user_ids):
            await users.delete(user_id, who.actor, body.transfer_to)
        return {"deleted_users": body.user_ids}

    async def show(user: User, who: Principal) -> dict[str, Any]:
        sight = who.sight("organisation:read")
        if not sight.covers(user_id=user.id):  # to a lead, without what concerns other teams
            seen = [one.team_id for one in await services.teams.memberships(user.id) if one.team_id in sight.team_ids]
            by = {"created_by": shown_by(who, "organisation:read", user.created_by)}
            return render_user(user) | by | {"metadata": {}, "teams": seen}
        scope = Scope("user", user.id)
        rules = await services.rules.of(scope)
        terms = render_terms(rules, services.clock.now_us())
        teams = [one.team_id for one in await services.teams.memberships(user.id)]
        by = {"created_by": shown_by(who, "organisation:read", user.created_by)}
        shown = render_user(user) | by | terms
        return shown | {"teams": teams, "spend": await render_spend(services, rules, scope)}

    return router


def render_user(user: User) -> dict[str, Any]:
    """The user as LiteLLM shows it, without its teams, its spend, its budgets and its limits."""
    return {
        "user_id": user.id,
        "user_email": user.email or None,
        "user_alias": user.alias or None,
        "user_role": "internal_user",
        "organization_id": user.org_id,
        "metadata": user.metadata,
        "created_at": iso(user.created_at),
        "created_by": user.created_by,
        "updated_at": iso(user.updated_at),
    }
