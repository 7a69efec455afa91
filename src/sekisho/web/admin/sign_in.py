"""How people sign in, for administrators: the rules, invitations, resets, and whose sessions are open."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from sekisho.access.accounts import need_person
from sekisho.access.roles import Principal, RoleName
from sekisho.access.sessions import INVITATION_LIFE_US, Session
from sekisho.access.sign_in_rules import GroupRule, SignInRules
from sekisho.errors import NotFound
from sekisho.web.admin.authority import Authority
from sekisho.web.admin.services import Services
from sekisho.web.admin.times import iso

ENTER = "/console/enter?code="


class GroupFields(BaseModel):
    """What being in a group of the identity provider gives; with `team_id` in that team."""

    model_config = ConfigDict(extra="forbid")

    group: Annotated[str, Field(min_length=1, max_length=400)]
    role: RoleName = "developer"
    team_id: Annotated[str, Field(max_length=200)] = ""


class SignInFields(BaseModel):
    """The rules of signing in, in the place of those before. `unmapped`: what somebody gets whose groups have no rule.
    `returning`: whether the keys of somebody who comes back stay blocked or work again."""

    model_config = ConfigDict(extra="forbid")

    groups: Annotated[tuple[GroupFields, ...], Field(max_length=500)] = ()
    unmapped: Literal["nobody", "developer"] = "nobody"
    requires_totp: bool = False
    allows_passwords: bool = True
    returning: Literal["blocked", "restored"] = "blocked"


def sign_in_router(services: Services, authority: Authority) -> APIRouter:
    """The rules, for who may read and write settings."""
    router = APIRouter(prefix="/admin/v1/settings", tags=["settings"])
    reader = Annotated[Principal, Depends(authority.require("settings:read"))]
    writer = Annotated[Principal, Depends(authority.require("settings:write"))]
    parts = services.sign_in

    @router.get("/sign-in")
    async def get_rules(_who: reader) -> dict[str, Any]:
        """The rules of signing in."""
        return _rules(await parts.rules.get())

    @router.put("/sign-in")
    async def set_rules(body: SignInFields, who: writer) -> dict[str, Any]:
        """Follow these rules from now on; roles that groups give change for everybody at once."""
        groups = tuple(GroupRule(one.group, one.role, one.team_id) for one in body.groups)
        wanted = SignInRules(groups, body.unmapped, body.requires_totp, body.allows_passwords, body.returning)
        await parts.rules.set(wanted, who.actor)
        await parts.directory.follow()
        return _rules(await parts.rules.get())

    return router


def accounts_router(services: Services, authority: Authority) -> APIRouter:
    """How one user signs in: for the user, and for administrators."""
    router = APIRouter(prefix="/admin/v1/accounts", tags=["accounts"])
    reader = Annotated[Principal, Depends(authority.within("organisation:read"))]
    writer = Annotated[Principal, Depends(authority.require("organisation:write"))]
    parts, sessions = services.sign_in, services.sessions

    @router.post("/{user_id:path}/invite")
    async def invite(user_id: str, who: writer) -> dict[str, Any]:
        """A one-time link that lets this person in once, to set a password. It lives for three days."""
        need_person(await services.users.get(user_id))
        return await link(user_id, who)

    @router.post("/{user_id:path}/reset")
    async def reset(user_id: str, who: writer) -> dict[str, Any]:
        """Take password, second factor and sessions away; the answer holds a new one-time link."""
        need_person(await services.users.get(user_id))
        await parts.accounts.reset(user_id, who.actor)
        await sessions.end_all(user_id, who.actor)
        return await link(user_id, who)

    @router.delete("/{user_id:path}/sessions", status_code=204)
    async def end_sessions(user_id: str, who: reader) -> None:
        """End every console session of a user, one's own or, for administrators, anybody's."""
        seen(user_id, who, "organisation:write")
        await sessions.end_all(user_id, who.actor)

    @router.get("/{user_id:path}")
    async def get_account(user_id: str, who: reader) -> dict[str, Any]:
        """How a user signs in, and its open sessions."""
        seen(user_id, who, "organisation:read")
        await services.users.get(user_id)
        account = await parts.accounts.get(user_id)
        return {
            "user_id": user_id,
            "has_password": bool(account.password),
            "password_at": iso(account.password_at or None),
            "has_second_factor": bool(account.totp),
            "recovery_codes_left": await parts.accounts.recovery_left(user_id),
            "sessions": [_session(one) for one in await sessions.list(user_id)],
        }

    def seen(user_id: str, who: Principal, permission: Literal["organisation:read", "organisation:write"]) -> None:
        if not who.may(permission) and who.user_id != user_id:
            raise NotFound("There is no such user.")

    async def link(user_id: str, who: Principal) -> dict[str, Any]:
        code = await sessions.issue_code(who.actor, user_id, life_us=INVITATION_LIFE_US)
        expires_at = services.clock.now_us() + INVITATION_LIFE_US
        return {"user_id": user_id, "path": ENTER + code, "expires_at": iso(expires_at)}

    return router


def _rules(rules: SignInRules) -> dict[str, Any]:
    groups = [{"group": one.group, "role": one.role, "team_id": one.team_id or None} for one in rules.groups]
    return {
        "groups": groups,
        "unmapped": rules.unmapped,
        "requires_totp": rules.requires_totp,
        "allows_passwords": rules.allows_passwords,
        "returning": rules.returning,
    }


def _session(session: Session) -> dict[str, Any]:
    return {
        "id": session.id,
        "method": session.method,
        "address": session.address,
        "agent": session.agent,
        "created_at": iso(session.created_at),
        "seen_at": iso(session.seen_at),
        "expires_at": iso(session.expires_at),
    }
