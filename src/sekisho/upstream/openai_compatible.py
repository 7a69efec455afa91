"""Servers that speak OpenAI's Chat Completions: OpenAI itself, vLLM, llama.cpp and others.

Source: OpenAI API reference; the error bodies of vLLM and of frameworks that answer with `detail` or a bare message.
"""

from functools import lru_cache

import msgspec

from sekisho.errors import SekishoError
from sekisho.upstream.faults import read_fault, render_fault
from sekisho.upstream.http1 import Http1Client, Http1Response
from sekisho.upstream.origin import Origin, parse_origin
from sekisho.values import BearerCredential, Deployment

# codes that mean something else than the status they come with
MEANINGS = {
    "invalid_api_key": 401,
    "insufficient_quota": 402,
    "billing_hard_limit_reached": 402,
    "billing_not_active": 402,
    "account_deactivated": 403,
}
_JSON = (b"content-type", b"application/json")
_ACCEPT_JSON = (b"accept", b"application/json")
_ACCEPT_EVENTS = (b"accept", b"text/event-stream")


class _Error(msgspec.Struct):
    message: str = ""
    code: str | int | None = None


class _Body(msgspec.Struct):
    error: _Error | str | None = None
    message: str = ""
    detail: object = None


class OpenAICompatibleClient:
    """Calls models at `{endpoint}/chat/completions`; the endpoint includes the version, as in https://host/v1."""

    def __init__(self, http: Http1Client) -> None:
        self._http = http

    async def open(
        self,
        deployment: Deployment,
        credential: BearerCredential | None,
        body: bytes,
        *,
        stream: bool,
        first_byte_timeout_s: float,
    ) -> Http1Response:
        """Send a chat completion; the answer has status 200 and must be closed by the caller.

        `credential` None: a server that asks for none. `stream` must agree with the body. Raises as
        `BedrockClient.open`."""
        origin, target = _route(deployment.endpoint)
        headers = [_JSON, _ACCEPT_EVENTS if stream else _ACCEPT_JSON]
        if credential is not None:
            headers.append((b"authorization", b"Bearer " + credential.token.encode("latin-1")))
        response = await self._http.send(
            origin, b"POST", target, headers, body, first_byte_timeout_s=first_byte_timeout_s
        )
        if response.status == 200:
            return response
        raise await _fault(response)


@lru_cache(maxsize=256)
def _route(endpoint: str) -> tuple[Origin, bytes]:
    origin, base = parse_origin(endpoint)
    return origin, f"{base}/chat/completions".encode("ascii")


async def _fault(response: Http1Response) -> SekishoError:
    data = await read_fault(response)
    try:
        body = msgspec.json.decode(data, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # a load balancer's page, or cut off
        body = _Body()
    if isinstance(body.error, _Error):
        error = body.error
    else:
        error = _Error(body.error or body.message or str(body.detail or ""))
    code = str(error.code)
    return render_fault(
        "the model provider",
        response,
        MEANINGS.get(code, response.status),
        error.message,
        response.headers.get(b"x-request-id", b""),
        is_overflow=code == "context_length_exceeded",
    )
