"""This month's figures while somebody looks at them: what calls moved is read again, and nothing else.

Above: the overview and the budgets page, which ask every second. Below: the queries of `record` and `ledger`. A page
leaves here what it has read. When calls changed since, the sums of their keys, people, teams and budgets are read
again, each whole, so that nothing is added up beside the ledger. One reading serves all who see the same part.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sekisho.access.roles import Principal, Sight
from sekisho.ledger.counters import OpenCall
from sekisho.record.calls import Payers
from sekisho.record.forecast import Forecast
from sekisho.record.spend import Dimension, Spend, SpendQuery
from sekisho.values import Budget, Scope
from sekisho.web.admin.services import Services
from sekisho.web.admin.spend import within_sight
from sekisho.web.console.costs import Costs, Node, held_by_scope, month_of, read_costs

_AGAIN_US = 1_500_000  # between two readings of what moved
_ANEW_US = 10_000_000  # between two readings of the whole month because somebody new spends
_MOST_CHANGES = 20_000  # behind more of them the whole month is cheaper
_MOST_KEPT = 32
_TOTAL = ""  # the name of the sum of everything in sight

Key = tuple[Sight, Sight, str]


@dataclass(frozen=True)
class Moved:
    """What moved: `names` of rows, as in `named`, and `budgets`, what each of those listed has spent, by its id.

    `is_whole`: rows came or went, or nobody knows any more: the page is to be read again."""

    change: int
    is_whole: bool
    names: frozenset[str]
    costs: Costs
    budgets: Mapping[str, int]


@dataclass(frozen=True)
class _Month:
    """Figures that hold all changes up to `change`. `listed`: what `budgets` have spent, by id, if a page lists them.

    `moved`: the change with which a name or the id of a budget was last seen to move, since `known_from`. `reshaped`:
    the change with which rows came or went. `again_us`: when what moved was read last; `anew_us`: when the whole, for
    somebody who had no row. `is_lacking`: there is such a one, and the last change is left over to come back to."""

    change: int
    costs: Costs
    budgets: tuple[Budget, ...]
    listed: Mapping[str, int]
    known_from: int
    again_us: int | None = None
    anew_us: int | None = None
    reshaped: int = 0
    moved: Mapping[str, int] = field(default_factory=dict)
    is_lacking: bool = False


@dataclass
class _Kept:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    month: _Month | None = None


class Moves:
    """The months that pages show now, by what their readers may see."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()

    async def mark(self) -> int:
        """The change number to begin with: taken before a page reads, so that what comes between is read again."""
        return await self._services.calls.last_change()

    def keep(
        self, who: Principal, team_id: str, change: int, costs: Costs, listed: Mapping[Budget, int] | None = None
    ) -> None:
        """Remember what a page has read since its mark; `listed`: what each budget has spent that it shows."""
        kept = self._kept_for(who, team_id)
        known = kept.month
        if not costs.is_now or (known and known.change > change):
            return
        budgets = tuple(listed or ()) or (known.budgets if known else ())
        spent = {one.id: nanousd for one, nanousd in (listed or {}).items()} or (known.listed if known else {})
        kept.month = _joined(known, _Month(change, costs, budgets, spent, known_from=change))

    async def since(self, who: Principal, team_id: str, after: int) -> Moved | None:
        """What moved after this change number; None: nothing."""
        kept = self._kept_for(who, team_id)
        async with kept.lock:
            kept.month = month = await self._brought(kept.month, who, team_id)
        if after >= month.change:
            return None
        names = frozenset(name for name, change in month.moved.items() if change > after)
        is_whole = after < max(month.known_from, month.reshaped)
        listed = {budget_id: spent for budget_id, spent in month.listed.items() if budget_id in names}
        return Moved(month.change, is_whole, names, month.costs, listed)

    def _kept_for(self, who: Principal, team_id: str) -> _Kept:
        key = (who.sight("spend:read"), who.sight("budgets:read"), team_id)
        kept = self._kept.setdefault(key, _Kept())
        self._kept.move_to_end(key)
        if len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)
        return kept

    async def _brought(self, month: _Month | None, who: Principal, team_id: str) -> _Month:
        """The month as it is now, or as it was a moment ago."""
        services = self._services
        now_us = services.clock.monotonic_us()
        change = await services.calls.last_change()
        if month is None or not month.costs.span.holds(services.clock.now_us()):
            return await self._anew(None, who, team_id, change)
        if change == month.change or (month.again_us is not None and now_us - month.again_us < _AGAIN_US):
            return month
        again = await self._again(month, who, team_id, change) if change - month.change <= _MOST_CHANGES else None
        if again and not (again.is_lacking and (month.anew_us is None or now_us - month.anew_us >= _ANEW_US)):
            return _joined(month, again)
        return await self._anew(month, who, team_id, change)

    async def _anew(self, known: _Month | None, who: Principal, team_id: str, change: int) -> _Month:
        services = self._services
        costs = await read_costs(services, who, month_of(services, ""), team_id)
        budgets = known.budgets if known else ()
        spent = await self._spent(budgets)
        now_us = services.clock.monotonic_us()
        return _joined(known, _Month(change, costs, budgets, spent, change, again_us=now_us, anew_us=now_us))

    async def _again(self, month: _Month, who: Principal, team_id: str, change: int) -> _Month:
        """The same with what moved since read again."""
        services, sight = self._services, who.sight("spend:read")
        payers = await services.calls.payers_since(services.org_id, after=month.change)
        held = await services.spent.open_calls(services.org_id)
        seen = {one for one in payers if _is_seen(sight, team_id, one.team_id, one.user_id)}
        sums = await self._sums(month.costs, who, team_id, seen)
        scopes = {scope for one in payers for scope in _scopes(services.org_id, one)}
        nodes = dict(named(month.costs.roots))
        budgets = {one.id: one for one in month.budgets}
        budgets |= {node.budget.id: node.budget for node in nodes.values() if node.budget}
        spent = await self._spent([one for one in budgets.values() if one.scope in scopes])
        in_sight = [one for one in held if _is_seen(sight, team_id, *_owners(one))]
        is_lacking = not sums.keys() <= nodes.keys() | {_TOTAL}
        return replace(
            month,
            change=change - is_lacking,
            costs=_moved(month.costs, sums, spent, held, in_sight, services.clock.now_us()),
            listed={one: spent.get(one, before) for one, before in month.listed.items()},
            again_us=services.clock.monotonic_us(),
            is_lacking=is_lacking,
        )

    async def _sums(self, costs: Costs, who: Principal, team_id: str, payers: Collection[Payers]) -> dict[str, int]:
        """What each row that these calls belong to has spent now, by its name."""
        asked: Mapping[Dimension, tuple[str, ...]] = {"team": (team_id,)} if team_id else {}
        wanted: list[tuple[tuple[Dimension, ...], Mapping[Dimension, tuple[str, ...]]]] = [
            (("team", "user", "key"), {"key": tuple({one.key_id for one in payers})}),
            (("team", "user"), {"user": tuple({one.user_id for one in payers})}),
            (("team",), {"team": tuple({one.team_id for one in payers})}),
            ((), {}),
        ]
        sums = {}
        for by, where in wanted:
            if payers or not by:
                query = SpendQuery(
                    by=by,
                    since=costs.span.starts_at,
                    until=costs.span.ends_at,
                    where=within_sight({**asked, **where}, who),
                )
                for one in await self._services.spend.spend(self._services.org_id, query):
                    sums[_name_of(by, one)] = one.cost_nanousd
        if costs.root and costs.root.scope.kind == "org":
            sums[costs.root.path] = sums[_TOTAL]
        return sums

    async def _spent(self, budgets: Sequence[Budget]) -> dict[str, int]:
        services = self._services
        now_us = services.clock.now_us()
        found = await services.spent.spent(services.org_id, tuple(budgets), now_us) if budgets else ()
        return {one.budget.id: one.spent_nanousd for one in found}


