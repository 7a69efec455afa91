"""Budgets in Sekisho's own admin API, under /admin/v1/budgets."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from msgspec.structs import replace
from pydantic import BaseModel, ConfigDict, Field

from sekisho.access.money import parse_usd
from sekisho.access.roles import Permission, Principal
from sekisho.access.rules import Credit, RuleChange, RuleFilter, RuleWrite, StoredRule
from sekisho.access.steps import checked_steps
from sekisho.ledger.windows import span_at
from sekisho.values import END_OF_TIME, Budget
from sekisho.web.admin.authority import Authority
from sekisho.web.admin.idempotency import idempotent_router
from sekisho.web.admin.litellm_fields import parse_expiry, public_name
from sekisho.web.admin.paging import AfterNumber, PageSize, page
from sekisho.web.admin.rights import Rights, shown_by
from sekisho.web.admin.scopes import ScopeFields, WindowFields, render_money, render_scope, render_window
from sekisho.web.admin.services import Services
from sekisho.web.admin.thresholds import Thresholds, render_thresholds, with_thresholds
from sekisho.web.admin.times import iso


class Increase(BaseModel):
    """More money until a time, or for a duration from now such as "7d"."""

    model_config = ConfigDict(extra="forbid")

    amount_usd: Any
    until: str


class BudgetUpdate(BaseModel):
    """What to change; what is left out stays. Amounts are US dollars, as a number or a decimal string."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(max_length=200)] = ""
    amount_usd: Any = None
    window: WindowFields | None = None
    is_hard: bool = True
    thresholds: Thresholds = ()
    increase: Increase | None = None
    allow_over_allocation: bool = False

    def change(self, old: Budget, services: Services) -> Budget:
        """`old` with what was sent in its place. Raises BadRequest."""
        given, now_us = self.model_fields_set, services.clock.now_us()
        if "amount_usd" in given:
            old = replace(old, amount_nanousd=parse_usd(self.amount_usd, "amount_usd"))
        if self.window is not None:
            old = replace(old, window=self.window.window(services.time_zone, now_us))
        if "is_hard" in given:
            old = replace(old, is_hard=self.is_hard)
        if "thresholds" in given:
            old = with_thresholds(old, self.thresholds, services.models())
        elif "is_hard" in given:
            old = replace(old, steps=checked_steps(old, old.steps, services.models()))
        if "increase" in given:
            amount, until = 0, 0
            if self.increase is not None:
                amount = parse_usd(self.increase.amount_usd, "increase.amount_usd")
                until = parse_expiry(self.increase.until, now_us, "increase.until")
            old = replace(old, increase_nanousd=amount, increase_until=until)
        return old


class BudgetCreation(BudgetUpdate):
    """A budget to be made. `model`: of one model only; empty: of all."""

    scope: ScopeFields
    amount_usd: Any
    window: WindowFields
    model: Annotated[str, Field(max_length=200)] = ""


class CreditFields(BaseModel):
    """Money to give back in the window of now."""

    model_config = ConfigDict(extra="forbid")

    amount_usd: Any
    reason: Annotated[str, Field(min_length=1, max_length=1000)]


