"""On the wire our calls are those of the official clients, and we know every error these clients know."""

import asyncio
import typing
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from unittest import mock

import anthropic
import boto3
import openai
import pytest
from anthropic._constants import ANTHROPIC_API_VERSION
from anthropic.types import shared
from botocore import auth
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.session import Session

from sekisho.clock import FakeClock
from sekisho.dialects.anthropic_messages.faults import MEANINGS as ANTHROPIC_MEANINGS
from sekisho.dialects.bedrock.faults import MEANINGS as BEDROCK_MEANINGS
from sekisho.upstream.anthropic import AnthropicClient
from sekisho.upstream.bedrock.client import BedrockClient
from sekisho.upstream.http1 import Http1Client
from sekisho.upstream.openai_compatible import OpenAICompatibleClient
from sekisho.values import AwsCredential, BearerCredential, Deployment
from tests.unit.upstream.servers import Request, Wire, answer, serving

REGION = "ap-northeast-1"
KEYS = AwsCredential("AKIDEXAMPLE", "secret", "session")


async def sent_by(*callers: Callable[[str, Http1Client], Awaitable[object]]) -> list[Request]:
    """The one request that each caller sends to a server that answers every call with an empty object."""
    seen: list[Request] = []

    async def script(wire: Wire) -> None:
        while True:
            seen.append(await wire.request())
            await wire.say(answer(b"{}", b"Content-Type: application/json"))

    http = Http1Client()
    async with serving(script) as server:
        for caller in callers:
            await caller(server.url, http)
        await http.close()
    return seen


def headers_of(request: Request) -> dict[str, str]:
    return {name.decode().lower(): value.decode() for name, value in request.headers}


@pytest.mark.parametrize(
    "model",
    [
        "anthropic.claude-opus-5-5",
        "jp.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "arn:aws:bedrock:ap-northeast-1:111122223333:application-inference-profile/a1b2c3d4e5f6",
    ],
)
async def test_bedrock_calls_have_the_target_of_boto3_and_a_signature_botocore_agrees_with(model: str) -> None:
    def with_boto3(url: str) -> None:
        client = boto3.client(
            "bedrock-runtime",
            endpoint_url=url,
            region_name=REGION,
            aws_access_key_id="x",
            aws_secret_access_key="x",
            config=Config(retries={"total_max_attempts": 1}),
        )
        client.converse(modelId=model, messages=[{"role": "user", "content": [{"text": "hi"}]}])
        client.close()

    async def theirs(url: str, _: Http1Client) -> None:
        await asyncio.to_thread(with_boto3, url)

    async def ours(url: str, http: Http1Client) -> None:
        deployment = Deployment("d1", "bedrock", "bedrock_converse", url, model, region=REGION)
        client = BedrockClient(http, FakeClock())
        (await client.open(deployment, KEYS, "converse", b'{"a":1}', first_byte_timeout_s=10)).close()

    their_request, our_request = await sent_by(theirs, ours)
    assert our_request.line == their_request.line

    headers = headers_of(our_request)
    signed_names = headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    target = our_request.line.split()[1].decode()
    request = AWSRequest("POST", f"http://{headers['host']}{target}", data=our_request.body)
    for name in signed_names:
        if not name.startswith("x-amz-"):
            request.headers[name] = headers[name]
    moment = datetime.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    with mock.patch.object(auth, "get_current_datetime", lambda: moment):
        keys = Credentials(KEYS.access_key_id, KEYS.secret_access_key, KEYS.session_token)
        SigV4Auth(keys, "bedrock", REGION).add_auth(request)
    assert headers["authorization"] == request.headers["Authorization"]


def test_every_exception_of_the_bedrock_runtime_has_a_meaning() -> None:
    model = Session().get_service_model("bedrock-runtime")
    assert {shape.name for shape in model.error_shapes} <= BEDROCK_MEANINGS.keys()


async def test_anthropic_calls_have_the_target_and_headers_of_the_official_client() -> None:
    async def theirs(url: str, _: Http1Client) -> None:
        async with anthropic.AsyncAnthropic(api_key="sk-ant-x", base_url=url, max_retries=0) as client:
            await client.beta.messages.with_raw_response.create(
                model="m", max_tokens=1, messages=[{"role": "user", "content": "hi"}], betas=["a-1", "b-2"]
            )
            await client.messages.with_raw_response.count_tokens(
                model="m", messages=[{"role": "user", "content": "hi"}]
            )

    async def ours(url: str, http: Http1Client) -> None:
        deployment = Deployment("d1", "anthropic", "anthropic_messages", url, "m")
        client, key = AnthropicClient(http), BearerCredential("sk-ant-x")
        opened = await client.open(
            deployment,
            key,
            b"{}",
            stream=False,
            betas=("a-1", "b-2"),
            version=ANTHROPIC_API_VERSION,
            first_byte_timeout_s=10,
        )
        opened.close()
        counted = await client.count_tokens(
            deployment, key, b"{}", version=ANTHROPIC_API_VERSION, first_byte_timeout_s=10
        )
        counted.close()

    seen = await sent_by(theirs, ours)
    names = ("anthropic-version", "anthropic-beta", "content-type", "accept")
    calls = [
        (request.line.replace(b"?beta=true", b""), *(headers_of(request).get(name) for name in names))
        for request in seen
    ]
    assert calls[2:] == calls[:2]


def test_every_error_type_of_the_anthropic_client_has_a_meaning() -> None:
    members = typing.get_args(typing.get_args(shared.ErrorObject)[0])
    types = {typing.get_args(member.model_fields["type"].annotation)[0] for member in members}
    assert len(types) > 5
    assert types <= ANTHROPIC_MEANINGS.keys()


async def test_openai_calls_have_the_target_and_key_of_the_official_client() -> None:
    async def theirs(url: str, _: Http1Client) -> None:
        async with openai.AsyncOpenAI(api_key="sk-x", base_url=f"{url}/v1", max_retries=0) as client:
            await client.chat.completions.with_raw_response.create(
                model="m", messages=[{"role": "user", "content": "hi"}]
            )

    async def ours(url: str, http: Http1Client) -> None:
        deployment = Deployment("d1", "openai", "openai_chat", f"{url}/v1", "m")
        client = OpenAICompatibleClient(http)
        (await client.open(deployment, BearerCredential("sk-x"), b"{}", stream=False, first_byte_timeout_s=10)).close()

    calls = [
        (request.line, *(headers_of(request)[name] for name in ("authorization", "content-type", "accept")))
        for request in await sent_by(theirs, ours)
    ]
    assert calls[0] == calls[1]
