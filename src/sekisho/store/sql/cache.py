"""Answers what prompt caches did: from the sums by day and team, for one person or task from the calls."""

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.record.cache import BrokenCache, CacheDimension, CacheFilter, CacheSum
from sekisho.store.sql.cache_sums import DAY_US
from sekisho.store.sql.engine import Database
from sekisho.store.sql.names import EMPTY, Names
from sekisho.store.sql.part import CALL_ORG, in_part
from sekisho.store.sql.roll_ups import REFUSED, RUNNING
from sekisho.store.sql.spend_edges import first_id
from sekisho.store.sql.tables.ledger import cache_by_team, call, call_cache, task

_MEASURES = ("calls", "input_tokens", "cache_read_tokens", "cache_write_tokens", "saved_nanousd", "lost_nanousd")
_NAMED = ("team", "user", "key", "agent", "model", "cause")
_BROKEN = (
    sa.select(call_cache, call, task.c.id.label("task_id"))
    .join(call, call.c.id == call_cache.c.call_id)
    .outerjoin(task, task.c.number == call.c.task)
    .where(call_cache.c.cause != EMPTY)
)


class SqlCache:
    """`record.cache.CacheQueries` over SQL."""

    def __init__(self, database: Database, names: Names) -> None:
        self._database = database
        self._names = names

    async def sums(self, org_id: str, by: tuple[CacheDimension, ...], where: CacheFilter) -> list[CacheSum]:
        """Sums by team, day or cause."""
        async with self._database.read() as connection:
            if where.part is not None and where.team_id not in where.part.team_ids:
                cells = await self._cells_of_calls(connection, org_id, where)
            else:
                cells = await self._cells(connection, org_id, where)
            return await self._read(connection, cells.subquery("cell"), by)

    async def of_task(self, org_id: str, task_id: bytes) -> list[CacheSum]:
        """The sum of a task, then those by cause."""
        async with self._database.read() as connection:
            cells = (await self._cells_of_calls(connection, org_id, CacheFilter(task_id=task_id))).subquery("cell")
            return [*await self._read(connection, cells, ()), *await self._read(connection, cells, ("cause",))]

    async def breaks(
        self, org_id: str, *, limit: int, before: bytes | None = None, where: CacheFilter
    ) -> list[BrokenCache]:
        """Broken caches, newest first."""
        query = _BROKEN.order_by(call_cache.c.call_id.desc()).limit(limit)
        if before is not None:
            query = query.where(call_cache.c.call_id < before)
        if where.since is not None:
            query = query.where(call_cache.c.call_id >= first_id(where.since))
        async with self._database.read() as connection:
            return await self._broken(connection, query.where(*await self._of_calls(connection, org_id, where)))

    async def breaks_of(self, org_id: str, call_ids: Collection[bytes]) -> dict[bytes, BrokenCache]:
        """The broken cache of each of these calls."""
        async with self._database.read() as connection:
            of_org = await self._named(connection, CALL_ORG, org_id)
            found = await self._broken(connection, _BROKEN.where(call.c.id.in_(call_ids), of_org))
        return {one.call_id: one for one in found}

    async def _broken(self, connection: AsyncConnection, query: sa.Select[Any]) -> list[BrokenCache]:
        rows = (await connection.execute(query)).mappings().all()
        texts = await self._names.texts(connection, {row[column] for row in rows for column in _NAMED})
        return [_broken(row, texts) for row in rows]

    async def _cells(self, connection: AsyncConnection, org_id: str, where: CacheFilter) -> sa.Select[Any]:
        table = cache_by_team.c
        conditions = [await self._named(connection, table.org, org_id)]
        if where.team_id:
            conditions.append(await self._named(connection, table.team, where.team_id))
        if where.cause:
            conditions.append(await self._named(connection, table.cause, where.cause))
        if where.since is not None:
            conditions.append(table.day >= where.since // DAY_US)
        if where.until is not None:
            conditions.append(table.day < -(-where.until // DAY_US))
        return sa.select(cache_by_team).where(*conditions)

    async def _cells_of_calls(self, connection: AsyncConnection, org_id: str, where: CacheFilter) -> sa.Select[Any]:
        """The same cells, made of the calls."""
        passed = [number for text in (RUNNING, REFUSED) if (number := await self._names.find(connection, text))]
        conditions = [*await self._of_calls(connection, org_id, where), call.c.status.not_in(passed)]
        day = call.c.started_at // DAY_US
        written = call.c.cache_write_5m_tokens + call.c.cache_write_1h_tokens
        zero = sa.literal(0)
        whole = sa.select(
            day.label("day"),
            call.c.team,
            sa.literal(EMPTY).label("cause"),
            sa.literal(1).label("calls"),
            call.c.input_tokens,
            call.c.cache_read_tokens,
            written.label("cache_write_tokens"),
            sa.func.coalesce(call_cache.c.saved_nanousd, 0).label("saved_nanousd"),
            sa.func.coalesce(call_cache.c.lost_nanousd, 0).label("lost_nanousd"),
        )
        whole = whole.outerjoin(call_cache, call_cache.c.call_id == call.c.id).where(*conditions)
        causes = sa.select(
            day, call.c.team, call_cache.c.cause, sa.literal(1), zero, zero, zero, zero, call_cache.c.lost_nanousd
        ).join(call_cache, call_cache.c.call_id == call.c.id)
        causes = causes.where(*conditions, call_cache.c.cause != EMPTY)
        return sa.select(sa.union_all(whole, causes).subquery("of_calls"))

    async def _read(
        self, connection: AsyncConnection, cells: sa.Subquery, by: tuple[CacheDimension, ...]
    ) -> list[CacheSum]:
        groups = [cells.c[one] for one in dict.fromkeys(by)]
        of_causes = cells.c.cause != EMPTY if "cause" in by else cells.c.cause == EMPTY
        totals = [
            sa.func.coalesce(sa.cast(sa.func.sum(cells.c[one]), sa.BigInteger), 0).label(one) for one in _MEASURES
        ]
        query = sa.select(*groups, *totals).where(of_causes).group_by(*groups)
        order = [cells.c.day] if "day" in by else []
        rows = (await connection.execute(query.order_by(*order, sa.desc("lost_nanousd")))).mappings().all()
        named = [one for one in ("team", "cause") if one in by]
        texts = await self._names.texts(connection, {row[one] for row in rows for one in named})
        return [
            CacheSum(
                day=row["day"] if "day" in by else None,
                team_id=texts[row["team"]] if "team" in by else "",
                cause=texts[row["cause"]] if "cause" in by else "",
                **{one: row[one] for one in _MEASURES},
            )
            for row in rows
            if row["calls"] or not by
        ]

    async def _of_calls(
        self, connection: AsyncConnection, org_id: str, where: CacheFilter
    ) -> list[sa.ColumnElement[bool]]:
        conditions = [await self._named(connection, CALL_ORG, org_id)]
        if where.team_id:
            conditions.append(await self._named(connection, call.c.team, where.team_id))
        if where.cause:
            conditions.append(await self._named(connection, call_cache.c.cause, where.cause))
        if where.task_id:
            same = sa.select(sa.func.coalesce(task.c.same_as, task.c.number)).where(task.c.id == where.task_id)
            conditions.append(call.c.task == same.scalar_subquery())
        if where.since is not None:
            conditions += [call.c.started_at >= where.since, call.c.id >= first_id(where.since)]
        if where.until is not None:
            conditions.append(call.c.started_at < where.until)
        if where.part is not None:
            conditions.append(await in_part(connection, self._names, where.part, call))
        return conditions

    async def _named(
        self, connection: AsyncConnection, column: sa.ColumnElement[int], text: str
    ) -> sa.ColumnElement[bool]:
        number = await self._names.find(connection, text)
        return sa.false() if number is None else column == number


def _broken(row: sa.RowMapping, texts: dict[int, str]) -> BrokenCache:
    return BrokenCache(
        call_id=row["call_id"],
        started_at=row["started_at"],
        task_id=row["task_id"] or b"",
        team_id=texts[row["team"]],
        user_id=texts[row["user"]],
        key_id=texts[row["key"]],
        agent=texts[row["agent"]],
        model=texts[row["model"]],
        cause=texts[row["cause"]],  # type: ignore[arg-type]  # written by the ledger from the same literals
        block=row["block"],
        detail=row["detail"],
        lost_tokens=row["lost_tokens"],
        lost_nanousd=row["lost_nanousd"],
        before=row["before"],
    )
