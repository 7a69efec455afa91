"""Faults and answers on demand, as botocore and a plain socket see them."""

import asyncio
import contextlib
import http.client
import json
from urllib.parse import quote, urlsplit

import pytest
from botocore.eventstream import ChecksumMismatch
from botocore.exceptions import ClientError, EventStreamError
from urllib3.exceptions import ProtocolError

from sekisho.simulator.behaviours import find_directives, without_directives
from sekisho.simulator.credentials import SIMULATOR_BEARER_TOKEN
from sekisho.simulator.exceptions import STATUS, AwsException
from sekisho.simulator.server import Simulator
from tests.contract.simulator.conftest import SONNET, Bedrock, running, text, user

HELLO = [user(text())]
ASK = {"modelId": SONNET, "messages": HELLO}
TOOLS = [
    {"toolSpec": {"name": name, "inputSchema": {"json": {"type": "object", "properties": {"n": {"type": "integer"}}}}}}
    for name in ("one", "two", "three")
]


def invoke(words: str = "Hello") -> dict[str, str]:
    messages = [{"role": "user", "content": words}]
    request = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 4000, "messages": messages}
    return {"modelId": SONNET, "body": json.dumps(request)}


def ask_raw(url: str, operation: str, words: str) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    """A connection without boto3, and the answer on it, not read yet."""
    connection = http.client.HTTPConnection(str(urlsplit(url).netloc), timeout=20)
    body = json.dumps({"messages": [user(text(words))]})
    headers = {"authorization": f"Bearer {SIMULATOR_BEARER_TOKEN}"}
    connection.request("POST", f"/model/{quote(SONNET, safe='')}/{operation}", body, headers)
    return connection, connection.getresponse()


def read_raw(url: str, operation: str, words: str, size: int | None = None) -> bytes:
    """The first bytes of an answer, or all of them."""
    connection, answer = ask_raw(url, operation, words)
    with contextlib.closing(connection), answer:
        return answer.read(size)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("throttle", "ThrottlingException"),
        ("unavailable", "ServiceUnavailableException"),
        ("internal", "InternalServerException"),
        ("validation", "ValidationException"),
        ("access_denied", "AccessDeniedException"),
        ("not_ready", "ModelNotReadyException"),
        ("timeout", "ModelTimeoutException"),
        ("model_error", "ModelErrorException"),
        ("quota", "ServiceQuotaExceededException"),
    ],
)
async def test_refusals_come_once_on_every_operation(
    bedrock: Bedrock, simulator: Simulator, name: str, code: str
) -> None:
    simulator.fail_next(name, 2)
    for operation in ("converse", "converse_stream"):
        assert (await bedrock.refusal(operation, **ASK))[:2] == (code, STATUS[code])
    assert (await bedrock.call("converse", **ASK))["stopReason"] == "end_turn"
    words = f"Hello [[simulate: {name}]]"
    for operation in ("invoke_model", "invoke_model_with_response_stream"):
        assert (await bedrock.refusal(operation, **invoke(words)))[:2] == (code, STATUS[code])


async def test_a_directive_with_times_passes_afterwards(bedrock: Bedrock) -> None:
    ask = {"modelId": SONNET, "messages": [user(text("[[simulate: throttle times=2]]"))]}
    for _ in "ab":
        assert (await bedrock.refusal("converse", **ask))[0] == "ThrottlingException"
    assert (await bedrock.call("converse", **ask))["stopReason"] == "end_turn"


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("model", "modelStreamErrorException"),
        ("throttle", "throttlingException"),
        ("internal", "internalServerException"),
        ("unavailable", "serviceUnavailableException"),
        ("validation", "validationException"),
    ],
)
async def test_an_exception_mid_stream_comes_after_its_events(
    bedrock: Bedrock, simulator: Simulator, kind: str, code: str
) -> None:
    simulator.fail_next("mid_stream_exception", kind=kind, after=4)
    seen, error = await bedrock.events_until("converse_stream", **ASK)
    assert isinstance(error, EventStreamError)
    assert (len(seen), error.response["Error"]["Code"]) == (4, code)


async def test_without_a_stream_the_same_fault_is_a_status(bedrock: Bedrock) -> None:
    refusal = await bedrock.refusal("invoke_model", **invoke("[[simulate: mid_stream_exception]]"))
    assert refusal[:2] == ("ModelErrorException", 424)
    refusal = await bedrock.refusal("invoke_model", **invoke("[[simulate: mid_stream_exception kind=throttle]]"))
    assert refusal[:2] == ("ThrottlingException", 429)


@pytest.mark.parametrize("operation", ["converse_stream", "invoke_model_with_response_stream"])
async def test_a_cut_stream_ends_inside_a_frame(bedrock: Bedrock, simulator: Simulator, operation: str) -> None:
    simulator.fail_next("cut", after=2)
    ask = ASK if operation == "converse_stream" else invoke()
    seen, error = await bedrock.events_until(operation, **ask)
    assert len(seen) == 2
    assert isinstance(error, ProtocolError)


async def test_a_cut_body_ends_early(url: str, simulator: Simulator) -> None:
    simulator.fail_next("cut")
    with pytest.raises(http.client.IncompleteRead):
        await asyncio.to_thread(read_raw, url, "converse", "Hello")


async def test_a_bad_checksum_is_noticed(bedrock: Bedrock, simulator: Simulator) -> None:
    simulator.fail_next("bad_crc", after=2)
    seen, error = await bedrock.events_until("converse_stream", **ASK)
    assert len(seen) == 2
    assert isinstance(error, ChecksumMismatch)


