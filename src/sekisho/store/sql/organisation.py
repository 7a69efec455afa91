"""Teams, members, users and tags in the database."""

from collections.abc import Iterable
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec import UNSET
from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.access.audit import AuditEvent
from sekisho.access.organisation import Member, Tag, Team, TeamChange, User, UserChange, UserKind
from sekisho.access.required import Kind
from sekisho.access.roles import Grant
from sekisho.access.rules import NO_RULES, RuleWrite
from sekisho.errors import BadRequest, NotFound
from sekisho.store.sql.audit import record_all
from sekisho.store.sql.engine import Database
from sekisho.store.sql.epoch import raise_epoch
from sekisho.store.sql.forget import forget_directory
from sekisho.store.sql.grants import drop_roles, note_role
from sekisho.store.sql.owners import need_owner, pass_on
from sekisho.store.sql.required import need_metadata
from sekisho.store.sql.rules import retire_rules, write_rules
from sekisho.store.sql.tables.organisation import person, tag, team, team_member, virtual_key
from sekisho.store.sql.tokens import end_access
from sekisho.values import Scope


class SqlOrganisation:
    """`access.organisation.OrganisationStore` over SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_team(self, new: Team, members: tuple[Member, ...], rules: RuleWrite = NO_RULES) -> None:
        """Keep a new team with its first members and its rules."""
        async with self._database.write() as connection:
            await raise_epoch(connection)
            await _check_team_alias(connection, new.org_id, new.id, new.alias)
            await need_metadata(connection, new.org_id, "team", new.metadata)
            await _add(connection, team, new.org_id, new.id, _team_row(new), "team", "team_id")
            made = AuditEvent(new.created_by, "team.create", "team", new.id, None, new)
            await record_all(connection, new.org_id, new.created_at, [made])
            await _put_members(self._database, connection, members)
            await write_rules(connection, new.org_id, rules, new.created_by, new.created_at)

    async def change_team(
        self, org_id: str, team_id: str, change: TeamChange, by: str, now_us: int, rules: RuleWrite = NO_RULES
    ) -> Team:
        """Change a team and its rules."""
        values = _given(change)
        if "alias" in values:
            values["alias"] = values["alias"] or None
        if "content_level" in values:
            values["content_level"] = values["content_level"] or ""
        async with self._database.write() as connection:
            await raise_epoch(connection)
            await _check_team_alias(connection, org_id, team_id, values.get("alias") or "")
            ours = _is(team, org_id, team_id)
            before = (await connection.execute(sa.select(team).where(*ours))).mappings().one_or_none()
            if before is None:
                raise NotFound("There is no such team.")
            if "metadata" in values:
                await need_metadata(connection, org_id, "team", values["metadata"])
            await connection.execute(team.update().where(*ours).values(values | {"updated_at": now_us}))
            after = _team((await connection.execute(sa.select(team).where(*ours))).mappings().one())
            if values:
                changed = AuditEvent(by, "team.update", "team", team_id, _team(before), after)
                await record_all(connection, org_id, now_us, [changed])
            await write_rules(connection, org_id, rules, by, now_us)
            return after

    async def delete_team(self, org_id: str, team_id: str, by: str, now_us: int, transfer_to: str = "") -> None:
        """Delete a team, its keys, its memberships, its rules and those of its members."""
        async with self._database.write() as connection:
            await raise_epoch(connection)
            await _delete(connection, team, org_id, team_id, by, now_us, "team")
            await pass_on(connection, org_id, team_id=team_id, to=transfer_to, by=by, now_us=now_us)
            keys = await _delete_keys(connection, org_id, by, now_us, virtual_key.c.team_id == team_id)
            await _delete_members(connection, org_id, by, now_us, team_member.c.team_id == team_id)
            await drop_roles(connection, org_id, by, now_us, team_id=team_id)

            def is_gone(scope: Scope) -> bool:
                if scope.kind == "member":
                    return scope.id.partition("/")[0] == team_id
                return scope == Scope("team", team_id) or (scope.kind == "key" and scope.id in keys)

            await retire_rules(connection, org_id, is_gone, by, now_us)

    async def find_team(self, org_id: str, team_id: str) -> Team | None:
        """One team."""
        async with self._database.read() as connection:
            rows = await connection.execute(sa.select(team).where(*_is(team, org_id, team_id)))
            row = rows.mappings().one_or_none()
            return _team(row) if row else None

    async def list_teams(
        self,
        org_id: str,
        *,
        limit: int,
        after: str = "",
        alias: str = "",
        user_id: str = "",
        among: frozenset[str] | None = None,
    ) -> list[Team]:
        """Teams, by id."""
        query = sa.select(team).where(team.c.org_id == org_id, team.c.deleted_at.is_(None), team.c.id > after)
        if among is not None:
            query = query.where(team.c.id.in_(among))
        if alias:
            query = query.where(team.c.alias == alias)
        if user_id:
            ours = (team_member.c.org_id == org_id) & (team_member.c.user_id == user_id)
            query = query.where(team.c.id.in_(sa.select(team_member.c.team_id).where(ours)))
        async with self._database.read() as connection:
            rows = await connection.execute(query.order_by(team.c.id).limit(limit))
            return [_team(row) for row in rows.mappings()]

    async def put_members(self, members: tuple[Member, ...], rules: RuleWrite = NO_RULES) -> None:
        """Make users members of a team, or give members another role, with their rules."""
        async with self._database.write() as connection:
            await raise_epoch(connection)
            await _put_members(self._database, connection, members)
            for one in members[:1]:
                await write_rules(connection, one.org_id, rules, one.created_by, one.created_at)

    async def delete_member(self, org_id: str, team_id: str, user_id: str, by: str, now_us: int) -> None:
        """Take a user out of a team, with the keys bound to both and the rules of the membership."""
        async with self._database.write() as connection:
            await raise_epoch(connection)
            if not await end_membership(connection, org_id, team_id, user_id, by, now_us):
                raise NotFound("There is no such member of this team.")

    async def list_members(self, org_id: str, *, team_id: str = "", user_id: str = "") -> list[Member]:
        """Members of a team, memberships of a user."""
        columns = team_member.c
        query = sa.select(team_member).where(columns.org_id == org_id).order_by(columns.team_id, columns.user_id)
        if team_id:
            query = query.where(columns.team_id == team_id)
        if user_id:
            query = query.where(columns.user_id == user_id)
        async with self._database.read() as connection:
            return [Member(**row) for row in (await connection.execute(query)).mappings()]

    async def add_user(self, new: User, members: tuple[Member, ...] = (), rules: RuleWrite = NO_RULES) -> None:
        """Keep a new user with its memberships and its rules."""
        async with self._database.write() as connection:
            await raise_epoch(connection)
            await need_metadata(connection, new.org_id, _kind(new.kind), new.metadata)
            await need_owner(connection, new.org_id, new.owner)
            await _add(connection, person, new.org_id, new.id, msgspec.structs.asdict(new), "user", "user_id")
            made = AuditEvent(new.created_by, "user.create", "user", new.id, None, new)
            await record_all(connection, new.org_id, new.created_at, [made])
            await _put_members(self._database, connection, members)
            await write_rules(connection, new.org_id, rules, new.created_by, new.created_at)

    async def change_user(
        self, org_id: str, user_id: str, change: UserChange, by: str, now_us: int, rules: RuleWrite = NO_RULES
    ) -> User:
        """Change a user and its rules."""
        async with self._database.write() as connection:
            await raise_epoch(connection)
            ours = _is(person, org_id, user_id)
            values = _given(change) | {"updated_at": now_us}
            before = (await connection.execute(sa.select(person).where(*ours))).mappings().one_or_none()
            if before is None:
                raise NotFound("There is no such user.")
            if values.keys() & {"metadata", "kind"}:
                changed_kind = _kind(values.get("kind", before["kind"]))
                await need_metadata(connection, org_id, changed_kind, values.get("metadata", before["metadata"]))
            await need_owner(connection, org_id, values.get("owner", ""))
            await connection.execute(person.update().where(*ours).values(values))
            after = _user((await connection.execute(sa.select(person).where(*ours))).mappings().one())
            if len(values) > 1:
                changed = AuditEvent(by, "user.update", "user", user_id, _user(before), after)
                await record_all(connection, org_id, now_us, [changed])
            await write_rules(connection, org_id, rules, by, now_us)
            return after

    async def delete_user(self, org_id: str, user_id: str, by: str, now_us: int, transfer_to: str = "") -> None:
        """Delete a user, its keys, its memberships, its rules and those of its memberships."""
        async with self._database.write() as connection:
            await raise_epoch(connection)
            await _delete(connection, person, org_id, user_id, by, now_us, "user")
            await pass_on(connection, org_id, user_id=user_id, to=transfer_to, by=by, now_us=now_us)
            keys = await _delete_keys(connection, org_id, by, now_us, virtual_key.c.user_id == user_id)
            await _delete_members(connection, org_id, by, now_us, team_member.c.user_id == user_id)
            await drop_roles(connection, org_id, by, now_us, user_id=user_id)
            await end_access(connection, org_id, user_id, by, now_us)
            await forget_directory(connection, org_id, user_id)

            def is_gone(scope: Scope) -> bool:
                if scope.kind == "member":
                    return scope.id.partition("/")[2] == user_id
                return scope == Scope("user", user_id) or (scope.kind == "key" and scope.id in keys)

            await retire_rules(connection, org_id, is_gone, by, now_us)

    async def find_user(self, org_id: str, user_id: str) -> User | None:
        """One user."""
        async with self._database.read() as connection:
            rows = await connection.execute(sa.select(person).where(*_is(person, org_id, user_id)))
            row = rows.mappings().one_or_none()
            return _user(row) if row else None

    async def list_users(
        self,
        org_id: str,
        *,
        limit: int,
        after: str = "",
        email: str = "",
        kind: str = "",
        among: frozenset[str] | None = None,
    ) -> list[User]:
        """Users, by id."""
        query = sa.select(person).where(person.c.org_id == org_id, person.c.deleted_at.is_(None), person.c.id > after)
        if among is not None:
            query = query.where(person.c.id.in_(among))
        if email:
            query = query.where(person.c.email == email)
        if kind:
            query = query.where(person.c.kind == kind)
        async with self._database.read() as connection:
            rows = await connection.execute(query.order_by(person.c.id).limit(limit))
            return [_user(row) for row in rows.mappings()]

    async def put_tag(self, new: Tag, by: str, *, is_new: bool, rules: RuleWrite = NO_RULES) -> None:
        """Keep a new tag, or the new description of a known one."""
        async with self._database.write() as connection:
            await raise_epoch(connection)
            await need_owner(connection, new.org_id, new.owner)
            row = msgspec.structs.asdict(new)
            if is_new:
                await _add(connection, tag, new.org_id, new.name, row, "tag", "name")
                made = AuditEvent(by, "tag.create", "tag", new.name, None, new)
            else:
                ours = _is(tag, new.org_id, new.name)
                before = (await connection.execute(sa.select(tag).where(*ours))).mappings().one_or_none()
                if before is None:
                    raise NotFound("There is no such tag.")
                await connection.execute(tag.update().where(*ours).values(row))
                made = AuditEvent(by, "tag.update", "tag", new.name, _tag(before), new)
            await record_all(connection, new.org_id, new.updated_at, [made])
            await write_rules(connection, new.org_id, rules, by, new.updated_at)

    async def delete_tag(self, org_id: str, name: str, by: str, now_us: int) -> None:
        """Delete a tag and its rules."""
        async with self._database.write() as connection:
            await raise_epoch(connection)
            await _delete(connection, tag, org_id, name, by, now_us, "tag")
            await retire_rules(connection, org_id, Scope("tag", name).__eq__, by, now_us)

    async def find_tag(self, org_id: str, name: str) -> Tag | None:
        """One tag."""
        async with self._database.read() as connection:
            row = (await connection.execute(sa.select(tag).where(*_is(tag, org_id, name)))).mappings().one_or_none()
            return _tag(row) if row else None

    async def list_tags(self, org_id: str, *, limit: int, after: str = "") -> list[Tag]:
        """Tags, by name."""
        query = sa.select(tag).where(tag.c.org_id == org_id, tag.c.deleted_at.is_(None), tag.c.name > after)
        async with self._database.read() as connection:
            rows = await connection.execute(query.order_by(tag.c.name).limit(limit))
            return [_tag(row) for row in rows.mappings()]


async def bind_key(
    database: Database, connection: AsyncConnection, org_id: str, team_id: str, user_id: str, by: str, now_us: int
) -> None:
    """See to it that a key's team and user exist: a team must, a user is made on first use. Raises BadRequest."""
    if team_id:
        await _need_team(connection, org_id, team_id)
    if user_id:
        await _ensure_users(database, connection, org_id, [user_id], by, now_us)


