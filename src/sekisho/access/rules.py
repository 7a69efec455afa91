"""The register of budgets, rate limits and policies: creates, changes and takes away the rules of every scope.

Above: the admin API. Below: a `RuleStore`. Windows, money and names are checked by whoever reads them from a request;
that scopes exist, that names are free and that nothing is over-allocated is judged in the transaction that writes.
Every write ends with `publish`: it returns when the change is in force. Money is integer nano-USD.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from sekisho.access.money import MOST_NANOUSD
from sekisho.access.publishing import Publisher
from sekisho.access.roles import EVERYTHING, Sight
from sekisho.clock import Clock, id_text, new_id
from sekisho.errors import BadRequest, NotFound
from sekisho.values import Budget, Policy, RateLimit, Scope

RuleKind = Literal["budget", "limit", "policy"]


class StoredRule(msgspec.Struct, frozen=True):
    """A budget, a limit or a policy as its administrator sees it.

    `name`: unique in its scope unless empty. `duration`: a window as LiteLLM's clients wrote it, to be shown again.
    `template_id`: the shared budget it was made from. `allow_over_allocation`: somebody said so explicitly.
    The budget's credit is that of its newest credited window.
    """

    rule: Budget | RateLimit | Policy
    org_id: str
    created_at: int
    created_by: str
    updated_at: int
    name: str = ""
    duration: str = ""
    template_id: str = ""
    allow_over_allocation: bool = False

    @property
    def kind(self) -> RuleKind:
        if isinstance(self.rule, Policy):
            return "policy"
        return "budget" if isinstance(self.rule, Budget) else "limit"


class RuleFilter(msgspec.Struct, frozen=True):
    """Which rules; what is empty means any. `sight`: only those of these teams, of all in them, and of this user."""

    scope_kind: str = ""
    scope_id: str = ""
    template_id: str = ""
    sight: Sight = EVERYTHING


ANY_RULE = RuleFilter()


class Credit(msgspec.Struct, frozen=True):
    """Money given back in the window that began at `window_starts_at`. A reset gives back all that was spent.

    `id` rises with every one that is kept."""

    budget_id: str
    kind: Literal["credit", "reset"]
    amount_nanousd: int
    window_starts_at: int
    reason: str
    created_at: int
    created_by: str
    id: int = 0


class RuleChange(msgspec.Struct, frozen=True):
    """One line of a rule's history: what it was after somebody's action. `id` rises."""

    id: int
    action: Literal["create", "update", "delete"]
    at: int
    by: str
    rule: Budget | RateLimit | Policy


class RuleWrite(msgspec.Struct, frozen=True):
    """What one transaction does: `put` makes or replaces rules by id, `drop` takes rules away by id."""

    put: tuple[StoredRule, ...] = ()
    drop: tuple[str, ...] = ()


NO_RULES = RuleWrite()


class RuleStore(Protocol):
    """Where rules are kept. Every write raises the epoch in the same transaction. Raises StoreUnavailable."""

    async def write(self, org_id: str, write: RuleWrite, by: str, now_us: int) -> None:
        """All or nothing. Raises BadRequest: a scope that does not exist, a name taken, an over-allocation that nobody
        allowed. Raises NotFound for a rule to drop that does not exist."""
        ...

    async def find_rule(self, org_id: str, kind: RuleKind, rule_id: str) -> StoredRule | None:
        """One rule in use."""
        ...

    async def list_rules(
        self, org_id: str, kind: RuleKind, where: RuleFilter, *, limit: int, after: str = ""
    ) -> list[StoredRule]:
        """Rules in use, newest first, behind the id `after`."""
        ...

    async def add_credit(
        self, org_id: str, budget_id: str, amount_nanousd: int | None, reason: str, by: str, now_us: int
    ) -> Credit:
        """Give money back in the budget's window of now; no amount: all that is booked. Raises NotFound, BadRequest."""
        ...

    async def credits(self, org_id: str, budget_id: str, *, limit: int, after: int | None = None) -> list[Credit]:
        """What was ever given back, newest first, behind the id `after`."""
        ...

    async def rule_history(
        self, org_id: str, rule_id: str, *, limit: int, after: int | None = None
    ) -> list[RuleChange]:
        """What a rule was, newest first, behind the id `after`; also of one that is deleted."""
        ...


