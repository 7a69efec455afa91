"""Spend in Sekisho's own admin API: GET /admin/v1/spend, as JSON or CSV."""

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import msgspec
from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel
from starlette.responses import PlainTextResponse, Response

from sekisho.access.roles import Principal
from sekisho.errors import BadRequest
from sekisho.record.spend import Dimension, Period, Spend, SpendQuery
from sekisho.web.admin.authority import Authority
from sekisho.web.admin.calls import TokenCounts, tokens
from sekisho.web.admin.services import Services
from sekisho.web.admin.times import EPOCH, MICROSECOND, iso, parse_since, parse_until, parse_zone
from sekisho.web.csv_cells import harmless

MOST_ROWS = 10_000
MOST_CSV_ROWS = 100_000
USUAL_DAYS = 30  # where a report by day, week or month says no beginning
FIELDS: dict[Dimension, str] = {
    "team": "team_id",
    "user": "user_id",
    "key": "key_id",
    "tag": "tag",
    "model": "model",
    "agent": "agent",
    "mode": "mode",
    "repository": "repository",
}

Values = Annotated[list[str] | None, Query()]


class SpendRow(BaseModel):
    """A sum over ended calls. Costs are nano-USD. Fields that are not grouped by are null.

    `period` is the date on which the day, week or month begins in the time zone asked for. `refused` calls are not
    among `calls`, `failed` ones are."""

    period: str | None = None
    starts_at: str | None = None
    team_id: str | None = None
    user_id: str | None = None
    key_id: str | None = None
    tag: str | None = None
    model: str | None = None
    agent: str | None = None
    mode: str | None = None
    repository: str | None = None
    calls: int
    failed: int
    refused: int
    usage: TokenCounts
    list_cost_nanousd: int
    cost_nanousd: int


class SpendReport(BaseModel):
    """Sums by period, then dearest first, and the sum of all calls asked for (a call with two tags counts once in it).

    `next`: pass it as `after` for the following rows; null at the end."""

    since: str | None
    until: str | None
    time_zone: str
    rows: list[SpendRow]
    total: SpendRow
    next: str | None


def spend_router(services: Services, authority: Authority) -> APIRouter:
    """Routes for whoever may see spend: everybody's, that of teams, or one's own."""
    router = APIRouter(prefix="/admin/v1", tags=["spend"])
    reader = Annotated[Principal, Depends(authority.within("spend:read"))]

    @router.get(
        "/spend", response_model=SpendReport, responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}
    )
    async def spend(
        who: reader,
        by: Annotated[list[Dimension] | None, Query()] = None,
        period: Period | None = None,
        since: str | None = None,
        until: str | None = None,
        time_zone: str | None = None,
        team: Values = None,
        user: Values = None,
        key: Values = None,
        tag: Values = None,
        model: Values = None,
        agent: Values = None,
        mode: Values = None,
        repository: Values = None,
        limit: Annotated[int, Query(ge=1, le=MOST_ROWS)] = 1000,
        after: Annotated[str, Query(pattern="^[0-9]{0,9}$")] = "",
        format: Literal["json", "csv"] = "json",
    ) -> Any:
        """Sums by any of team, user, key, tag, model, agent, mode, repository (`by=team&by=model`) and by day, week or
        month.

        `since` and `until` are dates (whole days of the time zone) or times. A filter may repeat; "" means none, such
        as calls without a team, or titles and summaries, which have no mode.
        `repository` is the client's claim. CSV holds all rows, at most 100,000.
        """
        zone_name = time_zone or services.time_zone
        zone = parse_zone(zone_name)
        named: dict[Dimension, list[str] | None] = {
            "team": team,
            "user": user,
            "key": key,
            "tag": tag,
            "model": model,
            "agent": agent,
            "mode": mode,
            "repository": repository,
        }
        query = SpendQuery(
            by=tuple(dict.fromkeys(by or ())),
            period=period,
            since=parse_since(since, "since", zone),
            until=parse_until(until, "until", zone),
            time_zone=zone_name,
            where=within_sight({one: tuple(values) for one, values in named.items() if values}, who),
        )
        query = _bounded(query, services.clock.now_us(), zone)
        rows = await services.spend.spend(services.org_id, query) if query.by or query.period else []
        if format == "csv":
            return _csv(rows, query, zone)
        (total,) = await services.spend.spend(services.org_id, msgspec.structs.replace(query, by=(), period=None))
        first = int(after or 0)
        page = rows[first : first + limit]
        return SpendReport(
            since=iso(query.since),
            until=iso(query.until),
            time_zone=zone_name,
            rows=[_row(row, query, zone) for row in page],
            total=_row(total, msgspec.structs.replace(query, by=(), period=None), zone),
            next=str(first + limit) if len(rows) > first + limit else None,
        )

    return router


