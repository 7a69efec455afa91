"""The cost manager's first page: a month's spend, outlook, budgets and where the money went; and its export."""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import accumulate
from typing import Any
from urllib.parse import urlencode

from starlette.responses import JSONResponse, Response

from sekisho.access.money import usd_text
from sekisho.ledger.windows import Span, span_at
from sekisho.record.reporting import Reporting, yen
from sekisho.values import Window
from sekisho.web.admin.times import iso
from sekisho.web.console.bars import BudgetBar, Standing, budget_bar, dots_of, percentile, standing_of
from sekisho.web.console.costs import Costs, Node, Part, month_of, read_costs
from sekisho.web.console.edge import Visit
from sekisho.web.console.exports import csv_address, csv_file, wants_csv
from sekisho.web.console.filters import MAY_LACK, NOTHING, filter_said, filter_words, number_of
from sekisho.web.console.language import Words
from sekisho.web.console.moves import named
from sekisho.web.console.nav import ROOT
from sekisho.web.console.page import Page
from sekisho.web.console.parts import Parts
from sekisho.web.console.rows import agent_name
from sekisho.web.console.tasks import titled_tasks

_MOST_PARTS = 6
_MOST_TASKS = 7
AGAIN = "x-sekisho-again"  # how an open page says that it reads itself again
_MOST_NODES = 400  # of a larger tree only the teams are drawn, each with the way to its own


def overview_pages(parts: Parts) -> tuple[Page, ...]:
    """The pages of this file."""
    pages = _Overview(parts)
    return (
        Page("overview", pages.overview, place="overview"),
        Page("team", pages.team, place="team"),
        Page("budgets/moves", pages.moves, place="budgets"),
    )


@dataclass(frozen=True)
class TreeRow:
    """One row of the budget tree, ready to draw. `name`: its own in the tree. `share`: of the bar without a budget."""

    name: str
    node: Node
    standing: Standing
    bar: BudgetBar | None
    share: float
    over_nanousd: int
    is_folded: bool
    children: int
    is_cut: bool


