"""The budgets page: the tree of the month, every budget with its window, and making and changing one."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from starlette.responses import Response

from sekisho.access.money import usd_text
from sekisho.access.rules import RuleFilter, StoredRule
from sekisho.ledger.windows import span_at
from sekisho.values import Budget, Scope
from sekisho.web.console.costs import MOST_OBJECTS, MOST_RULES, Costs, amount_of, month_of, read_costs
from sekisho.web.console.edge import Visit, accepted_form
from sekisho.web.console.exports import csv_address, csv_file, wants_csv
from sekisho.web.console.language import Words
from sekisho.web.console.names import Names, names_of
from sekisho.web.console.overview import TREE_HEAD, calls_address, moves_address, tree_export, tree_rows
from sekisho.web.console.page import Page
from sekisho.web.console.parts import Parts
from sekisho.web.console.writing import ask_admin, done, refused

_WINDOWS = ("day", "week", "month")


def budget_pages(parts: Parts) -> tuple[Page, ...]:
    """The pages of this file."""
    pages = _Budgets(parts)
    return (
        Page("budgets", pages.show, place="budgets"),
        Page("budgets", pages.make, method="POST", place="budgets"),
        Page("budgets/{budget_id}", pages.change, method="POST", place="budgets"),
    )


@dataclass(frozen=True)
class BudgetRow:
    """One budget, ready to draw. `increase`: what it has more of now. `steps`: what happens at which share."""

    budget: Budget
    label: str
    window: str
    spent: int
    increase: int
    amount_text: str
    steps: str
    may_change: bool


@dataclass
class _Budgets:
    """One method for each page."""

    parts: Parts

    async def show(self, visit: Visit) -> Response:
        """The tree, and every budget in use that may be seen."""
        services = self.parts.services
        span = month_of(services, "")
        after = await self.parts.moves.mark()
        costs = await read_costs(services, visit.who, span)
        if wants_csv(visit):
            return csv_file("budgets", TREE_HEAD, tree_export(costs))
        words = self.parts.words(visit)
        stored = await services.rules.list(
            "budget", RuleFilter(sight=visit.who.sight("budgets:read")), limit=MOST_RULES
        )
        budgets = await self._rows(visit, stored, costs, words)
        self.parts.moves.keep(visit.who, "", after, costs, {one.budget: one.spent for one in budgets})
        return self.parts.drawing.page(
            visit,
            "budgets.html",
            m=words,
            costs=costs,
            rows=tree_rows(costs, words),
            moves=moves_address(costs, ""),
            after=after,
            csv=csv_address(visit),
            month_name=words.month(span.starts_at),
            calls_from=calls_address(span, words, ""),
            budgets=budgets,
            scopes=await self._scopes(visit, words),
            windows=[(name, words(f"window.{name}")) for name in reversed(_WINDOWS)],
            kinds=[("hard", words("budgets.hard.long")), ("soft", words("budgets.soft.long"))],
        )

    async def make(self, visit: Visit) -> Response:
        """Make a budget."""
        form = await accepted_form(visit)
        kind, _, scope_id = form.get("scope", "").partition(":")
        body = {
            "scope": {"kind": kind, "id": scope_id},
            "amount_usd": form.get("amount", "").strip().removeprefix("$").replace(",", ""),
            "window": {"kind": form.get("window", "")},
            "is_hard": form.get("kind") != "soft",
        }
        answer = await ask_admin(visit, visit.who, "POST", "/admin/v1/budgets", body)
        if not answer.is_good:
            return refused(answer.problem(visit.words))
        amount = visit.words.sum_cost(answer.body["amount_nanousd"])
        return done(self.parts.edge, form, "budget.made", amount=amount)

    async def change(self, visit: Visit) -> Response:
        """Give a budget another amount."""
        form = await accepted_form(visit)
        budget_id = visit.request.path_params["budget_id"]
        amount = form.get(f"amount-{budget_id}", "").strip().removeprefix("$").replace(",", "")
        address = f"/admin/v1/budgets/{quote(budget_id, safe='')}"
        before = await ask_admin(visit, visit.who, "GET", address)
        answer = await ask_admin(visit, visit.who, "PATCH", address, {"amount_usd": amount})
        if not answer.is_good:
            return refused(answer.problem(visit.words))
        words = visit.words
        old, new = (words.sum_cost(one.body["amount_nanousd"]) for one in (before, answer))
        return done(self.parts.edge, form, "budget.changed", old=old, new=new)

    async def _rows(self, visit: Visit, stored: Sequence[StoredRule], costs: Costs, words: Words) -> list[BudgetRow]:
        services, now_us = self.parts.services, costs.now_us
        budgets = [one.rule for one in stored if isinstance(one.rule, Budget)]
        spent = {
            one.budget.id: one.spent_nanousd
            for one in await services.spent.spent(services.org_id, tuple(budgets), now_us)
        }
        names = await names_of(services, [(budget.scope.kind, budget.scope.id) for budget in budgets])
        rows = []
        for budget in budgets:
            span = span_at(budget.window, now_us)
            more = amount_of(budget, span, now_us) - budget.amount_nanousd if span else 0
            rows.append(
                BudgetRow(
                    budget=budget,
                    label=_label(budget.scope, names, words),
                    window=str(words(f"window.{budget.window.kind}")),
                    spent=spent.get(budget.id, 0),
                    increase=more,
                    amount_text=usd_text(budget.amount_nanousd),
                    steps=_steps(budget, words),
                    may_change=visit.who.may("budgets:write") or budget.scope.kind in ("member", "key"),
                )
            )
        order = ("org", "team", "member", "user", "key", "tag")
        return sorted(rows, key=lambda row: (order.index(row.budget.scope.kind), row.label, row.window))

    async def _scopes(self, visit: Visit, words: Words) -> list[tuple[str, str]]:
        """What a budget may be made for: everything for who may write all, else members of one's teams."""
        services, sight = self.parts.services, visit.who.sight("budgets:write")
        among = None if sight.is_all else sight.team_ids
        teams = await services.teams.list(limit=MOST_OBJECTS, among=among)
        found = [(f"org:{services.org_id}", str(words("tree.org")))] if sight.is_all else []
        if sight.is_all:
            found += [(f"team:{team.id}", team.alias or team.id) for team in teams]
        members = [one for team in teams for one in await services.teams.members(team.id)]
        names = await names_of(services, [("member", f"{one.team_id}/{one.user_id}") for one in members])
        for one in members:
            id = f"{one.team_id}/{one.user_id}"
            found.append((f"member:{id}", names.of("member", id)))
        return found


def _label(scope: Scope, names: Names, words: Words) -> str:
    return str(words("budgets.tag", name=scope.id)) if scope.kind == "tag" else names.scope(scope, words)


def _steps(budget: Budget, words: Words) -> str:
    told = [f"{percent} %" for percent in budget.thresholds]
    told += [f"{step.at_percent} % {words(f'step.{step.action}')}{f' → {step.model}' * bool(step.model)}"
             for step in budget.steps]  # fmt: skip
    return " · ".join(told)
