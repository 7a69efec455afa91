"""Access tokens: how people and service accounts identify themselves to the admin API and the command line.

A token belongs to one user and may what that user may; it opens no model. Its raw form exists in the hands of its owner
only: what is kept is a digest under the pepper. Above: the admin API. Below: a `TokenStore`.
"""

import secrets
from collections.abc import Sequence
from typing import Protocol

import msgspec

from sekisho.access.keys import digest
from sekisho.access.organisation import NAME_CHARACTERS, check_texts
from sekisho.access.roles import EVERYTHING, Sight
from sekisho.clock import Clock, id_text, new_id
from sekisho.errors import NotFound

TOKEN_PREFIX = "skt-"
HINT_CHARACTERS = 4


class AccessToken(msgspec.Struct, frozen=True):
    """A token as its owner sees it. `hint`: how its raw form ends; empty while nobody has it."""

    id: str
    org_id: str
    digest: bytes
    hint: str
    user_id: str
    created_at: int
    created_by: str
    name: str = ""
    expires_at: int | None = None
    revoked_at: int | None = None


class IssuedToken(msgspec.Struct, frozen=True):
    """A token and its raw form, which exists nowhere else and is shown once; empty when it is to be handed over."""

    stored: AccessToken
    token: str

    def __repr__(self) -> str:
        return f"IssuedToken({self.stored.id}, ***)"


class TokenStore(Protocol):
    """Where tokens are kept. Raises StoreUnavailable."""

    async def add_token(self, token: AccessToken) -> None:
        """Keep a new token. Raises NotFound for an unknown user."""
        ...

    async def find_token(self, org_id: str, *, token_id: str = "", digest: bytes = b"") -> AccessToken | None:
        """One token that was not revoked."""
        ...

    async def list_tokens(
        self, org_id: str, *, user_id: str = "", sight: Sight = EVERYTHING, limit: int, after: str = ""
    ) -> list[AccessToken]:
        """Tokens that were not revoked, newest first, behind the id `after`; those of the users in sight."""
        ...

    async def set_token_digest(
        self, org_id: str, token_id: str, digest: bytes, hint: str, by: str, now_us: int
    ) -> None:
        """Give a token its raw form. Raises NotFound."""
        ...

    async def revoke_token(self, org_id: str, token_id: str, by: str, now_us: int) -> None:
        """End a token for good. Raises NotFound."""
        ...


class TokenRegister:
    """Issues, finds and revokes the access tokens of one organisation. A revoked one is refused at once."""

    def __init__(self, store: TokenStore, pepper: bytes, org_id: str, clock: Clock) -> None:
        self._store = store
        self._pepper = pepper
        self._org_id = org_id
        self._clock = clock

    async def issue(
        self, user_id: str, by: str, *, name: str = "", expires_at: int | None = None, is_to_hand_over: bool = False
    ) -> IssuedToken:
        """Make a token. `is_to_hand_over`: without a raw form until `give_form`. Raises NotFound, BadRequest."""
        check_texts(name=(name, NAME_CHARACTERS))
        now_us = self._clock.now_us()
        raw = "" if is_to_hand_over else _generate()
        stored = AccessToken(
            id=id_text(new_id(now_us)),
            org_id=self._org_id,
            digest=self._digest(raw) if raw else secrets.token_bytes(32),
            hint=raw[-HINT_CHARACTERS:] if raw else "",
            user_id=user_id,
            created_at=now_us,
            created_by=by,
            name=name,
            expires_at=expires_at,
        )
        await self._store.add_token(stored)
        return IssuedToken(stored, raw)

    async def give_form(self, token_id: str, by: str) -> IssuedToken:
        """Make the raw form of a token that was to be handed over. Raises NotFound."""
        raw = _generate()
        hint = raw[-HINT_CHARACTERS:]
        await self._store.set_token_digest(self._org_id, token_id, self._digest(raw), hint, by, self._clock.now_us())
        return IssuedToken(await self.get(token_id), raw)

    async def find_raw(self, token: str) -> AccessToken | None:
        """The token behind a raw form, if it is still good."""
        found = await self._store.find_token(self._org_id, digest=self._digest(token))
        if found is None or (found.expires_at is not None and found.expires_at <= self._clock.now_us()):
            return None
        return found

    async def get(self, token_id: str) -> AccessToken:
        """One token that was not revoked. Raises NotFound."""
        found = await self._store.find_token(self._org_id, token_id=token_id) if token_id else None
        if found is None:
            raise NotFound("There is no such access token.")
        return found

    async def list(
        self, *, user_id: str = "", sight: Sight = EVERYTHING, limit: int = 50, after: str = ""
    ) -> Sequence[AccessToken]:
        """Tokens that were not revoked, newest first."""
        return await self._store.list_tokens(self._org_id, user_id=user_id, sight=sight, limit=limit, after=after)

    async def revoke(self, token_id: str, by: str) -> None:
        """End a token for good. Raises NotFound."""
        await self._store.revoke_token(self._org_id, token_id, by, self._clock.now_us())

    def _digest(self, token: str) -> bytes:
        return digest(self._pepper, f"token:{token}")


def _generate() -> str:
    return TOKEN_PREFIX + secrets.token_urlsafe(32)
