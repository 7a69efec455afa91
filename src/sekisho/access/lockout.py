"""Slows guessing down: after some failures each further attempt must wait, twice as long each time.

Counters, so that one person's attacker is not another's lock-out (docs/why/sign-in.md):
- `device`: a browser in which this account has signed in before, for this account. Only its own failures count.
- `account`: everybody else who tries this account.
- `address`: everybody else who tries from this address, whatever the account. Many may share one, so it forgets a
  failure every quarter of an hour, and takes good attempts back.
- `user_code`: somebody who has signed in and tries the short codes of command lines. Good tries do not clear it, since
  everybody can have a good code of their own; it forgets like an address.

An attempt is counted before it is judged, so that many at once gain nothing. Below: a `LockoutStore`.
"""

from collections.abc import Mapping
from typing import Literal, Protocol

import msgspec

from sekisho.access.addresses import network_of
from sekisho.clock import Clock

Counter = Literal["device", "account", "address", "user_code"]
_LASTING: tuple[Counter, ...] = ("address", "user_code")  # good attempts do not clear them
MOST_WAIT_S = 900
LEAK_US = MOST_WAIT_S * 1_000_000  # as slow as guesses that wait the longest
FORGET_US = 24 * 3600 * 1_000_000
FREE: dict[Counter, int] = {"device": 5, "account": 5, "address": 20, "user_code": 5}


class Guess(msgspec.Struct, frozen=True):
    """One counter of one attempt."""

    counter: Counter
    name: str

    @property
    def key(self) -> str:
        return f"{self.counter}:{self.name}"


class Failures(msgspec.Struct, frozen=True):
    """How often a counter has failed since it last succeeded, and until when it waits. `failed_at`: when last; where
    failures last, until when they have been forgotten."""

    count: int = 0
    wait_until: int = 0
    failed_at: int = 0


class Standing(msgspec.Struct, frozen=True):
    """May an attempt be made? `wait_s`: seconds that must pass first, 0 for none. `next_wait_s`: seconds to wait after
    it, should it fail. `at`: when it was counted."""

    wait_s: int = 0
    next_wait_s: int = 0
    at: int = 0


class LockoutStore(Protocol):
    """Where failures are kept, for all replicas. Raises StoreUnavailable."""

    async def attempt(self, org_id: str, guesses: tuple[Guess, ...], now_us: int) -> Standing:
        """Count an attempt on every counter, by `judge`, unless one of them waits; then nothing is counted."""
        ...

    async def clear(self, org_id: str, guesses: tuple[Guess, ...], now_us: int) -> None:
        """Forget these counters."""
        ...

    async def take_back(self, org_id: str, guesses: tuple[Guess, ...], until_us: int) -> None:
        """Count one attempt less on these counters, and let them no longer wait, unless for longer than that."""
        ...


class Lockout:
    """Asks before each attempt, and forgets after a good one."""

    def __init__(self, store: LockoutStore, org_id: str, clock: Clock) -> None:
        self._store = store
        self._org_id = org_id
        self._clock = clock

    async def attempt(self, guesses: tuple[Guess, ...]) -> Standing:
        """Count an attempt, unless it must wait."""
        return await self._store.attempt(self._org_id, guesses, self._clock.now_us())

    async def succeeded(self, guesses: tuple[Guess, ...], standing: Standing) -> None:
        """Forget the failures of the account and the device. Those of an address stay: it may belong to many."""
        await self.forget(tuple(one for one in guesses if one.counter not in _LASTING))
        await self.was_good(guesses, standing)

    async def was_good(self, guesses: tuple[Guess, ...], standing: Standing) -> None:
        """An attempt that has not failed, though it opens nothing yet, does not count where failures last."""
        until_us = standing.at + standing.next_wait_s * 1_000_000
        lasting = tuple(one for one in guesses if one.counter in _LASTING)
        if lasting:
            await self._store.take_back(self._org_id, lasting, until_us)

    async def forget(self, guesses: tuple[Guess, ...]) -> None:
        """Forget all failures of these."""
        await self._store.clear(self._org_id, guesses, self._clock.now_us())


def guesses_of(account: str, address: str, device: str) -> tuple[Guess, ...]:
    """The counters of an attempt. `device`: the name of a browser that this account is known in, else empty."""
    if device:
        return (Guess("device", f"{device}:{account}"),)
    return (Guess("account", account), Guess("address", network_of(address)))


def after_attempt(counter: Counter, before: Failures, now_us: int) -> Failures:
    """The counter with one failure more. Old failures are forgotten after a day of silence."""
    count, failed_at = 0 if now_us - before.failed_at > FORGET_US else before.count, now_us
    if counter in _LASTING and count:
        forgotten = max(now_us - before.failed_at, 0) // LEAK_US
        count, failed_at = max(count - forgotten, 0), before.failed_at + forgotten * LEAK_US
    count += 1
    over = count - FREE[counter]
    wait_s = min(2 ** min(over, 30), MOST_WAIT_S) if over >= 0 else 0
    return Failures(count, now_us + wait_s * 1_000_000, failed_at)


def judge(before: Mapping[Guess, Failures], now_us: int) -> tuple[Standing, Mapping[Guess, Failures]]:
    """Whether an attempt may be made, and the counters after it; none when it must wait."""
    if (wait_us := max(one.wait_until for one in before.values()) - now_us) > 0:
        return Standing(wait_s=-(-wait_us // 1_000_000)), {}
    after = {guess: after_attempt(guess.counter, one, now_us) for guess, one in before.items()}
    next_us = max(one.wait_until for one in after.values()) - now_us
    return Standing(next_wait_s=next_us // 1_000_000, at=now_us), after
