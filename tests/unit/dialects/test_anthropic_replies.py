import json
from typing import Any

import anthropic
import pytest
from anthropic.types import Message, RawMessageStreamEvent
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from sekisho import errors
from sekisho.dialects.anthropic_messages import ReplyParser, ReplyRenderer, render_error
from sekisho.dialects.anthropic_messages.faults import fault
from sekisho.dialects.exchange import (
    BlockEnded,
    Event,
    Metered,
    Started,
    Stopped,
    TextDelta,
    ThinkingDelta,
    ThinkingRedacted,
    ThinkingSigned,
    ToolDelta,
    ToolStarted,
)
from sekisho.dialects.translation import Translated, Translation
from sekisho.values import StopReason, Usage
from tests.unit.dialects.wire import (
    CLAUDE_EVENTS,
    CLAUDE_USAGE,
    CUTS,
    accumulated,
    anthropic_client,
    claude_sse,
    compact,
    pieces,
)

EVENT = TypeAdapter(RawMessageStreamEvent)

NEUTRAL: list[Event] = [
    ThinkingDelta(0, "Hm…"),
    ThinkingSigned(0, "c2ln"),
    BlockEnded(0),
    TextDelta(1, "こんにちは\n関所"),
    BlockEnded(1),
    ToolStarted(2, "toolu_1", "Read"),
    ToolDelta(2, '{"path": '),
    ToolDelta(2, '"calc.py"}'),
    BlockEnded(2),
]


def without_empty(events: list[Event]) -> list[Event]:
    return [event for event in events if event not in (TextDelta(1, ""), ThinkingDelta(0, ""))]


@given(CUTS)
def test_a_stream_is_read_however_it_is_split(cuts):
    parser = ReplyParser()
    events = [event for piece in pieces(claude_sse(), cuts) for event in parser.feed(piece)]
    assert without_empty(events) == [
        Started("msg_bdrk_1"),
        Metered(Usage(7, 100, 10, 20, 1)),
        *NEUTRAL,
        Stopped("tool_use"),
        Metered(CLAUDE_USAGE),
    ]
    assert parser.is_complete


def test_a_stream_without_message_stop_is_not_complete():
    parser = ReplyParser()
    parser.feed(claude_sse(CLAUDE_EVENTS[:-1]))
    assert not parser.is_complete


def test_a_stream_that_is_translated_and_back_is_the_same_message_for_the_official_sdk():
    translation: Translation = Translated(ReplyParser(), ReplyRenderer("1", "alias"))
    begun = translation.feed(claude_sse())
    assert b"message_delta" not in begun
    assert translation.stop_reason == "tool_use"
    ours, theirs = accumulated(begun + translation.finish(None)), accumulated(claude_sse())
    assert (ours.content, ours.stop_reason) == (theirs.content, theirs.stop_reason)
    assert ours.usage.output_tokens == 42
    assert (ours.id, ours.model) == ("msg_1", "alias")


def test_every_event_pleases_the_official_types():
    renderer = ReplyRenderer("1", "alias")
    sse = renderer.events([Started(), *NEUTRAL, ThinkingRedacted(3, "ZW5j"), BlockEnded(3)])
    sse += renderer.events([Stopped("stop_sequence", "END"), Metered(CLAUDE_USAGE)]) + renderer.finish(5)
    data = [json.loads(line[6:]) for line in sse.decode().splitlines() if line.startswith("data: ")]
    for event in data:
        EVENT.validate_python(event)
    assert data[-2]["delta"] == {"stop_reason": "stop_sequence", "stop_sequence": "END"}
    assert data[-2]["usage"] == {
        "input_tokens": 7,
        "cache_creation_input_tokens": 30,
        "cache_read_input_tokens": 100,
        "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
        "output_tokens": 42,
    }


def test_nothing_is_sent_before_content_and_an_empty_answer_is_still_whole():
    renderer = ReplyRenderer("1", "m")
    assert renderer.events([Started("x"), Metered(Usage(1)), BlockEnded(0)]) == b""
    message = accumulated(renderer.finish(None))
    assert (message.content, message.stop_reason, message.usage.input_tokens) == ([], "end_turn", 1)


def test_blocks_left_open_or_changing_kind_are_closed():
    renderer = ReplyRenderer("1", "m")
    sse = renderer.events([ThinkingDelta(0, "a"), TextDelta(0, "b"), ToolStarted(1, "t", "n")]) + renderer.finish(None)
    assert [block.type for block in accumulated(sse).content] == ["thinking", "text", "tool_use"]
    assert sse.count(b"event: content_block_stop") == 3


