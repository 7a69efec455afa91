"""What every counter engine promises: admit a call against all its budgets and limits in one atomic step, or not.

Above: the admit stage. Below: the engines in `store/counters`. Money is integer nano-USD, times are microseconds.
A hard budget admits a call only if `spent + reserved + bound <= amount`; what is reserved is corrected to what was
spent when the call is settled. A call belongs to the windows in which it was admitted, however long it takes.

Each nano-USD is counted once, however booking, settling and loading interleave. What makes it so:

- The ledger puts a call into the windows of its `Admitted.admitted_at`, as the engine does.
- The engine learns of a settlement together with the place of its record in the process's journal (`settle`).
- A ledger read says how far that journal is booked in it (`load`): neither less nor more than its sums hold.

So a settled call is either before that place, and in the sums, or behind it, and the engine adds it; never both, never
neither. The engine keeps settled calls until a read says that the ledger has them.
"""

import asyncio
from collections.abc import Mapping
from typing import Literal, Protocol

import msgspec

from sekisho.values import Budget, BudgetStep, RateLimit, Scope

LimitKind = Literal["requests", "tokens", "parallel"]

JournalPosition = tuple[int, int]
"""A place in one process's journal: a segment's number and the offset right behind a record in it. Later is greater;
(0, 0) is before everything."""


class TaskDemand(msgspec.Struct, frozen=True):
    """The task that a call belongs to, and the limits that cap it: what it may cost, and how many calls it may make.

    `id`: what its calls are counted under. `is_new`: no call of it can have been counted."""

    id: bytes
    cost: RateLimit | None = None
    calls: RateLimit | None = None
    is_new: bool = False


class Demand(msgspec.Struct, frozen=True):
    """What a call asks for; no two demands have the same `call_id`. `bound_nanousd` is the most it can cost, what hard
    budgets reserve; `estimate_nanousd` what soft ones do; `tokens` what it may use of token limits.

    `heeds_steps`: whoever asks will act on a `Due` first. Without it the steps of budgets mean nothing."""

    call_id: bytes
    scopes: tuple[Scope, ...]
    model: str
    bound_nanousd: int
    estimate_nanousd: int
    tokens: int
    heeds_steps: bool = False
    task: TaskDemand | None = None


class Admitted(msgspec.Struct, frozen=True, tag=True):
    """The call holds its reservations. `admitted_at`: the wall-clock time that chose the windows; the journal must keep
    it. `least_room_nanousd`: what the tightest hard budget has left beside them, or None without hard budgets."""

    admitted_at: int
    least_room_nanousd: int | None = None


class NoRoom(msgspec.Struct, frozen=True, tag=True):
    """A hard budget has too little room, `room_nanousd` (not below 0). Nothing is held. `resets_at`: when its window
    ends; None: never.

    Of several the one with the least room; then the widest scope (org, team, member, user, key, tag); then by id."""

    budget: Budget
    room_nanousd: int
    resets_at: int | None


class TooFast(msgspec.Struct, frozen=True, tag=True):
    """A limit is reached. Nothing is held. Of several limits the one that takes longest.

    `retry_after_s`: the least whole number of seconds after which the same call passes if nothing else happens. Always
    1 for parallel calls; 59 stands for 60 too, because most agents ignore 60 and more."""

    limit: RateLimit
    kind: LimitKind
    retry_after_s: int


class NotLoaded(msgspec.Struct, frozen=True, tag=True):
    """What was spent in a hard budget's window is not known (yet). Nothing is held. Ask the ledger, then `load`."""

    budget: Budget


class TaskFull(msgspec.Struct, frozen=True, tag=True):
    """The call's task has reached its cap: of cost, with `room_nanousd` left, or of calls. Nothing is held."""

    limit: RateLimit
    kind: Literal["cost", "calls"]
    room_nanousd: int = 0


class TaskNotLoaded(msgspec.Struct, frozen=True, tag=True):
    """What a task has cost is not known here. Nothing is held. Ask the ledger, then `load_task`."""

    task_id: bytes


class Passed(msgspec.Struct, frozen=True):
    """A budget of which so much is spent (not: reserved) that one of its steps is due. `ceiling_nanousd`: the amount
    with its increase. What was given back is not in `spent_nanousd`. `resets_at`: as in `NoRoom`."""

    budget: Budget
    spent_nanousd: int
    ceiling_nanousd: int
    resets_at: int | None

    def due(self) -> tuple[BudgetStep, ...]:
        """The steps that are due."""
        spent, ceiling = self.spent_nanousd * 100, self.ceiling_nanousd
        return tuple(step for step in self.budget.steps if spent >= step.at_percent * ceiling)


class Due(msgspec.Struct, frozen=True, tag=True):
    """Budgets, hard or soft, that are loaded have steps that are due. Nothing is held: act on them, then ask again
    without `heeds_steps`. Comes before every other verdict. By id of the budget."""

    passed: tuple[Passed, ...]


Verdict = Admitted | NoRoom | TooFast | NotLoaded | Due | TaskFull | TaskNotLoaded


class LimitUse(msgspec.Struct, frozen=True):
    """How much of a limit is in use: calls and tokens of the last minute, and calls under way; None for what it does
    not limit."""

    limit: RateLimit
    requests: int | None
    tokens: int | None
    parallel: int | None

    @classmethod
    def of(cls, limit: RateLimit, requests: int, tokens: int, parallel: int) -> "LimitUse":
        """The use of this limit, of what it limits."""
        return cls(
            limit,
            None if limit.requests_per_minute is None else requests,
            None if limit.tokens_per_minute is None else tokens,
            None if limit.parallel is None else parallel,
        )


