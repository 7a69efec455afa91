"""The console's outer edge: who is visiting, what a browser may do with a page, and what a failure looks like.

A form is accepted only with a token bound to a secret cookie, and only from our own pages.
"""

import hashlib
import hmac
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from urllib.parse import parse_qs, quote, unquote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response

from sekisho.access.roles import Permission, Principal, RoleName
from sekisho.access.sessions import Visitor
from sekisho.errors import BodyTooLarge, NotFound, SekishoError
from sekisho.web import forwarded
from sekisho.web.console.language import Words, choose
from sekisho.web.console.nav import ROOT, acting_as, may_open, places_of, roles_of
from sekisho.web.console.views import ConsoleInfo, ConsoleSession, ConsoleSessions
from sekisho.web.forwarded import address_of, host_of

SESSION_COOKIE = "sekisho_session"
VISIT_COOKIE = "sekisho_visit"
LANGUAGE_COOKIE = "sekisho_language"
THEME_COOKIE = "sekisho_theme"
ZONE_COOKIE = "sekisho_zone"
ROLE_COOKIE = "sekisho_role"
SAID_COOKIE = "sekisho_said"  # what the toast of the next page says, once
DEVICE_COOKIE = "sekisho_browser"
DEVICE_S = 400 * 86_400
THEMES = ("light", "dark")

_CSP = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
}
_HSTS = "max-age=31536000"
_FORM_BYTES = 16_384
_YEAR_S = 31_536_000
_log = logging.getLogger("sekisho.console")


class _Said(msgspec.Struct):
    text: str
    values: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Visit:
    """One request as the pages see it. `secret`: what its form token is bound to; never rendered.

    `place`: the name of the place in the navigation that the page belongs to; empty for none. `is_https`: the browser
    came by https, as far as we know."""

    request: Request
    words: Words
    theme: str
    token: str
    secret: str
    session: ConsoleSession | None = None
    place: str = ""
    is_https: bool = False

    @property
    def visitor(self) -> Visitor:
        """Where the request comes from."""
        headers = self.request.headers
        return Visitor(address_of(headers, self.request.client), headers.get("user-agent", ""))

    def origin(self, public_url: str) -> str:
        """The address under which the browser reached this page, where agents and directories reach us too."""
        scheme = "https" if self.is_https else "http"
        return public_url or f"{scheme}://{host_of(self.request.headers) or '127.0.0.1:4000'}"

    @property
    def user_id(self) -> str:
        """Whose visit this is; empty for the operator's, and without a session."""
        return self.session.principal.user_id if self.session else ""

    @property
    def roles(self) -> tuple[RoleName, ...]:
        """The roles that the person may look through."""
        return roles_of(self.session.principal) if self.session else ()

    @property
    def role(self) -> RoleName:
        """The role in use: the one chosen, if the person has it, else the widest. Raises NotFound without any."""
        roles = self.roles
        if not roles:
            raise NotFound("There is no such page.")
        chosen = self.request.cookies.get(ROLE_COOKIE, "")
        return next((role for role in roles if role == chosen), roles[0])

    @property
    def who(self) -> Principal:
        """Who asks, with what the role in use allows. Raises NotFound without a session or a role."""
        if self.session is None:
            raise NotFound("There is no such page.")
        return acting_as(self.session.principal, self.role)

    def need(self, permission: Permission) -> None:
        """Let pass only with this permission in the whole organisation. Raises NotFound: a role that somebody has in
        one team has the place, and still must not see everybody's."""
        if not self.who.may(permission):
            raise NotFound("There is no such page.")

    def need_team(self, team_id: str) -> None:
        """Let pass only whoever may see what this team spends. Raises NotFound, as for a team that is not there."""
        if not self.who.sight("spend:read").covers_team(team_id):
            raise NotFound("There is no such team.")

    @property
    def home(self) -> str:
        """Where the role in use lands."""
        return places_of(self.role)[0].address

    @property
    def csrf(self) -> str:
        """The token of this visit's forms."""
        return hmac.new(self.secret.encode(), b"console form", hashlib.sha256).hexdigest()

    @property
    def said(self) -> tuple[str, Mapping[str, str]] | None:
        """What the form before this page did: the name of a text and its values, for a toast."""
        kept = self.request.cookies.get(SAID_COOKIE, "")[:4000]
        try:
            found = msgspec.json.decode(bytes.fromhex(kept), type=_Said)
        except (ValueError, msgspec.DecodeError):
            return None
        return (found.text, found.values) if found.text.startswith("said.") else None

    @property
    def here(self) -> str:
        """This page's address, to come back to after a form."""
        url = self.request.url
        return url.path + (f"?{url.query}" if url.query else "")


class StaleForm(Exception):
    """A form that no page of this visit sent."""


Handler = Callable[[Visit], Awaitable[Response]]
ErrorPage = Callable[[Visit, int, str], Response]


