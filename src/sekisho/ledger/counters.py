"""What every counter engine promises: admit a call against all its budgets and limits in one step, or not at all.

Above: the admit stage. Below: the engines in `store/counters`. Money is integer nano-USD, times are microseconds.
A hard budget holds `spent + reserved + bound <= amount` at every moment; what is reserved is corrected to what was
spent when the call is settled. A call belongs to the windows in which it was admitted, however long it takes.
"""

from typing import Literal, Protocol

import msgspec

from sekisho.values import Budget, RateLimit, Scope

LimitKind = Literal["requests", "tokens", "parallel"]


class Demand(msgspec.Struct, frozen=True):
    """What a call asks for. `bound_nanousd` is the most it can cost; `estimate_nanousd` what soft budgets reserve;
    `tokens` what it may use of token limits."""

    call_id: bytes
    scopes: tuple[Scope, ...]
    model: str
    bound_nanousd: int
    estimate_nanousd: int
    tokens: int


class Admitted(msgspec.Struct, frozen=True):
    """The call holds its reservations. `least_room_nanousd`: what the tightest hard budget has left beside them, or
    None without hard budgets."""

    least_room_nanousd: int | None = None


class NoRoom(msgspec.Struct, frozen=True):
    """A hard budget has too little room. Nothing is held. `resets_at` None: never."""

    budget: Budget
    room_nanousd: int
    resets_at: int | None


class TooFast(msgspec.Struct, frozen=True):
    """A limit is reached. Nothing is held. `retry_after_s` is when the same call will pass, if nobody else calls."""

    limit: RateLimit
    kind: LimitKind
    retry_after_s: int


class NotLoaded(msgspec.Struct, frozen=True):
    """What was spent in a hard budget's window is not known yet. Nothing is held."""

    budget: Budget


Verdict = Admitted | NoRoom | TooFast | NotLoaded


class Spent(msgspec.Struct, frozen=True, array_like=True):
    """What the ledger says of one budget's window. `reserved_nanousd`: calls of other lives that are still open."""

    budget_id: str
    window_starts_at: int
    spent_nanousd: int


class Standing(msgspec.Struct, frozen=True):
    """Where a budget stands now."""

    budget: Budget
    window_starts_at: int
    window_ends_at: int
    spent_nanousd: int
    reserved_nanousd: int
    is_loaded: bool


class Counters(Protocol):
    """One engine. `settle` and `release` are idempotent by call id and never fail for an unknown one."""

    async def configure(self, budgets: tuple[Budget, ...], limits: tuple[RateLimit, ...]) -> None:
        """Put budgets and limits in force. What is known of those that stay is kept; new ones are not loaded yet.

        Calls that are open keep what they hold, and reserve in new budgets of their scopes too."""
        ...

    async def load(self, spent: tuple[Spent, ...], settled_since: dict[bytes, int]) -> None:
        """Say what the ledger has booked. `settled_since`: costs, by call id, of calls settled here that the ledger had
        not booked yet when it was asked."""
        ...

    async def admit(self, demand: Demand) -> Verdict:
        """Hold everything the call needs, or nothing."""
        ...

    async def settle(self, call_id: bytes, cost_nanousd: int, tokens: int) -> None:
        """Turn what the call holds into what it spent. `tokens` corrects token limits; slots are released."""
        ...

    async def standings(self) -> tuple[Standing, ...]:
        """Every budget, as it stands in its window of now."""
        ...
