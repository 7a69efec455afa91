"""What counters must do, computed from lists of everything that happened, each time from the beginning.

Nothing is kept that could be wrong: windows are names in the calendar, seconds are fractions, sums are sums over all
calls. The journal, its drain and the ledger's answers are part of the model, for `load` depends on them.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

from sekisho.ledger.counters import Demand, JournalPosition, Spent
from sekisho.ledger.windows import span_at
from sekisho.values import Budget, RateLimit, Window

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
WIDEST_FIRST = ("org", "team", "member", "user", "key", "tag")
Name = tuple[int, ...]
Booked = dict[str, JournalPosition]  # by process
ENDED = (1 << 20, 0)  # the journal of a dead process is booked beyond its end


def window_name(window: Window, at_us: int) -> Name | None:
    """The calendar's own name of the window that holds a time; later windows have greater names."""
    if window.kind == "fixed":
        return (0,) if window.starts_at <= at_us < window.ends_at else None
    if window.kind == "period":
        return ((at_us - window.starts_at) // (window.period_s * 1_000_000),)
    local = (EPOCH + timedelta(microseconds=at_us)).astimezone(ZoneInfo(window.time_zone))
    if window.kind == "week":
        return tuple(local.isocalendar()[:2])
    return (local.year, local.month, local.day) if window.kind == "day" else (local.year, local.month)


@dataclass
class ModelCall:
    demand: Demand
    admitted_at: int
    at: Fraction
    process: str
    tokens: int
    cost: int = 0
    position: JournalPosition | None = None
    restarts: int = 0
    is_open: bool = True
    is_released: bool = False

    def comes_under(self, one: Budget | RateLimit) -> bool:
        return one.scope in self.demand.scopes and one.model in ("", self.demand.model)


@dataclass
class Read:
    """What the ledger said, and of which budgets the first window it spoke of."""

    spent: tuple[Spent, ...]
    booked: Booked
    first: dict[str, tuple[Budget, Name]]


@dataclass
class Model:
    budgets: tuple[Budget, ...] = ()
    limits: tuple[RateLimit, ...] = ()
    calls: list[ModelCall] = field(default_factory=list)
    processes: tuple[str, ...] = ("p",)
    restarts: int = 0
    journal: dict[str, list[JournalPosition]] = field(default_factory=dict)
    drained: Booked = field(default_factory=dict)
    newest_read: Booked = field(default_factory=dict)
    reads: dict[str, list[tuple[Name, Booked]]] = field(default_factory=dict)
    forgotten: dict[str, set[Name]] = field(default_factory=dict)  # windows that an engine says it must ask for again

    # What happens.

    def configure(self, budgets: tuple[Budget, ...], limits: tuple[RateLimit, ...]) -> None:
        before = {budget.id: budget for budget in self.budgets}
        self.reads = {
            budget.id: self.reads.get(budget.id, [])
            for budget in budgets
            if budget.id in before and counts_same(budget, before[budget.id])
        }
        self.forgotten = {budget_id: names for budget_id, names in self.forgotten.items() if budget_id in self.reads}
        self.budgets, self.limits = budgets, limits

    def append(self, call: ModelCall, cost: int) -> None:
        """The settled record is in the journal; a segment takes four records."""
        journal = self.journal.setdefault(call.process, [])
        number = len(journal)
        call.position = (1 + number // 4, 100 + 100 * (number % 4))
        call.cost = cost
        journal.append(call.position)

    def drain(self, records: int) -> None:
        for process in self.processes:
            drained = self.drained.get(process, (0, 0))
            waiting = [position for position in self.journal.get(process, []) if position > drained][:records]
            self.drained[process] = waiting[-1] if waiting else drained

    def read(self, budgets: tuple[Budget, ...], now_us: int) -> Read:
        """One consistent read of the ledger: the window of now, and later ones with something in them."""
        spent: list[Spent] = []
        first: dict[str, tuple[Budget, Name]] = {}
        for budget in budgets:
            name = window_name(budget.window, now_us)
            if name is None:
                continue
            first[budget.id] = budget, name
            starts = {name: start_of(budget.window, now_us)}
            for call in self.calls:
                later = window_name(budget.window, call.admitted_at)
                if self._is_in_ledger(call) and call.comes_under(budget) and later and later > name:
                    starts[later] = start_of(budget.window, call.admitted_at)
            for one, starts_at in starts.items():
                inside = [call for call in self._under(budget, one) if self._is_in_ledger(call)]
                spent.append(Spent(budget, starts_at, sum(call.cost for call in inside)))
        booked = dict.fromkeys(self.processes, (0, 0)) | self.drained
        return Read(tuple(spent), booked, first)

    def load(self, read: Read) -> None:
        if any(read.booked.get(process, (0, 0)) < position for process, position in self.newest_read.items()):
            return
        self.newest_read = read.booked
        in_force = {budget.id: budget for budget in self.budgets}
        for budget_id, (budget, name) in read.first.items():
            if budget_id in in_force and counts_same(budget, in_force[budget_id]):
                self.reads.setdefault(budget_id, []).append((name, read.booked))
                self.forgotten[budget_id] = {one for one in self.forgotten.get(budget_id, ()) if one < name}

    def end(self, process: str) -> None:
        """A process dies; all its journal is booked, and what it left open at its bound."""
        for call in self.calls:
            if call.process == process and call.is_open:
                call.is_open = False
                if call.position is None:
                    call.cost, call.position = call.demand.bound_nanousd, ENDED
        self.drained[process] = ENDED

    def restart(self, processes: tuple[str, ...]) -> None:
        """Everything dies, and the counts with it."""
        for process in self.processes:
            self.end(process)
        self.processes = processes
        self.restarts += 1
        self.newest_read, self.reads, self.forgotten = {}, {}, {}

    # What must be true then.

    def is_loaded(self, budget: Budget, now_us: int) -> bool:
        name = window_name(budget.window, now_us)
        if name is None or name in self.forgotten.get(budget.id, ()):
            return False
        return any(first <= name for first, _ in self.reads.get(budget.id, []))

    def spent(self, budget: Budget, now_us: int) -> int:
        """Of a loaded budget. An open call whose record the ledger showed already is spent, and reserved too."""
        name = window_name(budget.window, now_us)
        assert name is not None
        shown: Booked = {}  # of the last read that spoke of it: it reaches the furthest
        for first, booked in self.reads.get(budget.id, []):
            shown = booked if first <= name else shown
        return sum(
            call.cost
            for call in self._under(budget, name)
            if not call.is_open or (call.position is not None and call.position <= shown.get(call.process, (0, 0)))
        )

    def reserved(self, budget: Budget, now_us: int) -> int:
        name = window_name(budget.window, now_us)
        open_calls = [call for call in self._under(budget, name) if call.is_open]
        return sum(call.demand.bound_nanousd if budget.is_hard else call.demand.estimate_nanousd for call in open_calls)

    def ceiling(self, budget: Budget, now_us: int) -> int:
        credit = budget.credit_nanousd if budget.credit_from == start_of(budget.window, now_us) else 0
        return budget.amount_nanousd + credit + (budget.increase_nanousd if now_us < budget.increase_until else 0)

    def room(self, budget: Budget, now_us: int) -> int:
        return self.ceiling(budget, now_us) - self.spent(budget, now_us) - self.reserved(budget, now_us)

    def passed(self, demand: Demand, loaded: set[str], now_us: int) -> list[tuple[str, int, int]]:
        """By id: the budgets of which a step is due, what is spent of them without credit, and what that is of."""
        found = []
        for budget in self.budgets:
            if budget.id not in loaded or budget.scope not in demand.scopes or budget.model not in ("", demand.model):
                continue
            credit = budget.credit_nanousd if budget.credit_from == start_of(budget.window, now_us) else 0
            spent = max(self.spent(budget, now_us) - credit, 0)
            whole = self.ceiling(budget, now_us) - credit
            if any(Fraction(spent) >= Fraction(step.at_percent, 100) * whole for step in budget.steps):
                found.append((budget.id, spent, whole))
        return sorted(found)

    def hard_budgets(self, demand: Demand, now_us: int) -> list[Budget]:
        """Those that the demand comes under in this moment, the widest first."""
        found = [
            budget
            for budget in self.budgets
            if budget.is_hard
            and budget.scope in demand.scopes
            and budget.model in ("", demand.model)
            and window_name(budget.window, now_us) is not None
        ]
        return sorted(found, key=lambda budget: (WIDEST_FIRST.index(budget.scope.kind), budget.id))

    def fits(self, limit: RateLimit, kind: str, demand: Demand, at: Fraction) -> bool:
        mine = [call for call in self.calls if call.comes_under(limit) and not self.is_forgotten(call)]
        minute = [call for call in mine if call.at > at - 60]
        if kind == "requests":
            return limit.requests_per_minute is None or len(minute) < limit.requests_per_minute
        if kind == "parallel":
            return limit.parallel is None or sum(call.is_open for call in mine) < limit.parallel
        allowed = limit.tokens_per_minute
        if allowed is None:
            return True
        return allowed > 0 and sum(call.tokens for call in minute) + min(demand.tokens, allowed) <= allowed

    def waits(self, demand: Demand, at: Fraction) -> dict[tuple[str, str], int]:
        """By limit and kind that hold the demand up: the whole seconds after which it passes, 60 if not before."""
        waits: dict[tuple[str, str], int] = {}
        for limit in self.limits:
            if limit.scope not in demand.scopes or limit.model not in ("", demand.model):
                continue
            for kind in ("requests", "tokens", "parallel"):
                if not self.fits(limit, kind, demand, at):
                    later = (n for n in range(1, 60) if self.fits(limit, kind, demand, at + n))
                    waits[limit.id, kind] = 1 if kind == "parallel" else next(later, 60)
        return waits

    def _under(self, budget: Budget, name: Name | None) -> list[ModelCall]:
        return [
            call
            for call in self.calls
            if call.comes_under(budget) and window_name(budget.window, call.admitted_at) == name
        ]

    def _is_in_ledger(self, call: ModelCall) -> bool:
        return call.position is not None and call.position <= self.drained.get(call.process, (0, 0))

    def is_forgotten(self, call: ModelCall) -> bool:
        """Limits begin anew when everything dies."""
        return call.restarts < self.restarts


def counts_same(one: Budget, other: Budget) -> bool:
    return (one.scope, one.model, one.window) == (other.scope, other.model, other.window)


def start_of(window: Window, at_us: int) -> int:
    span = span_at(window, at_us)
    assert span is not None
    return span.starts_at
