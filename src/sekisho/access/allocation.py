"""Whether budgets hand out more than there is: an organisation's to its teams, a team's to its members.

Compared are budgets, hard and soft, in windows of one sort: the same calendar unit, the same period, the same dates.
What a child is allotted is the least of its budgets on all models, else the sum of the least on each model.
"""

from collections import defaultdict
from collections.abc import Iterable

from sekisho.values import Budget, Scope

_CHILD = {"org": "team", "team": "member"}
_Window = tuple[object, ...]


def excess_nanousd(budgets: Iterable[Budget], parent: Scope) -> int:
    """By how much the children of this scope are allotted more than its budgets allow, at the worst; 0 if they fit."""
    every = list(budgets)
    own = [budget for budget in every if budget.scope == parent]
    return max((0, *(_allotted(every, budget) - budget.amount_nanousd for budget in own)))


def parents(scope: Scope, org_id: str) -> tuple[Scope, ...]:
    """The scopes whose allocation a budget of this scope takes part in: itself, and the one that it gets from."""
    match scope.kind:
        case "org":
            return (scope,)
        case "team":
            return (Scope("org", org_id), scope)
        case "member":
            return (Scope("team", scope.id.partition("/")[0]),)
    return ()


def _allotted(every: list[Budget], of: Budget) -> int:
    """What the children have been allotted out of this budget."""
    least: dict[str, dict[str, int]] = defaultdict(dict)
    for budget in every:
        if _is_child(budget.scope, of.scope) and _window(budget) == _window(of) and of.model in ("", budget.model):
            by_model = least[budget.scope.id]
            by_model[budget.model] = min(by_model.get(budget.model, budget.amount_nanousd), budget.amount_nanousd)
    return sum(by_model[""] if "" in by_model else sum(by_model.values()) for by_model in least.values())


def _is_child(scope: Scope, parent: Scope) -> bool:
    if scope.kind != _CHILD.get(parent.kind):
        return False
    return parent.kind == "org" or scope.id.partition("/")[0] == parent.id


def _window(budget: Budget) -> _Window:
    window = budget.window
    match window.kind:
        case "period":
            return (window.kind, window.period_s)
        case "fixed":
            return (window.kind, window.starts_at, window.ends_at)
    return (window.kind,)
