import base64
import json

import pytest
from anthropic.types import Message
from botocore.exceptions import EventStreamError
from hypothesis import given
from hypothesis import strategies as st

from sekisho import errors
from sekisho.dialects.anthropic_messages import ReplyParser
from sekisho.dialects.bedrock import converse
from sekisho.dialects.passing import ConverseToConverse, InvokeToInvoke, InvokeToMessages, MessagesToMessages
from sekisho.dialects.translation import Translation
from sekisho.values import Usage
from tests.unit.dialects.test_converse_replies import STREAM_FAULTS
from tests.unit.dialects.wire import (
    CLAUDE_EVENTS,
    CLAUDE_USAGE,
    CONVERSE_EVENTS,
    CUTS,
    accumulated,
    aws_events,
    chunk_frame,
    claude_frames,
    claude_sse,
    compact,
    converse_frames,
    event_frame,
    exception_frame,
    pieces,
)

WHOLE = {
    "id": "msg_bdrk_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-up",
    "content": [{"type": "text", "text": "hi"}],
    "stop_reason": "max_tokens",
    "stop_sequence": None,
    "usage": CLAUDE_EVENTS[0]["message"]["usage"],
}
WAYS = [
    (InvokeToMessages("1"), claude_frames()),
    (InvokeToInvoke(), claude_frames()),
    (MessagesToMessages("1"), claude_sse()),
    (ConverseToConverse(), converse_frames()),
]


def fresh(way: Translation) -> Translation:
    kind = type(way)
    return kind("1") if kind in (InvokeToMessages, MessagesToMessages) else kind()


def terminal_of(way: Translation) -> bytes:
    return b"messageStop" if isinstance(way, ConverseToConverse) else b"message_stop"


@pytest.mark.parametrize(("way", "wire"), WAYS, ids=lambda value: type(value).__name__)
@given(CUTS)
def test_the_end_is_held_and_read_however_the_stream_is_split(way, wire, cuts):
    way = fresh(way)
    sent = b"".join(map(way.feed, pieces(wire, cuts)))
    assert (way.usage, way.stop_reason, way.is_complete, way.has_started) == (CLAUDE_USAGE, "tool_use", True, True)
    last = way.finish(9)
    whole = fresh(way)
    assert sent + last == whole.feed(wire) + whole.finish(None)
    assert terminal_of(way) not in sent


@pytest.mark.parametrize(("way", "wire"), [WAYS[1], WAYS[3]], ids=lambda value: type(value).__name__)
def test_frames_pass_as_they_came(way, wire):
    way = fresh(way)
    assert way.feed(wire) + way.finish(None) == wire
    assert (way.media_type, way.keepalive()) == (b"application/vnd.amazon.eventstream", b"")


def test_claude_on_bedrock_is_for_the_official_sdk_what_the_anthropic_api_sends():
    way = InvokeToMessages("1")
    sse = way.feed(claude_frames()) + way.finish(None)
    assert accumulated(sse) == accumulated(claude_sse())
    assert ReplyParser().feed(sse) == ReplyParser().feed(claude_sse())
    assert b"invocationMetrics" not in sse
    for event in CLAUDE_EVENTS[1:-1]:
        assert compact(event) in sse


def test_the_anthropic_api_passes_as_it_came_but_for_the_name_of_the_model():
    way = MessagesToMessages("1")
    plain = [*CLAUDE_EVENTS[:-1], {"type": "message_stop"}]
    assert way.feed(claude_sse(plain)) + way.finish(None) == claude_sse(plain)
    named = MessagesToMessages("1", "alias")
    sse = named.feed(claude_sse(plain)) + named.finish(None)
    assert sse == claude_sse(plain).replace(b'"model":"claude-sonnet-4-6"', b'"model":"alias"')


@pytest.mark.parametrize(("way", "wire"), WAYS, ids=lambda value: type(value).__name__)
def test_nothing_is_sent_before_the_first_content(way, wire):
    way = fresh(way)
    first = {
        InvokeToMessages: claude_frames(CLAUDE_EVENTS[:1]),
        InvokeToInvoke: claude_frames(CLAUDE_EVENTS[:1]),
        MessagesToMessages: claude_sse([CLAUDE_EVENTS[0], {"type": "ping"}]),
        ConverseToConverse: converse_frames(CONVERSE_EVENTS[:1]),
    }[type(way)]
    assert way.feed(first) == b""
    assert not way.has_started
    assert way.finish(None) != b""


