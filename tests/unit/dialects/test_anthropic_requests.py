import base64
import json
from typing import Any

import msgspec
import pytest
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming, MessageCreateParamsStreaming
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from sekisho.dialects.anthropic_messages import parse_request, pass_request, render_request
from sekisho.dialects.exchange import (
    CachePoint,
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
    ToolResult,
    ToolUse,
)
from sekisho.errors import BadRequest
from sekisho.values import Quirks
from tests.unit.dialects.neutral import QUIRKS, requests
from tests.unit.dialects.wire import CLAUDE, JSON, mutated, sample

OFFICIAL: TypeAdapter[MessageCreateParamsNonStreaming | MessageCreateParamsStreaming] = TypeAdapter(
    MessageCreateParamsNonStreaming | MessageCreateParamsStreaming
)
BILLING = "x-anthropic-billing-header"


def assert_official(body: Any) -> None:
    """The SDK's types accept the body, down to its last block: pydantic judges iterables only when they are read."""

    def exhaust(value: Any) -> None:
        if isinstance(value, dict):
            for inner in value.values():
                exhaust(inner)
        elif not isinstance(value, str | int | float | None):
            for inner in value:
                exhaust(inner)

    exhaust(OFFICIAL.validate_python(body))


EVERYTHING = {
    "model": "claude-x",
    "max_tokens": 100,
    "system": [{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
    "messages": [
        {"role": "user", "content": "hi"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm", "signature": "sig"},
                {"type": "redacted_thinking", "data": "ZW5j"},
                {"type": "text", "text": "Reading"},
                {"type": "tool_use", "id": "t1", "name": "Read", "input": {"path": "ä", "n": 1.50}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "t1",
                    "is_error": True,
                    "content": [
                        {"type": "text", "text": "no", "cache_control": {"type": "ephemeral"}},
                        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
                        {"type": "tool_reference", "tool_name": "Write"},
                    ],
                    "cache_control": {"type": "ephemeral"},
                },
                {
                    "type": "document",
                    "title": "spec.pdf",
                    "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="},
                },
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "plain"}},
                {"type": "image", "source": {"type": "base64", "media_type": "image/gif", "data": "aGk="}},
                {"type": "search_result", "title": "t", "source": "s", "content": [{"type": "text", "text": "found"}]},
                {"type": "web_search_tool_result", "tool_use_id": "s1", "content": {"error_code": "x"}},
            ],
        },
        {"role": "system", "content": "Remember."},
    ],
    "tools": [
        {
            "name": "Read",
            "description": "Reads",
            "input_schema": {"type": "object"},
            "strict": True,
            "cache_control": {"type": "ephemeral"},
        },
        {"type": "web_search_20250305", "name": "web_search"},
    ],
    "tool_choice": {"type": "tool", "name": "Read", "disable_parallel_tool_use": True},
    "thinking": {"type": "enabled", "budget_tokens": 2000},
    "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": {"type": "object"}}},
    "stop_sequences": ["END"],
    "temperature": 0.5,
    "top_p": 0.9,
    "top_k": 5,
    "stream": True,
    "metadata": {"user_id": "u"},
    "context_management": {"edits": []},
}


def as_json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def turn(*content: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(content)}]}


def test_every_part_of_a_request_has_its_neutral_form():
    assert parse_request(as_json(EVERYTHING)) == Request(
        model="claude-x",
        messages=(
            Message("user", (Text("hi"),)),
            Message(
                "assistant",
                (
                    Thinking("Hm", "sig"),
                    RedactedThinking("ZW5j"),
                    Text("Reading"),
                    ToolUse("t1", "Read", '{"path": "ä", "n": 1.5}'),
                ),
            ),
            Message(
                "user",
                (
                    ToolResult("t1", (Text("no"), Image("png", "aGk="), Text("Write")), is_error=True),
                    CachePoint("5m"),
                    Document("pdf", "spec.pdf", "JVBERg=="),
                    Document("txt", "document", base64.b64encode(b"plain").decode()),
                    Image("gif", "aGk="),
                    Text("found"),
                ),
            ),
            Message("system", (Text("Remember."),)),
        ),
        system=(Text("Be kind."), CachePoint("1h")),
        tools=(Tool("Read", "Reads", {"type": "object"}, True, "5m"),),
        tool_choice=ToolChoice("tool", "Read"),
        parallel_tool_calls=False,
        max_tokens=100,
        temperature=0.5,
        top_p=0.9,
        top_k=5,
        stop=("END",),
        reasoning=Reasoning("enabled", 2000, "high"),
        json_schema=JsonSchema("answer", {"type": "object"}),
        stream=True,
        unused=("metadata", "context_management", "tools.web_search_20250305", "messages.web_search_tool_result"),
    )


