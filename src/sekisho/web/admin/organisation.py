"""Teams, members, users and tags in Sekisho's own admin API, under /admin/v1."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from msgspec import UNSET
from pydantic import BaseModel, ConfigDict, Field

from sekisho.access.organisation import MOST_CONTENT_DAYS, Member, Role, Tag, Team, TeamChange, User, UserChange
from sekisho.access.roles import Principal
from sekisho.values import ContentLevel
from sekisho.web.admin.authority import Authority
from sekisho.web.admin.idempotency import idempotent_router
from sekisho.web.admin.paging import PageSize
from sekisho.web.admin.rights import NO_TEAM, Rights, judge, shown_by
from sekisho.web.admin.services import Services
from sekisho.web.admin.times import iso

Text = Annotated[str, Field(max_length=200)]
Names = Annotated[tuple[Text, ...], Field(max_length=500)]


class _Fields(BaseModel):
    model_config = ConfigDict(extra="forbid")

    def given(self, field: str) -> Any:
        """The value if the field was sent."""
        return getattr(self, field) if field in self.model_fields_set else UNSET


class TeamUpdate(_Fields):
    """What to change; what is left out stays. No models: all models.

    `content_level`, `content_days`: how much of what the team's calls say is kept, and how many days; null and 0: as
    the organisation. `cut_streams`: whether streams under way are cut when a key of the team is revoked; null: as the
    gateway is set."""

    alias: Text = ""
    models: Names = ()
    metadata: dict[str, Any] = {}
    blocked: bool = False
    content_level: ContentLevel | None = None
    content_days: Annotated[int, Field(ge=0, le=MOST_CONTENT_DAYS)] = 0
    cut_streams: bool | None = None


class MemberFields(_Fields):
    """A member."""

    user_id: Annotated[str, Field(min_length=1, max_length=200)]
    role: Role = "member"


class TeamCreation(TeamUpdate):
    """A team to be made; without an id it gets one."""

    id: Text = ""
    members: Annotated[tuple[MemberFields, ...], Field(max_length=500)] = ()


class UserUpdate(_Fields):
    """What to change; what is left out stays. `kind`: a service account is a programme with keys of its own; `owner`:
    the user who answers for it, empty: the organisation."""

    kind: Literal["person", "service"] = "person"
    alias: Text = ""
    email: Annotated[str, Field(max_length=320)] = ""
    metadata: dict[str, Any] = {}
    owner: Text = ""

    def owner_name(self, who: Principal) -> str:
        """The owner as it is kept: the one stated, else who makes a service account."""
        if "owner" not in self.model_fields_set and self.kind == "service":
            return f"user:{who.user_id}" if who.user_id else ""
        return f"user:{self.owner}" if self.owner else ""


class UserCreation(UserUpdate):
    """A user to be made; without an id it gets one."""

    id: Text = ""


class TagUpdate(_Fields):
    """What a tag is for."""

    description: Annotated[str, Field(max_length=1000)] = ""


class TagCreation(TagUpdate):
    """A tag to be made. `owner`: the user who answers for it; who asks if left out."""

    owner: Text = ""

    name: Annotated[str, Field(min_length=1, max_length=200)]


def teams_router(services: Services, authority: Authority) -> APIRouter:
    """Teams and members, for administrators."""
    router = idempotent_router(services, authority, "/admin/v1/teams", "teams")
    reader = Annotated[Principal, Depends(authority.within("organisation:read"))]
    lead = Annotated[Principal, Depends(authority.within("organisation:write"))]
    writer = Annotated[Principal, Depends(authority.require("organisation:write"))]
    teams, rights = services.teams, Rights(services)

    @router.post("", status_code=201)
    async def create_team(body: TeamCreation, who: writer) -> dict[str, Any]:
        """Make a team with its first members; users that are not known yet are made."""
        team = await teams.create(
            who.actor,
            team_id=body.id,
            alias=body.alias,
            models=body.models,
            metadata=body.metadata,
            blocked=body.blocked,
            content_level=body.content_level,
            content_days=body.content_days,
            cut_streams=body.cut_streams,
            members={member.user_id: member.role for member in body.members},
        )
        return await show(team, who)

    @router.get("")
    async def list_teams(
        who: reader, limit: PageSize = 50, after: str = "", alias: str = "", user_id: str = ""
    ) -> dict[str, Any]:
        """Teams by id; of a user only those with that member. `next`: pass it as `after`; null at the end."""
        sight = who.sight("organisation:read")
        among = None if sight.is_all else sight.team_ids
        found = await teams.list(limit=limit + 1, after=after, alias=alias, user_id=user_id, among=among)
        shown = [await show(team, who) for team in found[:limit]]
        return {"teams": shown, "next": shown[-1]["id"] if len(found) > limit else None}

    @router.get("/{team_id}")
    async def get_team(team_id: str, who: reader) -> dict[str, Any]:
        """One team."""
        judge(who, "organisation:read", NO_TEAM, team_id=team_id)
        return await show(await teams.get(team_id), who)

    @router.patch("/{team_id}")
    async def update_team(team_id: str, body: TeamUpdate, who: writer) -> dict[str, Any]:
        """Change a team; in force in every call process when this answers."""
        change = TeamChange(**{name: body.given(name) for name in TeamChange.__struct_fields__})
        return await show(await teams.update(team_id, change, who.actor), who)

    @router.delete("/{team_id}", status_code=204)
    async def delete_team(team_id: str, who: writer, transfer_to: str = "") -> None:
        """Delete a team, its keys, its memberships, its budgets and limits. Its calls stay in the record."""
        await teams.delete(team_id, who.actor, transfer_to)

    @router.post("/{team_id}/members", status_code=201)
    async def put_member(team_id: str, body: MemberFields, who: lead) -> dict[str, Any]:
        """Make a user a member, or give a member another role; a user that is not known yet is made."""
        if not who.may("organisation:write"):
            judge(who, "organisation:write", NO_TEAM, team_id=team_id)
        await teams.put_members(team_id, {body.user_id: body.role}, who.actor)
        return await show(await teams.get(team_id), who)

    @router.delete("/{team_id}/members/{user_id:path}", status_code=204)
    async def delete_member(team_id: str, user_id: str, who: lead) -> None:
        """Take a user out of a team, with the keys bound to both. Whom a wider role has capped, no lead lets go."""
        await rights.end_membership(who, team_id, user_id)
        await teams.delete_member(team_id, user_id, who.actor)

    async def show(team: Team, who: Principal) -> dict[str, Any]:
        return _team(team, list(await teams.members(team.id)), who)

    return router


def users_router(services: Services, authority: Authority) -> APIRouter:
    """Users, for administrators."""
    router = idempotent_router(services, authority, "/admin/v1/users", "users")
    reader = Annotated[Principal, Depends(authority.within("organisation:read"))]
    writer = Annotated[Principal, Depends(authority.require("organisation:write"))]
    users, rights = services.users, Rights(services)

    @router.post("", status_code=201)
    async def create_user(body: UserCreation, who: writer) -> dict[str, Any]:
        """Make a user."""
        user = await users.create(
            who.actor,
            user_id=body.id,
            kind=body.kind,
            alias=body.alias,
            email=body.email,
            metadata=body.metadata,
            owner=body.owner_name(who),
        )
        return await show(user, who)

    @router.get("")
    async def list_users(
        who: reader, limit: PageSize = 50, after: str = "", email: str = "", kind: str = ""
    ) -> dict[str, Any]:
        """Users by id. `next`: pass it as `after`; null at the end."""
        sight = who.sight("organisation:read")
        among = None if sight.is_all else await rights.member_ids(sight)
        found = await users.list(limit=limit + 1, after=after, email=email, kind=kind, among=among)
        shown = [await show(user, who) for user in found[:limit]]
        return {"users": shown, "next": shown[-1]["id"] if len(found) > limit else None}

    @router.get("/{user_id:path}")
    async def get_user(user_id: str, who: reader) -> dict[str, Any]:
        """One user."""
        await rights.need_user(who, user_id)
        return await show(await users.get(user_id), who)

    @router.patch("/{user_id:path}")
    async def update_user(user_id: str, body: UserUpdate, who: writer) -> dict[str, Any]:
        """Change a user."""
        change = UserChange(
            body.given("kind"),
            body.given("alias"),
            body.given("email"),
            body.given("metadata"),
            body.owner_name(who) if "owner" in body.model_fields_set else UNSET,
        )
        return await show(await users.update(user_id, change, who.actor), who)

    @router.delete("/{user_id:path}", status_code=204)
    async def delete_user(user_id: str, who: writer, transfer_to: str = "") -> None:
        """Delete a user, its keys, its memberships, its budgets and limits. Its calls stay in the record.

        What it owns (service accounts, tags, teams that it alone leads) goes to `transfer_to`; refused if that is left
        out and there is something."""
        await users.delete(user_id, who.actor, transfer_to)

    async def show(user: User, who: Principal) -> dict[str, Any]:
        return _user(user, list(await services.teams.memberships(user.id)), who)

    return router


def tags_router(services: Services, authority: Authority) -> APIRouter:
    """Tags, for administrators."""
    router = idempotent_router(services, authority, "/admin/v1/tags", "tags")
    reader = Annotated[Principal, Depends(authority.require("organisation:read"))]
    writer = Annotated[Principal, Depends(authority.require("organisation:write"))]
    tags = services.tags

    @router.post("", status_code=201)
    async def create_tag(body: TagCreation, who: writer) -> dict[str, Any]:
        """Make a tag."""
        owner = f"user:{body.owner or who.user_id}" if body.owner or who.user_id else ""
        return _tag(await tags.create(body.name, body.description, who.actor, owner=owner))

    @router.get("")
    async def list_tags(_who: reader, limit: PageSize = 50, after: str = "") -> dict[str, Any]:
        """Tags by name. `next`: pass it as `after`; null at the end."""
        found = await tags.list(limit=limit + 1, after=after)
        shown = [_tag(tag) for tag in found[:limit]]
        return {"tags": shown, "next": shown[-1]["name"] if len(found) > limit else None}

    @router.get("/{name:path}")
    async def get_tag(name: str, _who: reader) -> dict[str, Any]:
        """One tag."""
        return _tag(await tags.get(name))

    @router.patch("/{name:path}")
    async def update_tag(name: str, body: TagUpdate, who: writer) -> dict[str, Any]:
        """Describe a tag anew."""
        return _tag(await tags.update(name, body.description, who.actor))

    @router.delete("/{name:path}", status_code=204)
    async def delete_tag(name: str, who: writer) -> None:
        """Delete a tag, its budgets and limits. Keys that carry the name go on carrying it."""
        await tags.delete(name, who.actor)

    return router


def _team(team: Team, members: list[Member], who: Principal) -> dict[str, Any]:
    return {
        "id": team.id,
        "alias": team.alias,
        "models": list(team.models),
        "metadata": team.metadata,
        "blocked": team.blocked,
        "content_level": team.content_level,
        "content_days": team.content_days,
        "cut_streams": team.cut_streams,
        "leads": [one.user_id for one in members if one.role == "lead"],
        "owner": render_owner(next((f"user:{one.user_id}" for one in members if one.role == "lead"), ""), team.org_id),
        "members": [{"user_id": one.user_id, "role": one.role} for one in members],
        "created_at": iso(team.created_at),
        "created_by": shown_by(who, "organisation:read", team.created_by),
        "updated_at": iso(team.updated_at),
    }


def _user(user: User, memberships: list[Member], who: Principal) -> dict[str, Any]:
    """The user; to a lead without what concerns other teams."""
    sight = who.sight("organisation:read")
    is_whole = sight.covers(user_id=user.id)
    seen = [one for one in memberships if is_whole or one.team_id in sight.team_ids]
    return {
        "id": user.id,
        "kind": user.kind,
        "owner": _owner_of(user, who),
        "alias": user.alias,
        "email": user.email,
        "metadata": user.metadata if is_whole else {},
        "teams": [{"team_id": one.team_id, "role": one.role} for one in seen],
        "created_at": iso(user.created_at),
        "created_by": shown_by(who, "organisation:read", user.created_by),
        "updated_at": iso(user.updated_at),
    }


def render_owner(owner: str, org_id: str) -> dict[str, str]:
    """Who answers for something: a user, else the organisation."""
    kind, _, id_ = owner.partition(":")
    return {"kind": kind, "id": id_} if owner else {"kind": "org", "id": org_id}


def _owner_of(user: User, who: Principal) -> dict[str, str] | None:
    """A person answers for itself, its owner for a service account; to a lead the owner's name is not shown."""
    owner = f"user:{user.id}" if user.kind == "person" else user.owner
    is_known = user.kind == "person" or who.may("organisation:read") or owner == who.actor
    return render_owner(owner, user.org_id) if is_known else None


def _tag(tag: Tag) -> dict[str, Any]:
    return {
        "name": tag.name,
        "description": tag.description,
        "owner": render_owner(tag.owner, tag.org_id),
        "created_at": iso(tag.created_at),
        "created_by": tag.created_by,
        "updated_at": iso(tag.updated_at),
    }