def test_the_metrics_fill_in_for_counts_that_were_not_said():
    start = {"type": "message_start", "message": {"id": "m", "content": [], "model": "m"}}
    metrics = {
        "inputTokenCount": 3,
        "outputTokenCount": 4,
        "cacheReadInputTokenCount": 5,
        "cacheWriteInputTokenCount": 6,
    }
    delta = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}
    stop = {"type": "message_stop", "amazon-bedrock-invocationMetrics": metrics}
    way = InvokeToMessages("1")
    way.feed(claude_frames([start, delta]))
    assert way.usage is None
    way.feed(claude_frames([stop]))
    assert way.usage == Usage(3, 5, 6, 0, 4)


def test_later_counts_replace_earlier_ones_and_written_tokens_keep_their_split():
    delta = {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn"},
        "usage": {"output_tokens": 9, "input_tokens": 8, "cache_creation_input_tokens": 25},
    }
    way = InvokeToMessages("1")
    way.feed(claude_frames([CLAUDE_EVENTS[0], delta]))
    assert way.usage == Usage(8, 100, 5, 20, 9)


def test_events_of_any_layout_and_unknown_ones_pass():
    way = InvokeToMessages("1", "alias")
    pretty = json.dumps({"index": 0, "type": "content_block_stop"}, indent=1).encode()
    escaped = base64.b64encode(b'{"type":"later_invention"}???').decode()
    assert "/" in escaped
    frames = chunk_frame(pretty) + event_frame("initial-response", b"{}")
    frames += event_frame("chunk", b'{"p":"ab","bytes":"' + base64.b64encode(b'{"type":"later_invention"}') + b'"}')
    assert way.feed(frames) == (
        b'event: content_block_stop\ndata: {"index":0,"type":"content_block_stop"}\n\n'
        b'event: later_invention\ndata: {"type":"later_invention"}\n\n'
    )
    slashed = b'{"bytes":"' + base64.b64encode(b'{"type":"x","a":"???"}').replace(b"/", b"\\/") + b'"}'
    assert b"\\/" in slashed
    assert b'"a":"???"' in way.feed(event_frame("chunk", slashed))


def test_pings_pass_only_while_content_does():
    ping = {"type": "ping"}
    way = MessagesToMessages("1")
    sent = way.feed(claude_sse([CLAUDE_EVENTS[0], ping, CLAUDE_EVENTS[1], ping, CLAUDE_EVENTS[-2], ping]))
    assert sent.count(b"event: ping") == 1
    assert sent.startswith(b"event: message_start")
    assert way.keepalive() == b'event: ping\ndata: {"type": "ping"}\n\n'


def test_a_message_delta_without_a_stop_reason_is_not_the_end():
    way = MessagesToMessages("1")
    sent = way.feed(claude_sse([{"type": "message_delta", "delta": {}, "usage": {"output_tokens": 3}}]))
    assert sent.startswith(b"event: message_delta")
    assert way.stop_reason is None


@pytest.mark.parametrize("way", [InvokeToMessages("1"), InvokeToInvoke(), ConverseToConverse()])
@pytest.mark.parametrize(("kind", "body", "expected"), STREAM_FAULTS)
def test_exceptions_in_a_stream_become_our_errors(way, kind, body, expected):
    with pytest.raises(expected):
        fresh(way).feed(exception_frame(kind, body))


@pytest.mark.parametrize("way", [InvokeToMessages("1"), InvokeToInvoke()])
def test_an_error_event_inside_a_chunk_becomes_our_error(way):
    event = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}
    with pytest.raises(errors.UpstreamUnavailable) as raised:
        fresh(way).feed(claude_frames([event]))
    assert raised.value.upstream_message == "busy"


