"""What each scope spent, by model and quarter of an hour: the sums that budgets are loaded from.

Every time zone begins its days on a quarter of an hour in UTC, so calendar windows are whole quarters. Windows that
begin or end within one (periods, fixed dates) take the rest from the calls themselves. Booked by `SqlLedger`: a call's
share is a function of its row, and a batch adds the difference, as with the daily sums.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple, get_args

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.ledger.counters import Spent
from sekisho.ledger.windows import Span, span_at
from sekisho.store.sql.engine import Database
from sekisho.store.sql.names import QUERY_SIZE, Names, clean
from sekisho.store.sql.tables import call, spend_quarter
from sekisho.values import Budget, Scope, ScopeKind

QUARTER_US: Final = 900_000_000
KINDS: Final[tuple[ScopeKind, ...]] = get_args(ScopeKind)  # `spend_quarter.kind` is the position here
_ACCOUNT: Final = ("org", "kind", "scope", "quarter", "model")

Sums = dict[str, Counter[str]]  # by scope id: nano-USD by model


class Account(NamedTuple):
    """The key of one row of `spend_quarter`, names still as strings."""

    org: str
    kind: ScopeKind
    scope: str
    quarter: int
    model: str


def scopes_of(org: str, key: str, user: str, team: str, tags: str) -> set[Scope]:
    """Everybody who pays for a call, from the columns of its row; `tags` is a JSON list or empty."""
    scopes = {Scope("org", org), Scope("key", key), Scope("user", user), Scope("team", team)}
    if team and user:
        scopes.add(Scope("member", clean(f"{team}/{user}")))
    scopes.update(Scope("tag", tag) for tag in (msgspec.json.decode(tags, type=list[str]) if tags else ()))
    return {scope for scope in scopes if scope.id}


def difference(before: Mapping[bytes, dict[str, Any]], after: Mapping[bytes, dict[str, Any]]) -> Counter[Account]:
    """What the sums must gain when these rows of calls, names as strings, take the place of those."""
    gain: Counter[Account] = Counter()
    for call_id, row in after.items():
        old = before.get(call_id)
        if row is old:
            continue
        if old is not None:
            gain.subtract(_shares(old))
        gain.update(_shares(row))
    return Counter({account: cost for account, cost in gain.items() if cost})


def _shares(row: dict[str, Any]) -> dict[Account, int]:
    """What a call adds; one that still runs costs nothing yet."""
    if not row["cost_nanousd"]:
        return {}
    quarter = row["started_at"] // QUARTER_US
    scopes = scopes_of(row["org"], row["key"], row["user"], row["team"], row["tags"])
    return {Account(row["org"], s.kind, s.id, quarter, row["model"]): row["cost_nanousd"] for s in scopes}


async def add(
    database: Database, connection: AsyncConnection, gain: Counter[Account], numbers: Mapping[str, int]
) -> None:
    """Add to the sums, in this transaction."""
    if not gain:
        return
    rows = [
        {
            "org": numbers[account.org],
            "kind": KINDS.index(account.kind),
            "scope": numbers[account.scope],
            "quarter": account.quarter,
            "model": numbers[account.model],
            "cost_nanousd": cost,
        }
        for account, cost in gain.items()
    ]
    insert = database.insert(spend_quarter)
    total = {"cost_nanousd": spend_quarter.c.cost_nanousd + insert.excluded.cost_nanousd}
    await connection.execute(insert.on_conflict_do_update(index_elements=list(_ACCOUNT), set_=total), rows)


class SpendSums:
    """Reads the sums, on connections of its callers: they have other things to do in the same transaction."""

    def __init__(self, names: Names) -> None:
        self._names = names

    async def read(
        self, connection: AsyncConnection, org_id: str, budgets: Iterable[Budget], at_us: int
    ) -> tuple[Spent, ...]:
        """What these budgets have spent in their windows at this time; outside a fixed window nothing is said."""
        spans = [(budget, span) for budget in budgets if (span := span_at(budget.window, at_us))]
        wanted: dict[tuple[ScopeKind, Span], set[str]] = defaultdict(set)
        for budget, span in spans:
            wanted[budget.scope.kind, span].add(clean(budget.scope.id))
        sums = {
            (kind, span): await self._sums(connection, org_id, kind, scopes, span)
            for (kind, span), scopes in wanted.items()
        }
        return tuple(
            Spent(budget, span.starts_at, _total(sums[budget.scope.kind, span], budget)) for budget, span in spans
        )

    async def _sums(
        self, connection: AsyncConnection, org_id: str, kind: ScopeKind, scopes: set[str], span: Span
    ) -> Sums:
        """What the scopes of one kind spent in one window, by scope and model."""
        first, last = -(-span.starts_at // QUARTER_US), span.ends_at // QUARTER_US  # the whole quarters in it
        if first > last:
            return await self._calls(connection, org_id, kind, scopes, span)
        sums = await self._quarters(connection, org_id, kind, scopes, first, last)
        for edge in (Span(span.starts_at, first * QUARTER_US), Span(last * QUARTER_US, span.ends_at)):
            if edge.starts_at < edge.ends_at:
                for scope, by_model in (await self._calls(connection, org_id, kind, scopes, edge)).items():
                    sums[scope].update(by_model)
        return sums

    async def _quarters(
        self, connection: AsyncConnection, org_id: str, kind: ScopeKind, scopes: set[str], first: int, last: int
    ) -> Sums:
        org = await self._names.find(connection, org_id)
        numbers = await self._names.known(connection, scopes)
        ids = sorted(numbers.values())
        columns = spend_quarter.c
        found: dict[tuple[int, int], int] = {}
        for start in range(0, len(ids), QUERY_SIZE):
            query = (
                sa.select(columns.scope, columns.model, sa.func.sum(columns.cost_nanousd))
                .where(columns.org == org, columns.kind == KINDS.index(kind))
                .where(columns.scope.in_(ids[start : start + QUERY_SIZE]))
                .where(columns.quarter >= first, columns.quarter < last)
                .group_by(columns.scope, columns.model)
            )
            for scope, model, cost in await connection.execute(query):
                found[scope, model] = int(cost)  # PostgreSQL sums to a Decimal
        texts = await self._names.texts(connection, {number for cell in found for number in cell})
        sums: Sums = defaultdict(Counter)
        for (scope, model), cost in found.items():
            sums[texts[scope]][texts[model]] = cost
        return sums

    async def _calls(
        self, connection: AsyncConnection, org_id: str, kind: ScopeKind, scopes: set[str], span: Span
    ) -> Sums:
        """The same from the calls themselves. An id begins with the millisecond of the start: the key is the index."""
        org = await self._names.find(connection, org_id)
        named = (call.c.key, call.c.user, call.c.team, call.c.tags, call.c.model)
        query = (
            sa.select(*named, sa.func.sum(call.c.cost_nanousd))
            .where(call.c.org == org, call.c.cost_nanousd != 0)
            .where(call.c.id >= _first_id(span.starts_at // 1000), call.c.id < _first_id((span.ends_at + 999) // 1000))
            .where(call.c.started_at >= span.starts_at, call.c.started_at < span.ends_at)
            .group_by(*named)
        )
        if kind in ("key", "user", "team"):
            numbers = await self._names.known(connection, scopes)
            query = query.where(call.c[kind].in_(sorted(numbers.values())))
        rows = (await connection.execute(query)).all()
        texts = await self._names.texts(connection, {number for row in rows for number in row[:5]})
        sums: Sums = defaultdict(Counter)
        for row in rows:
            key, user, team, tags, model = (texts[number] for number in row[:5])
            for scope in scopes_of(org_id, key, user, team, tags):
                if scope.kind == kind and scope.id in scopes:
                    sums[scope.id][model] += int(row[5])
        return sums


def _total(sums: Sums, budget: Budget) -> int:
    by_model = sums.get(clean(budget.scope.id), Counter())
    return by_model[clean(budget.model)] if budget.model else by_model.total()


def _first_id(millisecond: int) -> bytes:
    return min(millisecond, (1 << 48) - 1).to_bytes(6, "big") + bytes(10)
