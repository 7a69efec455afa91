"""The counter engine in the memory of one call process.

Nothing here waits between looking and holding, so every call of the engine is one atomic step of the event loop. The
cost of `admit` and `settle` is the product's hot path: what a set of scopes and a model come under is looked up once
(`_Plan`), and a plan's cells are good until the first of their windows ends or the clock is set back.

Why each nano-USD is counted once. For every cell that is loaded this holds after every step:

    spent = what the last read named (or left out: 0) + the calls settled here whose records lie behind that read

- `settle` adds a call unless its record lies before the cell's read: then the read has it already.
- `load` sets the first part, and adds the second again from the calls that were settled here and lie behind the read.
- Such a call is forgotten only when a read has it; older reads than that are turned away. So the second part is whole.
"""

from collections import deque
from collections.abc import Iterable

import msgspec

from sekisho.clock import Clock
from sekisho.ledger.counters import (
    Admitted,
    Demand,
    Due,
    JournalPosition,
    LimitUse,
    Look,
    NoRoom,
    NotLoaded,
    Passed,
    Spent,
    Standing,
    TooFast,
    Verdict,
)
from sekisho.store.counters.budget_counter import BudgetCell, BudgetCounter
from sekisho.store.counters.limit_counter import MINUTE_US, LimitCounter
from sekisho.store.counters.task_cells import TaskCell, TaskCells
from sekisho.values import END_OF_TIME, Budget, RateLimit, Scope

_KEPT_PLANS = 10_000
_CELLS_TO_LOOK_AT = 3  # fewer are never forgotten
_WIDEST_FIRST = {kind: place for place, kind in enumerate(("org", "team", "member", "user", "key", "tag"))}
_SECOND_US = 1_000_000
_LONGEST_WAIT_S = 59
_NEVER = 1 << 62


class _Plan:
    """What the calls of one set of scopes to one model come under; its cells are those of now before `until_us`.

    `is_plain`: all cells of hard budgets were loaded, and none had an increase, at the load numbered `loads`.
    `calls_until`, `tokens_until`: before the engine has counted so many admissions, and so many tokens, none of the
    limits can be reached, whatever is admitted."""

    __slots__ = (
        "budgets",
        "calls_until",
        "hard",
        "is_plain",
        "limits",
        "loads",
        "model",
        "scopes",
        "soft",
        "stepping",
        "tokens_until",
        "until_us",
    )

    def __init__(
        self,
        scopes: tuple[Scope, ...],
        model: str,
        budgets: tuple[BudgetCounter, ...],
        limits: tuple[LimitCounter, ...],
    ) -> None:
        self.scopes = scopes
        self.model = model
        self.budgets = budgets
        self.limits = limits
        self.hard: tuple[BudgetCell, ...] = ()
        self.soft: tuple[BudgetCell, ...] = ()
        self.stepping: tuple[BudgetCell, ...] = ()  # those of budgets with steps
        self.until_us = 0
        self.is_plain = False
        self.loads = -1
        self.calls_until = _NEVER if not limits else 0
        self.tokens_until = _NEVER if not limits else 0


class _Recent(msgspec.Struct, eq=False):
    """A call as its limits see it: a minute long, whatever becomes of it (`is_counted`), and as long as it is open.

    There are many, so they are small: what a busy process remembers of a call also slows down all that comes after it.
    `at_us` is monotonic."""

    at_us: int
    tokens: int
    plan: _Plan
    is_counted: bool = True


class _Call(msgspec.Struct, eq=False):
    """A call that is open."""

    bound: int
    estimate: int
    admitted_at: int
    hard: tuple[BudgetCell, ...]
    soft: tuple[BudgetCell, ...]
    task: TaskCell | None
    recent: _Recent


class _Unbooked(msgspec.Struct, frozen=True, eq=False):
    """A call that is settled, until a ledger read has shown it."""

    admitted_at: int
    plan: _Plan
    cost: int
    position: JournalPosition


