"""What a month has cost, may still cost and was meant to cost: one reading of the ledger for every page about money.

Above: the cost manager's, the lead's and the developer's pages. Below: the queries of `record`, `ledger` and `access`.
Everything is narrowed to what the principal may see. Money is integer nano-USD.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from sekisho.access.organisation import Member
from sekisho.access.roles import Principal
from sekisho.access.rules import RuleFilter
from sekisho.ledger.counters import OpenCall
from sekisho.ledger.windows import Span, span_at
from sekisho.record.forecast import Forecast, forecast
from sekisho.record.spend import Dimension, Spend, SpendQuery
from sekisho.values import Budget, Model, Scope, Usage, Window
from sekisho.web.admin.services import Services
from sekisho.web.admin.spend import within_sight

DAY_US = 86_400_000_000
KNOWN_DAYS = 35  # what a forecast looks back on
MOST_DAILY = 100  # people whose days are read one by one; of more only the teams' days are
MOST_RULES = 10_000
MOST_OBJECTS = 2_000


@dataclass
class Node:
    """One scope in the budget tree. `budget`: its own in this month, if it has one; `amount_nanousd` includes increases
    and credits. `label`: a person's or a key's name; empty for the organisation.

    Spent and reserved are the row's, and rows add up to the one above. What counts against the budget may be more: of a
    person in two teams both, of a budget in another time zone its own month."""

    scope: Scope
    label: str
    level: int
    spent_nanousd: int = 0
    reserved_nanousd: int = 0
    budget: Budget | None = None
    amount_nanousd: int | None = None
    charged_nanousd: int = 0  # spent, as the budget counts it
    held_nanousd: int = 0  # reserved, as the budget counts it
    outlook: Forecast | None = None
    children: "list[Node]" = field(default_factory=list)

    @property
    def room_nanousd(self) -> int | None:
        if self.amount_nanousd is None:
            return None
        return self.amount_nanousd - self.charged_nanousd - self.held_nanousd

    @property
    def path(self) -> str:
        """A name for this row in the page, unique in the tree."""
        return f"{self.scope.kind}:{self.scope.id}"

    def walk(self) -> "Iterable[Node]":
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(frozen=True)
class Part:
    """A sum by one dimension. `value`: the id; `label`: what to show."""

    value: str
    label: str
    cost_nanousd: int
    usage: Usage
    calls: int


@dataclass(frozen=True)
class Costs:
    """A month of the part of the organisation that somebody may see.

    `days`: (first moment, cost) of every day so far; `before`: those of the month before. `is_now`: whether it is the
    month of today. `people`: what each is expected to cost by the month's end, dearest first, by user id."""

    span: Span
    zone: ZoneInfo
    now_us: int
    is_now: bool
    roots: Sequence[Node]
    spent_nanousd: int
    reserved_nanousd: int
    open_calls: int
    outlook: Forecast | None
    days: Sequence[tuple[int, int]]
    before: Sequence[tuple[int, int]]
    people: Mapping[str, int]
    models: Sequence[Part]
    agents: Sequence[Part]
    modes: Sequence[Part]
    repositories: Sequence[Part]
    usage: Usage
    saved_nanousd: int

    @property
    def root(self) -> Node | None:
        """The node that everything lies under, if there is one."""
        return self.roots[0] if len(self.roots) == 1 else None

    @property
    def days_left(self) -> int:
        """Whole and begun days until the month ends."""
        if not self.is_now:
            return 0
        last, today = (
            datetime.fromtimestamp(at_us // 1_000_000, self.zone).date()
            for at_us in (self.span.ends_at - 1, self.now_us)
        )
        return (last - today).days + 1


def month_of(services: Services, text: str) -> Span:
    """The month of a text such as 2026-11 in the books' time zone; that of today for anything else."""
    zone = ZoneInfo(services.time_zone)
    now_us = services.clock.now_us()
    try:
        at_us = int(datetime.strptime(text, "%Y-%m").replace(day=2, tzinfo=zone).timestamp()) * 1_000_000
    except (ValueError, OverflowError):
        at_us = now_us
    span = span_at(Window("month", services.time_zone), min(max(at_us, 0), now_us))
    assert span is not None  # a calendar month holds every time
    return span


async def read_costs(services: Services, who: Principal, span: Span, team_id: str = "") -> Costs:
    """The month `span` as this principal may see it; of one team only, if one is named."""
    now_us = services.clock.now_us()
    zone = ZoneInfo(services.time_zone)
    asked: dict[Dimension, tuple[str, ...]] = {"team": (team_id,)} if team_id else {}
    where = within_sight(asked, who)
    reader = _Reader(services, who, span, where)
    month = await reader.sums(("team", "user", "key"))
    days = await reader.days(month)
    is_now = span.holds(now_us)
    outlooks = _Outlooks(days, span, now_us, zone) if is_now else None
    roots, open_bounds = await _Tree(services, who, span, team_id).grow(month, outlooks)
    used = await reader.sums(("model", "agent", "mode"))
    worked = await reader.sums(("repository",))
    total = sum(one.cost_nanousd for one in month)
    by_day = _by_day(days)
    return Costs(
        span=span,
        zone=zone,
        now_us=now_us,
        is_now=is_now,
        roots=roots,
        spent_nanousd=total,
        reserved_nanousd=sum(open_bounds),
        open_calls=len(open_bounds),
        outlook=outlooks.of(total, lambda _: True) if outlooks else None,
        days=[(at, cost) for at, cost in by_day if span.holds(at)],
        before=[(at, cost) for at, cost in by_day if _month_before(span, zone).holds(at)],
        people=_people(month, outlooks),
        models=_parts(used, "model"),
        agents=_parts(used, "agent"),
        modes=_parts(used, "mode"),
        repositories=_parts(worked, "repository"),
        usage=_usage(used),
        saved_nanousd=saved_nanousd(_parts(used, "model"), services.models()),
    )


@dataclass
class _Reader:
    services: Services
    who: Principal
    span: Span
    where: Mapping[Dimension, tuple[str, ...]]

    async def sums(self, by: tuple[Dimension, ...]) -> list[Spend]:
        query = SpendQuery(by=by, since=self.span.starts_at, until=self.span.ends_at, where=self.where)
        return await self.services.spend.spend(self.services.org_id, query)

    async def days(self, month: Sequence[Spend]) -> list[Spend]:
        """Day by day since the month before, or as far as a forecast looks: by team and, if they are few, by user."""
        zone_name = self.services.time_zone
        few = len({(one.team_id, one.user_id) for one in month}) <= MOST_DAILY
        known_from = min(_month_before(self.span, ZoneInfo(zone_name)).starts_at, self.services.clock.now_us())
        query = SpendQuery(
            by=("team", "user") if few else ("team",),
            period="day",
            since=min(known_from, self.span.starts_at - KNOWN_DAYS * DAY_US),
            until=self.span.ends_at,
            time_zone=zone_name,
            where=self.where,
        )
        return await self.services.spend.spend(self.services.org_id, query)


class _Outlooks:
    """Forecasts for parts of the organisation, from the days of each."""

    def __init__(self, days: Sequence[Spend], span: Span, now_us: int, zone: ZoneInfo) -> None:
        self._days = days
        today = span_at(Window("day", zone.key), now_us)
        assert today is not None
        self._today = today
        self._zone = zone
        first = min((one.starts_at or 0 for one in days if one.cost_nanousd), default=today.starts_at)
        self._known = _starts(max(first, today.starts_at - KNOWN_DAYS * DAY_US), today.starts_at, zone)
        self._to_come = [_weekday(at, zone) for at in _starts(today.ends_at, span.ends_at, zone)]
        self.has_people = any(one.user_id for one in days)

    def of(self, spent_nanousd: int, fits: Callable[[Spend], bool]) -> Forecast | None:
        """The outlook of the sums that fit. Of today only what is spent already counts."""
        by_day: dict[int, int] = defaultdict(int)
        for one in self._days:
            if fits(one):
                by_day[one.starts_at or 0] += one.cost_nanousd
        known = [(_weekday(at, self._zone), by_day.get(at, 0)) for at in self._known]
        return forecast(spent_nanousd, known, self._to_come)


class _Tree:
    """Grows the budget tree out of the month's sums, the budgets and the calls under way."""

    def __init__(self, services: Services, who: Principal, span: Span, team_id: str) -> None:
        self._services = services
        self._who = who
        self._span = span
        self._team_id = team_id

    async def grow(self, month: Sequence[Spend], outlooks: _Outlooks | None) -> tuple[list[Node], list[int]]:
        """The roots, and what each call under way in sight holds."""
        services, sight = self._services, self._who.sight("spend:read")
        now_us = services.clock.now_us()
        is_now = self._span.holds(now_us)
        booked = await services.spent.booked(services.org_id, now_us)
        seen = self._who.sight("budgets:read")
        stored = await services.rules.list("budget", RuleFilter(sight=seen), limit=MOST_RULES)
        known = [one.rule for one in stored if isinstance(one.rule, Budget) and one.created_at < self._span.ends_at]
        self._budgets = budgets_of_month(known)
        self._at_us = min(now_us, self._span.ends_at - 1)
        self._spent = {one.budget.id: one.spent_nanousd for one in booked.spent if is_now}
        self._open = list(booked.open_calls) if is_now else []
        self._held = held_by_scope(self._open)
        self._outlooks = outlooks
        teams = await self._teams()
        people = {one.id: one.alias for one in await services.users.list(limit=MOST_OBJECTS)}
        keys = await services.keys.labels({one.key_id for one in month})
        self._names = {
            **{("team", team_id): alias for team_id, alias in teams.items()},
            **{("user", user_id): alias for user_id, alias in people.items()},
            **{("key", key_id): label.alias for key_id, label in keys.items()},
        }
        self._members: dict[str, list[str]] = defaultdict(list)
        for member in await services.teams.every_member() if len(teams) > 1 else await self._members_of(teams):
            if member.team_id in teams:
                self._members[member.team_id].append(member.user_id)
        seen_teams = sorted({*teams, *(one.team_id for one in month)}, key=lambda one: (one == "", one))
        nodes = [self._team(team_id, month, int(sight.is_all)) for team_id in seen_teams]
        nodes = [node for node in nodes if node.spent_nanousd or node.scope.id in teams]
        held = [one.bound_nanousd for one in self._open if self._is_seen(one.scopes)]
        if not sight.is_all or self._team_id:
            return nodes, held
        root = self._node(Scope("org", services.org_id), "", 0, month, lambda _: True)
        root.children = sorted(nodes, key=lambda node: -node.spent_nanousd)
        return [root], held

    async def _members_of(self, teams: Iterable[str]) -> list[Member]:
        return [member for team_id in teams for member in await self._services.teams.members(team_id)]

    async def _teams(self) -> dict[str, str]:
        """Alias by id of the teams in sight."""
        sight = self._who.sight("spend:read")
        among = frozenset({self._team_id}) if self._team_id else None if sight.is_all else sight.team_ids
        return {one.id: one.alias for one in await self._services.teams.list(limit=MOST_OBJECTS, among=among)}

    def _is_seen(self, scopes: Sequence[Scope]) -> bool:
        sight = self._who.sight("spend:read")
        if self._team_id:
            return Scope("team", self._team_id) in scopes
        owned = {one.kind: one.id for one in scopes}
        return sight.covers(team_id=owned.get("team", ""), user_id=owned.get("user", ""))

    def _team(self, team_id: str, month: Sequence[Spend], level: int) -> Node:
        mine = [one for one in month if one.team_id == team_id]
        node = self._node(Scope("team", team_id), team_id, level, mine, lambda one: one.team_id == team_id)
        users = {*(one.user_id for one in mine), *self._members.get(team_id, ())}
        for user_id in users:
            node.children.append(self._person(team_id, user_id, mine, level + 1))
        node.children.sort(key=lambda child: (child.scope.id.endswith("/"), -child.spent_nanousd, child.label))
        return node

    def _person(self, team_id: str, user_id: str, mine: Sequence[Spend], level: int) -> Node:
        own = [one for one in mine if one.user_id == user_id]
        member = Scope("member", f"{team_id}/{user_id}")
        node = self._node(
            member, user_id, level, own, lambda one: (one.team_id, one.user_id) == (team_id, user_id), people=True
        )
        if node.budget is None and team_id and user_id:
            self._give_budget(node, Scope("user", user_id))
        for one in sorted(own, key=lambda one: -one.cost_nanousd):
            scope = Scope("key", one.key_id)
            child = Node(scope, self._names.get(("key", one.key_id), "") or one.key_id, level + 1, one.cost_nanousd)
            child.reserved_nanousd = self._held[scope]
            self._give_budget(child, scope)
            node.children.append(child)
        return node

    def _node(
        self,
        scope: Scope,
        name: str,
        level: int,
        sums: Sequence[Spend],
        fits: Callable[[Spend], bool],
        *,
        people: bool = False,
    ) -> Node:
        kind = "user" if scope.kind == "member" else scope.kind
        label = self._names.get((kind, name), "") or name
        node = Node(scope, label, level, sum(one.cost_nanousd for one in sums), self._held[scope])
        self._give_budget(node, scope)
        if self._outlooks and (not people or self._outlooks.has_people):
            node.outlook = self._outlooks.of(node.spent_nanousd, fits)
        return node

    def _give_budget(self, node: Node, scope: Scope) -> None:
        budget = self._budgets.get(scope)
        if budget is None:
            return
        node.budget = budget
        node.amount_nanousd = amount_of(budget, self._span, self._at_us)
        node.charged_nanousd = self._spent.get(budget.id, node.spent_nanousd)
        node.held_nanousd = self._held[scope]


def held_by_scope(open_calls: Iterable[OpenCall]) -> Counter[Scope]:
    """What the calls under way hold, by scope; one without team or user also in the row of those that have none."""
    held: Counter[Scope] = Counter()
    for one in open_calls:
        owned = {scope.kind: scope.id for scope in one.scopes}
        team_id, user_id = owned.get("team", ""), owned.get("user", "")
        for scope in {*one.scopes, Scope("team", team_id), Scope("member", f"{team_id}/{user_id}")}:
            held[scope] += one.bound_nanousd
    return held


def amount_of(budget: Budget, span: Span, now_us: int) -> int:
    """What may be spent in this window: with an increase that is in force and what was given back."""
    amount = budget.amount_nanousd
    if now_us < budget.increase_until:
        amount += budget.increase_nanousd
    return amount + (budget.credit_nanousd if budget.credit_from == span.starts_at else 0)


def budgets_of_month(budgets: Iterable[Budget]) -> dict[Scope, Budget]:
    """For each scope its monthly budget on all models: the hard one, and of several the least."""
    found: dict[Scope, Budget] = {}
    for budget in budgets:
        if budget.window.kind == "month" and not budget.model:
            known = found.get(budget.scope)
            if known is None or (not budget.is_hard, budget.amount_nanousd) < (not known.is_hard, known.amount_nanousd):
                found[budget.scope] = budget
    return found


def saved_nanousd(models: Iterable[Part], offered: Iterable[Model]) -> int:
    """What the cache saved at the prices of now: what was read cost less than fresh input, what was written cost more.

    A model without a price is left out."""
    prices = {model.name: model.deployments[0].price for model in offered if model.deployments}
    total = 0
    for part in models:
        price = prices.get(part.value)
        if price is None:
            continue
        base, usage = price.base, part.usage
        total += usage.cache_read_tokens * (base.input - base.cache_read)
        total -= usage.cache_write_5m_tokens * (base.cache_write_5m - base.input)
        total -= usage.cache_write_1h_tokens * (base.cache_write_1h - base.input)
    return total // 1000


def add_usage(usages: Iterable[Usage]) -> Usage:
    """The sum of each class."""
    columns = zip(*(msgspec.structs.astuple(one) for one in usages), strict=True)
    return Usage(*(sum(column) for column in columns))


def _usage(sums: Sequence[Spend]) -> Usage:
    return add_usage(one.usage for one in sums) if sums else Usage()


def _parts(sums: Sequence[Spend], name: str) -> list[Part]:
    groups: dict[str, list[Spend]] = defaultdict(list)
    for one in sums:
        groups[getattr(one, name)].append(one)
    parts = [
        Part(value, value, sum(one.cost_nanousd for one in group), _usage(group), sum(one.calls for one in group))
        for value, group in groups.items()
    ]
    return sorted(parts, key=lambda part: (-part.cost_nanousd, part.value))


def _people(month: Sequence[Spend], outlooks: _Outlooks | None) -> dict[str, int]:
    spent: dict[str, int] = defaultdict(int)
    for one in month:
        if one.user_id:
            spent[one.user_id] += one.cost_nanousd
    if outlooks and outlooks.has_people:
        for user_id, so_far in spent.items():
            outlook = outlooks.of(so_far, lambda one, user_id=user_id: one.user_id == user_id)  # type: ignore[misc]
            spent[user_id] = outlook.nanousd if outlook else so_far
    return dict(sorted(spent.items(), key=lambda pair: -pair[1]))


def _by_day(days: Sequence[Spend]) -> list[tuple[int, int]]:
    sums: dict[int, int] = defaultdict(int)
    for one in days:
        sums[one.starts_at or 0] += one.cost_nanousd
    return sorted(sums.items())


def _month_before(span: Span, zone: ZoneInfo) -> Span:
    found = span_at(Window("month", zone.key), span.starts_at - 1)
    assert found is not None
    return found


def _starts(since_us: int, until_us: int, zone: ZoneInfo) -> list[int]:
    """The first moments of the days in between."""
    found = []
    at = since_us
    while at < until_us:
        day = span_at(Window("day", zone.key), at)
        assert day is not None
        found.append(day.starts_at)
        at = day.ends_at
    return found


def _weekday(at_us: int, zone: ZoneInfo) -> int:
    return (datetime.fromtimestamp(at_us // 1_000_000, zone) + timedelta(minutes=1)).weekday()
