"""Each rule of Converse refuses what breaks it, with AWS's exception and words."""

import base64
from typing import Any

import pytest

from sekisho.simulator.server import Simulator
from tests.contract.simulator.conftest import GEMMA, LLAMA, OPUS, SONNET, Bedrock, assistant, text, user

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
POINT = {"cachePoint": {"type": "default"}}
LONG_POINT = {"cachePoint": {"type": "default", "ttl": "1h"}}
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}


def spec(name: str = "read", schema: Any = SCHEMA, **more: Any) -> dict[str, Any]:
    return {"toolSpec": {"name": name, "inputSchema": {"json": schema}, **more}}


def use(use_id: str = "t1", name: str = "read", arguments: Any = None) -> dict[str, Any]:
    return {"toolUse": {"toolUseId": use_id, "name": name, "input": {} if arguments is None else arguments}}


def result(use_id: str = "t1", **more: Any) -> dict[str, Any]:
    return {"toolResult": {"toolUseId": use_id, "content": [text("ok")], **more}}


def image(raw: bytes = PNG, kind: str = "png") -> dict[str, Any]:
    return {"image": {"format": kind, "source": {"bytes": raw}}}


def document(name: str = "notes", raw: bytes = b"text", kind: str = "txt") -> dict[str, Any]:
    return {"document": {"name": name, "format": kind, "source": {"bytes": raw}}}


def thinking(budget: int = 2000) -> dict[str, Any]:
    return {"thinking": {"type": "enabled", "budget_tokens": budget}}


HELLO = [user(text())]
TOOLS = {"tools": [spec()]}
ANSWERED = [user(text()), assistant(use()), user(result())]

ACCEPTED: dict[str, dict[str, Any]] = {
    "tool history": {"messages": ANSWERED, "toolConfig": TOOLS},
    "parallel tool calls": {
        "messages": [user(text()), assistant(text("Both."), use("a"), use("b")), user(result("b"), result("a"))],
        "toolConfig": TOOLS,
    },
    "prefill": {"messages": [user(text()), assistant(text("I say"))]},
    "image": {"messages": [user(image(), text())]},
    "image in a tool result": {
        "messages": [user(text()), assistant(use()), user(result(content=[image(), {"json": {"a": 1}}]))],
        "toolConfig": TOOLS,
    },
    "document": {"messages": [user(document("My notes (1)"), text())]},
    "four cache points, long before short": {
        "messages": [user(text(), POINT), assistant(text("a")), user(text("b"), POINT)],
        "system": [text("Be kind."), LONG_POINT],
        "toolConfig": {"tools": [spec(), LONG_POINT]},
    },
    "thinking with its budget": {"additionalModelRequestFields": thinking(), "inferenceConfig": {"maxTokens": 4000}},
    "json schema": {
        "outputConfig": {
            "textFormat": {
                "type": "json_schema",
                "structure": {"jsonSchema": {"schema": '{"type":"object","additionalProperties":false}'}},
            }
        }
    },
    "request metadata": {"requestMetadata": {"team": "platform", "cost centre": "a/b=c+d@e"}},
    "response fields": {"additionalModelResponseFieldPaths": ["/stop_sequence"]},
    "guarded text": {"messages": [user({"guardContent": {"text": {"text": "Is this safe?"}}})]},
    "blocks that are text to the model": {
        "messages": [
            user({"searchResult": {"source": "s", "title": "t", "content": [{"text": "found"}]}}, text()),
            assistant({"citationsContent": {"content": [{"text": "as said"}]}}),
            user(text()),
        ]
    },
    "a document of text": {
        "messages": [
            user({"document": {"name": "a", "source": {"text": "words"}}}, text()),
            assistant(text("a")),
            user({"document": {"name": "b", "source": {"content": [{"text": "words"}]}}}, text()),
        ]
    },
}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("case", ACCEPTED)
async def test_what_bedrock_takes_is_answered(shared: Bedrock, case: str) -> None:
    answer = await shared.call("converse", **{"modelId": SONNET, "messages": HELLO, **ACCEPTED[case]})
    assert answer["output"]["message"]["content"]