@pytest.mark.parametrize(
    ("name", "roles", "unused"),
    [
        ("anthropic-claude-code", "uau", ("metadata", "context_management", "system.x-anthropic-billing-header")),
        ("anthropic-claude-code-alias", "us", ("metadata", "context_management", "system.x-anthropic-billing-header")),
        ("anthropic-claude-code-title", "u", ("metadata", "system.x-anthropic-billing-header")),
        ("anthropic-cline", "uauau", ("tools.web_search_20250305",)),
        ("anthropic-sdk", "u", ()),
    ],
)
def test_what_agents_send_is_read_and_what_is_rendered_again_pleases_the_official_types(name, roles, unused):
    body = sample(name)["body"]
    request = parse_request(as_json(body))
    assert "".join(message.role[0] for message in request.messages) == roles
    assert request.unused == unused
    assert (request.model, request.max_tokens, request.stream) == (body["model"], body["max_tokens"], True)
    rendered = msgspec.json.decode(render_request(request, "claude-up", CLAUDE))
    assert_official(rendered)
    assert rendered["model"] == "claude-up"
    assert BILLING not in str(rendered["system"] if "system" in rendered else "")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"messages": []}, "messages: at least one"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages: Invalid enum value 'tool'"),
        (turn({"type": "image", "source": {"type": "url", "url": "http://x"}}), "send the content itself as base64"),
        (turn({"type": "image", "source": {"type": "base64", "media_type": "image/bmp", "data": "eA=="}}), "png, jpeg"),
        (turn({"type": "image"}), "source is missing"),
        (turn({"type": "document", "source": {"type": "base64", "media_type": "text/x", "data": "eA=="}}), "a PDF"),
        (turn({"type": "image", "source": {"type": "base64", "media_type": "image/png"}}), "source.data is empty"),
        (turn({"type": "hologram"}), "type 'hologram'"),
        (turn({"type": "tool_use", "id": "1", "name": "a", "input": "x"}), "input must be an object"),
        (turn({"type": "tool_use", "id": "1", "input": {}}), "name is missing"),
        (turn({"type": "tool_result", "content": "x"}), "tool_use_id is missing"),
        (
            turn({"type": "tool_result", "tool_use_id": "1", "content": [{"type": "thinking"}]}),
            "text, images and documents only",
        ),
        ({"system": [{"type": "image"}]}, "only text blocks"),
        ({"tools": [{"name": "a"}]}, "a has no input_schema"),
        ({"max_tokens": 0}, "at least 1"),
        ({"max_tokens": "9"}, "max_tokens: Expected `int`, got `str`"),
        ({"thinking": {"type": "sometimes"}}, "thinking: Invalid enum value"),
    ],
)
def test_what_cannot_be_read_is_refused_in_words_that_name_it(change, words):
    with pytest.raises(BadRequest, match=words.replace("(", r"\(")):
        parse_request(as_json({"model": "m", "messages": [{"role": "user", "content": "x"}], **change}))


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"messages":' + b"[" * 100_000])
def test_broken_json_is_a_bad_request(body):
    with pytest.raises(BadRequest):
        parse_request(body)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(mutated(EVERYTHING) | JSON, QUIRKS)
def test_no_body_raises_anything_but_a_bad_request(body, quirks):
    try:
        render_request(parse_request(as_json(body)), "up", quirks)
    except BadRequest as error:
        assert error.message


@given(requests(), QUIRKS)
def test_every_rendered_request_pleases_the_official_types(request, quirks):
    body = msgspec.json.decode(render_request(request, "up", quirks, max_output_tokens=8_000))
    assert_official(body)
    assert list(body)[:2] == ["model", "max_tokens"]
    assert body["max_tokens"] <= 8_000
    thinking = body.get("thinking", {})
    assert thinking.get("type", "disabled") in (*quirks.thinking, "disabled")
    assert thinking.get("budget_tokens", 0) < body["max_tokens"]
    forced = body.get("tool_choice", {}).get("type") in ("any", "tool")
    assert not forced or (quirks.forced_tool_choice and thinking.get("type") in (None, "disabled"))


@given(requests())
def test_what_is_rendered_is_read_back_as_it_was_meant(request):
    once = render_request(request, "up", CLAUDE)
    assert render_request(parse_request(once), "up", CLAUDE) == once


def test_only_the_model_name_changes_when_the_dialect_stays():
    body = b'{"model": "alias", "z": [1.50, "\\u00e4"], "messages": [], "max_tokens": 9}'
    passed = pass_request(body, "real", max_output_tokens=9)
    assert passed == b'{"model":"real","z":[1.50, "\\u00e4"],"messages":[],"max_tokens":9}'


def test_what_would_change_price_or_bound_does_not_pass():
    body = b'{"speed":"fast","max_tokens":10,"service_tier":"auto","inference_geo":"us"}'
    assert pass_request(body, "real", max_output_tokens=9) == b'{"max_tokens":9,"model":"real"}'


def test_a_document_that_the_api_cannot_take_is_refused():
    def render(document: Document) -> bytes:
        return render_request(Request("m", (Message("user", (document,)),)), "up", CLAUDE)

    with pytest.raises(BadRequest, match="type xlsx"):
        render(Document("xlsx", "a", "eA=="))
    with pytest.raises(BadRequest, match="UTF-8"):
        render(Document("txt", "a", "/w=="))
    with pytest.raises(BadRequest, match="cannot read images"):
        render_request(Request("m", (Message("user", (Image("png", "eA=="),)),)), "up", Quirks())


@given(st.sampled_from(["auto", "any", "none"]), st.booleans())
def test_parallel_calls_are_forbidden_through_the_tool_choice(mode, parallel):
    tools = (Tool("a", "", {}),)
    request = Request("m", (Message("user", (Text("x"),)),), tools=tools, tool_choice=ToolChoice(mode))
    request = msgspec.structs.replace(request, parallel_tool_calls=parallel)
    choice = msgspec.json.decode(render_request(request, "up", CLAUDE))["tool_choice"]
    assert choice.get("disable_parallel_tool_use", False) == (not parallel and mode != "none")


def test_a_tool_result_may_have_no_content():
    (message,) = parse_request(as_json(turn({"type": "tool_result", "tool_use_id": "1", "content": None}))).messages
    assert message.parts == (ToolResult("1", ()),)