def test_interleaved_tool_calls_reach_the_official_sdk_apart():
    renderer = ReplyRenderer("1", "m")
    events: list[Event] = [
        ToolStarted(0, "a", "x"),
        ToolStarted(1, "b", "y"),
        ToolDelta(1, '{"n":2}'),
        ToolDelta(0, '{"n":1}'),
    ]
    sse = renderer.events([*events, BlockEnded(0), BlockEnded(1)]) + renderer.finish(None)
    assert [(block.id, block.input) for block in accumulated(sse).content] == [("a", {"n": 1}), ("b", {"n": 2})]


def test_a_whole_answer_pleases_the_official_types_and_reads_back():
    events = [Started("x"), *NEUTRAL, ThinkingRedacted(3, "ZW5j"), Stopped("tool_use"), Metered(CLAUDE_USAGE)]
    body = ReplyRenderer("1", "alias").whole(events, None)
    message = Message.model_validate_json(body, strict=True)
    assert [block.type for block in message.content] == ["thinking", "text", "tool_use", "redacted_thinking"]
    parser = ReplyParser()
    assert parser.whole(body) == [
        Started("msg_1"),
        *NEUTRAL[:6],
        ToolDelta(2, '{"path": "calc.py"}'),
        BlockEnded(2),
        ThinkingRedacted(3, "ZW5j"),
        BlockEnded(3),
        Stopped("tool_use"),
        Metered(CLAUDE_USAGE),
    ]
    assert parser.is_complete


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("end_turn", "end_turn"),
        ("tool_use", "tool_use"),
        ("max_tokens", "max_tokens"),
        ("stop_sequence", "stop_sequence"),
        ("guardrail_intervened", "end_turn"),
        ("content_filtered", "refusal"),
        ("malformed_model_output", "end_turn"),
        ("malformed_tool_use", "end_turn"),
        ("model_context_window_exceeded", "model_context_window_exceeded"),
    ],
)
def test_every_stop_reason_has_its_word_and_a_guardrail_never_says_refusal(reason: StopReason, said):
    body = ReplyRenderer("1", "m").whole([Stopped(reason)], None)
    assert Message.model_validate_json(body).stop_reason == said


def test_reasoning_tokens_are_shown_and_read_as_a_part_of_the_output():
    usage = Usage(output_tokens=9, reasoning_tokens=4)
    body = ReplyRenderer("1", "m").whole([Stopped("end_turn"), Metered(usage)], None)
    assert ReplyParser().whole(body)[-1] == Metered(usage)


@pytest.mark.parametrize(
    ("kind", "message", "expected"),
    [
        ("rate_limit_error", "slow", errors.RateLimited),
        ("overloaded_error", "busy", errors.UpstreamUnavailable),
        ("api_error", "oops", errors.UpstreamUnavailable),
        ("timeout_error", "late", errors.UpstreamTimeout),
        ("invalid_request_error", "bad", errors.UpstreamRejected),
        ("invalid_request_error", "prompt is too long: 9 tokens > 8 maximum", errors.ContextTooLong),
        ("not_found_error", "model: x", errors.UpstreamRejected),
        ("authentication_error", "invalid x-api-key sk-secret", errors.UpstreamAccessDenied),
    ],
)
def test_errors_in_a_stream_become_ours(kind, message, expected):
    event = {"type": "error", "error": {"type": kind, "message": message}}
    parser = ReplyParser()
    assert parser.feed(claude_sse([CLAUDE_EVENTS[0], event])) == ReplyParser().feed(claude_sse(CLAUDE_EVENTS[:1]))
    with pytest.raises(expected) as raised:
        parser.feed(b"")
    assert raised.value is parser.failed
    assert type(raised.value) is expected
    assert "sk-secret" not in raised.value.message
    assert type(fault(kind, message)) is expected


@given(st.binary(max_size=80) | st.binary(max_size=40).map(lambda data: b"data: " + data + b"\n\n"))
def test_garbage_from_upstream_is_an_upstream_error(data):
    for read in (ReplyParser().feed, ReplyParser().whole):
        try:
            read(data)
        except errors.UpstreamUnavailable as error:
            assert error.message


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"content":[],"stop_reason":"end_turn","usage":{"input_tokens":-1}}',
        b'{"content":{},"stop_reason":"end_turn"}',
    ],
)
def test_a_whole_answer_that_breaks_the_dialect_is_an_upstream_error(body):
    with pytest.raises(errors.UpstreamUnavailable):
        ReplyParser().whole(body)


