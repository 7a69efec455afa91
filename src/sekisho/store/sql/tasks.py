"""Answers questions about tasks from the sums that the ledger keeps of them."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.record.cache import NEVER_CACHED
from sekisho.record.calls import Part
from sekisho.record.tasks import ANY_TASK, Cursor, ModeSum, TaskFilter, TaskOrder, TaskRow, TaskStep
from sekisho.store.sql.engine import Database
from sekisho.store.sql.names import EMPTY, Names
from sekisho.store.sql.part import CALL_ORG, in_part
from sekisho.store.sql.tables.ledger import call, call_action, call_cache, task, task_mode
from sekisho.store.sql.task_sums import CLASSES, MODES, mode_and_turn
from sekisho.values import Usage

_NAMED = ("team", "user", "key", "agent", "repository", "branch")
_STEP = (
    sa.select(
        *(call.c.id, call.c.kind, call.c.status, call.c.cost_nanousd, call.c.list_cost_nanousd, call.c.input_tokens),
        *(call.c.cache_read_tokens, call.c.cache_write_5m_tokens + call.c.cache_write_1h_tokens, call.c.output_tokens),
        *(call.c.duration_us, call.c.upstream_us, call_action.c.delayed_ms),
        *(call_cache.c.saved_nanousd, call_cache.c.lost_nanousd, call_cache.c.cause),
    )
    .outerjoin(call_action, call_action.c.call_id == call.c.id)
    .outerjoin(call_cache, call_cache.c.call_id == call.c.id)
    .order_by(call.c.id.desc())
)
_LONG_US = 7 * 86_400_000_000
_PLAIN = ("first_at", "last_at", "calls", "turns", "failed", "refused", "running", "cost_nanousd")


class SqlTasks:
    """`record.tasks.TaskQueries` over SQL."""

    def __init__(self, database: Database, names: Names) -> None:
        self._database = database
        self._names = names

    async def list_tasks(
        self,
        org_id: str,
        *,
        limit: int,
        order: TaskOrder = "last",
        after: Cursor | None = None,
        where: TaskFilter = ANY_TASK,
    ) -> tuple[list[TaskRow], Cursor | None]:
        """Tasks, the last used or the dearest first."""
        by = task.c.cost_nanousd if order == "cost" else task.c.last_at
        query = (
            sa.select(task).where(task.c.same_as.is_(None)).order_by(by.desc(), task.c.number.desc()).limit(limit + 1)
        )
        if after is not None:
            query = query.where(sa.tuple_(by, task.c.number) < sa.tuple_(*after))
        async with self._database.read() as connection:
            # the dearest of all in a long time are met early on the way from the dearest of all
            is_met_early = order == "cost" and where == TaskFilter(since=where.since, until=where.until)
            last_at = task.c.last_at + 0 if is_met_early and _is_long(where) else task.c.last_at
            query = query.where(*await self._conditions(connection, org_id, where, last_at))
            rows = (await connection.execute(query)).mappings().all()
            shown = await self._rows(connection, rows[:limit])
        is_more = len(rows) > limit
        return shown, (rows[limit - 1][by.name], rows[limit - 1]["number"]) if is_more else None

    async def find(self, org_id: str, task_id: bytes) -> TaskRow | None:
        """One task, by any of its ids."""
        async with self._database.read() as connection:
            org = await self._names.find(connection, org_id)
            query = sa.select(task).where(task.c.number == _number_of(task_id), task.c.org == org)
            rows = (await connection.execute(query)).mappings().all()
            return (await self._rows(connection, rows))[0] if rows else None

    async def spent(self, org_id: str, task_id: bytes) -> tuple[int, int]:
        """What a task has cost, open calls at their bound, and how many calls it has made."""
        number = _number_of(task_id)
        is_open = sa.and_(call.c.task == number, call.c.duration_us.is_(None))
        held = sa.select(sa.func.coalesce(sa.func.sum(call.c.reserved_nanousd), 0)).where(is_open).scalar_subquery()
        async with self._database.read() as connection:
            org = await self._names.find(connection, org_id)
            query = sa.select(task.c.cost_nanousd, task.c.calls + task.c.running, held)
            row = (await connection.execute(query.where(task.c.number == number, task.c.org == org))).one_or_none()
        return (row[0] + int(row[2]), row[1]) if row else (0, 0)

    async def by_mode(self, org_id: str, task_id: bytes) -> list[ModeSum]:
        """The sums of a task by mode; the caller has seen to it that the task may be seen."""
        query = sa.select(task_mode).where(task_mode.c.task == _number_of(task_id)).order_by(task_mode.c.mode)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).mappings().all()
        counts = ("calls", "turns", "failed", "refused", "running", "list_cost_nanousd", "cost_nanousd", *CLASSES)
        return [
            ModeSum(
                mode=MODES[row["mode"]],
                usage=Usage(*(row[column] for column in Usage.__struct_fields__)),
                **{column: row[column] for column in counts},
            )
            for row in rows
        ]

    async def outline(self, org_id: str, task_id: bytes, *, limit: int, part: Part | None = None) -> list[TaskStep]:
        """The calls of a task in their order, the newest `limit` of them."""
        async with self._database.read() as connection:
            org = await self._names.find(connection, org_id)
            query = _STEP.where(call.c.task == _number_of(task_id), CALL_ORG == org).limit(limit)
            if part is not None:
                query = query.where(await in_part(connection, self._names, part, call))
            rows = (await connection.execute(query)).all()
            texts = await self._names.texts(connection, {row[2] for row in rows} | {row[-1] or EMPTY for row in rows})
        return [_step(row, texts) for row in reversed(rows)]

    async def _rows(self, connection: AsyncConnection, rows: Any) -> list[TaskRow]:
        texts = await self._names.texts(connection, {row[column] for row in rows for column in _NAMED})
        return [
            TaskRow(
                id=row["id"],
                team_id=texts[row["team"]],
                user_id=texts[row["user"]],
                key_id=texts[row["key"]],
                agent=texts[row["agent"]],
                repository=texts[row["repository"]],
                branch=texts[row["branch"]],
                **{column: row[column] for column in _PLAIN},
            )
            for row in rows
        ]

    async def _conditions(
        self, connection: AsyncConnection, org_id: str, where: TaskFilter, last_at: sa.ColumnElement[int]
    ) -> list[sa.ColumnElement[bool]]:
        wanted = {"team": where.team_id, "user": where.user_id, "key": where.key_id, "agent": where.agent}
        conditions: list[sa.ColumnElement[bool]] = []
        for column, text in {"org": org_id, **wanted}.items():
            if text or column == "org":
                number = await self._names.find(connection, text)
                conditions.append(sa.false() if number is None else task.c[column] == number)
        if where.since is not None:
            conditions.append(last_at >= where.since)
        if where.until is not None:
            conditions.append(task.c.first_at < where.until)
        if where.min_cost_nanousd > 0:
            conditions.append(task.c.cost_nanousd >= where.min_cost_nanousd)
        if where.mode is not None:
            conditions.append(_has_mode(where.mode))
        if where.repository is not None:
            number = await self._names.find(connection, where.repository)
            conditions.append(sa.false() if number is None else task.c.repository == number)
        if where.part is not None:
            conditions.append(await in_part(connection, self._names, where.part, task))
        return conditions


def _is_long(where: TaskFilter) -> bool:
    return where.since is not None and (where.until is None or where.until - where.since >= _LONG_US)


def _step(row: Any, texts: dict[int, str]) -> TaskStep:
    call_id, kind, status, cost, list_cost, fresh, read, written, output, duration_us, upstream_us, *rest = row
    delayed_ms, saved, lost, cause = rest
    return TaskStep(
        id=call_id,
        mode=mode_and_turn(kind)[0],
        status=texts[status],
        cost_nanousd=cost,
        list_cost_nanousd=list_cost,
        prompt_tokens=(fresh, read, written),
        output_tokens=output,
        duration_us=duration_us or 0,
        upstream_us=upstream_us,
        waited_us=(delayed_ms or 0) * 1000,
        cache_saved_nanousd=saved or 0,
        cache_lost_nanousd=lost or 0,
        is_cache_broken=bool(cause) and texts[cause] not in NEVER_CACHED,
    )


def _number_of(task_id: bytes) -> sa.ScalarSelect[int]:
    """The number of the task behind any of its ids."""
    return sa.select(sa.func.coalesce(task.c.same_as, task.c.number)).where(task.c.id == task_id).scalar_subquery()


def _has_mode(mode: str) -> sa.ColumnElement[bool]:
    if mode not in MODES:
        return sa.false()
    return sa.exists().where(
        task_mode.c.task == task.c.number, task_mode.c.mode == MODES.index(mode), task_mode.c.calls > 0
    )
