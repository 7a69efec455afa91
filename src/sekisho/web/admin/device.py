"""Signing in a command line, as RFC 8628 describes: for clients that have nothing yet to identify themselves with."""

from urllib.parse import parse_qs

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from sekisho.access.device_login import TOKEN_LIFE_US
from sekisho.errors import BodyTooLarge, RateLimited
from sekisho.web.admin.authority import Authority
from sekisho.web.admin.services import Services
from sekisho.web.forwarded import address_of

ROOT = "/admin/v1/device"
PAGE = "/console/device"
GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_BODY_BYTES = 4_096


def device_router(services: Services, _authority: Authority) -> APIRouter:
    """Routes without authentication; what they give out is of use only once a person has approved it."""
    router = APIRouter(include_in_schema=False)

    async def begin(request: Request) -> Response:
        """Begin: a long code to keep and a short one to show."""
        fields = await _form(request)
        try:
            address = address_of(request.headers, request.client)
            begun = await services.sign_in.devices.begin(fields.get("client_name", ""), address)
        except RateLimited as error:
            return _answer({"error": "slow_down", "error_description": error.message}, 429)
        page = services.sign_in.public_url + PAGE
        return _answer(
            {
                "device_code": begun.device_code,
                "user_code": begun.user_code,
                "verification_uri": page,
                "verification_uri_complete": f"{page}?code={begun.user_code}",
                "expires_in": begun.expires_in_s,
                "interval": begun.interval_s,
            }
        )

    async def collect(request: Request) -> Response:
        """The token, once it is approved; until then RFC 8628's errors."""
        fields = await _form(request)
        if fields.get("grant_type") != GRANT:
            return _answer({"error": "unsupported_grant_type"}, 400)
        found = await services.sign_in.devices.collect(fields.get("device_code", ""))
        if found.problem:
            return _answer({"error": found.problem}, 400)
        life_s = TOKEN_LIFE_US // 1_000_000
        said = {"access_token": found.token, "token_type": "Bearer", "expires_in": life_s, "token_id": found.token_id}
        return _answer(said)

    router.add_route(f"{ROOT}/code", begin, ["POST"])
    router.add_route(f"{ROOT}/token", collect, ["POST"])
    return router


async def _form(request: Request) -> dict[str, str]:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _BODY_BYTES:
            raise BodyTooLarge
    return {name: values[-1] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}


def _answer(value: dict[str, object], status: int = 200) -> Response:
    headers = {"Cache-Control": "no-store"}
    return Response(msgspec.json.encode(value), status, headers, media_type="application/json")
