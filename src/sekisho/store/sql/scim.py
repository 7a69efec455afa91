"""Provisioned users and groups in the database, and what they mean for users, roles and keys here."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.access.audit import AuditEvent
from sekisho.access.directory import DIRECTORY
from sekisho.access.organisation import check_id
from sekisho.access.scim import Filter, ScimGroup, ScimRefused, ScimUser, shown_email, shown_name
from sekisho.errors import NotFound
from sekisho.store.sql.audit import record_all
from sekisho.store.sql.directory import come_back, leave, name_person, same_person, sync
from sekisho.store.sql.engine import Database
from sekisho.store.sql.epoch import raise_epoch
from sekisho.store.sql.organisation import bind_key
from sekisho.store.sql.sign_in_rules import read_sign_in_rules
from sekisho.store.sql.tables.organisation import person
from sekisho.store.sql.tables.sign_in import scim_group, scim_member, scim_user

_USER_COLUMNS = {"username": "user_name_key", "externalid": "external_id", "id": "id"}
_GROUP_COLUMNS = {"displayname": "display_name", "externalid": "external_id", "id": "id"}
_TAKEN = "There is one of this name already."


class SqlScim:
    """`access.scim.ScimStore` over SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_user(self, org_id: str, user: ScimUser, by: str) -> ScimUser:
        """Keep a new user, made here too if need be."""
        now_us = user.created_at
        try:
            async with self._database.write() as connection:
                await raise_epoch(connection)
                user_id = await same_person(connection, org_id, user.user_name) or user.user_name.lower()
                check_id(user_id, "userName")
                await _need_person(connection, org_id, user_id)
                await bind_key(self._database, connection, org_id, "", user_id, DIRECTORY, now_us)
                made = msgspec.structs.replace(user, user_id=user_id)
                await connection.execute(scim_user.insert().values(_user_row(org_id, made)))
                await self._apply(connection, org_id, made, by, now_us)
                await _record(connection, org_id, by, "scim.create_user", user_id, None, _shown(made), now_us)
                return made
        except IntegrityError as error:
            raise ScimRefused(_TAKEN, "uniqueness") from error

    async def change_user(self, org_id: str, id: str, change: Callable[[ScimUser], ScimUser], by: str) -> ScimUser:
        """Keep what `change` makes of a user."""
        ours = (scim_user.c.org_id == org_id, scim_user.c.id == id)
        try:
            async with self._database.write() as connection:
                await raise_epoch(connection)
                before = _user((await _one(connection, scim_user, org_id, id)) or _missing())
                changed = msgspec.structs.replace(change(before), version=before.version + 1)
                now_us = changed.updated_at
                await connection.execute(scim_user.update().where(*ours).values(_user_row(org_id, changed)))
                await self._apply(connection, org_id, changed, by, now_us)
                about = (changed.user_id, _shown(before), _shown(changed))
                await _record(connection, org_id, by, "scim.update_user", *about, now_us)
                return changed
        except IntegrityError as error:
            raise ScimRefused(_TAKEN, "uniqueness") from error

    async def remove_user(self, org_id: str, id: str, by: str, now_us: int) -> None:
        """Forget a provisioned user, who thereby has left."""
        async with self._database.write() as connection:
            await raise_epoch(connection)
            before = _user((await _one(connection, scim_user, org_id, id)) or _missing())
            gone = (scim_member.c.org_id == org_id, scim_member.c.member_id == id)
            await connection.execute(scim_member.delete().where(*gone))
            await connection.execute(scim_user.delete().where(scim_user.c.org_id == org_id, scim_user.c.id == id))
            await leave(connection, org_id, before.user_id, by, now_us)
            await self._sync(connection, org_id, [before.user_id], now_us)
            await _record(connection, org_id, by, "scim.delete_user", before.user_id, _shown(before), None, now_us)

    async def find_user(self, org_id: str, id: str) -> ScimUser | None:
        """One provisioned user."""
        async with self._database.read() as connection:
            row = await _one(connection, scim_user, org_id, id)
            return _user(row) if row else None

    async def list_users(self, org_id: str, where: Filter, *, skip: int, limit: int) -> tuple[int, list[ScimUser]]:
        """How many there are, and some of them."""
        value = where.value.casefold() if where.attribute == "username" else where.value
        query = _wanted(scim_user, org_id, _USER_COLUMNS, where.attribute, value)
        async with self._database.read() as connection:
            total, rows = await _page(connection, query, scim_user, skip, limit)
            return total, [_user(row) for row in rows]

    async def groups_of(self, org_id: str, ids: Sequence[str]) -> Mapping[str, list[tuple[str, str]]]:
        """By provisioned user, the ids and names of its groups."""
        query = (
            sa.select(scim_member.c.member_id, scim_group.c.id, scim_group.c.display_name)
            .join(
                scim_group, (scim_group.c.org_id == scim_member.c.org_id) & (scim_group.c.id == scim_member.c.group_id)
            )
            .where(scim_member.c.org_id == org_id, scim_member.c.member_id.in_(ids))
            .order_by(scim_group.c.display_name)
        )
        found: dict[str, list[tuple[str, str]]] = defaultdict(list)
        async with self._database.read() as connection:
            for member_id, group_id, name in await connection.execute(query):
                found[member_id].append((group_id, name))
        return found

    async def add_group(self, org_id: str, group: ScimGroup, by: str) -> ScimGroup:
        """Keep a new group with exactly these members, whose roles follow."""
        return await self._put_group(org_id, group.id, lambda _: group, by, is_new=True)

    async def change_group(self, org_id: str, id: str, change: Callable[[ScimGroup], ScimGroup], by: str) -> ScimGroup:
        """Keep what `change` makes of a group."""

        def changed(before: ScimGroup | None) -> ScimGroup:
            assert before is not None
            return msgspec.structs.replace(change(before), version=before.version + 1)

        return await self._put_group(org_id, id, changed, by, is_new=False)

    async def _put_group(
        self, org_id: str, id: str, make: Callable[[ScimGroup | None], ScimGroup], by: str, *, is_new: bool
    ) -> ScimGroup:
        try:
            async with self._database.write() as connection:
                await raise_epoch(connection)
                before = None if is_new else await _group(connection, org_id, id)
                wanted = make(before)
                kept = await _kept_members(connection, org_id, (id_ for id_, _ in wanted.members))
                changed = msgspec.structs.replace(wanted, members=kept)
                await _put_group(connection, org_id, changed, is_new=is_new)
                was = [id_ for id_, _ in before.members] if before else []
                now_us = changed.updated_at
                await self._sync_members(connection, org_id, {*was, *(id_ for id_, _ in kept)}, now_us)
                action = "scim.create_group" if is_new else "scim.update_group"
                about = (changed.id, before and _shown_group(before), _shown_group(changed))
                await _record(connection, org_id, by, action, *about, now_us, kind="group")
                return changed
        except IntegrityError as error:
            raise ScimRefused(_TAKEN, "uniqueness") from error

    async def remove_group(self, org_id: str, id: str, by: str, now_us: int) -> None:
        """Forget a group; what it gave ends."""
        async with self._database.write() as connection:
            await raise_epoch(connection)
            before = await _group(connection, org_id, id)
            for table, column in ((scim_member, scim_member.c.group_id), (scim_group, scim_group.c.id)):
                await connection.execute(table.delete().where(table.c.org_id == org_id, column == id))
            await self._sync_members(connection, org_id, {id_ for id_, _ in before.members}, now_us)
            gone = (id, _shown_group(before), None)
            await _record(connection, org_id, by, "scim.delete_group", *gone, now_us, kind="group")

    async def find_group(self, org_id: str, id: str) -> ScimGroup | None:
        """One provisioned group."""
        async with self._database.read() as connection:
            row = await _one(connection, scim_group, org_id, id)
            return await _whole(connection, org_id, row) if row else None

    async def list_groups(
        self, org_id: str, where: Filter, *, skip: int, limit: int, has_members: bool
    ) -> tuple[int, list[ScimGroup]]:
        """How many there are, and some of them."""
        query = _wanted(scim_group, org_id, _GROUP_COLUMNS, where.attribute, where.value)
        async with self._database.read() as connection:
            total, rows = await _page(connection, query, scim_group, skip, limit)
            return total, [await _whole(connection, org_id, row) if has_members else _bare(row) for row in rows]

    async def _apply(self, connection: AsyncConnection, org_id: str, user: ScimUser, by: str, now_us: int) -> None:
        """Let a user in or out, and take over names and groups."""
        await name_person(connection, org_id, user.user_id, shown_name(user.body), shown_email(user.body), now_us)
        if user.active:
            await come_back(connection, org_id, user.user_id, by, now_us)
        else:
            await leave(connection, org_id, user.user_id, by, now_us)
        await self._sync(connection, org_id, [user.user_id], now_us)

    async def _sync_members(self, connection: AsyncConnection, org_id: str, ids: Iterable[str], now_us: int) -> None:
        query = sa.select(scim_user.c.user_id).where(scim_user.c.org_id == org_id, scim_user.c.id.in_(list(ids)))
        await self._sync(connection, org_id, (await connection.execute(query)).scalars().all(), now_us)

    async def _sync(self, connection: AsyncConnection, org_id: str, user_ids: Iterable[str], now_us: int) -> None:
        rules = await read_sign_in_rules(connection, org_id)
        for user_id in sorted(set(user_ids)):
            await sync(self._database, connection, org_id, user_id, rules, now_us)