def named(roots: Iterable[Node]) -> Iterator[tuple[str, Node]]:
    """Every row of the tree from the top, with a name of its own: a key may stand under two people."""
    for root in roots:
        yield root.path, root
        for child in root.children:
            if child.scope.kind == "key":
                yield f"key:{root.scope.id}/{child.scope.id}", child
            else:
                yield from named([child])


def _name_of(by: tuple[Dimension, ...], one: Spend) -> str:
    kinds = {1: f"team:{one.team_id}", 2: f"member:{one.team_id}/{one.user_id}"}
    return kinds.get(len(by), f"key:{one.team_id}/{one.user_id}/{one.key_id}") if by else _TOTAL


def _scopes(org_id: str, payers: Payers) -> Iterator[Scope]:
    yield Scope("org", org_id)
    yield Scope("team", payers.team_id)
    yield Scope("user", payers.user_id)
    yield Scope("member", f"{payers.team_id}/{payers.user_id}")
    yield Scope("key", payers.key_id)
    for tag in payers.tags:
        yield Scope("tag", tag)


def _owners(held: OpenCall) -> tuple[str, str]:
    """The team and the user of a call under way."""
    owned = {one.kind: one.id for one in held.scopes}
    return owned.get("team", ""), owned.get("user", "")


def _is_seen(sight: Sight, asked: str, team_id: str, user_id: str) -> bool:
    """Whether a call of this team and user is among those of the page, which may show one team only."""
    return asked == team_id if asked else sight.covers(team_id=team_id, user_id=user_id)


