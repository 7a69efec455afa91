import json
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sekisho.dialects.anthropic_messages import render_request
from sekisho.dialects.bedrock import invoke
from sekisho.dialects.bedrock.invoke import CONTEXT_MANAGEMENT_BETA, KNOWN_BETAS, InvokeBody
from sekisho.dialects.fields import decode
from sekisho.dialects.folding import system_as_user
from sekisho.errors import BadRequest
from sekisho.values import Quirks
from tests.unit.dialects.neutral import QUIRKS, requests
from tests.unit.dialects.test_anthropic_requests import EVERYTHING, as_json
from tests.unit.dialects.wire import CLAUDE, JSON, mutated, sample

MAX = 64_000
OLD = Quirks(thinking=("enabled", "disabled"), cache_min_tokens=1024)
NEW = Quirks(thinking=("adaptive",), thinking_always_on=True, effort=True, sampling=False, forced_tool_choice=False)
HI = [{"role": "user", "content": "hi"}]


def to_invoke(body: bytes, quirks: Quirks, **options: Any) -> InvokeBody:
    return invoke.to_invoke(decode(body, invoke.Members, "body"), quirks, **options)


def fitted(body: Any, quirks: Quirks = CLAUDE, **options: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    result = to_invoke(body if isinstance(body, bytes) else as_json(body), quirks, max_output_tokens=MAX, **options)
    return json.loads(result.body), result.unused


def test_messages_and_tools_that_need_no_change_keep_every_byte():
    messages = '[ {"role":"user", "content" : "\\u00e4 1.50 \\/"}]'
    tools = '[{"name": "a" , "input_schema":{"type":"object"} }]'
    body = f'{{"model": "x", "stream": true, "max_tokens": 5, "messages": {messages}, "tools": {tools}, "system": "s"}}'
    result = to_invoke(body.encode(), CLAUDE, max_output_tokens=MAX)
    expected = f'{{"tools":{tools},"system":"s","messages":{messages},"max_tokens":5,'
    assert result.body.decode() == expected + '"anthropic_version":"bedrock-2023-05-31"}'
    assert result.unused == ()


@given(requests())
def test_any_history_without_system_turns_passes_untouched(request):
    body = msgspec.json.decode(render_request(request, "up", CLAUDE), type=dict[str, msgspec.Raw])
    result = to_invoke(msgspec.json.encode(body), CLAUDE, max_output_tokens=MAX)
    out = msgspec.json.decode(result.body, type=dict[str, msgspec.Raw])
    assert bytes(out["messages"]) == bytes(body["messages"])
    assert {name: bytes(out[name]) for name in out if name in body} == {
        name: bytes(body[name]) for name in body if name in out
    }
    assert result.unused == ()


@pytest.mark.parametrize(
    ("name", "betas", "unused"),
    [
        (
            "anthropic-claude-code",
            ["interleaved-thinking-2025-05-14"],
            {
                "anthropic_beta.claude-code-20250219",
                "anthropic_beta.thinking-token-count-2026-05-13",
                "anthropic_beta.context-management-2025-06-27",
                "context_management",
                "system.x-anthropic-billing-header",
            },
        ),
        (
            "anthropic-claude-code-bedrock",
            ["interleaved-thinking-2025-05-14", "tool-search-tool-2025-10-19", "effort-2025-11-24"],
            {"anthropic_beta.claude-code-20250219", "system.x-anthropic-billing-header"},
        ),
        ("anthropic-claude-code-bedrock-probe", None, set()),
        ("anthropic-cline", None, {"anthropic_beta.structured-outputs-2025-11-13", "tools.web_search_20250305"}),
        ("anthropic-sdk", None, set()),
    ],
)
def test_what_agents_send_becomes_an_invoke_body(name, betas, unused):
    recorded = sample(name)
    header = recorded["headers"].get("anthropic-beta", "").split(",")
    body, dropped = fitted(recorded["body"], betas=header)
    assert body.get("anthropic_beta") == betas
    assert set(dropped) == unused
    assert body["anthropic_version"] == "bedrock-2023-05-31"
    assert body["messages"] == recorded["body"]["messages"]
    assert body.get("metadata") == recorded["body"].get("metadata")
    assert not {"model", "stream", "context_management"} & body.keys()
    assert [key for key in body if key in ("tools", "system", "messages")] == list(body)[: len(body.keys() & ORDERED)]


ORDERED = {"tools", "system", "messages"}


def test_the_title_request_keeps_its_schema_only_where_the_model_takes_it():
    body = sample("anthropic-claude-code-title")["body"]
    kept, _ = fitted(body)
    assert kept["output_config"] == body["output_config"]
    plain, unused = fitted(body, OLD)
    assert "output_config" not in plain
    assert {"output_config.effort", "output_config.format"} <= set(unused)
    assert plain["thinking"] == {"type": "disabled"}


def test_a_system_message_after_the_user_joins_that_turn():
    recorded = sample("anthropic-claude-code-alias")["body"]
    body, _ = fitted(recorded)
    (turn,) = body["messages"]
    assert turn["content"][:2] == recorded["messages"][0]["content"]
    text = system_as_user(recorded["messages"][1]["content"])
    assert turn["content"][2:] == [{"type": "text", "text": text}]


def test_system_messages_are_folded_where_they_stand():
    point = {"type": "ephemeral"}
    result = {"type": "tool_result", "tool_use_id": "1", "content": "r"}
    body, _ = fitted(
        {
            "system": "base",
            "messages": [
                {"role": "system", "content": [{"type": "text", "text": "top", "cache_control": point}]},
                {"role": "user", "content": "hi"},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "a", "input": {}}]},
                {"role": "system", "content": [{"type": "text", "text": "mid", "cache_control": point}]},
                {"role": "user", "content": [result, {"type": "text", "text": "so"}]},
                {"role": "assistant", "content": "done"},
                {"role": "system", "content": "alone"},
                {"role": "assistant", "content": "more"},
            ],
        }
    )
    assert body["system"] == [{"type": "text", "text": "base"}, {"type": "text", "text": "top", "cache_control": point}]
    assert [turn["role"][0] for turn in body["messages"]] == list("uauaua")
    middle = {"type": "text", "text": system_as_user("mid"), "cache_control": point}
    assert body["messages"][2]["content"] == [result, middle, {"type": "text", "text": "so"}]
    assert body["messages"][4]["content"] == [{"type": "text", "text": system_as_user("alone")}]
    assert list(body)[:3] == ["tools", "system", "messages"]


