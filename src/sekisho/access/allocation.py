"""Whether budgets hand out more than there is: an organisation's to its teams, a team's to its members and keys, a
member's to its keys.

Compared are budgets, hard and soft, in windows of one sort: the same calendar unit, the same period, the same dates.
What a child is allotted is the least of its budgets on all models, else the sum of the least on each model. A member
without a budget of its own hands its keys what the team has. A temporary increase counts on both sides while it lasts.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from sekisho.values import Budget, Scope

NO_KEYS: Mapping[str, Scope] = {}
_Window = tuple[object, ...]


def worse_by_nanousd(
    before: Iterable[Budget],
    after: Iterable[Budget],
    parent: Scope,
    now_us: int,
    keys: Mapping[str, Scope] = NO_KEYS,
    keys_before: Mapping[str, Scope] | None = None,
) -> int:
    """How much more than its budgets allow the children of this scope would be allotted, at the worst of the moments
    from now on at which that is more than it was before; 0 if there is none."""
    old, new = list(before), list(after)
    moments = {now_us, *(one.increase_until for one in (*old, *new) if one.increase_until > now_us)}
    was = keys if keys_before is None else keys_before
    found = [(excess_nanousd(old, parent, at, was), excess_nanousd(new, parent, at, keys)) for at in moments]
    return max((excess for known, excess in found if excess > known), default=0)


def excess_nanousd(budgets: Iterable[Budget], parent: Scope, at_us: int, keys: Mapping[str, Scope] = NO_KEYS) -> int:
    """By how much the children of this scope are allotted more than its budgets allow, at the worst; 0 if they fit.

    `keys`: by id of a key the member, or the team, whose money it spends."""
    every = [_as_at(budget, at_us) for budget in budgets]
    own = [budget for budget in every if budget.scope == parent]
    return max((0, *(_allotted(every, budget, keys) - budget.amount_nanousd for budget in own)))


def _as_at(budget: Budget, at_us: int) -> Budget:
    """With its increase, if it has one at that time."""
    if at_us >= budget.increase_until:
        return budget
    return replace(budget, amount_nanousd=budget.amount_nanousd + budget.increase_nanousd)


def parents(scope: Scope, org_id: str, keys: Mapping[str, Scope] = NO_KEYS) -> tuple[Scope, ...]:
    """The scopes whose allocation a budget of this scope takes part in: itself, and those that it gets from."""
    match scope.kind:
        case "org":
            return (scope,)
        case "team":
            return (Scope("org", org_id), scope)
        case "member":
            return (_team_of(scope), scope)
        case "key" if scope.id in keys:
            holder = keys[scope.id]
            return (holder,) if holder.kind == "team" else (holder, _team_of(holder))
    return ()


def _allotted(every: list[Budget], of: Budget, keys: Mapping[str, Scope]) -> int:
    """What the children have been allotted out of this budget."""
    alike = [one for one in every if _window(one) == _window(of) and of.model in ("", one.model)]
    own = {one.scope for one in alike if one.scope.kind == "member"}
    least: dict[Scope, dict[str, int]] = defaultdict(dict)
    for budget in alike:
        if _holder(budget.scope, of.scope, keys, own) == of.scope:
            by_model = least[budget.scope]
            by_model[budget.model] = min(by_model.get(budget.model, budget.amount_nanousd), budget.amount_nanousd)
    return sum(by_model[""] if "" in by_model else sum(by_model.values()) for by_model in least.values())


def _holder(scope: Scope, asked: Scope, keys: Mapping[str, Scope], own: set[Scope]) -> Scope | None:
    """Whose money this scope gets. `own`: the members with a budget, out of which their keys are served."""
    match scope.kind:
        case "team" if asked.kind == "org":
            return asked
        case "member":
            return _team_of(scope)
        case "key" if scope.id in keys:
            holder = keys[scope.id]
            return _team_of(holder) if holder.kind == "member" and holder not in own else holder
    return None


def _team_of(member: Scope) -> Scope:
    return Scope("team", member.id.partition("/")[0])


def _window(budget: Budget) -> _Window:
    window = budget.window
    match window.kind:
        case "period":
            return (window.kind, window.period_s)
        case "fixed":
            return (window.kind, window.starts_at, window.ends_at)
    return (window.kind,)
