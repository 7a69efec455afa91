"""One budget: a cell of what is spent and reserved for each of its windows. Money is nano-USD, times are microseconds.

Which windows are known: those that a ledger read named, and those that begin after the first that the last read named;
for what a read left out there was empty. So a new window is known as soon as it begins, at 0.
"""

from sekisho.ledger.counters import JournalPosition, Standing
from sekisho.ledger.windows import Span, span_at
from sekisho.values import END_OF_TIME, Budget

_KEPT_ENDED_WINDOWS = 2  # for a wall clock that is set back


class BudgetCell:
    """One window of one budget. `booked`: how far the journal was booked in the read that `spent` began with.

    `held` is what was spent and what is reserved, in one figure, which is what admission looks at. `ceiling` is the
    amount with this window's credit; `increase` comes on top until `increase_until`."""

    __slots__ = (
        "booked",
        "ceiling",
        "counter",
        "credit",
        "held",
        "increase",
        "increase_until",
        "is_hard",
        "is_loaded",
        "span",
        "spent",
    )

    def __init__(self, counter: "BudgetCounter", span: Span, is_loaded: bool) -> None:
        self.counter = counter
        self.span = span
        self.is_loaded = is_loaded
        self.booked: JournalPosition = (0, 0)
        self.spent = 0
        self.held = 0
        self.revise(counter.budget)

    def revise(self, budget: Budget) -> None:
        """Take over the budget's present terms."""
        self.credit = budget.credit_nanousd if budget.credit_from == self.span.starts_at else 0
        self.ceiling = budget.amount_nanousd + self.credit
        self.increase = budget.increase_nanousd
        self.increase_until = budget.increase_until
        self.is_hard = budget.is_hard

    def room(self, now_us: int) -> int:
        """What is left; below 0 where more is held than the budget now allows."""
        increase = self.increase if now_us < self.increase_until else 0
        return self.ceiling + increase - self.held

    def allowed(self, now_us: int) -> int:
        """The amount with its increase, without credit: what per cent are of."""
        return self.ceiling - self.credit + (self.increase if now_us < self.increase_until else 0)

    def spent_beyond_credit(self) -> int:
        """What is spent and was not given back; not below 0."""
        return max(self.spent - self.credit, 0)

    def resets_at(self) -> int | None:
        """When this window ends; None for one that never does."""
        return self.span.ends_at if self.span.ends_at < END_OF_TIME else None


class BudgetCounter:
    """The cells of one budget, by the start of their windows."""

    __slots__ = ("_known_from", "_span", "budget", "cells")

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.cells: dict[int, BudgetCell] = {}
        self._known_from: int | None = None  # windows that begin then or later are loaded
        self._span: Span | None = None  # the one looked up last

    def counts_same(self, budget: Budget) -> bool:
        """Whether the other budget counts the same calls in the same windows."""
        mine = self.budget
        return (mine.id, mine.scope, mine.model, mine.window) == (budget.id, budget.scope, budget.model, budget.window)

    def revise(self, budget: Budget) -> None:
        """Put other terms in force; nothing is reserved until the engine says so again."""
        self.budget = budget
        for cell in self.cells.values():
            cell.revise(budget)
            cell.held = cell.spent

    def span_at(self, at_us: int) -> Span | None:
        """The window that holds this time; None outside a fixed one."""
        if self._span is None or not self._span.holds(at_us):
            self._span = span_at(self.budget.window, at_us)
        return self._span

    def cell_at(self, at_us: int) -> BudgetCell | None:
        """The cell of the window that holds this time, made if need be."""
        span = self.span_at(at_us)
        if span is None:
            return None
        cell = self.cells.get(span.starts_at)
        if cell is None:
            cell = self.cells[span.starts_at] = BudgetCell(self, span, self._knows(span))
        return cell

    def stays_until(self, now_us: int) -> int:
        """When the budget comes to another window than that of now, or into its fixed one."""
        span = self.span_at(now_us)
        if span:
            return span.ends_at
        return self.budget.window.starts_at if now_us < self.budget.window.starts_at else END_OF_TIME

    def start_again(self, sums: dict[int, int], booked: JournalPosition) -> None:
        """Begin with what the ledger has, by starts of windows, in all windows from the first of them on.

        The calls of this process behind `booked` are to be added."""
        first = self._known_from = min(sums)
        for starts_at in sums:
            self.cell_at(starts_at)
        for cell in self.cells.values():
            if cell.span.starts_at >= first:
                cell.is_loaded = True
                cell.booked = booked
                spent = sums.get(cell.span.starts_at, 0)
                cell.held += spent - cell.spent
                cell.spent = spent

    def forgettable(self, now_us: int) -> list[BudgetCell]:
        """All windows that have ended but the last few."""
        ended = sorted(starts_at for starts_at, cell in self.cells.items() if cell.span.ends_at <= now_us)
        return [self.cells[starts_at] for starts_at in ended[:-_KEPT_ENDED_WINDOWS]]

    def forget(self, cell: BudgetCell) -> None:
        """Drop a cell. Should the clock come back to its window, the ledger must be asked."""
        del self.cells[cell.span.starts_at]
        if self._known_from is not None:
            self._known_from = max(self._known_from, cell.span.ends_at)

    def standing(self, now_us: int) -> Standing | None:
        """How the budget stands in its window of now; None outside a fixed one."""
        span = self.span_at(now_us)
        if span is None:
            return None
        cell = self.cells.get(span.starts_at)
        return Standing(
            budget=self.budget,
            window_starts_at=span.starts_at,
            window_ends_at=span.ends_at,
            spent_nanousd=cell.spent if cell else 0,
            reserved_nanousd=cell.held - cell.spent if cell else 0,
            is_loaded=cell.is_loaded if cell else self._knows(span),
        )

    def _knows(self, span: Span) -> bool:
        return self._known_from is not None and span.starts_at >= self._known_from
