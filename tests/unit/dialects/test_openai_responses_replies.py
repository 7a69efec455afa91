"""Responses answers. Oracle: the official OpenAI SDK's event types and stream accumulator."""

import json
from typing import Any

import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from sekisho.dialects.exchange import (
    BlockEnded,
    Event,
    Metered,
    RedactedThinking,
    Started,
    Stopped,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ThinkingRedacted,
    ThinkingSigned,
    ToolDelta,
    ToolOrigin,
    ToolStarted,
    ToolUse,
)
from sekisho.dialects.openai_responses import ReplyRenderer, parse_request, render_error
from sekisho.dialects.sse import SseParser
from sekisho.errors import (
    BudgetExceeded,
    ContentBlocked,
    ContextTooLong,
    Internal,
    RateLimited,
    SekishoError,
    UpstreamRejected,
    UpstreamUnavailable,
)
from sekisho.values import StopReason, Usage
from tests.unit.dialects.official_sdk import client_answered_with

EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
USAGE = Usage(10, 20, 3, 4, 50, 6)
ORIGINS = {"agents__spawn": ToolOrigin("spawn", "agents"), "apply_patch": ToolOrigin("apply_patch", is_free_text=True)}
ANSWER: list[Event] = [
    Started("up-1"),
    ThinkingDelta(0, "Let me "),
    ThinkingDelta(0, "think."),
    ThinkingSigned(0, "sig"),
    BlockEnded(0),
    ThinkingRedacted(1, "c2Vj"),
    BlockEnded(1),
    TextDelta(2, "Reading "),
    TextDelta(2, "“日本”"),
    BlockEnded(2),
    ToolStarted(3, "call_a", "exec_command"),
    ToolDelta(3, '{"cmd":'),
    ToolDelta(3, '"ls"}'),
    BlockEnded(3),
    ToolStarted(4, "call_b", "agents__spawn"),
    BlockEnded(4),
    ToolStarted(5, "call_c", "apply_patch"),
    ToolDelta(5, '{"input":"*** Be'),
    ToolDelta(5, 'gin"}'),
    BlockEnded(5),
    Stopped("tool_use"),
    Metered(USAGE),
]


def renderer() -> ReplyRenderer:
    return ReplyRenderer(call_id="01abc", model="m", created=1_763_000_000, origins=ORIGINS)


def stream(events: list[Event]) -> bytes:
    writer = renderer()
    return writer.events(events) + writer.finish(None)


def read(data: bytes) -> list[dict[str, Any]]:
    events = SseParser().feed(data)
    fields = [json.loads(event.data) for event in events]
    assert [event.name.decode() for event in events] == [field["type"] for field in fields]
    return fields


def accumulate(data: bytes) -> Response:
    with client_answered_with(data) as client, client.responses.stream(model="m", input="x") as events:
        return events.get_final_response()


def test_every_event_is_of_the_official_type_and_numbered():
    fields = read(stream(ANSWER))
    for field in fields:
        EVENT.validate_python(field)
    assert [field["sequence_number"] for field in fields] == list(range(len(fields)))


def test_the_order_of_a_stream():
    item_events = {
        "reasoning": [
            "reasoning_summary_part.added",
            *["reasoning_summary_text.delta"] * 2,
            "reasoning_summary_text.done",
            "reasoning_summary_part.done",
        ],
        "text": ["content_part.added", *["output_text.delta"] * 2, "output_text.done", "content_part.done"],
        "call": [*["function_call_arguments.delta"] * 2, "function_call_arguments.done"],
        "empty call": ["function_call_arguments.delta", "function_call_arguments.done"],
        "free text": ["custom_tool_call_input.delta", "custom_tool_call_input.done"],
    }
    kinds = ["reasoning", "redacted", "text", "call", "empty call", "free text"]
    expected = ["created", "in_progress"]
    for kind in kinds:
        expected += ["output_item.added", *item_events.get(kind, []), "output_item.done"]
    assert [field["type"].removeprefix("response.") for field in read(stream(ANSWER))] == [*expected, "completed"]


def test_the_official_sdk_accumulates_the_stream():
    response = accumulate(stream(ANSWER))
    assert response.id == "resp_01abc" and response.status == "completed"
    assert response.output_text == "Reading “日本”"
    assert [item.type for item in response.output] == [
        "reasoning",
        "reasoning",
        "message",
        "function_call",
        "function_call",
        "custom_tool_call",
    ]
    assert response.usage is not None
    assert response.usage.to_dict() == {
        "input_tokens": 37,
        "input_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 7},
        "output_tokens": 50,
        "output_tokens_details": {"reasoning_tokens": 6},
        "total_tokens": 87,
    }


def test_calls_come_back_under_the_clients_own_names():
    items = [field["item"] for field in read(stream(ANSWER)) if field["type"] == "response.output_item.done"]
    assert items[3:] == [
        {
            "type": "function_call",
            "id": "fc_01abc_3",
            "call_id": "call_a",
            "name": "exec_command",
            "arguments": '{"cmd":"ls"}',
            "status": "completed",
        },
        {
            "type": "function_call",
            "id": "fc_01abc_4",
            "call_id": "call_b",
            "name": "spawn",
            "namespace": "agents",
            "arguments": "{}",
            "status": "completed",
        },
        {
            "type": "custom_tool_call",
            "id": "ctc_01abc_5",
            "call_id": "call_c",
            "name": "apply_patch",
            "input": "*** Begin",
            "status": "completed",
        },
    ]


