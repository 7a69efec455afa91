"""Limits and policies: listed, made and taken away, through the admin API."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from starlette.responses import Response

from sekisho.access.money import parse_usd
from sekisho.access.policies import POLICY_FIELDS, POLICY_LISTS, hours_text
from sekisho.access.rules import RuleFilter, RuleKind
from sekisho.errors import BadRequest
from sekisho.values import Policy, RateLimit, Scope
from sekisho.web.console.costs import MOST_OBJECTS, MOST_RULES
from sekisho.web.console.edge import Visit, accepted_form
from sekisho.web.console.exports import csv_address, csv_file, wants_csv
from sekisho.web.console.language import Words
from sekisho.web.console.names import names_of
from sekisho.web.console.page import Page
from sekisho.web.console.parts import Parts
from sekisho.web.console.writing import ask_admin, done, in_words, refused

_RATES = ("requests_per_minute", "tokens_per_minute", "parallel", "calls_per_task")
_DOLLARS = "usd_per_task"
_MOST = "max_output_tokens"


def rule_pages(parts: Parts) -> tuple[Page, ...]:
    """The pages of this file."""
    limits, policies = _Rules(parts, "limit"), _Rules(parts, "policy")
    return (
        Page("limits", limits.show, place="limits"),
        Page("limits", limits.make, method="POST", place="limits"),
        Page("limits/{rule_id}/delete", limits.delete, method="POST", place="limits"),
        Page("policies", policies.show, place="policies"),
        Page("policies", policies.make, method="POST", place="policies"),
        Page("policies/{rule_id}/delete", policies.delete, method="POST", place="policies"),
    )


@dataclass(frozen=True)
class RuleRow:
    """One rule, ready to draw. `facts`: what it says, as (name, value)."""

    id: str
    name: str
    scope: Scope
    label: str
    facts: tuple[tuple[str, str], ...]
    by: str
    at: int


@dataclass
class _Rules:
    """One method for each page, of limits or of policies."""

    parts: Parts
    kind: RuleKind

    @property
    def place(self) -> str:
        return "limits" if self.kind == "limit" else "policies"

    async def show(self, visit: Visit) -> Response:
        """Every rule of this kind in use."""
        if self.kind == "policy":
            visit.need("rules:read")
        rules = self.parts.services.rules
        sight = visit.who.sight("limits:read" if self.kind == "limit" else "rules:read")
        stored = await rules.list(self.kind, RuleFilter(sight=sight), limit=MOST_RULES)
        words = visit.words
        makers = {one.rule.id: one.created_by.partition(":")[2] for one in stored if one.created_by.startswith("user:")}
        about = [(one.rule.scope.kind, one.rule.scope.id) for one in stored]
        names = await names_of(self.parts.services, [*about, *(("user", one) for one in makers.values())])
        rows = [
            RuleRow(one.rule.id, one.name, one.rule.scope, names.scope(one.rule.scope, words), _facts(one.rule, words),
                    names.person(makers.get(one.rule.id, "")) or one.created_by, one.updated_at)
            for one in stored
            if isinstance(one.rule, RateLimit | Policy)
        ]  # fmt: skip
        if wants_csv(visit):
            head = ("id", "scope_kind", "scope_id", "name", "says", "created_by")
            lines = ((r.id, r.scope.kind, r.scope.id, r.name, "; ".join(map(": ".join, r.facts)), r.by) for r in rows)
            return csv_file(self.place, head, lines)
        return self.parts.drawing.page(
            visit,
            "rules.html",
            kind=self.kind,
            place=self.place,
            rows=rows,
            may_write=visit.who.may("limits:write" if self.kind == "limit" else "rules:write"),
            scopes=await self._scopes(words),
            rates=(*_RATES, _DOLLARS),
            fields=POLICY_FIELDS,
            csv=csv_address(visit),
        )

    async def make(self, visit: Visit) -> Response:
        """Make a rule."""
        form = await accepted_form(visit)
        kind, _, scope_id = form.get("scope", "").partition(":")
        body: dict[str, Any] = {"scope": {"kind": kind, "id": scope_id}, "name": form.get("name", "").strip()}
        if self.kind == "limit":
            body |= {name: _number(form[name]) for name in _RATES if form.get(name, "").strip()}
            if amount := form.get(_DOLLARS, "").strip():
                try:
                    body["nanousd_per_task"] = parse_usd(amount.lstrip("$").replace(",", ""), _DOLLARS)
                except BadRequest as error:
                    return refused(in_words(str(error), visit.words))
        else:
            body |= {name: _split(form[name]) for name in POLICY_LISTS if form.get(name, "").strip()}
            body |= {_MOST: _number(form[_MOST])} if form.get(_MOST, "").strip() else {}
        answer = await ask_admin(visit, visit.who, "POST", f"/admin/v1/{self.place}", body)
        if not answer.is_good:
            return refused(answer.problem(visit.words), answer.status)
        return done(self.parts.edge, form, f"{self.kind}.made", name=body["name"] or scope_id)

    async def delete(self, visit: Visit) -> Response:
        """Take a rule away."""
        form = await accepted_form(visit)
        rule_id = quote(visit.request.path_params["rule_id"], safe="")
        answer = await ask_admin(visit, visit.who, "DELETE", f"/admin/v1/{self.place}/{rule_id}")
        if not answer.is_good:
            return refused(answer.problem(visit.words), answer.status)
        return done(self.parts.edge, form, f"{self.kind}.deleted")

    async def _scopes(self, words: Words) -> list[tuple[str, str]]:
        services = self.parts.services
        found = [(f"org:{services.org_id}", str(words("scope.org")))]
        for team in await services.teams.list(limit=MOST_OBJECTS):
            found.append((f"team:{team.id}", f"{words('scope.team')} {team.alias or team.id}"))
        for user in await services.users.list(limit=MOST_OBJECTS):
            found.append((f"user:{user.id}", f"{words('scope.user')} {user.alias or user.id}"))
        return found


def _facts(rule: RateLimit | Policy, words: Words) -> tuple[tuple[str, str], ...]:
    if isinstance(rule, RateLimit):
        rates = ((name, getattr(rule, name)) for name in _RATES)
        of = ((str(words("by.model")), rule.model),) if rule.model else ()
        counts = ((str(words(f"rule.{name}")), words.count(value)) for name, value in rates if value is not None)
        most = rule.nanousd_per_task
        return (*of, *counts, *(((str(words(f"rule.{_DOLLARS}")), words.sum_cost(most)),) if most is not None else ()))
    facts = []
    for name in POLICY_LISTS:
        values = getattr(rule, name)
        if values:
            texts = [f"{hours_text(one)} {one.time_zone}" for one in values] if name == "hours" else list(values)
            facts.append((str(words(f"rule.{name}")), ", ".join(texts)))
    if rule.max_output_tokens is not None:
        facts.append((str(words(f"rule.{_MOST}")), words.count(rule.max_output_tokens)))
    return tuple(facts)


def _number(text: str) -> int | str:
    plain = text.strip().replace(",", "")
    return int(plain) if plain.isascii() and plain.isdigit() and len(plain) < 13 else text


def _split(text: str) -> list[str]:
    return [one.strip() for one in text.split(",") if one.strip()]
