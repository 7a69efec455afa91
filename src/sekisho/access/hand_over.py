"""One-time links: a key or an access token reaches its owner without having been in anybody else's hands.

Whoever issues gets a link. The secret's raw form is made when the link is redeemed and exists nowhere before. A link
is redeemed once, expires, can be withdrawn, and may be bound to one user, who must then identify. Only a digest of the
link is kept. Above: the admin API and the pages. Below: a `HandOverStore`, the registers of keys and tokens.
"""

import secrets
from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from sekisho.access.keys import digest
from sekisho.access.register import KeyRegister
from sekisho.access.roles import EVERYTHING, Principal, Sight
from sekisho.access.tokens import TokenRegister
from sekisho.clock import Clock, id_text, new_id
from sekisho.errors import BadRequest, Conflict, NotAllowed, NotAuthenticated, NotFound, SekishoError

LIFE = "72h"
MOST_LIFE_US = 30 * 86_400_000_000
Kind = Literal["key", "token"]
State = Literal["open", "redeemed", "withdrawn", "expired"]


class HandOver(msgspec.Struct, frozen=True):
    """A link. `user_id`: who alone may redeem it; empty: whoever has it. `grace_s`: how long the old raw form of a key
    that is rotated goes on working."""

    id: str
    org_id: str
    digest: bytes
    kind: Kind
    object_id: str
    user_id: str
    grace_s: int
    created_at: int
    created_by: str
    expires_at: int
    redeemed_at: int | None = None
    withdrawn_at: int | None = None

    def state(self, now_us: int) -> State:
        """What has become of it."""
        if self.redeemed_at is not None:
            return "redeemed"
        if self.withdrawn_at is not None:
            return "withdrawn"
        return "open" if now_us < self.expires_at else "expired"


class Link(msgspec.Struct, frozen=True):
    """A new link and the secret in it, which exists nowhere else."""

    hand_over: HandOver
    secret: str

    def __repr__(self) -> str:
        return f"Link({self.hand_over.id}, ***)"


class Redeemed(msgspec.Struct, frozen=True):
    """What a link held: the raw form, shown this once."""

    kind: Kind
    object_id: str
    name: str
    secret: str

    def __repr__(self) -> str:
        return f"Redeemed({self.kind}, {self.object_id}, ***)"


class HandOverStore(Protocol):
    """Where links are kept. Raises StoreUnavailable."""

    async def add_hand_over(self, link: HandOver) -> None:
        """Keep a new link; what is still open of the same object is withdrawn."""
        ...

    async def find_hand_over(self, org_id: str, *, id: str = "", digest: bytes = b"") -> HandOver | None: ...

    async def list_hand_overs(
        self, org_id: str, *, limit: int, after: str = "", keys: Sight = EVERYTHING, tokens: Sight = EVERYTHING
    ) -> list[HandOver]:
        """Links, newest first: of keys and tokens in use that are in sight; for who sees all keys, every link."""
        ...

    async def claim(self, org_id: str, id: str, by: str, now_us: int) -> bool:
        """Mark an open link as redeemed; False when it is not open, so that of two only one gets it."""
        ...

    async def unclaim(self, org_id: str, id: str, by: str, now_us: int) -> None:
        """Open a link again whose secret could not be made."""
        ...

    async def withdraw(self, org_id: str, id: str, by: str, now_us: int) -> bool:
        """End an open link; False when it is not open."""
        ...


