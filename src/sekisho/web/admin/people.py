"""Roles and access tokens in Sekisho's own admin API: who somebody is, and what that allows."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from sekisho.access.grants import RoleChange, RoleGrant
from sekisho.access.register import expiry
from sekisho.access.roles import PERMISSIONS, ROLES, Grant, Principal, RoleName, Sight
from sekisho.access.tokens import AccessToken
from sekisho.errors import BadRequest, NotFound
from sekisho.web.admin.authority import Authority
from sekisho.web.admin.hand_overs import HandOverFields, check_link, issue_link
from sekisho.web.admin.idempotency import idempotent_router
from sekisho.web.admin.paging import AfterNumber, PageSize, page, parse_cursor, render_cursor
from sekisho.web.admin.rights import may_change_tokens, shown_by, within_own
from sekisho.web.admin.services import Services
from sekisho.web.admin.times import iso

Id = Annotated[str, Field(min_length=1, max_length=200)]
DEFAULT_LIFE = "90d"


class GrantFields(BaseModel):
    """A role of a user; without `team_id` in the whole organisation."""

    model_config = ConfigDict(extra="forbid")

    user_id: Id
    role: RoleName
    team_id: Annotated[str, Field(max_length=200)] = ""


class TokenCreation(BaseModel):
    """A token to be made; without `user_id` for who asks. `expires_in`: such as "90d"; null for never."""

    model_config = ConfigDict(extra="forbid")

    user_id: Annotated[str, Field(max_length=200)] = ""
    name: Annotated[str, Field(max_length=200)] = ""
    expires_in: str | None = DEFAULT_LIFE
    hand_over: HandOverFields | None = None


def roles_router(services: Services, authority: Authority) -> APIRouter:
    """The table of roles, who has which, and who asks."""
    router = idempotent_router(services, authority, "/admin/v1", "roles")
    anybody = Annotated[Principal, Depends(authority.principal)]
    seer = Annotated[Principal, Depends(authority.within("organisation:read"))]
    reader = Annotated[Principal, Depends(authority.require("organisation:read"))]
    giver = Annotated[Principal, Depends(authority.within("organisation:write"))]
    grants = services.grants

    @router.get("/me")
    async def who_am_i(who: anybody) -> dict[str, Any]:
        """Who asks, and what that allows where."""
        return {
            "actor": who.actor,
            "kind": who.kind,
            "user_id": who.user_id or None,
            "roles": [{"role": one.role, "team_id": one.team_id or None} for one in who.grants],
            "permissions": {name: _reach(who.sight(name)) for name in sorted(PERMISSIONS) if who.sight(name)},
            "token_expires_at": iso(who.token_expires_at),
        }

    @router.get("/roles")
    async def list_roles(_who: anybody) -> dict[str, Any]:
        """Every role and what it allows."""
        return {"roles": [{"role": role, "permissions": sorted(able)} for role, able in ROLES.items()]}

    @router.get("/role-grants")
    async def list_grants(
        who: seer, limit: PageSize = 50, after: str = "", user_id: str = "", role: str = ""
    ) -> dict[str, Any]:
        """Who has which role, by user; leads of teams too. `next`: pass it as `after`; null at the end."""
        sight, place = who.sight("organisation:read"), parse_cursor(after, 3)
        found = await grants.list(user_id, role=role, sight=sight, limit=limit + 1, after=place)
        return page("grants", found, limit, lambda one: _grant(one, who), _place)

    @router.get("/role-grants/history")
    async def grant_history(
        _who: reader, limit: PageSize = 50, after: AfterNumber = None, user_id: str = ""
    ) -> dict[str, Any]:
        """Who gave and took which role, newest first. `next`: pass it as `after`; null at the end."""
        found = await grants.history(user_id, limit=limit + 1, after=after)
        return page("changes", found, limit, _change, lambda one: one.id)

    @router.post("/role-grants", status_code=201)
    async def grant_role(body: GrantFields, who: giver) -> dict[str, Any]:
        """Give a user a role; it holds from the next request on. Nobody gives more than they hold."""
        await grants.grant(body.user_id, Grant(body.role, body.team_id), who)
        found = await grants.list(body.user_id, role=body.role)
        return next(_grant(one, who) for one in found if (one.role, one.team_id) == (body.role, body.team_id))

    @router.delete("/role-grants", status_code=204)
    async def revoke_role(user_id: str, role: RoleName, who: giver, team_id: str = "") -> None:
        """Take a role away; it is gone with the next request."""
        await grants.revoke(user_id, Grant(role, team_id), who)

    return router


def tokens_router(services: Services, authority: Authority) -> APIRouter:  # noqa: C901  one closure per route
    """Access tokens: everybody's for administrators, their own for everybody."""
    router = idempotent_router(services, authority, "/admin/v1/tokens", "tokens")
    seer = Annotated[Principal, Depends(authority.within("organisation:read"))]
    tokens = services.tokens

    @router.post("", status_code=201)
    async def create_token(body: TokenCreation, who: seer) -> dict[str, Any]:
        """Make a token. The answer is the only place where its raw form, or the link to it, appears."""
        user_id = body.user_id or who.user_id
        if not user_id:
            raise BadRequest("Say whose token it is in user_id.", param="user_id")
        if not may_change_tokens(who, user_id):
            raise NotFound("There is no such user.")
        now_us = services.clock.now_us()
        expires_at = None if body.expires_in is None else expiry(body.expires_in, now_us, "expires_in")
        expires_at = within_own(who, expires_at, "expires_in")
        check_link(body.hand_over, user_id, now_us)
        is_link = body.hand_over is not None
        issued = await tokens.issue(user_id, who.actor, name=body.name, expires_at=expires_at, is_to_hand_over=is_link)
        shown = render_token(issued.stored, who)
        if body.hand_over is None:
            return {"token": issued.token} | shown
        return shown | {
            "hand_over": await issue_link(services, body.hand_over, "token", issued.stored.id, who, user_id)
        }

    @router.get("")
    async def list_tokens(
        who: seer, limit: Annotated[int, Query(ge=1, le=500)] = 50, after: str = "", user_id: str = ""
    ) -> dict[str, Any]:
        """Tokens in use, newest first. `next`: pass it as `after`; null at the end."""
        found = await tokens.list(user_id=user_id, sight=own_sight(who), limit=limit + 1, after=after)
        shown = [render_token(one, who) for one in found[:limit]]
        return {"tokens": shown, "next": shown[-1]["id"] if len(found) > limit else None}

    @router.get("/{token_id}")
    async def get_token(token_id: str, who: seer) -> dict[str, Any]:
        """One token."""
        return render_token(await seen(token_id, who), who)

    @router.delete("/{token_id}", status_code=204)
    async def revoke_token(token_id: str, who: seer) -> None:
        """End a token for good; the next request with it is refused."""
        found = await seen(token_id, who)
        if not may_change_tokens(who, found.user_id):
            raise NotFound("There is no such access token.")
        await tokens.revoke(token_id, who.actor)

    async def seen(token_id: str, who: Principal) -> AccessToken:
        found = await tokens.get(token_id)
        if not own_sight(who).covers(user_id=found.user_id):
            raise NotFound("There is no such access token.")
        return found

    return router


