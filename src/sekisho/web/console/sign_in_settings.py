"""How people sign in here, for the infrastructure team: the identity provider with a test, SCIM, and the rules.

The provider is a setting of the operator and only shown; the rules are changed here, through the admin API.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

from starlette.responses import Response

from sekisho.access.roles import RoleName
from sekisho.access.scim import Filter
from sekisho.errors import SekishoError
from sekisho.web.console.costs import MOST_OBJECTS
from sekisho.web.console.edge import Visit, accepted_form, read_form
from sekisho.web.console.language import Words
from sekisho.web.console.page import Page
from sekisho.web.console.parts import Parts
from sekisho.web.console.writing import ask_admin, done, in_words, refused
from sekisho.web.scim.router import ROOT as SCIM_ROOT

_RULES: Final = "/admin/v1/settings/sign-in"
_MOST_GROUPS = 500

Rules = dict[str, Any]  # as the admin API says them


def sign_in_settings_pages(parts: Parts) -> tuple[Page, ...]:
    """The pages of this file."""
    pages = _SignInSettings(parts)
    return (
        Page("settings/sign-in", pages.show, place="sign_in"),
        Page("settings/sign-in", pages.test, method="POST", place="sign_in"),
        Page("settings/sign-in/rules", pages.set_rules, method="POST", place="sign_in"),
        Page("settings/sign-in/groups", pages.add_group, method="POST", place="sign_in"),
        Page("settings/sign-in/groups/delete", pages.drop_group, method="POST", place="sign_in"),
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

    async def set_rules(self, visit: Visit) -> Response:
        """What holds for everybody, whatever the groups."""
        form = await accepted_form(visit)
        given = {name: form.get(name, "") for name in ("unmapped", "returning")}
        switches = {name: form.get(name) == "yes" for name in ("allows_passwords", "requires_totp")}
        return await self._change(visit, form, "sign_in.rules", lambda rules: {**rules, **given, **switches})

    async def add_group(self, visit: Visit) -> Response:
        """A rule for one more group, or one more rule for a group."""
        form = await accepted_form(visit)
        rule = _rule(form)

        def add(rules: Rules) -> Rules:
            return {**rules, "groups": [*(one for one in rules["groups"] if one != rule), rule]}

        return await self._change(visit, form, "sign_in.group", add, name=rule["group"])

    async def drop_group(self, visit: Visit) -> Response:
        """Take a rule of a group away."""
        form = await accepted_form(visit)
        rule = _rule(form)

        def drop(rules: Rules) -> Rules:
            return {**rules, "groups": [one for one in rules["groups"] if one != rule]}

        return await self._change(visit, form, "sign_in.group_gone", drop, name=rule["group"])

    async def _change(
        self, visit: Visit, form: Mapping[str, str], said: str, change: Callable[[Rules], Rules], **values: str
    ) -> Response:
        """Read the rules, change them, and put them in the place of those before."""
        now = await ask_admin(visit, visit.who, "GET", _RULES)
        if not now.is_good:
            return refused(now.problem(visit.words), now.status)
        groups = [one | {"team_id": one["team_id"] or ""} for one in now.body["groups"]]
        answer = await ask_admin(visit, visit.who, "PUT", _RULES, change({**now.body, "groups": groups}))
        if not answer.is_good:
            return refused(answer.problem(visit.words), answer.status)
        return done(self.parts.edge, form, said, **values)

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
        groups, known = await sign_in.scim.list_groups(Filter(), skip=0, limit=_MOST_GROUPS, has_members=False)
        may_write = visit.who.may("settings:write")
        teams = await self.parts.services.teams.list(limit=MOST_OBJECTS)
        directories = await self.parts.services.grants.list(role="directory")
        about: dict[str, Any] = {
            "oidc": sign_in.oidc,
            "rules": await sign_in.rules.get(),
            "tested": tested,
            "scim_address": visit.origin(sign_in.public_url) + SCIM_ROOT,
            "scim_users": users,
            "scim_groups": groups,
            "known_groups": sorted({one.display_name for one in known}) if may_write else [],
            "may_write": may_write,
            "team_names": {one.id: one.alias or one.id for one in teams},
            "roles": get_args(RoleName),
            "directories": [one.user_id for one in directories],
        }
        return self.parts.drawing.page(visit, "sign_in_settings.html", **about)


def _rule(form: Mapping[str, str]) -> dict[str, str]:
    return {"group": form.get("group", "").strip(), "role": form.get("role", ""), "team_id": form.get("team_id", "")}