async def put_member(database: Database, connection: AsyncConnection, member: Member) -> None:
    """Make a user a member of a team, or give a member another role, in a transaction that has raised the epoch."""
    await _put_members(database, connection, (member,))


async def end_membership(
    connection: AsyncConnection, org_id: str, team_id: str, user_id: str, by: str, now_us: int
) -> bool:
    """Take a user out of a team, with the keys bound to both and the rules of the membership; False if it was none."""
    ours = (team_member.c.team_id == team_id, team_member.c.user_id == user_id)
    if await _delete_members(connection, org_id, by, now_us, *ours) == 0:
        return False
    bound = (virtual_key.c.team_id == team_id, virtual_key.c.user_id == user_id)
    gone = {Scope("key", key) for key in await _delete_keys(connection, org_id, by, now_us, *bound)}
    gone.add(Scope("member", f"{team_id}/{user_id}"))
    await retire_rules(connection, org_id, gone.__contains__, by, now_us)
    return True


async def read_teams(connection: AsyncConnection, org_id: str) -> tuple[Team, ...]:
    """All teams in use."""
    query = sa.select(team).where(team.c.org_id == org_id, team.c.deleted_at.is_(None)).order_by(team.c.id)
    return tuple(_team(row) for row in (await connection.execute(query)).mappings())