# case: (model, what differs from a plain request, words of the refusal)
REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "no messages": (SONNET, {"messages": []}, "must start with a user message"),
    "assistant first": (SONNET, {"messages": [assistant(text())]}, "must start with a user message"),
    "one role twice": (SONNET, {"messages": [*HELLO, *HELLO]}, "must alternate between user and assistant roles"),
    "system role": (SONNET, {"messages": [{"role": "system", "content": [text()]}]}, "role 'system' is not supported"),
    "unknown role": (SONNET, {"messages": [{"role": "tool", "content": [text()]}]}, "[user, assistant, system]"),
    "empty content": (SONNET, {"messages": [user()]}, "content field in the Message object at messages.0 is empty"),
    "blank text": (SONNET, {"messages": [user(text(" \n"))]}, "messages.0.content.0 is blank"),
    "empty block": (SONNET, {"messages": [user({})]}, "must set one of the following keys: text, image"),
    "two kinds in one block": (SONNET, {"messages": [user({**text(), **POINT})]}, "must set one of the following keys"),
    "system text on a model without": (GEMMA, {"system": [text("Be kind.")]}, "doesn't support system messages"),
    "prefill on a model without": (
        OPUS,
        {"messages": [*HELLO, assistant(text("I"))]},
        "does not support assistant message prefill",
    ),
    "trailing whitespace in a prefill": (
        SONNET,
        {"messages": [*HELLO, assistant(text("I "))]},
        "final assistant content cannot end with trailing whitespace",
    ),
    "tool call without an answer": (
        SONNET,
        {"messages": [user(text()), assistant(use()), user(text())], "toolConfig": TOOLS},
        "Expected toolResult blocks at messages.2.content for the following Ids: t1",
    ),
    "tool call at the end": (
        SONNET,
        {"messages": [user(text()), assistant(use())], "toolConfig": TOOLS},
        "Expected toolResult blocks at messages.2.content",
    ),
    "one of two tool calls without an answer": (
        SONNET,
        {"messages": [user(text()), assistant(use("a"), use("b")), user(result("a"))], "toolConfig": TOOLS},
        "for the following Ids: b",
    ),
    "stray tool result": (
        SONNET,
        {"messages": [user(result("t9"))], "toolConfig": TOOLS},
        "exceeds the number of toolUse blocks of previous turn",
    ),
    "tool answered twice": (
        SONNET,
        {"messages": [user(text()), assistant(use()), user(result(), result())], "toolConfig": TOOLS},
        "each tool_use must have a single result",
    ),
    "tool use id used twice": (
        SONNET,
        {"messages": [*ANSWERED, assistant(use()), user(result())], "toolConfig": TOOLS},
        "`tool_use` ids must be unique",
    ),
    "text before a tool result": (
        SONNET,
        {"messages": [user(text()), assistant(use()), user(text(), result())], "toolConfig": TOOLS},
        "without `tool_result` blocks immediately after: t1",
    ),
    "tool history without tools": (SONNET, {"messages": ANSWERED}, "toolConfig field must be defined"),
    "tool use by the user": (
        SONNET,
        {"messages": [user(use())], "toolConfig": TOOLS},
        "Expected toolResult blocks",
    ),
    "tool input that is no object": (
        SONNET,
        {"messages": [user(text()), assistant(use(arguments=[1])), user(result())], "toolConfig": TOOLS},
        "messages.1.content.0.toolUse.input is invalid. Provide a json object",
    ),
    "tool use id outside its alphabet": (
        SONNET,
        {"messages": [user(text()), assistant(use("a b")), user(result("a b"))], "toolConfig": TOOLS},
        "Member must satisfy regular expression pattern: [a-zA-Z0-9_.:-]+",
    ),
    "tool use id too long": (
        SONNET,
        {"messages": [user(text()), assistant(use("a" * 65)), user(result("a" * 65))], "toolConfig": TOOLS},
        "Member must have length less than or equal to 64",
    ),
    "tools on a model without": (GEMMA, {"toolConfig": TOOLS}, "This model doesn't support tool use"),
    "no tool at all": (SONNET, {"toolConfig": {"tools": []}}, "Member must have length greater than or equal to 1"),
    "tool name outside its alphabet": (SONNET, {"toolConfig": {"tools": [spec("a.b")]}}, "[a-zA-Z0-9_-]+"),
    "tool name too long": (SONNET, {"toolConfig": {"tools": [spec("a" * 65)]}}, "less than or equal to 64"),
    "tool name twice": (SONNET, {"toolConfig": {"tools": [spec(), spec()]}}, "Tool names must be unique"),
    "tool schema without a type": (
        SONNET,
        {"toolConfig": {"tools": [spec(schema={"properties": {}})]}},
        "toolSpec.inputSchema.json.type must be one of the following: object",
    ),
    "tool schema that is a choice": (
        SONNET,
        {"toolConfig": {"tools": [spec(schema={"type": "object", "anyOf": [{}]})]}},
        "does not support oneOf, allOf, or anyOf at the top level",
    ),
    "argument name outside its alphabet": (
        SONNET,
        {"toolConfig": {"tools": [spec(schema={"type": "object", "properties": {"a b": {}}})]}},
        "Property keys should match pattern",
    ),
    "properties that are no object": (
        SONNET,
        {"toolConfig": {"tools": [spec(schema={"type": "object", "properties": []})]}},
        "JSON schema is invalid",
    ),
    "empty tool description": (SONNET, {"toolConfig": {"tools": [spec(description="")]}}, "greater than or equal to 1"),
    "system tool": (SONNET, {"toolConfig": {"tools": [{"systemTool": {"name": "x"}}]}}, "systemTool"),
    "strict tool with an open object": (
        SONNET,
        {"toolConfig": {"tools": [spec(strict=True)]}},
        "'additionalProperties' must be explicitly set to false",
    ),
    "strict tool on a model without": (OPUS, {"toolConfig": {"tools": [spec(strict=True)]}}, "strict tools"),
    "forced tool choice on a model without": (
        OPUS,
        {"toolConfig": {**TOOLS, "toolChoice": {"any": {}}}},
        "tool_choice: type 'any' is not supported",
    ),
    "choice of an unknown tool": (
        SONNET,
        {"toolConfig": {**TOOLS, "toolChoice": {"tool": {"name": "nope"}}}},
        "Tool 'nope' not found in provided tools",
    ),
    "forced tool choice with thinking": (
        SONNET,
        {
            "toolConfig": {**TOOLS, "toolChoice": {"any": {}}},
            "additionalModelRequestFields": thinking(),
        },
        "Thinking may not be enabled when tool_choice forces tool use",
    ),
    "five cache points": (
        SONNET,
        {"messages": [user(*[text(), POINT] * 5)]},
        "A maximum of 4 blocks with cache_control may be provided. Found 5.",
    ),
    "cache point first": (SONNET, {"messages": [user(POINT, text())]}, "messages.0.content.0 must follow content"),
    "cache point after a cache point": (SONNET, {"messages": [user(text(), POINT, POINT)]}, "must follow content"),
    "cache point alone in system": (SONNET, {"system": [POINT]}, "system.0 must follow content"),
    "cache point before the tools": (SONNET, {"toolConfig": {"tools": [POINT, spec()]}}, "must follow a toolSpec"),
    "long cache point after a short one": (
        SONNET,
        {"system": [text("Be kind."), POINT], "messages": [user(text(), LONG_POINT)]},
        "a ttl='1h' cache_control block must not come after a ttl='5m'",
    ),
    "long cache point on a model without": (
        OPUS,
        {"messages": [user(text(), LONG_POINT)]},
        "ttl: Extra inputs are not permitted",
    ),
    "unknown cache ttl": (
        SONNET,
        {"messages": [user(text(), {"cachePoint": {"type": "default", "ttl": "2h"}})]},
        "[5m, 1h]",
    ),
    "max tokens over the model's": (
        SONNET,
        {"inferenceConfig": {"maxTokens": 8001}},
        "The maximum tokens you requested exceeds the model limit of 8000",
    ),
    "max tokens zero": (SONNET, {"inferenceConfig": {"maxTokens": 0}}, "greater than or equal to 1"),
    "temperature over one": (LLAMA, {"inferenceConfig": {"temperature": 1.5}}, "less than or equal to 1"),
    "temperature and top_p": (
        SONNET,
        {"inferenceConfig": {"temperature": 0.5, "topP": 0.5}},
        "`temperature` and `top_p` cannot both be specified",
    ),
    "temperature on a model without": (OPUS, {"inferenceConfig": {"temperature": 1}}, "`temperature` is deprecated"),
    "top_p on a model without": (OPUS, {"inferenceConfig": {"topP": 0.9}}, "`top_p` is deprecated"),
    "top_k on a model without": (OPUS, {"additionalModelRequestFields": {"top_k": 5}}, "`top_k` is deprecated"),
    "negative top_k": (SONNET, {"additionalModelRequestFields": {"top_k": -1}}, "greater than or equal to 0"),
    "top_k that is no number": (SONNET, {"additionalModelRequestFields": {"top_k": "5"}}, "valid integer"),
    "blank stop sequence": (SONNET, {"inferenceConfig": {"stopSequences": [" "]}}, "contain non-whitespace"),
    "empty stop sequence": (SONNET, {"inferenceConfig": {"stopSequences": [""]}}, "greater than or equal to 1"),
    "too many stop sequences": (SONNET, {"inferenceConfig": {"stopSequences": ["a"] * 2501}}, "equal to 2500"),
    "thinking on a model without": (
        LLAMA,
        {"additionalModelRequestFields": thinking()},
        "thinking: Extra inputs are not permitted",
    ),
    "budgeted thinking on an adaptive model": (
        OPUS,
        {"additionalModelRequestFields": thinking()},
        '"thinking.type.enabled" is not supported for this model',
    ),
    "adaptive thinking on a budgeted model": (
        SONNET,
        {"additionalModelRequestFields": {"thinking": {"type": "adaptive"}}},
        '"thinking.type.adaptive" is not supported',
    ),
    "thinking off where it is always on": (
        OPUS,
        {"additionalModelRequestFields": {"thinking": {"type": "disabled"}}},
        "its thinking is always on",
    ),
    "unknown form of thinking": (
        SONNET,
        {"additionalModelRequestFields": {"thinking": {"type": "on"}}},
        "expected tags",
    ),
    "thinking without a budget": (
        SONNET,
        {"additionalModelRequestFields": {"thinking": {"type": "enabled"}}},
        "budget_tokens: Field required",
    ),
    "budget too small": (
        SONNET,
        {"additionalModelRequestFields": thinking(1023)},
        "Input should be greater than or equal to 1024",
    ),
    "budget not below max tokens": (
        SONNET,
        {"additionalModelRequestFields": thinking(2000), "inferenceConfig": {"maxTokens": 2000}},
        "`max_tokens` must be greater than `thinking.budget_tokens`",
    ),
    "unknown member of thinking": (
        SONNET,
        {"additionalModelRequestFields": {"thinking": {"type": "disabled", "budget_tokens": 1}}},
        "thinking.disabled.budget_tokens: Extra inputs are not permitted",
    ),
    "unknown display of thinking": (
        OPUS,
        {"additionalModelRequestFields": {"thinking": {"type": "adaptive", "display": "all"}}},
        "display: Input should be",
    ),
    "temperature with thinking": (
        SONNET,
        {"additionalModelRequestFields": thinking(), "inferenceConfig": {"temperature": 0.5}},
        "`temperature` may only be set to 1 when thinking is enabled",
    ),
    "low top_p with thinking": (
        SONNET,
        {"additionalModelRequestFields": thinking(), "inferenceConfig": {"topP": 0.5}},
        "`top_p` must be greater than or equal to 0.95",
    ),
    "top_k with thinking": (
        SONNET,
        {"additionalModelRequestFields": {**thinking(), "top_k": 5}},
        "`top_k` must be unset when thinking is enabled",
    ),
    "prefill with thinking": (
        SONNET,
        {"additionalModelRequestFields": thinking(), "messages": [*HELLO, assistant(text("I"))]},
        "When `thinking` is enabled",
    ),
    "tool turn without its thinking": (
        SONNET,
        {"additionalModelRequestFields": thinking(), "messages": ANSWERED, "toolConfig": TOOLS},
        "Expected `thinking` or `redacted_thinking`, but found `tool_use`",
    ),
    "reasoning without a signature": (
        SONNET,
        {"messages": [*HELLO, assistant({"reasoningContent": {"reasoningText": {"text": "a"}}}, text("b")), *HELLO]},
        "Invalid `signature` in `thinking` block",
    ),
    "made-up redacted reasoning": (
        SONNET,
        {"messages": [*HELLO, assistant({"reasoningContent": {"redactedContent": b"a"}}, text("b")), *HELLO]},
        "Invalid `data` in `redacted_thinking` block",
    ),
    "reasoning by the user": (
        SONNET,
        {"messages": [user({"reasoningContent": {"redactedContent": b"a"}}, text())]},
        "can only be in `assistant` messages",
    ),
    "effort on a model without": (
        SONNET,
        {"outputConfig": {"effort": "high"}},
        "does not support the effort parameter",
    ),
    "unknown effort": (OPUS, {"outputConfig": {"effort": "huge"}}, "'low', 'medium', 'high', 'xhigh' or 'max'"),
    "json schema on a model without": (
        OPUS,
        {"additionalModelRequestFields": {"output_config": {"format": {"type": "json_schema", "schema": {}}}}},
        "does not support structured output",
    ),
    "json schema that is no JSON": (
        SONNET,
        {"outputConfig": {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": "{"}}}}},
        "Input should be valid JSON",
    ),
    "json schema with an open object": (
        SONNET,
        {
            "outputConfig": {
                "textFormat": {
                    "type": "json_schema",
                    "structure": {"jsonSchema": {"schema": '{"anyOf":[{"type":"object"}]}'}},
                }
            }
        },
        "'additionalProperties' must be explicitly set to false",
    ),
    "image on a model without": (LLAMA, {"messages": [user(image(), text())]}, "doesn't support images"),
    "image of another format": (
        SONNET,
        {"messages": [user(image(kind="jpeg"))]},
        "does not match the provided media type",
    ),
    "image in S3": (
        SONNET,
        {"messages": [user({"image": {"format": "png", "source": {"s3Location": {"uri": "s3://abc/d"}}}})]},
        "must carry bytes",
    ),
    "image by the assistant": (
        SONNET,
        {"messages": [*HELLO, assistant(image()), *HELLO]},
        "can only be in `user` messages",
    ),
    "image over 5 MB": (SONNET, {"messages": [user(image(PNG + bytes(4_000_000)))]}, "image exceeds 5 MB maximum"),
    "document on a model without": (OPUS, {"messages": [user(document(), text())]}, "doesn't support documents"),
    "document name with a dot": (
        SONNET,
        {"messages": [user(document("a.txt"), text())]},
        "The document file name can only",
    ),
    "document name with two spaces": (SONNET, {"messages": [user(document("a  b"), text())]}, "consecutive whitespace"),
    "document without a text": (SONNET, {"messages": [user(document())]}, "has a document and no text"),
    "two documents of one name": (SONNET, {"messages": [user(document(), document(), text())]}, "unique name"),
    "six documents": (
        SONNET,
        {"messages": [user(*[document(f"n{i}") for i in range(6)], text())]},
        "at most 5 documents",
    ),
    "pdf that is none": (SONNET, {"messages": [user(document(kind="pdf"), text())]}, "The PDF specified was not valid"),
    "document over 4.5 MB": (SONNET, {"messages": [user(document(raw=bytes(4_718_593)), text())]}, "exceeds 4.5 MB"),
    "video": (
        SONNET,
        {"messages": [user({"video": {"format": "mp4", "source": {"bytes": b"a"}}})]},
        "doesn't support the video field",
    ),
    "unknown beta": (
        SONNET,
        {"additionalModelRequestFields": {"anthropic_beta": ["prompt-caching-scope-2026-01-05"]}},
        "The model returned the following errors: invalid beta flag",
    ),
    "context management without its beta": (
        SONNET,
        {"additionalModelRequestFields": {"context_management": {"edits": []}}},
        "context_management: Extra inputs are not permitted",
    ),
    "unknown model field": (
        SONNET,
        {"additionalModelRequestFields": {"seed": 1}},
        "seed: Extra inputs are not permitted",
    ),
    "unknown model field of another vendor": (
        LLAMA,
        {"additionalModelRequestFields": {"thinking_": 1}},
        "Extra inputs",
    ),
    "too much metadata": (
        SONNET,
        {"requestMetadata": {f"k{i}": "v" for i in range(17)}},
        "Member must have length less than or equal to 16",
    ),
    "metadata outside its alphabet": (SONNET, {"requestMetadata": {"team": "a;b"}}, "regular expression pattern"),
    "metadata value too long": (SONNET, {"requestMetadata": {"team": "a" * 257}}, "less than or equal to 256"),
    "guardrail that does not exist": (
        SONNET,
        {"guardrailConfig": {"guardrailIdentifier": "abc", "guardrailVersion": "1"}},
        "guardrail identifier or version provided in the request does not exist",
    ),
    "optimized latency": (SONNET, {"performanceConfig": {"latency": "optimized"}}, "not supported for"),
    "flex tier on Claude": (SONNET, {"serviceTier": {"type": "flex"}}, "service tier flex is not supported"),
    "prompt variables": (SONNET, {"promptVariables": {"a": {"text": "b"}}}, "promptVariables field is only allowed"),
    "response path that is no pointer": (SONNET, {"additionalModelResponseFieldPaths": ["delta"]}, "JSON pointers"),
    "prompt too long": (
        SONNET,
        {"messages": [user(text("a" * 80_000))]},
        "The model returned the following errors: prompt is too long: 20003 tokens > 20000 maximum",
    ),
    "several at once": (
        SONNET,
        {"inferenceConfig": {"maxTokens": 0, "topP": 2}},
        "2 validation errors detected: Value '0' at 'inferenceConfig.maxTokens' failed",
    ),
}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("case", REFUSED)
async def test_what_bedrock_refuses_is_refused(shared: Bedrock, case: str) -> None:
    model_id, differing, words = REFUSED[case]
    code, status, message = await shared.refusal("converse", **{"modelId": model_id, "messages": HELLO, **differing})
    assert (code, status) == ("ValidationException", 400)
    assert words in message


async def test_a_stream_is_refused_by_the_same_rules(bedrock: Bedrock) -> None:
    refusal = await bedrock.refusal("converse_stream", modelId=SONNET, messages=[assistant(text())])
    assert refusal[:2] == ("ValidationException", 400)


async def test_a_cache_point_on_a_model_without_caching_is_denied(bedrock: Bedrock) -> None:
    refusal = await bedrock.refusal("converse", modelId=LLAMA, messages=[user(text(), POINT)])
    assert refusal[:2] == ("AccessDeniedException", 403)


async def test_results_may_follow_text_on_other_models(bedrock: Bedrock) -> None:
    messages = [user(text()), assistant(use()), user(text(), result())]
    answer = await bedrock.call("converse", modelId=LLAMA, messages=messages, toolConfig=TOOLS)
    assert answer["stopReason"] == "end_turn"


async def test_altered_reasoning_is_refused_and_genuine_reasoning_taken(bedrock: Bedrock, simulator: Simulator) -> None:
    ask = {"modelId": SONNET, "additionalModelRequestFields": thinking(), "toolConfig": TOOLS}
    simulator.fail_next("tool", name="read")
    turn = (await bedrock.call("converse", **ask, messages=HELLO))["output"]["message"]
    reasoning, call = turn["content"]
    after = user(result(call["toolUse"]["toolUseId"]))
    assert (await bedrock.call("converse", **ask, messages=[*HELLO, turn, after]))["stopReason"] == "end_turn"
    reasoning["reasoningContent"]["reasoningText"]["text"] += " Or not."
    _, _, message = await bedrock.refusal("converse", **ask, messages=[*HELLO, turn, after])
    assert "messages.1.content.0: Invalid `signature` in `thinking` block" in message


async def test_redacted_reasoning_comes_back_unharmed(bedrock: Bedrock, simulator: Simulator) -> None:
    simulator.fail_next("thinking", kind="redacted")
    turn = (await bedrock.call("converse", modelId=SONNET, messages=HELLO))["output"]["message"]
    assert "redactedContent" in turn["content"][0]["reasoningContent"]
    answer = await bedrock.call("converse", modelId=SONNET, messages=[*HELLO, turn, *HELLO])
    assert answer["stopReason"] == "end_turn"
