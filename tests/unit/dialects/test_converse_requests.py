import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sekisho.dialects.bedrock.converse import parse_request, render_request
from sekisho.dialects.exchange import (
    CachePoint,
    Document,
    Image,
    JsonSchema,
    Message,
    Part,
    Reasoning,
    RedactedThinking,
    Request,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
)
from sekisho.dialects.folding import renamed_tools, safe_name
from sekisho.errors import BadRequest
from sekisho.values import Model, Quirks
from tests.unit.dialects.neutral import MODELS, requests
from tests.unit.dialects.wire import CLAUDE, JSON, aws_problems, mutated, sample

EVERYTHING = {
    "system": [{"text": "Be kind."}, {"cachePoint": {"type": "default", "ttl": "1h"}}],
    "messages": [
        {"role": "user", "content": [{"text": "hi"}, {"cachePoint": {"type": "default"}}]},
        {
            "role": "assistant",
            "content": [
                {"reasoningContent": {"reasoningText": {"text": "Hm", "signature": "sig"}}},
                {"reasoningContent": {"redactedContent": "ZW5j"}},
                {"toolUse": {"toolUseId": "t1", "name": "Read", "input": {"path": "ä"}}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "toolResult": {
                        "toolUseId": "t1",
                        "status": "error",
                        "content": [
                            {"text": "no"},
                            {"json": {"a": [1]}},
                            {"image": {"format": "png", "source": {"bytes": "aGk="}}},
                        ],
                    }
                },
                {"document": {"format": "pdf", "name": "spec", "source": {"bytes": "JVBERg=="}}},
                {"document": {"format": "md", "name": "notes", "source": {"text": "plain"}}},
                {"guardContent": {"text": {"text": "guarded", "qualifiers": ["query"]}}},
                {"citationsContent": {"content": [{"text": "ci"}, {"text": "ted"}], "citations": []}},
                {"searchResult": {"source": "s", "title": "t", "content": [{"text": "found"}]}},
            ],
        },
        {"role": "system", "content": [{"text": "Remember."}]},
    ],
    "toolConfig": {
        "tools": [
            {"toolSpec": {"name": "Read", "inputSchema": {"json": {"type": "object"}}, "strict": True}},
            {"cachePoint": {"type": "default"}},
            {"systemTool": {"name": "nova_grounding"}},
        ],
        "toolChoice": {"tool": {"name": "Read"}},
    },
    "inferenceConfig": {"maxTokens": 100, "temperature": 0.5, "topP": 0.9, "stopSequences": ["END"]},
    "additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 2000}, "top_k": 5, "z": 1},
    "outputConfig": {
        "effort": "high",
        "textFormat": {
            "type": "json_schema",
            "structure": {"jsonSchema": {"name": "n", "schema": '{"type": "object"}'}},
        },
    },
    "requestMetadata": {"team": "x"},
}


def as_json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def model(quirks: Quirks = CLAUDE, family: str = "claude") -> Model:
    return Model("m", family, 200_000, 64_000, quirks, ())


def rendered(request: Request, to: Model | None = None) -> tuple[dict[str, Any], tuple[str, ...]]:
    body, unused = render_request(request, to or model())
    return json.loads(body), unused


def ask(*parts: Part, **settings: Any) -> Request:
    return Request("m", (Message("user", parts),), **settings)


def test_every_part_of_a_request_has_its_neutral_form():
    assert parse_request(as_json(EVERYTHING), "m", stream=True) == Request(
        model="m",
        messages=(
            Message("user", (Text("hi"), CachePoint("5m"))),
            Message(
                "assistant",
                (Thinking("Hm", "sig"), RedactedThinking("ZW5j"), ToolUse("t1", "Read", '{"path": "ä"}')),
            ),
            Message(
                "user",
                (
                    ToolResult("t1", (Text("no"), Text('{"a": [1]}'), Image("png", "aGk=")), is_error=True),
                    Document("pdf", "spec", "JVBERg=="),
                    Document("md", "notes", base64.b64encode(b"plain").decode()),
                    Text("guarded"),
                    Text("cited"),
                    Text("found"),
                ),
            ),
            Message("system", (Text("Remember."),)),
        ),
        system=(Text("Be kind."), CachePoint("1h")),
        tools=(Tool("Read", "", {"type": "object"}, True, "5m"),),
        tool_choice=ToolChoice("tool", "Read"),
        max_tokens=100,
        temperature=0.5,
        top_p=0.9,
        top_k=5,
        stop=("END",),
        reasoning=Reasoning("enabled", 2000, "high"),
        json_schema=JsonSchema("n", {"type": "object"}),
        stream=True,
        unused=("requestMetadata", "additionalModelRequestFields.z", "toolConfig.tools.systemTool"),
    )


