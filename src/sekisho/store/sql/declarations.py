"""Everything that a file may state, read and written as one."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec import UNSET
from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.access.audit import AuditEvent
from sekisho.access.declaration.plans import Plan, Writes
from sekisho.access.declaration.things import RULES, Address, Holdings, Mark
from sekisho.access.declarations import Decide
from sekisho.access.organisation import Member
from sekisho.access.required import check_metadata
from sekisho.access.roles import Grant
from sekisho.store.sql.audit import record_all
from sekisho.store.sql.engine import Database
from sekisho.store.sql.epoch import raise_epoch
from sekisho.store.sql.forget import forget_directory
from sekisho.store.sql.grants import drop_roles, note_role, read_grants
from sekisho.store.sql.keys import read_stored_keys
from sekisho.store.sql.organisation import read_members, read_tags, read_teams, read_users
from sekisho.store.sql.owners import pass_on
from sekisho.store.sql.required import read_required
from sekisho.store.sql.rules import read_rules, read_templates, write_rules
from sekisho.store.sql.tables.organisation import budget_template, declared, person, tag, team, team_member, virtual_key
from sekisho.store.sql.tables.rights import role_grant
from sekisho.store.sql.tokens import end_access

_ROWS = 500
_TABLES = {"user": person, "team": team, "tag": tag, "key": virtual_key}


class SqlDeclarations:
    """`access.declarations.DeclarationStore` over SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def holdings(self, org_id: str) -> Holdings:
        """All that is in use, from one consistent read."""
        async with self._database.read() as connection:
            return await _read(connection, org_id)

    async def apply(self, org_id: str, decide: Decide, by: str, now_us: int) -> Plan:
        """Read, decide and write in one transaction."""
        async with self._database.write() as connection:
            await raise_epoch(connection)  # on PostgreSQL it is the lock too
            plan = decide(await _read(connection, org_id))
            await self._write(connection, org_id, plan.writes, by, now_us)
            await record_all(connection, org_id, now_us, list(_events(plan, by)))
            for team_id, user_id, is_lead in _new_leads(plan):
                lead = Grant("team_lead", team_id)
                await note_role(connection, org_id, user_id, lead, "grant" if is_lead else "revoke", by, now_us)
            return plan

    async def _write(self, connection: AsyncConnection, org_id: str, writes: Writes, by: str, now_us: int) -> None:
        await _check_metadata(connection, org_id, writes)
        templates = [
            msgspec.structs.asdict(one) | {"org_id": org_id, "terms": msgspec.to_builtins(one.terms)}
            for one in writes.templates
        ]
        await self._put(connection, budget_template, templates)
        await self._put(connection, person, _alive(writes.users))
        await self._put(connection, tag, _alive(writes.tags))
        teams = [row | {"content_level": row["content_level"] or ""} for row in _alive(writes.teams)]
        await self._put(connection, team, [row | {"alias": None} for row in teams])  # aliases may swap
        await self._put(connection, team, [row | {"alias": row["alias"] or None} for row in teams])
        await self._put_members(connection, writes.members)
        for key in writes.new_keys:
            row = msgspec.structs.asdict(key) | {"models": key.models, "tags": key.tags}
            await connection.execute(virtual_key.insert().values(row))
        for key_id, change in writes.keys:
            ours = (virtual_key.c.org_id == org_id) & (virtual_key.c.id == key_id)
            values = {name: one for name, one in msgspec.structs.asdict(change).items() if one is not UNSET}
            await connection.execute(virtual_key.update().where(ours).values(values | {"updated_at": now_us}))
        await write_rules(connection, org_id, writes.rules, by, now_us)
        for address in writes.removals:
            await connection.execute(_removal(org_id, address, now_us))
            if address[0] == "user":
                await drop_roles(connection, org_id, by, now_us, user_id=address[1])
                await end_access(connection, org_id, address[1], by, now_us)
                await forget_directory(connection, org_id, address[1])
            elif address[0] == "team":
                await drop_roles(connection, org_id, by, now_us, team_id=address[1])
        for kind, *ids in writes.removals:  # once all is gone that goes: what stays has an owner
            if kind in ("user", "team"):
                gone = {f"{kind}_id": ids[0]}
                await pass_on(connection, org_id, **gone, to="", by=by, now_us=now_us)
        for user_id, grant, is_given in writes.grants:
            await _grant(connection, org_id, user_id, grant, is_given, by, now_us)
        marks = [
            {
                "org_id": org_id,
                "address": _text(mark.address),
                "is_made": mark.is_made,
                "fields": mark.fields,
                "applied_at": now_us,
                "applied_by": by,
            }
            for mark in writes.marks
        ]
        await self._put(connection, declared, marks)
        for address in writes.unmarked:
            ours = (declared.c.org_id == org_id) & (declared.c.address == _text(address))
            await connection.execute(declared.delete().where(ours))

    async def _put(self, connection: AsyncConnection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
        """Keep these rows, in the place of those with the same primary key."""
        for start in range(0, len(rows), _ROWS):
            insert = self._database.insert(table).values(rows[start : start + _ROWS])
            new = {name: insert.excluded[name] for name in rows[0]}
            await connection.execute(insert.on_conflict_do_update(index_elements=list(table.primary_key), set_=new))

    async def _put_members(self, connection: AsyncConnection, members: Sequence[Member]) -> None:
        """Keep new members; of those known already the role only."""
        rows = [msgspec.structs.asdict(member) for member in members]
        for start in range(0, len(rows), _ROWS):
            insert = self._database.insert(team_member).values(rows[start : start + _ROWS])
            role = {"role": insert.excluded["role"]}
            await connection.execute(
                insert.on_conflict_do_update(index_elements=list(team_member.primary_key), set_=role)
            )


async def _check_metadata(connection: AsyncConnection, org_id: str, writes: Writes) -> None:
    """Raises BadRequest, naming the field, for metadata that lacks what is required."""
    required = await read_required(connection, org_id)
    for one in writes.users:
        check_metadata("service" if one.kind == "service" else "user", required, one.metadata)
    for team_ in writes.teams:
        check_metadata("team", required, team_.metadata)
    for key in writes.new_keys:
        check_metadata("key", required, key.metadata)
    for _, change in writes.keys:
        if change.metadata is not UNSET:
            check_metadata("key", required, change.metadata)


async def _read(connection: AsyncConnection, org_id: str) -> Holdings:
    rows = await connection.execute(sa.select(declared).where(declared.c.org_id == org_id))
    return Holdings(
        users=await read_users(connection, org_id),
        teams=await read_teams(connection, org_id),
        members=await read_members(connection, org_id),
        tags=await read_tags(connection, org_id),
        templates=await read_templates(connection, org_id),
        rules=await read_rules(connection, org_id),
        keys=await read_stored_keys(connection, org_id),
        grants=await read_grants(connection, org_id),
        marks=tuple(Mark(_address(row["address"]), row["is_made"], row["fields"]) for row in rows.mappings()),
    )


def _events(plan: Plan, by: str) -> Iterator[AuditEvent]:
    """What the audit log says of it, but for rules, which say it themselves."""
    verbs = {"change": "update"}
    for change in plan.changes:
        kind, *ids = change.address
        ids = [plan.writes.key_ids[ids[0]]] if kind == "key" else ids
        kind = "template" if kind == "budget_template" else kind
        if kind not in RULES:
            action = f"{kind}.{verbs.get(change.action, change.action)}"
            yield AuditEvent(by, action, kind, "/".join(ids), change.before, change.after)


def _alive(structs: Iterable[msgspec.Struct]) -> list[dict[str, Any]]:
    return [msgspec.structs.asdict(one) | {"deleted_at": None} for one in structs]


def _removal(org_id: str, address: Address, now_us: int) -> sa.Delete | sa.Update:
    """What takes this thing out of use. What depends on it is removed by itself."""
    kind, *ids = address
    if kind == "member":
        columns = team_member.c
        ours = (columns.org_id == org_id) & (columns.team_id == ids[0]) & (columns.user_id == ids[1])
        return team_member.delete().where(ours)
    if kind == "budget_template":
        return budget_template.delete().where((budget_template.c.org_id == org_id) & (budget_template.c.id == ids[0]))
    table = _TABLES[kind]
    own = table.c.name if table is tag else table.c.id
    return table.update().where((table.c.org_id == org_id) & (own == ids[0])).values(deleted_at=now_us)


async def _grant(
    connection: AsyncConnection, org_id: str, user_id: str, grant: Grant, is_given: bool, by: str, now_us: int
) -> None:
    """Give or take a role."""
    row = {"org_id": org_id, "user_id": user_id} | msgspec.structs.asdict(grant)
    if is_given:
        await connection.execute(role_grant.insert().values(row | {"created_at": now_us, "created_by": by}))
    else:
        ours = [role_grant.c[name] == value for name, value in row.items()]
        await connection.execute(role_grant.delete().where(*ours))
    await note_role(connection, org_id, user_id, grant, "grant" if is_given else "revoke", by, now_us)


def _new_leads(plan: Plan) -> Iterator[tuple[str, str, bool]]:
    """Team, user, and whether the user leads it now or no longer does."""
    for change in plan.changes:
        if change.address[0] == "member":
            is_lead = (change.after or {}).get("role") == "lead"
            if is_lead != ((change.before or {}).get("role") == "lead"):
                yield change.address[1], change.address[2], is_lead


def _text(address: Address) -> str:
    return msgspec.json.encode(address).decode()


def _address(text: str) -> Address:
    return msgspec.json.decode(text, type=Address)
