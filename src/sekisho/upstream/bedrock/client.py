"""Amazon Bedrock Runtime: one signed call, and its answer or its error.

Above: the `send` stage, which has made the body and reads the answer. Below: http1 and signing. It retries nothing.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal
from urllib.parse import quote

from sekisho.clock import Clock
from sekisho.dialects.bedrock.faults import parse_fault
from sekisho.errors import SekishoError
from sekisho.upstream.bedrock.signing import Signer
from sekisho.upstream.faults import answered, read_fault, retry_after_s
from sekisho.upstream.http1 import Http1Client, Http1Response
from sekisho.upstream.origin import Origin, parse_origin
from sekisho.upstream.payload import Payload
from sekisho.values import AwsCredential, Credential, Deployment

Operation = Literal["converse", "converse-stream", "invoke", "invoke-with-response-stream", "count-tokens"]

_JSON = (b"content-type", b"application/json")
_ACCEPT_JSON = (b"accept", b"application/json")
_ACCEPT_FRAMES = (b"accept", b"application/vnd.amazon.eventstream")


class BedrockClient:
    """Calls models at the endpoint that each deployment names."""

    def __init__(self, http: Http1Client, clock: Clock) -> None:
        self._http = http
        self._clock = clock
        self._signers: dict[str, Signer] = {}

    async def open(
        self,
        deployment: Deployment,
        credential: Credential,
        operation: Operation,
        body: bytes | Payload,
        *,
        first_byte_timeout_s: float,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> Http1Response:
        """Send a call; the answer has status 200 and must be closed by the caller.

        `headers`: more to send, such as X-Amzn-Bedrock-GuardrailIdentifier; they are signed. Raises what another
        answer means: RateLimited, ContextTooLong, UpstreamRejected, UpstreamUnavailable and its kinds."""
        origin, target, path = _route(deployment.endpoint, deployment.upstream_model, operation)
        accept = _ACCEPT_FRAMES if operation.endswith("-stream") else _ACCEPT_JSON
        sent = [_JSON, accept, *headers]
        payload = body if isinstance(body, Payload) else Payload((body,))
        if isinstance(credential, AwsCredential):
            signer = self._signers.get(deployment.region)
            if signer is None:
                signer = self._signers[deployment.region] = Signer(deployment.region)
            now_us = self._clock.now_us()
            sent += signer.headers(credential, b"POST", origin.authority, path, "", sent, payload.sha256_hex(), now_us)
        else:
            sent.append((b"authorization", b"Bearer " + credential.token.encode("latin-1")))
        response = await self._http.send(
            origin, b"POST", target, sent, payload.parts, first_byte_timeout_s=first_byte_timeout_s
        )
        if response.status == 200:
            return response
        raise await _fault(response, deployment.region)


@lru_cache(maxsize=4096)
def _route(endpoint: str, model: str, operation: str) -> tuple[Origin, bytes, str]:
    """Origin, request target and path. A model id is one path segment, even when it is an ARN with slashes."""
    origin, base = parse_origin(endpoint)
    path = f"{base}/model/{quote(model, safe='')}/{operation}"
    return origin, path.encode("ascii"), path


async def _fault(response: Http1Response, region: str) -> SekishoError:
    error = parse_fault(
        response.headers.get(b"x-amzn-errortype", b"").decode("latin-1"),
        await read_fault(response),
        unknown=response.status,
        provider=f"Amazon Bedrock in {region}",
        retry_after_s=retry_after_s(response),
    )
    return answered(error, response, b"x-amzn-requestid")