def test_what_cline_sends_comes_out_as_it_went_in():
    body = sample("converse-cline")["body"]
    request = parse_request(as_json(body), "m", stream=True)
    again, unused = rendered(request)
    assert unused == ("additionalModelResponseFieldPaths",)
    del body["additionalModelResponseFieldPaths"]
    assert again == body


@given(requests(), MODELS)
def test_every_rendered_request_is_valid_by_the_service_model_of_botocore(request, to):
    body, _ = rendered(request, to)
    assert aws_problems(body) == []
    assert body["inferenceConfig"]["maxTokens"] <= to.max_output_tokens
    first = [name for name in ("toolConfig", "system", "messages") if name in body]
    assert list(body)[: len(first)] == first
    history = json.dumps(body["messages"])
    assert '"toolUse"' not in history or body["toolConfig"]["tools"]
    assert json.dumps(body).count('"cachePoint"') <= (4 if to.quirks.cache_min_tokens else 0)
    names = [
        block["document"]["name"]
        for message in body["messages"]
        for outer in message["content"]
        for block in (outer, *outer.get("toolResult", {}).get("content", ()))
        if "document" in block
    ]
    assert len(names) == len(set(names))


@given(requests(), MODELS.filter(lambda to: to.family == "claude"))
def test_what_is_rendered_is_read_back_as_it_was_meant(request, to):
    once, _ = render_request(request, to)
    assert render_request(parse_request(once, "m"), to)[0] == once


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(mutated(EVERYTHING) | JSON, MODELS)
def test_no_body_raises_anything_but_a_bad_request(body, to):
    try:
        render_request(parse_request(as_json(body), "m"), to)
    except BadRequest as error:
        assert error.message


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "body"),
        (b'{"messages":[]}', "at least one"),
        (b'{"messages":[{"role":"user","content":[{"video":{}}]}]}', "not possible here"),
        (b'{"messages":[{"role":"user","content":[{"image":{"format":"png","source":{"s3Location":{}}}}]}]}', "bytes"),
        (b'{"messages":[{"role":"user","content":[{"reasoningContent":{}}]}]}', "reasoningContent is empty"),
        (
            b'{"messages":[{"role":"user","content":[{"toolUse":{"toolUseId":"1","name":"a","input":[]}}]}]}',
            "must be an object",
        ),
        (
            b'{"messages":[{"role":"user","content":[{"toolResult":{"toolUseId":"1","content":'
            b'[{"cachePoint":{"type":"default"}}]}}]}]}',
            "text, json, images and documents only",
        ),
        (b'{"messages":[{"role":"user","content":[]}],"inferenceConfig":{"maxTokens":0}}', "at least 1"),
    ],
)
def test_what_cannot_be_read_is_refused_in_words_that_name_it(body, words):
    with pytest.raises(BadRequest, match=words):
        parse_request(body, "m")


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (Image("png", "eA=="), "m cannot read images"),
        (ToolResult("1", (Image("png", "eA=="),)), "m cannot"),
        (Document("pdf", "a", "eA=="), "m cannot read documents"),
    ],
)
def test_a_model_without_the_sense_is_named(part, words):
    with pytest.raises(BadRequest, match=words):
        render_request(ask(part), model(Quirks()))


def test_tools_on_a_model_without_them_are_refused():
    with pytest.raises(BadRequest, match="m cannot use tools"):
        render_request(ask(Text("x"), tools=(Tool("a", "", {}),)), model(Quirks(tools=False)))


@pytest.mark.parametrize("part", [Image("bmp", "eA=="), Document("odt", "a", "eA==")])
def test_media_that_converse_does_not_know_is_refused(part):
    with pytest.raises(BadRequest, match="not possible"):
        render_request(ask(part), model())


def test_a_choice_of_a_tool_that_is_not_there_is_refused():
    with pytest.raises(BadRequest, match="'b'"):
        render_request(ask(Text("x"), tools=(Tool("a", "", {}),), tool_choice=ToolChoice("tool", "b")), model())


def test_documents_get_legal_unique_names_and_text_beside_them():
    first, second = Document("pdf", "a_b/c  (1).pdf", "eA=="), Document("pdf", "a b c (1) pdf", "eA==")
    body, _ = rendered(ask(first, second, Document("pdf", "仕様書", "eA==")))
    *documents, text = body["messages"][0]["content"]
    assert [block["document"]["name"] for block in documents] == ["a b c (1) pdf", "a b c (1) pdf (2)", "document"]
    assert text == {"text": "The document is attached."}