def _moved(
    costs: Costs,
    sums: Mapping[str, int],
    spent: Mapping[str, int],
    held: Sequence[OpenCall],
    in_sight: Sequence[OpenCall],
    now_us: int,
) -> Costs:
    """The month with these sums, of rows by name and of budgets by id, and with what the calls under way hold."""
    reserved = held_by_scope(held)

    def node_now(node: Node, name: str) -> Node:
        now = sums.get(name, node.spent_nanousd)
        return replace(
            node,
            spent_nanousd=now,
            reserved_nanousd=reserved[node.scope],
            charged_nanousd=spent.get(node.budget.id, node.charged_nanousd) if node.budget else 0,
            held_nanousd=reserved[node.budget.scope] if node.budget else 0,
            outlook=_later(node.outlook, now - node.spent_nanousd),
            children=[
                node_now(child, f"key:{node.scope.id}/{child.scope.id}" if child.scope.kind == "key" else child.path)
                for child in node.children
            ],
        )

    return replace(
        costs,
        now_us=now_us,
        roots=[node_now(root, root.path) for root in costs.roots],
        spent_nanousd=sums[_TOTAL],
        reserved_nanousd=sum(one.bound_nanousd for one in in_sight),
        open_calls=len(in_sight),
        outlook=_later(costs.outlook, sums[_TOTAL] - costs.spent_nanousd),
    )


def _later(outlook: Forecast | None, more: int) -> Forecast | None:
    """The outlook after `more` was spent today: of the days to come it says the same."""
    if outlook is None or not more:
        return outlook
    return Forecast(outlook.low_nanousd + more, outlook.nanousd + more, outlook.high_nanousd + more)


def _joined(known: _Month | None, fresh: _Month) -> _Month:
    """The fresh month, knowing what has moved since the one before it."""
    if known is None or known.costs.span != fresh.costs.span:
        return fresh
    before, now = _figures(known), _figures(fresh)
    moved = {name: fresh.change for name, figures in now.items() if before.get(name) != figures}
    return replace(
        fresh,
        known_from=known.known_from,
        again_us=fresh.again_us or known.again_us,
        anew_us=fresh.anew_us or known.anew_us,
        reshaped=known.reshaped if before.keys() == now.keys() else fresh.change,
        moved={**known.moved, **moved},
    )


def _figures(month: _Month) -> dict[str, object]:
    costs = month.costs
    found: dict[str, object] = {
        name: (node.spent_nanousd, node.reserved_nanousd, node.amount_nanousd, node.room_nanousd, node.outlook)
        for name, node in named(costs.roots)
    }
    found[_TOTAL] = (costs.spent_nanousd, costs.reserved_nanousd, costs.open_calls)
    return {**month.listed, **found}
