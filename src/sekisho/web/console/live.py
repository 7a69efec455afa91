"""The live page: calls passing the gate now, their changes, one call alone, and the way to a call by its id.

Above: the router. Below: `CallQueries`. It needs no JavaScript to be read; a script makes the list live.
"""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sekisho.clock import Clock
from sekisho.errors import NotFound
from sekisho.web.console.drawing import Drawing
from sekisho.web.console.edge import Visit
from sekisho.web.console.filters import number_of
from sekisho.web.console.nav import ROOT, places_of
from sekisho.web.console.page import Page
from sekisho.web.console.rows import agent_name, make_row, seal_of, trends
from sekisho.web.console.views import (
    CALL_STATES,
    CallChoices,
    CallFilter,
    CallQueries,
    CallView,
    Choice,
)

LIVE = f"{ROOT}/live"
PAGE_ROWS = 50
CHANGES_AT_ONCE = 200
_CALL_ID = re.compile(r"^[0-9a-hjkmnp-tv-z]{26}$")


def live_pages(queries: CallQueries, drawing: Drawing, clock: Clock) -> tuple[Page, ...]:
    """The pages of this file."""
    pages = _Live(queries, drawing, clock)
    return (
        Page("live", pages.live, place="live"),
        Page("calls/changes", pages.changes, place="live"),
        Page("calls/{call_id}", pages.call),
        Page("calls/{call_id}/detail", pages.detail),
    )


@dataclass
class _Live:
    """One method for each page."""

    queries: CallQueries
    drawing: Drawing
    clock: Clock

    async def live(self, visit: Visit) -> Response:
        """The list of calls, newest first, narrowed and paged by the address."""
        wanted, before = _wanted(visit.request)
        after = await self.queries.last_change()  # before the rows: a change in between is then sent again, not lost
        found = await self.queries.recent(wanted, limit=PAGE_ROWS + 1, before=before or None)
        calls = list(found)[:PAGE_ROWS]
        totals = await self.queries.totals()
        older = _address(wanted, calls[-1].call_id) if len(found) > PAGE_ROWS else ""
        return self.drawing.page(
            visit,
            "calls.html",
            rows=[make_row(call, self.drawing.info.stages, visit.words) for call in calls],
            filters=_filters(wanted, await self.queries.choices(), visit),
            is_filtered=wanted != CallFilter(),
            is_head=not before,
            after=after,
            older=older,
            newest=_address(wanted),
            csv=_csv_address(wanted),
            page_rows=PAGE_ROWS,
            totals=totals,
            trends=trends(totals),
            seals=[seal_of(state, visit.words) for state in CALL_STATES],
            now_us=self.clock.now_us(),
        )

    async def changes(self, visit: Visit) -> Response:
        """What changed since `after`, as JSON: rows as HTML, or null for a call that left the filter.

        Keys: after, rows [{id, html}], more (ask again at once), band (HTML, only when asked for), now_ms, clock.
        """
        wanted, _ = _wanted(visit.request)
        after = number_of(visit.request.query_params.get("after", ""))
        calls = await self.queries.changed_after(after, limit=CHANGES_AT_ONCE)
        band = None
        if visit.request.query_params.get("band") == "1":
            totals = await self.queries.totals()
            band = self.drawing.text(visit, "_band.html", totals=totals, trends=trends(totals))
        now_us = self.clock.now_us()
        rows = [
            {"id": call.call_id, "html": self._row(visit, call, now_us) if wanted.matches(call) else None}
            for call in calls
        ]
        return JSONResponse(
            {
                "after": max((call.change_seq for call in calls), default=after),
                "rows": rows,
                "more": len(calls) == CHANGES_AT_ONCE,
                "band": band,
                "now_ms": now_us // 1000,
                "clock": visit.words.clock_time(now_us),
            }
        )

    async def call(self, visit: Visit) -> Response:
        """One call on a page of its own, to link to."""
        row = await self._found(visit)
        return self.drawing.page(visit, "call.html", row=row, back=places_of(visit.role)[0])

    async def detail(self, visit: Visit) -> Response:
        """One call as the row that opens under it in the list."""
        return Response(
            self.drawing.text(visit, "_detail_row.html", row=await self._found(visit)), media_type="text/html"
        )

    async def _found(self, visit: Visit) -> Any:
        call_id = visit.request.path_params["call_id"]
        call = await self.queries.find(call_id) if _CALL_ID.match(call_id) else None
        sight = visit.who.sight("spend:read")
        if call is None or not sight.covers(team_id=call.team_id, user_id=call.user_id):
            raise NotFound
        return make_row(call, self.drawing.info.stages, visit.words)

    def _row(self, visit: Visit, call: CallView, now_us: int) -> str:
        return self.drawing.text(
            visit, "_row.html", row=make_row(call, self.drawing.info.stages, visit.words), now_us=now_us
        )


@dataclass(frozen=True, slots=True)
class _FilterMenu:
    """One filter as a chip with a menu. `off`: the address without it."""

    name: str
    value: str
    label: str
    off: str
    options: tuple[tuple[str, str, bool], ...]


def _wanted(request: Request) -> tuple[CallFilter, str]:
    """The filter and the page that an address names; what cannot be is ignored."""
    query = request.query_params
    status = query.get("status", "")
    before = query.get("before", "")
    wanted = CallFilter(
        status=status if status in CALL_STATES else "",
        team=query.get("team", "")[:200],
        agent=query.get("agent", "")[:100],
        model=query.get("model", "")[:200],
        key=query.get("key", "")[:100],
    )
    return wanted, before if _CALL_ID.match(before) else ""


def _address(wanted: CallFilter, before: str = "") -> str:
    fields = {name: value for name, value in msgspec.structs.asdict(wanted).items() if value}
    if before:
        fields["before"] = before
    return f"{LIVE}?{urlencode(fields, quote_via=quote)}" if fields else LIVE


def _csv_address(wanted: CallFilter) -> str:
    """Where the same calls are exported."""
    fields = {name: value for name, value in msgspec.structs.asdict(wanted).items() if value}
    return f"{ROOT}/calls?{urlencode({**fields, 'format': 'csv'}, quote_via=quote)}"


def _filters(wanted: CallFilter, choices: CallChoices, visit: Visit) -> list[_FilterMenu]:
    """The chips above the list, each with the addresses it leads to."""
    states = tuple(Choice(state, str(visit.words(f"seal.{state}"))) for state in CALL_STATES)
    agents = tuple(Choice(choice.value, agent_name(choice.value)) for choice in choices.agents)
    named = {
        "status": states,
        "team": choices.teams,
        "agent": agents,
        "model": choices.models,
        "key": choices.keys,
    }
    menus = []
    for name, offered in named.items():
        value = getattr(wanted, name)
        label = next((choice.label for choice in offered if choice.value == value), value)
        options = tuple(
            (choice.label, _address(msgspec.structs.replace(wanted, **{name: choice.value})), choice.value == value)
            for choice in offered
        )
        off = _address(msgspec.structs.replace(wanted, **{name: ""}))
        menus.append(_FilterMenu(name, value, label, off, options))
    return menus