async def test_missing_metadata_leaves_the_counts_out(bedrock: Bedrock, simulator: Simulator) -> None:
    simulator.fail_next("missing_metadata", 4)
    assert "messageStop" in (await bedrock.events("converse_stream", **ASK))[-1]
    assert "usage" not in await bedrock.call("converse", **ASK)
    chunks = await bedrock.events("invoke_model_with_response_stream", **invoke())
    assert json.loads(chunks[-1]["chunk"]["bytes"]) == {"type": "message_stop"}
    assert "usage" not in json.loads((await bedrock.call("invoke_model", **invoke()))["body"].read())


async def test_a_stalled_stream_is_let_go_when_the_simulator_stops() -> None:
    async with running() as (_, url):
        connection, answer = await asyncio.to_thread(ask_raw, url, "converse-stream", "[[simulate: stall after=1]]")
        assert await asyncio.to_thread(answer.read, 8)
    with contextlib.closing(connection), answer, pytest.raises(http.client.HTTPException):
        await asyncio.to_thread(answer.read)


async def test_a_stalled_body_comes_after_its_time(url: str) -> None:
    assert b"end_turn" in await asyncio.to_thread(read_raw, url, "converse", "[[simulate: stall s=0.01]]")


async def test_a_client_may_leave_a_stalled_stream(url: str, simulator: Simulator) -> None:
    await asyncio.to_thread(read_raw, url, "converse-stream", "[[simulate: stall]]", 8)
    assert simulator.calls[0].status == 200


@pytest.mark.parametrize("operation", ["converse", "converse_stream"])
async def test_a_slow_first_token_delays_and_loses_nothing(bedrock: Bedrock, operation: str) -> None:
    ask = {"modelId": SONNET, "messages": [user(text("[[simulate: slow_first_token s=0.01]]"))]}
    answer = await (bedrock.events if operation == "converse_stream" else bedrock.call)(operation, **ask)
    assert answer


async def test_paced_streams_are_whole() -> None:
    async with running(pace_s=0.0001) as (_, url):
        assert b'"totalTokens"' in await asyncio.to_thread(read_raw, url, "converse-stream", "Hello")


async def test_an_answer_of_a_wanted_length(bedrock: Bedrock) -> None:
    answer = await bedrock.call("converse", modelId=SONNET, messages=[user(text("[[simulate: tokens out=321]]"))])
    assert answer["usage"]["outputTokens"] == 321


async def test_an_answer_in_so_many_words(bedrock: Bedrock) -> None:
    asked = user(text('[[simulate: say text="a \\"quoted\\" word"]]'))
    answer = await bedrock.call("converse", modelId=SONNET, messages=[asked])
    assert answer["output"]["message"]["content"] == [{"text": 'a "quoted" word'}]


async def test_a_tool_call_of_choice(bedrock: Bedrock) -> None:
    asked = user(text('[[simulate: tool name=two input={"n": 3, "deep": {"a": "b c"}}]]'))
    answer = await bedrock.call("converse", modelId=SONNET, messages=[asked], toolConfig={"tools": TOOLS})
    (block,) = answer["output"]["message"]["content"]
    assert (block["toolUse"]["name"], block["toolUse"]["input"]) == ("two", {"n": 3, "deep": {"a": "b c"}})


async def test_parallel_tool_calls_have_ids_of_their_own(bedrock: Bedrock) -> None:
    asked = user(text("[[simulate: parallel_tools n=3]]"))
    answer = await bedrock.call("converse", modelId=SONNET, messages=[asked], toolConfig={"tools": TOOLS})
    uses = [block["toolUse"] for block in answer["output"]["message"]["content"] if "toolUse" in block]
    assert [use["name"] for use in uses] == ["one", "two", "three"]
    assert len({use["toolUseId"] for use in uses}) == 3


async def test_thinking_on_demand(bedrock: Bedrock) -> None:
    asked = user(text("[[simulate: thinking]]"))
    answer = await bedrock.call("converse", modelId=SONNET, messages=[asked])
    assert "reasoningText" in answer["output"]["message"]["content"][0]["reasoningContent"]


@pytest.mark.parametrize(
    ("directive", "words"),
    [
        ("flood", "knows no behaviour flood"),
        ("tokens out=many", "cannot read out=many of tokens as a number"),
        ("stop_reason=tired", "knows the stop reasons end_turn"),
        ("tool name=none", "only a tool of the request"),
        ("parallel_tools", "only with tools in the request"),
        ("mid_stream_exception kind=odd", "can end a stream with kind="),
    ],
)
async def test_a_directive_that_cannot_be_followed_is_refused(bedrock: Bedrock, directive: str, words: str) -> None:
    with pytest.raises(ClientError, match=words):
        await bedrock.call("converse", modelId=SONNET, messages=[user(text(f"[[simulate: {directive}]]"))])


async def test_tool_input_that_is_no_json_is_refused(bedrock: Bedrock) -> None:
    asked = user(text("[[simulate: tool name=one input={]]"))
    refusal = await bedrock.refusal("converse", modelId=SONNET, messages=[asked], toolConfig={"tools": TOOLS})
    assert "cannot read input= as JSON" in refusal[2]


def test_fail_next_knows_the_names(simulator: Simulator) -> None:
    with pytest.raises(AwsException, match="knows no behaviour flood"):
        simulator.fail_next("flood")


def test_directives_are_found_and_removed() -> None:
    words = "Hi [[simulate: stop_reason=max_tokens]] there [[simulate: stall s=3 after=2]]"
    assert [(asked.name, asked.args) for asked in find_directives(words)] == [
        ("stop_reason", {"stop_reason": "max_tokens"}),
        ("stall", {"s": "3", "after": "2"}),
    ]
    assert without_directives(words) == "Hi  there"
