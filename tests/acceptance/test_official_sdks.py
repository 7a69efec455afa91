"""The official SDKs are the judges of every door: what they read and accumulate is what a client gets."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import boto3
import httpx2
import openai
import pytest
from botocore import UNSIGNED
from botocore.config import Config

from tests.acceptance.conftest import ALICE, Gateway

CHAT_MODELS = ("claude-sonnet-4-5", "claude-3-7-sonnet", "nova-pro", "llama-3-1-70b-instruct")
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


@pytest.fixture
async def chat(gateway: Gateway) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=ALICE, max_retries=0) as client:
        yield client


@pytest.fixture
async def claude(gateway: Gateway) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=gateway.url, auth_token=ALICE, max_retries=0) as client:
        yield client


@pytest.fixture
def bedrock(gateway: Gateway):
    """botocore sends bearer keys over TLS only, so here the header is put in by hand."""
    client = boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=gateway.url,
        config=Config(retries={"total_max_attempts": 1}, signature_version=UNSIGNED),
    )
    client.meta.events.register(
        "before-send.bedrock-runtime", lambda request, **_: request.headers.update(Authorization=f"Bearer {ALICE}")
    )
    yield client
    client.close()


@pytest.mark.parametrize("model", CHAT_MODELS)
async def test_openai_chat_answers_with_text_and_usage(chat: openai.AsyncOpenAI, gateway: Gateway, model: str) -> None:
    answer = await chat.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hello"}])
    settled = gateway.journal.settled[-1]
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == settled.usage.prompt_tokens
    assert answer.usage.completion_tokens == settled.usage.output_tokens
    assert answer.usage.model_extra is not None
    assert round(answer.usage.model_extra["cost"] * 1e9) == settled.cost_nanousd > 0


@pytest.mark.parametrize("model", CHAT_MODELS)
async def test_openai_chat_streams_the_same_text_as_it_answers_whole(chat: openai.AsyncOpenAI, model: str) -> None:
    messages: list = [{"role": "user", "content": "Hello"}]
    whole = await chat.chat.completions.create(model=model, messages=messages)
    stream = await chat.chat.completions.create(
        model=model, messages=messages, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage is not None and chunks[-1].usage.prompt_tokens == whole.usage.prompt_tokens


async def test_openai_chat_sends_no_usage_that_was_not_asked_for(chat: openai.AsyncOpenAI) -> None:
    stream = await chat.chat.completions.create(
        model="nova-pro", messages=[{"role": "user", "content": "Hello"}], stream=True
    )
    assert all(chunk.usage is None for chunk in [chunk async for chunk in stream])


@pytest.mark.parametrize("model", ("claude-sonnet-4-5", "nova-pro"))
async def test_openai_chat_carries_parallel_tool_calls_and_their_results(
    chat: openai.AsyncOpenAI, gateway: Gateway, model: str
) -> None:
    tools: list = [{"type": "function", "function": {"name": "weather", "parameters": WEATHER}}]
    messages: list = [{"role": "user", "content": "[[simulate: parallel_tools]] What is the weather?"}]
    first = await chat.chat.completions.create(model=model, messages=messages, tools=tools)
    calls = first.choices[0].message.tool_calls or []
    assert first.choices[0].finish_reason == "tool_calls" and len(calls) >= 2
    assert gateway.journal.settled[-1].tools == (("weather", len(calls)),)
    messages.append(first.choices[0].message.model_dump(exclude_none=True))
    messages += [{"role": "tool", "tool_call_id": call.id, "content": "sunny"} for call in calls]
    second = await chat.chat.completions.create(model=model, messages=messages, tools=tools)
    assert second.choices[0].finish_reason in ("stop", "tool_calls")


async def test_openai_responses_streams_typed_events_to_completion(chat: openai.AsyncOpenAI, gateway: Gateway) -> None:
    async with chat.responses.stream(model="claude-sonnet-4-5", input="Hello") as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_response()
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed"
    assert final.output_text and final.usage is not None
    assert final.usage.output_tokens == gateway.journal.settled[-1].usage.output_tokens


async def test_anthropic_streams_and_answers_whole(claude: anthropic.AsyncAnthropic, gateway: Gateway) -> None:
    ask = {"model": "claude-sonnet-4-6", "max_tokens": 500, "messages": [{"role": "user", "content": "Hello"}]}
    whole = await claude.messages.create(**ask)  # type: ignore[call-overload]
    async with claude.messages.stream(**ask) as stream:  # type: ignore[arg-type]
        final = await stream.get_final_message()
    assert final.content[0].text == whole.content[0].text
    assert (final.usage.input_tokens, final.usage.output_tokens) == (
        whole.usage.input_tokens,
        whole.usage.output_tokens,
    )
    assert [one.usage.output_tokens for one in gateway.journal.settled] == [whole.usage.output_tokens] * 2


@pytest.mark.parametrize("model", ("claude-sonnet-4-6", "nova-pro"))
async def test_the_tools_that_anthropics_sdk_reads_are_on_record(
    claude: anthropic.AsyncAnthropic, gateway: Gateway, model: str
) -> None:
    ask: Any = {
        "model": model,
        "max_tokens": 500,
        "tools": [{"name": "weather", "input_schema": WEATHER}],
        "messages": [{"role": "user", "content": "[[simulate: parallel_tools]] What is the weather?"}],
    }
    whole = await claude.messages.create(**ask)
    async with claude.messages.stream(**ask) as stream:
        final = await stream.get_final_message()
    for answer, settled in zip((whole, final), gateway.journal.settled, strict=True):
        called = Counter(block.name for block in answer.content if block.type == "tool_use")
        assert called["weather"] >= 2 and dict(settled.tools) == called


@pytest.mark.parametrize("model", ("claude-sonnet-4-6", "nova-pro"))
async def test_five_hundred_tool_calls_and_a_stream_that_breaks_off_in_one_are_on_record(
    claude: anthropic.AsyncAnthropic, gateway: Gateway, model: str
) -> None:
    def ask(words: str) -> Any:
        tools = [{"name": "weather", "input_schema": WEATHER}]
        return {"model": model, "max_tokens": 30_000, "tools": tools, "messages": [{"role": "user", "content": words}]}

    async with claude.messages.stream(**ask("[[simulate: parallel_tools n=500]] Hello")) as stream:
        final = await stream.get_final_message()
    assert dict(gateway.journal.settled[-1].tools) == Counter(
        block.name for block in final.content if block.type == "tool_use"
    )
    cut = ask("[[simulate: parallel_tools n=9]] [[simulate: cut after=12]] Hello")
    with pytest.raises((anthropic.APIError, httpx2.HTTPError)):
        async with claude.messages.stream(**cut) as stream:
            await stream.get_final_message()
    settled = (await gateway.journal.wait_settled(2))[-1]
    assert settled.status == "failed" and 0 < dict(settled.tools)["weather"] < 9


async def test_anthropic_door_serves_other_families_too(claude: anthropic.AsyncAnthropic) -> None:
    async with claude.messages.stream(
        model="nova-pro", max_tokens=500, messages=[{"role": "user", "content": "Hello"}]
    ) as stream:
        final = await stream.get_final_message()
    assert final.stop_reason == "end_turn" and final.usage.output_tokens > 0


async def test_anthropic_counts_tokens_without_cost(claude: anthropic.AsyncAnthropic, gateway: Gateway) -> None:
    ask: dict = {"model": "claude-sonnet-4-6", "messages": [{"role": "user", "content": "Hello"}]}
    counted = await claude.messages.count_tokens(**ask)
    answer = await claude.messages.create(max_tokens=100, **ask)
    assert counted.input_tokens == answer.usage.input_tokens
    assert len(gateway.journal.settled) == 1


async def test_thinking_comes_back_with_a_signature_that_bedrock_accepts(claude: anthropic.AsyncAnthropic) -> None:
    thinking: dict = {"type": "enabled", "budget_tokens": 1024}
    messages: list = [{"role": "user", "content": "[[simulate: thinking]] Hello"}]
    ask: dict = {"model": "claude-sonnet-4-6", "max_tokens": 4000, "thinking": thinking}
    first = await claude.messages.create(messages=messages, **ask)
    assert first.content[0].type == "thinking" and first.content[0].signature
    messages += [{"role": "assistant", "content": first.content}, {"role": "user", "content": "Go on"}]
    assert (await claude.messages.create(messages=messages, **ask)).stop_reason == "end_turn"


async def test_botocore_converses_through_our_door(bedrock, gateway: Gateway) -> None:
    ask = {"modelId": "nova-pro", "messages": [{"role": "user", "content": [{"text": "Hello"}]}]}
    whole = await asyncio.to_thread(lambda: bedrock.converse(**ask))
    events = await asyncio.to_thread(lambda: list(bedrock.converse_stream(**ask)["stream"]))
    text = "".join(e["contentBlockDelta"]["delta"]["text"] for e in events if "contentBlockDelta" in e)
    assert text == whole["output"]["message"]["content"][0]["text"]
    usage = next(e["metadata"]["usage"] for e in events if "metadata" in e)
    assert usage["outputTokens"] == gateway.journal.settled[-1].usage.output_tokens


async def test_botocore_invokes_claude_through_our_door(bedrock) -> None:
    model = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
    body = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 300,
        "messages": [{"role": "user", "content": "Hello"}],
    }
    ask = {"modelId": model, "body": json.dumps(body)}
    whole = await asyncio.to_thread(lambda: json.load(bedrock.invoke_model(**ask)["body"]))
    stream = await asyncio.to_thread(lambda: list(bedrock.invoke_model_with_response_stream(**ask)["body"]))
    chunks = [json.loads(event["chunk"]["bytes"]) for event in stream]
    text = "".join(c["delta"]["text"] for c in chunks if c["type"] == "content_block_delta")
    assert text == whole["content"][0]["text"] and chunks[-1]["type"] == "message_stop"


async def test_botocore_counts_tokens_through_our_door(bedrock) -> None:
    ask = {
        "modelId": "nova-pro",
        "input": {"converse": {"messages": [{"role": "user", "content": [{"text": "Hello"}]}]}},
    }
    assert (await asyncio.to_thread(lambda: bedrock.count_tokens(**ask)))["inputTokens"] > 0


async def test_model_lists_are_read_by_both_sdks(
    chat: openai.AsyncOpenAI, claude: anthropic.AsyncAnthropic, gateway: Gateway
) -> None:
    by_openai = [model.id async for model in chat.models.list()]
    by_anthropic = [model.id async for model in claude.models.list()]
    assert by_openai == by_anthropic == list(gateway.registry.models)