def test_comments_ids_and_carriage_returns_are_part_of_the_framing():
    sse = b": hello\r\nid: 1\r\nretry: 5\r\n" + claude_sse().replace(b"\n", b"\r\n")
    assert ReplyParser().feed(sse)[0] == Started("msg_bdrk_1")


def test_a_failure_and_a_ping_are_what_the_official_sdk_expects():
    renderer = ReplyRenderer("1", "m")
    sse = renderer.keepalive() + renderer.events([TextDelta(0, "a")]) + renderer.failure(errors.RateLimited("Slow."))
    with pytest.raises(anthropic.APIStatusError) as raised:
        accumulated(sse)
    assert raised.value.body == {
        "type": "error",
        "error": {"type": "rate_limit_error", "message": "Slow.", "details": {"error_code": "rate_limit_exceeded"}},
        "request_id": "1",
    }


@pytest.mark.parametrize("kind", [errors.BudgetExceeded, errors.NotAllowed, errors.RateLimited, errors.Internal])
def test_an_error_body_shows_its_message_in_the_official_sdk(kind):
    error = kind()
    with (
        anthropic_client(render_error(error, "id1"), "application/json", error.status) as client,
        pytest.raises(anthropic.APIStatusError) as raised,
    ):
        client.messages.create(model="m", max_tokens=1, messages=[{"role": "user", "content": "x"}])
    assert error.message in raised.value.message
    assert json.loads(compact(raised.value.body))["request_id"] == "id1"


def test_events_blocks_and_deltas_that_are_not_known_yet_say_nothing():
    events: list[dict[str, Any]] = [
        {"type": "later_invention"},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "server_tool_use"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "citations_delta"}},
        {"type": "message_delta", "delta": {}},
    ]
    assert ReplyParser().feed(claude_sse(events)) == []


def test_a_signature_given_with_the_block_is_read():
    block = {"type": "thinking", "thinking": "t", "signature": "s"}
    parsed = ReplyParser().feed(claude_sse([{"type": "content_block_start", "index": 0, "content_block": block}]))
    assert parsed == [ThinkingDelta(0, "t"), ThinkingSigned(0, "s")]


def test_tool_names_lead_back_to_the_clients_own():
    parsed = ReplyParser({"Read": "mcp.read"}).feed(claude_sse())
    assert ToolStarted(2, "toolu_1", "mcp.read") in parsed


def test_input_for_a_tool_that_never_began_is_left_out():
    renderer = ReplyRenderer("1", "m")
    assert renderer.events([ToolDelta(0, "{}")]) == b""
    assert json.loads(renderer.whole([ToolDelta(0, "{}")], None))["content"] == []


def test_cache_writes_without_a_split_count_as_five_minutes():
    usage = {"input_tokens": 1, "output_tokens": 2, "cache_creation_input_tokens": 3}
    body = {"content": [], "stop_reason": "end_turn", "usage": usage}
    assert ReplyParser().whole(compact(body))[-1] == Metered(Usage(1, 0, 3, 0, 2))
    body["usage"] = {"input_tokens": 1, "cache_creation": {"ephemeral_1h_input_tokens": 4}}
    assert ReplyParser().whole(compact(body))[-1] == Metered(Usage(1, 0, 0, 4, 0))


def test_a_whole_answer_is_translated_with_its_usage():
    body = ReplyRenderer("up", "up").whole([Started(), *NEUTRAL, Stopped("tool_use"), Metered(CLAUDE_USAGE)], None)
    translation: Translation = Translated(ReplyParser(), ReplyRenderer("1", "alias"))
    translation.read(body, {})
    assert (translation.usage, translation.stop_reason, translation.is_complete) == (CLAUDE_USAGE, "tool_use", True)
    ours, theirs = Message.model_validate_json(translation.body(None)), Message.model_validate_json(body)
    assert (ours.content, ours.model, translation.media_type) == (theirs.content, "alias", b"text/event-stream")
    assert translation.keepalive().startswith(b"event: ping")
    assert translation.failure(errors.Internal()).startswith(b"event: error")
