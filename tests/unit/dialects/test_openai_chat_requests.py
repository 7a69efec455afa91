"""What chat clients send, as the neutral request. Wire forms: bodies the agents really sent (tests/samples)."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
from sekisho.dialects.openai_chat import parse_request, pass_request, render_request
from sekisho.errors import BadRequest
from tests.thorough import examples
from tests.unit.dialects.random_bodies import UNTIMED, bodies, spoiled

SAMPLES = Path(__file__).parents[2] / "samples"
CHAT_AGENTS = ["aider", "cline", "cline-plan", "continue", "kilo", "opencode", "sdk-openai"]
FUNCTION = {"type": "function", "function": {"name": "read", "description": "Reads.", "parameters": {"type": "object"}}}


def parse(**fields: Any) -> Request:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}
    return parse_request(json.dumps(body).encode())


def parts(*messages: dict[str, Any]) -> list[tuple[Part, ...]]:
    return [message.parts for message in parse(messages=list(messages)).messages]


def sample(agent: str, number: int = 0) -> bytes:
    requests = json.loads((SAMPLES / f"{agent}.json").read_text())["requests"]
    return json.dumps(requests[number]["body"]).encode()


@pytest.mark.parametrize("agent", CHAT_AGENTS)
def test_every_agents_request_is_understood_whole(agent):
    request = parse_request(sample(agent))
    assert request.stream
    assert request.messages[-1].role == "user"
    assert request.unused == ()


def test_cline_with_tools():
    request = parse_request(sample("cline"))
    assert request.max_tokens == 8192
    assert request.tool_choice == ToolChoice("auto")
    assert [tool.name for tool in request.tools] == ["read_files"]
    assert [message.role for message in request.messages] == ["user", "assistant", "user", "assistant", "user"]
    call = request.messages[1].parts[1]
    assert call == ToolUse("call_08033c7744", "read_files", '{"files":[{"path":"<repo>/calc.py"}]}')


def test_opencode_marks_the_cache_on_messages_calls_and_parts():
    title, turn = parse_request(sample("opencode", 0)), parse_request(sample("opencode", 1))
    assert isinstance(title.system[-1], CachePoint)
    assert [isinstance(message.parts[-1], CachePoint) for message in title.messages] == [True, True]
    assert [isinstance(message.parts[-1], CachePoint) for message in turn.messages] == [False, True, True]
    assert sum(isinstance(part, CachePoint) for message in turn.messages for part in message.parts) == 2


def test_aider_does_not_ask_for_usage():
    assert not parse_request(sample("aider")).wants_usage
    assert parse_request(sample("cline")).wants_usage
    assert parse(stream=False).wants_usage


def test_system_text_that_leads_is_system_and_later_system_text_stays_in_place():
    request = parse(
        messages=[
            {"role": "system", "content": "a"},
            {"role": "developer", "content": [{"type": "text", "text": "b"}]},
            {"role": "user", "content": "c"},
            {"role": "system", "content": "d"},
        ]
    )
    assert request.system == (Text("a"), Text("b"))
    assert request.messages == (Message("user", (Text("c"),)), Message("system", (Text("d"),)))


def test_images_and_files_come_as_data_urls():
    assert parts(
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": "data:image/jpg;base64,QUJD", "detail": "high"}},
                {"type": "file", "file": {"filename": "a.b.pdf", "file_data": "data:application/pdf;base64,QUJD"}},
                {"type": "file", "file": {"filename": "notes.md", "file_data": "QUJD"}},
            ],
        }
    ) == [(Image("jpeg", "QUJD"), Document("pdf", "a.b", "QUJD"), Document("md", "notes", "QUJD"))]


def test_tool_results_in_a_row_are_one_user_message():
    assert parts(
        {"role": "user", "content": "go"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "f", "arguments": ""}},
                {"id": "2", "type": "function", "function": {"name": "g", "arguments": '{"a": 1}'}},
            ],
        },
        {"role": "tool", "tool_call_id": "1", "content": "one"},
        {
            "role": "tool",
            "tool_call_id": "2",
            "content": [{"type": "text", "text": "two", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        },
        {"role": "user", "content": "on"},
    )[1:] == [
        (ToolUse("1", "f", "{}"), ToolUse("2", "g", '{"a": 1}')),
        (ToolResult("1", (Text("one"),)), ToolResult("2", (Text("two"),)), CachePoint("1h")),
        (Text("on"),),
    ]


def test_arguments_that_are_no_object_are_wrapped_so_that_the_conversation_goes_on():
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"path": "a'}}
    assert parts({"role": "user", "content": "go"}, {"role": "assistant", "tool_calls": [call]})[1] == (
        ToolUse("1", "f", '{"malformed_arguments":"{\\"path\\": \\"a"}'),
    )


def test_half_an_emoji_inside_the_arguments_is_mended():
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a":"\\ud83d"}'}}
    expected = (ToolUse("1", "f", '{"a":"\\ufffd"}'),)
    assert parts({"role": "user", "content": "go"}, {"role": "assistant", "tool_calls": [call]})[1] == expected


def test_parts_in_the_forms_that_some_clients_write():
    assert parts(
        {
            "role": "user",
            "content": ["plain", {"type": "image_url", "image_url": "data:image/png;base64,QUJD"}],
        },
        {
            "role": "assistant",
            "content": [{"type": "thinking", "thinking": "hm"}, {"type": "refusal", "refusal": "no"}],
            "refusal": "never",
        },
    ) == [(Text("plain"), Image("png", "QUJD")), (Thinking("hm"), Text("no"), Text("never"))]


def test_a_choice_without_tools_means_nothing():
    assert parse(tool_choice="auto").tool_choice is None


def test_legacy_functions_are_tools():
    request = parse(
        messages=[
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": "done"},
        ],
        functions=[{"name": "f"}],
        function_call={"name": "f"},
    )
    assert parse(functions=[{"name": "f"}], function_call="auto").tool_choice == ToolChoice("auto")
    assert request.messages[1].parts == (ToolUse("call_legacy_1", "f", "{}"),)
    assert request.messages[2].parts == (ToolResult("call_legacy_1", (Text("done"),)),)
    assert request.tools == (Tool("f", "", {"type": "object", "properties": {}}),)
    assert request.tool_choice == ToolChoice("tool", "f")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"reasoning_content": "hm"}, [Thinking("hm")]),
        (
            {
                "reasoning_content": "hm",
                "thinking_blocks": [
                    {"type": "thinking", "thinking": "hm", "signature": "s"},
                    {"type": "redacted_thinking", "data": "x"},
                ],
            },
            [Thinking("hm", "s"), RedactedThinking("x")],
        ),
        (
            {
                "reasoning_details": [
                    {"type": "reasoning.text", "text": "hm", "signature": "s"},
                    {"type": "reasoning.encrypted", "data": "x"},
                    {"type": "reasoning.summary", "summary": "short"},
                ]
            },
            [Thinking("hm", "s"), RedactedThinking("x")],
        ),
    ],
)
def test_thinking_comes_back_in_the_forms_agents_keep_it(fields, expected):
    given_parts = parts({"role": "user", "content": "go"}, {"role": "assistant", "content": "so", **fields})[1]
    assert given_parts == (*expected, Text("so"))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, Reasoning()),
        ({"reasoning_effort": "none"}, Reasoning("disabled")),
        ({"reasoning_effort": "minimal"}, Reasoning("adaptive", effort="low")),
        ({"reasoning_effort": "xhigh"}, Reasoning("adaptive", effort="xhigh")),
        ({"reasoning": {"effort": "high"}}, Reasoning("adaptive", effort="high")),
        ({"reasoning": {"max_tokens": 2000}}, Reasoning("enabled", 2000)),
        ({"reasoning": {"enabled": False}}, Reasoning("disabled")),
        ({"reasoning": {"enabled": True}}, Reasoning("adaptive")),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, Reasoning("enabled", 1024)),
        ({"thinking": {"type": "disabled"}}, Reasoning("disabled")),
        (
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}},
            Reasoning("adaptive", effort="max"),
        ),
        ({"output_config": {"effort": "low"}}, Reasoning(effort="low")),
    ],
)
def test_every_way_to_ask_for_thinking(fields, expected):
    assert parse(**fields).reasoning == expected


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", ToolChoice("auto")),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("any")),
        ({"type": "any"}, ToolChoice("any")),
        ({"type": "tool", "name": "read"}, ToolChoice("tool", "read")),
        ({"type": "function", "function": {"name": "read"}}, ToolChoice("tool", "read")),
    ],
)
def test_every_form_of_tool_choice(choice, expected):
    assert parse(tools=[FUNCTION], tool_choice=choice).tool_choice == expected


def test_allowed_tools_leave_only_those():
    other = {"type": "function", "function": {"name": "write"}}
    wanted = {"mode": "required", "tools": [{"type": "function", "function": {"name": "write"}}, {"type": "custom"}]}
    request = parse(tools=[FUNCTION, other], tool_choice={"type": "allowed_tools", "allowed_tools": wanted})
    assert [tool.name for tool in request.tools] == ["write"]
    assert request.tool_choice == ToolChoice("any")


def test_tools_keep_schema_strictness_and_cache_point():
    marked = FUNCTION | {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    strict = {"type": "function", "function": {"name": "w", "strict": True}, "cache_control": None}
    assert parse(tools=[marked, strict, {"type": "web_search"}]).tools == (
        Tool("read", "Reads.", {"type": "object"}, cache_ttl="1h"),
        Tool("w", "", {"type": "object", "properties": {}}, strict=True),
    )


def test_fields_without_meaning_here_are_named():
    request = parse(
        drop_params=True, litellm_session_id="cline-1", user="u", seed=3, tools=[{"type": "web_search"}], metadata={}
    )
    assert request.unused == ("drop_params", "litellm_session_id", "user", "seed", "metadata", "tools.web_search")


def test_limits_and_sampling():
    request = parse(max_tokens=5, max_completion_tokens=9, temperature=0, top_p=0.5, top_k=4, stop="END", n=1)
    assert (request.max_tokens, request.temperature, request.top_p, request.top_k) == (9, 0.0, 0.5, 4)
    assert request.stop == ("END",)
    assert parse(stop=["a", "b"], max_tokens=5).stop == ("a", "b")
    assert parse(max_tokens=None, stop=None, tools=None, tool_choice=None).max_tokens is None


def test_answer_formats():
    schema = {"type": "object"}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": True}}
    assert parse(response_format=wanted).json_schema == JsonSchema("n", schema)
    assert parse(response_format={"type": "json_object"}).json_schema == JsonSchema("json_object", schema)
    assert parse(response_format={"type": "text"}).json_schema is None


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"messages": []}, "messages"),
        ({"messages": None}, "messages"),
        ({"messages": [{"role": "system", "content": "alone"}]}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [3]}, "messages[0]"),
        ({"messages": [{"role": "robot"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "hologram"}]}]}, "messages[0].content[0].type"),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x/a.png"}}]}
                ]
            },
            "messages[0].content[0].image_url.url",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]},
            "messages[0].content[0].file.file_id",
        ),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        (
            {"messages": [{"role": "user", "content": "x", "cache_control": {"type": "ephemeral", "ttl": "2h"}}]},
            "messages[0].cache_control.ttl",
        ),
        ({"model": ""}, "model"),
        ({"top_p": 10**400}, "top_p"),
        (
            {"messages": [{"role": "user", "content": "x", "cache_control": {"type": "eternal"}}]},
            "messages[0].cache_control.type",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"type": "custom", "id": "1"}]}]},
            "messages[0].tool_calls[0].type",
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": "data:image/bmp;base64,A"}]}
                ]
            },
            "messages[0].content[0].image_url",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_data": "QUJD"}}]}]},
            "messages[0].content[0].file.file_data",
        ),
        ({"thinking": {"type": "deep"}}, "thinking.type"),
        ({"response_format": {"type": "yaml"}}, "response_format.type"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"stop": [1]}, "stop[0]"),
        ({"stream": 1}, "stream"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"tool_choice": "maybe"}, "tool_choice"),
        ({"reasoning_effort": "extreme"}, "reasoning_effort"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ],
)
def test_a_wrong_field_is_refused_with_its_path(fields, path):
    with pytest.raises(BadRequest) as refused:
        parse(**fields)
    assert refused.value.param == path
    assert path.partition("[")[0] in refused.value.message


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"\xff"', b"[" * 100_000, b"1e999", b'{"model": NaN}'])
def test_a_body_that_is_no_json_object_is_refused(body):
    with pytest.raises(BadRequest):
        parse_request(body)


def test_half_an_emoji_does_not_spoil_the_call():
    body = rb'{"model":"m","messages":[{"role":"user","content":"cut \ud83d here, whole \ud83d\ude00, \\ud83d"}]}'
    assert parse_request(body).messages[0].parts == (Text("cut � here, whole 😀, \\ud83d"),)


@settings(UNTIMED, max_examples=examples(100))
@given(
    bodies(
        "messages tools tool_choice model stop thinking reasoning response_format stream_options functions",
        "role content type text tool_calls function name arguments id cache_control tool_call_id image_url url file "
        "file_data thinking_blocks reasoning_details json_schema schema mode tools ttl effort",
        "user assistant tool system function text image_url file thinking ephemeral json_schema allowed_tools 1h "
        "data:image/png;base64,AA",
    )
)
def test_no_body_raises_anything_but_bad_request(body):
    try:
        parse_request(body)
    except BadRequest as refused:
        assert refused.message


@settings(UNTIMED, max_examples=examples(100))
@given(spoiled([json.loads(sample(agent)) for agent in CHAT_AGENTS]))
def test_no_spoiled_body_of_an_agent_raises_anything_but_bad_request(body):
    try:
        parse_request(body)
    except BadRequest as refused:
        assert refused.message


words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
names = st.from_regex(r"[a-zA-Z0-9_-]{1,12}", fullmatch=True)
objects = st.dictionaries(words, st.one_of(st.integers(-5, 5), words), max_size=3)
ttls = st.sampled_from(["5m", "1h"])
images = st.builds(Image, st.sampled_from(["png", "jpeg", "gif", "webp"]), names)
documents = st.builds(Document, st.sampled_from(["pdf", "csv", "docx", "txt", "md"]), names, names)
tool_uses = st.builds(ToolUse, names, names, objects.map(json.dumps))
thoughts = st.one_of(st.builds(Thinking, words, st.one_of(st.just(""), words)), st.builds(RedactedThinking, words))
results = st.builds(ToolResult, names, st.lists(st.builds(Text, words), max_size=2).map(tuple), is_error=st.just(False))


def ending(content: Sequence[Part], point: CachePoint | None) -> tuple[Part, ...]:
    return (*content, point) if point is not None else tuple(content)


points = st.one_of(st.none(), st.builds(CachePoint, ttls))
user_parts = st.builds(
    ending, st.lists(st.one_of(st.builds(Text, words), images, documents), min_size=1, max_size=3), points
)
spoken_parts = st.builds(ending, st.lists(st.builds(Text, words), min_size=1, max_size=3), points)
assistant_parts = st.builds(
    lambda thinking, text, calls, point: ending([*thinking, *text, *calls], point if text or calls else None),
    st.lists(thoughts, max_size=2),
    st.lists(st.builds(Text, words), max_size=2),
    st.lists(tool_uses, max_size=2),
    points,
).filter(bool)
exchanges = st.one_of(
    st.builds(lambda content: [Message("user", content)], user_parts),
    st.builds(
        lambda answer, content, later: [
            Message("assistant", answer),
            Message("user", tuple(content)),
            Message("system", later),
        ],
        assistant_parts,
        st.builds(ending, st.lists(results, min_size=1, max_size=2), points),
        spoken_parts,
    ),
)
reasonings = st.one_of(
    st.just(Reasoning()),
    st.just(Reasoning("disabled")),
    st.builds(Reasoning, st.just("enabled"), st.integers(1, 9000), st.sampled_from(["", "low", "max"])),
    st.builds(Reasoning, st.just("adaptive"), st.just(0), st.sampled_from(["", "medium", "xhigh"])),
    st.builds(Reasoning, st.just("unset"), st.just(0), st.sampled_from(["high"])),
)
requests = st.builds(
    Request,
    model=names,
    messages=st.lists(exchanges, min_size=1, max_size=3).map(
        lambda groups: (Message("user", (Text("go"),)), *(message for group in groups for message in group))
    ),
    system=st.one_of(st.just(()), spoken_parts),
    tools=st.lists(
        st.builds(Tool, names, st.text("abc ", max_size=8), st.just({"type": "object"}), st.booleans(), ttls),
        max_size=2,
    ).map(tuple),
    tool_choice=st.one_of(
        st.none(),
        st.builds(ToolChoice, st.sampled_from(["auto", "any", "none"])),
        st.builds(ToolChoice, st.just("tool"), names),
    ),
    parallel_tool_calls=st.one_of(st.none(), st.booleans()),
    max_tokens=st.one_of(st.none(), st.integers(1, 10**6)),
    temperature=st.one_of(st.none(), st.floats(0, 2)),
    top_p=st.one_of(st.none(), st.floats(0, 1)),
    top_k=st.one_of(st.none(), st.integers(1, 500)),
    stop=st.lists(words, max_size=2).map(tuple),
    reasoning=reasonings,
    json_schema=st.one_of(st.none(), st.builds(JsonSchema, names, objects)),
    stream=st.booleans(),
).map(
    lambda request: (
        request if request.tools else msgspec.structs.replace(request, tool_choice=None, parallel_tool_calls=None)
    )
)


@UNTIMED
@given(requests)
def test_what_is_rendered_for_an_extended_upstream_reads_back_the_same(request):
    assert parse_request(render_request(request, request.model, extensions=True)) == request


@UNTIMED
@given(requests)
def test_a_plain_upstream_gets_only_what_openai_knows(request):
    body = json.loads(render_request(request, "up"))
    text = json.dumps([body["messages"], body.get("tools")])
    assert body["model"] == "up"
    assert '"cache_control"' not in text and '"thinking_blocks"' not in text
    assert not {"thinking", "top_k", "output_config"} & body.keys()
    assert body.get("stream_options") == ({"include_usage": True} if request.stream else None)


def test_images_of_a_tool_result_follow_it_as_a_user_message():
    result = ToolResult("1", (Text("seen"), Image("png", "QUJD")))
    request = Request("m", (Message("user", (result, ToolResult("2", ()), Text("and now?"))),))
    messages = json.loads(render_request(request, "up"))["messages"]
    assert [message["role"] for message in messages] == ["tool", "tool", "user"]
    assert messages[0]["content"][0] == {"type": "text", "text": "seen"}
    assert messages[1]["content"] == ""
    assert [part["type"] for part in messages[2]["content"]] == ["image_url", "text"]


def test_a_cache_point_behind_a_tool_result_stands_on_its_message():
    request = Request("m", (Message("user", (ToolResult("1", (Text("a"),)), CachePoint("1h"), Text("b"))),))
    messages = json.loads(render_request(request, "up", extensions=True))["messages"]
    assert messages[0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
    assert b"cache_control" not in render_request(request, "up")


def test_tools_are_rendered_with_no_more_than_was_said_of_them():
    request = Request("m", (Message("user", (Text("hi"),)),), tools=(Tool("f", "", {"type": "object"}),))
    body = json.loads(render_request(request, "up", extensions=True))
    assert body["tools"] == [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    assert "tool_choice" not in body


def test_parts_that_have_no_place_are_left_out():
    adaptive = Request(
        "m",
        (Message("user", (CachePoint(), Text("hi"), ToolResult("1", ()), CachePoint())),),
        reasoning=Reasoning("adaptive"),
    )
    body = json.loads(render_request(adaptive, "up"))
    assert [message["role"] for message in body["messages"]] == ["tool", "user"]
    assert "reasoning_effort" not in body
    lone = Request("m", (Message("user", (Text("hi"),)), Message("assistant", (ToolUse("1", "f", "{}"), CachePoint()))))
    assert b"cache_control" not in render_request(lone, "up")


def test_an_answer_that_was_only_thinking_is_an_empty_message_upstream():
    request = Request("m", (Message("user", (Text("hi"),)), Message("assistant", (Thinking("hm", "s"),))))
    assert json.loads(render_request(request, "up"))["messages"][1] == {"role": "assistant", "content": ""}


def test_thinking_budgets_become_efforts_and_newer_models_get_the_newer_limit():
    request = Request("m", (Message("user", (Text("hi"),)),), max_tokens=7, reasoning=Reasoning("enabled", 9000))
    body = json.loads(render_request(request, "openai/gpt-5.2"))
    assert body["max_completion_tokens"] == 7
    assert body["reasoning_effort"] == "medium"


def test_passing_changes_only_the_model_and_what_usage_needs():
    body = b'{"model":"alias","a":1,"stream":true,"stream_options":{"x":1},"messages":[{"role" :"x"}]}'
    assert pass_request(body, "up", max_output_tokens=9) == (
        b'{"model":"up","a":1,"stream":true,"stream_options":{"x":1,"include_usage":true},"messages":[{"role" :"x"}]}'
    )
    assert b"stream_options" not in pass_request(b'{"model":"a","stream":false}', "up", max_output_tokens=9)
    assert pass_request(b'{"stream":true,"stream_options":null}', "up", max_output_tokens=9) == (
        b'{"stream":true,"stream_options":{"include_usage":true},"model":"up"}'
    )


def test_passing_keeps_the_price_and_the_bound_of_the_call():
    body = b'{"max_tokens":10,"max_completion_tokens":9,"service_tier":"priority"}'
    assert pass_request(body, "up", max_output_tokens=9) == (b'{"max_tokens":9,"max_completion_tokens":9,"model":"up"}')
    assert pass_request(b'{"max_tokens":null}', "up", max_output_tokens=9) == b'{"max_tokens":null,"model":"up"}'


@pytest.mark.parametrize("body", [b"", b"[]", b"nope", b'{"stream":true,"stream_options":3}'])
def test_passing_refuses_what_is_no_object(body):
    with pytest.raises(BadRequest):
        pass_request(body, "up", max_output_tokens=9)
