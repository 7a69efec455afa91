"""Why? What became of a call and what helps, and what a key may do: the answers of the admin API as pages.

Budgets and limits of scopes that the viewer may not see come without names and figures: they pass or they stop.
"""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.responses import RedirectResponse, Response

from sekisho.access.register import KeyFilter
from sekisho.clock import parse_id
from sekisho.errors import NotFound
from sekisho.values import Scope
from sekisho.web.console.bars import BudgetBar, budget_bar
from sekisho.web.console.calls_view import ViewedCalls
from sekisho.web.console.costs import MOST_OBJECTS
from sekisho.web.console.edge import Visit
from sekisho.web.console.language import Words
from sekisho.web.console.names import Names, names_of
from sekisho.web.console.nav import ROOT
from sekisho.web.console.page import Page
from sekisho.web.console.parts import Parts
from sekisho.web.console.rows import Mark, make_row
from sekisho.web.console.writing import ask_admin

CALL_ID = re.compile(r"^[0-9a-hjkmnp-tv-z]{26}$")
MOST_KEYS = 500
_STAGE_OF_GATE = {"key": "authenticate", "model": "resolve", "access": "authorize", "price": "admit",
                  "budgets": "admit", "limits": "admit"}  # fmt: skip


def why_pages(parts: Parts) -> tuple[Page, ...]:
    """The pages of this file."""
    pages = _Why(parts)
    return (
        Page("why", pages.ask, place="why"),
        Page("why/{call_id}", pages.call),
        Page("find", pages.find),
    )


@dataclass(frozen=True)
class Step:
    """One gate on the way. `reason`: what stopped there, or a short fact."""

    name: str
    mark: Mark
    fact: str


@dataclass(frozen=True)
class Scoped:
    """One budget that a call comes under. What may not be seen is empty: only `passes` is told."""

    label: str
    amount: int | None
    room: int
    bar: BudgetBar | None
    passes: bool
    is_hard: bool
    resets_at: str


