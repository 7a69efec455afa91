"""Prompt caches in Sekisho's own admin API, under /admin/v1: what they saved, what broke them, and what to do."""

from datetime import date, timedelta
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from sekisho.access.roles import Principal
from sekisho.clock import id_text, parse_id
from sekisho.errors import BadRequest, NotFound
from sekisho.record.cache import REMEDIES, BrokenCache, CacheDimension, CacheFilter, CacheSum
from sekisho.values import BreakCause
from sekisho.web.admin.authority import Authority
from sekisho.web.admin.calls import parse_call_id, part_of
from sekisho.web.admin.services import Services
from sekisho.web.admin.times import iso, parse_since, parse_until

_EPOCH_DAY = date(1970, 1, 1)


class CacheRow(BaseModel):
    """A sum over ended calls; fields that are not grouped by are null. Costs are nano-USD.

    `hit_rate`: how much of all prompts the caches served, null without any. `saved_nanousd`: what the calls would have
    cost more without caching; `lost_nanousd`: what broken caches cost. A row with a `cause` tells `calls` and
    `lost_nanousd` only."""

    day: str | None = None
    team_id: str | None = None
    cause: str | None = None
    calls: int
    input_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    hit_rate: float | None
    saved_nanousd: int
    lost_nanousd: int


class CacheReport(BaseModel):
    """Sums by UTC day, then the dearest losses first, and the sum of all calls asked for."""

    rows: list[CacheRow]
    total: CacheRow


class TaskCache(BaseModel):
    """What caches did for a task, and what the causes of its breaks cost."""

    total: CacheRow
    causes: list[CacheRow]


class Break(BaseModel):
    """A call that was served less from the cache than the turn before had put there.

    `block`: the first part of the prompt that was another one; `before`: the call of the turn before; `remedy`: what to
    do, by language."""

    call_id: str
    started_at: str | None
    task_id: str | None
    team_id: str
    user_id: str
    key_id: str
    agent: str
    model: str
    cause: BreakCause
    block: str
    detail: str
    lost_tokens: int
    lost_nanousd: int
    before: str
    remedy: dict[str, str]


class BreakPage(BaseModel):
    """Breaks, newest first. `next`: pass it as `before` for the following page; null at the end."""

    breaks: list[Break]
    next: str | None


def cache_router(services: Services, authority: Authority) -> APIRouter:
    """Routes for whoever may see the calls: of all, of a team that one leads, or one's own."""
    router = APIRouter(prefix="/admin/v1", tags=["cache"])
    reader = Annotated[Principal, Depends(authority.within("spend:read"))]

    @router.get("/cache")
    async def cache(
        who: reader,
        by: Annotated[list[CacheDimension] | None, Query()] = None,
        team_id: str = "",
        since: str | None = None,
        until: str | None = None,
    ) -> CacheReport:
        """Sums by any of team, day (of UTC) and cause. `since` and `until` are dates (whole days, UTC) or times; sums
        of teams know whole days only."""
        where = CacheFilter(
            team_id=team_id,
            since=parse_since(since, "since"),
            until=parse_until(until, "until"),
            part=part_of(who),
        )
        dimensions = tuple(dict.fromkeys(by or ()))
        rows = await services.cache.sums(services.org_id, dimensions, where) if dimensions else []
        (total,) = await services.cache.sums(services.org_id, (), where)
        return CacheReport(rows=[_row(one, dimensions) for one in rows], total=_row(total))

    @router.get("/cache/breaks")
    async def cache_breaks(
        who: reader,
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
        before: str = "",
        team_id: str = "",
        task_id: str = "",
        cause: BreakCause | None = None,
        since: str | None = None,
        until: str | None = None,
    ) -> BreakPage:
        """Calls whose cache was broken, newest first, each with its cause and a remedy."""
        where = CacheFilter(
            team_id=team_id,
            task_id=_parse_task(task_id) if task_id else b"",
            cause=cause or "",
            since=parse_since(since, "since"),
            until=parse_until(until, "until"),
            part=part_of(who),
        )
        cursor = parse_call_id(before, "before") if before else None
        found = await services.cache.breaks(services.org_id, limit=limit + 1, before=cursor, where=where)
        breaks = [_break(one) for one in found[:limit]]
        return BreakPage(breaks=breaks, next=breaks[-1].call_id if len(found) > limit else None)

    @router.get("/tasks/{task_id}/cache")
    async def task_cache(task_id: str, who: reader) -> TaskCache:
        """What caches did for a task."""
        row = await services.tasks.find(services.org_id, _parse_task(task_id))
        if row is None or not who.sight("spend:read").covers(team_id=row.team_id, user_id=row.user_id):
            raise NotFound("There is no such task.")
        total, *causes = await services.cache.of_task(services.org_id, row.id)
        return TaskCache(total=_row(total), causes=[_row(one, ("cause",)) for one in causes])

    return router


def _parse_task(text: str) -> bytes:
    try:
        return parse_id(text)
    except ValueError as error:
        raise BadRequest("This is not the id of a task.", param="task_id") from error


def _row(one: CacheSum, by: tuple[CacheDimension, ...] = ()) -> CacheRow:
    fields: dict[str, Any] = msgspec.structs.asdict(one)
    fields["day"] = (_EPOCH_DAY + timedelta(days=one.day)).isoformat() if one.day is not None else None
    fields["team_id"] = one.team_id if "team" in by else None
    fields["cause"] = one.cause if "cause" in by else None
    rate = None if one.hit_rate is None else round(one.hit_rate, 6)
    return CacheRow(**fields, hit_rate=rate)


def _break(one: BrokenCache) -> Break:
    fields: dict[str, Any] = msgspec.structs.asdict(one) | {
        "call_id": id_text(one.call_id),
        "before": id_text(one.before),
        "task_id": id_text(one.task_id) if one.task_id else None,
        "started_at": iso(one.started_at),
        "remedy": dict(REMEDIES[one.cause]),
    }
    return Break(**fields)
