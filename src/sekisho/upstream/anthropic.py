"""Anthropic's own Messages API, and what speaks it. Source: Anthropic API reference.

The key goes as x-api-key, the form that Anthropic-compatible servers know too; newer official clients send a bearer.
"""

from collections.abc import Sequence
from functools import lru_cache

import msgspec

from sekisho.dialects.anthropic_messages.faults import MEANINGS
from sekisho.dialects.faults import explain
from sekisho.dialects.reading import UNREADABLE
from sekisho.errors import SekishoError
from sekisho.upstream.faults import answered, read_fault, retry_after_s
from sekisho.upstream.http1 import Http1Client, Http1Response
from sekisho.upstream.origin import Origin, parse_origin
from sekisho.values import BearerCredential, Deployment

_VERSION = "2023-06-01"
_JSON = (b"content-type", b"application/json")
_ACCEPT_JSON = (b"accept", b"application/json")
_ACCEPT_EVENTS = (b"accept", b"text/event-stream")


class _Error(msgspec.Struct):
    type: str = ""
    message: str = ""


class _Body(msgspec.Struct):
    error: _Error = msgspec.field(default_factory=_Error)


class AnthropicClient:
    """Calls models at `{endpoint}/v1/messages`; an endpoint may end with /v1 already."""

    def __init__(self, http: Http1Client) -> None:
        self._http = http

    async def open(
        self,
        deployment: Deployment,
        credential: BearerCredential,
        body: bytes | Sequence[bytes | memoryview],
        *,
        stream: bool,
        betas: Sequence[str] = (),
        version: str = _VERSION,
        first_byte_timeout_s: float,
    ) -> Http1Response:
        """Send a Messages call; the answer has status 200 and must be closed by the caller.

        `stream` must agree with the body. `betas`, `version`: what goes as anthropic-beta and anthropic-version. Raises
        as `BedrockClient.open`."""
        accept = _ACCEPT_EVENTS if stream else _ACCEPT_JSON
        return await self._post(deployment, credential, "messages", body, accept, betas, version, first_byte_timeout_s)

    async def count_tokens(
        self,
        deployment: Deployment,
        credential: BearerCredential,
        body: bytes,
        *,
        betas: Sequence[str] = (),
        version: str = _VERSION,
        first_byte_timeout_s: float,
    ) -> Http1Response:
        """Ask for the size of a prompt. As `open`."""
        path = "messages/count_tokens"
        return await self._post(deployment, credential, path, body, _ACCEPT_JSON, betas, version, first_byte_timeout_s)

    async def _post(
        self,
        deployment: Deployment,
        credential: BearerCredential,
        path: str,
        body: bytes | Sequence[bytes | memoryview],
        accept: tuple[bytes, bytes],
        betas: Sequence[str],
        version: str,
        first_byte_timeout_s: float,
    ) -> Http1Response:
        origin, target = _route(deployment.endpoint, path)
        headers = [_JSON, accept, (b"anthropic-version", version.encode("latin-1"))]
        headers.append((b"x-api-key", credential.token.encode("latin-1")))
        if betas:
            headers.append((b"anthropic-beta", ",".join(betas).encode("latin-1")))
        response = await self._http.send(
            origin, b"POST", target, headers, body, first_byte_timeout_s=first_byte_timeout_s
        )
        if response.status == 200:
            return response
        raise await _fault(response)


@lru_cache(maxsize=256)
def _route(endpoint: str, path: str) -> tuple[Origin, bytes]:
    origin, base = parse_origin(endpoint)
    return origin, f"{base.removesuffix('/v1')}/v1/{path}".encode("ascii")


async def _fault(response: Http1Response) -> SekishoError:
    data = await read_fault(response)
    try:
        error = msgspec.json.decode(data, type=_Body).error
    except UNREADABLE:  # a load balancer's page, or cut off
        error = _Error()
    meaning = MEANINGS.get(error.type, response.status)
    explained = explain(meaning, error.message, provider="Anthropic", retry_after_s=retry_after_s(response))
    return answered(explained, response, b"request-id")