def test_a_history_with_tools_brings_their_definitions_when_none_are_left():
    use = {"type": "tool_use", "id": "1", "name": "read", "input": {}}
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [use]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "r"}]},
    ]
    hosted = [{"type": "web_search_20250305", "name": "web_search"}]
    given: list[dict[str, Any]] = [
        {},
        {"tools": []},
        {"tools": None},
        {"tools": hosted, "tool_choice": {"type": "auto"}},
    ]
    for tools in given:
        body, _ = fitted({"messages": messages, **tools})
        assert body["tools"] == [{"name": "read", "input_schema": {"type": "object"}}]
        assert body["messages"] == messages
    assert "tools" not in fitted({"messages": [{"role": "user", "content": 'the words "tool_use"'}]})[0]


def test_the_words_system_and_role_inside_content_change_nothing():
    messages = [{"role": "user", "content": 'say {"role":"system"}'}]
    tool = {"type": "tool_use", "id": "1", "name": "a", "input": {"role": "system"}}
    messages.append({"role": "assistant", "content": [tool]})  # type: ignore[dict-item]
    assert fitted({"messages": messages})[0]["messages"] == messages


@pytest.mark.parametrize(
    ("asked", "quirks", "expected"),
    [
        ({"type": "adaptive", "display": "summarized"}, CLAUDE, {"type": "adaptive", "display": "summarized"}),
        ({"type": "adaptive"}, OLD, {"type": "enabled", "budget_tokens": 8192}),
        ({"type": "adaptive"}, Quirks(), None),
        ({"type": "enabled", "budget_tokens": 5000}, CLAUDE, {"type": "enabled", "budget_tokens": 5000}),
        ({"type": "enabled", "budget_tokens": 5000}, NEW, {"type": "adaptive"}),
        ({"type": "enabled", "budget_tokens": 90_000}, CLAUDE, {"type": "enabled", "budget_tokens": 31_999}),
        ({"type": "enabled", "budget_tokens": 1}, CLAUDE, {"type": "enabled", "budget_tokens": 1024}),
        ({"type": "disabled"}, CLAUDE, {"type": "disabled"}),
        ({"type": "disabled"}, NEW, None),
    ],
)
def test_thinking_takes_the_form_the_model_knows(asked, quirks, expected):
    body, unused = fitted({"messages": HI, "max_tokens": 32_000, "thinking": asked}, quirks)
    assert body.get("thinking") == expected
    assert ("thinking" in unused) == (expected is None)


def test_the_effort_sets_the_budget_and_small_answers_do_not_think():
    asked = {"messages": HI, "thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}
    assert fitted({**asked, "max_tokens": 32_000}, OLD)[0]["thinking"]["budget_tokens"] == 2048
    assert "thinking" not in fitted({**asked, "max_tokens": 1500}, OLD)[0]


def test_a_budget_is_not_put_into_a_tool_loop_that_began_without_thinking():
    loop = [*HI, {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "a", "input": {}}]}]
    assert "thinking" not in fitted({"messages": loop, "thinking": {"type": "adaptive"}}, OLD)[0]


