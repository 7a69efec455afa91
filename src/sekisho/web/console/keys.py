"""Virtual keys: listed, issued by one-time link, rotated, blocked and deleted, within what the viewer may do.

Nobody sees a raw key here: who is to have it opens the link, and it is made then.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from starlette.responses import Response

from sekisho.access.register import KeyFilter, StoredKey
from sekisho.record.spend import SpendQuery
from sekisho.web.admin.spend import within_sight
from sekisho.web.console.costs import MOST_OBJECTS, month_of
from sekisho.web.console.edge import Visit, accepted_form
from sekisho.web.console.exports import csv_address, csv_file, wants_csv
from sekisho.web.console.names import names_of
from sekisho.web.console.nav import ROOT
from sekisho.web.console.page import Page
from sekisho.web.console.parts import Parts
from sekisho.web.console.readable import readable
from sekisho.web.console.writing import Answer, ask_admin, done, refused

PAGE_ROWS = 50
LIVES = ("30d", "90d", "365d", "")
GRACES = ("24h", "1h", "7d", "0s")
_SIMPLE = {"block": "key.blocked", "unblock": "key.unblocked"}


def key_pages(parts: Parts) -> tuple[Page, ...]:
    """The pages of this file."""
    pages = _Keys(parts)
    return (
        Page("keys", pages.show, place="keys"),
        Page("keys", pages.issue, method="POST", place="keys"),
        Page("keys/{key_id}/{action}", pages.act, method="POST", place="keys"),
    )


@dataclass(frozen=True)
class KeyRow:
    """One key, ready to draw. `state`: valid, blocked, expired, or waiting for its hand-over."""

    key: StoredKey
    state: str
    spent: int
    may_write: bool

    @property
    def name(self) -> str:
        return self.key.alias or self.key.id


@dataclass
class _Keys:
    """One method for each page."""

    parts: Parts

    async def show(self, visit: Visit) -> Response:
        """The keys that may be seen, newest first."""
        services = self.parts.services
        query = visit.request.query_params
        plain = {name: query[name][:200] for name in ("team", "user") if query.get(name)}
        where = KeyFilter(
            user_id=plain.get("user", ""), team_id=plain.get("team", ""), sight=visit.who.sight("keys:read")
        )
        limit = 10_000 if wants_csv(visit) else PAGE_ROWS + 1
        after = query.get("after", "")[:100]
        found = await services.keys.list(where, limit=limit, after=after)
        rows = await self._rows(visit, found[:10_000] if wants_csv(visit) else found[:PAGE_ROWS])
        if wants_csv(visit):
            return csv_file("keys", _CSV_HEAD, map(_csv_row, rows))
        more = {"after": found[PAGE_ROWS - 1].id} if len(found) > PAGE_ROWS else {}
        held = [("user", row.key.user_id) for row in rows] + [("team", row.key.team_id) for row in rows]
        names = await names_of(services, [*held, *plain.items()] if rows else ())  # no name of what is not seen
        return self.parts.drawing.page(
            visit,
            "keys.html",
            rows=rows,
            names=names,
            chips=[(name, names.of(name, value), self._address(plain, name)) for name, value in plain.items()],
            is_filtered=bool(plain),
            may_issue=bool(visit.who.sight("keys:write")),
            holders=await self._holders(visit),
            lives=[(life, visit.words(f"keys.life.{life or 'ever'}")) for life in LIVES],
            graces=[(grace, visit.words(f"keys.grace.{grace}")) for grace in GRACES],
            older=f"{ROOT}/keys?{urlencode(plain | more)}" if more else "",
            newest=f"{ROOT}/keys?{urlencode(plain)}" if after else "",
            page_rows=PAGE_ROWS,
            csv=csv_address(visit),
            month=self.parts.words(visit).month(services.clock.now_us()),
        )

    async def issue(self, visit: Visit) -> Response:
        """Make a key and a one-time link for whoever is to have it."""
        form = await accepted_form(visit)
        team_id, _, user_id = form.get("holder", "").partition("/")
        body: dict[str, Any] = {
            "alias": form.get("alias", "").strip(),
            "team_id": team_id,
            "user_id": user_id,
            "models": [name.strip() for name in form.get("models", "").split(",") if name.strip()],
            "hand_over": {"expires_in": "7d"},
        }
        if form.get("life"):
            body["expires_in"] = form["life"]
        answer = await ask_admin(visit, visit.who, "POST", "/admin/v1/keys", body)
        return self._link(visit, answer)

    async def act(self, visit: Visit) -> Response:
        """Rotate, block, unblock or delete a key."""
        form = await accepted_form(visit)
        key_id, action = visit.request.path_params["key_id"], visit.request.path_params["action"]
        address = f"/admin/v1/keys/{quote(key_id, safe='')}"
        if action == "rotate":
            body = {"grace": form.get("grace", "24h"), "hand_over": {"expires_in": "7d"}}
            return self._link(visit, await ask_admin(visit, visit.who, "POST", f"{address}/rotate", body))
        known = await ask_admin(visit, visit.who, "GET", address)
        if not known.is_good:
            return refused(known.problem(visit.words), known.status)
        name = known.body["alias"] or key_id
        if action in ("block", "delete") and form.get("typed", "").strip() not in (name, readable(name)):
            return refused(str(visit.words("keys.typed_wrong", name=name)))
        if action == "delete":
            answer = await ask_admin(visit, visit.who, "DELETE", address)
            return self._done(visit, form, answer, "key.deleted", name)
        answer = await ask_admin(visit, visit.who, "POST", f"{address}/{action if action in _SIMPLE else 'x'}")
        return self._done(visit, form, answer, _SIMPLE.get(action, ""), name)

    def _done(self, visit: Visit, form: Mapping[str, str], answer: Answer, text: str, name: str) -> Response:
        if not answer.is_good:
            return refused(answer.problem(visit.words), answer.status)
        return done(self.parts.edge, form, text, name=name)

    def _link(self, visit: Visit, answer: Answer) -> Response:
        if not answer.is_good:
            return refused(answer.problem(visit.words), answer.status)
        return self.parts.drawing.page(
            visit, "_one_time.html", path=answer.body["hand_over"]["path"], name=answer.body["alias"]
        )

    async def _rows(self, visit: Visit, found: list[StoredKey]) -> list[KeyRow]:
        services, now_us = self.parts.services, self.parts.services.clock.now_us()
        ids = tuple(key.id for key in found)
        spent: dict[str, int] = {}
        if ids:
            where = within_sight({"key": ids}, visit.who)
            query = SpendQuery(by=("key",), since=month_of(services, "").starts_at, where=where)
            spent = {one.key_id: one.cost_nanousd for one in await services.spend.spend(services.org_id, query)}
        sight = visit.who.sight("keys:write")
        return [
            KeyRow(key, state_of(key, now_us), spent.get(key.id, 0), sight.covers(team_id=key.team_id)) for key in found
        ]

    async def _holders(self, visit: Visit) -> list[tuple[str, str]]:
        """For whom a key may be made: members of the teams, and the teams themselves."""
        sight, services = visit.who.sight("keys:write"), self.parts.services
        if not sight:
            return []
        found = []
        teams = await services.teams.list(limit=MOST_OBJECTS, among=None if sight.is_all else sight.team_ids)
        members = {team.id: await services.teams.members(team.id) for team in teams}
        names = await names_of(services, [("user", one.user_id) for team in members.values() for one in team])
        for team in teams:
            label = team.alias or team.id
            found += [
                (f"{team.id}/{one.user_id}", f"{label} / {names.person(one.user_id)}") for one in members[team.id]
            ]
            found.append((f"{team.id}/", str(visit.words("keys.of_team", name=label))))
        return found

    def _address(self, plain: Mapping[str, str], without: str) -> str:
        rest = {name: value for name, value in plain.items() if name != without}
        return f"{ROOT}/keys?{urlencode(rest)}" if rest else f"{ROOT}/keys"


def state_of(key: StoredKey, now_us: int) -> str:
    if key.blocked:
        return "blocked"
    if key.expires_at is not None and key.expires_at <= now_us:
        return "expired"
    return "valid" if key.is_handed_over else "waiting"


_CSV_HEAD = ("id", "alias", "team_id", "user_id", "state", "models", "expires_at_us", "spent_nanousd_this_month")


def _csv_row(row: KeyRow) -> tuple[object, ...]:
    key = row.key
    models = " ".join(key.models)
    return (key.id, key.alias, key.team_id, key.user_id, row.state, models, key.expires_at, row.spent)
