"""What comes back: botocore reads every frame and every body."""

import asyncio
import base64
import http.client
import json
import struct
import zlib
from typing import Any, get_args
from urllib.parse import quote, urlsplit

import pytest

from sekisho.simulator.credentials import SIMULATOR_BEARER_TOKEN
from sekisho.simulator.server import Simulator
from sekisho.values import StopReason
from tests.contract.simulator.conftest import LLAMA, OPUS, SONNET, Bedrock, text, user

HELLO = [user(text())]
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
TOOLS = {"tools": [{"toolSpec": {"name": name, "inputSchema": {"json": SCHEMA}}} for name in ("read", "list")]}
THINKING = {"thinking": {"type": "enabled", "budget_tokens": 2000}}


def body(**differing: Any) -> str:
    request = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 4000, "messages": []}
    return json.dumps({**request, "messages": [{"role": "user", "content": "Hello"}], **differing})


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [next(iter(event)) for event in events]


def without_repeats(names: list[str]) -> list[str]:
    return [name for index, name in enumerate(names) if index == 0 or names[index - 1] != name]


def assembled(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The content blocks of a Converse stream, put together as the documentation says."""
    blocks: dict[int, dict[str, Any]] = {}
    for event in events:
        if "contentBlockStart" in event:
            start = event["contentBlockStart"]
            blocks[start["contentBlockIndex"]] = {"toolUse": {**start["start"]["toolUse"], "input": ""}}
        if "contentBlockDelta" not in event:
            continue
        index, delta = event["contentBlockDelta"]["contentBlockIndex"], event["contentBlockDelta"]["delta"]
        if "text" in delta:
            blocks.setdefault(index, {"text": ""})["text"] += delta["text"]
        elif "toolUse" in delta:
            blocks[index]["toolUse"]["input"] += delta["toolUse"]["input"]
        else:
            empty = {"reasoningContent": {"reasoningText": {"text": "", "signature": ""}}}
            reasoning = blocks.setdefault(index, empty)["reasoningContent"]["reasoningText"]
            for key, value in delta["reasoningContent"].items():
                reasoning[key] += value
    for block in blocks.values():
        if "toolUse" in block:
            block["toolUse"]["input"] = json.loads(block["toolUse"]["input"])
    return [blocks[index] for index in sorted(blocks)]


async def test_a_converse_stream_carries_the_same_answer_in_the_documented_order(
    bedrock: Bedrock, simulator: Simulator
) -> None:
    ask = {"modelId": SONNET, "messages": HELLO, "toolConfig": TOOLS, "additionalModelRequestFields": THINKING}
    simulator.fail_next("parallel_tools", times=2)
    events = await bedrock.events("converse_stream", **ask)
    whole = await bedrock.call("converse", **ask)
    blocks, expected = assembled(events), whole["output"]["message"]["content"]
    for block in blocks + expected:
        block.get("toolUse", {}).pop("toolUseId", None)
    assert blocks == expected
    assert [next(iter(block)) for block in blocks] == ["reasoningContent", "text", "toolUse", "toolUse"]
    assert kinds(events)[0] == "messageStart"
    assert kinds(events)[-2:] == ["messageStop", "metadata"]
    assert events[-2]["messageStop"]["stopReason"] == whole["stopReason"] == "tool_use"
    assert events[-1]["metadata"]["usage"] == whole["usage"]
    assert without_repeats(kinds(events))[1:3] == ["contentBlockDelta", "contentBlockStop"]


async def test_an_invoke_stream_carries_the_same_answer_as_anthropic_events(
    bedrock: Bedrock, simulator: Simulator
) -> None:
    tools = [{"name": "read", "input_schema": SCHEMA}]
    request = body(tools=tools, thinking=THINKING["thinking"])
    simulator.fail_next("tool", times=2, name="read", input='{"path": "a/rather/long/path/of/some/file.py"}')
    chunks = await bedrock.events("invoke_model_with_response_stream", modelId=SONNET, body=request)
    whole = json.loads((await bedrock.call("invoke_model", modelId=SONNET, body=request))["body"].read())
    events = [json.loads(chunk["chunk"]["bytes"]) for chunk in chunks]
    blocks: list[dict[str, Any]] = []
    for event in events:
        if event["type"] == "content_block_start":
            blocks.append(dict(event["content_block"]))
        elif event["type"] == "content_block_delta":
            add_delta(blocks[event["index"]], event["delta"])
    for block in blocks:
        if "partial" in block:
            block["input"] = json.loads(block.pop("partial"))
    for block in blocks + whole["content"]:
        block.pop("id", None)
    assert blocks == whole["content"]
    assert [block["type"] for block in blocks] == ["thinking", "tool_use"]
    assert without_repeats([event["type"] for event in events if not event["type"].startswith("content_block")]) == [
        "message_start",
        "message_delta",
        "message_stop",
    ]
    assert events[-2]["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}
    assert events[-2]["usage"]["output_tokens"] == whole["usage"]["output_tokens"]
    metrics = events[-1]["amazon-bedrock-invocationMetrics"]
    assert metrics["inputTokenCount"] == whole["usage"]["input_tokens"]
    assert metrics["outputTokenCount"] == whole["usage"]["output_tokens"]


def add_delta(block: dict[str, Any], delta: dict[str, str]) -> None:
    match delta["type"]:
        case "text_delta":
            block["text"] += delta["text"]
        case "thinking_delta":
            block["thinking"] += delta["thinking"]
        case "signature_delta":
            block["signature"] += delta["signature"]
        case "input_json_delta":
            block["partial"] = block.get("partial", "") + delta["partial_json"]


async def test_invoke_repeats_its_counts_in_headers(bedrock: Bedrock) -> None:
    answer = await bedrock.call("invoke_model", modelId=SONNET, body=body())
    usage = json.loads(answer["body"].read())["usage"]
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-amzn-bedrock-input-token-count"] == str(usage["input_tokens"])
    assert headers["x-amzn-bedrock-output-token-count"] == str(usage["output_tokens"])
    assert headers["x-amzn-bedrock-cache-read-input-token-count"] == "0"
    assert headers["x-amzn-bedrock-cache-write-input-token-count"] == "0"
    assert "x-amzn-bedrock-invocation-latency" in headers


async def test_every_answer_has_a_request_id(bedrock: Bedrock) -> None:
    ids = {
        (await bedrock.call("converse", modelId=SONNET, messages=HELLO))["ResponseMetadata"]["RequestId"] for _ in "ab"
    }
    assert len(ids) == 2


@pytest.mark.parametrize("reason", get_args(StopReason))
async def test_every_stop_reason_can_be_had(bedrock: Bedrock, reason: str) -> None:
    messages = [user(text(f"Hello [[simulate: stop_reason={reason}]]"))]
    assert (await bedrock.call("converse", modelId=LLAMA, messages=messages))["stopReason"] == reason
    events = await bedrock.events("converse_stream", modelId=LLAMA, messages=messages)
    assert events[-2]["messageStop"]["stopReason"] == reason


@pytest.mark.parametrize(
    ("reason", "expected"),
    [("content_filtered", "refusal"), ("guardrail_intervened", "end_turn"), ("max_tokens", "max_tokens")],
)
async def test_invoke_names_stop_reasons_as_anthropic_does(bedrock: Bedrock, reason: str, expected: str) -> None:
    request = body(messages=[{"role": "user", "content": f"[[simulate: stop_reason={reason}]]"}])
    answer = json.loads((await bedrock.call("invoke_model", modelId=SONNET, body=request))["body"].read())
    assert answer["stop_reason"] == expected
    assert ("amazon-bedrock-guardrailAction" in answer) == (reason == "guardrail_intervened")


async def test_invoke_has_no_stop_reason_for_malformed_output(bedrock: Bedrock) -> None:
    request = body(messages=[{"role": "user", "content": "[[simulate: stop_reason=malformed_tool_use]]"}])
    assert "by Converse" in (await bedrock.refusal("invoke_model", modelId=SONNET, body=request))[2]


async def test_max_tokens_cuts_the_answer(bedrock: Bedrock) -> None:
    answer = await bedrock.call("converse", modelId=SONNET, messages=HELLO, inferenceConfig={"maxTokens": 5})
    assert (answer["stopReason"], answer["usage"]["outputTokens"]) == ("max_tokens", 5)


async def test_a_cut_tool_call_leaves_incomplete_json_in_the_stream(bedrock: Bedrock, simulator: Simulator) -> None:
    simulator.fail_next("tool", times=2, name="read", input='{"path": "a/rather/long/path/of/some/file.py"}')
    ask = {"modelId": SONNET, "messages": HELLO, "toolConfig": TOOLS, "inferenceConfig": {"maxTokens": 10}}
    events = await bedrock.events("converse_stream", **ask)
    pieces = [
        event["contentBlockDelta"]["delta"]["toolUse"]["input"] for event in events if "contentBlockDelta" in event
    ]
    assert "".join(pieces) == '{"path":"a/r'
    whole = await bedrock.call("converse", **ask)
    assert whole["output"]["message"]["content"][0]["toolUse"]["input"] == {}
    assert whole["stopReason"] == "max_tokens"


async def test_a_stop_sequence_ends_the_answer_and_is_named(bedrock: Bedrock) -> None:
    ask = {"modelId": SONNET, "messages": HELLO, "inferenceConfig": {"stopSequences": ["reached", "You"]}}
    paths = {"additionalModelResponseFieldPaths": ["/stop_sequence", "/delta/stop_sequence"]}
    answer = await bedrock.call("converse", **ask, **paths)
    assert answer["output"]["message"]["content"] == [{"text": "Hello! "}]
    assert answer["stopReason"] == "stop_sequence"
    assert answer["additionalModelResponseFields"] == {"stop_sequence": "You"}
    events = await bedrock.events("converse_stream", **ask, **paths)
    assert events[-2]["messageStop"]["additionalModelResponseFields"] == {"delta": {"stop_sequence": "You"}}


async def test_the_context_window_ends_an_answer_that_no_longer_fits(bedrock: Bedrock) -> None:
    messages = [user(text("a" * 79_900 + "[[simulate: tokens out=500]]"))]
    answer = await bedrock.call("converse", modelId=SONNET, messages=messages)
    assert answer["stopReason"] == "model_context_window_exceeded"
    assert answer["usage"]["totalTokens"] == 20_000


async def test_a_model_whose_thinking_is_always_on_thinks_unasked(bedrock: Bedrock) -> None:
    answer = await bedrock.call("converse", modelId=OPUS, messages=HELLO)
    assert [next(iter(block)) for block in answer["output"]["message"]["content"]] == ["reasoningContent", "text"]


async def test_frames_carry_padding_and_both_checksums(url: str) -> None:
    """The bytes themselves, taken apart with struct and zlib."""

    def fetch() -> bytes:
        connection = http.client.HTTPConnection(str(urlsplit(url).netloc), timeout=20)
        path = f"/model/{quote(SONNET, safe='')}/converse-stream"
        request = json.dumps({"messages": HELLO})
        connection.request("POST", path, request, {"authorization": f"Bearer {SIMULATOR_BEARER_TOKEN}"})
        answer = connection.getresponse()
        assert answer.getheader("content-type") == "application/vnd.amazon.eventstream"
        raw = answer.read()
        connection.close()
        return raw

    raw, paddings = await asyncio.to_thread(fetch), []
    while raw:
        total, head, prelude_crc = struct.unpack("!III", raw[:12])
        frame, raw = raw[:total], raw[total:]
        assert prelude_crc == zlib.crc32(frame[:8])
        assert struct.unpack("!I", frame[-4:])[0] == zlib.crc32(frame[:-4])
        payload = json.loads(frame[12 + head : -4])
        paddings.append(payload["p"])
    assert len({len(padding) for padding in paddings}) > 3


async def test_a_raw_slash_or_an_unknown_path_is_no_operation(bedrock: Bedrock, url: str) -> None:
    def fetch(method: str, path: str) -> tuple[int, str | None]:
        connection = http.client.HTTPConnection(str(urlsplit(url).netloc), timeout=20)
        connection.request(method, path, b"{}", {"authorization": f"Bearer {SIMULATOR_BEARER_TOKEN}"})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status, answer.getheader("x-amzn-errortype")

    arn = f"arn:aws:bedrock:eu-central-1::foundation-model/{OPUS}"
    for method, path in (("POST", f"/model/{arn}/converse"), ("GET", f"/model/{OPUS}/converse"), ("POST", "/nothing")):
        status, error_type = await asyncio.to_thread(fetch, method, path)
        assert status == 404
        assert str(error_type).startswith("UnknownOperationException:")


async def test_a_body_over_the_limit_is_refused(bedrock: Bedrock) -> None:
    request = body(messages=[{"role": "user", "content": "a" * 25_000_000}])
    assert (await bedrock.refusal("invoke_model", modelId=SONNET, body=request))[1] == 413


async def test_count_tokens_agrees_with_the_usage_of_the_call(bedrock: Bedrock) -> None:
    bare = SONNET.removeprefix("eu.")
    converse = {"messages": HELLO, "system": [text("Be kind.")], "toolConfig": TOOLS}
    counted = await bedrock.call("count_tokens", modelId=bare, input={"converse": converse})
    answered = await bedrock.call("converse", modelId=SONNET, **converse)
    assert counted["inputTokens"] == answered["usage"]["inputTokens"]
    request = body(system="Be kind.")
    counted = await bedrock.call("count_tokens", modelId=SONNET, input={"invokeModel": {"body": request}})
    invoked = json.loads((await bedrock.call("invoke_model", modelId=SONNET, body=request))["body"].read())
    assert counted["inputTokens"] == invoked["usage"]["input_tokens"]


async def test_count_tokens_judges_its_input(bedrock: Bedrock) -> None:
    refusal = await bedrock.refusal("count_tokens", modelId=OPUS, input={"converse": {"messages": []}})
    assert refusal[:2] == ("ValidationException", 400)
    broken = base64.b64encode(b"{").decode()
    refusal = await bedrock.refusal("count_tokens", modelId=OPUS, input={"invokeModel": {"body": broken}})
    assert refusal[0] == "SerializationException"