@dataclass
class _Overview:
    """One method for each page."""

    parts: Parts

    async def overview(self, visit: Visit) -> Response:
        """All that may be seen, or one team of it, for a month that the address names."""
        team_id = visit.request.query_params.get("team", "")[:200]
        if team_id:
            visit.need_team(team_id)
        return await self._month(visit, team_id)

    async def team(self, visit: Visit) -> Response:
        """A lead's own team; of several the one that the address names."""
        led = sorted(visit.who.sight("spend:read").team_ids)
        asked = visit.request.query_params.get("team", "") or led[0]
        visit.need_team(asked)
        return await self._month(visit, asked)

    async def _month(self, visit: Visit, team_id: str) -> Response:
        services = self.parts.services
        span = month_of(services, visit.request.query_params.get("month", ""))
        after = await self.parts.moves.mark()
        costs = await read_costs(services, visit.who, span, team_id)
        self.parts.moves.keep(visit.who, team_id, after, costs)
        words = self.parts.words(visit)
        if wants_csv(visit):
            if visit.request.query_params.get("of") == "days":
                return csv_file(f"days-{_month_text(span, words)}", DAYS_HEAD, _days_export(costs, words))
            return csv_file(f"budgets-{_month_text(span, words)}", TREE_HEAD, tree_export(costs))
        reporting = await services.reporting.get()
        return self.parts.drawing.page(
            visit,
            "overview.html",
            m=words,
            **_band(costs, reporting, words),
            rows=tree_rows(costs, words),
            moves=moves_address(costs, team_id),
            after=after,
            chart=cumulative_chart(costs, words, team_id),
            day_table=_day_table(costs),
            people=_people(costs, reporting),
            slices=[
                (name, _shares(parts, name, words))
                for name, parts in (
                    ("model", costs.models),
                    ("agent", costs.agents),
                    ("mode", costs.modes),
                    ("repository", costs.repositories),
                )
            ],
            csv=csv_address(visit),
            days_csv=csv_address(visit, of="days"),
            months=self._months(visit, span, words, team_id),
            month_name=words.month(span.starts_at),
            calls_from=calls_address(span, words, team_id),
            and_team=_and_team(team_id),
            slices_from=_slices_address(span, words, team_id),
            tasks_from=f"{ROOT}/tasks?{_days_asked(span, words)}{_and_team(team_id)}&sort=cost",
            team_id=team_id,
            led=sorted(visit.who.sight("spend:read").team_ids),
            tasks=await self._dearest(visit, span, team_id),
            names=_names(costs),
        )

    async def moves(self, visit: Visit) -> Response:
        """What moved in this month since the page was drawn, as JSON; 204: nothing.

        Keys: after, whole (read the page again); where something moved rows (of the tree), band and warning, all HTML,
        clock, and budgets (what those of the list have spent, by id)."""
        query = visit.request.query_params
        team_id = query.get("team", "")[:200]
        if team_id:
            visit.need_team(team_id)
        moved = await self.parts.moves.since(visit.who, team_id, number_of(query.get("after", "")))
        if moved is None:
            return Response(status_code=204)
        told: dict[str, Any] = {"after": moved.change, "whole": moved.is_whole}
        if moved.names and not moved.is_whole:
            costs, words = moved.costs, self.parts.words(visit)
            about = {
                "m": words,
                "rows": tree_rows(costs, words, moved.names),
                "calls_from": calls_address(costs.span, words, team_id),
                **_band(costs, await self.parts.services.reporting.get(), words),
            }
            told |= {
                "rows": self.parts.drawing.text(visit, "_tree_rows.html", **about),
                "band": self.parts.drawing.text(visit, "_month_band.html", **about),
                "warning": self.parts.drawing.text(visit, "_month_warning.html", **about),
                "clock": words.clock_time(costs.now_us),
                "budgets": {budget_id: words.sum_cost(spent) for budget_id, spent in moved.budgets.items()},
            }
        return JSONResponse(told)

    async def _dearest(self, visit: Visit, span: Span, team_id: str) -> list[dict[str, Any]]:
        """The tasks of this time that have cost most; none where an open page reads itself again, for reading titles
        is noted in the audit log, and nobody reads them anew."""
        if AGAIN in visit.request.headers:
            return []
        since, until = iso(span.starts_at) or "", iso(span.ends_at) or ""
        found = await titled_tasks(visit, _MOST_TASKS, sort="cost", team_id=team_id, since=since, until=until)
        return [task for task in found if task["cost_nanousd"]]

    def _months(self, visit: Visit, span: Span, words: Words, team_id: str) -> tuple[str, str]:
        """The addresses of the month before and, if it has begun, of the one behind."""
        path = visit.request.url.path
        zone = self.parts.services.time_zone
        before = span_at(Window("month", zone), span.starts_at - 1)
        assert before is not None
        team = _and_team(team_id)
        behind = f"{path}?month={words.moment(span.ends_at):%Y-%m}{team}"
        is_past = span.ends_at <= self.parts.services.clock.now_us()
        return f"{path}?month={words.moment(before.starts_at):%Y-%m}{team}", behind if is_past else ""


def _band(costs: Costs, reporting: Reporting, words: Words) -> dict[str, Any]:
    """What the figures above the tree are drawn from. `org`: the budget that all of it is within, if there is one."""
    rate = reporting.rate_on(words.moment(min(costs.now_us, costs.span.ends_at - 1)).date())
    return {
        "costs": costs,
        "rate": rate,
        "yen": lambda nanousd: words.yen(yen(nanousd, rate)) if rate else "",
        "org": costs.root if costs.root and costs.root.amount_nanousd is not None else None,
        "warning": _warning(costs),
    }


def moves_address(costs: Costs, team_id: str) -> str:
    """Where a page of this month asks what moved; empty for a month that is over."""
    query = urlencode({"team": team_id} if team_id else {})
    return f"{ROOT}/budgets/moves?{query}" if costs.is_now else ""


def _names(costs: Costs) -> dict[str, str]:
    """What teams and people in the tree are called, by "team:" or "user:" and their id."""
    names = {}
    for root in costs.roots:
        for node in root.walk():
            if node.scope.kind == "team":
                names[f"team:{node.scope.id}"] = node.label
            elif node.scope.kind == "member":
                names[f"user:{node.scope.id.partition('/')[2]}"] = node.label
    return names


