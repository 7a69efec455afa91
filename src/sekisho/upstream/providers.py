"""The providers behind one interface: which client carries a call, chosen by its deployment and wire."""

import binascii
from collections.abc import Awaitable
from typing import TypeVar

import msgspec

from sekisho.clock import Clock
from sekisho.errors import StoreUnavailable, UpstreamUnavailable
from sekisho.upstream.anthropic import AnthropicClient
from sekisho.upstream.bedrock.client import BedrockClient, Operation
from sekisho.upstream.http1 import Http1Client, Http1Response
from sekisho.upstream.openai_compatible import OpenAICompatibleClient
from sekisho.upstream.payload import Payload
from sekisho.values import BearerCredential, Credential, Deployment, Wire

_COUNT_BYTES = 65_536
Count = TypeVar("Count")


class _BedrockCount(msgspec.Struct, rename="camel"):
    input_tokens: int


class _AnthropicCount(msgspec.Struct):
    input_tokens: int


class Providers:
    """Opens calls at Amazon Bedrock, the Anthropic API and OpenAI-compatible servers."""

    def __init__(self, http: Http1Client, clock: Clock, *, first_byte_timeout_s: float) -> None:
        self._bedrock = BedrockClient(http, clock)
        self._anthropic = AnthropicClient(http)
        self._openai = OpenAICompatibleClient(http)
        self._timeout_s = first_byte_timeout_s

    def open(
        self,
        deployment: Deployment,
        wire: Wire,
        credential: Credential | None,
        body: bytes | Payload,
        *,
        stream: bool,
        betas: tuple[str, ...],
    ) -> Awaitable[Http1Response]:
        """Send a call on its wire; as `BedrockClient.open`."""
        match wire:
            case "bedrock_invoke" | "bedrock_converse":
                operation = _operation(wire, stream)
                return self._bedrock.open(
                    deployment, _given(credential), operation, body, first_byte_timeout_s=self._timeout_s
                )
            case "anthropic_messages":
                return self._anthropic.open(
                    deployment,
                    _bearer(credential),
                    body.parts if isinstance(body, Payload) else body,
                    stream=stream,
                    betas=betas,
                    first_byte_timeout_s=self._timeout_s,
                )
            case "openai_chat":
                return self._openai.open(
                    deployment,
                    _bearer(credential) if credential else None,
                    body.parts if isinstance(body, Payload) else body,
                    stream=stream,
                    first_byte_timeout_s=self._timeout_s,
                )

    async def count_tokens(
        self, deployment: Deployment, wire: Wire, credential: Credential | None, body: bytes | Payload
    ) -> int | None:
        """The provider's own count of a prompt, None where it has no such call. Raises as `open`."""
        if wire == "openai_chat":
            return None
        if wire == "anthropic_messages":
            response = await self._anthropic.count_tokens(
                deployment, _bearer(credential), bytes(body), first_byte_timeout_s=self._timeout_s
            )
            return (await _read(response, _AnthropicCount, self._timeout_s)).input_tokens
        response = await self._bedrock.open(
            deployment,
            _given(credential),
            "count-tokens",
            _count_body(wire, bytes(body)),
            first_byte_timeout_s=self._timeout_s,
        )
        return (await _read(response, _BedrockCount, self._timeout_s)).input_tokens


def _operation(wire: Wire, stream: bool) -> Operation:
    if wire == "bedrock_invoke":
        return "invoke-with-response-stream" if stream else "invoke"
    return "converse-stream" if stream else "converse"


def _count_body(wire: Wire, body: bytes) -> bytes:
    """The body of CountTokens for a body of InvokeModel or Converse."""
    if wire == "bedrock_invoke":
        return b'{"input":{"invokeModel":{"body":"%b"}}}' % binascii.b2a_base64(body, newline=False)
    fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    kept = {name: fields[name] for name in ("messages", "system", "toolConfig") if name in fields}
    return msgspec.json.encode({"input": {"converse": kept}})


async def _read(response: Http1Response, kind: type[Count], timeout_s: float) -> Count:
    try:
        return msgspec.json.decode(await response.read(_COUNT_BYTES, timeout_s), type=kind)
    except msgspec.DecodeError as error:
        raise UpstreamUnavailable("The model provider's count cannot be read.") from error
    finally:
        response.close()


def _given(credential: Credential | None) -> Credential:
    if credential is None:
        raise StoreUnavailable("No credential is configured for this deployment.")
    return credential


def _bearer(credential: Credential | None) -> BearerCredential:
    if not isinstance(credential, BearerCredential):
        raise StoreUnavailable("No API key is configured for this deployment.")
    return credential
