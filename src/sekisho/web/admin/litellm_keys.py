"""LiteLLM's key routes, so that scripts and Terraform modules written for it keep working.

The same register as the own admin API, other names. What would promise something that is not enforced here is refused
by name, never taken in silence. Raw keys are answered once, by /key/generate; elsewhere a key appears as its digest.
"""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from msgspec import UNSET
from msgspec.structs import replace
from pydantic import BaseModel

from sekisho.access.register import KeyChange, KeyDraft, KeyFilter, StoredKey, expiry
from sekisho.access.roles import Permission, Principal
from sekisho.access.rules import RuleWrite, StoredRule
from sekisho.errors import BadRequest, NotAllowed, NotFound
from sekisho.values import Scope
from sekisho.web.admin.authority import Authority
from sekisho.web.admin.idempotency import idempotent_router
from sekisho.web.admin.litellm_fields import Id, TermFields, model_names, prepare_rules, render_spend, render_terms
from sekisho.web.admin.rights import NO_KEY, Rights, judge, shown_by
from sekisho.web.admin.services import Services
from sekisho.web.admin.times import iso

NEVER = "-1"
UNMADE = "unmade"  # the id of a key whose rules are planned before it is made


class Fields(TermFields):
    """The fields of a key that this version knows."""

    key_alias: Id | None = None
    duration: str | None = None
    models: list[str] | None = None
    user_id: Id | None = None
    team_id: Id | None = None
    metadata: dict[str, Any] | None = None
    tags: list[str] | None = None
    blocked: bool | None = None
    key_type: Literal["default", "llm_api"] | None = None

    def expires_at(self, now_us: int) -> int | None:
        """When the key expires; None for never."""
        return None if self.duration in (None, NEVER) else expiry(str(self.duration), now_us)


class Generate(Fields):
    """A key to be made. `key`: a raw key brought along."""

    key: str | None = None


class Update(Fields):
    """A key to be changed: `key` is its raw form or its digest."""

    key: str


class KeyReference(BaseModel):
    """A key: its raw form or its digest."""

    key: str


class Deletion(BaseModel):
    """Keys to delete, by raw form or digest, or by alias."""

    keys: list[str] | None = None
    key_aliases: list[str] | None = None


