"""Puts the console together: one file per page, one edge around all of them.

Above: an ASGI application that mounts the router. Below: the page files, and the protocols that they ask.
"""

from collections.abc import Callable, Sequence
from functools import partial

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sekisho.clock import Clock, SystemClock
from sekisho.errors import NotFound
from sekisho.web.admin.services import Services
from sekisho.web.console.account import account_pages
from sekisho.web.console.breakdown import breakdown_pages
from sekisho.web.console.budgets import budget_pages
from sekisho.web.console.calls_list import call_list_pages
from sekisho.web.console.content_level import levels_of
from sekisho.web.console.device import device_pages
from sekisho.web.console.drawing import Drawing
from sekisho.web.console.edge import Edge, Visit
from sekisho.web.console.entry import entry_pages, serve_asset
from sekisho.web.console.keys import key_pages
from sekisho.web.console.live import live_pages
from sekisho.web.console.me import me_pages
from sekisho.web.console.members import member_pages
from sekisho.web.console.models_page import model_pages
from sekisho.web.console.moves import Moves
from sekisho.web.console.nav import ROOT
from sekisho.web.console.overview import overview_pages
from sekisho.web.console.page import Page
from sekisho.web.console.parts import Parts
from sekisho.web.console.records import record_pages
from sekisho.web.console.rules_pages import rule_pages
from sekisho.web.console.sign_in import sign_in_pages
from sekisho.web.console.sign_in_settings import sign_in_settings_pages
from sekisho.web.console.tasks import task_pages
from sekisho.web.console.views import CallQueries, ConsoleInfo, ConsoleSessions, HandOvers
from sekisho.web.console.why import why_pages

FILES: tuple[Callable[[Parts], tuple[Page, ...]], ...] = (
    overview_pages,
    budget_pages,
    breakdown_pages,
    call_list_pages,
    task_pages,
    why_pages,
    key_pages,
    member_pages,
    me_pages,
    model_pages,
    rule_pages,
    record_pages,
    sign_in_settings_pages,
)


def create_console_router(
    queries: CallQueries,
    sessions: ConsoleSessions,
    *,
    info: ConsoleInfo,
    clock: Clock | None = None,
    hand_overs: HandOvers | None = None,
    services: Services | None = None,
) -> APIRouter:
    """The routes under /console, and / which leads there, ready to include in an application.

    Without `services` only the live page and the way in are there."""
    drawing = Drawing(info, partial(levels_of, services.content)) if services else Drawing(info)
    edge = Edge(sessions, info, drawing.failed)
    pages: list[Page] = [
        *entry_pages(sessions, hand_overs, edge, drawing),
        *sign_in_pages(services, sessions, edge, drawing),
        *(account_pages(services, edge, drawing) if services else ()),
        *(device_pages(services, drawing) if services else ()),
        *(_provider_pages(services, edge, drawing) if services else ()),
        *live_pages(queries, drawing, clock or SystemClock()),
    ]
    if services is not None:
        parts = Parts(services, drawing, edge, Moves(services))
        pages = [*pages, *(page for of_file in FILES for page in of_file(parts))]
    router = APIRouter()
    router.add_route("/", _to_console, ["GET"])
    router.add_route(f"{ROOT}/assets/{{address}}", partial(serve_asset, drawing), ["GET"])
    _add(router, edge, pages)
    return router


def _provider_pages(services: Services, edge: Edge, drawing: Drawing) -> tuple[Page, ...]:
    if services.sign_in.oidc is None:
        return ()
    from sekisho.web.console.oidc import oidc_pages  # noqa: PLC0415  Authlib is slow to import, not everybody needs it

    return oidc_pages(services.sign_in, edge, drawing)


def _add(router: APIRouter, edge: Edge, pages: Sequence[Page]) -> None:
    for page in pages:
        endpoint = edge.page(page.handler, place=page.place, is_public=page.is_public, is_own=page.is_own)
        router.add_route(f"{ROOT}/{page.path}".rstrip("/"), endpoint, [page.method])
    router.add_route(f"{ROOT}/{{rest:path}}", edge.page(_nothing), ["GET", "POST"])


async def _to_console(_request: Request) -> Response:
    """Where a person goes who opens the bare address."""
    return RedirectResponse(ROOT, 303)


async def _nothing(visit: Visit) -> Response:
    """Any other address; one that ends with a slash is known without it."""
    path = visit.request.path_params["rest"]
    if visit.request.method == "GET" and (not path or path.endswith("/")):
        query = visit.request.url.query
        return RedirectResponse(f"{ROOT}/{path}".rstrip("/") + (f"?{query}" if query else ""), 303)
    raise NotFound
