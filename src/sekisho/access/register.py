"""The register of virtual keys: who may create, change, block and delete them is decided above; what that does, here.

Every write that changes what a call process may decide ends with `publish`: it returns when the change is in force.
"""

import re
import secrets
from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol

import msgspec
from msgspec import UNSET, UnsetType

from sekisho.access.keys import KEY_PREFIX, digest, generate_key, until_rotated
from sekisho.access.publishing import Publisher
from sekisho.access.roles import EVERYTHING, Sight
from sekisho.access.rules import NO_RULES, RuleWrite, StoredRule
from sekisho.clock import Clock, id_text, new_id
from sekisho.errors import BadRequest, NotFound, StoreUnavailable
from sekisho.values import Scope, VirtualKey

MINIMUM_KEY_CHARACTERS = 20
ALIAS_CHARACTERS = 200
TAGS_CHARACTERS = 800
METADATA_BYTES = 16_384
HINT_CHARACTERS = 4
MOST_GRACE_S = 30 * 86_400

_DURATION = re.compile(r"([0-9]{1,6})(s|m|h|d|w)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


class StoredKey(msgspec.Struct, frozen=True):
    """A virtual key as its administrator sees it. `hint`: the last characters of the raw key, to tell keys apart."""

    id: str
    org_id: str
    digest: bytes
    hint: str
    created_at: int
    created_by: str
    updated_at: int
    alias: str = ""
    user_id: str = ""
    team_id: str = ""
    models: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    metadata: dict[str, Any] = {}
    expires_at: int | None = None
    blocked: bool = False
    previous_digest: bytes | None = None
    previous_until: int | None = None
    cut_streams: bool | None = None

    @property
    def is_handed_over(self) -> bool:
        """Whether somebody has its raw form; a key that waits for its hand-over opens nothing."""
        return bool(self.hint)

    def virtual_key(self) -> VirtualKey:
        """What a call process needs of it."""
        return VirtualKey(
            id=self.id,
            org_id=self.org_id,
            digest=self.digest,
            alias=self.alias,
            user_id=self.user_id,
            team_id=self.team_id,
            models=self.models,
            tags=self.tags,
            expires_at=self.expires_at,
            blocked=self.blocked,
            previous_digest=self.previous_digest or b"",
            previous_until=self.previous_until or 0,
            cut_streams=self.cut_streams,
        )


class KeyDraft(msgspec.Struct, frozen=True):
    """A key to be made. `key`: a raw key brought along from elsewhere; empty: a new one is generated.

    `is_to_hand_over`: it has no raw form until it is rotated for the first time, so nobody can have seen it.
    """

    key: str = ""
    alias: str = ""
    user_id: str = ""
    team_id: str = ""
    models: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    metadata: dict[str, Any] = {}
    expires_at: int | None = None
    blocked: bool = False
    is_to_hand_over: bool = False
    cut_streams: bool | None = None


class KeyChange(msgspec.Struct, frozen=True):
    """What to change; what is UNSET stays. `expires_at` None: never expires; `cut_streams` None: as its team."""

    alias: str | UnsetType = UNSET
    user_id: str | UnsetType = UNSET
    team_id: str | UnsetType = UNSET
    models: tuple[str, ...] | UnsetType = UNSET
    tags: tuple[str, ...] | UnsetType = UNSET
    metadata: dict[str, Any] | UnsetType = UNSET
    expires_at: int | UnsetType | None = UNSET
    blocked: bool | UnsetType = UNSET
    cut_streams: bool | UnsetType | None = UNSET


class Rotation(msgspec.Struct, frozen=True):
    """The digests of a key from now on. `expires_at` UNSET: as before."""

    digest: bytes
    hint: str
    previous_digest: bytes | None = None
    previous_until: int | None = None
    expires_at: int | UnsetType | None = UNSET


class KeyFilter(msgspec.Struct, frozen=True):
    """Which keys; an empty field means any. `sight`: only those of these teams and of this user."""

    alias: str = ""
    user_id: str = ""
    team_id: str = ""
    digest: bytes = b""
    sight: Sight = EVERYTHING


ANY_KEY = KeyFilter()


class IssuedKey(msgspec.Struct, frozen=True):
    """A new key and its raw form, which exists nowhere else and is shown once."""

    stored: StoredKey
    key: str

    def __repr__(self) -> str:
        return f"IssuedKey({self.stored.id}, ***)"


class KeyLabel(msgspec.Struct, frozen=True):
    """How a key is named where calls and sums are shown."""

    alias: str
    hint: str
    digest: bytes


class KeyStore(Protocol):
    """Where keys are kept. Every write raises the epoch in the same transaction. Raises StoreUnavailable."""

    async def add(self, key: StoredKey, rules: Sequence[StoredRule] = ()) -> None:
        """Keep a new key with its rules. Raises BadRequest when its alias or its digest is taken, or its team unknown;
        a user that is unknown is made."""
        ...

    async def change(
        self, org_id: str, key_id: str, change: KeyChange, by: str, now_us: int, rules: RuleWrite = NO_RULES
    ) -> StoredKey:
        """Change a key and its rules. Raises NotFound, or BadRequest as `add`."""
        ...

    async def rotate(self, org_id: str, key_id: str, rotation: Rotation, by: str, now_us: int) -> StoredKey:
        """Give a key another raw form. Raises NotFound, or BadRequest when the digest is taken."""
        ...

    async def delete(self, org_id: str, key_id: str, by: str, now_us: int) -> None:
        """Take a key out of use for good, with its rules; its name stays for the history. Raises NotFound."""
        ...

    async def erase(self, org_id: str, key_id: str, by: str, now_us: int) -> None:
        """Undo `add`, as if the key had never been."""
        ...

    async def find(self, org_id: str, *, key_id: str = "", digest: bytes = b"", alias: str = "") -> StoredKey | None:
        """The key in use that has all the given properties; `digest` may be that before a rotation."""
        ...

    async def list(
        self, org_id: str, where: KeyFilter, *, limit: int, after: str = "", offset: int = 0
    ) -> list[StoredKey]:
        """Keys in use, newest first, behind the key id `after` or behind `offset` keys."""
        ...

    async def count(self, org_id: str, where: KeyFilter) -> int:
        """How many keys in use there are."""
        ...

    async def labels(self, org_id: str, key_ids: Collection[str]) -> dict[str, KeyLabel]:
        """What to call these keys, also those no longer in use."""
        ...


class KeyRegister:
    """Creates, finds and changes the keys of one organisation."""

    def __init__(self, store: KeyStore, pepper: bytes, org_id: str, clock: Clock, publisher: Publisher) -> None:
        self._store = store
        self._pepper = pepper
        self._org_id = org_id
        self._clock = clock
        self._publisher = publisher

    async def create(
        self, draft: KeyDraft, created_by: str, rules: Callable[[Scope], Sequence[StoredRule]] = lambda _: ()
    ) -> IssuedKey:
        """Make a key and put it in force. `rules`: its budgets and limits, given its scope; in force together with it.

        Raises BadRequest. Raises StoreUnavailable when not every call process confirmed the key: then it is taken
        back, because nobody has seen it yet.
        """
        raw = _raw(draft.key)
        now_us = self._clock.now_us()
        _validate(draft.alias, draft.tags, draft.metadata)
        stored = StoredKey(
            id=id_text(new_id(now_us)),
            org_id=self._org_id,
            digest=secrets.token_bytes(32) if draft.is_to_hand_over else self.digest(raw),
            hint="" if draft.is_to_hand_over else raw[-HINT_CHARACTERS:],
            created_at=now_us,
            created_by=created_by,
            updated_at=now_us,
            alias=draft.alias,
            user_id=draft.user_id,
            team_id=draft.team_id,
            models=draft.models,
            tags=draft.tags,
            metadata=draft.metadata,
            expires_at=draft.expires_at,
            blocked=draft.blocked,
            cut_streams=draft.cut_streams,
        )
        await self._store.add(stored, rules(Scope("key", stored.id)))
        try:
            await self._publisher.publish()
        except StoreUnavailable:
            await self._store.erase(self._org_id, stored.id, created_by, now_us)
            await self._publisher.offer()
            raise
        return IssuedKey(stored, "" if draft.is_to_hand_over else raw)

    async def rotate(
        self,
        key_id: str,
        by: str,
        *,
        grace_s: int = 0,
        expires_at: int | UnsetType | None = UNSET,
        key: str = "",
    ) -> IssuedKey:
        """Give a key a new raw form; the old one opens it for `grace_s` seconds more. Spend, budgets and limits stay.

        `key`: a raw key brought along; empty: a new one is generated. Of earlier raw forms only the last one is still
        good. Raises NotFound, BadRequest. Raises StoreUnavailable when not every call process confirmed it: then the
        key is as it was, because nobody has seen the new form yet.
        """
        check_grace(grace_s)
        raw = _raw(key)
        known = await self.get(key_id)
        now_us = self._clock.now_us()
        has_grace = grace_s > 0 and known.is_handed_over
        rotation = Rotation(
            digest=self.digest(raw),
            hint=raw[-HINT_CHARACTERS:],
            previous_digest=known.digest if has_grace else None,
            previous_until=now_us + grace_s * 1_000_000 if has_grace else None,
            expires_at=expires_at,
        )
        rotated = await self._store.rotate(self._org_id, key_id, rotation, by, now_us)
        try:
            await self._publisher.publish()
        except StoreUnavailable:
            before = (known.digest, known.hint, known.previous_digest, known.previous_until, known.expires_at)
            await self._store.rotate(self._org_id, key_id, Rotation(*before), by, now_us)
            await self._publisher.offer()
            raise
        return IssuedKey(rotated, raw)

    async def update(self, key_id: str, change: KeyChange, by: str, rules: RuleWrite = NO_RULES) -> StoredKey:
        """Change a key and its rules and put that in force. Raises NotFound, BadRequest, StoreUnavailable."""
        _validate(
            "" if change.alias is UNSET else change.alias,
            () if change.tags is UNSET else change.tags,
            {} if change.metadata is UNSET else change.metadata,
        )
        changed = await self._store.change(self._org_id, key_id, change, by, self._clock.now_us(), rules)
        await self._publisher.publish()
        return changed

    async def delete(self, key_id: str, by: str) -> None:
        """Take a key out of use for good, with its rules. Raises NotFound, StoreUnavailable."""
        await self._store.delete(self._org_id, key_id, by, self._clock.now_us())
        await self._publisher.publish()

    async def get(self, key_id: str) -> StoredKey:
        """One key in use, by id. Raises NotFound."""
        return _known(await self._store.find(self._org_id, key_id=key_id))

    async def identify(self, reference: str) -> StoredKey:
        """The key in use that is meant: its raw form, its digest in hexadecimal, or its id. Raises NotFound."""
        if reference.startswith(KEY_PREFIX):
            return _known(await self._store.find(self._org_id, digest=self.digest(reference)))
        if re.fullmatch(r"[0-9a-f]{64}", reference):
            return _known(await self._store.find(self._org_id, digest=bytes.fromhex(reference)))
        return _known(await self._store.find(self._org_id, key_id=reference)) if reference else _known(None)

    async def by_alias(self, alias: str) -> StoredKey:
        """The key in use with this alias. Raises NotFound."""
        return _known(await self._store.find(self._org_id, alias=alias) if alias else None)

    async def find_raw(self, key: str) -> StoredKey | None:
        """The key in use behind a raw key that a caller presents."""
        known = self.digest(key)
        found = await self._store.find(self._org_id, digest=known)
        if found is None or found.digest == known:
            return found
        return msgspec.structs.replace(found, expires_at=until_rotated(found.virtual_key()).expires_at)

    async def list(
        self, where: KeyFilter = ANY_KEY, *, limit: int = 50, after: str = "", offset: int = 0
    ) -> list[StoredKey]:
        """Keys in use, newest first."""
        return await self._store.list(self._org_id, where, limit=limit, after=after, offset=offset)

    async def count(self, where: KeyFilter = ANY_KEY) -> int:
        """How many keys in use there are."""
        return await self._store.count(self._org_id, where)

    async def labels(self, key_ids: Collection[str]) -> dict[str, KeyLabel]:
        """What to call these keys, also deleted ones: names for the history."""
        return await self._store.labels(self._org_id, key_ids)

    def digest(self, key: str) -> bytes:
        """The digest of a raw key under this home's pepper."""
        return digest(self._pepper, key)


def expiry(duration: str, now_us: int, param: str = "duration") -> int:
    """When a key made now for "30s", "15m", "1h", "30d" or "4w" expires. Raises BadRequest."""
    match = _DURATION.fullmatch(duration)
    if not match or not int(match[1]):
        raise BadRequest('A duration is a number and one of s, m, h, d, w, such as "30d".', param=param)
    return now_us + int(match[1]) * _SECONDS[match[2]] * 1_000_000


def check_grace(seconds: int) -> int:
    """Seconds that may be a grace. Raises BadRequest."""
    if not 0 <= seconds <= MOST_GRACE_S:
        raise BadRequest(f"The grace is at most {MOST_GRACE_S // 86_400} days.", param="grace")
    return seconds


def grace_s(duration: str, param: str = "grace") -> int:
    """Seconds of a grace such as "24h"; none at all for "", "0" and "0s". Raises BadRequest."""
    return 0 if duration in ("", "0", "0s") else expiry(duration, 0, param) // 1_000_000


def _raw(key: str) -> str:
    """The raw key that was brought along, else a new one. Raises BadRequest."""
    raw = key or generate_key()
    if not raw.startswith(KEY_PREFIX) or len(raw) < MINIMUM_KEY_CHARACTERS or not raw.isascii():
        needed = f"A key begins with {KEY_PREFIX} and has at least {MINIMUM_KEY_CHARACTERS} ASCII characters."
        raise BadRequest(needed, param="key")
    return raw


def _validate(alias: str, tags: tuple[str, ...], metadata: dict[str, Any]) -> None:
    if len(alias) > ALIAS_CHARACTERS:
        raise BadRequest(f"An alias has at most {ALIAS_CHARACTERS} characters.", param="key_alias")
    if len(msgspec.json.encode(tags).decode()) > TAGS_CHARACTERS:  # a call's row keeps them as JSON
        raise BadRequest(f"The tags of a key have at most {TAGS_CHARACTERS} characters in all.", param="tags")
    if len(msgspec.json.encode(metadata)) > METADATA_BYTES:
        raise BadRequest(f"The metadata of a key has at most {METADATA_BYTES} bytes as JSON.", param="metadata")


def _known(key: StoredKey | None) -> StoredKey:
    if key is None:
        raise NotFound("There is no such key.")
    return key
