"""Amazon Bedrock Runtime: one signed call, and its answer or its error.

Above: the `send` stage, which has made the body and reads the answer. Below: http1 and signing. It retries nothing.
"""

from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Literal
from urllib.parse import quote

from sekisho.clock import Clock
from sekisho.dialects.bedrock.faults import parse_fault
from sekisho.errors import SekishoError
from sekisho.upstream.bedrock.signing import Canonical, Signer, canonical_request
from sekisho.upstream.faults import answered, read_fault, retry_after_s
from sekisho.upstream.http1 import Http1Client, Http1Response, Prepared
from sekisho.upstream.origin import Origin, parse_origin
from sekisho.upstream.payload import Payload
from sekisho.values import AwsCredential, Credential, Deployment

Operation = Literal["converse", "converse-stream", "invoke", "invoke-with-response-stream", "count-tokens"]

_JSON = (b"content-type", b"application/json")
_ACCEPT_JSON = (b"accept", b"application/json")
_KEPT_TARGETS = 1_000
_Name = tuple[str | tuple[bytes, bytes], ...]
_ACCEPT_FRAMES = (b"accept", b"application/vnd.amazon.eventstream")


class BedrockClient:
    """Calls models at the endpoint that each deployment names."""

    def __init__(self, http: Http1Client, clock: Clock) -> None:
        self._http = http
        self._clock = clock
        self._signers: dict[str, Signer] = {}
        self._targets: dict[_Name, _Target] = {}

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
        name: _Name = (deployment.endpoint, deployment.upstream_model, deployment.region, operation, *headers)
        target = self._targets.get(name) or self._new_target(name, deployment, operation, headers)
        if isinstance(credential, AwsCredential):
            digest = body.sha256_hex() if isinstance(body, Payload) else sha256(body).hexdigest().encode("ascii")
            lines, count = target.sign(credential, digest, self._clock.now_us()), 3 if credential.session_token else 2
        else:
            lines, count = b"authorization: Bearer %b\r\n" % credential.token.encode("latin-1"), 1
        parts = body.parts if isinstance(body, Payload) else body
        response = await self._http.send_prepared(
            target.prepared, lines, count, parts, first_byte_timeout_s=first_byte_timeout_s
        )
        if response.status == 200:
            return response
        raise await _fault(response, deployment.region)

    def _new_target(
        self, name: _Name, deployment: Deployment, operation: Operation, headers: Sequence[tuple[bytes, bytes]]
    ) -> "_Target":
        origin, target, path = _route(deployment.endpoint, deployment.upstream_model, operation)
        sent = (_JSON, _ACCEPT_FRAMES if operation.endswith("-stream") else _ACCEPT_JSON, *headers)
        signer = self._signers.setdefault(deployment.region, Signer(deployment.region))
        if len(self._targets) >= _KEPT_TARGETS:
            self._targets.clear()
        made = self._targets[name] = _Target(self._http.prepare(origin, target, sent), signer, origin, path, sent)
        return made


class _Target:
    """Where calls of one model and operation go, and what is the same of all their heads."""

    __slots__ = ("_canonicals", "_host", "_path", "_sent", "_signer", "prepared")

    def __init__(
        self, prepared: Prepared, signer: Signer, origin: Origin, path: str, sent: tuple[tuple[bytes, bytes], ...]
    ) -> None:
        self.prepared = prepared
        self._signer = signer
        self._host = origin.authority
        self._path = path
        self._sent = sent
        self._canonicals: tuple[str, Canonical] | None = None  # of the session token that came last

    def sign(self, credential: AwsCredential, body_sha256: bytes, now_us: int) -> bytes:
        """The header lines that sign a request with this body."""
        token = credential.session_token
        if self._canonicals is None or self._canonicals[0] != token:
            canonical = canonical_request(b"POST", self._host, self._path, "", token, self._sent)
            self._canonicals = token, canonical
        timestamp, authorization = self._signer.sign(credential, self._canonicals[1], body_sha256, now_us)
        token_line = b"X-Amz-Security-Token: %b\r\n" % token.encode("ascii") if token else b""
        return b"X-Amz-Date: %b\r\n%bAuthorization: %b\r\n" % (timestamp, token_line, authorization)


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