async def read_users(connection: AsyncConnection, org_id: str) -> tuple[User, ...]:
    """All users in use."""
    query = sa.select(person).where(person.c.org_id == org_id, person.c.deleted_at.is_(None)).order_by(person.c.id)
    return tuple(_user(row) for row in (await connection.execute(query)).mappings())


async def read_tags(connection: AsyncConnection, org_id: str) -> tuple[Tag, ...]:
    """All tags in use."""
    query = sa.select(tag).where(tag.c.org_id == org_id, tag.c.deleted_at.is_(None)).order_by(tag.c.name)
    return tuple(_tag(row) for row in (await connection.execute(query)).mappings())


async def read_members(connection: AsyncConnection, org_id: str) -> tuple[Member, ...]:
    """All members of all teams."""
    columns = team_member.c
    query = sa.select(team_member).where(columns.org_id == org_id).order_by(columns.team_id, columns.user_id)
    return tuple(Member(**row) for row in (await connection.execute(query)).mappings())


async def _need_team(connection: AsyncConnection, org_id: str, team_id: str) -> None:
    if (await connection.execute(sa.select(team.c.id).where(*_is(team, org_id, team_id)))).first() is None:
        raise BadRequest(f"There is no team '{team_id[:60]}'. Create it first.", param="team_id")


