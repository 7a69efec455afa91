"""One rate limit: an exact window that slides over the last minute, and slots for parallel calls.

Every call counts from its admission for 60 seconds of the monotonic clock, so no interval of 60 seconds holds more than
the limit, wherever it begins. Times are monotonic microseconds.
"""

from collections import deque
from typing import Protocol

from sekisho.ledger.counters import LimitKind
from sekisho.values import RateLimit

MINUTE_US = 60_000_000
_NO_LIMIT = 1 << 62
_PARALLEL_WAIT_US = 1_000_000


class Counted(Protocol):
    """A call in the window: when it was admitted, and the tokens it reserved or, once settled, used."""

    at_us: int
    tokens: int


class LimitCounter:
    """Counts for one limit. The engine adds a call when it is admitted and drops it, oldest first, a minute later."""

    __slots__ = ("calls", "limit", "open", "parallel", "requests_per_minute", "tokens", "tokens_per_minute")

    def __init__(self, limit: RateLimit) -> None:
        self.limit = limit
        self.requests_per_minute = _or_no_limit(limit.requests_per_minute)
        self.tokens_per_minute = _or_no_limit(limit.tokens_per_minute)
        self.parallel = _or_no_limit(limit.parallel)
        self.calls: deque[Counted] = deque()
        self.tokens = 0  # the sum over `calls`
        self.open = 0

    def takes(self, tokens: int) -> bool:
        """Whether a call fits that wants so many tokens. One that is larger than the limit fits an idle minute."""
        limit = self.tokens_per_minute
        return (
            len(self.calls) < self.requests_per_minute
            and self.open < self.parallel
            and self.tokens + (tokens if tokens < limit else limit) <= limit
            and limit > 0  # else everything would be larger than the limit, and fit
        )

    def wait(self, tokens: int, now_us: int) -> tuple[int, LimitKind]:
        """How long until the call fits that does not fit now, if nothing else happens, and what holds it up longest.

        Unit: microseconds. A limit of nothing is waited for a minute; a slot for a second."""
        waits: list[tuple[int, LimitKind]] = []
        if len(self.calls) >= self.requests_per_minute:
            waits.append((self._until_requests_fit(now_us), "requests"))
        needed = min(tokens, self.tokens_per_minute)
        if self.tokens + needed > self.tokens_per_minute or self.tokens_per_minute == 0:
            waits.append((self._until_tokens_fit(needed, now_us), "tokens"))
        if self.open >= self.parallel:
            waits.append((_PARALLEL_WAIT_US, "parallel"))
        return max(waits, key=lambda wait: wait[0])

    def _until_requests_fit(self, now_us: int) -> int:
        if self.requests_per_minute == 0:
            return MINUTE_US
        last_in_the_way = self.calls[len(self.calls) - self.requests_per_minute]
        return last_in_the_way.at_us + MINUTE_US - now_us

    def _until_tokens_fit(self, needed: int, now_us: int) -> int:
        if self.tokens_per_minute == 0:
            return MINUTE_US
        excess = self.tokens + needed - self.tokens_per_minute
        calls = iter(self.calls)
        while excess > 0:
            call = next(calls)
            excess -= call.tokens
        return call.at_us + MINUTE_US - now_us


def _or_no_limit(limit: int | None) -> int:
    return _NO_LIMIT if limit is None else limit