def within_sight(where: Mapping[Dimension, tuple[str, ...]], who: Principal) -> dict[Dimension, tuple[str, ...]]:
    """The filters, narrowed to what this principal may see: teams that it leads, or else its own calls."""
    sight = who.sight("spend:read")
    where = dict(where)
    if sight.is_all:
        return where
    if sight.team_ids and where.get("user") != (sight.user_id,):
        asked = where.get("team", tuple(sorted(sight.team_ids)))
        return where | {"team": tuple(one for one in asked if one in sight.team_ids)}
    asked = where.get("user", (sight.user_id,))
    return where | {"user": tuple(one for one in asked if one and one == sight.user_id)}


def _bounded(query: SpendQuery, now_us: int, zone: ZoneInfo) -> SpendQuery:
    """Sums by period need both ends: where nothing is said, thirty days up to the end of today. Raises BadRequest."""
    if query.since is not None and query.until is not None and query.since >= query.until:
        raise BadRequest("The time asked for ends before it begins.", param="until")
    if query.period is None:
        return query
    until = query.until
    if until is None:
        until = parse_until(_day(now_us, zone).isoformat(), "until", zone) or now_us
    since = query.since
    if since is None:
        first_day = _day(until - 1, zone) - timedelta(days=USUAL_DAYS - 1)
        since = parse_since(first_day.isoformat(), "since", zone)
    return msgspec.structs.replace(query, since=since, until=until)


def _row(spend: Spend, query: SpendQuery, zone: ZoneInfo) -> SpendRow:
    fields = {name: getattr(spend, name) for dimension, name in FIELDS.items() if dimension in query.by}
    return SpendRow(
        **fields,
        period=_day(spend.starts_at or 0, zone).isoformat() if query.period else None,
        starts_at=iso(spend.starts_at),
        calls=spend.calls,
        failed=spend.failed,
        refused=spend.refused,
        usage=tokens(spend.usage),
        list_cost_nanousd=spend.list_cost_nanousd,
        cost_nanousd=spend.cost_nanousd,
    )


def _day(at_us: int, zone: ZoneInfo) -> date:
    return (EPOCH + at_us * MICROSECOND).astimezone(zone).date()


def _csv(rows: Sequence[Spend], query: SpendQuery, zone: ZoneInfo) -> Response:
    """All rows under one header. Raises BadRequest when there are too many."""
    if not (query.by or query.period):
        raise BadRequest("Say what to group by: by or period.", param="by")
    if len(rows) > MOST_CSV_ROWS:
        raise BadRequest(f"There are more than {MOST_CSV_ROWS} rows. Ask for less time or fewer groups.", param="by")
    names = [name for dimension, name in FIELDS.items() if dimension in query.by]
    counts = TokenCounts.model_fields
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    head = [*(["period"] if query.period else []), *names, "calls", "failed", "refused", *counts]
    writer.writerow([*head, "list_cost_nanousd", "cost_nanousd", "cost_usd"])
    for row in rows:
        named = [_day(row.starts_at or 0, zone).isoformat()] if query.period else []
        named += [harmless(getattr(row, name)) for name in names]
        figures = [row.calls, row.failed, row.refused, *(getattr(row.usage, name) for name in counts)]
        money = [row.list_cost_nanousd, row.cost_nanousd, exact_usd(row.cost_nanousd)]
        writer.writerow([*named, *figures, *money])
    return PlainTextResponse(text.getvalue(), media_type="text/csv")


def exact_usd(nanousd: int) -> str:
    """Dollars with nine decimals: nothing is rounded."""
    return f"{'-' if nanousd < 0 else ''}{abs(nanousd) // 10**9}.{abs(nanousd) % 10**9:09d}"
