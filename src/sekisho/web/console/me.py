"""A developer's own page and the set-up of agents: what is left, what was spent, own keys, exact configurations."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path, PurePosixPath
from typing import Any

from starlette.responses import Response

from sekisho.access.money import usd_text
from sekisho.access.register import KeyFilter
from sekisho.access.rules import RuleFilter
from sekisho.kits.agents import KITS
from sekisho.kits.target import Offer, Target, default_model
from sekisho.ledger.counters import Spent
from sekisho.ledger.windows import span_at
from sekisho.record.calls import CallFilter, Part
from sekisho.record.reporting import yen
from sekisho.record.tasks import TaskFilter
from sekisho.values import Budget, Model, Window
from sekisho.web.console.bars import budget_bar, percentile
from sekisho.web.console.calls_view import ViewedCalls
from sekisho.web.console.costs import MOST_RULES, Costs, Node, amount_of, month_of, read_costs
from sekisho.web.console.edge import Visit
from sekisho.web.console.exports import csv_address, csv_file, wants_csv
from sekisho.web.console.keys import state_of
from sekisho.web.console.language import Words
from sekisho.web.console.names import names_of
from sekisho.web.console.nav import ROOT
from sekisho.web.console.page import Page
from sekisho.web.console.parts import Parts
from sekisho.web.console.rows import make_row
from sekisho.web.console.tasks import titled_tasks

OWN_KEYS = 20
LAST_CALLS = 5
MEDIAN_OF = 200  # tasks that the median is taken of
PLACEHOLDER = "YOUR_KEY"


def me_pages(parts: Parts) -> tuple[Page, ...]:
    """The pages of this file."""
    pages = _Me(parts)
    return (Page("me", pages.show, place="me"), Page("setup", pages.setup, place="setup"))


@dataclass(frozen=True)
class Edited:
    """One file of an agent as the set-up leaves it where there was none. `text`: None where a kit cannot show it."""

    path: str
    text: str


@dataclass(frozen=True)
class Daily:
    """A daily budget as it is now: what may be spent, with an increase and what was given back, and what is left."""

    amount_nanousd: int
    room_nanousd: int


@dataclass
class _Me:
    """One method for each page."""

    parts: Parts

    async def show(self, visit: Visit) -> Response:
        """What the viewer has left and has spent."""
        services, words = self.parts.services, self.parts.words(visit)
        costs = await read_costs(services, visit.who, month_of(services, ""))
        node = _own(costs, visit.who.user_id)
        if wants_csv(visit):
            return csv_file(f"days-{words.moment(costs.span.starts_at):%Y-%m}", DAYS_HEAD, _days_export(costs, words))
        keys = await services.keys.list(KeyFilter(sight=visit.who.sight("keys:read")), limit=OWN_KEYS)
        rate = (await services.reporting.get()).rate_on(words.moment(costs.now_us).date())
        daily = await self._daily(visit, costs)
        today = span_at(Window("day", services.time_zone), costs.now_us)
        assert today is not None
        teams = [one.team_id for one in await services.teams.memberships(visit.who.user_id)]
        return self.parts.drawing.page(
            visit,
            "me.html",
            m=words,
            costs=costs,
            node=node,
            bar=_bar(node, words),
            yen=words.yen(yen(max(0, node.room_nanousd), rate)) if rate and node and node.room_nanousd else "",
            today=sum(cost for at, cost in costs.days if today.holds(at)),
            daily=daily,
            csv=csv_address(visit),
            chart=_days_chart(costs, daily, words),
            keys=[(key, state_of(key, costs.now_us)) for key in keys],
            calls=await self._last_calls(visit),
            tasks=await self._own_tasks(visit),
            teams=teams,
            names=await names_of(services, [("team", one) for one in teams]),
            now_us=costs.now_us,
            agents=[(kit.name, kit.title) for kit in KITS.values()],
            command=self._command(visit),
        )

    async def setup(self, visit: Visit) -> Response:
        """How an agent is set up: the command, and every file as it leaves it."""
        asked = visit.request.query_params.get("agent", "")
        kit = KITS.get(asked, KITS["cline"])
        models = self.parts.services.models()
        offers = tuple(_offer(model) for model in models)
        chosen = visit.request.query_params.get("model", "")
        model = chosen if chosen in {one.name for one in offers} else default_model(offers) or "MODEL"
        target = Target(visit.origin(self.parts.services.sign_in.public_url), PLACEHOLDER, model, Path("/~"), offers)
        edits = [
            Edited(f"~/{PurePosixPath(edit.path).relative_to('/~')}", edit.change("")) for edit in kit.plan(target)
        ]
        notes = [note.ja if visit.words.language == "ja" else note.en for note in kit.notes(target)]
        return self.parts.drawing.page(
            visit,
            "setup.html",
            kit=kit,
            kits=[(one.title, f"{ROOT}/setup?agent={one.name}", one.name == kit.name) for one in KITS.values()],
            edits=edits,
            notes=notes,
            model=model,
            command=f"{self._command(visit)} setup {kit.name} --url {target.url}",
            placeholder=PLACEHOLDER,
        )

    async def _daily(self, visit: Visit, costs: Costs) -> Daily | None:
        """The one of the viewer's own daily budgets that has least left."""
        services = self.parts.services
        stored = await services.rules.list(
            "budget", RuleFilter(sight=visit.who.sight("budgets:read")), limit=MOST_RULES
        )
        budgets = tuple(
            one.rule
            for one in stored
            if isinstance(one.rule, Budget) and one.rule.window.kind == "day" and not one.rule.model
            and one.rule.scope.kind in ("member", "user")
        )  # fmt: skip
        spent = await services.spent.spent(services.org_id, budgets, costs.now_us)
        return min((_daily_of(one, costs) for one in spent), key=lambda daily: daily.room_nanousd, default=None)

    async def _last_calls(self, visit: Visit) -> list[Any]:
        services = self.parts.services
        where = CallFilter(part=Part(user_id=visit.who.user_id))
        found = await services.calls.recent(services.org_id, limit=LAST_CALLS, where=where)
        views = await ViewedCalls(services).views(found)
        return [make_row(view, self.parts.drawing.info.stages, visit.words) for view in views]

    async def _own_tasks(self, visit: Visit) -> tuple[list[tuple[dict[str, Any], float]], int]:
        """The last tasks of the viewer, each with how many times the median it cost; and the median."""
        services = self.parts.services
        where = TaskFilter(part=Part(user_id=visit.who.user_id))
        found, _ = await services.tasks.list_tasks(services.org_id, limit=MEDIAN_OF, where=where)
        median = percentile([task.cost_nanousd for task in found if task.cost_nanousd], 50)
        last = await titled_tasks(visit, LAST_CALLS)
        return [(task, task["cost_nanousd"] / median if median else 0.0) for task in last], median

    def _command(self, visit: Visit) -> str:
        return "sekisho"


