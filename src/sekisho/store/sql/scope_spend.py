"""What the scopes of budgets have spent in their windows, from the same roll-ups that reports are made of."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.ledger.counters import Spent
from sekisho.ledger.windows import Span, span_at
from sekisho.record.spend import Dimension
from sekisho.store.sql.names import Names, clean
from sekisho.store.sql.spend import read_sums
from sekisho.store.sql.spend_edges import Question
from sekisho.values import Budget, ScopeKind

Sums = dict[str, Counter[str]]  # by scope id: nano-USD by model; "" for all models together
_DIMENSIONS: Final[Mapping[ScopeKind, tuple[Dimension, ...]]] = {
    "org": (),
    "team": ("team",),
    "member": ("team", "user"),
    "user": ("user",),
    "key": ("key",),
    "tag": ("tag",),
}


class SpendSums:
    """Reads the sums, on connections of its callers: they have other things to do in the same transaction."""

    def __init__(self, names: Names) -> None:
        self._names = names

    async def read(
        self, connection: AsyncConnection, org_id: str, budgets: Iterable[Budget], at_us: int
    ) -> tuple[Spent, ...]:
        """What these budgets have spent in their windows at this time; outside a fixed window nothing is said."""
        spans = [(budget, span) for budget in budgets if (span := span_at(budget.window, at_us))]
        wanted: dict[tuple[ScopeKind, Span, bool], set[str]] = defaultdict(set)
        for budget, span in spans:
            wanted[budget.scope.kind, span, bool(budget.model)].add(clean(budget.scope.id))
        sums = {
            (kind, span, by_model): await self._sums(connection, org_id, kind, scopes, span, by_model=by_model)
            for (kind, span, by_model), scopes in wanted.items()
        }
        return tuple(
            Spent(budget, span.starts_at, _total(sums[budget.scope.kind, span, bool(budget.model)], budget))
            for budget, span in spans
        )

    async def _sums(
        self, connection: AsyncConnection, org_id: str, kind: ScopeKind, scopes: set[str], span: Span, *, by_model: bool
    ) -> Sums:
        """What the scopes of one kind spent in one window, by scope and, if asked, by model."""
        org = await self._names.find(connection, org_id)
        dimensions = _DIMENSIONS[kind]
        where = {one: await self._numbers(connection, kind, one, scopes) for one in dimensions}
        if org is None or not all(where.values()) or (kind == "org" and clean(org_id) not in scopes):
            return {}
        by: tuple[Dimension, ...] = (*dimensions, "model") if by_model else dimensions
        found = await read_sums(connection, self._names, Question(org, [span], by, where, measures=("cost_nanousd",)))
        texts = await self._names.texts(connection, {number for key in found for number in key[1:]})
        sums: Sums = defaultdict(Counter)
        for (_, *numbers), (cost,) in found.items():
            parts = [texts[number] for number in numbers]
            model = parts.pop() if by_model else ""
            scope = clean("/".join(parts)) if parts else clean(org_id)
            sums[scope][model] += cost
        return sums

    async def _numbers(
        self, connection: AsyncConnection, kind: ScopeKind, dimension: Dimension, scopes: set[str]
    ) -> set[int]:
        """The numbers that the scopes can have in one dimension. A member is "team/user", and either may hold a "/"."""
        if kind == "member":
            split = [scope.split("/") for scope in scopes]
            names = {
                "/".join(parts[:at] if dimension == "team" else parts[at:])
                for parts in split
                for at in range(1, len(parts))
            }
        else:
            names = scopes
        return set((await self._names.known(connection, names - {""})).values())


def _total(sums: Sums, budget: Budget) -> int:
    return sums.get(clean(budget.scope.id), Counter())[clean(budget.model)]
