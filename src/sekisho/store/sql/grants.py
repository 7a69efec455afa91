"""Roles in the database: assignments, their history, and leads, who are members with that role."""

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.access.audit import AuditEvent
from sekisho.access.grants import RoleChange, RoleGrant
from sekisho.access.organisation import Member, UserKind
from sekisho.access.roles import EVERYTHING, Grant, Sight
from sekisho.errors import BadRequest, NotFound
from sekisho.store.sql.audit import record_all
from sekisho.store.sql.engine import Database
from sekisho.store.sql.epoch import raise_epoch
from sekisho.store.sql.tables.organisation import person, team, team_member
from sekisho.store.sql.tables.rights import role_change, role_grant


class SqlGrants:
    """`access.grants.GrantStore` over SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put_grant(self, org_id: str, user_id: str, grant: Grant, by: str, now_us: int) -> None:
        """Give a user a role; nothing happens if it has it."""
        async with self._database.write() as connection:
            await raise_epoch(connection)  # a lock: the user stays while it gets the role
            await need_user(connection, org_id, user_id)
            if grant.team_id:
                await _need_team(connection, org_id, grant.team_id)
            if await _has(connection, org_id, user_id, grant):
                return
            if grant.role == "team_lead":
                await self._make_lead(connection, org_id, user_id, grant.team_id, by, now_us)
            else:
                row = {"org_id": org_id, "user_id": user_id, "created_at": now_us, "created_by": by}
                await connection.execute(role_grant.insert().values(row | msgspec.structs.asdict(grant)))
            await note_role(connection, org_id, user_id, grant, "grant", by, now_us)

    async def drop_grant(self, org_id: str, user_id: str, grant: Grant, by: str, now_us: int) -> None:
        """Take a role away."""
        async with self._database.write() as connection:
            await raise_epoch(connection)
            if not await _has(connection, org_id, user_id, grant):
                raise NotFound("This user does not have this role.")
            if grant.role == "team_lead":
                ours = _membership(org_id, grant.team_id, user_id)
                await connection.execute(team_member.update().where(*ours).values(role="member"))
            else:
                await connection.execute(role_grant.delete().where(*_grant(org_id, user_id, grant)))
            await note_role(connection, org_id, user_id, grant, "revoke", by, now_us)

    async def list_grants(
        self,
        org_id: str,
        *,
        user_id: str = "",
        role: str = "",
        sight: Sight = EVERYTHING,
        limit: int,
        after: tuple[str, ...] = (),
    ) -> list[RoleGrant]:
        """Roles that were given, by user, role and team."""
        names = ("user_id", "role", "team_id", "created_at", "created_by")
        given = sa.select(*(role_grant.c[name] for name in names)).where(role_grant.c.org_id == org_id)
        columns = [sa.literal("team_lead").label("role") if name == "role" else team_member.c[name] for name in names]
        leads = sa.select(*columns).where(team_member.c.org_id == org_id, team_member.c.role == "lead")
        every = sa.union_all(given, leads).subquery().c
        place = (every.user_id, every.role, every.team_id)
        query = sa.select(*(every[name] for name in names)).order_by(*place).limit(limit)
        if user_id:
            query = query.where(every.user_id == user_id)
        if role:
            query = query.where(every.role == role)
        if not sight.is_all:
            mine = every.user_id == sight.user_id if sight.user_id else sa.false()
            query = query.where(sa.or_(every.team_id.in_(sight.team_ids), mine))
        if after:
            query = query.where(sa.tuple_(*place) > sa.tuple_(*map(sa.literal, after)))
        async with self._database.read() as connection:
            return [RoleGrant(**row) for row in (await connection.execute(query)).mappings()]

    async def grants_of(self, org_id: str, user_id: str) -> tuple[UserKind, tuple[Grant, ...]] | None:
        """What sort of user this is and what it was given."""
        query = sa.select(person.c.kind).where(*_live_user(org_id, user_id), person.c.left_at.is_(None))
        given = sa.select(role_grant.c.role, role_grant.c.team_id).where(
            role_grant.c.org_id == org_id, role_grant.c.user_id == user_id
        )
        led = sa.select(team_member.c.team_id).where(
            team_member.c.org_id == org_id, team_member.c.user_id == user_id, team_member.c.role == "lead"
        )
        async with self._database.read() as connection:
            kind = (await connection.execute(query)).scalar_one_or_none()
            if kind is None:
                return None
            grants = [Grant(role, team_id) for role, team_id in await connection.execute(given)]
            grants += [Grant("team_lead", team_id) for team_id in (await connection.execute(led)).scalars()]
            return kind, tuple(sorted(grants))

    async def is_member(self, org_id: str, team_id: str, user_id: str) -> bool:
        """Whether the user is in the team."""
        query = sa.select(team_member.c.user_id).where(*_membership(org_id, team_id, user_id))
        async with self._database.read() as connection:
            return (await connection.execute(query)).first() is not None

    async def role_history(
        self, org_id: str, *, user_id: str, limit: int, after: int | None = None
    ) -> list[RoleChange]:
        """What was given and taken away, newest first."""
        columns = role_change.c
        wanted = (columns.id, columns.user_id, columns.role, columns.team_id, columns.action, columns.at, columns.by)
        query = sa.select(*wanted).where(columns.org_id == org_id).order_by(columns.id.desc()).limit(limit)
        if user_id:
            query = query.where(columns.user_id == user_id)
        if after is not None:
            query = query.where(columns.id < after)
        async with self._database.read() as connection:
            return [RoleChange(**row) for row in (await connection.execute(query)).mappings()]

    async def _make_lead(
        self, connection: AsyncConnection, org_id: str, user_id: str, team_id: str, by: str, now_us: int
    ) -> None:
        row = msgspec.structs.asdict(Member(org_id, team_id, user_id, "lead", now_us, by))
        insert = self._database.insert(team_member).values(row)
        keys = ["org_id", "team_id", "user_id"]
        await connection.execute(insert.on_conflict_do_update(index_elements=keys, set_={"role": "lead"}))


async def read_grants(connection: AsyncConnection, org_id: str) -> tuple[RoleGrant, ...]:
    """Every role that was given, without those of leads, who are members with that role."""
    names = ("user_id", "role", "team_id", "created_at", "created_by")
    query = sa.select(*(role_grant.c[name] for name in names)).where(role_grant.c.org_id == org_id)
    return tuple(RoleGrant(**row) for row in (await connection.execute(query)).mappings())


async def note_role(
    connection: AsyncConnection, org_id: str, user_id: str, grant: Grant, action: str, by: str, now_us: int
) -> None:
    """Write the history and the audit log of a role that was given or taken away."""
    row = {"org_id": org_id, "user_id": user_id, "action": action, "at": now_us, "by": by}
    await connection.execute(role_change.insert().values(row | msgspec.structs.asdict(grant)))
    before, after = (None, grant) if action == "grant" else (grant, None)
    await record_all(connection, org_id, now_us, [AuditEvent(by, f"role.{action}", "user", user_id, before, after)])


async def drop_roles(
    connection: AsyncConnection, org_id: str, by: str, now_us: int, *, user_id: str = "", team_id: str = ""
) -> None:
    """Take away every role of a user, or in a team, that is no more. Leads end with their memberships."""
    where = [role_grant.c.org_id == org_id]
    where += [role_grant.c.user_id == user_id] if user_id else []
    where += [role_grant.c.team_id == team_id] if team_id else []
    query = sa.select(role_grant.c.user_id, role_grant.c.role, role_grant.c.team_id).where(*where)
    for holder, role, where_held in (await connection.execute(query)).all():
        await note_role(connection, org_id, holder, Grant(role, where_held), "revoke", by, now_us)
    await connection.execute(role_grant.delete().where(*where))


async def need_user(connection: AsyncConnection, org_id: str, user_id: str) -> None:
    """Raises NotFound for an unknown user."""
    if (await connection.execute(sa.select(person.c.id).where(*_live_user(org_id, user_id)))).first() is None:
        raise NotFound("There is no such user.")


async def _need_team(connection: AsyncConnection, org_id: str, team_id: str) -> None:
    query = sa.select(team.c.id).where(team.c.org_id == org_id, team.c.id == team_id, team.c.deleted_at.is_(None))
    if (await connection.execute(query)).first() is None:
        raise BadRequest(f"There is no team '{team_id[:60]}'.", param="team_id")


async def _has(connection: AsyncConnection, org_id: str, user_id: str, grant: Grant) -> bool:
    query: sa.Select[Any]
    if grant.role == "team_lead":
        query = sa.select(team_member.c.role).where(*_membership(org_id, grant.team_id, user_id))
        return bool((await connection.execute(query)).scalar_one_or_none() == "lead")
    query = sa.select(role_grant.c.role).where(*_grant(org_id, user_id, grant))
    return (await connection.execute(query)).first() is not None


def _grant(org_id: str, user_id: str, grant: Grant) -> tuple[sa.ColumnElement[bool], ...]:
    columns = role_grant.c
    return (
        columns.org_id == org_id,
        columns.user_id == user_id,
        columns.role == grant.role,
        columns.team_id == grant.team_id,
    )


def _membership(org_id: str, team_id: str, user_id: str) -> tuple[sa.ColumnElement[bool], ...]:
    columns = team_member.c
    return columns.org_id == org_id, columns.team_id == team_id, columns.user_id == user_id


def _live_user(org_id: str, user_id: str) -> tuple[sa.ColumnElement[bool], ...]:
    return person.c.org_id == org_id, person.c.id == user_id, person.c.deleted_at.is_(None)
