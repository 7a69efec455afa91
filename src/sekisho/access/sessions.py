"""Sessions of people in the console: a one-time code from the command line becomes a cookie.

Codes and cookies are kept as digests only.
"""

import secrets
from typing import Protocol

from sekisho.access.keys import digest
from sekisho.clock import Clock

CODE_LIFE_US = 10 * 60 * 1_000_000
SESSION_LIFE_US = 12 * 3600 * 1_000_000


class SessionStore(Protocol):
    """Where digests of codes and sessions are kept. Raises StoreUnavailable."""

    async def add_code(self, org_id: str, digest: bytes, by: str, now_us: int, expires_at: int) -> None:
        """Keep a code."""
        ...

    async def redeem(self, org_id: str, code: bytes, session: bytes, now_us: int, expires_at: int) -> bool:
        """Swap a code that is still good for a session, once. False: nothing was changed."""
        ...

    async def is_live(self, org_id: str, session: bytes, now_us: int) -> bool:
        """Whether the session exists and has not expired."""
        ...

    async def end(self, org_id: str, session: bytes, now_us: int) -> None:
        """Forget a session."""
        ...


class Sessions:
    """Lets people into the console."""

    def __init__(self, store: SessionStore, pepper: bytes, org_id: str, clock: Clock) -> None:
        self._store = store
        self._pepper = pepper
        self._org_id = org_id
        self._clock = clock

    async def issue_code(self, by: str) -> str:
        """A code that opens one session within ten minutes."""
        code = secrets.token_urlsafe(24)
        now_us = self._clock.now_us()
        await self._store.add_code(self._org_id, self._digest("code", code), by, now_us, now_us + CODE_LIFE_US)
        return code

    async def redeem(self, code: str) -> str | None:
        """The cookie of a new session; None for a code that is unknown, used or too old."""
        now_us = self._clock.now_us()
        cookie = secrets.token_urlsafe(32)
        opened = await self._store.redeem(
            self._org_id, self._digest("code", code), self._digest("session", cookie), now_us, now_us + SESSION_LIFE_US
        )
        return cookie if opened else None

    async def is_live(self, cookie: str) -> bool:
        """Whether this cookie belongs to a session that is open."""
        return await self._store.is_live(self._org_id, self._digest("session", cookie), self._clock.now_us())

    async def end(self, cookie: str) -> None:
        """Close the session."""
        await self._store.end(self._org_id, self._digest("session", cookie), self._clock.now_us())

    def _digest(self, purpose: str, secret: str) -> bytes:
        return digest(self._pepper, f"{purpose}:{secret}")