def own_sight(who: Principal) -> Sight:
    """Whose tokens may be seen: everybody's, or one's own; a lead sees no tokens of members."""
    sight = who.sight("organisation:read")
    return Sight(sight.is_all, user_id=who.user_id)


def render_token(token: AccessToken, who: Principal) -> dict[str, Any]:
    """The token as this API shows it."""
    return {
        "id": token.id,
        "hint": token.hint,
        "user_id": token.user_id,
        "name": token.name,
        "expires_at": iso(token.expires_at),
        "created_at": iso(token.created_at),
        "created_by": shown_by(who, "organisation:read", token.created_by),
    }


def _place(one: RoleGrant) -> str:
    return render_cursor(one.user_id, one.role, one.team_id)


def _change(one: RoleChange) -> dict[str, Any]:
    return {
        "action": one.action,
        "user_id": one.user_id,
        "role": one.role,
        "team_id": one.team_id or None,
        "at": iso(one.at),
        "by": one.by,
    }


def _grant(one: RoleGrant, who: Principal) -> dict[str, Any]:
    return {
        "user_id": one.user_id,
        "role": one.role,
        "team_id": one.team_id or None,
        "created_at": iso(one.created_at),
        "created_by": shown_by(who, "organisation:read", one.created_by),
    }


def _reach(sight: Sight) -> dict[str, Any]:
    return {
        "everywhere": sight.is_all,
        "team_ids": sorted(sight.team_ids),
        "user_id": sight.user_id or None,
    }