def test_max_tokens_is_set_and_lowered_to_the_models_own():
    assert fitted({"messages": HI})[0]["max_tokens"] == MAX
    assert fitted({"messages": HI, "max_tokens": MAX + 1})[0]["max_tokens"] == MAX
    assert fitted({"messages": HI, "max_tokens": None})[0]["max_tokens"] == MAX


def test_sampling_and_forced_tools_go_where_the_model_refuses_them():
    asked = {"messages": HI, "temperature": 1, "top_p": 0.5, "top_k": 3, "tools": [{"name": "a", "input_schema": {}}]}
    asked["tool_choice"] = {"type": "tool", "name": "a", "disable_parallel_tool_use": True}
    body, unused = fitted(asked, NEW)
    assert body["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    assert unused == ("temperature", "top_p", "top_k", "tool_choice")
    assert fitted(asked)[0]["tool_choice"] == asked["tool_choice"]


def test_server_tools_go_and_take_a_choice_that_names_them_along():
    search = {"type": "web_search_20250305", "name": "web_search"}
    shell = {"type": "bash_20250124", "name": "bash"}
    choice = {"type": "tool", "name": "web_search"}
    body, unused = fitted({"messages": HI, "tools": [search, shell], "tool_choice": choice})
    assert (body["tools"], "tool_choice" in body, unused) == ([shell], False, ("tools.web_search_20250305",))
    body, _ = fitted({"messages": HI, "tools": [search], "tool_choice": {"type": "auto"}})
    assert "tools" not in body
    assert "tool_choice" not in body


def test_members_of_a_tool_go_without_the_beta_or_quirk_they_need():
    tool = {"name": "a", "input_schema": {"properties": {"strict": {}}}, "strict": True, "defer_loading": True}
    body, unused = fitted({"messages": HI, "tools": [tool]}, OLD)
    assert body["tools"] == [{"name": "a", "input_schema": {"properties": {"strict": {}}}}]
    assert unused == ("tools.defer_loading", "tools.strict")
    assert fitted({"messages": HI, "tools": [tool]}, betas=["tool-search-tool-2025-10-19"])[0]["tools"] == [tool]


def mark(**more: str) -> dict[str, Any]:
    return {"cache_control": {"type": "ephemeral", **more}}


def marked_body() -> dict[str, Any]:
    result = {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "in", **mark()}]}
    return {
        "system": [{"type": "text", "text": "s", **mark(ttl="1h", scope="global")}],
        "tools": [{"name": "a", "input_schema": {}, **mark(ttl="1h")}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "a", **mark()}, {"type": "text", "text": "b"}]},
            {"role": "user", "content": [{**result, **mark()}]},
        ],
    }


def test_the_last_four_cache_points_stay():
    body, unused = fitted(marked_body())
    assert "cache_control" not in body["tools"][0]
    assert body["system"][0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
    assert body["messages"] == marked_body()["messages"]
    assert unused == ("cache_control",)


def test_cache_points_lose_what_the_model_does_not_take():
    body = marked_body()
    del body["tools"]
    assert fitted(body, OLD)[0]["system"][0]["cache_control"] == {"type": "ephemeral"}
    assert b"cache_control" not in to_invoke(as_json(body), Quirks(), max_output_tokens=MAX).body


def test_four_cache_points_and_the_words_in_a_text_change_no_byte():
    body = marked_body()
    del body["tools"]
    del body["system"]
    body["messages"][0]["content"][1]["text"] = '"cache_control":{' * 5
    raw = as_json(body["messages"])
    result = to_invoke(b'{"messages":' + raw + b"}", CLAUDE, max_output_tokens=MAX)
    assert raw in result.body


def test_context_management_stays_with_its_beta():
    body = {"messages": HI, "context_management": {"edits": []}, "anthropic_beta": [CONTEXT_MANAGEMENT_BETA]}
    kept, unused = fitted(body, known_betas=KNOWN_BETAS | {CONTEXT_MANAGEMENT_BETA})
    assert (kept["context_management"], kept["anthropic_beta"], unused) == (
        {"edits": []},
        [CONTEXT_MANAGEMENT_BETA],
        (),
    )
    assert fitted(body)[1] == (f"anthropic_beta.{CONTEXT_MANAGEMENT_BETA}", "context_management")


def test_betas_go_that_the_model_cannot_follow():
    asked = ["effort-2025-11-24", "interleaved-thinking-2025-05-14", "context-1m-2025-08-07", ""]
    body, unused = fitted({"messages": HI}, Quirks(), betas=asked)
    assert body["anthropic_beta"] == ["context-1m-2025-08-07"]
    assert len(unused) == 2


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"messages":"x"}',
        b'{"messages":[],"max_tokens":0}',
        b'{"messages":[],"max_tokens":"x"}',
        b'{"messages":[],"thinking":{"type":"x"}}',
        b'{"messages":[],"anthropic_beta":"x"}',
        b'{"messages":[{"role":"user","content":"x"},{"role":"system","content":[{"type":"image"}]}]}',
        b'{"messages":' + b"[" * 100_000,
    ],
)
def test_what_cannot_be_read_is_refused(body):
    with pytest.raises(BadRequest):
        to_invoke(body, CLAUDE, max_output_tokens=MAX)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(mutated(EVERYTHING) | mutated({**marked_body(), **mark(), "anthropic_beta": ["x"]}) | JSON, QUIRKS)
