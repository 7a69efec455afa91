"""Servers that speak OpenAI's Chat Completions: OpenAI itself, vLLM, llama.cpp and others.

Source: OpenAI API reference.
"""

from collections.abc import Sequence
from functools import lru_cache

from sekisho.dialects.openai_chat.faults import parse_fault
from sekisho.errors import SekishoError
from sekisho.upstream.faults import answered, read_fault, retry_after_s
from sekisho.upstream.http1 import Http1Client, Http1Response
from sekisho.upstream.origin import Origin, parse_origin
from sekisho.values import BearerCredential, Deployment

_JSON = (b"content-type", b"application/json")
_ACCEPT_JSON = (b"accept", b"application/json")
_ACCEPT_EVENTS = (b"accept", b"text/event-stream")


class OpenAICompatibleClient:
    """Calls models at `{endpoint}/chat/completions`; the endpoint includes the version, as in https://host/v1."""

    def __init__(self, http: Http1Client) -> None:
        self._http = http

    async def open(
        self,
        deployment: Deployment,
        credential: BearerCredential | None,
        body: bytes | Sequence[bytes | memoryview],
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
    error = parse_fault(await read_fault(response), response.status, retry_after_s=retry_after_s(response))
    return answered(error, response, b"x-request-id")
