"""`Idempotency-Key`: a POST that is sent again because its answer was lost does its work once.

The same key with the same body gets the same answer for 24 hours; with another body it is refused. Only answers that
changed something are kept: a refused request may be sent again. A request whose process died before it answered stays
refused, because nobody knows what it did. An answer may hold a new key, so what is kept is sealed with the pepper and
the idempotency key: who has the database alone cannot read it.
"""

import hashlib
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from sekisho.access.answers import KeptAnswer
from sekisho.errors import BadRequest, Conflict, NotAllowed, NotFound
from sekisho.web.admin.authority import Authority
from sekisho.web.admin.services import Services

HEADER = "idempotency-key"
KEPT_US = 86_400_000_000
KEY_CHARACTERS = 255

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class IdempotentRoute(APIRoute):
    """A route that knows the header."""


def idempotent_router(services: Services, authority: Authority, prefix: str, tag: str) -> APIRouter:
    """A router whose POST routes know the header."""

    class Route(IdempotentRoute):
        def get_route_handler(self) -> Handler:
            run = super().get_route_handler()

            async def handle(request: Request) -> Response:
                key = request.headers.get(HEADER, "")
                if not key or request.method != "POST":
                    return await run(request)
                return await _once(services, authority, request, key, run)

            return handle

    return APIRouter(prefix=prefix, tags=[tag], route_class=Route)


async def _once(services: Services, authority: Authority, request: Request, key: str, run: Handler) -> Response:
    if len(key) > KEY_CHARACTERS:
        raise BadRequest(f"An idempotency key has at most {KEY_CHARACTERS} characters.", param=HEADER)
    who = (await authority.principal(request)).actor
    body = hashlib.sha256(await request.body()).digest()
    digest = hashlib.sha256("\0".join((who, request.url.path, key)).encode()).digest()
    now_us = services.clock.now_us()
    kept = await services.answers.claim(digest, body, now_us, now_us + KEPT_US)
    if kept is not None:
        return _again(kept, body, _seal(services, who, request.url.path, key, kept.body))
    try:
        response = await run(request)
    except (BadRequest, NotFound, NotAllowed, RequestValidationError):
        await services.answers.release(digest)  # refused, so nothing was changed
        raise
    if response.status_code >= 400:
        await services.answers.release(digest)
        return response
    sealed = _seal(services, who, request.url.path, key, bytes(response.body))
    await services.answers.keep(digest, response.status_code, sealed)
    return response


def _seal(services: Services, who: str, path: str, key: str, content: bytes) -> bytes:
    """The content under a key stream that is used for this answer only; sealing it again opens it."""
    blocks = range(len(content) // 32 + 1)
    stream = b"".join(services.keys.digest("\0".join(("answer", who, path, key, str(number)))) for number in blocks)
    return bytes(one ^ other for one, other in zip(content, stream, strict=False))


def _again(kept: KeptAnswer, body: bytes, answer: bytes) -> Response:
    if kept.request_digest != body:
        raise Conflict("This idempotency key was used with another body.", param=HEADER)
    if not kept.status:
        raise Conflict("The request with this idempotency key has not been answered; look what it did.", param=HEADER)
    return Response(answer, kept.status, media_type="application/json")
