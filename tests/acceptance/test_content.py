"""Images, documents, thinking and parallel tools: what goes in at each door is what the model gets, turn after turn."""

import base64
import json
from collections.abc import Callable
from typing import Any

import anthropic
import httpx
import openai
import pytest

from tests.acceptance.conftest import ALICE, Gateway

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(range(60))).decode()
JPEG = base64.b64encode(b"\xff\xd8\xff\xe0" + bytes(range(70))).decode()
PDF = base64.b64encode(b"%PDF-1.4\n" + bytes(range(80))).decode()
MODELS = ("claude-sonnet-4-6", "claude-3-7-sonnet", "nova-pro")

SEEN: dict[str, Callable[[str], tuple[str, dict[str, Any]]]] = {
    "chat": lambda model: (
        "/v1/chat/completions",
        {
            "model": model,
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "Compare"},
                        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "high"}},
                        {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{JPEG}"}},
                        {
                            "type": "file",
                            "file": {"filename": "Plan (1).pdf", "file_data": f"data:application/pdf;base64,{PDF}"},
                        },
                    ],
                }
            ],
        },
    ),
    "responses": lambda model: (
        "/v1/responses",
        {
            "model": model,
            "input": [
                {
                    "role": "user",
                    "content": [
                        {"type": "input_text", "text": "Compare"},
                        {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "auto"},
                        {"type": "input_image", "image_url": f"data:image/jpeg;base64,{JPEG}"},
                        {
                            "type": "input_file",
                            "filename": "Plan (1).pdf",
                            "file_data": f"data:application/pdf;base64,{PDF}",
                        },
                    ],
                }
            ],
        },
    ),
    "messages": lambda model: (
        "/v1/messages",
        {
            "model": model,
            "max_tokens": 500,
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "Compare"},
                        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
                        {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": JPEG}},
                        {
                            "type": "document",
                            "title": "Plan (1).pdf",
                            "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
                        },
                    ],
                }
            ],
        },
    ),
    "converse": lambda model: (
        f"/model/{model}/converse",
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"text": "Compare"},
                        {"image": {"format": "png", "source": {"bytes": PNG}}},
                        {"image": {"format": "jpeg", "source": {"bytes": JPEG}}},
                        {"document": {"format": "pdf", "name": "Plan (1)", "source": {"bytes": PDF}}},
                    ],
                }
            ]
        },
    ),
}


@pytest.fixture
async def chat(gateway: Gateway):
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=ALICE, max_retries=0) as client:
        yield client


@pytest.fixture
async def claude(gateway: Gateway):
    async with anthropic.AsyncAnthropic(base_url=gateway.url, auth_token=ALICE, max_retries=0) as client:
        yield client


async def post(gateway: Gateway, path: str, body: dict[str, Any]) -> httpx.Response:
    async with httpx.AsyncClient(timeout=30) as client:
        answer = await client.post(gateway.url + path, json=body, headers={"authorization": f"Bearer {ALICE}"})
    assert answer.status_code == 200, answer.text
    return answer


def received(gateway: Gateway) -> dict[str, Any]:
    """The body of the last call, as Bedrock got it."""
    call = gateway.simulator.calls[-1]
    assert call.status == 200
    body: dict[str, Any] = json.loads(call.body)
    return body


def media(block: dict[str, Any]) -> tuple[str, str] | None:
    """Format and base64 of an image or document block of either of Bedrock's dialects."""
    if "source" in block:
        return block["source"]["media_type"].rpartition("/")[2], block["source"]["data"]
    for kind in ("image", "document"):
        if kind in block:
            return block[kind]["format"], block[kind]["source"]["bytes"]
    return None


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("door", SEEN)
async def test_images_and_documents_arrive_in_their_order(gateway: Gateway, door: str, model: str) -> None:
    await post(gateway, *SEEN[door](model))
    (message,) = received(gateway)["messages"]
    assert [media(block) for block in message["content"]] == [None, ("png", PNG), ("jpeg", JPEG), ("pdf", PDF)]
    (settled,) = gateway.journal.settled
    assert settled.cost_nanousd <= gateway.journal.opened[0].reserved_nanousd