class MemoryCounters:
    """Counters of one life of one call process; implements `ledger.counters.Counters`. For one event loop."""

    admission_valid_us = END_OF_TIME  # they are lost only together with the calls they admitted
    are_shared = False
    failure = ""

    def __init__(self, clock: Clock) -> None:
        self._now, self._monotonic = clock.now_us, clock.monotonic_us
        self._budgets: dict[str, BudgetCounter] = {}
        self._budgets_of: dict[Scope, list[BudgetCounter]] = {}
        self._limits_of: dict[Scope, list[LimitCounter]] = {}
        self._plans: dict[tuple[tuple[Scope, ...], str], _Plan] = {}
        # By the very object that names the scopes, the same for all calls of a key to a model: to compare what it says
        # takes as long as to hold the call in all its budgets.
        self._near: dict[int, _Plan] = {}
        self._open: dict[bytes, _Call] = {}
        self._recent: deque[_Recent] = deque()  # admitted in the last minute, oldest first
        self._unbooked: list[_Unbooked] = []
        self._booked: JournalPosition = (0, 0)
        self._now_us = 0
        self._tasks = TaskCells()
        self._loads = 0
        self._calls_counted = 0  # by limits, since the start; never fewer
        self._tokens_counted = 0

    @property
    def open_calls(self) -> int:
        """Calls that were admitted and neither settled nor released."""
        return len(self._open)

    @property
    def remembered_calls(self) -> int:
        """Entries in memory: open calls, calls of the last minute, settled calls that no ledger read has shown yet."""
        return len(self._open) + len(self._recent) + len(self._unbooked)

    async def configure(self, budgets: tuple[Budget, ...], limits: tuple[RateLimit, ...], epoch: int = 0) -> None:
        kept = self._budgets
        self._budgets = {}
        self._budgets_of = {}
        self._limits_of = {}
        self._forget_plans()
        for budget in budgets:
            counter = kept.get(budget.id)
            if counter is None or not counter.counts_same(budget):
                counter = BudgetCounter(budget)
            counter.revise(budget)
            self._budgets[budget.id] = counter
            self._budgets_of.setdefault(budget.scope, []).append(counter)
        for limit in limits:
            if limit.requests_per_minute is limit.tokens_per_minute is limit.parallel is None:
                continue  # it caps tasks only: what the caller states with each call
            self._limits_of.setdefault(limit.scope, []).append(LimitCounter(limit))
        self._forget_old_calls(self._monotonic())
        for recent in self._recent:
            recent.plan = self._plan(recent.plan.scopes, recent.plan.model)
            _join(recent)
        for call in self._open.values():
            self._hold_again(call)

    async def load(self, spent: tuple[Spent, ...], booked: JournalPosition) -> None:
        if booked < self._booked:
            return
        self._booked = booked
        self._loads += 1
        self._unbooked = [call for call in self._unbooked if call.position > booked]
        sums: dict[str, dict[int, int]] = {}
        for one in spent:
            if self._names_a_window(one):
                sums.setdefault(one.budget.id, {})[one.window_starts_at] = one.spent_nanousd
        for budget_id, by_start in sums.items():
            self._budgets[budget_id].start_again(by_start, booked)
        for call in self._unbooked:
            for counter in self._plan(call.plan.scopes, call.plan.model).budgets:
                span = counter.span_at(call.admitted_at)
                if counter.budget.id in sums and span and span.starts_at >= min(sums[counter.budget.id]):
                    cell = counter.cell_at(call.admitted_at)
                    assert cell is not None  # its span is
                    cell.spent += call.cost
                    cell.held += call.cost

    async def admit(self, demand: Demand) -> Verdict:
        return self.admit_at_once(demand)

    def admit_at_once(self, demand: Demand) -> Verdict:  # noqa: C901  a function per loop costs more than the loop
        now_us, at_us = self._now(), self._monotonic()
        if self._recent and self._recent[0].at_us <= at_us - MINUTE_US:
            self._forget_old_calls(at_us)
        plan = self._near.get(id(demand.scopes))
        if plan is None or plan.scopes is not demand.scopes or plan.model != demand.model:
            plan = self._plan(demand.scopes, demand.model)
        if not self._now_us <= now_us < plan.until_us or plan.loads != self._loads:
            plan = self._plan_at(demand, now_us)
        self._now_us = now_us
        if plan.stepping and demand.heeds_steps:
            due = _due(plan.stepping, now_us)
            if due:
                return due
        bound, tokens = demand.bound_nanousd, demand.tokens
        least_room = _NEVER
        if plan.is_plain:
            for cell in plan.hard:
                room = cell.ceiling - cell.held
                if room < least_room:
                    least_room = room
        else:
            for cell in plan.hard:
                least_room = min(least_room, cell.room(now_us) if cell.is_loaded else -1)
        if least_room < bound:
            return _refusal(plan.hard, bound, now_us)
        task: TaskCell | None = None
        if demand.task is not None:
            found = self._tasks.check(demand.task, bound)
            if not isinstance(found, TaskCell):
                return found
            task = found
        if self._calls_counted >= plan.calls_until or self._tokens_counted + tokens > plan.tokens_until:
            for limit in plan.limits:
                if not limit.takes(tokens):
                    return _too_fast(plan.limits, tokens, at_us)
            self._look_ahead(plan)
        recent = _Recent(at_us, tokens, plan)
        self._open[demand.call_id] = _Call(bound, demand.estimate_nanousd, now_us, plan.hard, plan.soft, task, recent)
        if task is not None:
            task.begin(bound)
        for cell in plan.hard:
            cell.held += bound
        for cell in plan.soft:
            cell.held += demand.estimate_nanousd
        self._calls_counted += 1
        self._tokens_counted += tokens
        for limit in plan.limits:
            limit.open += 1
            limit.tokens += tokens
            limit.calls.append(recent)
        self._recent.append(recent)
        return Admitted(now_us, least_room - bound if plan.hard else None)

    def _look_ahead(self, plan: _Plan) -> None:
        """See how much can be admitted before the plan's limits must be looked at again: they were, one by one, at
        every call, which was a third of what admission cost."""
        calls = min(min(one.requests_per_minute - len(one.calls), one.parallel - one.open) for one in plan.limits)
        plan.calls_until = self._calls_counted + calls
        plan.tokens_until = self._tokens_counted + min(one.tokens_per_minute - one.tokens for one in plan.limits)

    async def settle(self, call_id: bytes, cost_nanousd: int, tokens: int, position: JournalPosition) -> None:
        self.settle_at_once(call_id, cost_nanousd, tokens, position)

    def settle_at_once(self, call_id: bytes, cost_nanousd: int, tokens: int, position: JournalPosition) -> bool:
        call = self._open.pop(call_id, None)
        if call is None:
            return True
        is_new = position > self._booked  # then it is behind the read of every cell
        bound = call.bound
        change = cost_nanousd - bound
        for cell in call.hard:
            if is_new or position > cell.booked:
                cell.spent += cost_nanousd
                cell.held += change
            else:
                cell.held -= bound
        for cell in call.soft:
            cell.held -= call.estimate
            if is_new or position > cell.booked:
                cell.spent += cost_nanousd
                cell.held += cost_nanousd
        if call.task is not None:
            call.task.end(bound, cost_nanousd)
        if is_new:
            self._unbooked.append(_Unbooked(call.admitted_at, call.recent.plan, cost_nanousd, position))
        self._let_go(call, tokens)
        return True

    async def release(self, call_id: bytes) -> None:
        call = self._open.pop(call_id, None)
        if call is not None:
            for cell in call.hard:
                cell.held -= call.bound
            for cell in call.soft:
                cell.held -= call.estimate
            if call.task is not None:
                call.task.end(call.bound, 0)
            self._let_go(call, 0)

    def _let_go(self, call: _Call, tokens: int) -> None:
        """Give back the slots of an ended call; correct its tokens while it is in the last minute."""
        recent = call.recent
        correction = tokens - recent.tokens if recent.is_counted else 0
        if correction > 0:
            self._tokens_counted += correction
        for limit in recent.plan.limits:
            limit.open -= 1
            limit.tokens += correction
        recent.tokens = tokens

    async def load_task(self, task_id: bytes, spent_nanousd: int, calls: int) -> None:
        self._tasks.load(task_id, spent_nanousd, calls)

    async def look(self, demand: Demand) -> Look:
        verdict = self.admit_at_once(demand)
        if isinstance(verdict, Admitted):  # nothing else has run since, so it is the newest everywhere
            recent = self._recent.pop()
            await self.release(demand.call_id)
            for limit in recent.plan.limits:
                limit.calls.pop()
        uses = (
            LimitUse.of(one.limit, len(one.calls), one.tokens, one.open)
            for one in self._plan(demand.scopes, demand.model).limits
        )
        return Look(verdict, tuple(uses))

    async def standings(self) -> tuple[Standing, ...]:
        now_us = self._now()
        standings = (counter.standing(now_us) for counter in self._budgets.values())
        return tuple(standing for standing in standings if standing)

    def _plan_at(self, demand: Demand, now_us: int) -> _Plan:
        """The plan for this call, with the cells of now."""
        if now_us < self._now_us:
            self._forget_plans()  # the clock was set back: their cells may be those of later windows
        plan = self._plan(demand.scopes, demand.model)
        if now_us >= plan.until_us or plan.loads != self._loads:
            self._enter_windows(plan, now_us)
        return plan

    def _plan(self, scopes: tuple[Scope, ...], model: str) -> _Plan:
        if max(len(self._plans), len(self._near)) >= _KEPT_PLANS:
            self._forget_plans()
        plan = self._plans.get((scopes, model))
        if plan is None:
            each = dict.fromkeys(scopes)
            budgets = (one for scope in each for one in self._budgets_of.get(scope, ()))
            limits = (one for scope in each for one in self._limits_of.get(scope, ()))
            plan = self._plans[scopes, model] = _Plan(
                scopes,
                model,
                tuple(one for one in budgets if one.budget.model in ("", model)),
                tuple(one for one in limits if one.limit.model in ("", model)),
            )
        plan.scopes = scopes
        self._near[id(scopes)] = plan  # this id is of nothing else as long as the plan holds them
        return plan

    def _forget_plans(self) -> None:
        self._plans.clear()
        self._near.clear()

    def _enter_windows(self, plan: _Plan, now_us: int) -> None:
        plan.hard, plan.soft = _parted(counter.cell_at(now_us) for counter in plan.budgets)
        plan.stepping = tuple(cell for cell in (*plan.hard, *plan.soft) if cell.counter.budget.steps)
        plan.is_plain = all(cell.is_loaded and cell.increase_until <= now_us for cell in plan.hard)
        plan.loads = self._loads
        plan.until_us = END_OF_TIME
        for counter in plan.budgets:
            plan.until_us = min(plan.until_us, counter.stays_until(now_us))
            if len(counter.cells) > _CELLS_TO_LOOK_AT:
                self._forget_cells(counter, now_us)

    def _forget_cells(self, counter: BudgetCounter, now_us: int) -> None:
        for cell in counter.forgettable(now_us):
            if not any(cell in call.hard or cell in call.soft for call in self._open.values()):
                counter.forget(cell)

    def _hold_again(self, call: _Call) -> None:
        """Let an open call hold in what is in force now, in the windows of its admission."""
        recent = call.recent
        plan = recent.plan = self._plan(recent.plan.scopes, recent.plan.model)
        call.hard, call.soft = _parted(counter.cell_at(call.admitted_at) for counter in plan.budgets)
        _hold(call)
        for limit in plan.limits:
            limit.open += 1

    def _forget_old_calls(self, at_us: int) -> None:
        """Drop the calls that were admitted a minute ago or earlier from their limits."""
        recent = self._recent
        while recent and recent[0].at_us <= at_us - MINUTE_US:
            oldest = recent.popleft()
            oldest.is_counted = False
            for limit in oldest.plan.limits:
                limit.calls.popleft()
                limit.tokens -= oldest.tokens

    def _names_a_window(self, one: Spent) -> bool:
        """Whether a ledger read speaks of a budget as it is in force, and of a window that it has."""
        counter = self._budgets.get(one.budget.id)
        if counter is None or not counter.counts_same(one.budget):
            return False
        span = counter.span_at(one.window_starts_at)
        return span is not None and span.starts_at == one.window_starts_at


