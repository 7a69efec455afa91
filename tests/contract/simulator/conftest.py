"""A running simulator with hand-made models, and boto3 as the client that it must satisfy."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import boto3
import pytest
import pytest_asyncio
from botocore import UNSIGNED
from botocore.client import BaseClient
from botocore.config import Config
from botocore.eventstream import ParserError as EventStreamParserError
from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from sekisho.clock import Clock, FakeClock, SystemClock
from sekisho.simulator.credentials import SIMULATOR_BEARER_TOKEN, SIMULATOR_CREDENTIAL
from sekisho.simulator.server import Simulator
from sekisho.values import AwsCredential, Deployment, Model, Quirks

SONNET = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
OPUS = "anthropic.claude-opus-5-5"
LLAMA = "meta.llama3-3-70b-instruct-v1:0"
GEMMA = "google.gemma-4-e2b"
REGION = "eu-central-1"


def model(name: str, upstream_model: str, quirks: Quirks, context_tokens: int, max_output_tokens: int) -> Model:
    deployment = Deployment(name, "bedrock", "bedrock_converse", "http://127.0.0.1", upstream_model, REGION)
    return Model(name, name, context_tokens, max_output_tokens, quirks, (deployment,))


MODELS = (
    model(
        "sonnet",
        SONNET,
        Quirks(
            thinking=("enabled", "disabled"),
            images=True,
            documents=True,
            json_schema=True,
            cache_min_tokens=64,
            cache_ttl_1h=True,
        ),
        context_tokens=20_000,
        max_output_tokens=8_000,
    ),
    model(
        "opus",
        OPUS,
        Quirks(
            thinking=("adaptive",),
            thinking_always_on=True,
            effort=True,
            sampling=False,
            prefill=False,
            forced_tool_choice=False,
            images=True,
            cache_min_tokens=64,
        ),
        context_tokens=1_000_000,
        max_output_tokens=128_000,
    ),
    model("llama", LLAMA, Quirks(), context_tokens=128_000, max_output_tokens=4_096),
    model("gemma", GEMMA, Quirks(tools=False, system=False), context_tokens=128_000, max_output_tokens=4_096),
)


class Bedrock:
    """boto3 in a thread, and what it sees: answers, or the name and message of the exception."""

    def __init__(self, client: BaseClient) -> None:
        self._client = client

    async def call(self, operation: str, **request: Any) -> Any:
        return await asyncio.to_thread(getattr(self._client, operation), **request)

    async def events(self, operation: str, **request: Any) -> list[dict[str, Any]]:
        """All events of a streamed answer."""
        seen, error = await self.events_until(operation, **request)
        if error is not None:
            raise error
        return seen

    async def events_until(self, operation: str, **request: Any) -> tuple[list[dict[str, Any]], Exception | None]:
        """The events of a streamed answer, and the error that ended it, if one did."""
        key = "stream" if operation == "converse_stream" else "body"

        def read() -> tuple[list[dict[str, Any]], Exception | None]:
            seen = list[dict[str, Any]]()
            with contextlib.closing(getattr(self._client, operation)(**request)[key]) as stream:
                try:
                    for event in stream:  # not `extend`: what came before an error counts
                        seen.append(event)
                except (ClientError, BotoCoreError, EventStreamParserError, HTTPError) as error:
                    return seen, error
            return seen, None

        return await asyncio.to_thread(read)

    async def refusal(self, operation: str, **request: Any) -> tuple[str, int, str]:
        """The code, status and message of the refusal."""
        with pytest.raises(ClientError) as caught:
            await self.call(operation, **request)
        response = caught.value.response
        return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Message"]


@contextlib.contextmanager
def connected(
    url: str,
    credential: AwsCredential = SIMULATOR_CREDENTIAL,
    *,
    region: str = REGION,
    service: str = "bedrock-runtime",
) -> Iterator[Bedrock]:
    """A boto3 client that checks nothing itself and never repeats."""
    client = boto3.client(
        service,
        region_name=region,
        endpoint_url=url,
        aws_access_key_id=credential.access_key_id,
        aws_secret_access_key=credential.secret_access_key,
        aws_session_token=credential.session_token or None,
        config=Config(retries={"total_max_attempts": 1}, parameter_validation=False, read_timeout=20),
    )
    try:
        yield Bedrock(client)
    finally:
        client.close()


@contextlib.asynccontextmanager
async def running(clock: Clock | None = None, **settings: Any) -> AsyncIterator[tuple[Simulator, str]]:
    """A simulator of the test models on a free port."""
    simulator = Simulator(MODELS, clock=clock or SystemClock(), **settings)
    url = await simulator.start()
    try:
        yield simulator, url
    finally:
        await simulator.stop()


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands at the real time, because boto3 signs with the real time."""
    return FakeClock(SystemClock().now_us())


@pytest.fixture
async def started(clock: FakeClock) -> AsyncIterator[tuple[Simulator, str]]:
    async with running(clock) as pair:
        yield pair


@pytest.fixture
def simulator(started: tuple[Simulator, str]) -> Simulator:
    return started[0]


@pytest.fixture
def url(started: tuple[Simulator, str]) -> str:
    return started[1]


@pytest.fixture
def bedrock(url: str) -> Iterator[Bedrock]:
    with connected(url) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[Bedrock]:
    """A client of one simulator for a whole module of tests that leave nothing behind."""
    async with running() as (_, url):
        with connected(url) as client:
            yield client


@pytest.fixture
def bearer(url: str) -> Iterator[Bedrock]:
    """A client with a long-term API key, which carries no time.

    boto3 sends such keys over TLS only, so the header is put on by hand."""
    config = Config(signature_version=UNSIGNED, retries={"total_max_attempts": 1}, parameter_validation=False)
    client = boto3.client("bedrock-runtime", region_name=REGION, endpoint_url=url, config=config)

    def put_key(request: Any, **_: Any) -> None:
        request.headers["Authorization"] = f"Bearer {SIMULATOR_BEARER_TOKEN}"

    client.meta.events.register("before-send", put_key)
    try:
        yield Bedrock(client)
    finally:
        client.close()


def user(*content: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(content)}


def assistant(*content: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": list(content)}


def text(value: str = "Hello") -> dict[str, Any]:
    return {"text": value}