def tree_rows(costs: Costs, words: Words, only: Container[str] | None = None) -> list[TreeRow]:
    """The tree, from the top: keys are folded away under their person. `only`: the rows of these names."""
    count = sum(1 for root in costs.roots for _ in root.walk())
    is_cut = count > _MOST_NODES and len(costs.roots[0].children) > 1 and costs.roots[0].scope.kind == "org"
    return [
        _tree_row(name, node, root, words, is_cut=is_cut)
        for root in costs.roots
        for name, node in named([root])
        if (only is None or name in only) and (not is_cut or node.scope.kind in ("org", "team"))
    ]


def _tree_row(name: str, node: Node, root: Node, words: Words, *, is_cut: bool) -> TreeRow:
    scale = node.amount_nanousd or max((one.spent_nanousd for one in root.children), default=0) or 1
    bar = None
    if node.amount_nanousd:
        bar = budget_bar(node.amount_nanousd, node.charged_nanousd, node.held_nanousd, node.outlook, words)
    return TreeRow(
        name=name,
        node=node,
        standing=standing_of(node.amount_nanousd, node.charged_nanousd, node.held_nanousd, node.outlook),
        bar=bar,
        share=round(min(100.0, 100 * node.spent_nanousd / scale / 1.36), 2),
        over_nanousd=(node.outlook.nanousd - node.amount_nanousd) if node.outlook and node.amount_nanousd else 0,
        is_folded=node.scope.kind == "key",
        children=len(node.children),
        is_cut=is_cut and node.scope.kind == "team",
    )


def cumulative_chart(costs: Costs, words: Words, team_id: str = "") -> dict[str, Any]:
    """What the script draws: sums to each day in dollars, the interval to come, the month before, the budget.

    A click leads to the calls of a day, of the team whose page it is."""
    total, so_far = 0, []
    by_day = dict(costs.days)
    days = _days_of(costs.span, costs)
    for at in days:
        if at <= costs.now_us:
            total += by_day.get(at, 0)
            so_far.append(_usd(total))
    sums = _sums_by_day(costs.before, words)
    org = costs.root
    outlook = costs.outlook
    return {
        "kind": "cumulative",
        "days": [words.moment(at).day for at in days],
        "names": [words.date(at) for at in days],
        "spent": so_far,
        "daily": [_usd(by_day.get(at, 0)) for at in days if at <= costs.now_us],
        "before": [_usd(one) for one in sums[: len(days)]],
        "outlook": [_usd(outlook.low_nanousd), _usd(outlook.nanousd), _usd(outlook.high_nanousd)] if outlook else None,
        "budget": _usd(org.amount_nanousd) if org and org.amount_nanousd else None,
        "words": {
            name: str(words(f"chart.{name}"))
            for name in ("spent", "before", "outlook", "budget", "today", "day", "calls", "interval")
        },
        "open": f"{ROOT}/calls?since={{day}}&until={{day}}{_and_team(team_id)}",
        "dates": [f"{words.moment(at):%Y-%m-%d}" for at in days],
    }


