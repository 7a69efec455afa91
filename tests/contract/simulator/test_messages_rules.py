"""Each rule of InvokeModel for Claude refuses what breaks it, in Anthropic's words as Bedrock passes them on."""

import json
from typing import Any

import pytest

from tests.contract.simulator.conftest import LLAMA, OPUS, SONNET, Bedrock

VERSION = "bedrock-2023-05-31"
HELLO = [{"role": "user", "content": "Hello"}]
TOOL = {"name": "read", "input_schema": {"type": "object", "properties": {}}}
USE = {"type": "tool_use", "id": "toolu_1", "name": "read", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "ok"}
MARK: dict[str, Any] = {"cache_control": {"type": "ephemeral"}}
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def user(*content: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(content)}


def assistant(*content: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": list(content)}


def text(value: str = "Hello", **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": value, **more}


def image(data: str = PNG, media_type: str = "image/png", **more: Any) -> dict[str, Any]:
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data, **more}}


def body(**differing: Any) -> str:
    request = {"anthropic_version": VERSION, "max_tokens": 1000, "messages": HELLO, **differing}
    return json.dumps({key: value for key, value in request.items() if value is not ...})


ANSWERED = [*HELLO, assistant(USE), user(RESULT)]

ACCEPTED: dict[str, dict[str, Any]] = {
    "string content": {},
    "one role twice": {"messages": [*HELLO, *HELLO]},
    "tool history": {"messages": ANSWERED, "tools": [TOOL]},
    "results in two messages of one turn": {
        "messages": [*HELLO, assistant(USE, {**USE, "id": "b"}), user(RESULT), user({**RESULT, "tool_use_id": "b"})],
        "tools": [TOOL],
    },
    "marks everywhere": {
        "system": [text("Be kind.", **MARK)],
        "tools": [{**TOOL, **MARK}],
        "messages": [*HELLO, assistant(USE), user({**RESULT, "content": [text("ok", **MARK)], **MARK})],
    },
    "image": {"messages": [user(image(), text())]},
    "documents": {
        "messages": [
            user(
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}},
                {
                    "type": "document",
                    "title": "A paper",
                    "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjQ="},
                },
                text(),
            )
        ]
    },
    "metadata": {"metadata": {"user_id": "alice"}},
    "interleaved thinking over max tokens": {
        "anthropic_beta": ["interleaved-thinking-2025-05-14"],
        "thinking": {"type": "enabled", "budget_tokens": 4000},
        "tools": [TOOL],
    },
    "deferred tools with their beta": {
        "anthropic_beta": ["tool-search-tool-2025-10-19"],
        "tools": [{**TOOL, "defer_loading": True}],
    },
    "a found tool": {
        "messages": [
            *HELLO,
            assistant(USE),
            user({**RESULT, "content": [{"type": "tool_reference", "tool_name": "x"}]}),
        ],
        "tools": [TOOL],
    },
    "context management with its beta": {
        "anthropic_beta": ["context-management-2025-06-27"],
        "context_management": {"edits": []},
    },
    "client-side tool of Anthropic": {"tools": [{"type": "bash_20250124", "name": "bash"}]},
    "no tool choice": {"tools": [TOOL], "tool_choice": {"type": "none"}},
    "named tool choice": {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "read"}},
    "stop sequences": {"stop_sequences": ["END"]},
    "empty system": {"system": ""},
}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("case", ACCEPTED)
async def test_what_bedrock_takes_is_answered(shared: Bedrock, case: str) -> None:
    answer = await shared.call("invoke_model", modelId=SONNET, body=body(**ACCEPTED[case]))
    assert json.loads(answer["body"].read())["type"] == "message"


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "no version": (SONNET, {"anthropic_version": ...}, "required key [anthropic_version] not found"),
    "another version": (SONNET, {"anthropic_version": "2023-06-01"}, "Input should be 'bedrock-2023-05-31'"),
    "no max tokens": (SONNET, {"max_tokens": ...}, "required key [max_tokens] not found"),
    "no messages": (SONNET, {"messages": ...}, "required key [messages] not found"),
    "empty messages": (SONNET, {"messages": []}, "at least one message is required"),
    "model in the body": (SONNET, {"model": "claude"}, "model: Extra inputs are not permitted"),
    "stream in the body": (SONNET, {"stream": True}, "stream: Extra inputs are not permitted"),
    "unknown key": (SONNET, {"service_tier": "auto"}, "service_tier: Extra inputs are not permitted"),
    "unknown beta": (SONNET, {"anthropic_beta": ["claude-code-20250219"]}, "invalid beta flag"),
    "betas that are no list": (SONNET, {"anthropic_beta": "a"}, "anthropic_beta: Input should be a valid list"),
    "context management without its beta": (
        SONNET,
        {"context_management": {"edits": []}},
        "context_management: Extra inputs are not permitted",
    ),
    "system role": (
        SONNET,
        {"messages": [*HELLO, {"role": "system", "content": "Be kind."}]},
        'Unexpected role "system". The Messages API accepts a top-level `system` parameter',
    ),
    "assistant first": (SONNET, {"messages": [assistant(text())]}, 'first message must use the "user" role'),
    "unknown key in a message": (SONNET, {"messages": [{**HELLO[0], "name": "a"}]}, "messages.0.name: Extra inputs"),
    "empty content": (SONNET, {"messages": [user()]}, "all messages must have non-empty content"),
    "no content": (SONNET, {"messages": [{"role": "user"}]}, "messages.0.content: Input should be a valid list"),
    "empty text": (SONNET, {"messages": [user(text(""))]}, "text content blocks must be non-empty"),
    "blank text": (SONNET, {"messages": [user(text("\n"))]}, "must contain non-whitespace text"),
    "empty system text": (SONNET, {"system": [text("")]}, "system: text content blocks must be non-empty"),
    "image in system": (SONNET, {"system": [image()]}, "system.0.type: Input should be 'text'"),
    "unknown block": (SONNET, {"messages": [user({"type": "video"})]}, "does not match any of the expected tags"),
    "block without its field": (SONNET, {"messages": [user({"type": "text"})]}, "text.text: Field required"),
    "unknown key in a block": (SONNET, {"messages": [user(text(a=1))]}, "messages.0.content.0.text.a: Extra inputs"),
    "server tool": (
        SONNET,
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        "tools.0: Input tag 'web_search_20250305' found using 'type' does not match any of the expected tags",
    ),
    "deferred tools without their beta": (
        SONNET,
        {"tools": [{**TOOL, "defer_loading": True}]},
        "tools.0.custom.defer_loading: Extra inputs are not permitted",
    ),
    "tool without a schema": (SONNET, {"tools": [{"name": "a"}]}, "tools.0.custom.input_schema: Field required"),
    "tool schema of another type": (
        SONNET,
        {"tools": [{"name": "a", "input_schema": {"type": "string"}}]},
        "input_schema.type: Input should be 'object'",
    ),
    "tool name outside its alphabet": (
        SONNET,
        {"tools": [{**TOOL, "name": "a.b"}]},
        "tools.0.custom.name: String should",
    ),
    "tool name twice": (SONNET, {"tools": [TOOL, TOOL]}, "Tool names must be unique"),
    "tool choice without tools": (SONNET, {"tool_choice": {"type": "auto"}}, "only be specified while providing tools"),
    "unknown tool choice": (SONNET, {"tools": [TOOL], "tool_choice": {"type": "required"}}, "tool_choice.type"),
    "forced tool choice on a model without": (
        OPUS,
        {"tools": [TOOL], "tool_choice": {"type": "any"}},
        "tool_choice: type 'any' is not supported",
    ),
    "tool history without tools": (SONNET, {"messages": ANSWERED}, "must define tools"),
    "tool call without an answer": (
        SONNET,
        {"messages": [*HELLO, assistant(USE), user(text())], "tools": [TOOL]},
        "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_1",
    ),
    "stray tool result": (
        SONNET,
        {"messages": [user(RESULT)], "tools": [TOOL]},
        "unexpected `tool_use_id` found in `tool_result` blocks: toolu_1",
    ),
    "tool answered twice": (
        SONNET,
        {"messages": [*HELLO, assistant(USE), user(RESULT, RESULT)], "tools": [TOOL]},
        "each tool_use must have a single result",
    ),
    "tool use id used twice": (
        SONNET,
        {"messages": [*HELLO, assistant(USE, USE), user(RESULT)], "tools": [TOOL]},
        "`tool_use` ids must be unique",
    ),
    "text before a tool result": (
        SONNET,
        {"messages": [*HELLO, assistant(USE), user(text(), RESULT)], "tools": [TOOL]},
        "without `tool_result` blocks immediately after",
    ),
    "tool input that is no object": (
        SONNET,
        {"messages": [*HELLO, assistant({**USE, "input": "{}"}), user(RESULT)], "tools": [TOOL]},
        "tool_use.input: Input should be a valid dictionary",
    ),
    "tool use id outside its alphabet": (
        SONNET,
        {"messages": [*HELLO, assistant({**USE, "id": "a b"})], "tools": [TOOL]},
        "tool_use.id: String should match pattern",
    ),
    "tool use of an impossible name": (
        SONNET,
        {"messages": [*HELLO, assistant({**USE, "name": "a.b"})], "tools": [TOOL]},
        "tool_use.name: String should match pattern",
    ),
    "tool use inside a tool result": (
        SONNET,
        {"messages": [*HELLO, assistant(USE), user({**RESULT, "content": [USE]})], "tools": [TOOL]},
        "tool_result.content.0.type: Input should be",
    ),
    "thinking without a signature": (
        SONNET,
        {"messages": [*HELLO, assistant({"type": "thinking", "thinking": "a"}, text()), *HELLO]},
        "thinking.signature: Field required",
    ),
    "thinking with a made-up signature": (
        SONNET,
        {"messages": [*HELLO, assistant({"type": "thinking", "thinking": "a", "signature": "b"}, text()), *HELLO]},
        "messages.1.content.0: Invalid `signature` in `thinking` block",
    ),
    "redacted thinking that is no base64": (
        SONNET,
        {"messages": [*HELLO, assistant({"type": "redacted_thinking", "data": "?"}, text()), *HELLO]},
        "Input should be valid base64",
    ),
    "mark on thinking": (
        SONNET,
        {"messages": [*HELLO, assistant({"type": "thinking", "thinking": "a", "signature": "b", **MARK})]},
        "thinking.cache_control: Extra inputs are not permitted",
    ),
    "mark on empty text": (SONNET, {"messages": [user(text("", **MARK))]}, "cannot be set for empty text blocks"),
    "mark of another type": (SONNET, {"messages": [user(text(cache_control={"type": "x"}))]}, "should be 'ephemeral'"),
    "mark of another ttl": (
        SONNET,
        {"messages": [user(text(cache_control={"type": "ephemeral", "ttl": "2h"}))]},
        "ttl: Input should be '5m' or '1h'",
    ),
    "mark with a scope": (
        SONNET,
        {"system": [text(cache_control={"type": "ephemeral", "scope": "global"})]},
        "cache_control.ephemeral.scope: Extra inputs are not permitted",
    ),
    "five marks": (SONNET, {"messages": [user(*[text(**MARK)] * 5)]}, "A maximum of 4 blocks"),
    "five marks, some inside a tool result": (
        SONNET,
        {
            "messages": [*HELLO, assistant(USE), user({**RESULT, "content": [text(**MARK)] * 4, **MARK})],
            "tools": [TOOL],
        },
        "Found 5.",
    ),
    "max tokens over the model's": (
        SONNET,
        {"max_tokens": 8001},
        f"max_tokens: 8001 > 8000, which is the maximum allowed number of output tokens for {SONNET}",
    ),
    "max tokens zero": (SONNET, {"max_tokens": 0}, "max_tokens: Input should be greater than or equal to 1"),
    "max tokens that is no number": (SONNET, {"max_tokens": "5"}, "max_tokens: Input should be a valid integer"),
    "temperature that is a boolean": (SONNET, {"temperature": True}, "temperature: Input should be a valid number"),
    "temperature over one": (SONNET, {"temperature": 1.1}, "temperature: range: 0..1"),
    "temperature on a model without": (OPUS, {"temperature": 1}, "`temperature` is deprecated for this model."),
    "temperature and top_p": (SONNET, {"temperature": 1, "top_p": 1}, "cannot both be specified"),
    "stop sequence that is no text": (
        SONNET,
        {"stop_sequences": [1]},
        "stop_sequences.0: Input should be a valid string",
    ),
    "thinking budget not below max tokens": (
        SONNET,
        {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        "`max_tokens` must be greater than `thinking.budget_tokens`",
    ),
    "unknown output config": (SONNET, {"output_config": {"a": 1}}, "output_config.a: Extra inputs are not permitted"),
    "unknown output format": (
        SONNET,
        {"output_config": {"format": {"type": "text"}}},
        "output_config.format.type: Input should be 'json_schema'",
    ),
    "effort on a model without": (
        SONNET,
        {"output_config": {"effort": "low"}},
        "does not support the effort parameter",
    ),
    "metadata with another key": (SONNET, {"metadata": {"team": "a"}}, "metadata.team: Extra inputs are not permitted"),
    "user id too long": (SONNET, {"metadata": {"user_id": "a" * 257}}, "at most 256 characters"),
    "image by address": (
        SONNET,
        {"messages": [user({"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}})]},
        "image.source.type: Input should be 'base64'",
    ),
    "image that is no base64": (SONNET, {"messages": [user(image("?"))]}, "Input should be valid base64"),
    "image of another type": (SONNET, {"messages": [user(image(media_type="image/gif"))]}, "media type image/gif"),
    "image of an unknown type": (SONNET, {"messages": [user(image(media_type="image/bmp"))]}, "Input should be one of"),
    "document of an unknown type": (
        SONNET,
        {"messages": [user({"type": "document", "source": {"type": "url", "url": "https://example.com"}}, text())]},
        "document.source: Input should be",
    ),
    "prefill on a model without": (
        OPUS,
        {"messages": [*HELLO, assistant(text("I"))]},
        "does not support assistant message prefill",
    ),
    "prompt too long": (
        SONNET,
        {"messages": [user(text("a" * 80_000))]},
        "prompt is too long: 20003 tokens > 20000 maximum",
    ),
    "a model of another vendor": (LLAMA, {}, "by Converse only"),
}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("case", REFUSED)
async def test_what_bedrock_refuses_is_refused(shared: Bedrock, case: str) -> None:
    model_id, differing, words = REFUSED[case]
    code, status, message = await shared.refusal("invoke_model", modelId=model_id, body=body(**differing))
    assert (code, status) == ("ValidationException", 400)
    assert words in message
    assert "The model returned the following errors" not in message


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"contentType": "text/plain"}, "Content Type text/plain is not supported"),
        ({"accept": "text/plain"}, "Accept type text/plain is not supported"),
        ({"guardrailIdentifier": "abc", "guardrailVersion": "1"}, "guardrail identifier or version"),
        ({"performanceConfigLatency": "optimized"}, "Latency performance configuration"),
        ({"serviceTier": "flex"}, "service tier flex"),
        ({"requestMetadata": '{"team":"a;b"}'}, "regular expression pattern"),
    ],
)
async def test_parameters_in_headers_are_judged_too(shared: Bedrock, parameters: dict[str, str], words: str) -> None:
    refusal = await shared.refusal("invoke_model", modelId=SONNET, body=body(), **parameters)
    assert refusal[:2] == ("ValidationException", 400)
    assert words in refusal[2]


async def test_the_service_tier_is_repeated_in_the_answer(bedrock: Bedrock) -> None:
    answer = await bedrock.call(
        "invoke_model", modelId=SONNET, body=body(), serviceTier="default", requestMetadata='{"team":"platform"}'
    )
    assert answer["serviceTier"] == "default"