async def _need_person(connection: AsyncConnection, org_id: str, user_id: str) -> None:
    """Raises ScimRefused where this name is a service account's, or another provisioned user's."""
    live = (person.c.org_id == org_id, person.c.id == user_id, person.c.deleted_at.is_(None))
    kind = (await connection.execute(sa.select(person.c.kind).where(*live))).scalar_one_or_none()
    taken = sa.select(scim_user.c.id).where(scim_user.c.org_id == org_id, scim_user.c.user_id == user_id)
    if kind == "service" or (await connection.execute(taken)).first() is not None:
        raise ScimRefused(_TAKEN, "uniqueness")


async def _put_group(connection: AsyncConnection, org_id: str, group: ScimGroup, *, is_new: bool) -> None:
    row = {name: value for name, value in msgspec.structs.asdict(group).items() if name != "members"}
    if is_new:
        await connection.execute(scim_group.insert().values(row | {"org_id": org_id}))
    else:
        ours = (scim_group.c.org_id == org_id, scim_group.c.id == group.id)
        await connection.execute(scim_group.update().where(*ours).values(row))
    of_group = (scim_member.c.org_id == org_id, scim_member.c.group_id == group.id)
    await connection.execute(scim_member.delete().where(*of_group))
    rows = [{"org_id": org_id, "group_id": group.id, "member_id": id_} for id_, _ in group.members]
    if rows:
        await connection.execute(scim_member.insert(), rows)