@pytest.mark.parametrize("model", MODELS)
async def test_a_picture_in_a_tool_result_arrives_inside_it(gateway: Gateway, model: str) -> None:
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    messages = [
        {"role": "user", "content": "Take a picture"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "camera", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": [picture]}]},
    ]
    tools = [{"name": "camera", "input_schema": {"type": "object"}}]
    body = {"model": model, "max_tokens": 500, "messages": messages, "tools": tools}
    await post(gateway, "/v1/messages", body)
    (result,) = received(gateway)["messages"][-1]["content"]
    inner = result["toolResult"]["content"] if "toolResult" in result else result["content"]
    assert [media(block) for block in inner] == [("png", PNG)]


WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CALL = '[[simulate: tool name=weather input={"city":"Osaka"}]] '


def thoughts(body: dict[str, Any]) -> list[tuple[str, str]]:
    """Text and signature of every thinking block that Bedrock got, oldest first."""
    found = []
    for message in body["messages"]:
        for block in message["content"] if isinstance(message["content"], list) else ():
            if block.get("type") == "thinking":
                found.append((block["thinking"], block["signature"]))
            elif "reasoningText" in block.get("reasoningContent", {}):
                text = block["reasoningContent"]["reasoningText"]
                found.append((text["text"], text["signature"]))
    return found


THINKING_MODELS = ("claude-3-7-sonnet", "claude-sonnet-4-6", "claude-opus-5-5")


@pytest.mark.parametrize("model", THINKING_MODELS)
async def test_thinking_keeps_its_signatures_over_turns_of_a_chat(
    chat: openai.AsyncOpenAI, gateway: Gateway, model: str
) -> None:
    """As clients do that send back what they got: whole messages, with the blocks beside the text."""
    tools: list = [{"type": "function", "function": {"name": "weather", "parameters": WEATHER}}]
    messages: list = [{"role": "user", "content": CALL + "Now?"}]
    sent: list[tuple[str, str]] = []
    for turn in range(3):
        answer = await chat.chat.completions.create(
            model=model, messages=messages, tools=tools, max_tokens=4000, reasoning_effort="low"
        )
        message = answer.choices[0].message.model_dump(exclude_none=True)
        assert message["reasoning_content"]
        (block,) = message["thinking_blocks"]
        sent.append((block["thinking"], block["signature"]))
        (call,) = message["tool_calls"]
        messages += [message, {"role": "tool", "tool_call_id": call["id"], "content": f"{CALL} Sunny {turn}"}]
        messages += [{"role": "user", "content": CALL + "And now?"}]
    await chat.chat.completions.create(
        model=model, messages=messages, tools=tools, max_tokens=4000, reasoning_effort="low"
    )
    assert thoughts(received(gateway)) == sent


@pytest.mark.parametrize("model", THINKING_MODELS)
async def test_thinking_keeps_its_signatures_in_streamed_chats(
    chat: openai.AsyncOpenAI, gateway: Gateway, model: str
) -> None:
    stream = await chat.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": "Hello"}],
        max_tokens=4000,
        reasoning_effort="low",
        stream=True,
    )
    deltas = [chunk.choices[0].delta.model_dump(exclude_none=True) async for chunk in stream if chunk.choices]
    text = "".join(delta.get("content", "") for delta in deltas)
    (block,) = [block for delta in deltas for block in delta.get("thinking_blocks", ())]
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == block["thinking"]
    history: list = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": text, "thinking_blocks": [block]},
        {"role": "user", "content": "Go on"},
    ]
    await chat.chat.completions.create(model=model, messages=history, max_tokens=4000, reasoning_effort="low")
    assert thoughts(received(gateway)) == [(block["thinking"], block["signature"])]


@pytest.mark.parametrize("model", THINKING_MODELS)
async def test_thinking_keeps_its_signatures_over_turns_of_responses(
    chat: openai.AsyncOpenAI, gateway: Gateway, model: str
) -> None:
    """As Codex does: the whole history each time, thinking only as ciphertext."""
    tools: list = [{"type": "function", "name": "weather", "parameters": WEATHER, "strict": False}]
    history: list = [{"role": "user", "content": CALL + "Now?"}]
    for _ in range(3):
        async with chat.responses.stream(
            model=model,
            input=history,
            tools=tools,
            reasoning={"effort": "low", "summary": "auto"},
            include=["reasoning.encrypted_content"],
            store=False,
        ) as stream:
            final = await stream.get_final_response()
        items = [item.model_dump(exclude_none=True) for item in final.output]
        assert "reasoning" in [item["type"] for item in items]
        history += [item | ({"content": []} if item["type"] == "reasoning" else {}) for item in items]
        (call,) = [item for item in items if item["type"] == "function_call"]
        history += [{"type": "function_call_output", "call_id": call["call_id"], "output": "Sunny"}]
        history += [{"role": "user", "content": CALL + "And now?"}]
    await chat.responses.create(model=model, input=history, tools=tools, reasoning={"effort": "low"})
    kept = thoughts(received(gateway))
    assert len(kept) == 3 and all(text and signature for text, signature in kept)


