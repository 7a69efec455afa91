"""Virtual keys in Sekisho's own admin API, under /admin/v1/keys."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from msgspec import UNSET
from pydantic import BaseModel, ConfigDict, Field

from sekisho.access.register import KeyChange, KeyDraft, KeyFilter, StoredKey, check_grace, expiry, grace_s
from sekisho.access.roles import Permission, Principal
from sekisho.web.admin.authority import Authority
from sekisho.web.admin.hand_overs import HandOverFields, check_link, issue_link
from sekisho.web.admin.idempotency import idempotent_router
from sekisho.web.admin.rights import NO_KEY, Rights, judge, shown_by
from sekisho.web.admin.services import Services
from sekisho.web.admin.times import iso

Text = Annotated[str, Field(max_length=200)]
DEFAULT_GRACE = "24h"
Names = Annotated[list[Text], Field(max_length=500)]


class KeyUpdate(BaseModel):
    """What to change; what is left out stays. `expires_in`: "30d" from now, null for never. `cut_streams`: whether
    streams under way are cut when the key is revoked; null: as its team, else as the gateway is set."""

    model_config = ConfigDict(extra="forbid")

    alias: Text = ""
    user_id: Text = ""
    team_id: Text = ""
    models: Names = []
    tags: Names = []
    metadata: dict[str, Any] = {}
    expires_in: str | None = None
    cut_streams: bool | None = None

    def change(self, now_us: int) -> KeyChange:
        """The change that was asked for."""
        given = self.model_fields_set

        def new(field: str, value: Any) -> Any:
            return value if field in given else UNSET

        expires_at = None if self.expires_in is None else expiry(self.expires_in, now_us)
        return KeyChange(
            alias=new("alias", self.alias),
            user_id=new("user_id", self.user_id),
            team_id=new("team_id", self.team_id),
            models=new("models", tuple(self.models)),
            tags=new("tags", tuple(self.tags)),
            metadata=new("metadata", self.metadata),
            expires_at=new("expires_in", expires_at),
            cut_streams=new("cut_streams", self.cut_streams),
        )


class KeyCreation(KeyUpdate):
    """A key to be made. No models: all models. `expires_in`: "30d" from now; never if left out.

    `hand_over`: a one-time link in the place of the raw key, which is then made when the link is redeemed."""

    hand_over: HandOverFields | None = None

    def draft(self, now_us: int) -> KeyDraft:
        """The key that was asked for."""
        return KeyDraft(
            alias=self.alias,
            user_id=self.user_id,
            team_id=self.team_id,
            models=tuple(self.models),
            tags=tuple(self.tags),
            metadata=self.metadata,
            expires_at=None if self.expires_in is None else expiry(self.expires_in, now_us),
            is_to_hand_over=self.hand_over is not None,
            cut_streams=self.cut_streams,
        )


class KeyRotation(BaseModel):
    """A new raw form. `grace`: how long the old one still works, such as "24h"; "0s": it ends at once."""

    model_config = ConfigDict(extra="forbid")

    grace: str = DEFAULT_GRACE
    hand_over: HandOverFields | None = None


class Key(BaseModel):
    """A virtual key. `hint`: how its raw form ends. Times are ISO 8601, UTC. `previous_until`: until when the raw form
    before the last rotation still works. `is_handed_over`: whether somebody has its raw form."""

    id: str
    hint: str
    alias: str
    user_id: str
    team_id: str
    owner: dict[str, str]
    models: list[str]
    tags: list[str]
    metadata: dict[str, Any]
    expires_at: str | None
    blocked: bool
    cut_streams: bool | None
    is_handed_over: bool
    previous_until: str | None
    created_at: str | None
    created_by: str
    updated_at: str | None


class NewKey(Key):
    """A key just made or rotated. `key`, or the address in `hand_over`, is shown this once."""

    key: str | None = None
    hand_over: dict[str, Any] | None = None


class KeyPage(BaseModel):
    """Keys, newest first. `next`: pass it as `after` for the following page; null at the end."""

    keys: list[Key]
    next: str | None


def keys_router(services: Services, authority: Authority) -> APIRouter:  # noqa: C901  one closure per route
    """Routes for administrators."""
    router = idempotent_router(services, authority, "/admin/v1/keys", "keys")
    reader = Annotated[Principal, Depends(authority.within("keys:read"))]
    writer = Annotated[Principal, Depends(authority.within("keys:write"))]
    register, rights = services.keys, Rights(services)

    @router.post("", status_code=201)
    async def create_key(body: KeyCreation, who: writer) -> NewKey:
        """Make a key. The answer is the only place where its raw form appears."""
        draft = await rights.key_draft(who, body.draft(services.clock.now_us()))
        check_link(body.hand_over, draft.user_id, services.clock.now_us())
        issued = await register.create(draft, created_by=who.actor)
        fields = _fields(issued.stored, who)
        if body.hand_over is None:
            return NewKey(key=issued.key, **fields)
        link = await issue_link(services, body.hand_over, "key", issued.stored.id, who, draft.user_id)
        return NewKey(hand_over=link, **fields)

    @router.get("")
    async def list_keys(
        who: reader,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        after: str = "",
        alias: str = "",
        user_id: str = "",
        team_id: str = "",
    ) -> KeyPage:
        """Keys in use, newest first."""
        where = KeyFilter(alias=alias, user_id=user_id, team_id=team_id, sight=who.sight("keys:read"))
        found = await register.list(where, limit=limit + 1, after=after)
        keys = [render_key(key, who) for key in found[:limit]]
        return KeyPage(keys=keys, next=keys[-1].id if len(found) > limit else None)

    @router.get("/{key_id}")
    async def get_key(key_id: str, who: reader) -> Key:
        """One key, by its id."""
        return render_key(await seen(key_id, who, "keys:read"), who)

    @router.patch("/{key_id}")
    async def update_key(key_id: str, body: KeyUpdate, who: writer) -> Key:
        """Change a key; in force in every call process when this answers."""
        old = await seen(key_id, who, "keys:write")
        change = await rights.key_change(who, old, body.change(services.clock.now_us()))
        return render_key(await register.update(key_id, change, who.actor), who)

    @router.post("/{key_id}/block")
    async def block_key(key_id: str, who: writer) -> Key:
        """Refuse all calls with this key from now on."""
        await seen(key_id, who, "keys:write")
        return render_key(await register.update(key_id, KeyChange(blocked=True), who.actor), who)

    @router.post("/{key_id}/unblock")
    async def unblock_key(key_id: str, who: writer) -> Key:
        """Let this key call again. What a wider role has blocked, a lead does not unblock."""
        change = await rights.key_change(who, await seen(key_id, who, "keys:write"), KeyChange(blocked=False))
        return render_key(await register.update(key_id, change, who.actor), who)

    @router.post("/{key_id}/rotate")
    async def rotate_key(key_id: str, who: writer, body: KeyRotation | None = None) -> NewKey:
        """Give a key a new raw form, shown this once; its spend, budgets and limits stay. The old form works until the
        grace ends."""
        body = body or KeyRotation()
        key = await seen(key_id, who, "keys:write")
        check_link(body.hand_over, key.user_id, services.clock.now_us())
        grace = check_grace(grace_s(body.grace))
        if body.hand_over is not None:
            link = await issue_link(services, body.hand_over, "key", key_id, who, key.user_id, grace)
            return NewKey(hand_over=link, **_fields(key, who))
        issued = await register.rotate(key_id, who.actor, grace_s=grace)
        return NewKey(key=issued.key, **_fields(issued.stored, who))

    @router.delete("/{key_id}", status_code=204)
    async def delete_key(key_id: str, who: writer) -> None:
        """Take a key out of use for good. Its calls stay in the record."""
        await seen(key_id, who, "keys:write")
        await register.delete(key_id, who.actor)

    async def seen(key_id: str, who: Principal, permission: Permission) -> StoredKey:
        key = await register.get(key_id)
        judge(who, permission, NO_KEY, team_id=key.team_id, user_id=key.user_id)
        return key

    return router


def render_key(key: StoredKey, who: Principal) -> Key:
    """The key as this API shows it."""
    return Key(**_fields(key, who))


def _fields(key: StoredKey, who: Principal) -> dict[str, Any]:
    return {
        "id": key.id,
        "hint": key.hint,
        "alias": key.alias,
        "user_id": key.user_id,
        "team_id": key.team_id,
        "owner": _owner(key),
        "models": list(key.models),
        "tags": list(key.tags),
        "metadata": key.metadata,
        "expires_at": iso(key.expires_at),
        "blocked": key.blocked,
        "cut_streams": key.cut_streams,
        "is_handed_over": key.is_handed_over,
        "previous_until": iso(key.previous_until),
        "created_at": iso(key.created_at),
        "created_by": shown_by(who, "keys:read", key.created_by),
        "updated_at": iso(key.updated_at),
    }


def _owner(key: StoredKey) -> dict[str, str]:
    """Who answers for a key: its user, else its team, else the organisation."""
    kind, id_ = next((one for one in (("user", key.user_id), ("team", key.team_id)) if one[1]), ("org", key.org_id))
    return {"kind": kind, "id": id_}
