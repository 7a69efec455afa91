"""The way in and out: one-time links, hand-overs, language, theme and role of a visit, files, the first page."""

from dataclasses import dataclass

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sekisho.errors import Conflict, NotAllowed, NotAuthenticated, NotFound
from sekisho.web.console.drawing import Drawing
from sekisho.web.console.edge import (
    LANGUAGE_COOKIE,
    ROLE_COOKIE,
    SESSION_COOKIE,
    THEME_COOKIE,
    THEMES,
    VISIT_COOKIE,
    Edge,
    Visit,
    known_browser,
    read_form,
    safe_return,
)
from sekisho.web.console.language import CATALOGUES
from sekisho.web.console.nav import ROOT
from sekisho.web.console.page import Page
from sekisho.web.console.views import ConsoleSessions, HandOvers, HandOverView, Redeemed

_IMMUTABLE = "public, max-age=31536000, immutable"


def entry_pages(
    sessions: ConsoleSessions, hand_overs: HandOvers | None, edge: Edge, drawing: Drawing
) -> tuple[Page, ...]:
    """The pages of this file."""
    pages = _Entry(sessions, hand_overs, edge, drawing)
    return (
        Page("", pages.first),
        Page("enter", pages.enter, is_public=True),
        Page("enter", pages.redeem, method="POST", is_public=True),
        Page("hand-over/{secret}", pages.hand_over, is_public=True),
        Page("hand-over/{secret}", pages.reveal, method="POST", is_public=True),
        Page("language", pages.language, method="POST", is_public=True),
        Page("theme", pages.theme, method="POST", is_public=True),
        Page("role", pages.role, method="POST"),
    )


async def serve_asset(drawing: Drawing, request: Request) -> Response:
    """A static file. Its address names its content, so a browser may keep it for ever."""
    asset = drawing.assets.get(request.path_params["address"])
    if asset is None:
        return Response(status_code=404)
    headers = {"Cache-Control": _IMMUTABLE, "X-Content-Type-Options": "nosniff", "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", "") and asset.is_text:
        return Response(asset.packed, media_type=asset.media_type, headers=headers | {"Content-Encoding": "gzip"})
    return Response(asset.content, media_type=asset.media_type, headers=headers)


@dataclass
class _Entry:
    """One method for each page."""

    sessions: ConsoleSessions
    hand_overs: HandOvers | None
    edge: Edge
    drawing: Drawing

    async def first(self, visit: Visit) -> Response:
        """Where the role in use lands."""
        return RedirectResponse(visit.home, 303)

    async def enter(self, visit: Visit) -> Response:
        """The page behind a one-time link. It spends nothing: only its button does, so a link preview cannot."""
        return self.drawing.page(visit, "enter.html", code=visit.request.query_params.get("code", "")[:200])

    async def redeem(self, visit: Visit) -> Response:
        """Spend the one-time code and start a session; who has a second factor is asked for it first."""
        form = await read_form(visit)
        if form is None:
            return self.drawing.failed(visit, 403, "")
        code, second = form.get("code", ""), form.get("second", "")
        redeemed = await self.sessions.redeem(code, visit.visitor, second, known_browser(visit))
        if redeemed.outcome in ("second", "wait"):
            return self._second(visit, code, redeemed, is_asked="second" in form)
        if redeemed.outcome != "in":
            return self.drawing.page(visit, "enter_failed.html", status=403)
        return await self._let_in(visit, redeemed.token)

    def _second(self, visit: Visit, code: str, redeemed: Redeemed, *, is_asked: bool) -> Response:
        """Ask for the second factor beside the link, which is not spent yet."""
        problem = "wait" if redeemed.outcome == "wait" else "code" if is_asked else ""
        return self.drawing.page(
            visit,
            "second_factor.html",
            status={"": 200, "wait": 429}.get(problem, 403),
            link=code[:200],
            problem=problem,
            wait_s=redeemed.wait_s,
        )

    async def _let_in(self, visit: Visit, token: str) -> Response:
        if visit.token:
            await self.sessions.end(visit.token)
        opened = await self.sessions.find(token)
        wants_password = opened is not None and opened.has_password is False
        response = RedirectResponse(f"{ROOT}/account" if wants_password else ROOT, 303)
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
            return self.drawing.failed(visit, 403, "")
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
        return self.drawing.page(
            visit,
            "hand_over.html",
            status=status or (200 if shown or view.state == "open" else 410),
            kind=view.kind,
            state=view.state,
            is_bound=view.is_bound,
            expires_at=view.expires_at,
            problem=problem,
            shown=shown,
            next=f"{self.drawing.info.command} {command}",
        )

    async def language(self, visit: Visit) -> Response:
        """Keep the chosen language and go back."""
        return await self._keep(visit, LANGUAGE_COOKIE, tuple(CATALOGUES))

    async def theme(self, visit: Visit) -> Response:
        """Keep the chosen theme and go back."""
        return await self._keep(visit, THEME_COOKIE, (*THEMES, "system"))

    async def role(self, visit: Visit) -> Response:
        """Look through another role from here on, beginning where that one lands."""
        form = await read_form(visit)
        if form is None or form.get("value") not in visit.roles:
            return self.drawing.failed(visit, 403, "")
        response = RedirectResponse(ROOT, 303)
        self.edge.keep_choice(response, ROLE_COOKIE, form["value"])
        return response

    async def _keep(self, visit: Visit, cookie: str, allowed: tuple[str, ...]) -> Response:
        form = await read_form(visit)
        if form is None or form.get("value") not in allowed:
            return self.drawing.failed(visit, 403, "")
        response = RedirectResponse(safe_return(form.get("next", "")), 303)
        self.edge.keep_choice(response, cookie, form["value"])
        return response