def _own(costs: Costs, user_id: str) -> Node | None:
    """The viewer's membership with a budget, else with the most spend."""
    nodes = [
        node
        for root in costs.roots
        for node in root.walk()
        if node.scope.kind == "member" and node.scope.id.partition("/")[2] == user_id
    ]
    return max(nodes, key=lambda node: (node.amount_nanousd is not None, node.spent_nanousd), default=None)


def _daily_of(spent: Spent, costs: Costs) -> Daily:
    """As the gate sees it: in the budget's own day and scope, calls under way at their bound."""
    budget = spent.budget
    span = span_at(budget.window, costs.now_us)
    amount = amount_of(budget, span, costs.now_us) if span else budget.amount_nanousd
    nodes = (node for root in costs.roots for node in root.walk())
    held = next((node.reserved_nanousd for node in nodes if node.scope == budget.scope), costs.reserved_nanousd)
    return Daily(amount, max(0, amount - spent.spent_nanousd - held))


def _bar(node: Node | None, words: Words) -> Any:
    if node is None or not node.amount_nanousd:
        return None
    most = max(node.amount_nanousd, node.charged_nanousd, node.outlook.high_nanousd if node.outlook else 0)
    scale = max(1.06, 1.02 * most / node.amount_nanousd)
    return budget_bar(node.amount_nanousd, node.charged_nanousd, node.held_nanousd, node.outlook, words, scale)


def _days_chart(costs: Costs, daily: Daily | None, words: Words) -> dict[str, Any]:
    days = _days_so_far(costs, words)
    return {
        "kind": "days",
        "names": [day.day for day, _ in days],
        "titles": [f"{day:%Y-%m-%d}" for day, _ in days],
        "values": [cost / 1e9 for _, cost in days],
        "limit": daily.amount_nanousd / 1e9 if daily else None,
        "words": {name: str(words(f"chart.{name}")) for name in ("day", "limit", "calls")},
        "dates": [f"{day:%Y-%m-%d}" for day, _ in days],
        "open": f"{ROOT}/calls?since={{day}}&until={{day}}",
    }


DAYS_HEAD = ("day", "cost_usd")


def _days_export(costs: Costs, words: Words) -> list[tuple[object, ...]]:
    return [(f"{day:%Y-%m-%d}", usd_text(cost)) for day, cost in _days_so_far(costs, words)]


def _days_so_far(costs: Costs, words: Words) -> list[tuple[date, int]]:
    """Every day of the month up to today, and what it cost."""
    sums = {words.moment(at).date(): cost for at, cost in costs.days}
    first, today = words.moment(costs.span.starts_at).date(), words.moment(costs.now_us).date()
    days = (first + timedelta(days=number) for number in range((today - first).days + 1))
    return [(day, sums.get(day, 0)) for day in days]


def _offer(model: Model) -> Offer:
    price = next((one.price for one in model.deployments if one.price), None)
    if price is None:
        return Offer(model.name, model.context_tokens, model.max_output_tokens)
    base = price.base
    usd: Sequence[float] = [
        value / 1_000_000 for value in (base.input, base.output, base.cache_read, base.cache_write_5m)
    ]
    return Offer(model.name, model.context_tokens, model.max_output_tokens, *usd)
