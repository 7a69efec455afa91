"""What administrators set as data, under /admin/v1/settings: the metadata that objects must carry."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from sekisho.access.required import Incomplete, Kind, Required, RequiredField
from sekisho.access.roles import Principal
from sekisho.web.admin.authority import Authority
from sekisho.web.admin.paging import PageSize, page, parse_cursor, render_cursor
from sekisho.web.admin.services import Services

Text = Annotated[str, Field(max_length=200)]
_KINDS: dict[str, Kind] = {"teams": "team", "users": "user", "service_accounts": "service", "keys": "key"}


class RequiredFields(BaseModel):
    """One field. `values`: the only ones allowed; `pattern`: a regular expression for the whole value."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=100)]
    values: Annotated[tuple[Text, ...], Field(max_length=500)] = ()
    pattern: Text = ""


class RequiredMetadata(BaseModel):
    """The fields that each kind of object must carry in its metadata."""

    model_config = ConfigDict(extra="forbid")

    teams: Annotated[tuple[RequiredFields, ...], Field(max_length=50)] = ()
    users: Annotated[tuple[RequiredFields, ...], Field(max_length=50)] = ()
    service_accounts: Annotated[tuple[RequiredFields, ...], Field(max_length=50)] = ()
    keys: Annotated[tuple[RequiredFields, ...], Field(max_length=50)] = ()


def settings_router(services: Services, authority: Authority) -> APIRouter:
    """Settings as data, for who may read and write them."""
    router = APIRouter(prefix="/admin/v1/settings", tags=["settings"])
    reader = Annotated[Principal, Depends(authority.require("settings:read"))]
    writer = Annotated[Principal, Depends(authority.require("settings:write"))]
    required = services.required

    @router.get("/required-metadata")
    async def get_required(_who: reader) -> dict[str, Any]:
        """What objects must carry now."""
        return _render(await required.get())

    @router.put("/required-metadata")
    async def set_required(body: RequiredMetadata, who: writer) -> dict[str, Any]:
        """Require this from now on, in the place of what was required; objects that lack it stay, and are listed."""
        wanted: dict[Kind, tuple[RequiredField, ...]] = {
            kind: tuple(RequiredField(one.name, one.values, one.pattern) for one in getattr(body, name))
            for name, kind in _KINDS.items()
        }
        await required.set(wanted, who.actor)
        return _render(await required.get())

    @router.get("/required-metadata/incomplete")
    async def list_incomplete(_who: reader, limit: PageSize = 500, after: str = "") -> dict[str, Any]:
        """The objects that lack what is required now, and which fields, by kind and id.

        `next`: pass it as `after`; null at the end."""
        place = parse_cursor(after, 2)
        behind = [one for one in await required.incomplete() if (one.kind, one.id) > place]
        return page("incomplete", behind[: limit + 1], limit, _incomplete, lambda one: render_cursor(one.kind, one.id))

    return router


def _incomplete(one: Incomplete) -> dict[str, Any]:
    return {"kind": one.kind, "id": one.id, "fields": list(one.fields)}


def _render(required: Required) -> dict[str, Any]:
    return {
        name: [{"name": one.name, "values": list(one.values), "pattern": one.pattern} for one in required.get(kind, ())]
        for name, kind in _KINDS.items()
    }
