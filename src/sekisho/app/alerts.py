"""Write an event once a threshold of a budget is reached, from what the ledger has booked.

It asks for the windows of a while ago and all later ones, so that what is booked late, or just before a window ends,
is seen. That an event is there only once, also with several control processes, is the store's part.
"""

from sekisho.clock import Clock
from sekisho.ledger.booked import SpentQueries
from sekisho.ledger.counters import Spent
from sekisho.record.events import Event, EventStore
from sekisho.values import Budget

LATEST_US = 3_900_000_000  # a call may take an hour, and is booked soon after
_KEPT_KEYS = 100_000


class Alerts:
    """Looks at all budgets of an organisation whenever asked."""

    def __init__(self, spent: SpentQueries, events: EventStore, org_id: str, clock: Clock) -> None:
        self._spent = spent
        self._events = events
        self._org_id = org_id
        self._clock = clock
        self._written: set[str] = set()

    async def look(self, budgets: tuple[Budget, ...]) -> list[Event]:
        """Write what is due; the events that this process had not seen before."""
        watched = tuple(budget for budget in budgets if budget.thresholds or budget.steps)
        if not watched:
            return []
        now_us = self._clock.now_us()
        due: dict[str, Event] = {}
        for at_us in dict.fromkeys((max(now_us - LATEST_US, 0), now_us)):
            for one in await self._spent.spent(self._org_id, watched, at_us):
                due.update({event.key: event for event in events_of(one, now_us)})
        new = [event for key, event in due.items() if key not in self._written]
        if new:
            await self._events.write(self._org_id, new)
            if len(self._written) > _KEPT_KEYS:
                self._written.clear()
            self._written.update(event.key for event in new)
        return new


def events_of(spent: Spent, now_us: int) -> list[Event]:
    """The thresholds and steps of a budget that are reached in this window."""
    budget = spent.budget
    credit = budget.credit_nanousd if budget.credit_from == spent.window_starts_at else 0
    used = max(spent.spent_nanousd - credit, 0)
    allowed = budget.amount_nanousd + (budget.increase_nanousd if now_us < budget.increase_until else 0)
    marks = [(percent, "alert", "") for percent in budget.thresholds]
    marks += [(step.at_percent, step.action, step.model) for step in budget.steps]
    return [
        Event(
            kind="budget_threshold",
            key=f"{budget.id}/{spent.window_starts_at}/{percent}/{action}",
            at=now_us,
            detail={
                "budget_id": budget.id,
                "scope": {"kind": budget.scope.kind, "id": budget.scope.id},
                "budget_model": budget.model,
                "is_hard": budget.is_hard,
                "window_starts_at": spent.window_starts_at,
                "percent": percent,
                "action": action,
                "model": model,
                "spent_nanousd": used,
                "allowed_nanousd": allowed,
            },
        )
        for percent, action, model in marks
        if used * 100 >= percent * allowed
    ]
