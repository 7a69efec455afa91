"""Sessions of people in the console: opened by a one-time code, a password or an identity provider, kept by a cookie.

Codes and cookies are kept as digests only. A session ends when nobody used it for a while, at its absolute age, when
its person or an administrator ends it, and with its user: every request asks again who the user is. Each sign-in makes
a new cookie, so that one planted beforehand opens nothing.
"""

import secrets
from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from sekisho.access.keys import digest
from sekisho.clock import Clock, id_text, new_id
from sekisho.errors import NotFound

CODE_LIFE_US = 10 * 60 * 1_000_000
INVITATION_LIFE_US = 72 * 3600 * 1_000_000
SESSION_LIFE_US = 12 * 3600 * 1_000_000
SESSION_IDLE_US = 3600 * 1_000_000
SEEN_EVERY_US = 60 * 1_000_000
AGENT_CHARACTERS = 200
ADDRESS_CHARACTERS = 64

Method = Literal["link", "password", "oidc"]


class Visitor(msgspec.Struct, frozen=True):
    """Where a sign-in comes from: the client's address, and what its browser calls itself."""

    address: str = ""
    agent: str = ""


NOWHERE = Visitor()


class Session(msgspec.Struct, frozen=True):
    """An open session. `user_id` is empty for the operator's. `method`: how its person signed in. `id_token`: that of
    the identity provider, sealed; empty for others."""

    id: str
    user_id: str
    method: Method
    created_at: int
    seen_at: int
    expires_at: int
    address: str = ""
    agent: str = ""
    id_token: bytes = b""

    def is_open(self, now_us: int, idle_us: int) -> bool:
        """Whether it has neither been left alone too long nor grown too old."""
        return now_us < min(self.expires_at, self.seen_at + idle_us)


class SessionStore(Protocol):
    """Where digests of codes and sessions are kept. Raises StoreUnavailable."""

    async def add_code(
        self, org_id: str, digest: bytes, by: str, now_us: int, expires_at: int, user_id: str = ""
    ) -> None:
        """Keep a code; the session that it opens is this user's, with an empty id the operator's. Of a user only the
        newest is good."""
        ...

    async def find_code(self, org_id: str, code: bytes, now_us: int) -> str | None:
        """Whose a code is that is still good; it stays so. None: there is none."""
        ...

    async def redeem(self, org_id: str, code: bytes, digest: bytes, session: Session) -> str | None:
        """Swap a code that is still good for a session, once: whose it is. None: nothing was changed."""
        ...

    async def add_session(self, org_id: str, digest: bytes, session: Session) -> None:
        """Open a session; clears out what has expired."""
        ...

    async def find_session(self, org_id: str, digest: bytes) -> Session | None: ...

    async def touch(self, org_id: str, digest: bytes, now_us: int) -> None:
        """Note that the session is in use."""
        ...

    async def list_sessions(self, org_id: str, user_id: str) -> list[Session]:
        """The sessions of a user that have not reached their age, newest first."""
        ...

    async def end(self, org_id: str, session: bytes, now_us: int) -> None:
        """Forget a session."""
        ...

    async def end_sessions(
        self, org_id: str, user_id: str, by: str, now_us: int, *, only: str = "", but: str = ""
    ) -> int:
        """End sessions of a user, by their ids: `only` this one, or all `but` that one; how many there were. With all
        of them end the codes that would open more."""
        ...


class Sessions:
    """Lets people into the console, and out again."""

    def __init__(
        self,
        store: SessionStore,
        pepper: bytes,
        org_id: str,
        clock: Clock,
        *,
        life_us: int = SESSION_LIFE_US,
        idle_us: int = SESSION_IDLE_US,
    ) -> None:
        self._store = store
        self._pepper = pepper
        self._org_id = org_id
        self._clock = clock
        self._life_us = life_us
        self._idle_us = idle_us

    async def issue_code(self, by: str, user_id: str = "", *, life_us: int = CODE_LIFE_US) -> str:
        """A code that opens one session within ten minutes: this user's, with an empty id the operator's."""
        code = secrets.token_urlsafe(24)
        now_us = self._clock.now_us()
        known = self._digest("code", code)
        await self._store.add_code(self._org_id, known, by, now_us, now_us + life_us, user_id)
        return code

    async def holder(self, code: str) -> str | None:
        """Whom a code would let in, empty for the operator; None for one that is unknown, used or too old."""
        return await self._store.find_code(self._org_id, self._digest("code", code), self._clock.now_us())

    async def redeem(self, code: str, visitor: Visitor = NOWHERE) -> str | None:
        """The cookie of a new session; None for a code that is unknown, used or too old. Asks for no second factor:
        that is for whoever lets people in (`Accounts.beside_link`)."""
        cookie = secrets.token_urlsafe(32)
        session = self._new("", "link", visitor, b"")
        found = await self._store.redeem(
            self._org_id, self._digest("code", code), self._digest("session", cookie), session
        )
        return None if found is None else cookie

    async def open(self, user_id: str, method: Method, visitor: Visitor = NOWHERE, id_token: bytes = b"") -> str:
        """The cookie of a new session of somebody who has proved who they are."""
        cookie = secrets.token_urlsafe(32)
        session = self._new(user_id, method, visitor, id_token)
        await self._store.add_session(self._org_id, self._digest("session", cookie), session)
        return cookie

    async def find(self, cookie: str, *, is_activity: bool = True) -> Session | None:
        """The open session of this cookie. `is_activity`: somebody is there, so it is not idle."""
        known = self._digest("session", cookie)
        now_us = self._clock.now_us()
        found = await self._store.find_session(self._org_id, known)
        if found is None or not found.is_open(now_us, self._idle_us):
            return None
        if is_activity and now_us - found.seen_at >= SEEN_EVERY_US:
            await self._store.touch(self._org_id, known, now_us)
        return found

    async def user_of(self, cookie: str) -> str | None:
        """Whose open session this cookie belongs to, empty for the operator's; None for none."""
        found = await self.find(cookie)
        return None if found is None else found.user_id

    async def list(self, user_id: str) -> Sequence[Session]:
        """The open sessions of a user, newest first."""
        now_us = self._clock.now_us()
        found = await self._store.list_sessions(self._org_id, user_id)
        return [one for one in found if one.is_open(now_us, self._idle_us)]

    async def end(self, cookie: str) -> None:
        """Close the session."""
        await self._store.end(self._org_id, self._digest("session", cookie), self._clock.now_us())

    async def end_one(self, user_id: str, session_id: str, by: str) -> None:
        """Close one session of a user. Raises NotFound."""
        now_us = self._clock.now_us()
        if not session_id or not await self._store.end_sessions(self._org_id, user_id, by, now_us, only=session_id):
            raise NotFound("There is no such session.")

    async def end_all(self, user_id: str, by: str, *, but: str = "") -> int:
        """Close every session of a user, or all but one, and let no code open another; how many there were."""
        return await self._store.end_sessions(self._org_id, user_id, by, self._clock.now_us(), but=but)

    def _new(self, user_id: str, method: Method, visitor: Visitor, id_token: bytes) -> Session:
        now_us = self._clock.now_us()
        return Session(
            id=id_text(new_id(now_us)),
            user_id=user_id,
            method=method,
            created_at=now_us,
            seen_at=now_us,
            expires_at=now_us + self._life_us,
            address=visitor.address[:ADDRESS_CHARACTERS],
            agent=visitor.agent[:AGENT_CHARACTERS],
            id_token=id_token,
        )

    def _digest(self, purpose: str, secret: str) -> bytes:
        return digest(self._pepper, f"{purpose}:{secret}")
