"""Signing in with a password and a second factor, and out of nothing else: what is wrong is never said.

Above: the router. Below: `access.accounts`. A good sign-in opens a new session under a new cookie and ends the one that
this browser had.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.responses import RedirectResponse, Response

from sekisho.access.accounts import Attempt
from sekisho.access.sessions import Method
from sekisho.access.sign_in import SignIn
from sekisho.access.sign_in_rules import SignInRules
from sekisho.web.admin.services import Services
from sekisho.web.console.drawing import Drawing
from sekisho.web.console.edge import (
    DEVICE_COOKIE,
    DEVICE_S,
    SESSION_COOKIE,
    VISIT_COOKIE,
    Edge,
    Visit,
    known_browser,
    read_form,
    safe_return,
)
from sekisho.web.console.nav import ROOT
from sekisho.web.console.page import Page
from sekisho.web.console.views import ConsoleSessions

ID_TOKEN = "id token"


def sign_in_pages(
    services: Services | None, sessions: ConsoleSessions, edge: Edge, drawing: Drawing
) -> tuple[Page, ...]:
    """The pages of this file; without services only those that say how to get a link, and let out."""
    pages = _SignIn(services.sign_in if services else None, sessions, edge, drawing)
    always = (
        Page("sign-in", pages.show, is_public=True),
        Page("sign-out", pages.sign_out, method="POST", is_public=True),
    )
    if services is None:
        return always
    return (
        *always,
        Page("sign-in", pages.sign_in, method="POST", is_public=True),
        Page("sign-in/second", pages.second, method="POST", is_public=True),
    )


async def let_in(
    parts: SignIn, edge: Edge, visit: Visit, user_id: str, method: Method, response: Response, id_token: bytes = b""
) -> Response:
    """Open a session for this user on this answer, in the place of the one that the browser had."""
    if visit.token:
        await parts.sessions.end(visit.token)
    cookie = await parts.sessions.open(user_id, method, visit.visitor, id_token)
    edge.set_cookie(response, SESSION_COOKIE, cookie)
    edge.set_cookie(response, DEVICE_COOKIE, parts.accounts.device_cookie(user_id), max_age_s=DEVICE_S)
    response.delete_cookie(VISIT_COOKIE, path=ROOT)
    return response


@dataclass
class _SignIn:
    """One method for each page."""

    parts: SignIn | None
    sessions: ConsoleSessions
    edge: Edge
    drawing: Drawing

    async def show(self, visit: Visit) -> Response:
        """The form, the identity provider's button, and how to get a link."""
        query = visit.request.query_params
        is_out = "out" in query
        return await self._form(visit, note="out" if is_out else "", back=query.get("next", ""))

    async def sign_out(self, visit: Visit) -> Response:
        """End the session, and lead to where the identity provider ends its own, if it has such a place."""
        if await read_form(visit) is None:
            return self.drawing.failed(visit, 403, "")
        address = await self._end_address(visit)
        if visit.token:
            await self.sessions.end(visit.token)
        response: Response = RedirectResponse(f"{ROOT}/sign-in?out", 303)
        if address:  # not by a redirect: a form leads to no other site
            response = self.drawing.page(visit, "signed_out.html", address=address)
        response.delete_cookie(SESSION_COOKIE, path=ROOT)
        return response

    async def _end_address(self, visit: Visit) -> str:
        if self.parts is None or self.parts.oidc is None or not visit.token:
            return ""
        session = await self.parts.sessions.find(visit.token)
        if session is None or session.method != "oidc":
            return ""
        id_token = self.parts.sealer.open(session.id_token, ID_TOKEN) or b""
        return await self.parts.oidc.end_address(id_token.decode())

    async def sign_in(self, visit: Visit) -> Response:
        """Judge name and password."""
        form = await read_form(visit)
        if form is None or self.parts is None:
            return self.drawing.failed(visit, 403, "")
        if not (await self.parts.rules.get()).allows_passwords:
            return self.drawing.failed(visit, 403, "")
        login, password = form.get("login", ""), form.get("password", "")
        attempt = await self.parts.accounts.sign_in(login, password, visit.visitor, known_browser(visit))
        return await self._answer(visit, attempt, form)

    async def second(self, visit: Visit) -> Response:
        """Judge a code of the second factor."""
        form = await read_form(visit)
        if form is None or self.parts is None:
            return self.drawing.failed(visit, 403, "")
        if not (await self.parts.rules.get()).allows_passwords:  # it may have changed since the password was given
            return self.drawing.failed(visit, 403, "")
        ticket, code = form.get("ticket", ""), form.get("code", "")
        attempt = await self.parts.accounts.second_factor(ticket, code, visit.visitor, known_browser(visit))
        if attempt.ticket:  # a wrong code: the same page again
            problem = "wait" if attempt.wait_s else "code"
            return self._second(visit, attempt, form, problem)
        return await self._answer(visit, attempt, form)

    async def _answer(self, visit: Visit, attempt: Attempt, form: Mapping[str, str]) -> Response:
        assert self.parts is not None
        back = form.get("next", "")
        match attempt.outcome:
            case "in":
                where = RedirectResponse(safe_return(back), 303)
                return await let_in(self.parts, self.edge, visit, attempt.user_id, "password", where)
            case "second":
                return self._second(visit, attempt, form)
            case "wait":
                login = form.get("login", "")
                return await self._form(visit, problem="wait", wait_s=attempt.wait_s, login=login, back=back)
            case _:
                return await self._form(visit, problem="wrong", login=form.get("login", ""), back=back)

    def _second(self, visit: Visit, attempt: Attempt, form: Mapping[str, str], problem: str = "") -> Response:
        return self.drawing.page(
            visit,
            "second_factor.html",
            status=_status(problem),
            link="",
            ticket=attempt.ticket,
            back=form.get("next", "")[:500],
            problem=problem,
            wait_s=attempt.wait_s,
        )

    async def _form(
        self, visit: Visit, *, note: str = "", problem: str = "", wait_s: int = 0, login: str = "", back: str = ""
    ) -> Response:
        rules = await self.parts.rules.get() if self.parts else SignInRules(allows_passwords=False)
        return self.drawing.page(
            visit,
            "sign_in.html",
            status=_status(problem),
            note=note,
            problem=problem,
            wait_s=wait_s,
            login=login[:320],
            back=back[:500],
            has_passwords=rules.allows_passwords,
            provider=self.parts.oidc.settings.name or "OpenID Connect" if self.parts and self.parts.oidc else "",
        )


def _status(problem: str) -> int:
    return {"": 200, "wait": 429}.get(problem, 403)
