"""A call that a hard budget has little room for is made to fit: one attempt, a counted prompt, a shorter answer."""

import base64
import json
import re
from typing import Any

import httpx
import pytest
from botocore.eventstream import EventStreamBuffer
from msgspec.structs import replace

from sekisho.errors import UpstreamRejected, UpstreamTimeout
from sekisho.upstream.providers import Providers
from sekisho.values import Budget, Scope, Window
from tests.acceptance.conftest import ALICE, Gateway
from tests.acceptance.test_budgets import put

CLAUDE, NOVA = "claude-sonnet-4-5", "nova-pro"
WINDOW = Window("day", "Asia/Tokyo")
LONG_CALL = json.dumps({"text": "x" * 12_000})
SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
USD = 1_000_000_000


def prompt(wish: str) -> str:
    return f"[[simulate: {wish}]] Write."


def request(door: str, model: str, wish: str, stream: bool, most: int) -> tuple[str, dict[str, Any]]:
    """A path and a body that asks the model for something; a tool "write" is there."""
    text = prompt(wish)
    function = {"name": "write", "description": "Writes.", "parameters": SCHEMA}
    if door == "openai_chat":
        body = {"model": model, "max_tokens": most, "stream": stream, "messages": [{"role": "user", "content": text}]}
        return "/v1/chat/completions", body | {"tools": [{"type": "function", "function": function}]}
    if door == "openai_responses":
        body = {"model": model, "max_output_tokens": most, "stream": stream, "input": text}
        return "/v1/responses", body | {"tools": [{"type": "function", **function}]}
    if door == "bedrock_converse":
        spec = {"name": "write", "description": "Writes.", "inputSchema": {"json": SCHEMA}}
        body = {"messages": [{"role": "user", "content": [{"text": text}]}], "inferenceConfig": {"maxTokens": most}}
        return f"/model/{model}/converse{'-stream' * stream}", body | {"toolConfig": {"tools": [{"toolSpec": spec}]}}
    body = {"max_tokens": most, "messages": [{"role": "user", "content": text}]}
    body["tools"] = [{"name": "write", "description": "Writes.", "input_schema": SCHEMA}]
    if door == "anthropic_messages":
        return "/v1/messages", body | {"model": model, "stream": stream}
    path = f"/model/{model}/invoke{'-with-response-stream' * stream}"
    return path, body | {"anthropic_version": "bedrock-2023-05-31"}