def test_no_tools_means_no_tool_config_unless_the_history_needs_it():
    tools = (Tool("Read", "", {}),)
    none = ToolChoice("none")
    assert "toolConfig" not in rendered(ask(Text("x"), tools=tools, tool_choice=none))[0]
    history = (Message("user", (Text("x"),)), Message("assistant", (ToolUse("1", "Read", "{}"),)))
    body, unused = rendered(Request("m", history, tools=tools, tool_choice=none))
    assert "toolChoice" not in body["toolConfig"]
    assert "tool_choice" in unused
    bare, _ = rendered(Request("m", history))
    assert bare["toolConfig"]["tools"] == [{"toolSpec": {"name": "Read", "inputSchema": {"json": {"type": "object"}}}}]


def test_illegal_tool_names_are_changed_and_lead_back():
    request = ask(Text("x"), tools=(Tool("mcp.a/b", "", {}),), tool_choice=ToolChoice("tool", "mcp.a/b"))
    body, _ = rendered(request)
    names = renamed_tools(request.tools)
    assert body["toolConfig"]["toolChoice"] == {"tool": {"name": next(iter(names))}}
    assert names == {safe_name("mcp.a/b"): "mcp.a/b"}


THINK = Reasoning("enabled", 2000, "high")


@pytest.mark.parametrize(
    ("family", "extra", "output"),
    [
        ("claude", {"thinking": {"type": "enabled", "budget_tokens": 2000}}, {"effort": "high"}),
        ("nova", {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "medium"}}, None),
        ("gpt-oss", {"reasoning_effort": "high"}, None),
        ("llama", None, None),
    ],
)
def test_thinking_is_asked_for_in_the_words_of_the_family(family, extra, output):
    body, _ = rendered(ask(Text("x"), reasoning=THINK, max_tokens=9000), model(family=family))
    assert body.get("additionalModelRequestFields") == extra
    assert body.get("outputConfig") == output


@pytest.mark.parametrize(
    ("family", "extra", "unused"),
    [
        ("claude", {"top_k": 5}, ("parallel_tool_calls",)),
        ("nova", {"inferenceConfig": {"topK": 5}}, ("parallel_tool_calls",)),
        ("llama", None, ("top_k", "parallel_tool_calls")),
    ],
)
def test_top_k_is_said_in_the_words_of_the_family(family, extra, unused):
    body, left = rendered(ask(Text("x"), top_k=5, parallel_tool_calls=False), model(family=family))
    assert body.get("additionalModelRequestFields") == extra
    assert left == unused


def test_claude_does_not_get_sampling_while_it_thinks_nor_both_kinds_of_it():
    sampled = ask(Text("x"), temperature=1.7, top_p=0.5)
    assert rendered(sampled)[0]["inferenceConfig"] == {"maxTokens": 64_000, "temperature": 1}
    both = {"maxTokens": 64_000, "temperature": 1, "topP": 0.5}
    assert rendered(sampled, model(family="llama"))[0]["inferenceConfig"] == both
    body, unused = rendered(msgspec.structs.replace(sampled, reasoning=THINK))
    assert body["inferenceConfig"] == {"maxTokens": 64_000}
    assert unused == ("temperature", "top_p")


def test_a_tool_loop_that_began_without_thinking_goes_on_without():
    history = (Message("user", (Text("x"),)), Message("assistant", (ToolUse("1", "Read", "{}"),)))
    body, unused = rendered(Request("m", history, reasoning=THINK))
    assert "additionalModelRequestFields" not in body
    assert unused == ("thinking",)


def test_a_schema_for_the_answer_is_said_or_reported():
    asked = ask(Text("x"), json_schema=JsonSchema("my answer", {"type": "object"}))
    found = rendered(asked)[0]["outputConfig"]["textFormat"]["structure"]["jsonSchema"]
    assert found == {"schema": '{"type":"object"}', "name": safe_name("my answer")}
    assert rendered(asked, model(Quirks()))[1] == ("json_schema",)


@given(st.integers(1, 4000))
def test_more_stop_sequences_than_converse_takes_are_cut(count):
    body, _ = rendered(ask(Text("x"), stop=(" ", *map(str, range(count)))))
    assert len(body["inferenceConfig"]["stopSequences"]) == min(count, 2500)


def test_a_cache_point_before_all_tools_has_no_place():
    body = {**EVERYTHING, "toolConfig": {"tools": [{"cachePoint": {"type": "default"}}]}}
    assert parse_request(as_json(body), "m").tools == ()