async def _ensure_users(
    database: Database, connection: AsyncConnection, org_id: str, user_ids: Iterable[str], by: str, now_us: int
) -> None:
    for user_id in user_ids:
        new = User(user_id, org_id, now_us, by, now_us)
        if not await _is_known(connection, org_id, user_id):
            await need_metadata(connection, org_id, "user", {})
        row = msgspec.structs.asdict(new) | {"deleted_at": None, "left_at": None}
        insert = database.insert(person).values(row)
        revive = insert.on_conflict_do_update(
            index_elements=["org_id", "id"], set_=row, where=person.c.deleted_at.is_not(None)
        )
        if (await connection.execute(revive)).rowcount:
            made = AuditEvent(by, "user.create", "user", user_id, None, new)
            await record_all(connection, org_id, now_us, [made])


async def _is_known(connection: AsyncConnection, org_id: str, user_id: str) -> bool:
    return (await connection.execute(sa.select(person.c.id).where(*_is(person, org_id, user_id)))).first() is not None


def _kind(kind: UserKind) -> Kind:
    return "service" if kind == "service" else "user"


async def _put_members(database: Database, connection: AsyncConnection, members: tuple[Member, ...]) -> None:
    for one in members:
        await _need_team(connection, one.org_id, one.team_id)
        await _ensure_users(database, connection, one.org_id, [one.user_id], one.created_by, one.created_at)
        columns = team_member.c
        ours = (columns.org_id == one.org_id, columns.team_id == one.team_id, columns.user_id == one.user_id)
        before = (await connection.execute(sa.select(team_member).where(*ours))).mappings().one_or_none()
        insert = database.insert(team_member).values(msgspec.structs.asdict(one))
        keys = ["org_id", "team_id", "user_id"]
        await connection.execute(insert.on_conflict_do_update(index_elements=keys, set_={"role": one.role}))
        action = "member.update" if before else "member.create"
        put = AuditEvent(one.created_by, action, "member", one.scope.id, before and Member(**before), one)
        await record_all(connection, one.org_id, one.created_at, [put])
        was_lead = bool(before and before["role"] == "lead")
        if was_lead != (one.role == "lead"):
            lead = Grant("team_lead", one.team_id)
            change = "revoke" if was_lead else "grant"
            await note_role(connection, one.org_id, one.user_id, lead, change, one.created_by, one.created_at)


