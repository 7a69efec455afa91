"""Everything in the database that a snapshot is made of, in one consistent read."""

from typing import get_args

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.access.resolution import Effective
from sekisho.store.sql.directory import read_left
from sekisho.store.sql.engine import Database
from sekisho.store.sql.keys import read_keys
from sekisho.store.sql.organisation import read_teams
from sekisho.store.sql.rules import read_budgets, read_limits, read_policies
from sekisho.store.sql.tables.organisation import person, team_member
from sekisho.store.sql.tables.schema import counter
from sekisho.values import Language


class SqlEffective:
    """Reads what is in force."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def current(self, org_id: str) -> Effective:
        """The epoch, and all keys, teams, budgets, limits and policies in use as of it."""
        async with self._database.read() as connection:
            rows = await connection.execute(sa.select(counter.c.name, counter.c.value))
            counters: dict[str, int] = {name: value for name, value in rows}
            return Effective(
                epoch=counters["epoch"],
                content_generation=counters.get("content", 0),
                keys=await read_keys(connection, org_id),
                teams=await read_teams(connection, org_id),
                budgets=await read_budgets(connection, org_id),
                limits=await read_limits(connection, org_id),
                leads=await _read_leads(connection, org_id),
                languages=await _read_languages(connection, org_id),
                policies=await read_policies(connection, org_id),
                left=await read_left(connection, org_id),
            )


async def _read_leads(connection: AsyncConnection, org_id: str) -> dict[str, tuple[str, ...]]:
    """By team, the names of those who lead it."""
    query = (
        sa.select(team_member.c.team_id, person.c.alias, person.c.id)
        .join(person, (person.c.org_id == team_member.c.org_id) & (person.c.id == team_member.c.user_id))
        .where(team_member.c.org_id == org_id, team_member.c.role == "lead", person.c.deleted_at.is_(None))
        .order_by(team_member.c.team_id, team_member.c.user_id)
    )
    leads: dict[str, tuple[str, ...]] = {}
    for team_id, alias, user_id in await connection.execute(query):
        leads[team_id] = (*leads.get(team_id, ()), (alias or user_id)[:60])
    return leads


async def _read_languages(connection: AsyncConnection, org_id: str) -> dict[str, Language]:
    """By user, the language that the user's metadata names; nobody who names none or another."""
    query = sa.select(person.c.id, person.c.metadata).where(person.c.org_id == org_id, person.c.deleted_at.is_(None))
    found = ((user_id, metadata.get("language")) for user_id, metadata in await connection.execute(query))
    return {user_id: language for user_id, language in found if language in get_args(Language)}
