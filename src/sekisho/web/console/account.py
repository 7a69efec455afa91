"""A person's own account: password, second factor, sessions, access tokens, language.

Above: the router. Below: the registers of `access`. Everything here is about who is signed in, so nothing has to be
looked up for whom it is; the operator, who is nobody's account, sees only how to become one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import RedirectResponse, Response

from sekisho.access.accounts import Accounts, Enrolment
from sekisho.access.organisation import User, UserChange
from sekisho.access.register import expiry
from sekisho.errors import BadRequest, NotFound, RateLimited
from sekisho.web.admin.services import Services
from sekisho.web.console.drawing import Drawing
from sekisho.web.console.edge import LANGUAGE_COOKIE, Edge, Visit, known_browser, read_form
from sekisho.web.console.language import CATALOGUES
from sekisho.web.console.names import names_of
from sekisho.web.console.nav import ROOT
from sekisho.web.console.page import Page
from sekisho.web.console.qr import draw_qr

FRESH_US = 15 * 60 * 1_000_000
TOKEN_LIVES = ("7d", "30d", "90d", "365d")
_ACCOUNT = f"{ROOT}/account"

# in this order: each of them also bears the names of those behind it
_BROWSERS = (("Edg", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome", "Chrome"), ("Safari/", "Safari"))
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
)


def account_pages(services: Services, edge: Edge, drawing: Drawing) -> tuple[Page, ...]:
    """The pages of this file."""
    pages = _Account(services, services.sign_in.accounts, edge, drawing)
    return (
        Page("account", pages.show, is_own=True),
        Page("account/password", pages.set_password, method="POST", is_own=True),
        Page("account/second-factor", pages.enrol, is_own=True),
        Page("account/second-factor", pages.confirm, method="POST", is_own=True),
        Page("account/second-factor/remove", pages.remove, method="POST", is_own=True),
        Page("account/recovery", pages.renew, method="POST", is_own=True),
        Page("account/sessions", pages.end_sessions, method="POST", is_own=True),
        Page("account/tokens", pages.make_token, method="POST"),
        Page("account/tokens/end", pages.end_token, method="POST"),
        Page("account/language", pages.set_language, method="POST", is_own=True),
    )


@dataclass
class _Account:
    """One method for each page."""

    services: Services
    accounts: Accounts
    edge: Edge
    drawing: Drawing

    async def show(self, visit: Visit) -> Response:
        """Everything on one page."""
        return await self._page(visit)

    async def set_password(self, visit: Visit) -> Response:
        """Set the password: with the present one, or fresh from a one-time link."""
        user, form = await self._form(visit)
        if problem := "" if self._is_fresh_link(visit) else await self._doubt(visit, user, form):
            return await self._page(visit, problem=problem)
        try:
            if form.get("password") != form.get("again"):
                raise BadRequest("The two are not the same.", param="password_again")
            await self.accounts.set_password(user, form.get("password", ""), _actor(visit))
        except BadRequest as error:
            return await self._page(visit, problem=error.param or "password_simple")
        await self.services.sessions.end_all(user.id, _actor(visit), but=_session(visit))
        return _done("password")

    async def enrol(self, visit: Visit) -> Response:
        """A new second factor: picture, secret, and the field for a code of it."""
        user = await self._user(visit)
        account = await self.accounts.get(user.id)
        if account.totp or not account.password:
            return RedirectResponse(_ACCOUNT, 303)
        return self._enrolment(visit, self.accounts.enrol(user))

    async def confirm(self, visit: Visit) -> Response:
        """Turn the second factor on with a code of it, and show the recovery codes, once."""
        user, form = await self._form(visit)
        account = await self.accounts.get(user.id)
        if account.totp or not account.password:
            return RedirectResponse(_ACCOUNT, 303)
        ticket = form.get("ticket", "")
        codes = await self.accounts.confirm_enrolment(user.id, ticket, form.get("code", ""), _actor(visit))
        if codes is None:
            again = self.accounts.same_enrolment(user, ticket)
            return self._enrolment(visit, again or self.accounts.enrol(user), "code" if again else "late")
        await self.services.sessions.end_all(user.id, _actor(visit), but=_session(visit))
        return self.drawing.page(visit, "recovery_codes.html", codes=codes)

    async def remove(self, visit: Visit) -> Response:
        """Turn the second factor off, with the password, where the rules allow it."""
        user, form = await self._form(visit)
        if (await self.services.sign_in.rules.get()).requires_totp:
            return await self._page(visit, problem="required")
        if problem := await self._doubt(visit, user, form):
            return await self._page(visit, problem=problem)
        await self.accounts.remove_second_factor(user.id, _actor(visit))
        return _done("second_off")

    async def renew(self, visit: Visit) -> Response:
        """New recovery codes in the place of the old ones."""
        user, form = await self._form(visit)
        if problem := await self._doubt(visit, user, form):
            return await self._page(visit, problem=problem)
        codes = await self.accounts.renew_recovery(user.id, _actor(visit))
        return self.drawing.page(visit, "recovery_codes.html", codes=codes)

    async def end_sessions(self, visit: Visit) -> Response:
        """End one session, or all others."""
        user, form = await self._form(visit)
        if session_id := form.get("id", ""):
            await self.services.sessions.end_one(user.id, session_id, _actor(visit))
        else:
            await self.services.sessions.end_all(user.id, _actor(visit), but=_session(visit))
        return _done("sessions")

    async def make_token(self, visit: Visit) -> Response:
        """An access token, shown this once."""
        user, form = await self._form(visit)
        life = form.get("life", "")
        if life not in TOKEN_LIVES:
            raise NotFound("There is no such life.")
        expires_at = expiry(life, self.services.clock.now_us(), "life")
        name = form.get("name", "")[:200]
        made = await self.services.tokens.issue(user.id, _actor(visit), name=name, expires_at=expires_at)
        return await self._page(visit, token=made.token)

    async def end_token(self, visit: Visit) -> Response:
        """Revoke one of one's own access tokens."""
        user, form = await self._form(visit)
        found = await self.services.tokens.get(form.get("id", ""))
        if found.user_id != user.id:
            raise NotFound("There is no such access token.")
        await self.services.tokens.revoke(found.id, _actor(visit))
        return _done("token")

    async def set_language(self, visit: Visit) -> Response:
        """The language of the pages, and of what agents are told when a call is refused."""
        user, form = await self._form(visit)
        language = form.get("value", "")
        if language not in CATALOGUES:
            raise NotFound("There is no such language.")
        change = UserChange(metadata=user.metadata | {"language": language})
        await self.services.users.update(user.id, change, _actor(visit))
        response = _done("language")
        self.edge.keep_choice(response, LANGUAGE_COOKIE, language)
        return response

    async def _page(self, visit: Visit, *, problem: str = "", token: str = "") -> Response:
        about: dict[str, Any] = {"problem": problem, "token": token, "done": visit.request.query_params.get("done", "")}
        if visit.user_id:
            about |= await self._about(visit, await self._user(visit))
        template = "account.html" if visit.user_id else "account_operator.html"
        return self.drawing.page(visit, template, status={"": 200, "wait": 429}.get(problem, 400), **about)

    async def _about(self, visit: Visit, user: User) -> dict[str, Any]:
        account = await self.accounts.get(user.id)
        rules = await self.services.sign_in.rules.get()
        memberships = await self.services.teams.memberships(user.id)
        return {
            "user": user,
            "account": account,
            "rules": rules,
            "memberships": memberships,
            "names": await names_of(self.services, [("team", one.team_id) for one in memberships]),
            "codes_left": await self.accounts.recovery_left(user.id) if account.totp else 0,
            "sessions": await self.services.sessions.list(user.id),
            "this": _session(visit),
            "tokens": await self.services.tokens.list(user_id=user.id, limit=100),
            "lives": TOKEN_LIVES,
            "browser_name": browser_name,
            "is_proved": self._is_fresh_link(visit),
        }

    def _enrolment(self, visit: Visit, enrolment: Enrolment, problem: str = "") -> Response:
        status = 400 if problem else 200
        picture = draw_qr(enrolment.uri)
        return self.drawing.page(
            visit, "enrolment.html", status=status, enrolment=enrolment, picture=picture, problem=problem
        )

    async def _user(self, visit: Visit) -> User:
        if not visit.user_id:
            raise NotFound("The operator has no account.")
        return await self.services.users.get(visit.user_id)

    async def _form(self, visit: Visit) -> tuple[User, Mapping[str, str]]:
        form = await read_form(visit)
        if form is None:
            raise NotFound("This form is not ours.")
        return await self._user(visit), form

    async def _doubt(self, visit: Visit, user: User, form: Mapping[str, str]) -> str:
        """What the present password leaves to doubt: nothing, that it is wrong, or that guesses must wait."""
        device = known_browser(visit)
        try:
            is_right = await self.accounts.confirm_password(user.id, form.get("present", ""), visit.visitor, device)
        except RateLimited:
            return "wait"
        return "" if is_right else "present"

    def _is_fresh_link(self, visit: Visit) -> bool:
        """Whether a one-time link let this person in a moment ago: that is how a forgotten password is set anew."""
        session = visit.session
        if session is None or session.method != "link":
            return False
        return self.services.clock.now_us() - session.created_at < FRESH_US


def browser_name(agent: str) -> str:
    """A browser and its system as people call them, from what it calls itself; its first words if nobody knows it."""
    browser = next((name for sign, name in _BROWSERS if sign in agent), "")
    system = next((name for sign, name in _SYSTEMS if sign in agent), "")
    return ", ".join(filter(None, (browser, system))) or agent[:60]


def _actor(visit: Visit) -> str:
    assert visit.session is not None
    return visit.session.principal.actor


def _session(visit: Visit) -> str:
    assert visit.session is not None
    return visit.session.id


def _done(what: str) -> Response:
    return RedirectResponse(f"{_ACCOUNT}?done={what}", 303)