def _parted(cells: Iterable[BudgetCell | None]) -> tuple[tuple[BudgetCell, ...], tuple[BudgetCell, ...]]:
    """The cells of hard budgets, and those of soft ones."""
    present = [cell for cell in cells if cell]
    return tuple(cell for cell in present if cell.is_hard), tuple(cell for cell in present if not cell.is_hard)


def _due(cells: tuple[BudgetCell, ...], now_us: int) -> Due | None:
    """Whose steps are due, if any are."""
    passed = [
        Passed(cell.counter.budget, cell.spent_beyond_credit(), cell.allowed(now_us), cell.resets_at())
        for cell in cells
        if cell.is_loaded
    ]
    found = sorted((one for one in passed if one.due()), key=lambda one: one.budget.id)
    return Due(tuple(found)) if found else None


def _hold(call: _Call) -> None:
    for cell in call.hard:
        cell.held += call.bound
    for cell in call.soft:
        cell.held += call.estimate


def _join(recent: _Recent) -> None:
    """Count the call in the minute of its limits."""
    for limit in recent.plan.limits:
        limit.calls.append(recent)
        limit.tokens += recent.tokens


def _refusal(cells: tuple[BudgetCell, ...], bound: int, now_us: int) -> NoRoom | NotLoaded:
    """Which hard budget refuses, of those of which one does."""

    def widest_first(cell: BudgetCell) -> tuple[int, str]:
        budget = cell.counter.budget
        return _WIDEST_FIRST[budget.scope.kind], budget.id

    short = [cell for cell in cells if cell.is_loaded and cell.room(now_us) < bound]
    if not short:
        return NotLoaded(min((cell for cell in cells if not cell.is_loaded), key=widest_first).counter.budget)
    least = min(short, key=lambda cell: (cell.room(now_us), widest_first(cell)))
    return NoRoom(least.counter.budget, max(least.room(now_us), 0), least.resets_at())


def _too_fast(limits: tuple[LimitCounter, ...], tokens: int, at_us: int) -> TooFast:
    """Which limit holds the call up longest, of those of which one does."""
    waits = [(limit.wait(tokens, at_us), limit.limit) for limit in limits if not limit.takes(tokens)]
    (wait_us, kind), limit = max(waits, key=lambda one: one[0][0])
    return TooFast(limit, kind, min(-(-wait_us // _SECOND_US), _LONGEST_WAIT_S))
