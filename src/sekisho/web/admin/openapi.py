"""The OpenAPI document of the admin API: what the framework finds out by itself, and what it cannot know.

It knows paths, parameters and bodies. It does not know that every refusal has one shape, which ones there may be, who
may ask, and which POST does its work once. All of that is added here, so that a route says it nowhere.
"""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from sekisho.web.admin.idempotency import IdempotentRoute

ADDRESS = "/admin/v1/openapi.json"

_DESCRIPTION = """\
Everything that an administrator does in Sekisho, for programmes.

**Who may ask.** A key in `Authorization: Bearer`: the master key or an access token. On the Unix socket of the machine
the local operator needs none. A virtual key may ask about itself where it says so.

**Lists** take `limit` and `after` and answer with `next`: pass it as `after` for the following page; it is null at the
end. Nothing is left out or shown twice when things are made or deleted in between.

**Once.** A POST with `Idempotency-Key` does its work once: sent again within 24 hours with the same body, it gets the
same answer.

**Refusals** have one shape. A refused request has changed nothing. After a 503 it may be that the change is made but
not confirmed by every call process yet; sending it again is safe with an `Idempotency-Key`.

**Money** is exact: `..._nanousd` is an integer of 10^-9 US dollars, `..._usd` the same as a decimal text. Amounts are
taken as a number or, better, as a text. **Times** are ISO 8601 in UTC.

The routes without `/admin` (`/key/...`, `/team/...` and so on) are those of LiteLLM, for clients that speak it.
"""
_REFUSALS = {
    "400": "What was sent cannot be read, or asks for what cannot be.",
    "401": "The key is missing or not valid.",
    "403": "The key may not do this.",
    "404": "There is no such thing, or it lies outside what the key may see.",
    "409": "The same was asked for before in other words, or things have changed since.",
    "413": "The body is larger than 25 MB.",
    "503": "The database or a call process does not answer in time.",
}
_ERROR = {
    "type": "object",
    "title": "Error",
    "description": "Why a request was refused. `message` is for people, `param` the field that it is about.",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                "code": {"type": "string"},
            },
        },
    },
    "examples": [
        {
            "error": {
                "message": "There is no such budget.",
                "type": "invalid_request_error",
                "param": None,
                "code": "404",
            }
        }
    ],
}
_IDEMPOTENCY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "maxLength": 255},
    "description": "The same key and body within 24 hours: the same answer, and the work is done once.",
}


def describe_api(app: FastAPI, routers: Sequence[APIRouter]) -> None:
    """Let the application serve the whole document of these routers."""
    routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app, routes)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # the framework's own way to extend the document


def _document(app: FastAPI, routes: Sequence[APIRoute]) -> dict[str, Any]:
    document = get_openapi(title="Sekisho", version=app.version, description=_DESCRIPTION, routes=app.routes)
    components = document["components"]
    for name in ("HTTPValidationError", "ValidationError"):  # ours look otherwise
        components["schemas"].pop(name, None)
    components["schemas"]["Error"] = _ERROR
    components["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "The master key or an access token."}
    }
    document["security"] = [{"key": []}]
    for route in routes:
        if route.include_in_schema:
            for method in route.methods or ():
                _complete(document["paths"][route.path_format][method.lower()], route, method)
    return document


def _complete(operation: dict[str, Any], route: APIRoute, method: str) -> None:
    """Add what the framework does not know of one operation."""
    text = " ".join((route.endpoint.__doc__ or "").split())
    operation["summary"] = text.partition(". ")[0].rstrip(".")
    operation["operationId"] = f"{method.lower()}{route.path_format}".translate(_PLAIN)
    statuses = ["400", "401", "403", "503"]
    if operation.get("parameters") or method != "GET":
        statuses.append("404")
    if "requestBody" in operation:
        statuses.append("413")
    if isinstance(route, IdempotentRoute) and method == "POST":
        operation.setdefault("parameters", []).append(_IDEMPOTENCY)
    if method != "GET":
        statuses.append("409")
    responses = operation["responses"]
    responses.pop("422", None)
    for status in sorted(statuses):
        content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
        responses.setdefault(status, {"description": _REFUSALS[status], "content": content})


_PLAIN = str.maketrans({"/": "_", "{": "", "}": "", "-": "_", ":": "_"})