@pytest.mark.parametrize("model", THINKING_MODELS)
async def test_thinking_keeps_its_signatures_over_turns_of_messages(
    claude: anthropic.AsyncAnthropic, gateway: Gateway, model: str
) -> None:
    thinking: dict = {"type": "enabled", "budget_tokens": 1024}
    tools: list = [{"name": "weather", "input_schema": WEATHER}]
    messages: list = [{"role": "user", "content": CALL + "Now?"}]
    ask: dict = {"model": model, "max_tokens": 4000, "thinking": thinking, "tools": tools}
    sent = []
    for turn in range(3):
        async with claude.messages.stream(messages=messages, **ask) as stream:
            final = await stream.get_final_message()
        content = [block.model_dump(exclude_none=True) for block in final.content]
        (thought,) = [block for block in content if block["type"] == "thinking"]
        (call,) = [block for block in content if block["type"] == "tool_use"]
        sent.append((thought["thinking"], thought["signature"]))
        result = {"type": "tool_result", "tool_use_id": call["id"], "content": f"Sunny {turn}"}
        messages += [{"role": "assistant", "content": content}]
        messages += [{"role": "user", "content": [result, {"type": "text", "text": CALL + "And now?"}]}]
    await claude.messages.create(messages=messages, **ask)
    assert thoughts(received(gateway)) == sent


