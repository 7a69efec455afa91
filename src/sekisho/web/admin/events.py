"""Events and bounds in the admin API: what happened at budgets' thresholds, and how near bounds are to costs."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from sekisho.access.roles import Principal
from sekisho.record.bounds import BoundSum
from sekisho.record.events import Event
from sekisho.web.admin.authority import Authority
from sekisho.web.admin.services import Services
from sekisho.web.admin.times import iso, parse_since, parse_until

_USUAL_US = 7 * 86_400_000_000


class EventPage(BaseModel):
    """Events, newest first. `next`: pass it as `before` for the following page; null at the end."""

    events: list[dict[str, Any]]
    next: int | None


class BoundRow(BaseModel):
    """Metered calls of one agent on one model that ended well. `ratio`: reserved to spent; null where nothing cost.

    `breaches` cost more than their bound: there should be none. `clamped` answers were made shorter than asked;
    `stepped_down` calls had asked for another model."""

    agent: str
    model: str
    calls: int
    reserved_nanousd: int
    cost_nanousd: int
    ratio: float | None
    breaches: int
    clamped: int
    stepped_down: int


class BoundReport(BaseModel):
    """Those with the most money reserved first."""

    since: str | None
    until: str | None
    rows: list[BoundRow]


def events_router(services: Services, authority: Authority) -> APIRouter:
    """Routes for whoever may see the budgets, and the spend, of all."""
    router = APIRouter(prefix="/admin/v1", tags=["budgets"])
    budgets = Annotated[Principal, Depends(authority.require("budgets:read"))]
    spend = Annotated[Principal, Depends(authority.require("spend:read"))]

    @router.get("/events")
    async def list_events(
        _who: budgets,
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
        before: Annotated[int | None, Query(ge=0, lt=2**31)] = None,
    ) -> EventPage:
        """What happened, newest first: a threshold of a budget is there once for each of its windows."""
        found = await services.events.list_events(services.org_id, limit=limit + 1, before=before)
        shown = [_render(event) for event in found[:limit]]
        return EventPage(events=shown, next=shown[-1]["id"] if len(found) > limit else None)

    @router.get("/bounds")
    async def list_bounds(_who: spend, since: str | None = None, until: str | None = None) -> BoundReport:
        """How much more than their cost calls had reserved, by agent and model. Of the last seven days unless told."""
        now_us = services.clock.now_us()
        since_us, until_us = parse_since(since, "since"), parse_until(until, "until")
        since_us = now_us - _USUAL_US if since_us is None else since_us
        until_us = now_us + 1_000_000 if until_us is None else until_us
        rows = await services.bounds.bounds(services.org_id, since_us, until_us)
        return BoundReport(since=iso(since_us), until=iso(until_us), rows=[_row(row) for row in rows])

    return router


def _render(event: Event) -> dict[str, Any]:
    detail = dict(event.detail)
    if "window_starts_at" in detail:
        detail["window_starts_at"] = iso(detail["window_starts_at"])
    return {"id": event.id, "kind": event.kind, "at": iso(event.at), **detail}


def _row(row: BoundSum) -> BoundRow:
    ratio = round(row.reserved_nanousd / row.cost_nanousd, 2) if row.cost_nanousd else None
    return BoundRow(
        agent=row.agent,
        model=row.model,
        calls=row.calls,
        reserved_nanousd=row.reserved_nanousd,
        cost_nanousd=row.cost_nanousd,
        ratio=ratio,
        breaches=row.breaches,
        clamped=row.clamped,
        stepped_down=row.stepped_down,
    )
