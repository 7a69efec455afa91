"""LiteLLM's key routes, so that scripts and Terraform modules written for it keep working.

The same register as the own admin API, other names. What would promise something that is not enforced here is refused
by name, never taken in silence. Raw keys are answered once, by /key/generate; elsewhere a key appears as its digest.
"""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from msgspec import UNSET
from pydantic import BaseModel, ConfigDict, Field

from sekisho.access.register import KeyChange, KeyDraft, KeyFilter, StoredKey, expiry
from sekisho.errors import BadRequest, NotAllowed, NotFound
from sekisho.record.calls import CallFilter
from sekisho.web.admin.authority import Authority
from sekisho.web.admin.services import Services
from sekisho.web.admin.times import iso, usd

ALL_MODELS = "all-proxy-models"
GROUP_NAMES = ("all-team-models", "all-org-models", "no-default-models")
NEVER = "-1"


class Fields(BaseModel):
    """The fields of a key that this version knows. Others may come empty, as clients send them."""

    model_config = ConfigDict(extra="allow")

    key_alias: Annotated[str, Field(max_length=200)] | None = None
    duration: str | None = None
    models: list[str] | None = None
    user_id: Annotated[str, Field(max_length=200)] | None = None
    team_id: Annotated[str, Field(max_length=200)] | None = None
    metadata: dict[str, Any] | None = None
    tags: list[str] | None = None
    blocked: bool | None = None
    key_type: Literal["default", "llm_api"] | None = None

    def refuse_unknown(self) -> None:
        """Raises BadRequest for a field with content that nothing here would act on."""
        unknown = [name for name, value in (self.model_extra or {}).items() if not _is_empty(value)]
        if unknown:
            names = ", ".join(sorted(unknown))
            raise BadRequest(f"Not supported by this version, so not accepted: {names}.", param=sorted(unknown)[0])

    def model_names(self) -> tuple[str, ...]:
        """The models, empty for all. Raises BadRequest for names that stand for groups or patterns."""
        models = self.models or []
        if ALL_MODELS in models:
            return ()
        for name in models:
            if "*" in name or name in GROUP_NAMES:
                raise BadRequest(f"Name models one by one; {name} is not supported.", param="models")
        return tuple(models)

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
    router = APIRouter(prefix="/key", tags=["LiteLLM-compatible"])
    administrator = Annotated[str, Depends(authority.administrator)]
    register = services.keys

    @router.post("/generate")
    async def generate(who: administrator, body: Generate | None = None) -> dict[str, Any]:
        """Make a key. The answer is the only place where its raw form appears."""
        body = body or Generate()
        body.refuse_unknown()
        draft = KeyDraft(
            key=body.key or "",
            alias=body.key_alias or "",
            user_id=body.user_id or "",
            team_id=body.team_id or "",
            models=body.model_names(),
            tags=tuple(body.tags or ()),
            metadata=body.metadata or {},
            expires_at=body.expires_at(services.clock.now_us()),
            blocked=bool(body.blocked),
        )
        issued = await register.create(draft, created_by=who)
        return render(issued.stored, 0) | {"key": issued.key}

    @router.post("/update")
    async def update(body: Update, _who: administrator) -> dict[str, Any]:
        """Change a key; in force in every call process when this answers."""
        body.refuse_unknown()
        known = await register.identify(body.key)
        stored = await register.update(known.id, _change(body, services.clock.now_us()))
        return render(stored, await spent(stored.id)) | {"key": stored.digest.hex()}

    @router.post("/delete")
    async def delete(body: Deletion, _who: administrator) -> dict[str, Any]:
        """Take keys out of use for good: all that are named, or none when one is unknown."""
        if not body.keys and not body.key_aliases:
            raise BadRequest("Name the keys to delete in keys or key_aliases.", param="keys")
        found = [await register.identify(reference) for reference in body.keys or ()]
        found += [await register.by_alias(alias) for alias in body.key_aliases or ()]
        for key_id in dict.fromkeys(key.id for key in found):
            await register.delete(key_id)
        return {"deleted_keys": list(dict.fromkeys(key.digest.hex() for key in found))}

    @router.post("/block")
    async def block(body: KeyReference, _who: administrator) -> dict[str, Any]:
        """Refuse all calls with this key from now on."""
        return await set_blocked(body.key, True)

    @router.post("/unblock")
    async def unblock(body: KeyReference, _who: administrator) -> dict[str, Any]:
        """Let this key call again."""
        return await set_blocked(body.key, False)

    @router.get("/info")
    async def info(
        own: Annotated[StoredKey | None, Depends(authority.administrator_or_self)], key: str | None = None
    ) -> dict[str, Any]:
        """One key. A virtual key may ask about itself."""
        if own is None:
            if not key:
                raise BadRequest("Say which key in the parameter key.", param="key")
            stored = await register.identify(key)
        else:
            stored = own
            if key and not await _is_same(key, own):
                raise NotAllowed("A virtual key may ask about itself only.")
        return {"key": stored.digest.hex(), "info": render(stored, await spent(stored.id))}

    @router.get("/list")
    async def list_keys(
        _who: administrator,
        page: Annotated[int, Query(ge=1, le=100_000)] = 1,
        size: Annotated[int, Query(ge=1, le=100)] = 10,
        user_id: str = "",
        team_id: str = "",
        key_alias: str = "",
        key_hash: str = "",
        return_full_object: bool = False,
    ) -> dict[str, Any]:
        """Keys in use, newest first: digests, or whole objects."""
        where = KeyFilter(alias=key_alias, user_id=user_id, team_id=team_id, digest=_parse_digest(key_hash))
        total = await register.count(where)
        keys = await register.list(where, limit=size, offset=(page - 1) * size)
        spend = {row.key_id: row.cost_nanousd for row in await services.calls.spend(services.org_id, by=("key",))}
        full = [render(key, spend.get(key.id, 0)) for key in keys] if return_full_object else None
        return {
            "keys": [key.digest.hex() for key in keys] if full is None else full,
            "total_count": total,
            "current_page": page,
            "total_pages": -(-total // size),
        }

    async def set_blocked(reference: str, blocked: bool) -> dict[str, Any]:
        known = await register.identify(reference)
        stored = await register.update(known.id, KeyChange(blocked=blocked))
        return render(stored, await spent(stored.id))

    async def spent(key_id: str) -> int:
        (spend,) = await services.calls.spend(services.org_id, where=CallFilter(key_id=key_id))
        return spend.cost_nanousd

    async def _is_same(reference: str, own: StoredKey) -> bool:
        try:
            return (await register.identify(reference)).id == own.id
        except NotFound:
            return False

    return router


def render(key: StoredKey, cost_nanousd: int) -> dict[str, Any]:
    """The key as LiteLLM shows it. Limits and budgets are null: there are none."""
    return {
        "token": key.digest.hex(),
        "token_id": key.digest.hex(),
        "key_name": f"sk-...{key.hint}",
        "key_alias": key.alias or None,
        "spend": usd(cost_nanousd),
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
        "max_budget": None,
        "soft_budget": None,
        "budget_duration": None,
        "tpm_limit": None,
        "rpm_limit": None,
        "max_parallel_requests": None,
        "aliases": {},
        "config": {},
        "permissions": {},
    }


def _change(body: Update, now_us: int) -> KeyChange:
    """What the body asks to change: what is null or left out stays, as LiteLLM does it."""

    def new(value: Any) -> Any:
        return UNSET if value is None else value

    return KeyChange(
        alias=new(body.key_alias),
        user_id=new(body.user_id),
        team_id=new(body.team_id),
        models=UNSET if body.models is None else body.model_names(),
        tags=UNSET if body.tags is None else tuple(body.tags),
        metadata=new(body.metadata),
        expires_at=UNSET if body.duration is None else body.expires_at(now_us),
        blocked=new(body.blocked),
    )


def _is_empty(value: Any) -> bool:
    """Whether a field asks for nothing. A zero asks for something: a budget of 0 stops every call."""
    return value is None or value is False or value in ("", [], {})


def _parse_digest(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise BadRequest("A key hash has 64 hexadecimal digits.", param="key_hash") from error
