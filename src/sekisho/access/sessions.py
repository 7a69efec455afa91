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

    async def add_code(
        self, org_id: str, digest: bytes, by: str, now_us: int, expires_at: int, user_id: str = ""
    ) -> None:
        """Keep a code; the session that it opens is this user's, with an empty id the operator's."""
        ...

    async def redeem(self, org_id: str, code: bytes, session: bytes, now_us: int, expires_at: int) -> bool:
        """Swap a code that is still good for a session, once. False: nothing was changed."""
        ...

    async def user_of(self, org_id: str, session: bytes, now_us: int) -> str | None:
        """Whose session it is, empty for the operator's; None when it does not exist or has expired."""
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

    async def issue_code(self, by: str, user_id: str = "") -> str:
        """A code that opens one session within ten minutes: this user's, with an empty id the operator's."""
        code = secrets.token_urlsafe(24)
        now_us = self._clock.now_us()
        known = self._digest("code", code)
        await self._store.add_code(self._org_id, known, by, now_us, now_us + CODE_LIFE_US, user_id)
        return code

    async def redeem(self, code: str) -> str | None:
        """The cookie of a new session; None for a code that is unknown, used or too old."""
        now_us = self._clock.now_us()
        cookie = secrets.token_urlsafe(32)
        opened = await self._store.redeem(
            self._org_id, self._digest("code", code), self._digest("session", cookie), now_us, now_us + SESSION_LIFE_US
        )
        return cookie if opened else None

    async def user_of(self, cookie: str) -> str | None:
        """Whose open session this cookie belongs to, empty for the operator's; None for none."""
        return await self._store.user_of(self._org_id, self._digest("session", cookie), self._clock.now_us())

    async def end(self, cookie: str) -> None:
        """Close the session."""
        await self._store.end(self._org_id, self._digest("session", cookie), self._clock.now_us())

    def _digest(self, purpose: str, secret: str) -> bytes:
        return digest(self._pepper, f"{purpose}:{secret}")