@pytest.mark.parametrize("way", [InvokeToMessages("1"), MessagesToMessages("1"), InvokeToInvoke()])
@given(st.binary(max_size=60))
def test_garbage_from_upstream_is_an_upstream_error(way, data):
    for wire in (data, event_frame("chunk", data), chunk_frame(data), b"data: " + data + b"\n\n"):
        try:
            fresh(way).feed(wire)
        except errors.UpstreamUnavailable as error:
            assert error.message


@pytest.mark.parametrize("way", [InvokeToMessages("1"), MessagesToMessages("1"), InvokeToInvoke()])
def test_a_whole_answer_passes_as_bytes(way):
    body = json.dumps(WHOLE).encode()
    way = fresh(way)
    way.read(body, {b"x-amzn-bedrock-input-token-count": b"999"})
    assert way.body(None) == body
    assert (way.usage, way.stop_reason, way.is_complete) == (Usage(7, 100, 10, 20, 1), "max_tokens", True)


def test_a_whole_answer_shows_the_public_name_of_the_model():
    way = InvokeToMessages("1", "alias")
    way.read(compact(WHOLE), {})
    assert Message.model_validate_json(way.body(None)).model == "alias"


def test_the_headers_give_the_counts_that_the_body_leaves_out():
    headers = {
        b"x-amzn-bedrock-input-token-count": b"3",
        b"x-amzn-bedrock-output-token-count": b"4",
        b"x-amzn-bedrock-cache-read-input-token-count": b"5",
        b"x-amzn-bedrock-cache-write-input-token-count": b"6",
    }
    way = InvokeToInvoke()
    way.read(compact({"stop_reason": "end_turn"}), headers)
    assert way.usage == Usage(3, 5, 6, 0, 4)
    without = InvokeToInvoke()
    without.read(compact({"stop_reason": "end_turn"}), {})
    assert without.usage is None


@pytest.mark.parametrize("count", [b"-1", b"x", b"", b"9" * 5000])
def test_a_count_that_is_no_number_is_an_upstream_error(count):
    with pytest.raises(errors.UpstreamUnavailable):
        InvokeToInvoke().read(compact({"stop_reason": "end_turn"}), {b"x-amzn-bedrock-input-token-count": count})


@pytest.mark.parametrize("body", [b"", b"{}", b'{"stop_reason":1}', b"[" * 100_000])
@pytest.mark.parametrize("way", [InvokeToMessages("1"), ConverseToConverse()])
def test_a_whole_answer_that_breaks_the_dialect_is_an_upstream_error(way, body):
    with pytest.raises(errors.UpstreamUnavailable):
        fresh(way).read(body, {})


def test_a_whole_converse_answer_passes_as_bytes():
    renderer = converse.ReplyRenderer()
    body = renderer.whole(converse.ReplyParser().feed(converse_frames()), None)
    way = ConverseToConverse()
    way.read(body, {})
    assert (way.body(None), way.usage, way.stop_reason) == (body, CLAUDE_USAGE, "tool_use")
    assert way.is_complete


def test_a_failure_ends_each_stream_in_its_own_dialect():
    late = errors.UpstreamTimeout("Late.")
    for way, operation, code in (
        (InvokeToInvoke(), "InvokeModelWithResponseStream", "modelTimeoutException"),
        (ConverseToConverse(), "ConverseStream", "modelStreamErrorException"),
    ):
        with pytest.raises(EventStreamError, match=code):
            aws_events(way.failure(late), operation)
        assert way.keepalive() == b""
    assert b'"request_id":"1"' in InvokeToMessages("1").failure(late)


def test_a_start_without_a_message_and_broken_white_space_are_survived():
    way = InvokeToMessages("1", "alias")
    way.feed(claude_frames([{"type": "message_start"}]))
    with pytest.raises(errors.UpstreamUnavailable):
        way.feed(chunk_frame(b'{"type":"content_block_delta",\n'))
    with pytest.raises(errors.UpstreamUnavailable):
        way.feed(chunk_frame(b'{"type":"'))


def test_a_frame_of_another_kind_passes_to_an_invoke_client():
    frame = event_frame("later-invention", b"{}")
    assert InvokeToInvoke().feed(frame) == frame
