"""The console's pages: live calls, one call, and the way in and out.

Above: an ASGI application that mounts the router. Below: `CallQueries` and `ConsoleSessions`. It knows no SQL and
needs no JavaScript to be read; a script makes the list live.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from fastapi import APIRouter
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from sekisho.clock import Clock, SystemClock
from sekisho.errors import Conflict, NotAllowed, NotAuthenticated, NotFound
from sekisho.web.console.assets import load_assets
from sekisho.web.console.edge import (
    LANGUAGE_COOKIE,
    ROOT,
    SESSION_COOKIE,
    THEME_COOKIE,
    THEMES,
    VISIT_COOKIE,
    Edge,
    Visit,
    read_form,
    safe_return,
)
from sekisho.web.console.language import CATALOGUES
from sekisho.web.console.rows import agent_name, make_row, seal_of, trends
from sekisho.web.console.views import (
    CALL_STATES,
    CallChoices,
    CallFilter,
    CallQueries,
    CallView,
    Choice,
    ConsoleInfo,
    ConsoleSessions,
    HandOvers,
    HandOverView,
)

PAGE_ROWS = 50
CHANGES_AT_ONCE = 200
_CALL_ID = re.compile(r"^[0-9a-hjkmnp-tv-z]{26}$")
_IMMUTABLE = "public, max-age=31536000, immutable"


def create_console_router(
    queries: CallQueries,
    sessions: ConsoleSessions,
    *,
    info: ConsoleInfo,
    clock: Clock | None = None,
    hand_overs: HandOvers | None = None,
) -> APIRouter:
    """The routes under /console, and / which leads there, ready to include in an application."""
    pages = _Pages(queries, sessions, info, clock or SystemClock(), hand_overs)
    edge = pages.edge
    router = APIRouter()
    router.add_route("/", _to_console, ["GET"])
    router.add_route(ROOT, edge.page(pages.live), ["GET"])
    router.add_route(f"{ROOT}/", edge.page(pages.live), ["GET"])
    router.add_route(f"{ROOT}/calls/changes", edge.page(pages.changes), ["GET"])
    router.add_route(f"{ROOT}/calls/{{call_id}}", edge.page(pages.call), ["GET"])
    router.add_route(f"{ROOT}/calls/{{call_id}}/detail", edge.page(pages.detail), ["GET"])
    router.add_route(f"{ROOT}/find", edge.page(pages.find), ["GET"])
    router.add_route(f"{ROOT}/enter", edge.page(pages.enter, is_public=True), ["GET"])
    router.add_route(f"{ROOT}/enter", edge.page(pages.redeem, is_public=True), ["POST"])
    router.add_route(f"{ROOT}/hand-over/{{secret}}", edge.page(pages.hand_over, is_public=True), ["GET"])
    router.add_route(f"{ROOT}/hand-over/{{secret}}", edge.page(pages.reveal, is_public=True), ["POST"])
    router.add_route(f"{ROOT}/sign-in", edge.page(pages.sign_in, is_public=True), ["GET"])
    router.add_route(f"{ROOT}/sign-out", edge.page(pages.sign_out, is_public=True), ["POST"])
    router.add_route(f"{ROOT}/language", edge.page(pages.language, is_public=True), ["POST"])
    router.add_route(f"{ROOT}/theme", edge.page(pages.theme, is_public=True), ["POST"])
    router.add_route(f"{ROOT}/assets/{{address}}", pages.asset, ["GET"])
    router.add_route(f"{ROOT}/{{rest:path}}", edge.page(pages.nothing), ["GET", "POST"])
    return router


async def _to_console(_request: Request) -> Response:
    """Where a person goes who opens the bare address."""
    return RedirectResponse(ROOT, 303)


@dataclass
class _Pages:
    """One method for each page. Templates get the visit, its words, and what the page is about."""

    queries: CallQueries
    sessions: ConsoleSessions
    info: ConsoleInfo
    clock: Clock
    hand_overs: HandOvers | None
    edge: Edge = field(init=False)

    def __post_init__(self) -> None:
        self.edge = Edge(self.sessions, self.info, self.failed)
        assets = load_assets()
        self._assets = {asset.address: asset for asset in assets.values()}
        self._templates = Environment(
            loader=FileSystemLoader(Path(__file__).parent / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals.update(
            root=ROOT,
            info=self.info,
            asset={name: f"{ROOT}/assets/{asset.address}" for name, asset in assets.items()},
            themes=(*THEMES, "system"),
        )

    async def live(self, visit: Visit) -> Response:
        """The list of calls, newest first, narrowed and paged by the address."""
        wanted, before = _wanted(visit.request)
        after = await self.queries.last_change()  # before the rows: a change in between is then sent again, not lost
        found = await self.queries.recent(wanted, limit=PAGE_ROWS + 1, before=before or None)
        calls = list(found)[:PAGE_ROWS]
        totals = await self.queries.totals()
        older = _address(wanted, calls[-1].call_id) if len(found) > PAGE_ROWS else ""
        return self._html(
            visit,
            "calls.html",
            rows=[make_row(call, self.info.stages, visit.words) for call in calls],
            filters=_filters(wanted, await self.queries.choices(), visit),
            is_filtered=wanted != CallFilter(),
            is_head=not before,
            after=after,
            older=older,
            newest=_address(wanted),
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
        after = _number(visit.request.query_params.get("after", ""))
        calls = await self.queries.changed_after(after, limit=CHANGES_AT_ONCE)
        band = None
        if visit.request.query_params.get("band") == "1":
            totals = await self.queries.totals()
            band = self._text(visit, "_band.html", totals=totals, trends=trends(totals))
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
        return self._html(visit, "call.html", row=await self._found(visit))

    async def detail(self, visit: Visit) -> Response:
        """One call as the row that opens under it in the list."""
        return Response(self._text(visit, "_detail_row.html", row=await self._found(visit)), media_type="text/html")

    async def find(self, visit: Visit) -> Response:
        """Go to the call whose id was pasted, whatever stands around it."""
        words = re.split(r"[^0-9A-Za-z]+", visit.request.query_params.get("id", "")[:500].lower())
        call_id = next((word for word in words if _CALL_ID.match(word)), "")
        if not call_id:
            raise NotFound
        return RedirectResponse(f"{ROOT}/calls/{call_id}", 303)

    async def enter(self, visit: Visit) -> Response:
        """The page behind a one-time link. It spends nothing: only its button does, so a link preview cannot."""
        return self._html(visit, "enter.html", code=visit.request.query_params.get("code", "")[:200])

    async def redeem(self, visit: Visit) -> Response:
        """Spend the one-time code and start a session."""
        form = await read_form(visit)
        if form is None:
            return self.failed(visit, 403, "")
        token = await self.sessions.redeem(form.get("code", ""))
        if not token:
            return self._html(visit, "enter_failed.html", status=403)
        response = RedirectResponse(ROOT, 303)
        self.edge.set_cookie(response, SESSION_COOKIE, token)
        response.delete_cookie(VISIT_COOKIE, path=ROOT)
        return response

    async def hand_over(self, visit: Visit) -> Response:
        """The page behind a link that holds a key or a token. It spends nothing: only its button does."""
        return self._hand_over(visit, await self._look(visit))

    async def reveal(self, visit: Visit) -> Response:
        """Show what the link holds, once."""
        form = await read_form(visit)
        if form is None or self.hand_overs is None:
            return self.failed(visit, 403, "")
        view = await self._look(visit)
        try:
            secret = await self.hand_overs.redeem(visit.request.path_params["secret"], form.get("token", ""))
        except NotAuthenticated:
            return self._hand_over(visit, view, status=403, problem="token")
        except NotAllowed:
            return self._hand_over(visit, view, status=403, problem="other")
        except Conflict:
            return self._hand_over(visit, await self._look(visit))
        except NotFound:
            return self._hand_over(visit, msgspec.structs.replace(view, state="gone"))
        return self._hand_over(visit, view, shown=secret)

    async def _look(self, visit: Visit) -> HandOverView:
        if self.hand_overs is None:
            raise NotFound
        return await self.hand_overs.look(visit.request.path_params["secret"][:200])

    def _hand_over(
        self, visit: Visit, view: HandOverView, *, shown: str = "", problem: str = "", status: int = 0
    ) -> Response:
        command = "setup cline" if view.kind == "key" else "token whoami"
        return self._html(
            visit,
            "hand_over.html",
            status=status or (200 if shown or view.state == "open" else 410),
            kind=view.kind,
            state=view.state,
            is_bound=view.is_bound,
            expires_at=view.expires_at,
            problem=problem,
            shown=shown,
            next=f"{self.info.command} {command}",
        )

    async def sign_in(self, visit: Visit) -> Response:
        """Says how to get a link."""
        return self._html(visit, "sign_in.html", is_signed_out="out" in visit.request.query_params)

    async def sign_out(self, visit: Visit) -> Response:
        """End the session."""
        if await read_form(visit) is None:
            return self.failed(visit, 403, "")
        if visit.token:
            await self.sessions.end(visit.token)
        response = RedirectResponse(f"{ROOT}/sign-in?out", 303)
        response.delete_cookie(SESSION_COOKIE, path=ROOT)
        return response

    async def language(self, visit: Visit) -> Response:
        """Keep the chosen language and go back."""
        return await self._keep(visit, LANGUAGE_COOKIE, tuple(CATALOGUES))

    async def theme(self, visit: Visit) -> Response:
        """Keep the chosen theme and go back."""
        return await self._keep(visit, THEME_COOKIE, (*THEMES, "system"))

    async def nothing(self, visit: Visit) -> Response:
        """Any other address."""
        raise NotFound

    async def asset(self, request: Request) -> Response:
        """A static file. Its address names its content, so a browser may keep it for ever."""
        asset = self._assets.get(request.path_params["address"])
        if asset is None:
            return Response(status_code=404)
        headers = {"Cache-Control": _IMMUTABLE, "X-Content-Type-Options": "nosniff"}
        return Response(asset.content, media_type=asset.media_type, headers=headers)

    def failed(self, visit: Visit, status: int, reference: str) -> Response:
        """The page for a failure. It asks nobody, so that it can always be made."""
        known = status if status in (403, 404, 503) else 500
        return self._html(visit, "error.html", status=status, known=known, reference=reference)

    async def _keep(self, visit: Visit, cookie: str, allowed: tuple[str, ...]) -> Response:
        form = await read_form(visit)
        if form is None or form.get("value") not in allowed:
            return self.failed(visit, 403, "")
        response = RedirectResponse(safe_return(form.get("next", "")), 303)
        self.edge.keep_choice(response, cookie, form["value"])
        return response

    async def _found(self, visit: Visit) -> Any:
        call_id = visit.request.path_params["call_id"]
        call = await self.queries.find(call_id) if _CALL_ID.match(call_id) else None
        if call is None:
            raise NotFound
        return make_row(call, self.info.stages, visit.words)

    def _row(self, visit: Visit, call: CallView, now_us: int) -> str:
        return self._text(visit, "_row.html", row=make_row(call, self.info.stages, visit.words), now_us=now_us)

    def _html(self, visit: Visit, template: str, *, status: int = 200, **about: Any) -> Response:
        return Response(self._text(visit, template, status=status, **about), status, media_type="text/html")

    def _text(self, visit: Visit, template: str, **about: Any) -> str:
        return self._templates.get_template(template).render(visit=visit, t=visit.words, **about)


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
        agent=query.get("agent", "")[:100],
        model=query.get("model", "")[:200],
        key=query.get("key", "")[:100],
    )
    return wanted, before if _CALL_ID.match(before) else ""


def _address(wanted: CallFilter, before: str = "") -> str:
    fields = {name: value for name, value in msgspec.structs.asdict(wanted).items() if value}
    if before:
        fields["before"] = before
    return f"{ROOT}?{urlencode(fields, quote_via=quote)}" if fields else ROOT


def _filters(wanted: CallFilter, choices: CallChoices, visit: Visit) -> list[_FilterMenu]:
    """The chips above the list, each with the addresses it leads to."""
    states = tuple(Choice(state, str(visit.words(f"seal.{state}"))) for state in CALL_STATES)
    agents = tuple(Choice(choice.value, agent_name(choice.value)) for choice in choices.agents)
    named = {"status": states, "agent": agents, "model": choices.models, "key": choices.keys}
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


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0
