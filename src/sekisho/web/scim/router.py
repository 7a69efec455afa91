"""SCIM 2.0 over HTTP (RFC 7644): users, groups, and what this provider can do.

Above: the organisation's directory with an access token of a service account that has the role `directory`. Below:
`access.scim_register`. Errors have SCIM's own body. An access token decides alone; nothing here is for people.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from sekisho.access.roles import Principal
from sekisho.access.scim import (
    BODY_BYTES,
    ERROR,
    LIST,
    MOST_PAGE,
    ScimGroup,
    ScimOutdated,
    ScimRefused,
    ScimUser,
    parse_filter,
    parse_patch,
)
from sekisho.access.scim_register import ScimRegister, Versions
from sekisho.errors import BodyTooLarge, NotAllowed, NotAuthenticated, SekishoError
from sekisho.web.admin.authority import Authority
from sekisho.web.admin.services import Services
from sekisho.web.scim.resources import RESOURCE_TYPES, SCHEMAS, SERVICE_PROVIDER, render_group, render_user

ROOT = "/scim/v2"
SCIM = "application/scim+json"
_MOST_BYTES = 16 * BODY_BYTES  # a group with many members
_USER_FILTERS = frozenset({"username", "externalid", "id"})
_GROUP_FILTERS = frozenset({"displayname", "externalid", "id"})

Handler = Callable[[Request, Principal], Awaitable[Response]]


def scim_router(services: Services, authority: Authority) -> APIRouter:
    """The routes under /scim/v2."""
    pages = _Scim(services)
    router = APIRouter(include_in_schema=False)

    def add(path: str, **by_method: Handler) -> None:
        for method, handler in by_method.items():
            router.add_route(ROOT + path, _guarded(authority, handler), [method.upper()])

    add("/ServiceProviderConfig", get=pages.provider)
    add("/ResourceTypes", get=pages.resource_types)
    add("/Schemas", get=pages.schemas)
    add("/Schemas/{id}", get=pages.schema)
    add("/Users", get=pages.list_users, post=pages.create_user)
    add("/Users/{id}", get=pages.get_user, put=pages.replace_user, patch=pages.patch_user, delete=pages.delete_user)
    add("/Groups", get=pages.list_groups, post=pages.create_group)
    add(
        "/Groups/{id}", get=pages.get_group, put=pages.replace_group, patch=pages.patch_group, delete=pages.delete_group
    )
    return router


def _guarded(authority: Authority, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """The handler for whoever may provision; every failure in SCIM's own words."""

    async def serve(request: Request) -> Response:
        try:
            return await handler(request, await authority.require("directory:write")(request))
        except ScimOutdated as error:
            return _error(412, error.message)
        except ScimRefused as error:
            return _error(409 if error.scim_type == "uniqueness" else 400, error.message, error.scim_type)
        except NotAllowed as error:
            return _error(403, error.message)
        except NotAuthenticated as error:
            answer = _error(401, error.message)
            answer.headers["WWW-Authenticate"] = "Bearer"
            return answer
        except SekishoError as error:
            return _error(error.status, error.message)

    return serve