class ResetFields(BaseModel):
    """Why all that was spent so far in the window of now is given back."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(min_length=1, max_length=1000)]


class BudgetPage(BaseModel):
    """Budgets, newest first. `next`: pass it as `after` for the following page; null at the end."""

    budgets: list[dict[str, Any]]
    next: str | None


def budgets_router(services: Services, authority: Authority) -> APIRouter:  # noqa: C901  one closure per route
    """Routes for administrators."""
    router = idempotent_router(services, authority, "/admin/v1/budgets", "budgets")
    reader = Annotated[Principal, Depends(authority.within("budgets:read"))]
    writer = Annotated[Principal, Depends(authority.within("budgets:write"))]
    master = Annotated[Principal, Depends(authority.require("budgets:write"))]
    rules, rights = services.rules, Rights(services)

    @router.post("", status_code=201)
    async def create_budget(body: BudgetCreation, who: writer) -> dict[str, Any]:
        """Make a budget; in force in every call process when this answers."""
        now_us = services.clock.now_us()
        model = public_name(services.models(), body.model, "model") if body.model else ""
        window = body.window.window(services.time_zone, now_us)
        new = body.change(Budget("", body.scope.scope(), 0, window, model), services)
        made = rules.draft(new, who.actor, name=body.name, allow_over_allocation=body.allow_over_allocation)
        await rights.need_new_rule(who, "budgets:write", new.scope)
        write = await rights.rules_within(who, RuleWrite((made,)))
        await rules.write(write, who.actor)
        return await show(write.put[0], who)

    @router.get("")
    async def list_budgets(
        who: reader,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        after: str = "",
        scope_kind: str = "",
        scope_id: str = "",
    ) -> BudgetPage:
        """Budgets in use, newest first, with what they have spent."""
        found = await rules.list(
            "budget", RuleFilter(scope_kind, scope_id, sight=who.sight("budgets:read")), limit=limit + 1, after=after
        )
        shown = await show_all(found[:limit], who)
        return BudgetPage(budgets=shown, next=shown[-1]["id"] if len(found) > limit else None)

    @router.get("/{budget_id}")
    async def get_budget(budget_id: str, who: reader) -> dict[str, Any]:
        """One budget, with what it has spent in its window of now."""
        return await show(await seen(budget_id, who, "budgets:read"), who)

    @router.patch("/{budget_id}")
    async def update_budget(budget_id: str, body: BudgetUpdate, who: writer) -> dict[str, Any]:
        """Change a budget; in force in every call process when this answers."""
        old = await seen(budget_id, who, "budgets:write")
        assert isinstance(old.rule, Budget)
        now_us = services.clock.now_us()
        new = replace(
            old,
            rule=body.change(old.rule, services),
            updated_at=now_us,
            name=body.name if "name" in body.model_fields_set else old.name,
            duration="" if body.window is not None else old.duration,
            allow_over_allocation=old.allow_over_allocation or body.allow_over_allocation,
        )
        write = await rights.rules_within(who, RuleWrite((new,)))
        await rules.write(write, who.actor)
        return await show(write.put[0], who)

    @router.delete("/{budget_id}", status_code=204)
    async def delete_budget(budget_id: str, who: writer) -> None:
        """Take a budget away. Its history stays."""
        await rights.drop_rule(who, "budgets:write", await rules.get("budget", budget_id))
        await rules.delete("budget", budget_id, who.actor)

    @router.post("/{budget_id}/credits", status_code=201)
    async def credit_budget(budget_id: str, body: CreditFields, who: master) -> dict[str, Any]:
        """Give money back in the window of now."""
        return _credit(
            await rules.credit(budget_id, parse_usd(body.amount_usd, "amount_usd"), body.reason, who.actor), who
        )

    @router.post("/{budget_id}/reset", status_code=201)
    async def reset_budget(budget_id: str, body: ResetFields, who: master) -> dict[str, Any]:
        """Give back all that the ledger has booked in the window of now."""
        return _credit(await rules.reset(budget_id, body.reason, who.actor), who)

    @router.get("/{budget_id}/credits")
    async def list_credits(
        budget_id: str, who: reader, limit: PageSize = 50, after: AfterNumber = None
    ) -> dict[str, Any]:
        """What was ever given back, newest first. `next`: pass it as `after`; null at the end."""
        await seen(budget_id, who, "budgets:read")
        found = await rules.credits(budget_id, limit=limit + 1, after=after)
        return page("credits", found, limit, lambda one: _credit(one, who), lambda one: one.id)

    @router.get("/{budget_id}/history")
    async def budget_history(
        budget_id: str, who: reader, limit: PageSize = 50, after: AfterNumber = None
    ) -> dict[str, Any]:
        """Who changed the budget, when, and what it was then; newest first, also of a deleted one.

        `next`: pass it as `after`; null at the end."""
        last = await rules.last_change(budget_id)
        await rights.need_scope(who, "budgets:read", last.rule.scope, "There is no such rule.")
        found = await rules.history(budget_id, limit=limit + 1, after=after)
        return page("changes", found, limit, lambda one: _change(one, who), lambda one: one.id)

    async def seen(budget_id: str, who: Principal, permission: Permission) -> StoredRule:
        found = await rules.get("budget", budget_id)
        await rights.need_rule(who, permission, found)
        return found

    async def show(stored: StoredRule, who: Principal) -> dict[str, Any]:
        return (await show_all((stored,), who))[0]

    async def show_all(found: Any, who: Principal) -> list[dict[str, Any]]:
        now_us = services.clock.now_us()
        budgets = tuple(stored.rule for stored in found)
        spent = {one.budget.id: one for one in await services.spent.spent(services.org_id, budgets, now_us)}
        return [
            _render(stored, now_us, spent) | {"created_by": shown_by(who, "budgets:read", stored.created_by)}
            for stored in found
        ]

    return router


def _render(stored: StoredRule, now_us: int, spent: dict[str, Any]) -> dict[str, Any]:
    budget = stored.rule
    assert isinstance(budget, Budget)
    span = span_at(budget.window, now_us)
    booked = spent[budget.id].spent_nanousd if budget.id in spent else 0
    credit = budget.credit_nanousd if span and budget.credit_from == span.starts_at else 0
    return {
        "id": budget.id,
        "name": stored.name,
        "scope": render_scope(budget.scope),
        "model": budget.model,
        **render_money("amount", budget.amount_nanousd),
        "window": render_window(budget.window),
        "is_hard": budget.is_hard,
        "thresholds": render_thresholds(budget),
        "increase": _increase(budget),
        **render_money("spent", booked),
        **render_money("credit", credit),
        "window_starts_at": iso(span.starts_at) if span else None,
        "resets_at": iso(span.ends_at) if span and span.ends_at < END_OF_TIME else None,
        "budget_id": stored.template_id or None,
        "allow_over_allocation": stored.allow_over_allocation,
        "created_at": iso(stored.created_at),
        "created_by": stored.created_by,
        "updated_at": iso(stored.updated_at),
    }


def _increase(budget: Budget) -> dict[str, Any] | None:
    if not budget.increase_nanousd:
        return None
    return render_money("amount", budget.increase_nanousd) | {"until": iso(budget.increase_until)}


def _credit(credit: Credit, who: Principal) -> dict[str, Any]:
    return {
        "budget_id": credit.budget_id,
        "kind": credit.kind,
        **render_money("amount", credit.amount_nanousd),
        "window_starts_at": iso(credit.window_starts_at),
        "reason": credit.reason,
        "created_at": iso(credit.created_at),
        "created_by": shown_by(who, "budgets:read", credit.created_by),
    }


def _change(change: RuleChange, who: Principal) -> dict[str, Any]:
    budget = change.rule
    assert isinstance(budget, Budget)
    return {
        "action": change.action,
        "at": iso(change.at),
        "by": shown_by(who, "budgets:read", change.by),
        **render_money("amount", budget.amount_nanousd),
        "window": render_window(budget.window),
        "is_hard": budget.is_hard,
        "thresholds": render_thresholds(budget),
        "increase": _increase(budget),
    }
