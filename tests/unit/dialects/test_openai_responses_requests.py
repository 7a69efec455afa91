"""What Responses clients send, as the neutral request. Wire form: what Codex really sent (tests/samples)."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sekisho.dialects.exchange import (
    Document,
    Image,
    JsonSchema,
    Message,
    Reasoning,
    RedactedThinking,
    Request,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolOrigin,
    ToolResult,
    ToolUse,
)
from sekisho.dialects.openai_responses import parse_request, tool_origins
from sekisho.dialects.openai_responses.thinking import parse_encrypted, render_encrypted
from sekisho.dialects.openai_responses.tools import Toolbox
from sekisho.errors import BadRequest
from tests.thorough import examples
from tests.unit.dialects.random_bodies import UNTIMED, bodies, spoiled

CODEX = json.loads((Path(__file__).parents[2] / "samples" / "codex.json").read_text())["requests"][0]["body"]
USER = {"role": "user", "content": "hi"}


def parse(**fields: Any) -> Request:
    return parse_request(json.dumps({"model": "m", "input": "hi", **fields}).encode())


def test_codex_is_understood():
    request = parse_request(json.dumps(CODEX).encode())
    assert [type(part) for part in request.system] == [Text, Text, Text]
    assert [message.role for message in request.messages] == ["user", "user", "assistant", "user"]
    assert isinstance(request.messages[2].parts[0], ToolUse)
    assert isinstance(request.messages[3].parts[0], ToolResult)
    assert [tool.name for tool in request.tools] == ["exec_command", "multi_agent_v1__close_agent"]
    assert tool_origins(request) == {"multi_agent_v1__close_agent": ToolOrigin("close_agent", "multi_agent_v1")}
    assert request.tool_choice == ToolChoice("auto") and request.parallel_tool_calls is True
    assert request.stream and request.wants_usage
    assert request.unused == ("prompt_cache_key", "client_metadata", "tools.web_search")


def test_a_plain_string_is_one_user_message():
    assert parse(instructions="be brief").messages == (Message("user", (Text("hi"),)),)
    assert parse(instructions="be brief").system == (Text("be brief"),)


def test_an_answers_items_are_one_message_and_so_are_the_results():
    thought = Thinking("hm", "sig")
    request = parse(
        input=[
            {"role": "developer", "content": "rules"},
            USER,
            {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": render_encrypted(thought)},
            {
                "type": "message",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "so", "annotations": []}],
            },
            {"type": "function_call", "call_id": "1", "name": "f", "arguments": ""},
            {"type": "function_call", "call_id": "2", "name": "spawn", "namespace": "agents", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "1", "output": "one"},
            {
                "type": "function_call_output",
                "call_id": "2",
                "output": [
                    {"type": "input_text", "text": "two"},
                    {"type": "input_image", "image_url": "data:image/png;base64,QUJD"},
                ],
            },
            {"role": "system", "content": "later"},
        ]
    )
    assert request.system == (Text("rules"),)
    assert request.messages == (
        Message("user", (Text("hi"),)),
        Message("assistant", (thought, Text("so"), ToolUse("1", "f", "{}"), ToolUse("2", "agents__spawn", "{}"))),
        Message("user", (ToolResult("1", (Text("one"),)), ToolResult("2", (Text("two"), Image("png", "QUJD"))))),
        Message("system", (Text("later"),)),
    )


def test_files_come_with_their_data():
    item = {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,QUJD"}
    assert parse(input=[{"role": "user", "content": [item]}]).messages[0].parts == (Document("pdf", "a", "QUJD"),)


def test_free_text_tools_become_functions_and_their_calls_too():
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: PATCH"}
    request = parse(
        tools=[{"type": "custom", "name": "apply_patch", "description": "Patches.", "format": grammar}],
        tool_choice={"type": "custom", "name": "apply_patch"},
        input=[
            USER,
            {"type": "custom_tool_call", "call_id": "1", "name": "apply_patch", "input": "*** Begin"},
            {"type": "custom_tool_call_output", "call_id": "1", "output": "ok"},
        ],
    )
    assert request.tools[0].description == "Patches.\n\nThe input must follow this lark grammar:\nstart: PATCH"
    assert request.tools[0].origin == ToolOrigin("apply_patch", is_free_text=True)
    assert request.messages[1].parts == (ToolUse("1", "apply_patch", '{"input":"*** Begin"}'),)
    assert request.tool_choice == ToolChoice("tool", "apply_patch")


@UNTIMED
@given(st.text(max_size=40), st.text(max_size=40))
def test_a_flat_name_is_one_that_every_model_takes(namespace, name):
    flat = Toolbox().flat_name(namespace or "n", name)
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", flat)


SHORT = st.text(alphabet="a_", min_size=1, max_size=4)


@UNTIMED
@given(SHORT, SHORT, SHORT, SHORT)
def test_different_tools_have_different_flat_names(namespace, name, other_namespace, other_name):
    toolbox = Toolbox()
    same = (namespace, name) == (other_namespace, other_name)
    assert (toolbox.flat_name(namespace, name) == toolbox.flat_name(other_namespace, other_name)) == same


def test_a_flat_name_that_is_taken_gets_a_digest():
    plain = {"type": "function", "name": "a__b"}
    group = {"type": "namespace", "name": "a", "tools": [{"type": "function", "name": "b"}]}
    names = [tool.name for tool in parse(tools=[plain, group]).tools]
    assert names[0] == "a__b" and names[1].startswith("a__b_")


@UNTIMED
@given(st.one_of(st.builds(Thinking, st.text(), st.text()), st.builds(RedactedThinking, st.text())))
def test_thinking_survives_the_way_through_the_client(part):
    try:
        encrypted = render_encrypted(part)
    except UnicodeEncodeError:
        return  # half surrogates cannot come from an upstream
    assert parse_encrypted(encrypted) == part
    item = {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": encrypted}
    assert parse(input=[USER, item]).messages[1].parts == (part,)


def test_foreign_thinking_is_left_out_and_bare_summaries_are_kept():
    foreign = {"type": "reasoning", "encrypted_content": "gAAAA", "summary": [{"type": "summary_text", "text": "x"}]}
    request = parse(input=[USER, foreign])
    assert len(request.messages) == 1 and request.unused == ("input.reasoning",)
    bare = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "x"}]}
    assert parse(input=[USER, bare]).messages[1].parts == (Thinking("x"),)


@pytest.mark.parametrize(
    "encrypted", ["sekisho-v1.", "sekisho-v1.e30=", "sekisho-v1.gICA", "sekisho-v1.日本", "sekisho-v1.a"]
)
def test_thinking_that_was_tampered_with_is_refused(encrypted):
    with pytest.raises(BadRequest) as refused:
        parse(input=[USER, {"type": "reasoning", "encrypted_content": encrypted}])
    assert refused.value.param == "input[1].encrypted_content"


def test_reasoning_format_and_limits():
    schema = {"type": "object"}
    request = parse(
        reasoning={"effort": "high", "summary": "auto"},
        text={"format": {"type": "json_schema", "name": "n", "schema": schema}, "verbosity": "low"},
        max_output_tokens=9,
        temperature=1,
        top_p=0.5,
    )
    assert request.reasoning == Reasoning("adaptive", effort="high")
    assert request.json_schema == JsonSchema("n", schema)
    assert (request.max_tokens, request.temperature, request.top_p) == (9, 1.0, 0.5)
    assert request.unused == ("text.verbosity",)


def test_allowed_tools_leave_only_those():
    tools = [{"type": "function", "name": "a"}, {"type": "function", "name": "b"}]
    choice = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "b"}, {"type": "mcp"}]}
    request = parse(tools=tools, tool_choice=choice)
    assert request.tools == (Tool("b", "", {"type": "object", "properties": {}}),)
    assert request.tool_choice == ToolChoice("auto")


def test_plain_arguments_that_are_no_object_are_wrapped():
    call = {"type": "function_call", "call_id": "1", "name": "f", "arguments": "[1]"}
    assert parse(input=[USER, call]).messages[1].parts == (ToolUse("1", "f", '{"malformed_arguments":"[1]"}'),)


def test_storing_is_not_done_and_a_refusal_comes_back_as_text():
    refusal = {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}
    request = parse(input=[USER, refusal], store=True)
    assert request.messages[1].parts == (Text("no"),) and request.unused == ("store",)


def test_hosted_tools_and_their_steps_are_named_and_left_out():
    request = parse(
        input=[USER, {"type": "web_search_call", "id": "ws"}],
        tools=[{"type": "web_search"}],
        tool_choice={"type": "web_search"},
    )
    assert request.unused == ("tools.web_search", "tool_choice.web_search", "input.web_search_call")
    assert request.tool_choice is None


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": ""}, "input"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0]"),
        ({"input": [{"type": "hologram"}]}, "input[0].type"),
        ({"input": [{"role": "robot", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user"}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "input[0].content[0].type"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "https://x/a.png"}]}]},
            "input[0].content[0].image_url",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
            "input[0].content[0].file_id",
        ),
        ({"input": [{"type": "function_call", "name": "f"}]}, "input[0].call_id"),
        ({"previous_response_id": "r"}, "previous_response_id"),
        ({"conversation": "c"}, "conversation"),
        ({"background": True}, "background"),
        ({"input": 3}, "input"),
        ({"input": [{"role": "user", "content": [{"type": "refusal", "refusal": "no"}]}]}, "input[0].content[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [{"type": "namespace", "name": "n", "tools": [3]}]}, "tools[0].tools[0]"),
        ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format.schema"),
        ({"reasoning": {"effort": "extreme"}}, "reasoning.effort"),
        ({"max_output_tokens": -1}, "max_output_tokens"),
        ({"instructions": 3}, "instructions"),
    ],
)
def test_a_wrong_field_is_refused_with_its_path(fields, path):
    with pytest.raises(BadRequest) as refused:
        parse(**fields)
    assert refused.value.param == path


@settings(UNTIMED, max_examples=examples(100))
@given(
    st.one_of(
        spoiled([CODEX]),
        bodies(
            "input instructions tools tool_choice text reasoning background stream",
            "type role content text name namespace tools arguments call_id output image_url file_data summary "
            "encrypted_content mode format schema",
            "message user assistant function namespace custom function_call function_call_output reasoning input_text "
            "input_image input_file allowed_tools json_schema sekisho-v1.e30=",
        ),
    )
)
def test_no_body_raises_anything_but_bad_request(body):
    try:
        parse_request(body)
    except BadRequest as refused:
        assert refused.message