class RuleRegister:
    """Creates, finds and changes the budgets and limits of one organisation."""

    def __init__(self, store: RuleStore, org_id: str, clock: Clock, publisher: Publisher) -> None:
        self._store = store
        self._org_id = org_id
        self._clock = clock
        self._publisher = publisher

    def draft(
        self,
        rule: Budget | RateLimit | Policy,
        by: str,
        *,
        name: str = "",
        allow_over_allocation: bool = False,
    ) -> StoredRule:
        """A new rule, not kept yet: `rule` with an id of its own."""
        now_us = self._clock.now_us()
        made = msgspec.structs.replace(rule, id=id_text(new_id(now_us)))
        return StoredRule(made, self._org_id, now_us, by, now_us, name, allow_over_allocation=allow_over_allocation)

    async def write(self, write: RuleWrite, by: str) -> None:
        """Make, replace and take away rules in one step and put that in force. Raises BadRequest, NotFound,
        StoreUnavailable."""
        if write.put or write.drop:
            await self._store.write(self._org_id, write, by, self._clock.now_us())
            await self._publisher.publish()

    async def delete(self, kind: RuleKind, rule_id: str, by: str) -> None:
        """Take a rule away. Raises NotFound, StoreUnavailable."""
        await self.get(kind, rule_id)
        await self.write(RuleWrite(drop=(rule_id,)), by)

    async def get(self, kind: RuleKind, rule_id: str) -> StoredRule:
        """One rule in use. Raises NotFound."""
        found = await self._store.find_rule(self._org_id, kind, rule_id)
        if found is None:
            raise NotFound(f"There is no such {kind}.")
        return found

    async def list(
        self,
        kind: RuleKind,
        where: RuleFilter = ANY_RULE,
        *,
        limit: int = 50,
        after: str = "",
    ) -> Sequence[StoredRule]:
        """Rules in use, newest first."""
        return await self._store.list_rules(self._org_id, kind, where, limit=limit, after=after)

    async def of(self, scope: Scope) -> Sequence[StoredRule]:
        """Every rule of one scope."""
        where = RuleFilter(scope.kind, scope.id)
        return [
            *await self._store.list_rules(self._org_id, "budget", where, limit=10_000),
            *await self._store.list_rules(self._org_id, "limit", where, limit=10_000),
        ]

    async def credit(self, budget_id: str, amount_nanousd: int, reason: str, by: str) -> Credit:
        """Give money back in the budget's window of now. Raises NotFound, BadRequest, StoreUnavailable."""
        if not 0 < amount_nanousd <= MOST_NANOUSD:
            raise BadRequest("A credit is more than nothing and at most 9,000,000 USD.", param="amount_usd")
        return await self._credit(budget_id, amount_nanousd, reason, by)

    async def reset(self, budget_id: str, reason: str, by: str) -> Credit:
        """Give back all that the ledger has booked in the budget's window of now. Raises as `credit`."""
        return await self._credit(budget_id, None, reason, by)

    async def credits(self, budget_id: str, *, limit: int, after: int | None = None) -> Sequence[Credit]:
        """What was ever given back on a budget, newest first. Raises NotFound."""
        await self.get("budget", budget_id)
        return await self._store.credits(self._org_id, budget_id, limit=limit, after=after)

    async def last_change(self, rule_id: str) -> RuleChange:
        """What happened last to a rule, also to a deleted one. Raises NotFound."""
        changes = await self._store.rule_history(self._org_id, rule_id, limit=1)
        if not changes:
            raise NotFound("There is no such rule.")
        return changes[0]

    async def history(self, rule_id: str, *, limit: int, after: int | None = None) -> Sequence[RuleChange]:
        """What a rule was, newest first."""
        return await self._store.rule_history(self._org_id, rule_id, limit=limit, after=after)

    async def _credit(self, budget_id: str, amount_nanousd: int | None, reason: str, by: str) -> Credit:
        now_us = self._clock.now_us()
        made = await self._store.add_credit(self._org_id, budget_id, amount_nanousd, reason, by, now_us)
        await self._publisher.publish()
        return made