@pytest.mark.parametrize("model", THINKING_MODELS)
async def test_thinking_keeps_its_signatures_over_turns_of_converse(gateway: Gateway, model: str) -> None:
    messages: list = [{"role": "user", "content": [{"text": "Hello"}]}]
    sent = []
    for _ in range(3):
        body = {
            "messages": messages,
            "inferenceConfig": {"maxTokens": 4000},
            "additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        }
        message = (await post(gateway, f"/model/{model}/converse", body)).json()["output"]["message"]
        sent += thoughts({"messages": [message]})
        messages += [message, {"role": "user", "content": [{"text": "Go on"}]}]
    await post(gateway, f"/model/{model}/converse", body | {"messages": messages})
    assert thoughts(received(gateway)) == sent and len(sent) == 3


def redacted(body: dict[str, Any]) -> list[str]:
    """The redacted thinking that Bedrock got."""
    blocks = [block for message in body["messages"] for block in message["content"] if isinstance(block, dict)]
    by_claude = [block["data"] for block in blocks if block.get("type") == "redacted_thinking"]
    return by_claude + [
        block["reasoningContent"]["redactedContent"]
        for block in blocks
        if "redactedContent" in block.get("reasoningContent", {})
    ]


REDACTED = "[[simulate: thinking=redacted]] Hello"


async def test_redacted_thinking_goes_back_as_it_came_through_messages(
    claude: anthropic.AsyncAnthropic, gateway: Gateway
) -> None:
    messages: list = [{"role": "user", "content": REDACTED}]
    ask: dict = {
        "model": "claude-sonnet-4-6",
        "max_tokens": 4000,
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    }
    first = await claude.messages.create(messages=messages, **ask)
    assert first.content[0].type == "redacted_thinking"
    messages += [{"role": "assistant", "content": first.content}, {"role": "user", "content": "Go on"}]
    await claude.messages.create(messages=messages, **ask)
    assert redacted(received(gateway)) == [first.content[0].data]


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
async def test_redacted_thinking_goes_back_as_it_came_through_chat(
    chat: openai.AsyncOpenAI, gateway: Gateway, is_stream: bool
) -> None:
    ask: dict = {"model": "claude-sonnet-4-6", "max_tokens": 4000, "reasoning_effort": "low"}
    messages: list = [{"role": "user", "content": REDACTED}]
    if is_stream:
        stream = await chat.chat.completions.create(messages=messages, stream=True, **ask)
        deltas = [chunk.choices[0].delta.model_dump() async for chunk in stream if chunk.choices]
        blocks = [block for delta in deltas for block in delta.get("thinking_blocks") or ()]
    else:
        whole = await chat.chat.completions.create(messages=messages, **ask)
        blocks = whole.choices[0].message.model_dump()["thinking_blocks"]
    (block,) = blocks
    assert block["type"] == "redacted_thinking"
    messages += [
        {"role": "assistant", "content": "Hello!", "thinking_blocks": blocks},
        {"role": "user", "content": "Go on"},
    ]
    await chat.chat.completions.create(messages=messages, **ask)
    assert redacted(received(gateway)) == [block["data"]]


async def test_redacted_thinking_goes_back_as_it_came_through_responses(
    chat: openai.AsyncOpenAI, gateway: Gateway
) -> None:
    ask: dict = {"model": "claude-sonnet-4-6", "reasoning": {"effort": "low"}}
    first = await chat.responses.create(input=REDACTED, **ask)
    history: list = [{"role": "user", "content": REDACTED}]
    history += [item.model_dump(exclude_none=True) for item in first.output]
    await chat.responses.create(input=[*history, {"role": "user", "content": "Go on"}], **ask)
    assert len(redacted(received(gateway))) == 1


@pytest.mark.parametrize("model", ["claude-sonnet-4-6", "nova-pro", "llama-3-1-70b-instruct"])
async def test_parallel_tools_go_both_ways_through_messages(
    claude: anthropic.AsyncAnthropic, gateway: Gateway, model: str
) -> None:
    tools: list = [{"name": name, "input_schema": WEATHER} for name in ("weather", "forecast")]
    messages: list = [{"role": "user", "content": "[[simulate: parallel_tools n=3]] Both?"}]
    async with claude.messages.stream(model=model, max_tokens=1000, messages=messages, tools=tools) as stream:
        final = await stream.get_final_message()
    calls = [block for block in final.content if block.type == "tool_use"]
    assert [call.name for call in calls] == ["weather", "forecast", "weather"]
    assert len({call.id for call in calls}) == 3 and all(call.input == {"city": "sample"} for call in calls)
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": call.name} for call in reversed(calls)]
    messages += [{"role": "assistant", "content": final.content}, {"role": "user", "content": results}]
    answer = await claude.messages.create(model=model, max_tokens=1000, messages=messages, tools=tools)
    assert answer.stop_reason == "end_turn"


@pytest.mark.parametrize("model", ["claude-sonnet-4-6", "nova-pro", "llama-3-1-70b-instruct"])
async def test_parallel_tools_go_both_ways_through_responses(
    chat: openai.AsyncOpenAI, gateway: Gateway, model: str
) -> None:
    tools: list = [{"type": "function", "name": name, "parameters": WEATHER} for name in ("weather", "forecast")]
    history: list = [{"role": "user", "content": "[[simulate: parallel_tools n=2]] Both?"}]
    async with chat.responses.stream(model=model, input=history, tools=tools) as stream:
        first = await stream.get_final_response()
    calls = [item for item in first.output if item.type == "function_call"]
    assert [call.name for call in calls] == ["weather", "forecast"]
    history += [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in first.output]
    history += [{"type": "function_call_output", "call_id": call.call_id, "output": "Sunny"} for call in calls]
    second = await chat.responses.create(model=model, input=history, tools=tools)
    assert second.status == "completed" and second.output_text


async def test_every_spelling_of_usage_says_the_same(gateway: Gateway) -> None:
    rules = [{"type": "text", "text": "rule " * 4000, "cache_control": {"type": "ephemeral"}}]
    messages = [{"role": "system", "content": rules}, {"role": "user", "content": "Hello"}]
    body = {
        "model": "claude-sonnet-4-5",
        "messages": messages,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    for _ in range(2):  # the first writes the cache, the second reads it
        answer = await post(gateway, "/v1/chat/completions", body)
        settled = gateway.journal.settled[-1]
        lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: {")]
        usage = json.loads(lines[-1])["usage"]
        real = settled.usage
        assert usage["prompt_tokens"] == real.prompt_tokens > 4000
        assert usage["completion_tokens"] == real.output_tokens
        assert usage["total_tokens"] == real.total_tokens
        details = usage["prompt_tokens_details"]
        assert details["cached_tokens"] == usage["cache_read_input_tokens"] == real.cache_read_tokens
        written = real.cache_write_5m_tokens
        assert details["cache_write_tokens"] == details["cache_creation_tokens"] == written
        assert usage["cache_creation_input_tokens"] == written
        assert round(usage["cost"] * 1e9) == settled.cost_nanousd > 0
    assert [bool(one.usage.cache_read_tokens) for one in gateway.journal.settled] == [False, True]


@pytest.mark.parametrize("door", ["chat", "responses", "messages", "converse"])
async def test_cost_and_call_id_are_in_the_headers_and_cost_in_usage_only_where_asked(
    gateway: Gateway, door: str
) -> None:
    path, body = SEEN[door]("nova-pro")
    whole = await post(gateway, path, body)
    (settled,) = gateway.journal.settled
    assert round(float(whole.headers["x-litellm-response-cost"]) * 1e9) == settled.cost_nanousd
    assert whole.headers["x-litellm-call-id"] == whole.headers["x-sekisho-call-id"]
    is_in_path = door == "converse"
    streamed = await post(gateway, path + "-stream" * is_in_path, body | ({} if is_in_path else {"stream": True}))
    assert streamed.headers["x-litellm-call-id"] and '"cost"' not in streamed.text
    assert gateway.journal.settled[-1].cost_nanousd == settled.cost_nanousd
