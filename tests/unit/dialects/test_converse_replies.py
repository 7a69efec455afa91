import json
from typing import Any, get_args

import botocore.parsers
import pytest
from botocore.exceptions import EventStreamError
from hypothesis import given
from hypothesis import strategies as st

from sekisho import errors
from sekisho.dialects.bedrock.converse import ReplyParser, ReplyRenderer, error_headers, render_error
from sekisho.dialects.bedrock.event_stream import encode_frame
from sekisho.dialects.bedrock.faults import MEANINGS, parse_fault
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
    CLAUDE_USAGE,
    CONVERSE_EVENTS,
    CUTS,
    SERVICE,
    aws_events,
    compact,
    converse_frames,
    event_frame,
    exception_frame,
    pieces,
)

NEUTRAL: list[Event] = [
    ThinkingDelta(0, "Hm…"),
    ThinkingSigned(0, "c2ln"),
    BlockEnded(0),
    TextDelta(1, "こんにちは"),
    BlockEnded(1),
    ToolStarted(2, "tooluse_1", "Read"),
    ToolDelta(2, '{"path": "calc.py"}'),
    BlockEnded(2),
]


def aws_answer(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Any:
    """What boto3 makes of a whole answer."""
    parser = botocore.parsers.create_parser("rest-json")
    shape = SERVICE.operation_model("Converse").output_shape
    return parser.parse({"body": body, "headers": headers or {}, "status_code": status}, shape)


@given(CUTS)
def test_a_stream_is_read_however_it_is_split(cuts):
    parser = ReplyParser()
    events = [event for piece in pieces(converse_frames(), cuts) for event in parser.feed(piece)]
    assert events == [Started(), *NEUTRAL, Stopped("tool_use"), Metered(CLAUDE_USAGE)]
    assert parser.is_complete


def test_a_stream_is_complete_only_with_its_usage():
    parser = ReplyParser()
    parser.feed(converse_frames(CONVERSE_EVENTS[:-1]))
    assert not parser.is_complete


def test_a_stream_that_is_translated_and_back_is_the_same_for_boto3():
    translation: Translation = Translated(ReplyParser(), ReplyRenderer())
    frames = translation.feed(converse_frames()) + translation.finish(None)
    expected = [(kind, {k: v for k, v in said.items() if k != "p"}) for kind, said in CONVERSE_EVENTS]
    expected[-1][1]["metrics"] = {"latencyMs": 0}
    assert [next(iter(event.items())) for event in aws_events(frames, "ConverseStream")] == expected


def test_tool_names_lead_back_to_the_clients_own_and_indexes_have_no_gaps():
    start = {"contentBlockIndex": 5, "start": {"toolUse": {"toolUseId": "1", "name": "safe"}}}
    events: list[tuple[str, dict[str, Any]]] = [
        ("contentBlockStart", start),
        ("contentBlockStop", {"contentBlockIndex": 5}),
    ]
    parsed = ReplyParser({"safe": "mcp.a/b"}).feed(converse_frames(events))
    assert parsed == [ToolStarted(0, "1", "mcp.a/b"), BlockEnded(0)]


@pytest.mark.parametrize("extra", [{"delta": {"stop_sequence": "END"}}, {"stop_sequence": "END"}])
def test_the_stop_sequence_is_read_from_the_additional_fields(extra):
    said = {"stopReason": "stop_sequence", "additionalModelResponseFields": extra}
    assert ReplyParser().feed(converse_frames([("messageStop", said)])) == [Stopped("stop_sequence", "END")]


@pytest.mark.parametrize("extra", [None, [], {"delta": 3}, {"stop_sequence": None}])
def test_other_additional_fields_say_nothing(extra):
    said = {"stopReason": "not_known_yet", "additionalModelResponseFields": extra}
    assert ReplyParser().feed(converse_frames([("messageStop", said)])) == [Stopped("end_turn")]


def test_a_whole_answer_is_for_boto3_what_it_is_for_us():
    events = [Started(), *NEUTRAL, ThinkingRedacted(3, "ZW5j"), BlockEnded(3), Stopped("tool_use")]
    body = ReplyRenderer().whole([*events, Metered(CLAUDE_USAGE)], None)
    parsed = aws_answer(body)
    assert parsed["output"]["message"] == {
        "role": "assistant",
        "content": [
            {"reasoningContent": {"reasoningText": {"text": "Hm…", "signature": "c2ln"}}},
            {"text": "こんにちは"},
            {"toolUse": {"toolUseId": "tooluse_1", "name": "Read", "input": {"path": "calc.py"}}},
            {"reasoningContent": {"redactedContent": b"enc"}},
        ],
    }
    assert parsed["usage"] == CONVERSE_EVENTS[-1][1]["usage"]
    parser = ReplyParser()
    assert parser.whole(body) == [*events, Metered(CLAUDE_USAGE)]
    assert parser.is_complete


def test_citations_are_read_as_their_text():
    content = [{"citationsContent": {"content": [{"text": "a"}, {"text": "b"}]}}]
    usage = {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}
    body = {"output": {"message": {"role": "assistant", "content": content}}, "stopReason": "end_turn", "usage": usage}
    assert ReplyParser().whole(compact(body))[1] == TextDelta(0, "ab")


@pytest.mark.parametrize("reason", get_args(StopReason))
def test_every_stop_reason_passes_in_both_directions(reason: StopReason):
    frames = ReplyRenderer()
    frames.events([Stopped(reason, "END" if reason == "stop_sequence" else None)])
    assert ReplyParser().feed(frames.finish(None))[1].reason == reason
    assert aws_answer(ReplyRenderer().whole([Stopped(reason)], None))["stopReason"] == reason


def test_nothing_is_sent_before_content_and_an_empty_answer_is_still_whole():
    renderer = ReplyRenderer()
    assert renderer.events([Started(), BlockEnded(0), Metered(Usage(1))]) == b""
    assert renderer.keepalive() == b""
    events = aws_events(renderer.finish(None), "ConverseStream")
    assert [next(iter(event)) for event in events] == ["messageStart", "messageStop", "metadata"]


def test_every_kind_of_content_is_a_frame_and_open_blocks_are_closed():
    renderer = ReplyRenderer()
    frames = renderer.events([ThinkingRedacted(0, "ZW5j"), BlockEnded(0), TextDelta(1, "a")]) + renderer.finish(None)
    events = [next(iter(event.items())) for event in aws_events(frames, "ConverseStream")]
    assert [kind for kind, _ in events].count("contentBlockStop") == 2
    assert events[1][1]["delta"] == {"reasoningContent": {"redactedContent": b"enc"}}


STREAM_FAULTS = [
    ("throttlingException", {"message": "Too many tokens, please wait"}, errors.RateLimited),
    ("validationException", {"message": "bad"}, errors.UpstreamRejected),
    ("validationException", {"message": "Input is too long for requested model."}, errors.ContextTooLong),
    ("validationException", {"message": "prompt is too long: 9 tokens > 8 maximum"}, errors.ContextTooLong),
    ("modelStreamErrorException", {"message": "x"}, errors.UpstreamUnavailable),
    ("modelStreamErrorException", {"message": "x", "originalStatusCode": 429}, errors.RateLimited),
    ("modelStreamErrorException", {"originalStatusCode": 400, "originalMessage": "y"}, errors.UpstreamRejected),
    ("modelStreamErrorException", {"message": "x", "originalStatusCode": 504}, errors.UpstreamTimeout),
    ("modelTimeoutException", {"message": "x"}, errors.UpstreamTimeout),
    ("internalServerException", {"message": "x"}, errors.UpstreamUnavailable),
    ("serviceUnavailableException", {"Message": "x"}, errors.UpstreamUnavailable),
    ("somethingNewException", {}, errors.UpstreamUnavailable),
]


@pytest.mark.parametrize(("kind", "body", "expected"), STREAM_FAULTS)
def test_exceptions_in_a_stream_become_our_errors(kind, body, expected):
    parser = ReplyParser()
    events = parser.feed(converse_frames(CONVERSE_EVENTS[:3]) + exception_frame(kind, body))
    assert events == ReplyParser().feed(converse_frames(CONVERSE_EVENTS[:3]))
    with pytest.raises(expected) as raised:
        parser.feed(b"")
    assert raised.value is parser.failed
    assert type(raised.value) is expected
    said = next((body[name] for name in ("originalMessage", "message", "Message") if name in body), "")
    assert raised.value.upstream_message == said
    if expected in (errors.UpstreamRejected, errors.ContextTooLong):
        assert said in raised.value.message
    else:  # agents read words about rates as context overflow
        assert "oo many tokens" not in raised.value.message


def test_an_error_frame_without_a_modelled_exception_is_an_error_too():
    headers = {":message-type": "error", ":error-code": "InternalFailure", ":error-message": "broken"}
    with pytest.raises(errors.UpstreamUnavailable) as raised:
        ReplyParser().feed(encode_frame(headers, b""))
    assert raised.value.upstream_message == "broken"


def test_every_exception_of_the_service_has_a_row():
    modelled = {name for name in SERVICE.shape_names if SERVICE.shape_for(name).metadata.get("exception")}
    assert modelled <= MEANINGS.keys()


@pytest.mark.parametrize("name", sorted(MEANINGS))
def test_names_are_known_in_every_spelling_and_accounts_stay_hidden(name):
    arn = "arn:aws:iam::123456789012:role/gateway"
    spellings = [name, name[0].lower() + name[1:], f"com.amazon.coral#{name}", f"{name}:http://internal.amazon.com/"]
    body = json.dumps({"message": f"User: {arn} may not"}).encode()
    found = [parse_fault(spelling, body) for spelling in spellings]
    assert len({type(error) for error in found}) == 1
    assert not any("123456789012" in error.message or error.status in (401, 403) for error in found)


@given(st.binary(max_size=60))
def test_a_fault_with_any_body_is_still_a_fault(body):
    assert isinstance(parse_fault("ValidationException", body), errors.UpstreamRejected | errors.ContextTooLong)


@given(st.binary(max_size=60), st.sampled_from([kind for kind, _ in CONVERSE_EVENTS]))
def test_garbage_from_upstream_is_an_upstream_error(data, kind):
    for parse in (ReplyParser().feed, ReplyParser().whole):
        for body in (data, event_frame(kind, data)):
            try:
                parse(body)
            except errors.UpstreamUnavailable as error:
                assert error.message


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.RateLimited("Slow."), "throttlingException"),
        (errors.BudgetExceeded("No money."), "validationException"),
        (errors.NotAllowed("No."), "validationException"),
        (errors.UpstreamTimeout("Late."), "modelStreamErrorException"),
        (errors.UpstreamUnavailable("Gone."), "serviceUnavailableException"),
        (errors.Internal("id"), "internalServerException"),
    ],
)
def test_a_failure_ends_the_stream_with_an_exception_that_boto3_raises(error, code):
    renderer = ReplyRenderer()
    frames = renderer.events([TextDelta(0, "a")]) + renderer.failure(error)
    with pytest.raises(EventStreamError) as raised:
        aws_events(frames, "ConverseStream")
    assert raised.value.response["Error"] == {"Code": code, "Message": error.message}


def test_an_error_body_is_the_exception_boto3_knows():
    error = errors.BudgetExceeded("The budget is used up.")
    headers = {name.decode(): value.decode() for name, value in error_headers(error)}
    parsed = aws_answer(render_error(error), error.status, headers)
    assert parsed["Error"] == {"Message": "The budget is used up.", "Code": "ValidationException"}
    assert json.loads(render_error(error)) == {"message": "The budget is used up."}


def test_events_blocks_and_deltas_that_are_not_known_yet_say_nothing():
    events: list[tuple[str, dict[str, Any]]] = [
        ("laterInvention", {}),
        ("contentBlockStart", {"contentBlockIndex": 0, "start": {"image": {"format": "png"}}}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"citation": {}}}),
    ]
    assert ReplyParser().feed(converse_frames(events)) == []
    body = compact({"output": {"message": {"content": [{"image": {}}]}}, "stopReason": "end_turn", "usage": {}})
    assert ReplyParser().whole(body)[:2] == [Started(), BlockEnded(0)]


def test_input_for_a_tool_that_never_began_is_left_out():
    body = json.loads(ReplyRenderer().whole([ToolDelta(0, "{}")], None))
    assert body["output"]["message"]["content"] == []