async def _kept_members(connection: AsyncConnection, org_id: str, ids: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """The members with their names. Raises ScimRefused for somebody who is not provisioned."""
    wanted = sorted(set(ids))
    query = sa.select(scim_user.c.id, scim_user.c.user_name).where(
        scim_user.c.org_id == org_id, scim_user.c.id.in_(wanted)
    )
    found = {id_: name for id_, name in (await connection.execute(query)).all()}
    if missing := [id_ for id_ in wanted if id_ not in found]:
        raise ScimRefused(f"There is no user {missing[0]}.")
    return tuple(sorted(found.items()))


async def _group(connection: AsyncConnection, org_id: str, id_: str) -> ScimGroup:
    return await _whole(connection, org_id, (await _one(connection, scim_group, org_id, id_)) or _missing())


async def _whole(connection: AsyncConnection, org_id: str, row: sa.RowMapping) -> ScimGroup:
    query = (
        sa.select(scim_user.c.id, scim_user.c.user_name)
        .join(scim_member, (scim_member.c.org_id == scim_user.c.org_id) & (scim_member.c.member_id == scim_user.c.id))
        .where(scim_member.c.org_id == org_id, scim_member.c.group_id == row["id"])
        .order_by(scim_user.c.id)
    )
    members = tuple((id_, name) for id_, name in await connection.execute(query))
    return msgspec.structs.replace(_bare(row), members=members)


async def _one(connection: AsyncConnection, table: sa.Table, org_id: str, id_: str) -> sa.RowMapping | None:
    query = sa.select(table).where(table.c.org_id == org_id, table.c.id == id_)
    return (await connection.execute(query)).mappings().one_or_none()


async def _page(
    connection: AsyncConnection, query: sa.Select[Any], table: sa.Table, skip: int, limit: int
) -> tuple[int, Sequence[sa.RowMapping]]:
    total = (await connection.execute(sa.select(sa.func.count()).select_from(query.subquery()))).scalar_one()
    rows = await connection.execute(query.order_by(table.c.id).offset(skip).limit(limit))
    return int(total), rows.mappings().all()


async def _record(
    connection: AsyncConnection,
    org_id: str,
    by: str,
    action: str,
    id_: str,
    before: Any,
    after: Any,
    now_us: int,
    kind: str = "user",
) -> None:
    await record_all(connection, org_id, now_us, [AuditEvent(by, action, kind, id_, before, after)])


def _wanted(table: sa.Table, org_id: str, columns: Mapping[str, str], attribute: str, value: str) -> sa.Select[Any]:
    query = sa.select(table).where(table.c.org_id == org_id)
    return query.where(table.c[columns[attribute]] == value) if attribute else query


def _user_row(org_id: str, user: ScimUser) -> dict[str, Any]:
    return msgspec.structs.asdict(user) | {"org_id": org_id, "user_name_key": user.user_name.casefold()}


def _user(row: sa.RowMapping) -> ScimUser:
    return ScimUser(**{name: row[name] for name in ScimUser.__struct_fields__})


def _bare(row: sa.RowMapping) -> ScimGroup:
    return ScimGroup(**{name: row[name] for name in ScimGroup.__struct_fields__ if name != "members"})


def _shown(user: ScimUser) -> dict[str, Any]:
    """What the audit log says of a provisioned user: not what else the directory knows of it."""
    return {"user_name": user.user_name, "external_id": user.external_id, "active": user.active}


def _shown_group(group: ScimGroup) -> dict[str, Any]:
    return {"display_name": group.display_name, "external_id": group.external_id, "members": len(group.members)}


def _missing() -> sa.RowMapping:
    raise NotFound("There is no such resource.")