async def _check_team_alias(connection: AsyncConnection, org_id: str, team_id: str, alias: str) -> None:
    columns = team.c
    taken = (columns.org_id == org_id, columns.alias == alias, columns.id != team_id, columns.deleted_at.is_(None))
    if alias and (await connection.execute(sa.select(columns.id).where(*taken))).first():
        raise BadRequest("Another team already has this alias.", param="team_alias")


async def _add(
    connection: AsyncConnection, table: sa.Table, org_id: str, id_: str, row: dict[str, Any], what: str, param: str
) -> None:
    """Keep a new row, in the place of a deleted one of the same id. Raises BadRequest when the id is in use."""
    where = (table.c.org_id == org_id, _id(table) == id_)
    known = (await connection.execute(sa.select(table.c.deleted_at).where(*where))).one_or_none()
    if known is None:
        await connection.execute(table.insert().values(row))
    elif known.deleted_at is None:
        raise BadRequest(f"Another {what} already has this id.", param=param)
    else:
        await connection.execute(table.update().where(*where).values(row | {"deleted_at": None}))


async def _delete(
    connection: AsyncConnection, table: sa.Table, org_id: str, id_: str, by: str, now_us: int, what: str
) -> None:
    ours = _is(table, org_id, id_)
    before = (await connection.execute(sa.select(table).where(*ours))).mappings().one_or_none()
    if before is None:
        raise NotFound(f"There is no such {what}.")
    await connection.execute(table.update().where(*ours).values(deleted_at=now_us))
    await record_all(connection, org_id, now_us, [AuditEvent(by, f"{what}.delete", what, id_, _alive(before))])


async def _delete_keys(
    connection: AsyncConnection, org_id: str, by: str, now_us: int, *where: sa.ColumnElement[bool]
) -> set[str]:
    """Take keys out of use; their ids."""
    live = (virtual_key.c.org_id == org_id, virtual_key.c.deleted_at.is_(None), *where)
    found = (await connection.execute(sa.select(virtual_key).where(*live).order_by(virtual_key.c.id))).mappings().all()
    await connection.execute(virtual_key.update().where(*live).values(deleted_at=now_us))
    gone = [AuditEvent(by, "key.delete", "key", row["id"], _alive(row)) for row in found]
    await record_all(connection, org_id, now_us, gone)
    return {row["id"] for row in found}


async def _delete_members(
    connection: AsyncConnection, org_id: str, by: str, now_us: int, *where: sa.ColumnElement[bool]
) -> int:
    """End memberships; how many there were."""
    ours = (team_member.c.org_id == org_id, *where)
    found = [Member(**row) for row in (await connection.execute(sa.select(team_member).where(*ours))).mappings()]
    await connection.execute(team_member.delete().where(*ours))
    gone = [AuditEvent(by, "member.delete", "member", one.scope.id, one) for one in found]
    await record_all(connection, org_id, now_us, gone)
    for one in found:
        if one.role == "lead":
            lead = Grant("team_lead", one.team_id)
            await note_role(connection, org_id, one.user_id, lead, "revoke", by, now_us)
    return len(found)


def _id(table: sa.Table) -> sa.Column[Any]:
    return table.c.name if table is tag else table.c.id


def _is(table: sa.Table, org_id: str, id_: str) -> tuple[sa.ColumnElement[bool], ...]:
    return (table.c.org_id == org_id, _id(table) == id_, table.c.deleted_at.is_(None))


def _given(change: TeamChange | UserChange) -> dict[str, Any]:
    return {name: value for name, value in msgspec.structs.asdict(change).items() if value is not UNSET}


def _team_row(one: Team) -> dict[str, Any]:
    return msgspec.structs.asdict(one) | {"alias": one.alias or None, "content_level": one.content_level or ""}


def _team(row: sa.RowMapping) -> Team:
    kept = {"models": tuple(row["models"]), "content_level": row["content_level"] or None}
    return Team(**_alive(row) | kept | {"alias": row["alias"] or ""})


def _user(row: sa.RowMapping) -> User:
    return User(**{name: value for name, value in _alive(row).items() if name != "left_at"})


def _tag(row: sa.RowMapping) -> Tag:
    return Tag(**_alive(row))


def _alive(row: sa.RowMapping) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "deleted_at"}