@dataclass
class _Why:
    """One method for each page."""

    parts: Parts

    async def find(self, visit: Visit) -> Response:
        """From a text with a call's id in it to why that call ended as it did; else a search among keys and people."""
        text = visit.request.query_params.get("id", "")[:500]
        words = re.split(r"[^0-9A-Za-z]+", text.lower())
        call_id = next((word for word in words if CALL_ID.match(word)), "")
        if call_id:
            return RedirectResponse(f"{ROOT}/why/{call_id}", 303)
        found = await self._named(visit, text.strip())
        return RedirectResponse(found, 303) if found else self._not_found(visit, text)

    async def call(self, visit: Visit) -> Response:
        """One call: what happened, how far it came, what helps, and the budgets it came under as they stand now."""
        call_id = visit.request.path_params["call_id"]
        if not CALL_ID.match(call_id):
            raise NotFound
        answer = await ask_admin(
            visit, visit.who, "GET", f"/admin/v1/calls/{call_id}/explain?language={visit.words.language}"
        )
        if not answer.is_good:
            raise NotFound
        found = await self.parts.services.calls.find(self.parts.services.org_id, parse_id(call_id))
        if found is None:
            raise NotFound
        (view,) = await ViewedCalls(self.parts.services).views([found])
        said = await self._said(visit, found.key_id, found.asked_model or found.model, found.agent)
        return self.parts.drawing.page(
            visit,
            "why_call.html",
            row=make_row(view, self.parts.drawing.info.stages, visit.words),
            said=answer.body,
            raw=found,
            steps=None,
            budgets=await self._budgets(said, visit.words) if said else [],
            may_list=True,
        )

    async def ask(self, visit: Visit) -> Response:
        """What a key may do: the passage of a call that somebody thinks of."""
        keys = await self.parts.services.keys.list(KeyFilter(sight=visit.who.sight("keys:read")), limit=MOST_KEYS)
        models = sorted(model.name for model in self.parts.services.models())
        query = visit.request.query_params
        key_id, model = query.get("key", "")[:200], query.get("model", "")[:200]
        said = await self._said(visit, key_id, model, "") if key_id and model else None
        return self.parts.drawing.page(
            visit,
            "why.html",
            keys=[(key.id, key.alias or key.id) for key in keys],
            models=[(name, name) for name in models],
            key_id=key_id,
            model=model,
            said=said,
            was_asked=bool(key_id and model),
            steps=self._steps(said, visit.words) if said else (),
            stop=next((gate for gate in said["gates"] if gate["answer"] == "stop"), None) if said else None,
            budgets=await self._budgets(said, visit.words) if said else [],
        )

    async def _budgets(self, said: dict[str, Any], words: Words) -> list[Scoped]:
        """The budgets of an answer, those that stop first."""
        found = said["budgets"]
        names = await names_of(
            self.parts.services, [(one["scope"]["kind"], one["scope"].get("id", "")) for one in found]
        )
        return _budgets(found, words, names)

    async def _said(self, visit: Visit, key_id: str, model: str, agent: str) -> dict[str, Any] | None:
        """What the admin API says of a call with this key; None for what may not be asked."""
        if not key_id or not model:
            return None
        question = {"key_id": key_id, "model": model, "agent": agent[:40], "language": visit.words.language}
        answer = await ask_admin(visit, visit.who, "POST", "/admin/v1/explain", question)
        return answer.body if answer.is_good else None

    def _steps(self, said: dict[str, Any], words: Words) -> list[Step]:
        """The gates of the path, with the one that would stop the call."""
        stages = self.parts.drawing.info.stages
        stop = next((gate for gate in said["gates"] if gate["answer"] == "stop"), None)
        at = stages.index(_STAGE_OF_GATE[stop["gate"]]) if stop else len(stages)
        steps = []
        for number, stage in enumerate(stages):
            mark: Mark = "pass" if number < at else "stop" if number == at else "off"
            fact = str(words(f"gate.{stop['gate']}")) if stop and number == at else ""
            steps.append(Step(str(words.known(f"stage.{stage}", stage)), mark, fact))
        return steps

    async def _named(self, visit: Visit, text: str) -> str:
        """The calls of the key, person or team of exactly this id or name, if they may be seen; "" for none."""
        if not text:
            return ""
        services, sight = self.parts.services, visit.who.sight("keys:read")
        for key in await services.keys.list(KeyFilter(alias=text, sight=sight), limit=1) if sight else ():
            return f"{ROOT}/calls?{urlencode({'key': key.id})}"
        seen = visit.who.sight("organisation:read")
        people = [("user", one.id, one.alias) for one in await services.users.list(limit=MOST_OBJECTS)]
        teams = [("team", one.id, one.alias) for one in await services.teams.list(limit=MOST_OBJECTS)]
        wanted = text.casefold()
        for kind, id_, alias in sorted((*people, *teams), key=lambda one: one[1] != text):  # ids before names
            may_see = seen.is_all or (seen.covers_team(id_) if kind == "team" else seen.covers(user_id=id_))
            if may_see and (id_ == text or alias.casefold() == wanted):
                return f"{ROOT}/calls?{urlencode({kind: id_})}"
        return ""

    def _not_found(self, visit: Visit, text: str) -> Response:
        return self.parts.drawing.page(visit, "find_nothing.html", status=404, text=text)


def _budgets(found: list[dict[str, Any]], words: Words, names: Names) -> list[Scoped]:
    scoped = []
    for one in found:
        is_seen = "amount_nanousd" in one
        bar = None
        if is_seen:
            bar = budget_bar(
                one["amount_nanousd"], one["spent_nanousd"], one["reserved_nanousd"], None, words, scale=1.12
            )
        scoped.append(
            Scoped(
                label=_label(one, words, names),
                amount=one["amount_nanousd"] if is_seen else None,
                room=max(0, one["room_nanousd"]) if is_seen else 0,
                bar=bar,
                passes=one["passes"],
                is_hard=one["is_hard"],
                resets_at=one.get("resets_at") or "",
            )
        )
    return sorted(scoped, key=lambda one: one.passes)


def _label(one: dict[str, Any], words: Words, names: Names) -> str:
    """Name and window; of a scope that the reader may not see, its kind alone."""
    kind = one["scope"]["kind"]
    if "window" not in one:
        return str(words(f"scope.{kind}"))
    window = words(f"window.{one['window']['kind']}")
    return f"{names.scope(Scope(kind, one['scope']['id']), words)} · {window}"