def _sums_by_day(days: Sequence[tuple[int, int]], words: Words) -> list[int]:
    """The sums to each day of a whole month, also to those without a call; none of a month without any."""
    if not days:
        return []
    costs = {words.moment(at).day: cost for at, cost in days}
    last = (words.moment(days[0][0]).replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
    return list(accumulate(costs.get(day, 0) for day in range(1, last.day + 1)))


def _days_of(span: Span, costs: Costs) -> list[int]:
    found, at = [], span.starts_at
    while at < span.ends_at:
        found.append(at)
        day = span_at(Window("day", costs.zone.key), at)
        assert day is not None
        at = day.ends_at
    return found


def _day_table(costs: Costs) -> list[tuple[int, int, int]]:
    """For every day with spend: its first moment, its cost, the sum so far."""
    total, rows = 0, []
    for at, cost in costs.days:
        total += cost
        rows.append((at, cost, total))
    return rows


def _people(costs: Costs, reporting: Reporting) -> dict[str, Any] | None:
    amounts = list(costs.people.values())
    if not amounts:
        return None
    return {
        "dots": dots_of(amounts, (reporting.band_low_nanousd, reporting.band_high_nanousd)),
        "count": len(amounts),
        "p50": percentile(amounts, 50),
        "p90": percentile(amounts, 90),
        "band": (reporting.band_low_nanousd, reporting.band_high_nanousd),
        "ranking": list(costs.people.items())[:20] if reporting.names_people else [],
    }


def _shares(parts: Sequence[Part], name: str, words: Words) -> list[dict[str, Any]]:
    """The dearest, and what all others come to: so that the rows add up to the total."""
    top = max((part.cost_nanousd for part in parts), default=0) or 1
    shares = [
        {
            "label": agent_name(part.value)
            if name == "agent" and part.value
            else filter_said(name, part.value or NOTHING, words),
            "cost": part.cost_nanousd,
            "share": round(100 * part.cost_nanousd / top, 1),
            "query": urlencode(filter_words({name: part.value})) if part.value or name in MAY_LACK else "",
        }
        for part in parts[:_MOST_PARTS]
    ]
    if others := parts[_MOST_PARTS:]:
        cost = sum(part.cost_nanousd for part in others)
        label = f"{words('by.rest')} ({words.count(len(others))})"
        shares.append({"label": label, "cost": cost, "share": round(min(100.0, 100 * cost / top), 1), "query": ""})
    return shares


def _warning(costs: Costs) -> Node | None:
    """The budget that is used up or expected to be passed by most, below the top."""
    risky = [
        node
        for root in costs.roots
        for node in root.walk()
        if standing_of(node.amount_nanousd, node.charged_nanousd, node.held_nanousd, node.outlook) in ("over", "spent")
    ]

    def excess(node: Node) -> int:
        assert node.amount_nanousd is not None
        return (node.outlook.nanousd if node.outlook else node.charged_nanousd) - node.amount_nanousd

    return max(risky, key=excess, default=None)


TREE_HEAD = ("scope", "id", "name", "budget_usd", "spent_usd", "reserved_usd", "room_usd", "forecast_usd")


def tree_export(costs: Costs) -> list[tuple[object, ...]]:
    return [
        (
            node.scope.kind,
            node.scope.id,
            node.label,
            _optional(node.amount_nanousd),
            usd_text(node.spent_nanousd),
            usd_text(node.reserved_nanousd),
            _optional(node.room_nanousd),
            usd_text(node.outlook.nanousd) if node.outlook else "",
        )
        for root in costs.roots
        for node in root.walk()
    ]


DAYS_HEAD = ("day", "cost_usd", "sum_usd", "sum_of_month_before_usd")


def _days_export(costs: Costs, words: Words) -> list[tuple[object, ...]]:
    """The chart's figures: of days to come only what the month before had cost by then."""
    days, by_day = _days_of(costs.span, costs), dict(costs.days)
    sums = accumulate(by_day.get(at, 0) for at in days)
    before: dict[int, int] = dict(enumerate(_sums_by_day(costs.before, words)))
    return [
        (
            f"{words.moment(at):%Y-%m-%d}",
            *((usd_text(by_day.get(at, 0)), usd_text(so_far)) if at <= costs.now_us else ("", "")),
            _optional(before.get(number)),
        )
        for number, (at, so_far) in enumerate(zip(days, sums, strict=True))
    ]


def _optional(nanousd: int | None) -> str:
    return "" if nanousd is None else usd_text(nanousd)


def _usd(nanousd: int) -> float:
    return nanousd / 1_000_000_000


def _month_text(span: Span, words: Words) -> str:
    return f"{words.moment(span.starts_at):%Y-%m}"


def calls_address(span: Span, words: Words, team_id: str) -> str:
    """The calls of this time, of this team if there is one."""
    return f"{ROOT}/calls?{_days_asked(span, words)}{_and_team(team_id)}"


def _slices_address(span: Span, words: Words, team_id: str) -> str:
    """The same calls sliced: whatever they are sliced by, they add up to what the month has cost."""
    return f"{ROOT}/breakdown?{_days_asked(span, words)}{_and_team(team_id)}"


def _days_asked(span: Span, words: Words) -> str:
    since, until = words.moment(span.starts_at), words.moment(span.ends_at - 1)
    return f"since={since:%Y-%m-%d}&until={until:%Y-%m-%d}"


def _and_team(team_id: str) -> str:
    """The rest of an address that narrows it to a team, if there is one."""
    return f"&{urlencode({'team': team_id})}" if team_id else ""
