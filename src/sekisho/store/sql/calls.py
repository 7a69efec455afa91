"""Answers questions about calls from the ledger's tables."""

from collections.abc import Collection, Mapping
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.record.calls import ANY_CALL, AttemptRow, CallFilter, CallRow, Pace, Payers
from sekisho.store.sql.attempts import NAMED_IN_ATTEMPT, row_in_call
from sekisho.store.sql.call_hours import LONGEST_LEAD_US, hours_of
from sekisho.store.sql.endings import read_ending
from sekisho.store.sql.engine import Database
from sekisho.store.sql.ledger import NAMED, USAGE_COLUMNS
from sekisho.store.sql.names import EMPTY, Names
from sekisho.store.sql.part import CALL_ORG, in_part
from sekisho.store.sql.roll_ups import tags_of
from sekisho.store.sql.spend_edges import first_id
from sekisho.store.sql.tables.ledger import attempt, call, call_action, call_cache, call_message, running_call, task
from sekisho.store.sql.tables.schema import counter, name
from sekisho.store.sql.task_sums import in_mode, mode_and_turn
from sekisho.store.sql.times import unpack_times
from sekisho.values import Usage

_ACTIONS = ("asked_model", "clamped_tokens", "delayed_ms")
_CACHING = ("saved_nanousd", "lost_nanousd", "cause")
_WITH_MESSAGE = (
    sa.select(
        call,
        call_message.c.text.label("message"),
        *(call_action.c[one] for one in _ACTIONS),
        task.c.id.label("task_id"),
        *(call_cache.c[one].label(f"cache_{one}") for one in _CACHING),
    )
    .outerjoin(call_message, call_message.c.call_id == call.c.id)
    .outerjoin(call_action, call_action.c.call_id == call.c.id)
    .outerjoin(task, task.c.number == call.c.task)
    .outerjoin(call_cache, call_cache.c.call_id == call.c.id)
)

_IS_RUNNING = call.c.id.in_(sa.select(running_call.c.call_id))