def test_the_output_sent_back_is_the_answer_again():
    output: Any = accumulate(stream(ANSWER)).to_dict()["output"]
    tools = [
        {"type": "namespace", "name": "agents", "tools": [{"type": "function", "name": "spawn"}]},
        {"type": "custom", "name": "apply_patch"},
    ]
    body = {"model": "m", "tools": tools, "input": [{"role": "user", "content": "x"}, *output]}
    assert parse_request(json.dumps(body).encode()).messages[1].parts == (
        Thinking("Let me think.", "sig"),
        RedactedThinking("c2Vj"),
        Text("Reading “日本”"),
        ToolUse("call_a", "exec_command", '{"cmd":"ls"}'),
        ToolUse("call_b", "agents__spawn", "{}"),
        ToolUse("call_c", "apply_patch", '{"input":"*** Begin"}'),
    )


def test_a_whole_answer_is_what_the_stream_ends_with():
    body = renderer().whole(ANSWER, None)
    Response.model_validate_json(body)
    assert json.loads(body) == read(stream(ANSWER))[-1]["response"]


def test_interleaved_calls_keep_their_places():
    events: list[Event] = [
        ToolStarted(0, "a", "f"),
        ToolStarted(1, "b", "g"),
        ToolDelta(0, "{}"),
        ToolDelta(1, "{}"),
        BlockEnded(0),
        BlockEnded(1),
    ]
    fields = read(stream(events))
    deltas = [field["output_index"] for field in fields if field["type"].endswith("arguments.delta")]
    assert deltas == [0, 1]
    assert [item["name"] for item in fields[-1]["response"]["output"]] == ["f", "g"]


def test_a_block_that_held_nothing_leaves_no_item():
    events: list[Event] = [Started(), BlockEnded(0), TextDelta(1, "a"), BlockEnded(1), Stopped("end_turn")]
    assert [item["type"] for item in read(stream(events))[-1]["response"]["output"]] == ["message"]


def test_blocks_left_open_are_ended_by_finish():
    fields = read(stream([Started(), TextDelta(0, "a")]))
    assert fields[-2]["type"] == "response.output_item.done"
    assert fields[-1]["response"]["output"][0]["status"] == "completed"


@pytest.mark.parametrize("text", ['{"input": 3}', "plain", "[]"])
def test_free_text_that_kept_to_no_form_is_given_as_it_is(text):
    events: list[Event] = [ToolStarted(0, "a", "apply_patch"), ToolDelta(0, text), BlockEnded(0)]
    assert read(stream(events))[-1]["response"]["output"][0]["input"] == text


@pytest.mark.parametrize(
    ("reason", "kind", "details"),
    [
        ("end_turn", "completed", None),
        ("stop_sequence", "completed", None),
        ("tool_use", "completed", None),
        ("malformed_model_output", "completed", None),
        ("malformed_tool_use", "completed", None),
        ("max_tokens", "incomplete", {"reason": "max_output_tokens"}),
        ("model_context_window_exceeded", "incomplete", {"reason": "max_output_tokens"}),
        ("content_filtered", "failed", None),
        ("guardrail_intervened", "failed", None),
    ],
)
def test_every_stop_reason_has_its_terminal_event(reason: StopReason, kind, details):
    events: list[Event] = [Started(), TextDelta(0, "a"), BlockEnded(0), Stopped(reason), Metered(USAGE)]
    last = read(stream(events))[-1]
    EVENT.validate_python(last)
    assert last["type"] == f"response.{kind}" and last["response"]["status"] == kind
    assert last["response"]["incomplete_details"] == details
    assert last["response"]["usage"]["total_tokens"] == 87
    if kind == "failed":
        assert last["response"]["error"]["code"] == "invalid_prompt"
        whole = json.loads(renderer().whole(events, None))
        assert (whole["status"], whole["incomplete_details"]) == ("incomplete", {"reason": "content_filter"})


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BudgetExceeded("No room."), "invalid_prompt"),
        (ContentBlocked(), "invalid_prompt"),
        (UpstreamRejected(), "invalid_prompt"),
        (ContextTooLong(), "context_length_exceeded"),
        (RateLimited(), "rate_limit_exceeded"),
        (UpstreamUnavailable(), "server_is_overloaded"),
        (Internal(), "server_is_overloaded"),
    ],
)
def test_a_failure_stops_codex_in_its_own_words(error: SekishoError, code):
    writer = renderer()
    data = writer.events([Started(), TextDelta(0, "a")]) + writer.failure(error)
    last = read(data)[-1]
    assert last["type"] == "response.failed"
    assert last["response"]["error"]["code"] == code
    assert error.message in last["response"]["error"]["message"]
    assert last["response"]["output"][0]["status"] == "incomplete"


def test_a_failure_before_anything_else_is_still_a_whole_stream():
    fields = read(renderer().failure(BudgetExceeded()))
    for field in fields:
        EVENT.validate_python(field)
    assert [field["type"] for field in fields] == ["response.created", "response.in_progress", "response.failed"]


def test_error_bodies_and_keepalives():
    assert json.loads(render_error(BudgetExceeded("No."), "01abc")) == {
        "error": {"message": "No.", "type": "budget_exceeded", "param": None, "code": "budget_exceeded"}
    }
    assert SseParser().feed(renderer().keepalive()) == []
