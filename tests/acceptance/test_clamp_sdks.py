"""The official SDKs read an answer whose end is ours: they see text that ends well, and no tool call."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import boto3
import openai
import pytest
from botocore import UNSIGNED
from botocore.config import Config

from tests.acceptance.conftest import ALICE, Gateway
from tests.acceptance.test_clamp import LONG_CALL, NOVA, SCHEMA, prompt, put_room, room_for

WORDS = "[Sekisho] The answer ends here"
WISH = prompt(f'tool name="write" input={LONG_CALL}')
CHAT_TOOL: Any = {"type": "function", "function": {"name": "write", "parameters": SCHEMA}}
USER: Any = [{"role": "user", "content": WISH}]


@pytest.fixture(params=["claude-sonnet-4-6", NOVA])
async def model(request: pytest.FixtureRequest, gateway: Gateway) -> str:
    """A model whose budget has room for an answer that is shorter than the call it will want to make."""
    name: str = request.param
    await put_room(gateway, room_for(gateway, name, 6_000, 1_500))
    return name


@pytest.fixture
async def chat(gateway: Gateway) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=ALICE, max_retries=0) as client:
        yield client


@pytest.fixture
async def claude(gateway: Gateway) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=gateway.url, auth_token=ALICE, max_retries=0) as client:
        yield client


@pytest.mark.parametrize("stream", [False, True])
async def test_openai_chat(chat: openai.AsyncOpenAI, model: str, stream: bool) -> None:
    if not stream:
        whole = await chat.chat.completions.create(model=model, messages=USER, tools=[CHAT_TOOL], max_tokens=4_500)
        choice = whole.choices[0]
        assert (choice.finish_reason, choice.message.tool_calls) == ("stop", None)
        assert WORDS in str(choice.message.content) and whole.usage and whole.usage.completion_tokens > 1_000
        return
    async with chat.chat.completions.stream(
        model=model, messages=USER, tools=[CHAT_TOOL], max_tokens=4_500, stream_options={"include_usage": True}
    ) as events:
        final = await events.get_final_completion()
    message = final.choices[0].message
    assert (final.choices[0].finish_reason, message.tool_calls) == ("stop", None)
    assert WORDS in str(message.content) and final.usage and final.usage.completion_tokens > 1_000


async def test_openai_responses(chat: openai.AsyncOpenAI, model: str) -> None:
    tool: Any = {"type": "function", "name": "write", "parameters": SCHEMA, "strict": False}
    async with chat.responses.stream(model=model, input=WISH, tools=[tool], max_output_tokens=4_500) as events:
        final = await events.get_final_response()
    assert (final.status, [item.type for item in final.output]) == ("completed", ["message"])
    assert WORDS in final.output_text and final.usage and final.usage.output_tokens > 1_000


@pytest.mark.parametrize("stream", [False, True])
async def test_anthropic(claude: anthropic.AsyncAnthropic, model: str, stream: bool) -> None:
    asked: Any = {
        "model": model,
        "messages": USER,
        "tools": [{"name": "write", "input_schema": SCHEMA}],
        "max_tokens": 4_500,
    }
    if stream:
        async with claude.messages.stream(**asked) as events:
            final = await events.get_final_message()
    else:
        final = await claude.messages.create(**asked)
    assert (final.stop_reason, [block.type for block in final.content]) == ("end_turn", ["text"])
    assert WORDS in final.content[0].text and final.usage.output_tokens > 1_000


async def test_bedrock_converse(gateway: Gateway, model: str) -> None:
    client = boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=gateway.url,
        config=Config(retries={"total_max_attempts": 1}, signature_version=UNSIGNED),
    )
    client.meta.events.register(
        "before-send.bedrock-runtime", lambda request, **_: request.headers.update(Authorization=f"Bearer {ALICE}")
    )
    tools = {"tools": [{"toolSpec": {"name": "write", "inputSchema": {"json": SCHEMA}}}]}
    asked = {
        "modelId": model,
        "messages": [{"role": "user", "content": [{"text": WISH}]}],
        "toolConfig": tools,
        "inferenceConfig": {"maxTokens": 4_500},
    }

    def told() -> tuple[str, str, int]:
        events = list(client.converse_stream(**asked)["stream"])
        text = "".join(
            event["contentBlockDelta"]["delta"].get("text", "") for event in events if "contentBlockDelta" in event
        )
        stop = next(event["messageStop"]["stopReason"] for event in events if "messageStop" in event)
        usage = next(event["metadata"]["usage"] for event in events if "metadata" in event)
        return text, stop, usage["outputTokens"]

    text, stop, output_tokens = await asyncio.to_thread(told)
    client.close()
    assert WORDS in text and stop == "end_turn" and output_tokens > 1_000
