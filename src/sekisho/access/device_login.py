"""Signing the command line in (RFC 8628): it shows a short code, its person approves that in the console, and it gets a
personal access token.

Codes are kept as digests and live for ten minutes. Whoever asks without having signed in can begin only so many at
once: a thousand among 20^8 short codes, which only people who have signed in may try, each of them ever more
slowly. Below: a `DeviceLoginStore`.
"""

import secrets
from typing import Literal, Protocol

import msgspec

from sekisho.access.keys import digest
from sekisho.access.lockout import Guess, Lockout, Standing
from sekisho.access.roles import Principal
from sekisho.access.tokens import TokenRegister
from sekisho.clock import Clock
from sekisho.errors import NotFound, RateLimited

LIFE_US = 10 * 60 * 1_000_000
INTERVAL_S = 5
TOKEN_LIFE_US = 90 * 86_400 * 1_000_000
MOST_OPEN = 1_000
MOST_OF_NETWORK = 20
CLIENT_CHARACTERS = 100
_ALPHABET = "BCDFGHJKLMNPQRSTVWXZ"  # RFC 8628, 6.1: no vowels, so no words; 20^8 codes
_CODE_CHARACTERS = 8

State = Literal["pending", "approved", "denied", "used"]
Problem = Literal["authorization_pending", "slow_down", "access_denied", "expired_token"]


class DeviceLogin(msgspec.Struct, frozen=True):
    """A sign-in that a command line has begun. `client`: what it calls itself and where it runs, as it says."""

    digest: bytes
    user_code: bytes
    client: str
    address: str
    created_at: int
    expires_at: int
    polled_at: int = 0
    state: State = "pending"
    user_id: str = ""


class Begun(msgspec.Struct, frozen=True):
    """What the command line gets: the long code stays with it, the short one is shown."""

    device_code: str
    user_code: str
    expires_in_s: int
    interval_s: int

    def __repr__(self) -> str:
        return f"Begun({self.user_code}, ***)"


class Collected(msgspec.Struct, frozen=True):
    """What a question for the token gives: the raw token, or why there is none."""

    token: str = ""
    token_id: str = ""
    problem: Problem | None = None

    def __repr__(self) -> str:
        return f"Collected(***, {self.problem})"


class TooManyTries(RateLimited):
    """Too many short codes that do not exist were tried. `wait_s`: until the next try is judged."""

    def __init__(self, wait_s: int) -> None:
        super().__init__(retry_after_s=wait_s)
        self.wait_s = wait_s


class DeviceLoginStore(Protocol):
    """Where these are kept. Raises StoreUnavailable."""

    async def add(self, org_id: str, login: DeviceLogin, *, most: int, most_of_network: int) -> bool:
        """Keep a new one, clearing out what has expired; False when there are too many."""
        ...

    async def find(self, org_id: str, *, digest: bytes = b"", user_code: bytes = b"") -> DeviceLogin | None: ...

    async def polled(self, org_id: str, digest: bytes, now_us: int) -> None:
        """Note that the command line asked."""
        ...

    async def decide(self, org_id: str, user_code: bytes, state: State, user_id: str, by: str, now_us: int) -> bool:
        """Approve or deny one that is pending and has not expired; False for any other."""
        ...

    async def claim(self, org_id: str, digest: bytes, now_us: int) -> str | None:
        """Mark an approved one as used, once: whose it is. None: it was not to be had."""
        ...


class DeviceLogins:
    """Begins, shows, decides and collects the sign-ins of command lines in one organisation."""

    def __init__(
        self,
        store: DeviceLoginStore,
        tokens: TokenRegister,
        lockout: Lockout,
        pepper: bytes,
        org_id: str,
        clock: Clock,
    ) -> None:
        self._store = store
        self._tokens = tokens
        self._lockout = lockout
        self._pepper = pepper
        self._org_id = org_id
        self._clock = clock

    async def begin(self, client: str, address: str) -> Begun:
        """Begin a sign-in. Raises RateLimited when too many have begun and were not finished."""
        now_us = self._clock.now_us()
        device_code = secrets.token_urlsafe(32)
        user_code = "".join(secrets.choice(_ALPHABET) for _ in range(_CODE_CHARACTERS))
        login = DeviceLogin(
            self._digest("device", device_code),
            self._digest("user code", user_code),
            _printable(client),
            address[:64],
            now_us,
            now_us + LIFE_US,
        )
        if not await self._store.add(self._org_id, login, most=MOST_OPEN, most_of_network=MOST_OF_NETWORK):
            raise RateLimited("Too many sign-ins were begun and not finished. Wait some minutes.", retry_after_s=59)
        return Begun(device_code, f"{user_code[:4]}-{user_code[4:]}", LIFE_US // 1_000_000, INTERVAL_S)

    async def look(self, user_code: str, who: Principal) -> DeviceLogin:
        """The pending sign-in of a short code that this person has typed. Raises NotFound for every other,
        TooManyTries when this person's next try must wait."""
        tried = await self._try(who)
        found = await self._store.find(self._org_id, user_code=self._user_code(user_code))
        if found is None or found.state != "pending" or found.expires_at <= self._clock.now_us():
            raise NotFound("There is no such sign-in, or its time is over.")
        await self._lockout.was_good(*tried)
        return found

    async def decide(self, user_code: str, who: Principal, *, is_approved: bool) -> None:
        """Let the command line in as this person, or not. Raises NotFound, and TooManyTries when this
        person's next try must wait."""
        tried = await self._try(who)
        state: State = "approved" if is_approved else "denied"
        known = self._user_code(user_code)
        if not await self._store.decide(self._org_id, known, state, who.user_id, who.actor, self._clock.now_us()):
            raise NotFound("There is no such sign-in, or its time is over.")
        await self._lockout.was_good(*tried)

    async def collect(self, device_code: str) -> Collected:
        """The personal access token, once it is approved; made then and there, so that it is kept nowhere."""
        now_us = self._clock.now_us()
        known = self._digest("device", device_code)
        found = await self._store.find(self._org_id, digest=known)
        if found is None or found.expires_at <= now_us or found.state == "used":
            return Collected(problem="expired_token")
        if found.state == "denied":
            return Collected(problem="access_denied")
        if found.state == "pending":
            is_early = now_us - found.polled_at < (INTERVAL_S - 1) * 1_000_000
            await self._store.polled(self._org_id, known, now_us)
            return Collected(problem="slow_down" if is_early else "authorization_pending")
        user_id = await self._store.claim(self._org_id, known, now_us)
        if user_id is None:
            return Collected(problem="expired_token")
        name = f"sekisho login {found.client}".strip()
        made = await self._tokens.issue(user_id, f"user:{user_id}", name=name, expires_at=now_us + TOKEN_LIFE_US)
        return Collected(made.token, made.stored.id)

    async def _try(self, who: Principal) -> tuple[tuple[Guess, ...], Standing]:
        """Count a try of a short code, before it is judged."""
        guesses = (Guess("user_code", who.user_id),)
        standing = await self._lockout.attempt(guesses)
        if standing.wait_s:
            raise TooManyTries(standing.wait_s)
        return guesses, standing

    def _user_code(self, text: str) -> bytes:
        plain = "".join(one for one in text.upper() if one in _ALPHABET)
        return self._digest("user code", plain[: 2 * _CODE_CHARACTERS])

    def _digest(self, purpose: str, secret: str) -> bytes:
        return digest(self._pepper, f"{purpose}:{secret}")


def _printable(text: str) -> str:
    return "".join(one for one in text if one.isprintable())[:CLIENT_CHARACTERS]