async def send(gateway: Gateway, path: str, body: dict[str, Any], **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(timeout=60) as client:
        auth = {"authorization": f"Bearer {ALICE}"}
        return await client.post(gateway.url + path, json=body, headers=auth | headers)


def told(answer: httpx.Response, door: str, stream: bool) -> str:
    """All that the client was sent, with frames and base64 taken off."""
    if not stream or not door.startswith("bedrock"):
        return answer.text
    buffer = EventStreamBuffer()
    buffer.add_data(answer.content)
    payloads = [json.loads(event.payload) | event.headers for event in buffer]
    if door == "bedrock_converse":
        return json.dumps(payloads, separators=(",", ":"))
    return "\n".join(base64.b64decode(payload["bytes"]).decode() for payload in payloads)


ENDS = {  # the good end of each dialect
    ("openai_chat", True): ('"finish_reason":"stop"', "data: [DONE]"),
    ("openai_chat", False): ('"finish_reason":"stop"',),
    ("openai_responses", True): ("event: response.completed", '"status":"completed"'),
    ("openai_responses", False): ('"status":"completed"',),
    ("anthropic_messages", True): ('"stop_reason":"end_turn"', "event: message_stop"),
    ("anthropic_messages", False): ('"stop_reason":"end_turn"',),
    ("bedrock_invoke", True): ('"stop_reason":"end_turn"', '"type":"message_stop"'),
    ("bedrock_invoke", False): ('"stop_reason":"end_turn"',),
    ("bedrock_converse", True): ('"stopReason":"end_turn"', '"inputTokens"'),
    ("bedrock_converse", False): ('"stopReason":"end_turn"', '"inputTokens"'),
}


@pytest.mark.parametrize("model", [CLAUDE, NOVA])
@pytest.mark.parametrize(("door", "stream"), list(ENDS))
async def test_an_answer_cut_by_the_clamp_ends_with_the_budgets_name_and_no_half_tool_call(
    gateway: Gateway, door: str, stream: bool, model: str
) -> None:
    room = room_for(gateway, model, 6_000, 1_500)
    await put_room(gateway, room)
    path, body = request(door, model, f'tool name="write" input={LONG_CALL}', stream, 4_500)
    answer = await send(gateway, path, body)
    text = told(answer, door, stream)
    (opened,) = gateway.journal.opened
    (settled,) = gateway.journal.settled
    assert answer.status_code == 200, answer.text
    assert all(end in text for end in ENDS[door, stream]), text[:3000]
    assert "[Sekisho] The answer ends here" in text and "this key's budget" in text and "Asia/Tokyo" in text
    assert "xxxxxx" not in text and "tool_use" not in text and "toolUse" not in text and "call_" not in text
    assert 1024 <= opened.clamped_tokens < 4_500
    counted, sent = list(gateway.simulator.calls)  # the prompt's bytes did not fit, but its tokens do
    assert counted.operation == "CountTokens"
    assert str(opened.clamped_tokens) in sent.body.decode()
    assert settled.usage.output_tokens > 1000 and settled.stop_reason == "max_tokens"
    assert 0 < settled.cost_nanousd <= opened.reserved_nanousd <= room


def room_for(gateway: Gateway, model: str, prompt_tokens: int, output_tokens: int) -> int:
    """What so many tokens cost at most."""
    price = gateway.registry.models[model].deployments[0].price
    assert price is not None
    prompt_price = max(price.base.input, price.base.cache_write_5m)
    return (price.base.output * output_tokens + prompt_price * prompt_tokens) // 1000


async def put_room(gateway: Gateway, room: int) -> None:
    await put(gateway, (Budget(f"b{room}", Scope("key", "alice"), room, WINDOW),))


HELLO = {"model": CLAUDE, "max_tokens": 20_000, "messages": [{"role": "user", "content": "Hello"}]}


async def test_an_answer_that_is_short_enough_says_nothing_of_the_clamp(gateway: Gateway) -> None:
    await put_room(gateway, room_for(gateway, CLAUDE, 1_500, 2_000))
    answer = await send(gateway, "/v1/messages", HELLO)
    assert answer.status_code == 200 and "[Sekisho]" not in answer.text
    assert 2_000 <= gateway.journal.opened[0].clamped_tokens < 3_000
    assert [one.reserved_nanousd for one in await gateway.counters.standings()] == [0]


async def test_no_answer_is_made_shorter_than_the_floor(gateway: Gateway) -> None:
    await put_room(gateway, room_for(gateway, CLAUDE, 1_200, 900))
    answer = await send(gateway, "/v1/messages", HELLO)
    assert (answer.status_code, answer.json()["error"]["details"]["error_code"]) == (400, "budget_exceeded")
    assert not gateway.journal.opened and not list(gateway.simulator.calls)


async def test_no_answer_is_made_shorter_than_what_the_agent_has_needed(gateway: Gateway) -> None:
    await put_room(gateway, 100 * USD)
    wordy = HELLO | {"messages": [{"role": "user", "content": "[[simulate: tokens out=3000]]"}]}
    for _ in range(9):
        assert (await send(gateway, "/v1/messages", wordy, **{"user-agent": "claude-cli/2.1"})).status_code == 200
    spent = sum(one.cost_nanousd for one in gateway.journal.settled)
    await put_room(gateway, spent + room_for(gateway, CLAUDE, 1_500, 2_000))
    assert (await send(gateway, "/v1/messages", HELLO, **{"user-agent": "claude-cli/2.1"})).status_code == 400
    assert (await send(gateway, "/v1/messages", HELLO, **{"user-agent": "curl/8"})).status_code == 200


@pytest.mark.parametrize(("path", "holder"), [("/v1/messages", ""), (f"/model/{CLAUDE}/converse", "more")])
async def test_the_thinking_budget_shrinks_with_the_answer_and_stays_legal(
    gateway: Gateway, path: str, holder: str
) -> None:
    thinking = {"type": "enabled", "budget_tokens": 15_000}
    if holder:
        body: dict[str, Any] = {"messages": [{"role": "user", "content": [{"text": "Hello"}]}]}
        body |= {"inferenceConfig": {"maxTokens": 20_000}, "additionalModelRequestFields": {"thinking": thinking}}
    else:
        body = HELLO | {"thinking": thinking}
    await put_room(gateway, room_for(gateway, CLAUDE, 1_500, 4_000))
    answer = await send(gateway, path, body)
    assert answer.status_code == 200, answer.text
    (sent,) = list(gateway.simulator.calls)
    said = json.loads(sent.body)
    most = said["inferenceConfig"]["maxTokens"] if holder else said["max_tokens"]
    budget = (said["additionalModelRequestFields"] if holder else said)["thinking"]["budget_tokens"]
    assert 4_000 <= most < 5_000 and 1024 <= budget == most * 15_000 // 20_000


async def test_a_converse_call_without_a_length_is_given_one(gateway: Gateway) -> None:
    await put_room(gateway, room_for(gateway, NOVA, 1_500, 2_000))
    answer = await send(
        gateway, f"/model/{NOVA}/converse", {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}
    )
    assert answer.status_code == 200, answer.text
    (sent,) = list(gateway.simulator.calls)
    assert json.loads(sent.body)["inferenceConfig"]["maxTokens"] == gateway.journal.opened[0].clamped_tokens


@pytest.mark.parametrize(("door", "stream"), list(ENDS))
async def test_whole_tool_calls_stay_and_the_words_stand_before_them(gateway: Gateway, door: str, stream: bool) -> None:
    await put_room(gateway, room_for(gateway, CLAUDE, 1_900, 1_100))
    path, body = request(door, CLAUDE, "parallel_tools n=200", stream, 9_000)
    answer = await send(gateway, path, body)
    text = told(answer, door, stream)
    assert answer.status_code == 200, text[:1000]
    reason = {"openai_chat": "tool_calls", "openai_responses": "completed"}.get(door, "tool_use")
    assert f'"{reason}"' in text and "[Sekisho] The answer ends here" in text
    calls = len(set(re.findall(r'"((?:call|tooluse|toolu)_\w+)"', text)))
    assert 1 < calls < 200
    if door == "anthropic_messages":
        assert text.index("[Sekisho] The answer ends here") < text.index('"tool_use"')


@pytest.mark.parametrize("fault", [UpstreamRejected("This model does not count."), UpstreamTimeout(), TimeoutError()])
async def test_a_prompt_that_its_provider_does_not_count_is_bounded_by_its_bytes(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    async def fails(*_: object, **__: object) -> int:
        raise fault

    await put_room(gateway, room_for(gateway, CLAUDE, 6_000, 1_500))
    long = HELLO | {"max_tokens": 4_500, "messages": [{"role": "user", "content": "word " * 2_400}]}
    with monkeypatch.context() as patched:
        patched.setattr(Providers, "count_tokens", fails)
        answer = await send(gateway, "/v1/messages", long)
    assert (answer.status_code, answer.json()["error"]["details"]["error_code"]) == (400, "budget_exceeded")
    assert (await send(gateway, "/v1/messages", long)).status_code == 200


async def test_the_words_are_in_the_language_that_the_caller_prefers(gateway: Gateway) -> None:
    await put_room(gateway, room_for(gateway, CLAUDE, 1_500, 1_100))
    body = HELLO | {"messages": [{"role": "user", "content": "[[simulate: tokens out=9000]]"}]}
    answer = await send(gateway, "/v1/messages", body, **{"accept-language": "fr, ja-JP;q=0.9, en;q=0.5"})
    assert "このキーの予算の残りを使い切る" in answer.json()["content"][-1]["text"]
    refused = await send(gateway, "/v1/messages", body, **{"accept-language": "ja"})
    assert refused.status_code == 400 and "残りがありません" in refused.json()["error"]["message"]
    snapshot = gateway.registry.snapshot
    assert snapshot is not None
    gateway.registry.load(replace(snapshot, languages={"alice": "en"}, leads={"red": ("Bob",)}))
    refused = await send(gateway, "/v1/messages", body, **{"accept-language": "ja"})
    assert refused.json()["error"]["message"].endswith("ask your team lead (Bob).")