class Look(msgspec.Struct, frozen=True):
    """What counters say of a call that nobody makes; `verdict` None: they cannot be asked now."""

    verdict: Verdict | None = None
    uses: tuple[LimitUse, ...] = ()


class Spent(msgspec.Struct, frozen=True):
    """What the ledger says of one window of one budget, as that budget was defined when the ledger was asked.

    `spent_nanousd`: settled calls at their cost, and the open calls of other lives of the process at their bound."""

    budget: Budget
    window_starts_at: int
    spent_nanousd: int


class Standing(msgspec.Struct, frozen=True):
    """Where a budget stands now. The figures mean nothing while it is not loaded."""

    budget: Budget
    window_starts_at: int
    window_ends_at: int
    spent_nanousd: int
    reserved_nanousd: int
    is_loaded: bool


class OpenCall(msgspec.Struct, frozen=True):
    """A call that the ledger has opened and not settled: who admitted it, when, and the bound that it may cost."""

    call_id: bytes
    process: str
    admitted_at: int
    bound_nanousd: int
    model: str
    scopes: tuple[Scope, ...]


class LoadTicket(msgspec.Struct, frozen=True):
    """Leave to load shared counters from a ledger read that is made now.

    `data` and `loads` name the state of the counters that it is for. `is_lost`: they hold nothing, so what they
    admitted before may be on its way to the journal still."""

    data: bytes
    loads: int
    is_lost: bool


class Counters(Protocol):
    """One engine. `settle` and `release` are idempotent by call id and never fail for an unknown one.

    `admission_valid_us`: how long after it was asked for an admission holds. A call whose open record is not durable
    by then must not be sent: counters that were lost in between may not know of it."""

    admission_valid_us: int
    are_shared: bool
    """Whether several processes count here: then only what all of them know a task by will do."""

    @property
    def failure(self) -> str:
        """Why nothing can be counted now; empty while all is well."""
        ...

    async def configure(self, budgets: tuple[Budget, ...], limits: tuple[RateLimit, ...], epoch: int = 0) -> None:
        """Put budgets and limits in force, in place of all before. `epoch`: of the snapshot that says so.

        A budget with the id, scope, model and window of one before keeps its counts, whatever else changed; any other
        is new and not loaded. Open calls keep what they hold, and hold in new budgets of their scopes too. A limit
        counts the calls of the last minute from before it was in force."""
        ...

    async def load(self, spent: tuple[Spent, ...], booked: JournalPosition) -> None:
        """Say what the ledger holds, from one consistent read, and how far this process's journal is booked in it.

        Name for a budget the window that is wanted (`standings` says which), and every later one in which the ledger
        has anything: the others from there on count as empty. What an earlier read said is replaced. A read that is
        behind one before changes nothing; so does what it says of a budget that is defined otherwise by now. A read
        that names nothing still lets the engine forget the settled calls that are booked in it."""
        ...

    async def admit(self, demand: Demand) -> Verdict:
        """Hold everything the call needs, or nothing. What is certain comes first: Due, NoRoom, NotLoaded,
        TaskFull, TaskNotLoaded, TooFast."""
        ...

    async def load_task(self, task_id: bytes, spent_nanousd: int, calls: int) -> None:
        """Say what the ledger holds of a task: settled calls at their cost, open ones at their bound. Changes nothing
        for a task that is known. Raises StoreUnavailable."""
        ...

    def admit_at_once(self, demand: Demand) -> Verdict | None:
        """As `admit`, for an engine that need not wait: to await what is there costs half a microsecond. None from one
        that must, and nothing is held."""
        ...

    async def settle(self, call_id: bytes, cost_nanousd: int, tokens: int, position: JournalPosition) -> None:
        """Turn what the call holds into what it spent, in the windows that admitted it. Its slots are free again.

        `position`: where its settled record ends in the journal. `tokens`: what it really used. A call whose record
        could not be written is not settled: it goes on holding its bound, at which the ledger will book it."""
        ...

    def settle_at_once(self, call_id: bytes, cost_nanousd: int, tokens: int, position: JournalPosition) -> bool:
        """As `settle`, for an engine that need not wait; False from one that must, and nothing has happened."""
        ...

    async def release(self, call_id: bytes) -> None:
        """Give back all that a call holds which was admitted but is in no journal. Its request stays counted."""
        ...

    async def look(self, demand: Demand) -> Look:
        """What `admit` would say now, and how much is in use of the limits that the call comes under. Nothing is
        held."""
        ...

    async def standings(self) -> tuple[Standing, ...]:
        """Every budget, as it stands in its window of now. A fixed one is left out before and after its window."""
        ...


class SharedCounters(Counters, Protocol):
    """Counters that several processes share, and that can be lost while they live."""

    load_wanted: asyncio.Event
    """Set when a read of the ledger is wanted at once."""

    async def begin_load(self, *, is_urgent: bool = False) -> LoadTicket | None:
        """Leave to read the ledger now; None when another process does it or has just done it.

        Raises StoreUnavailable."""
        ...

    async def load_ledger(
        self,
        spent: tuple[Spent, ...],
        booked: Mapping[str, JournalPosition | None],
        open_calls: tuple[OpenCall, ...],
        ticket: LoadTicket,
    ) -> bool:
        """Put in one consistent read of the ledger, made after `ticket` was given; whether it was taken.

        `booked`: how far the journal of each process is in it, None for one that has ended. Raises StoreUnavailable.
        When the ticket says that the counters are lost, the read must hold every open record that was durable
        `admission_valid_us` after it was given."""
        ...

    async def forget(self) -> None:
        """Take what is counted for lost, so that it is read from the ledger. Raises StoreUnavailable."""
        ...

    async def sweep(self) -> None:
        """Remove what earlier lives of the data have left. Raises StoreUnavailable."""
        ...