def litellm_keys_router(services: Services, authority: Authority) -> APIRouter:  # noqa: C901  one closure per route
    """Routes under /key."""
    router = idempotent_router(services, authority, "/key", "LiteLLM-compatible")
    reader = Annotated[Principal, Depends(authority.within("keys:read"))]
    writer = Annotated[Principal, Depends(authority.within("keys:write"))]
    register, rights = services.keys, Rights(services)

    @router.post("/generate")
    async def generate(who: writer, body: Generate | None = None) -> dict[str, Any]:
        """Make a key. The answer is the only place where its raw form appears."""
        body = body or Generate()
        body.refuse_unknown()
        draft = KeyDraft(
            key=body.key or "",
            alias=body.key_alias or "",
            user_id=body.user_id or "",
            team_id=body.team_id or "",
            models=model_names(body.models),
            tags=tuple(body.tags or ()),
            metadata=body.metadata or {},
            expires_at=body.expires_at(services.clock.now_us()),
            blocked=bool(body.blocked),
        )
        rights.shared_budget(who, body.budget_id)
        draft = await rights.key_draft(who, draft)
        planner = await prepare_rules(services, body, who.actor)
        unmade = planner(Scope("key", UNMADE), ())
        within = await rights.rules_within(who, unmade, draft.team_id)
        issued = await register.create(draft, who.actor, lambda scope: _of(within, scope))
        return await show(issued.stored, who) | {"key": issued.key}

    @router.post("/update")
    async def update(body: Update, who: writer) -> dict[str, Any]:
        """Change a key; in force in every call process when this answers."""
        body.refuse_unknown()
        known = await seen(body.key, who, "keys:write")
        rights.shared_budget(who, body.budget_id)
        scope = Scope("key", known.id)
        planner = await prepare_rules(services, body, who.actor)
        rules = await rights.rules_within(who, planner(scope, await services.rules.of(scope)))
        change = await rights.key_change(who, known, _change(body, services.clock.now_us()))
        stored = await register.update(known.id, change, who.actor, rules)
        return await show(stored, who) | {"key": stored.digest.hex()}

    @router.post("/delete")
    async def delete(body: Deletion, who: writer) -> dict[str, Any]:
        """Take keys out of use for good: all that are named, or none when one is unknown."""
        if not body.keys and not body.key_aliases:
            raise BadRequest("Name the keys to delete in keys or key_aliases.", param="keys")
        found = [await seen(reference, who, "keys:write") for reference in body.keys or ()]
        for alias in body.key_aliases or ():
            named = await register.by_alias(alias)
            judge(who, "keys:write", NO_KEY, team_id=named.team_id, user_id=named.user_id)
            found.append(named)
        for key_id in dict.fromkeys(key.id for key in found):
            await register.delete(key_id, who.actor)
        return {"deleted_keys": list(dict.fromkeys(key.digest.hex() for key in found))}

    @router.post("/block")
    async def block(body: KeyReference, who: writer) -> dict[str, Any]:
        """Refuse all calls with this key from now on."""
        return await set_blocked(body.key, True, who)

    @router.post("/unblock")
    async def unblock(body: KeyReference, who: writer) -> dict[str, Any]:
        """Let this key call again."""
        return await set_blocked(body.key, False, who)

    @router.get("/info")
    async def info(
        own: Annotated[StoredKey | Principal, Depends(authority.principal_or_self)], key: str | None = None
    ) -> dict[str, Any]:
        """One key. A virtual key may ask about itself."""
        if isinstance(own, Principal):
            if not key:
                raise BadRequest("Say which key in the parameter key.", param="key")
            stored = await seen(key, own, "keys:read")
        else:
            stored = own
            if key and not await _is_same(key, own):
                raise NotAllowed("A virtual key may ask about itself only.")
        who = own if isinstance(own, Principal) else _holder(own)
        return {"key": stored.digest.hex(), "info": await show(stored, who)}

    @router.get("/list")
    async def list_keys(
        who: reader,
        page: Annotated[int, Query(ge=1, le=100_000)] = 1,
        size: Annotated[int, Query(ge=1, le=100)] = 10,
        user_id: str = "",
        team_id: str = "",
        key_alias: str = "",
        key_hash: str = "",
        return_full_object: bool = False,
    ) -> dict[str, Any]:
        """Keys in use, newest first: digests, or whole objects."""
        where = KeyFilter(
            alias=key_alias,
            user_id=user_id,
            team_id=team_id,
            digest=_parse_digest(key_hash),
            sight=who.sight("keys:read"),
        )
        total = await register.count(where)
        keys = await register.list(where, limit=size, offset=(page - 1) * size)
        full = [await show(key, who) for key in keys] if return_full_object else None
        return {
            "keys": [key.digest.hex() for key in keys] if full is None else full,
            "total_count": total,
            "current_page": page,
            "total_pages": -(-total // size),
        }

    async def set_blocked(reference: str, blocked: bool, who: Principal) -> dict[str, Any]:
        known = await seen(reference, who, "keys:write")
        change = await rights.key_change(who, known, KeyChange(blocked=blocked))
        return await show(await register.update(known.id, change, who.actor), who)

    async def seen(reference: str, who: Principal, permission: Permission) -> StoredKey:
        key = await register.identify(reference)
        judge(who, permission, NO_KEY, team_id=key.team_id, user_id=key.user_id)
        return key

    async def show(key: StoredKey, who: Principal) -> dict[str, Any]:
        return await show_key(services, key) | {"created_by": shown_by(who, "keys:read", key.created_by)}

    async def _is_same(reference: str, own: StoredKey) -> bool:
        try:
            return (await register.identify(reference)).id == own.id
        except NotFound:
            return False

    return router


async def show_key(services: Services, key: StoredKey) -> dict[str, Any]:
    """The key as LiteLLM shows it."""
    scope = Scope("key", key.id)
    rules = await services.rules.of(scope)
    terms = render_terms(rules, services.clock.now_us())
    return render(key) | terms | {"spend": await render_spend(services, rules, scope)}


def render(key: StoredKey) -> dict[str, Any]:
    """The key as LiteLLM shows it, without its spend, its budgets and its limits."""
    return {
        "token": key.digest.hex(),
        "token_id": key.digest.hex(),
        "key_name": f"sk-...{key.hint}",
        "key_alias": key.alias or None,
        "expires": iso(key.expires_at),
        "models": list(key.models),
        "user_id": key.user_id or None,
        "team_id": key.team_id or None,
        "organization_id": key.org_id,
        "metadata": key.metadata,
        "tags": list(key.tags),
        "blocked": key.blocked,
        "created_at": iso(key.created_at),
        "created_by": key.created_by,
        "updated_at": iso(key.updated_at),
        "aliases": {},
        "config": {},
        "permissions": {},
    }


def _of(write: RuleWrite, scope: Scope) -> tuple[StoredRule, ...]:
    """The rules that were planned before the key had an id, as those of the key."""
    return tuple(replace(stored, rule=replace(stored.rule, scope=scope)) for stored in write.put)


def _holder(key: StoredKey) -> Principal:
    """Who looks at its own virtual key."""
    return Principal(f"key:{key.id}", "person", key.user_id)


def _change(body: Update, now_us: int) -> KeyChange:
    """What the body asks to change: what is null or left out stays, as LiteLLM does it."""

    def new(value: Any) -> Any:
        return UNSET if value is None else value

    return KeyChange(
        alias=new(body.key_alias),
        user_id=new(body.user_id),
        team_id=new(body.team_id),
        models=UNSET if body.models is None else model_names(body.models),
        tags=UNSET if body.tags is None else tuple(body.tags),
        metadata=new(body.metadata),
        expires_at=UNSET if body.duration is None else body.expires_at(now_us),
        blocked=new(body.blocked),
    )


def _parse_digest(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise BadRequest("A key hash has 64 hexadecimal digits.", param="key_hash") from error
