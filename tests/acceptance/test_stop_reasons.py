"""All nine stop reasons of Bedrock, through every door, whole and streamed: each in the words that agents act on."""

import json
from typing import Any, get_args

import httpx
import pytest
from botocore.eventstream import EventStreamBuffer

from sekisho.values import StopReason
from tests.acceptance.conftest import ALICE, Gateway

CHAT = {
    "end_turn": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "stop_sequence": "stop",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
    "malformed_model_output": "stop",
    "malformed_tool_use": "stop",
    "model_context_window_exceeded": "length",
}
MESSAGES = {
    "end_turn": "end_turn",
    "tool_use": "tool_use",
    "max_tokens": "max_tokens",
    "stop_sequence": "stop_sequence",
    "guardrail_intervened": "end_turn",
    "content_filtered": "refusal",
    "malformed_model_output": "end_turn",
    "malformed_tool_use": "end_turn",
    "model_context_window_exceeded": "model_context_window_exceeded",
}
# the status of the response, and its reason if it is incomplete; of a filtered stream see below
RESPONSES = {
    "end_turn": ("completed", None),
    "tool_use": ("completed", None),
    "max_tokens": ("incomplete", "max_output_tokens"),
    "stop_sequence": ("completed", None),
    "guardrail_intervened": ("incomplete", "content_filter"),
    "content_filtered": ("incomplete", "content_filter"),
    "malformed_model_output": ("completed", None),
    "malformed_tool_use": ("completed", None),
    "model_context_window_exceeded": ("incomplete", "max_output_tokens"),
}
REASONS: tuple[str, ...] = get_args(StopReason)
MODELS = ("nova-pro", "claude-sonnet-4-5")


def prompt(reason: str) -> str:
    return f"[[simulate: stop_reason={reason}]] Hello"


async def ask(gateway: Gateway, path: str, body: dict[str, Any]) -> httpx.Response:
    async with httpx.AsyncClient(timeout=30) as client:
        answer = await client.post(gateway.url + path, json=body, headers={"authorization": f"Bearer {ALICE}"})
    assert answer.status_code == 200, answer.text
    return answer


def events(answer: httpx.Response) -> list[dict[str, Any]]:
    """The JSON of a stream's events, in order, without OpenAI's [DONE]."""
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def frames(answer: httpx.Response) -> list[tuple[str, dict[str, Any]]]:
    """Kind and payload of each frame of Bedrock's event stream, as botocore reads it."""
    assert answer.headers["content-type"] == "application/vnd.amazon.eventstream"
    buffer = EventStreamBuffer()
    buffer.add_data(answer.content)
    return [(message.headers[":event-type"], json.loads(message.payload)) for message in buffer]


def assert_settled(gateway: Gateway, reason: str) -> None:
    assert [one.stop_reason for one in gateway.journal.settled] == [reason, reason]
    assert all(one.status == "ok" and one.is_metered for one in gateway.journal.settled)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("reason", REASONS)
async def test_chat(gateway: Gateway, model: str, reason: str) -> None:
    body = {"model": model, "messages": [{"role": "user", "content": prompt(reason)}]}
    whole = await ask(gateway, "/v1/chat/completions", body)
    stream = await ask(gateway, "/v1/chat/completions", body | {"stream": True})
    assert whole.headers["content-type"] == "application/json"
    assert whole.json()["choices"][0]["finish_reason"] == CHAT[reason]
    assert stream.text.endswith("data: [DONE]\n\n")
    reasons = [choice["finish_reason"] for chunk in events(stream) for choice in chunk["choices"]]
    assert [one for one in reasons if one] == [CHAT[reason]] == reasons[-1:]
    assert_settled(gateway, reason)


@pytest.mark.parametrize("reason", REASONS)
async def test_messages_of_another_family(gateway: Gateway, reason: str) -> None:
    body = {"model": "nova-pro", "max_tokens": 500, "messages": [{"role": "user", "content": prompt(reason)}]}
    whole = await ask(gateway, "/v1/messages", body)
    stream = await ask(gateway, "/v1/messages", body | {"stream": True})
    assert whole.headers["content-type"] == "application/json"
    assert whole.json()["stop_reason"] == MESSAGES[reason]
    assert [event["type"] for event in events(stream)][-2:] == ["message_delta", "message_stop"]
    assert events(stream)[-2]["delta"]["stop_reason"] == MESSAGES[reason]
    assert_settled(gateway, reason)


# what InvokeModel of Claude has words for
@pytest.mark.parametrize(
    "reason", [reason for reason in REASONS if "malformed" not in reason and "guard" not in reason]
)
async def test_messages_and_invoke_of_claude(gateway: Gateway, reason: str) -> None:
    messages = [{"role": "user", "content": prompt(reason)}]
    body = {"model": "claude-sonnet-4-5", "max_tokens": 500, "messages": messages}
    whole = await ask(gateway, "/v1/messages", body)
    stream = await ask(gateway, "/v1/messages", body | {"stream": True})
    assert whole.headers["content-type"] == "application/json"
    assert whole.json()["stop_reason"] == events(stream)[-2]["delta"]["stop_reason"] == MESSAGES[reason]
    assert events(stream)[-1] == {"type": "message_stop"}
    assert_settled(gateway, reason)
    body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 500, "messages": messages}
    invoked = await ask(gateway, "/model/claude-sonnet-4-5/invoke", body)
    assert invoked.headers["content-type"] == "application/json"
    assert invoked.json()["stop_reason"] == MESSAGES[reason]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("reason", REASONS)
async def test_responses(gateway: Gateway, model: str, reason: str) -> None:
    body = {"model": model, "input": prompt(reason)}
    whole = (await ask(gateway, "/v1/responses", body)).json()
    stream = events(await ask(gateway, "/v1/responses", body | {"stream": True}))
    status, why = RESPONSES[reason]
    assert (whole["status"], (whole["incomplete_details"] or {}).get("reason")) == (status, why)
    last = stream[-1]
    if why == "content_filter":  # Codex asks again for an incomplete answer; a failed one ends, and says why
        assert last["type"] == "response.failed"
        assert last["response"]["error"]["code"] == "invalid_prompt" and last["response"]["error"]["message"]
    else:
        assert (last["type"], last["response"]["status"]) == (f"response.{status}", status)
        assert last["response"]["usage"]["total_tokens"] > 0
    assert_settled(gateway, reason)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("reason", REASONS)
async def test_converse(gateway: Gateway, model: str, reason: str) -> None:
    body = {"messages": [{"role": "user", "content": [{"text": prompt(reason)}]}]}
    whole = await ask(gateway, f"/model/{model}/converse", body)
    stream = frames(await ask(gateway, f"/model/{model}/converse-stream", body))
    assert whole.headers["content-type"] == "application/json"
    assert whole.json()["stopReason"] == reason
    assert [kind for kind, _ in stream][-2:] == ["messageStop", "metadata"]
    assert stream[-2][1]["stopReason"] == reason
    assert_settled(gateway, reason)
