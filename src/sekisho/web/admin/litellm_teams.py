"""LiteLLM's team routes. Its "admin" of a team is a lead here, its "user" a member."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from msgspec import UNSET
from pydantic import BaseModel, Field

from sekisho.access.organisation import Member, Role, Team, TeamChange, member_scope
from sekisho.access.register import KeyFilter
from sekisho.access.roles import Principal
from sekisho.access.rules import NO_RULES, RuleWrite
from sekisho.access.terms import max_budget_of
from sekisho.errors import BadRequest
from sekisho.values import Scope
from sekisho.web.admin.authority import Authority
from sekisho.web.admin.idempotency import idempotent_router
from sekisho.web.admin.litellm_fields import (
    Id,
    KnownFields,
    TermFields,
    model_names,
    plan_fields,
    prepare_rules,
    render_spend,
    render_terms,
)
from sekisho.web.admin.rights import NO_TEAM, Rights, judge, shown_by
from sekisho.web.admin.services import Services
from sekisho.web.admin.times import iso, usd

MOST_TEAMS = 10_000
MOST_KEYS = 10_000
LeadOrMember = Literal["admin", "user"]


class MemberFields(BaseModel):
    """One member."""

    user_id: Annotated[str, Field(min_length=1, max_length=200)]
    role: LeadOrMember = "user"
    user_email: str | None = None


class TeamFields(TermFields):
    """The fields of a team that this version knows."""

    team_alias: Id | None = None
    models: list[str] | None = None
    metadata: dict[str, Any] | None = None
    blocked: bool | None = None


class NewTeam(TeamFields):
    """A team to be made."""

    team_id: Id | None = None
    members_with_roles: tuple[MemberFields, ...] = ()


class TeamUpdate(TeamFields):
    """A team to be changed."""

    team_id: Id


class TeamReference(BaseModel):
    """One team."""

    team_id: Id


class Deletion(BaseModel):
    """Teams to delete."""

    team_ids: list[Id]


class MemberAdd(KnownFields):
    """Members to add, each with the same cap in this team, in US dollars."""

    team_id: Id
    member: MemberFields | list[MemberFields]
    max_budget_in_team: Any = None
    allow_over_allocation: bool = False


class MemberUpdate(TermFields):
    """A member to change."""

    team_id: Id
    user_id: Id
    role: LeadOrMember | None = None
    max_budget_in_team: Any = None


class MemberReference(BaseModel):
    """One member of one team."""

    team_id: Id
    user_id: Id


def litellm_teams_router(services: Services, authority: Authority) -> APIRouter:  # noqa: C901  one closure per route
    """Routes under /team."""
    router = idempotent_router(services, authority, "/team", "LiteLLM-compatible")
    reader = Annotated[Principal, Depends(authority.within("organisation:read"))]
    lead = Annotated[Principal, Depends(authority.within("organisation:write"))]
    writer = Annotated[Principal, Depends(authority.require("organisation:write"))]
    teams, rights = services.teams, Rights(services)

    @router.post("/new")
    async def new(body: NewTeam, who: writer) -> dict[str, Any]:
        """Make a team. What is wrong with its budgets is said before it is made."""
        body.refuse_unknown()
        planner = await prepare_rules(services, body, who.actor)
        team = await teams.create(
            who.actor,
            team_id=body.team_id or "",
            alias=body.team_alias or "",
            models=model_names(body.models),
            metadata=body.metadata or {},
            blocked=bool(body.blocked),
            members=_roles(body.members_with_roles),
            rules=lambda scope: planner(scope, ()),
        )
        return await show(team, who)

    @router.post("/update")
    async def update(body: TeamUpdate, who: writer) -> dict[str, Any]:
        """Change a team; in force in every call process when this answers."""
        body.refuse_unknown()
        await teams.get(body.team_id)
        rules = await plan_fields(services, body, Scope("team", body.team_id), who.actor)
        team = await teams.update(body.team_id, _change(body), who.actor, rules)
        return {"team_id": body.team_id, "data": await show(team, who)}

    @router.get("/info")
    async def info(team_id: str, who: reader) -> dict[str, Any]:
        """One team with its members and keys."""
        judge(who, "organisation:read", NO_TEAM, team_id=team_id)
        team = await teams.get(team_id)
        where = KeyFilter(team_id=team_id, sight=who.sight("keys:read"))
        keys = await services.keys.list(where, limit=MOST_KEYS)
        return {
            "team_id": team_id,
            "team_info": await show(team, who),
            "keys": [
                {"token": key.digest.hex(), "key_alias": key.alias or None, "user_id": key.user_id or None}
                for key in keys
            ],
            "team_memberships": [await membership(member) for member in await teams.members(team_id)],
        }

    @router.get("/list")
    async def list_teams(
        who: reader,
        user_id: str = "",
        team_alias: str = "",
        limit: Annotated[int, Query(ge=1, le=MOST_TEAMS)] = MOST_TEAMS,
    ) -> list[dict[str, Any]]:
        """Every team, or those of a user."""
        sight = who.sight("organisation:read")
        among = None if sight.is_all else sight.team_ids
        found = await teams.list(limit=limit, alias=team_alias, user_id=user_id, among=among)
        return [await show(team, who) for team in found]

    @router.post("/delete")
    async def delete(body: Deletion, who: writer) -> dict[str, Any]:
        """Delete teams with their keys: all that are named, or none when one is unknown."""
        for team_id in body.team_ids:
            await teams.get(team_id)
        for team_id in dict.fromkeys(body.team_ids):
            await teams.delete(team_id, who.actor)
        return {"deleted_teams": body.team_ids}

    @router.post("/block")
    async def block(body: TeamReference, who: writer) -> dict[str, Any]:
        """Refuse all calls with keys of this team from now on."""
        return await show(await teams.update(body.team_id, TeamChange(blocked=True), who.actor), who)

    @router.post("/unblock")
    async def unblock(body: TeamReference, who: writer) -> dict[str, Any]:
        """Let the keys of this team call again."""
        return await show(await teams.update(body.team_id, TeamChange(blocked=False), who.actor), who)

    @router.post("/member_add")
    async def member_add(body: MemberAdd, who: lead) -> dict[str, Any]:
        """Add members; users that are not known yet are made."""
        body.refuse_unknown()
        added = body.member if isinstance(body.member, list) else [body.member]
        if not added:
            raise BadRequest("Name at least one member.", param="member")
        if not who.may("organisation:write"):
            judge(who, "organisation:write", NO_TEAM, team_id=body.team_id)
        cap = TermFields(max_budget=body.max_budget_in_team, allow_over_allocation=body.allow_over_allocation)
        rules = NO_RULES
        if body.max_budget_in_team is not None:
            for user_id in _roles(added):
                more = await plan_fields(services, cap, member_scope(body.team_id, user_id), who.actor)
                rules = RuleWrite(rules.put + more.put, rules.drop + more.drop)
            rules = await rights.rules_within(who, rules)
        await teams.put_members(body.team_id, _roles(added), who.actor, rules)
        return await show(await teams.get(body.team_id), who)

    @router.post("/member_update")
    async def member_update(body: MemberUpdate, who: lead) -> dict[str, Any]:
        """Change a member's role, cap and limits in this team."""
        body.refuse_unknown()
        judge(who, "organisation:write", NO_TEAM, team_id=body.team_id)
        rights.shared_budget(who, body.budget_id)
        await need_member(body.team_id, body.user_id)
        fields = body
        if "max_budget_in_team" in body.model_fields_set:
            sent = body.model_fields_set - {"max_budget_in_team"} | {"max_budget"}
            fields = body.model_copy(update={"max_budget": body.max_budget_in_team})
            fields.model_fields_set.clear()
            fields.model_fields_set.update(sent)
        rules = await plan_fields(services, fields, member_scope(body.team_id, body.user_id), who.actor)
        rules = await rights.rules_within(who, rules)
        if body.role is not None:
            await teams.put_members(body.team_id, {body.user_id: _ROLES[body.role]}, who.actor, rules)
        else:
            await services.rules.write(rules, who.actor)
        found = [one for one in await teams.members(body.team_id) if one.user_id == body.user_id]
        return await membership(found[0])

    @router.post("/member_delete")
    async def member_delete(body: MemberReference, who: lead) -> dict[str, Any]:
        """Take a user out of a team, with the keys bound to both."""
        await rights.end_membership(who, body.team_id, body.user_id)
        await teams.delete_member(body.team_id, body.user_id, who.actor)
        return await show(await teams.get(body.team_id), who)

    async def need_member(team_id: str, user_id: str) -> None:
        await teams.get(team_id)
        if user_id not in {member.user_id for member in await teams.members(team_id)}:
            raise BadRequest("This user is not a member of this team.", param="user_id")

    async def show(team: Team, who: Principal) -> dict[str, Any]:
        scope = Scope("team", team.id)
        rules = await services.rules.of(scope)
        members = await teams.members(team.id)
        terms = render_terms(rules, services.clock.now_us())
        return _render(team, members, who) | terms | {"spend": await render_spend(services, rules, scope)}

    async def membership(member: Member) -> dict[str, Any]:
        rules = await services.rules.of(member.scope)
        budget = max_budget_of(rules)
        terms = render_terms(rules, services.clock.now_us())
        return {
            "user_id": member.user_id,
            "team_id": member.team_id,
            "role": "admin" if member.role == "lead" else "user",
            "max_budget_in_team": usd(budget.amount_nanousd) if budget else None,
            "spend": await render_spend(services, rules, member.scope),
            "litellm_budget_table": terms,
        }

    return router


