"""What belongs to a user or a team and would be left without an owner: found, and passed on to a successor."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.access.audit import AuditEvent
from sekisho.access.roles import Grant
from sekisho.errors import BadRequest, Conflict
from sekisho.store.sql.audit import record_all
from sekisho.store.sql.grants import note_role
from sekisho.store.sql.tables.organisation import person, tag, team_member

SHOWN = 20


async def pass_on(
    connection: AsyncConnection, org_id: str, *, user_id: str = "", team_id: str = "", to: str, by: str, now_us: int
) -> None:
    """Give what this user or team owns to the user `to`: service accounts, tags, teams that only it leads.

    Raises Conflict with the list when `to` is empty and there is something, BadRequest for a successor who is unknown
    or is the one that goes."""
    if to:
        await _check_successor(connection, org_id, to, user_id)
    owner = f"user:{user_id}" if user_id else f"team:{team_id}"
    owned = [(kind, table, id_) for kind, table in _OWNED for id_ in await _ids(connection, table, org_id, owner)]
    led = await _led_alone(connection, org_id, user_id) if user_id else []
    names = [f"{kind} {id_}" for kind, _, id_ in owned] + [f"team {id_}" for id_ in led]
    if names and not to:
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        listed = ", ".join(names[:SHOWN]) + more
        raise Conflict(f"Say in transfer_to who owns from now on: {listed}.", param="transfer_to")
    for kind, table, id_ in owned:
        ours = (table.c.org_id == org_id, _id(table) == id_)
        await connection.execute(table.update().where(*ours).values(owner=f"user:{to}", updated_at=now_us))
        new = {"owner": f"user:{to}"}
        change = AuditEvent(by, f"{kind.replace(' ', '_')}.transfer", kind, id_, {"owner": owner}, new)
        await record_all(connection, org_id, now_us, [change])
    for id_ in led:
        await _make_lead(connection, org_id, id_, to, by, now_us)


_OWNED = (("service account", person), ("tag", tag))


async def _ids(connection: AsyncConnection, table: sa.Table, org_id: str, owner: str) -> list[str]:
    columns = table.c
    query = sa.select(_id(table)).where(columns.org_id == org_id, columns.owner == owner, columns.deleted_at.is_(None))
    return sorted((await connection.execute(query)).scalars())


async def _led_alone(connection: AsyncConnection, org_id: str, user_id: str) -> list[str]:
    """The teams that have no other lead."""
    columns = team_member.c
    leads = sa.select(columns.team_id).where(columns.org_id == org_id, columns.role == "lead")
    others = leads.where(columns.user_id != user_id)
    query = leads.where(columns.user_id == user_id, columns.team_id.not_in(others))
    return sorted((await connection.execute(query)).scalars())


async def _make_lead(
    connection: AsyncConnection, org_id: str, team_id: str, user_id: str, by: str, now_us: int
) -> None:
    columns = team_member.c
    ours = (columns.org_id == org_id, columns.team_id == team_id, columns.user_id == user_id)
    if (await connection.execute(team_member.update().where(*ours).values(role="lead"))).rowcount == 0:
        row = {"org_id": org_id, "team_id": team_id, "user_id": user_id, "role": "lead"}
        await connection.execute(team_member.insert().values(row | {"created_at": now_us, "created_by": by}))
    await note_role(connection, org_id, user_id, Grant("team_lead", team_id), "grant", by, now_us)


async def _check_successor(connection: AsyncConnection, org_id: str, to: str, gone: str) -> None:
    query = sa.select(person.c.id).where(person.c.org_id == org_id, person.c.id == to, person.c.deleted_at.is_(None))
    if to == gone or (await connection.execute(query)).first() is None:
        raise BadRequest(f"There is no other user '{to[:60]}' to transfer to.", param="transfer_to")


async def need_owner(connection: AsyncConnection, org_id: str, owner: str) -> None:
    """Raises BadRequest for an owner that is no user of the organisation. Empty: the organisation."""
    kind, _, id_ = owner.partition(":")
    query = sa.select(person.c.id).where(person.c.org_id == org_id, person.c.id == id_, person.c.deleted_at.is_(None))
    if owner and (kind != "user" or (await connection.execute(query)).first() is None):
        raise BadRequest(f"There is no user '{id_[:60]}' to own this.", param="owner")


def _id(table: sa.Table) -> sa.Column[Any]:
    return table.c.name if table is tag else table.c.id