class HandOverRegister:
    """Makes, shows, withdraws and redeems the links of one organisation."""

    def __init__(
        self,
        store: HandOverStore,
        keys: KeyRegister,
        tokens: TokenRegister,
        pepper: bytes,
        org_id: str,
        clock: Clock,
    ) -> None:
        self._store = store
        self._keys = keys
        self._tokens = tokens
        self._pepper = pepper
        self._org_id = org_id
        self._clock = clock

    async def issue(
        self, kind: Kind, object_id: str, by: str, *, expires_at: int, user_id: str = "", grace_s: int = 0
    ) -> Link:
        """Make a link for a key or a token that exists. Raises BadRequest for a life of more than 30 days."""
        now_us = self._clock.now_us()
        if expires_at - now_us > MOST_LIFE_US:
            raise BadRequest("A link lives for at most 30 days.", param="hand_over.expires_in")
        secret = secrets.token_urlsafe(32)
        made = HandOver(
            id=id_text(new_id(now_us)),
            org_id=self._org_id,
            digest=self._digest(secret),
            kind=kind,
            object_id=object_id,
            user_id=user_id,
            grace_s=grace_s,
            created_at=now_us,
            created_by=by,
            expires_at=expires_at,
        )
        await self._store.add_hand_over(made)
        return Link(made, secret)

    async def look(self, secret: str) -> HandOver:
        """The link with this secret, whatever has become of it; looking spends nothing. Raises NotFound."""
        found = await self._store.find_hand_over(self._org_id, digest=self._digest(secret))
        if found is None:
            raise NotFound("There is no such link. Check that you copied all of it.")
        return found

    async def redeem(self, secret: str, who: Principal | None = None) -> Redeemed:
        """Make the raw form and show it, once. `who`: who has identified.

        Raises NotFound, Conflict for a link that is not open, NotAuthenticated or NotAllowed for one that is another's.
        """
        link = await self.look(secret)
        self._check(link, who)
        by = who.actor if who else f"link:{link.id}"
        if not await self._store.claim(self._org_id, link.id, by, self._clock.now_us()):
            self._check(await self.look(secret), who)
            raise Conflict("This link is no longer open.")
        try:
            return await self._make(link, by)
        except SekishoError:
            await self._store.unclaim(self._org_id, link.id, by, self._clock.now_us())
            raise

    async def get(self, id: str) -> HandOver:
        """One link. Raises NotFound."""
        found = await self._store.find_hand_over(self._org_id, id=id) if id else None
        if found is None:
            raise NotFound("There is no such link.")
        return found

    async def list(
        self, *, limit: int = 50, after: str = "", keys: Sight = EVERYTHING, tokens: Sight = EVERYTHING
    ) -> Sequence[HandOver]:
        """Links of what is in sight, newest first."""
        return await self._store.list_hand_overs(self._org_id, limit=limit, after=after, keys=keys, tokens=tokens)

    async def withdraw(self, id: str, by: str) -> None:
        """End a link that is still open. Raises NotFound, Conflict."""
        link = await self.get(id)
        if not await self._store.withdraw(self._org_id, id, by, self._clock.now_us()):
            raise Conflict(f"This link is not open: {link.state(self._clock.now_us())}.")

    def _check(self, link: HandOver, who: Principal | None) -> None:
        state = link.state(self._clock.now_us())
        if state != "open":
            raise Conflict(_CLOSED[state])
        if link.user_id and who is None:
            raise NotAuthenticated("This link is for one person: identify with your access token.")
        if link.user_id and who is not None and who.user_id != link.user_id:
            raise NotAllowed("This link is for somebody else.")

    async def _make(self, link: HandOver, by: str) -> Redeemed:
        if link.kind == "token":
            token = await self._tokens.give_form(link.object_id, by)
            return Redeemed("token", token.stored.id, token.stored.name, token.token)
        key = await self._keys.rotate(link.object_id, by, grace_s=link.grace_s)
        return Redeemed("key", key.stored.id, key.stored.alias, key.key)

    def _digest(self, secret: str) -> bytes:
        return digest(self._pepper, f"hand-over:{secret}")


_CLOSED: dict[State, str] = {
    "redeemed": "This link was used already. If it was not you, tell whoever sent it at once.",
    "withdrawn": "This link was withdrawn. Ask whoever sent it for a new one.",
    "expired": "This link has expired. Ask whoever sent it for a new one.",
}
