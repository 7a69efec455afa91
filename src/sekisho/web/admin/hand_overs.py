"""One-time links in Sekisho's own admin API: made beside keys and tokens, looked at, withdrawn, redeemed."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from sekisho.access.hand_over import LIFE, MOST_LIFE_US, HandOver, Kind, Link
from sekisho.access.register import expiry
from sekisho.access.roles import Principal, Sight
from sekisho.errors import BadRequest, NotFound
from sekisho.web.admin.authority import Authority, is_anonymous
from sekisho.web.admin.rights import may_change_tokens, shown_by
from sekisho.web.admin.services import Services
from sekisho.web.admin.times import iso

PAGE = "/console/hand-over/"


class HandOverFields(BaseModel):
    """A one-time link in the place of a raw form. `must_sign_in`: only the user whose it is may redeem it."""

    model_config = ConfigDict(extra="forbid")

    expires_in: str = LIFE
    must_sign_in: bool = False


class Redemption(BaseModel):
    """The secret in a link: the last part of its address."""

    model_config = ConfigDict(extra="forbid")

    secret: Annotated[str, Field(min_length=1, max_length=200)]


async def issue_link(
    services: Services, fields: HandOverFields, kind: Kind, object_id: str, who: Principal, user_id: str, grace: int = 0
) -> dict[str, Any]:
    """Make a link for a key or a token of this user; the answer is the only place where its address appears."""
    expires_at = expiry(fields.expires_in, services.clock.now_us(), "hand_over.expires_in")
    link: Link = await services.hand_overs.issue(
        kind,
        object_id,
        who.actor,
        expires_at=expires_at,
        user_id=user_id if fields.must_sign_in else "",
        grace_s=grace,
    )
    shown = {"id": link.hand_over.id, "expires_at": iso(link.hand_over.expires_at)}
    return shown | {"path": PAGE + link.secret}


def check_link(fields: HandOverFields | None, user_id: str, now_us: int) -> None:
    """Raises BadRequest for a link that could not be made, before anything else is."""
    if fields is None:
        return
    if fields.must_sign_in and not user_id:
        raise BadRequest("Nobody can sign in for what belongs to no user.", param="hand_over.must_sign_in")
    if expiry(fields.expires_in, now_us, "hand_over.expires_in") - now_us > MOST_LIFE_US:
        raise BadRequest("A link lives for at most 30 days.", param="hand_over.expires_in")


def hand_overs_router(services: Services, authority: Authority) -> APIRouter:  # noqa: C901  one closure per route
    """Links of keys for who may write them, of tokens for who may make them; redeeming is for whoever has the link."""
    router = APIRouter(prefix="/admin/v1/hand-overs", tags=["hand-overs"])
    issuer = Annotated[Principal, Depends(authority.within("organisation:read"))]
    links = services.hand_overs

    @router.get("")
    async def list_links(
        who: issuer, limit: Annotated[int, Query(ge=1, le=500)] = 50, after: str = ""
    ) -> dict[str, Any]:
        """Links, newest first, without their secrets. `next`: pass it as `after`; null at the end."""
        tokens = Sight(who.may("organisation:write"), user_id=who.user_id)
        found = await links.list(limit=limit + 1, after=after, keys=who.sight("keys:write"), tokens=tokens)
        shown = [render(one, who) for one in found[:limit]]
        return {"hand_overs": shown, "next": found[limit - 1].id if len(found) > limit else None}

    @router.get("/{hand_over_id}")
    async def get_link(hand_over_id: str, who: issuer) -> dict[str, Any]:
        """One link, and what has become of it."""
        return render(await seen(hand_over_id, who), who)

    @router.delete("/{hand_over_id}", status_code=204)
    async def withdraw_link(hand_over_id: str, who: issuer) -> None:
        """End a link that is still open."""
        await seen(hand_over_id, who)
        await links.withdraw(hand_over_id, who.actor)

    @router.post("/redeem")
    async def redeem_link(body: Redemption, request: Request) -> dict[str, Any]:
        """Get what a link holds, once. An access token is needed only where the link is bound to its user."""
        who = None if is_anonymous(request) else await authority.principal(request)
        redeemed = await links.redeem(body.secret, who)
        return {
            "kind": redeemed.kind,
            "id": redeemed.object_id,
            "name": redeemed.name,
            redeemed.kind: redeemed.secret,
        }

    async def seen(hand_over_id: str, who: Principal) -> HandOver:
        found = await links.get(hand_over_id)
        if not await _may(found, who):
            raise NotFound("There is no such link.")
        return found

    async def _may(link: HandOver, who: Principal) -> bool:
        if who.may("keys:write"):
            return True
        try:
            if link.kind == "token":
                return may_change_tokens(who, (await services.tokens.get(link.object_id)).user_id)
            key = await services.keys.get(link.object_id)
        except NotFound:
            return False
        return who.sight("keys:write").covers(team_id=key.team_id, user_id=key.user_id)

    def render(link: HandOver, who: Principal) -> dict[str, Any]:
        return {
            "id": link.id,
            "kind": link.kind,
            "object_id": link.object_id,
            "user_id": link.user_id or None,
            "state": link.state(services.clock.now_us()),
            "created_at": iso(link.created_at),
            "created_by": shown_by(who, "keys:write", link.created_by),
            "expires_at": iso(link.expires_at),
            "redeemed_at": iso(link.redeemed_at),
            "withdrawn_at": iso(link.withdrawn_at),
        }

    return router
