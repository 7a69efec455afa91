"""How people sign in here, for the infrastructure team: the identity provider with a test, SCIM, and the rules.

It only shows: the provider is a setting of the operator, the rules are changed through the admin API.
"""

from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from sekisho.access.scim import Filter
from sekisho.errors import SekishoError
from sekisho.web.console.edge import Visit, read_form
from sekisho.web.console.language import Words
from sekisho.web.console.page import Page
from sekisho.web.console.parts import Parts
from sekisho.web.console.writing import in_words
from sekisho.web.scim.router import ROOT as SCIM_ROOT


def sign_in_settings_pages(parts: Parts) -> tuple[Page, ...]:
    """The pages of this file."""
    pages = _SignInSettings(parts)
    return (
        Page("settings/sign-in", pages.show, place="sign_in"),
        Page("settings/sign-in", pages.test, method="POST", place="sign_in"),
    )


@dataclass(frozen=True, slots=True)
class Tested:
    """What came of asking the identity provider: its addresses and how many keys it signs with, or what is wrong."""

    problem: str = ""
    issuer: str = ""
    endpoints: tuple[str, ...] = ()
    keys: int = 0


@dataclass
class _SignInSettings:
    """One method for each page."""

    parts: Parts

    async def show(self, visit: Visit) -> Response:
        """Everything that is set."""
        return await self._page(visit)

    async def test(self, visit: Visit) -> Response:
        """Ask the identity provider now."""
        if await read_form(visit) is None:
            return self.parts.drawing.failed(visit, 403, "")
        return await self._page(visit, await self._ask(visit.words))

    async def _ask(self, words: Words) -> Tested | None:
        oidc = self.parts.services.sign_in.oidc
        if oidc is None:
            return None
        try:
            found = await oidc.provider(is_fresh=True)
            keys = await oidc.keys(found, is_fresh=True)
        except SekishoError as error:
            return Tested(problem=in_words(error.message, words))
        endpoints = (found.authorization_endpoint, found.token_endpoint, found.end_session_endpoint)
        return Tested("", found.issuer, tuple(filter(None, endpoints)), len(keys.keys))

    async def _page(self, visit: Visit, tested: Tested | None = None) -> Response:
        sign_in = self.parts.services.sign_in
        users, _ = await sign_in.scim.list_users(Filter(), skip=0, limit=0)
        groups, _ = await sign_in.scim.list_groups(Filter(), skip=0, limit=0, has_members=False)
        directories = await self.parts.services.grants.list(role="directory")
        about: dict[str, Any] = {
            "oidc": sign_in.oidc,
            "rules": await sign_in.rules.get(),
            "tested": tested,
            "scim_address": (sign_in.public_url or "https://…") + SCIM_ROOT,
            "scim_users": users,
            "scim_groups": groups,
            "directories": [one.user_id for one in directories],
        }
        return self.parts.drawing.page(visit, "sign_in_settings.html", **about)