_ROLES: dict[LeadOrMember, Role] = {"admin": "lead", "user": "member"}


def _roles(members: Sequence[MemberFields]) -> dict[str, Role]:
    return {member.user_id: _ROLES[member.role] for member in members}


def _change(body: TeamUpdate) -> TeamChange:
    """What the body asks to change: what is null or left out stays, as LiteLLM does it."""
    return TeamChange(
        alias=UNSET if body.team_alias is None else body.team_alias,
        models=UNSET if body.models is None else model_names(body.models),
        metadata=UNSET if body.metadata is None else body.metadata,
        blocked=UNSET if body.blocked is None else body.blocked,
    )


def _render(team: Team, members: Sequence[Member], who: Principal) -> dict[str, Any]:
    roles = [{"user_id": one.user_id, "role": "admin" if one.role == "lead" else "user"} for one in members]
    return {
        "team_id": team.id,
        "team_alias": team.alias or None,
        "organization_id": team.org_id,
        "models": list(team.models),
        "metadata": team.metadata,
        "blocked": team.blocked,
        "members_with_roles": roles,
        "members": [one.user_id for one in members],
        "admins": [one.user_id for one in members if one.role == "lead"],
        "created_at": iso(team.created_at),
        "created_by": shown_by(who, "organisation:read", team.created_by),
        "updated_at": iso(team.updated_at),
    }
