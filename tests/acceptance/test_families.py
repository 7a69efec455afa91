"""Every model of the catalog, of every family: asks for a tool, gets its result and answers, whole and streamed."""

import json
from typing import Any

import httpx
import pytest

from sekisho.values import Model
from tests.acceptance.conftest import ALICE, Gateway

REGIONS = ("us-east-1", "ap-northeast-1")
AUTH = {"authorization": f"Bearer {ALICE}"}
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CALL = '[[simulate: tool name=weather input={"city":"Osaka"}]] How is the weather?'


@pytest.fixture(params=REGIONS)
def region(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Chat:
    """A chat with one model. `say` gives the model's message and finish reason, and adds it to the history."""

    def __init__(self, client: httpx.AsyncClient, url: str, model: str, *, is_stream: bool, **more: Any) -> None:
        self._client = client
        self._url = f"{url}/v1/chat/completions"
        self._more = {"model": model, "max_tokens": 500, **more}
        self._is_stream = is_stream
        self.messages: list[dict[str, Any]] = []

    async def say(self, message: dict[str, Any]) -> tuple[dict[str, Any], str]:
        self.messages.append(message)
        body = {**self._more, "messages": self.messages}
        if self._is_stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        answer = await self._client.post(self._url, json=body, headers=AUTH)
        assert answer.status_code == 200, answer.text
        said, reason, usage = _accumulated(answer.text) if self._is_stream else _whole(answer.json())
        assert usage["prompt_tokens"] > 0 and usage["completion_tokens"] > 0
        self.messages.append(said)
        return said, reason


def _whole(answer: dict[str, Any]) -> tuple[dict[str, Any], str, dict[str, Any]]:
    (choice,) = answer["choices"]
    return choice["message"], choice["finish_reason"], answer["usage"]


def _accumulated(stream: str) -> tuple[dict[str, Any], str, dict[str, Any]]:
    """The message that the chunks of a stream add up to, as an SDK does it."""
    events = [line.removeprefix("data: ") for line in stream.splitlines() if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    message: dict[str, Any] = {"role": "assistant", "content": ""}
    calls: dict[int, dict[str, Any]] = {}
    reason = ""
    usage: dict[str, Any] = {}
    for chunk in map(json.loads, events[:-1]):
        usage = chunk.get("usage") or usage
        for choice in chunk["choices"]:
            reason = choice["finish_reason"] or reason
            message["content"] += choice["delta"].get("content") or ""
            for part in choice["delta"].get("tool_calls") or ():
                call = calls.setdefault(part["index"], {"type": "function", "function": {"name": "", "arguments": ""}})
                call["id"] = part.get("id") or call["id"]
                for name, text in part["function"].items():
                    call["function"][name] += text or ""
    return message | ({"tool_calls": list(calls.values())} if calls else {}), reason, usage


async def _use_a_tool(chat: Chat) -> None:
    asked, reason = await chat.say({"role": "user", "content": CALL})
    (call,) = asked["tool_calls"]
    assert (reason, call["function"]["name"]) == ("tool_calls", "weather")
    assert json.loads(call["function"]["arguments"]) == {"city": "Osaka"}
    answered, reason = await chat.say({"role": "tool", "tool_call_id": call["id"], "content": "Sunny"})
    assert reason == "stop" and answered["content"]


async def _refuses_tools(client: httpx.AsyncClient, url: str, model: Model) -> None:
    body = {"model": model.name, "messages": [{"role": "user", "content": "Hello"}], "tools": [WEATHER]}
    answer = await client.post(f"{url}/v1/chat/completions", json=body, headers=AUTH)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == f"The model {model.name} cannot use tools."


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
async def test_every_model_uses_tools_or_says_that_it_cannot(gateway: Gateway, is_stream: bool) -> None:
    failed: dict[str, str] = {}
    models = [model for model in gateway.registry.models.values() if model.quirks.tools]
    async with httpx.AsyncClient(timeout=30) as client:
        for model in models:
            try:
                await _use_a_tool(Chat(client, gateway.url, model.name, is_stream=is_stream, tools=[WEATHER]))
            except (AssertionError, KeyError, ValueError) as error:
                failed[model.name] = str(error)[:300]
        for model in gateway.registry.models.values():
            if not model.quirks.tools:
                await _refuses_tools(client, gateway.url, model)
                chat = Chat(client, gateway.url, model.name, is_stream=is_stream)
                assert (await chat.say({"role": "user", "content": "Hello"}))[1] == "stop"
    assert failed == {}
    settled = [one for one in gateway.journal.settled if one.status == "ok"]
    assert len(settled) >= 2 * len(models) > 100
    assert all(one.is_metered and one.cost_nanousd > 0 for one in settled)
    received = {call.model_id for call in gateway.simulator.calls if call.status == 200}
    assert received == {model.deployments[0].upstream_model for model in gateway.registry.models.values()}


async def test_every_model_reads_what_it_says_it_reads(gateway: Gateway) -> None:
    """Images and documents: taken by the models whose entry in the list says so, else refused in clear words."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAAB"}}
    document = {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0xLjQK"}}
    async with httpx.AsyncClient(timeout=30) as client:
        listed = (await client.get(f"{gateway.url}/v1/model/info", headers=AUTH)).json()["data"]
        for entry in listed:
            info = entry["model_info"]
            for part, takes, word in (
                (image, info["supports_vision"], "images"),
                (document, info["supports_pdf_input"], "documents"),
            ):
                content = [{"type": "text", "text": "Look"}, part]
                answer = await client.post(
                    f"{gateway.url}/v1/chat/completions",
                    json={"model": entry["model_name"], "messages": [{"role": "user", "content": content}]},
                    headers=AUTH,
                )
                if takes:
                    assert answer.status_code == 200, (entry["model_name"], answer.text)
                else:
                    assert answer.status_code == 400
                    assert f"cannot read {word}" in answer.json()["error"]["message"]
