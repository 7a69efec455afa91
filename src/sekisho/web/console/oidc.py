"""Signing in through the identity provider: there, back, and out of it again.

The provider sends people back from another site, so the cookie of the flow is the one that is `SameSite=Lax`; the page
that ends the flow leads on by itself, because a browser sends no strict cookie along a redirect from elsewhere.
"""

from dataclasses import dataclass

from starlette.responses import RedirectResponse, Response

from sekisho.access.oidc import Entered, Oidc
from sekisho.access.sign_in import SignIn
from sekisho.errors import BadRequest, NotAllowed, NotAuthenticated, SekishoError
from sekisho.web.console.drawing import Drawing
from sekisho.web.console.edge import Edge, Visit, safe_return
from sekisho.web.console.nav import ROOT
from sekisho.web.console.page import Page
from sekisho.web.console.sign_in import ID_TOKEN, let_in

FLOW_COOKIE = "sekisho_flow"
_FLOW_S = 600


def oidc_pages(parts: SignIn, edge: Edge, drawing: Drawing) -> tuple[Page, ...]:
    """The pages of this file; none without an identity provider."""
    if parts.oidc is None:
        return ()
    pages = _Oidc(parts, parts.oidc, edge, drawing)
    return (
        Page("oidc/start", pages.start, is_public=True),
        Page("oidc/callback", pages.callback, is_public=True),
    )


@dataclass
class _Oidc:
    """One method for each page."""

    parts: SignIn
    oidc: Oidc
    edge: Edge
    drawing: Drawing

    async def start(self, visit: Visit) -> Response:
        """Send the browser to the provider."""
        try:
            started = await self.oidc.start(safe_return(visit.request.query_params.get("next", "")))
        except SekishoError as error:
            return self._refused(visit, error)
        response = RedirectResponse(started.address, 303)
        response.set_cookie(
            FLOW_COOKIE,
            started.cookie,
            max_age=_FLOW_S,
            path=f"{ROOT}/oidc",
            httponly=True,
            samesite="lax",
        )
        return response

    async def callback(self, visit: Visit) -> Response:
        """Judge what the provider sent, and let the person in."""
        cookie = visit.request.cookies.get(FLOW_COOKIE, "")[:4000]
        try:
            entered = await self.oidc.finish(cookie, dict(visit.request.query_params))
        except (NotAuthenticated, NotAllowed) as error:
            if error.param != "late":  # else nothing was judged
                await self.parts.accounts.note_failure("", visit.visitor, f"identity provider: {error.message}")
            return self._refused(visit, error)
        except SekishoError as error:
            return self._refused(visit, error)
        return await self._let_in(visit, entered)

    async def _let_in(self, visit: Visit, entered: Entered) -> Response:
        try:
            user_id = await self.parts.directory.arrive(entered.arrival)
        except (NotAllowed, BadRequest) as error:
            name = entered.arrival.user_name
            await self.parts.accounts.note_failure(name, visit.visitor, f"identity provider: {error.message}")
            return self._refused(visit, error)
        page = self.drawing.page(visit, "signed_in.html", back=safe_return(entered.back))
        page.delete_cookie(FLOW_COOKIE, path=f"{ROOT}/oidc")
        id_token = self.parts.sealer.seal(entered.id_token.encode(), ID_TOKEN)
        return await let_in(self.parts, self.edge, visit, user_id, "oidc", page, id_token)

    def _refused(self, visit: Visit, error: SekishoError) -> Response:
        status = 503 if error.status in (502, 503, 504) else 403
        return self.drawing.page(visit, "oidc_refused.html", status=status, code=error.param or "provider")