class SqlCalls:
    """`record.calls.CallQueries` over SQL."""

    def __init__(self, database: Database, names: Names) -> None:
        self._database = database
        self._names = names

    async def find(self, org_id: str, call_id: bytes) -> CallRow | None:
        """One call, by its id."""
        async with self._database.read() as connection:
            rows = await self._select(connection, org_id, _WITH_MESSAGE.where(call.c.id == call_id))
            return rows[0] if rows else None

    async def attempts(self, call_ids: Collection[bytes]) -> dict[bytes, list[AttemptRow]]:
        """The tries of each call, in order."""
        query = sa.select(attempt).where(attempt.c.call_id.in_(call_ids)).order_by(attempt.c.call_id, attempt.c.number)
        told = sa.select(call).where(call.c.id.in_(call_ids), call.c.deployment != EMPTY)
        found: dict[bytes, list[AttemptRow]] = {}
        async with self._database.read() as connection:
            rows = [dict(row) for row in (await connection.execute(query)).mappings()]
            rows += [row_in_call(dict(row)) for row in (await connection.execute(told)).mappings()]
            texts = await self._names.texts(connection, {row[column] for row in rows for column in NAMED_IN_ATTEMPT})
        for row in rows:
            found.setdefault(row["call_id"], []).append(_attempt_row(row, texts))
        return found

    async def recent(
        self, org_id: str, *, limit: int, before: bytes | None = None, where: CallFilter = ANY_CALL
    ) -> list[CallRow]:
        """Calls, newest first."""
        query = _WITH_MESSAGE.order_by(call.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(call.c.id < before)
        if where.since is not None:
            # An id begins with its millisecond, so the primary key bounds the search.
            query = query.where(call.c.started_at >= where.since, call.c.id >= first_id(where.since))
        if where.until is not None:
            query = query.where(call.c.started_at < where.until)
        if where.task_id:
            found = sa.select(sa.func.coalesce(task.c.same_as, task.c.number)).where(task.c.id == where.task_id)
            query = query.where(call.c.task == found.scalar_subquery())
        if where.is_ended:
            query = query.where(call.c.duration_us.is_not(None))
        async with self._database.read() as connection:
            org = await self._names.find(connection, org_id)
            hours = None if org is None else await hours_of(connection, self._names, org, where, before)
            if hours is None:
                return await self._select(connection, org_id, query, where)
            running = [] if where.is_ended else await self._select(connection, org_id, query.where(_IS_RUNNING), where)
            ended: dict[bytes, CallRow] = {}
            async for span in hours:
                if len(ended) >= limit:
                    break
                ids = (call.c.id >= first_id(span.starts_at), call.c.id < first_id(span.ends_at))
                rows = await self._select(connection, org_id, query.where(*ids, call.c.duration_us.is_not(None)), where)
                ended.update((row.id, row) for row in rows)
        return sorted((*running, *ended.values()), key=lambda row: row.id, reverse=True)[:limit]

    async def changed(self, org_id: str, *, after: int, limit: int) -> list[CallRow]:
        """Calls that changed after a change number, in that order."""
        query = _WITH_MESSAGE.where(call.c.change > after).order_by(call.c.change).limit(limit)
        async with self._database.read() as connection:
            return await self._select(connection, org_id, query, org_column=call.c.org)

    async def payers_since(self, org_id: str, *, after: int) -> set[Payers]:
        """Who pays for the calls that changed after a change number."""
        query = sa.select(call.c.key, call.c.user, call.c.team, call.c.tags).distinct().where(call.c.change > after)
        async with self._database.read() as connection:
            org = await self._names.find(connection, org_id)
            rows = (await connection.execute(query.where(call.c.org == org))).all()
            texts = await self._names.texts(connection, {number for row in rows for number in row})
        return {Payers(texts[key], texts[user], texts[team], _told_tags(texts[tags])) for key, user, team, tags in rows}

    async def pace(self, org_id: str, *, since: int, step_us: int) -> list[Pace]:
        """The calls since a time, by steps of so long."""
        step = sa.literal_column(str(step_us), sa.BigInteger)
        start = sa.literal_column(str(since), sa.BigInteger)
        began = (call.c.started_at - start) // step
        ended = (call.c.started_at + call.c.duration_us - start) // step
        query = sa.select(began, ended, call.c.status, sa.func.count(), sa.func.sum(call.c.cost_nanousd))
        async with self._database.read() as connection:
            since_then = await self._since(connection, org_id, since)
            rows = (await connection.execute(query.where(*since_then).group_by(began, ended, call.c.status))).all()
            texts = await self._names.texts(connection, {row[2] for row in rows})
        return [
            Pace(began, ended, texts[status], calls, int(cost))  # type: ignore[arg-type]  # written from the same literals
            for began, ended, status, calls, cost in rows
        ]

    async def own_times(self, org_id: str, *, since: int, share: float = 1.0) -> list[tuple[int, int]]:
        """When answered calls began and how long each took without its time upstream."""
        query = sa.select(call.c.started_at, call.c.duration_us - call.c.upstream_us)
        if share < 1:  # an id ends with chance
            query = query.where(sa.func.substr(call.c.id, 16, 1) < bytes([int(share * 256)]))
        async with self._database.read() as connection:
            answered = await self._names.find(connection, "ok")
            query = query.where(*await self._since(connection, org_id, since), call.c.status == answered)
            return [(started_at, max(0, own_us)) for started_at, own_us in await connection.execute(query)]

    async def under_way(self, org_id: str) -> tuple[int, int]:
        """How many calls are under way, and what is reserved for them."""
        reserved = sa.func.coalesce(sa.func.sum(call.c.reserved_nanousd), 0)
        query = sa.select(sa.func.count(), reserved).where(_IS_RUNNING, call.c.duration_us.is_(None))
        async with self._database.read() as connection:
            org = await self._names.find(connection, org_id)
            count, nanousd = (await connection.execute(query.where(CALL_ORG == org))).one()
            return count, int(nanousd)

    async def _since(self, connection: AsyncConnection, org_id: str, since: int) -> list[sa.ColumnElement[bool]]:
        """Conditions: of the organisation, begun since a time; the primary key bounds the search."""
        org = await self._names.find(connection, org_id)
        return [
            sa.false() if org is None else CALL_ORG == org,
            call.c.started_at >= since,
            call.c.id >= first_id(since - LONGEST_LEAD_US),
        ]

    async def last_change(self) -> int:
        """The newest change number."""
        query = sa.select(counter.c.value).where(counter.c.name == "change")
        async with self._database.read() as connection:
            value: int = (await connection.execute(query)).scalar_one()
            return value

    async def _select(
        self,
        connection: AsyncConnection,
        org_id: str,
        query: sa.Select[Any],
        where: CallFilter = ANY_CALL,
        org_column: sa.ColumnElement[int] = CALL_ORG,
    ) -> list[CallRow]:
        wanted = {
            "key": where.key_id,
            "user": where.user_id,
            "team": where.team_id,
            "model": where.model,
            "status": where.status,
            "agent": where.agent,
        }
        conditions = await self._conditions(connection, org_id, wanted, org_column)
        if where.tag:
            conditions.append(call.c.tags.in_(await self._tag_sets(connection, where.tag)))
        if where.part is not None:
            conditions.append(await in_part(connection, self._names, where.part, call))
        if where.mode is not None:
            conditions.append(in_mode(where.mode))
        if where.repository is not None:
            number = await self._names.find(connection, where.repository)
            conditions.append(sa.false() if number is None else call.c.repository == number)
        rows = (await connection.execute(query.where(*conditions))).mappings().all()
        texts = await self._names.texts(
            connection, {row[one] or EMPTY for row in rows for one in (*NAMED, "cache_cause")}
        )
        return [_call_row(row, texts) for row in rows]

    async def _tag_sets(self, connection: AsyncConnection, tag: str) -> list[int]:
        """The numbers of the sets of tags, JSON lists, that have this one. A pattern alone would not heed case."""
        inside = msgspec.json.encode(tag).decode()
        likely = name.c.text.contains(inside, autoescape=True)
        rows = await connection.execute(sa.select(name).where(name.c.text.startswith("["), likely))
        return [number for number, text in rows if tag in _tags(text)]

    async def _conditions(
        self,
        connection: AsyncConnection,
        org_id: str,
        wanted: dict[str, str],
        org_column: sa.ColumnElement[int],
    ) -> list[sa.ColumnElement[bool]]:
        """The organisation, and equality on named columns; a name that was never seen matches nothing."""
        conditions: list[sa.ColumnElement[bool]] = []
        for column, text in {"org": org_id, **wanted}.items():
            if text or column == "org":
                number = await self._names.find(connection, text)
                of_call = org_column if column == "org" else call.c[column]
                conditions.append(sa.false() if number is None else of_call == number)
        return conditions


def _tags(text: str) -> tuple[str, ...]:
    try:
        return tags_of(text)
    except msgspec.DecodeError:  # a name that only looks like a list
        return ()


def _told_tags(text: str) -> tuple[str, ...]:
    return tuple(msgspec.json.decode(text, type=list[str])) if text else ()


def _usage(row: Mapping[str, Any] | sa.RowMapping) -> Usage:
    return Usage(*(row[column] for column in USAGE_COLUMNS))


def _attempt_row(row: Mapping[str, Any], texts: dict[int, str]) -> AttemptRow:
    return AttemptRow(
        deployment=texts[row["deployment"]],
        started_at=row["started_at"],
        duration_us=row["duration_us"],
        status=row["status"],
        error=texts[row["error"]],
        usage=_usage(row),
        list_cost_nanousd=row["list_cost_nanousd"],
        cost_nanousd=row["cost_nanousd"],
        price_version=texts[row["price_version"]],
        price_scope=texts[row["price_scope"]],
        upstream_request_id=row["upstream_request_id"],
    )


def _call_row(row: sa.RowMapping, texts: dict[int, str]) -> CallRow:
    mode, turn = mode_and_turn(row["kind"])
    named = {column: texts[row[column]] for column in NAMED}
    duration_us = row["duration_us"]
    stop_reason, tools = read_ending(named["stop_reason"])
    stages_us, lead_us, waited_us = unpack_times(row["stages_us"])
    return CallRow(
        id=row["id"],
        change=row["change"],
        status=named["status"],  # type: ignore[arg-type]  # written by the ledger from the same literals
        org_id=named["org"],
        key_id=named["key"],
        user_id=named["user"],
        team_id=named["team"],
        tags=_told_tags(named["tags"]),
        agent=named["agent"],
        agent_version=named["agent_version"],
        session=named["session"],
        door=named["door"],
        model=named["model"],
        stream=row["stream"],
        request_bytes=row["request_bytes"],
        reserved_nanousd=row["reserved_nanousd"],
        started_at=row["started_at"],
        ended_at=None if duration_us is None else row["started_at"] + duration_us,
        stage=named["stage"],
        stop_reason=stop_reason,
        error=named["error"],
        message=row["message"] or "",
        is_metered=row["is_metered"],
        client_left=row["client_left"],
        usage=_usage(row),
        list_cost_nanousd=row["list_cost_nanousd"],
        cost_nanousd=row["cost_nanousd"],
        price_version=named["price_version"],
        price_scope=named["price_scope"],
        tools=tools,
        first_byte_us=row["first_byte_us"],
        upstream_us=row["upstream_us"],
        stages_us=stages_us,
        lead_us=lead_us,
        waited_us=waited_us,
        asked_model=row["asked_model"] or "",
        clamped_tokens=row["clamped_tokens"] or 0,
        delayed_ms=row["delayed_ms"] or 0,
        cache_saved_nanousd=row["cache_saved_nanousd"] or 0,
        cache_lost_nanousd=row["cache_lost_nanousd"] or 0,
        cache_cause=texts[row["cache_cause"] or EMPTY],
        task_id=row["task_id"] or b"",
        mode=mode,
        turn=turn,
        repository=named["repository"],
    )