@dataclass(frozen=True, slots=True)
class Edge:
    """Turns page functions into endpoints: finds the session, guards forms, renders failures, sets headers."""

    sessions: ConsoleSessions
    info: ConsoleInfo
    error_page: ErrorPage

    def page(
        self, handler: Handler, *, place: str = "", is_public: bool = False, is_own: bool = False
    ) -> Callable[[Request], Awaitable[Response]]:
        """An endpoint for `handler`. Without a session it leads to the sign-in page, unless it is public.

        `place`: answered as if it were not there to a role that has no such place. `is_own`: also for somebody who
        must first do something about the own account; all else leads there."""

        async def serve(request: Request) -> Response:
            visit = replace(_visit(request, self.info), place=place)
            try:
                if visit.token:
                    visit = replace(visit, session=await self.sessions.find(visit.token))
                if place and visit.session and not may_open(visit.role, place):
                    raise NotFound("There is no such page.")
                if visit.session and visit.session.must and not (is_own or is_public):
                    response: Response = RedirectResponse(f"{ROOT}/account/{visit.session.must}", 303)
                else:
                    response = await (handler(visit) if visit.session or is_public else _to_sign_in(visit))
            except StaleForm:
                response = self.error_page(visit, 403, "")
            except ClientDisconnect:
                raise  # no failure of the page; the application knows that nobody is there to read an answer
            except SekishoError as error:
                response = self._failure(visit, error, error.status if error.status in (403, 404, 413, 503) else 500)
            except Exception as error:  # noqa: BLE001 - the edge: whatever fails becomes a page and a log line
                response = self._failure(visit, error, 500)
            return self._finish(visit, response)

        return serve

    def _failure(self, visit: Visit, error: Exception, status: int) -> Response:
        if status == 404:
            return self.error_page(visit, 404, "")
        reference = secrets.token_hex(5)
        _log.error("page %s failed, reference %s", visit.request.url.path, reference, exc_info=error)
        return self.error_page(visit, status, reference)

    def _finish(self, visit: Visit, response: Response) -> Response:
        for name, value in _HEADERS.items():
            response.headers[name] = value
        if visit.is_https:
            response.headers["Strict-Transport-Security"] = _HSTS
        response.headers.setdefault("Cache-Control", "no-store")
        if SAID_COOKIE in visit.request.cookies and visit.request.method == "GET" and response.status_code == 200:
            response.delete_cookie(SAID_COOKIE, path=ROOT)
        if visit.request.cookies.get(VISIT_COOKIE) != visit.secret and not visit.token:
            self.set_cookie(response, VISIT_COOKIE, visit.secret)
        return _secured(response) if visit.is_https else response

    def set_cookie(self, response: Response, name: str, value: str, *, max_age_s: int | None = None) -> None:
        """A cookie that scripts cannot read and other sites never send. Without an age it ends with the browser."""
        response.set_cookie(name, value, max_age=max_age_s, path=ROOT, httponly=True, samesite="strict")

    def keep_choice(self, response: Response, name: str, value: str) -> None:
        """Remember a language or a theme for a year."""
        self.set_cookie(response, name, value, max_age_s=_YEAR_S)


def _secured(response: Response) -> Response:
    """The same, each of its cookies for https only: here, so that no page forgets it."""
    response.raw_headers = [
        (name, value + b"; Secure" if name == b"set-cookie" else value) for name, value in response.raw_headers
    ]
    return response


async def read_form(visit: Visit) -> Mapping[str, str] | None:
    """The fields of a form that one of our own pages sent in this visit, else None. Raises BodyTooLarge."""
    request = visit.request
    if not _is_from_here(request):
        return None
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _FORM_BYTES:
            raise BodyTooLarge
    fields = {name: values[-1] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
    return fields if hmac.compare_digest(fields.get("csrf", "").encode(), visit.csrf.encode()) else None


async def accepted_form(visit: Visit) -> Mapping[str, str]:
    """As `read_form`. Raises StaleForm where that gives None."""
    form = await read_form(visit)
    if form is None:
        raise StaleForm
    return form


def _is_from_here(request: Request) -> bool:
    """Whether a page of this address sent the form: as the browser says, of which old ones name the origin only."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("origin")
    return origin is None or origin.partition("://")[2] == (host_of(request.headers) or None)


def known_browser(visit: Visit) -> str:
    """The cookie of a browser in which somebody has signed in before; empty: none."""
    return visit.request.cookies.get(DEVICE_COOKIE, "")[:1000]


def safe_return(address: str) -> str:
    """An address inside the console to go back to; anything else becomes the console's first page.

    Judged by how it begins and not by its parts: browsers take `///console` for another host, parsers do not."""
    is_plain = address.isprintable() and "\\" not in address
    return address if is_plain and address.startswith((f"{ROOT}/", f"{ROOT}?")) else ROOT


async def _to_sign_in(visit: Visit) -> Response:
    """Where someone without a session goes; a script is told instead of led."""
    if "application/json" in visit.request.headers.get("accept", ""):
        return Response(status_code=401)
    is_device = visit.request.method == "GET" and visit.request.url.path == f"{ROOT}/device"
    back = f"?next={quote(visit.here, safe='')}" if is_device else ""
    return RedirectResponse(f"{ROOT}/sign-in{back}", 303)


def _zone(wanted: str, usual: str) -> ZoneInfo:
    """The time zone that the browser's script wrote into its cookie, else the usual one."""
    try:
        return ZoneInfo(unquote(wanted)[:100] or usual)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo(usual)


def _visit(request: Request, info: ConsoleInfo) -> Visit:
    """What cookies and headers say, before anything is looked up."""
    cookies = request.cookies
    theme = cookies.get(THEME_COOKIE, "")
    token = cookies.get(SESSION_COOKIE, "")[:200]
    language = choose(cookies.get(LANGUAGE_COOKIE, ""), request.headers.get("accept-language", ""))
    return Visit(
        request=request,
        words=Words(language, _zone(cookies.get(ZONE_COOKIE, ""), info.time_zone)),
        theme=theme if theme in THEMES else "",
        token=token,
        is_https=info.is_https or request.headers.get(forwarded.SCHEME) == "https",
        secret=token or cookies.get(VISIT_COOKIE, "")[:200] or secrets.token_urlsafe(24),
    )