class _Scim:
    """One method for each route."""

    def __init__(self, services: Services) -> None:
        self._services = services

    @property
    def _register(self) -> ScimRegister:
        return self._services.sign_in.scim

    @property
    def _base(self) -> str:
        """Where the resources are. The Host header decides nothing: without a public address it is a path."""
        return self._services.sign_in.public_url + ROOT

    async def provider(self, request: Request, _who: Principal) -> Response:
        """What this provider can do."""
        return _answer(SERVICE_PROVIDER | _meta("ServiceProviderConfig", f"{self._base}/ServiceProviderConfig"))

    async def resource_types(self, request: Request, _who: Principal) -> Response:
        """Users and groups."""
        found = [one | _meta("ResourceType", f"{self._base}/ResourceTypes/{one['id']}") for one in RESOURCE_TYPES]
        return _answer(_listed(found, len(found), 1))

    async def schemas(self, request: Request, _who: Principal) -> Response:
        """The attributes that mean something here."""
        found = [one | _meta("Schema", f"{self._base}/Schemas/{one['id']}") for one in SCHEMAS]
        return _answer(_listed(found, len(found), 1))

    async def schema(self, request: Request, _who: Principal) -> Response:
        """One schema."""
        id_ = request.path_params["id"]
        found = next((one for one in SCHEMAS if one["id"] == id_), None)
        if found is None:
            return _error(404, "There is no such schema.")
        return _answer(found | _meta("Schema", f"{self._base}/Schemas/{id_}"))

    async def list_users(self, request: Request, _who: Principal) -> Response:
        """Users, page by page, perhaps the one of a name."""
        where = parse_filter(request.query_params.get("filter", ""), _USER_FILTERS)
        start, count = _paging(request)
        total, found = await self._register.list_users(where, skip=start - 1, limit=count)
        groups = await self._register.groups_of([one.id for one in found])
        return _answer(_listed([render_user(one, groups.get(one.id, []), self._base) for one in found], total, start))

    async def create_user(self, request: Request, who: Principal) -> Response:
        """Provision a user."""
        return await self._user(request, await self._register.create_user(await _body(request), who.actor), 201)

    async def get_user(self, request: Request, _who: Principal) -> Response:
        """One user."""
        return await self._user(request, await self._register.get_user(request.path_params["id"]))

    async def replace_user(self, request: Request, who: Principal) -> Response:
        """Make a user what the directory says."""
        id_ = request.path_params["id"]
        return await self._user(
            request, await self._register.replace_user(id_, await _body(request), who.actor, _versions(request))
        )

    async def patch_user(self, request: Request, who: Principal) -> Response:
        """Change a user."""
        operations = parse_patch(await _body(request))
        id_ = request.path_params["id"]
        return await self._user(
            request, await self._register.patch_user(id_, operations, who.actor, _versions(request))
        )

    async def delete_user(self, request: Request, who: Principal) -> Response:
        """Let a user go."""
        await self._register.delete_user(request.path_params["id"], who.actor, _versions(request))
        return Response(status_code=204)

    async def list_groups(self, request: Request, _who: Principal) -> Response:
        """Groups, page by page, perhaps the one of a name; Entra ID asks for them without members."""
        where = parse_filter(request.query_params.get("filter", ""), _GROUP_FILTERS)
        start, count = _paging(request)
        has_members = not _leaves_out_members(request)
        total, found = await self._register.list_groups(where, skip=start - 1, limit=count, has_members=has_members)
        shown = [render_group(one, self._base, has_members=has_members) for one in found]
        return _answer(_listed(shown, total, start))

    async def create_group(self, request: Request, who: Principal) -> Response:
        """Provision a group."""
        return self._group(request, await self._register.create_group(await _body(request), who.actor), 201)

    async def get_group(self, request: Request, _who: Principal) -> Response:
        """One group."""
        return self._group(request, await self._register.get_group(request.path_params["id"]))

    async def replace_group(self, request: Request, who: Principal) -> Response:
        """Make a group what the directory says."""
        id_ = request.path_params["id"]
        return self._group(
            request, await self._register.replace_group(id_, await _body(request), who.actor, _versions(request))
        )

    async def patch_group(self, request: Request, who: Principal) -> Response:
        """Change a group."""
        operations = parse_patch(await _body(request))
        id_ = request.path_params["id"]
        return self._group(request, await self._register.patch_group(id_, operations, who.actor, _versions(request)))

    async def delete_group(self, request: Request, who: Principal) -> Response:
        """Forget a group."""
        await self._register.delete_group(request.path_params["id"], who.actor, _versions(request))
        return Response(status_code=204)

    async def _user(self, request: Request, user: ScimUser, status: int = 200) -> Response:
        groups = await self._register.groups_of([user.id])
        return _one(request, render_user(user, groups.get(user.id, []), self._base), status)

    def _group(self, request: Request, group: ScimGroup, status: int = 200) -> Response:
        has_members = not _leaves_out_members(request)
        return _one(request, render_group(group, self._base, has_members=has_members), status)


def _one(request: Request, shown: dict[str, Any], status: int) -> Response:
    """One resource, or that it has not changed."""
    meta = shown["meta"]
    headers = {"ETag": meta["version"]} | ({"Location": meta["location"]} if status == 201 else {})
    if request.method == "GET" and _names(request, "if-none-match", meta["version"]):
        return Response(status_code=304, headers=headers)
    return _answer(shown, status, headers)


def _names(request: Request, header: str, version: str) -> bool:
    """Whether a header names this version, weak or strong, or any."""
    named = {tag.strip().removeprefix("W/") for tag in request.headers.get(header, "").split(",")}
    return "*" in named or version.removeprefix("W/") in named


def _versions(request: Request) -> Versions:
    """Which versions the directory lets us change; None where it does not say, or says any."""
    text = request.headers.get("if-match")
    if text is None or text.strip() == "*":
        return None
    return frozenset(int(found) for found in re.findall(r'"(\d{1,18})"', text))


def _answer(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(value), status, headers, media_type=SCIM)


def _error(status: int, detail: str, scim_type: str = "") -> Response:
    body = {"schemas": [ERROR], "status": str(status), "detail": detail}
    return _answer(body | ({"scimType": scim_type} if scim_type else {}), status)


def _listed(found: list[dict[str, Any]], total: int, start: int) -> dict[str, Any]:
    return {
        "schemas": [LIST],
        "totalResults": total,
        "startIndex": start,
        "itemsPerPage": len(found),
        "Resources": found,
    }


def _meta(kind: str, location: str) -> dict[str, Any]:
    return {"meta": {"resourceType": kind, "location": location}}


def _paging(request: Request) -> tuple[int, int]:
    """Where a page begins, counted from 1, and how long it is. What is below its least counts as that (RFC 7644,
    3.4.2.4). Raises ScimRefused for what is no number."""
    try:
        start = int(request.query_params.get("startIndex") or 1)
        count = int(request.query_params.get("count") or MOST_PAGE)
    except ValueError as error:
        raise ScimRefused("startIndex and count are numbers.") from error
    return min(max(start, 1), 10**9), min(max(count, 0), MOST_PAGE)


def _leaves_out_members(request: Request) -> bool:
    return "members" in request.query_params.get("excludedAttributes", "").lower().replace(" ", "").split(",")


async def _body(request: Request) -> Any:
    """The JSON of a request. Raises ScimRefused, BodyTooLarge."""
    content = b""
    async for chunk in request.stream():
        content += chunk
        if len(content) > _MOST_BYTES:
            raise BodyTooLarge
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ScimRefused("The body is not JSON.", "invalidSyntax") from error