def test_no_body_raises_anything_but_a_bad_request(body, quirks):
    try:
        out = json.loads(to_invoke(as_json(body), quirks, max_output_tokens=MAX).body)
    except BadRequest as error:
        assert error.message
    else:
        assert 1 <= out["max_tokens"] <= MAX
        assert not {"model", "stream"} & out.keys()


@given(st.binary(max_size=100))
def test_no_bytes_raise_anything_but_a_bad_request(body):
    with pytest.raises(BadRequest):
        to_invoke(body, CLAUDE, max_output_tokens=MAX)


def test_a_billing_header_alone_leaves_no_system_text():
    line = {"type": "text", "text": "x-anthropic-billing-header: cc_version=1;"}
    assert "system" not in fitted({"messages": HI, "system": [line]})[0]
    talk = [{"type": "text", "text": "What is x-anthropic-billing-header: for?"}]
    assert fitted({"messages": HI, "system": talk})[0]["system"] == talk


def test_a_choice_without_force_stays_on_models_that_refuse_force():
    asked = {"messages": HI, "tools": [{"name": "a", "input_schema": {}}], "tool_choice": {"type": "none"}}
    assert fitted(asked, NEW)[0]["tool_choice"] == {"type": "none"}


def test_the_format_goes_and_the_effort_stays_where_only_that_is_taken():
    config = {"effort": "low", "format": {"type": "json_schema", "schema": {}}}
    body, unused = fitted({"messages": HI, "output_config": config}, NEW)
    assert (body["output_config"], unused) == ({"effort": "low"}, ("output_config.format",))


def test_a_whole_cache_point_in_an_odd_place_is_left_to_the_provider():
    messages = [{"role": "user", "content": [{"type": "text", "text": "a", "cache_control": None}]}]
    tool = {"name": "a", "input_schema": {"properties": {"cache_control": {"type": "string"}}}}
    body, _ = fitted({"messages": messages, "tools": [tool] * 5})
    assert (body["messages"], body["tools"]) == (messages, [tool] * 5)


def test_a_body_that_deep_is_refused_and_not_a_crash():
    deep = b'{"messages":[],"system":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    with pytest.raises(BadRequest):
        to_invoke(deep, CLAUDE, max_output_tokens=MAX)


def test_a_parameter_with_the_name_of_an_extra_changes_no_byte_of_the_tools():
    tools = b'[{"name": "a", "input_schema": {"properties": {"strict": {"type": "boolean"}}}}]'
    body = b'{"messages":[{"role":"user","content":"x"}],"tools":' + tools + b"}"
    assert tools in to_invoke(body, OLD, max_output_tokens=MAX).body


def test_system_text_between_two_calls_of_the_model_stands_alone():
    turns: list[dict[str, Any]] = [*HI, {"role": "assistant", "content": "a"}, {"role": "system", "content": "s"}]
    turns += [{"role": "system", "content": [{"type": "text", "text": "t"}]}]
    body, _ = fitted({"messages": [*turns, {"role": "assistant", "content": "b"}]})
    texts = [{"type": "text", "text": system_as_user(text)} for text in "st"]
    assert body["messages"][2:] == [{"role": "user", "content": texts}, {"role": "assistant", "content": "b"}]


def test_system_messages_make_the_system_text_where_there_was_none():
    messages = [{"role": "system", "content": "be kind"}, *HI, {"role": "assistant", "content": "a"}]
    body, _ = fitted({"messages": [*messages, {"role": "system", "content": "s"}, *HI]})
    assert body["system"] == [{"type": "text", "text": "be kind"}]
    assert [block["text"] for block in body["messages"][2]["content"]] == [system_as_user("s"), "hi"]
