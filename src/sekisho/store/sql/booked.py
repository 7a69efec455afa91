"""What the ledger has booked on budgets, with how far into the journal that reaches."""

import logging
from collections.abc import Iterable

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.ledger.booked import Booked
from sekisho.ledger.counters import OpenCall, Spent
from sekisho.ledger.windows import span_at
from sekisho.store.sql.engine import Database
from sekisho.store.sql.names import Names
from sekisho.store.sql.part import CALL_ORG
from sekisho.store.sql.rules import read_budgets
from sekisho.store.sql.scope_spend import SpendSums
from sekisho.store.sql.tables.ledger import call, ended_process, journal_offset, running_call
from sekisho.values import Budget, Scope

log = logging.getLogger(__name__)
_NEWEST_CALLS = 1000  # by their ids, which begin with the time of their start
_MOST_LATER_WINDOWS = 1000  # of the shortest period: years of days, hours of seconds


class SqlBooked:
    """`ledger.booked.SpentQueries` over SQL."""

    def __init__(self, database: Database, names: Names) -> None:
        self._database = database
        self._names = names
        self._sums = SpendSums(names)

    async def spent(self, org_id: str, budgets: tuple[Budget, ...], at_us: int) -> tuple[Spent, ...]:
        """What these budgets have spent in their windows at this time."""
        async with self._database.read() as connection:
            return await self._sums.read(connection, org_id, budgets, at_us)

    async def open_calls(self, org_id: str) -> tuple[OpenCall, ...]:
        """The calls that were opened and not settled."""
        async with self._database.read() as connection:
            return await self._open_calls(connection, org_id)

    async def booked(self, org_id: str, at_us: int) -> Booked:
        """What every budget in force has spent, in one consistent read with the journal offsets."""
        async with self._database.read() as connection:
            rows = await connection.execute(sa.select(journal_offset.c.segment, journal_offset.c.end_offset))
            offsets = {segment: end_offset for segment, end_offset in rows}
            budgets = await read_budgets(connection, org_id)
            spent = await self._sums.read(connection, org_id, budgets, at_us)
            spent += await self._later(connection, org_id, budgets, at_us)
            ended = (await connection.execute(sa.select(ended_process.c.process))).scalars().all()
            return Booked(at_us, spent, offsets, await self._open_calls(connection, org_id), tuple(ended))

    async def _later(
        self, connection: AsyncConnection, org_id: str, budgets: Iterable[Budget], at_us: int
    ) -> tuple[Spent, ...]:
        """The windows behind those of this time in which calls have started: the clock was set back, or those of
        machines differ. Whoever loads counters takes a later window that is not named for empty."""
        newest = sa.select(call.c.started_at).order_by(call.c.id.desc()).limit(_NEWEST_CALLS).subquery()
        last_us = (await connection.execute(sa.select(sa.func.max(newest.c.started_at)))).scalar()
        spent: tuple[Spent, ...] = ()
        for _ in range(_MOST_LATER_WINDOWS):
            spans = ((budget, span_at(budget.window, at_us)) for budget in budgets)
            later = [(budget, span.ends_at) for budget, span in spans if span and span.ends_at <= (last_us or 0)]
            if not later:
                return spent
            at_us = min(ends_at for _, ends_at in later)
            budgets = tuple(budget for budget, _ in later)
            begun = tuple(budget for budget, ends_at in later if ends_at == at_us)
            spent += await self._sums.read(connection, org_id, begun, at_us)
        log.error("the newest calls in the ledger are far in the future; is the clock right?")
        return spent

    async def _open_calls(self, connection: AsyncConnection, org_id: str) -> tuple[OpenCall, ...]:
        """The calls that were opened and not settled."""
        org = await self._names.find(connection, org_id)
        named = (call.c.model, call.c.key, call.c.user, call.c.team, call.c.tags)
        process = sa.select(running_call.c.process).where(running_call.c.call_id == call.c.id).scalar_subquery()
        is_open = call.c.id.in_(sa.select(running_call.c.call_id))  # a join SQLite may begin with every call
        query = sa.select(call.c.id, process, call.c.started_at, call.c.reserved_nanousd, *named)
        query = query.where(is_open, CALL_ORG == org)
        rows = (await connection.execute(query)).all()
        texts = await self._names.texts(connection, {number for row in rows for number in row[4:]})
        return tuple(OpenCall(*row[:4], texts[row[4]], _scopes(org_id, *map(texts.get, row[5:]))) for row in rows)


def _scopes(org: str, key: str | None, user: str | None, team: str | None, tags: str | None) -> tuple[Scope, ...]:
    """Everybody who pays for a call."""
    scopes = [Scope("org", org), Scope("key", key or ""), Scope("user", user or ""), Scope("team", team or "")]
    if team and user:
        scopes.append(Scope("member", f"{team}/{user}"))
    scopes.extend(Scope("tag", tag) for tag in (msgspec.json.decode(tags, type=list[str]) if tags else ()))
    return tuple(scope for scope in scopes if scope.id)
