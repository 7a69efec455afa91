"""Chat answers in both directions. Oracle: the official OpenAI SDK's types and stream accumulator."""

import json
from decimal import Decimal
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

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
from sekisho.dialects.openai import gather
from sekisho.dialects.openai_chat import ChatPassing, ReplyParser, ReplyRenderer, parse_request, render_error
from sekisho.dialects.sse import SseParser, render_event
from sekisho.dialects.translation import Translated, Translation
from sekisho.errors import (
    BudgetExceeded,
    ContextTooLong,
    Internal,
    RateLimited,
    UpstreamAccessDenied,
    UpstreamRejected,
    UpstreamUnavailable,
)
from sekisho.values import StopReason, Usage
from tests.unit.dialects.official_sdk import client_answered_with
from tests.unit.dialects.random_bodies import UNTIMED

USAGE = Usage(10, 20, 3, 4, 50, 6)
ANSWER: list[Event] = [
    Started("up-1"),
    ThinkingDelta(0, "Let me "),
    ThinkingDelta(0, "think."),
    ThinkingSigned(0, "sig"),
    BlockEnded(0),
    ThinkingRedacted(1, "c2Vj"),
    BlockEnded(1),
    TextDelta(2, "Reading \n"),
    TextDelta(2, "“日本”"),
    BlockEnded(2),
    ToolStarted(3, "call_a", "read"),
    ToolDelta(3, '{"path":'),
    ToolDelta(3, '"a"}'),
    BlockEnded(3),
    ToolStarted(4, "call_b", "list"),
    BlockEnded(4),
    Stopped("tool_use"),
    Metered(USAGE),
]


def renderer(wants_usage: bool = True) -> ReplyRenderer:
    return ReplyRenderer(call_id="01abc", model="m", created=1_763_000_000, wants_usage=wants_usage)


def stream(events: list[Event], wants_usage: bool = True, cost_nanousd: int | None = None) -> bytes:
    writer = renderer(wants_usage)
    return writer.events(events) + writer.finish(cost_nanousd)


def chunks(data: bytes) -> list[dict[str, Any]]:
    events = [event.data for event in SseParser().feed(data)]
    assert events[-1] == b"[DONE]"
    return [json.loads(event) for event in events[:-1]]


def test_the_official_sdk_accumulates_the_stream():
    client = client_answered_with(stream(ANSWER, cost_nanousd=1_230_000))
    with client.chat.completions.stream(
        model="m", messages=[{"role": "user", "content": "x"}], stream_options={"include_usage": True}
    ) as answer:
        completion = answer.get_final_completion()
    client.close()
    message = completion.choices[0].message
    assert completion.id == "chatcmpl-01abc"
    assert message.content == "Reading \n“日本”"
    assert [(call.id, call.function.name, call.function.arguments) for call in message.tool_calls or []] == [
        ("call_a", "read", '{"path":"a"}'),
        ("call_b", "list", "{}"),
    ]
    assert completion.choices[0].finish_reason == "tool_calls"
    assert completion.usage is not None and completion.usage.prompt_tokens == 37
    assert (message.model_extra or {})["reasoning_content"] == "Let me think."
    sent_back = {"role": "assistant", **message.to_dict()}
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}, sent_back]}
    assert parse_request(json.dumps(body).encode()).messages[1].parts == gather(ANSWER).parts


def test_every_chunk_is_of_the_official_type():
    for chunk in chunks(stream(ANSWER)):
        ChatCompletionChunk.model_validate(chunk, strict=True)


def test_the_order_of_a_stream():
    seen = chunks(stream(ANSWER, cost_nanousd=1))
    deltas = [chunk["choices"][0]["delta"] for chunk in seen[:-1]]
    assert deltas == [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "Let me "},
        {"reasoning_content": "think."},
        {"thinking_blocks": [{"index": 0, "type": "thinking", "thinking": "Let me think.", "signature": "sig"}]},
        {"thinking_blocks": [{"index": 1, "type": "redacted_thinking", "data": "c2Vj"}]},
        {"content": "Reading \n"},
        {"content": "“日本”"},
        {
            "tool_calls": [
                {"index": 0, "id": "call_a", "type": "function", "function": {"name": "read", "arguments": ""}}
            ]
        },
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"path":'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '"a"}'}}]},
        {
            "tool_calls": [
                {"index": 1, "id": "call_b", "type": "function", "function": {"name": "list", "arguments": ""}}
            ]
        },
        {"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}]},
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in seen[:-1]] == [None] * 12 + ["tool_calls"]
    assert seen[-1]["choices"] == []


def test_usage_comes_in_every_spelling_and_only_when_asked_for():
    assert chunks(stream(ANSWER))[-1]["usage"] == {
        "prompt_tokens": 37,
        "completion_tokens": 50,
        "total_tokens": 87,
        "prompt_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 7, "cache_creation_tokens": 7},
        "completion_tokens_details": {"reasoning_tokens": 6},
        "cache_read_input_tokens": 20,
        "cache_creation_input_tokens": 7,
    }
    assert b'"usage"' not in stream(ANSWER, wants_usage=False, cost_nanousd=5)
    assert b'"usage"' not in stream([Started(), TextDelta(0, "a"), Stopped("end_turn")])


@UNTIMED
@given(st.integers(0, 10**13))
def test_the_cost_is_exact_to_the_last_digit(cost_nanousd):
    data = stream(ANSWER, cost_nanousd=cost_nanousd)
    last = [json.loads(event.data, parse_float=Decimal) for event in SseParser().feed(data) if b'"cost"' in event.data]
    assert Decimal(last[0]["usage"]["cost"]) * 10**9 == cost_nanousd
    assert b"e-" not in data


@pytest.mark.parametrize(
    ("reason", "finish_reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("tool_use", "tool_calls"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("content_filtered", "content_filter"),
        ("guardrail_intervened", "content_filter"),
        ("malformed_model_output", "stop"),
        ("malformed_tool_use", "stop"),
    ],
)
def test_every_stop_reason_gives_a_finish_reason(reason: StopReason, finish_reason):
    events: list[Event] = [Started(), TextDelta(0, "a"), BlockEnded(0), Stopped(reason)]
    assert chunks(stream(events))[-1]["choices"][0]["finish_reason"] == finish_reason
    assert json.loads(renderer().whole(events, None))["choices"][0]["finish_reason"] == finish_reason


def test_nothing_before_finish_says_that_the_answer_ended():
    assert b"stop" not in renderer().events(
        [Started(), TextDelta(0, "a"), BlockEnded(0), Stopped("end_turn"), Metered(USAGE)]
    )


def test_a_whole_answer_is_of_the_official_type():
    body = renderer().whole(ANSWER, 2_000_000_001)
    completion = ChatCompletion.model_validate_json(body)
    message = json.loads(body)["choices"][0]["message"]
    assert completion.choices[0].message.content == "Reading \n“日本”"
    assert message["reasoning_content"] == "Let me think."
    assert message["thinking_blocks"] == [
        {"type": "thinking", "thinking": "Let me think.", "signature": "sig"},
        {"type": "redacted_thinking", "data": "c2Vj"},
    ]
    assert [call["function"]["arguments"] for call in message["tool_calls"]] == ['{"path":"a"}', "{}"]
    assert json.loads(body, parse_float=str)["usage"]["cost"] == "2.000000001"


def test_a_failure_is_shown_and_ends_the_stream():
    error = BudgetExceeded("The team's budget is used up.")
    data = renderer().events([Started(), TextDelta(0, "a")]) + renderer().failure(error)
    assert chunks(data)[-1] == {
        "error": {
            "message": "The team's budget is used up.",
            "type": "budget_exceeded",
            "param": None,
            "code": "budget_exceeded",
        }
    }
    client = client_answered_with(data)
    with pytest.raises(openai.APIError, match="used up"), client:
        list(client.chat.completions.create(model="m", messages=[], stream=True))


def test_a_keepalive_is_invisible():
    assert SseParser().feed(renderer().keepalive()) == []


def test_error_bodies():
    assert json.loads(render_error(ContextTooLong(), "01abc"))["error"]["code"] == "context_length_exceeded"
    assert "01abc" in json.loads(render_error(Internal(), "01abc"))["error"]["message"]


# --- the upstream's side ---


def parse(data: bytes) -> list[Event]:
    parser = ReplyParser()
    events = parser.feed(data)
    if parser.failed:
        raise parser.failed
    assert parser.is_complete
    return events


def upstream(*deltas: dict[str, Any], finish_reason: str = "stop", usage: dict[str, Any] | None = None) -> bytes:
    data: list[dict[str, Any]] = [
        {"id": "up-1", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas
    ]
    data.append({"id": "up-1", "choices": [{"index": 0, "delta": {}, "finish_reason": finish_reason}]})
    if usage is not None:
        data.append({"id": "up-1", "choices": [], "usage": usage})
    return b"".join(render_event(json.dumps(chunk).encode()) for chunk in data) + render_event(b"[DONE]")


def call(
    index: int | None = None, tool_id: str | None = None, name: str | None = None, arguments: str | None = None
) -> dict[str, Any]:
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    fields = {"index": index, "id": tool_id, "function": function}
    return {"tool_calls": [{key: value for key, value in fields.items() if value is not None}]}


def test_what_we_write_we_read_back():
    assert parse(stream(ANSWER)) == [
        Started("chatcmpl-01abc"),
        *ANSWER[1:15],
        ToolDelta(4, "{}"),
        BlockEnded(4),
        Stopped("tool_use"),
        Metered(Usage(10, 20, 7, 0, 50, 6)),
    ]


def test_a_whole_answer_that_we_write_we_read_back():
    assert ReplyParser().whole(renderer().whole(ANSWER, None)) == [
        Started("chatcmpl-01abc"),
        ThinkingDelta(0, "Let me think."),
        ThinkingSigned(0, "sig"),
        BlockEnded(0),
        ThinkingRedacted(1, "c2Vj"),
        BlockEnded(1),
        TextDelta(2, "Reading \n“日本”"),
        BlockEnded(2),
        ToolStarted(3, "call_a", "read"),
        ToolDelta(3, '{"path":"a"}'),
        BlockEnded(3),
        ToolStarted(4, "call_b", "list"),
        ToolDelta(4, "{}"),
        BlockEnded(4),
        Stopped("tool_use"),
        Metered(Usage(10, 20, 7, 0, 50, 6)),
    ]


@UNTIMED
@given(st.lists(st.integers(0, 10_000), max_size=20))
def test_it_does_not_matter_how_the_upstream_bytes_are_cut(places):
    data = stream(ANSWER)
    bounds = [0, *sorted(place % len(data) for place in places), len(data)]
    parser = ReplyParser()
    events = [event for i, end in enumerate(bounds[1:]) for event in parser.feed(data[bounds[i] : end])]
    assert events == parse(data)


def test_tool_calls_may_be_numbered_from_anywhere_and_repeat_their_names():
    events = parse(
        upstream(
            {"role": "assistant", "content": None},
            call(1, "a", "f", ""),
            call(1, "a", "f", '{"x"'),
            call(1, None, None, ":1}"),
            call(2, "b", "g", "{}"),
            finish_reason="stop",
        )
    )
    assert events == [
        Started("up-1"),
        ToolStarted(0, "a", "f"),
        ToolDelta(0, '{"x"'),
        ToolDelta(0, ":1}"),
        BlockEnded(0),
        ToolStarted(1, "b", "g"),
        ToolDelta(1, "{}"),
        BlockEnded(1),
        Stopped("tool_use"),
    ]


def test_interleaved_tool_calls_stay_open_until_they_are_whole():
    events = parse(upstream(call(0, "a", "f"), call(1, "b", "g"), call(0, arguments="{}"), call(1, arguments="{}")))
    assert events[1:] == [
        ToolStarted(0, "a", "f"),
        ToolStarted(1, "b", "g"),
        ToolDelta(0, "{}"),
        ToolDelta(1, "{}"),
        BlockEnded(0),
        BlockEnded(1),
        Stopped("tool_use"),
    ]


def test_calls_without_numbers_or_ids_are_told_apart_by_their_names():
    events = parse(upstream(call(name="f", arguments="{"), call(arguments="}"), call(name="g", arguments="{}")))
    started = [event for event in events if isinstance(event, ToolStarted)]
    assert [event.name for event in started] == ["f", "g"]
    assert len({event.id for event in started} - {""}) == 2
    assert [event.json for event in events if isinstance(event, ToolDelta)] == ["{", "}", "{}"]


def test_calls_that_share_a_number_are_told_apart_by_their_ids():
    events = parse(upstream(call(0, "a", "f", "{}"), call(0, "b", "g", "{}")))
    assert [event.id for event in events if isinstance(event, ToolStarted)] == ["a", "b"]


@pytest.mark.parametrize(
    "deltas",
    [
        [{"reasoning_content": "hm"}, {"thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "s"}]}],
        [
            {"reasoning": "hm", "reasoning_details": [{"type": "reasoning.text", "text": "hm"}]},
            {"reasoning_details": [{"type": "reasoning.text", "text": "", "signature": "s"}]},
        ],
        [
            {"reasoning_content": "hm", "thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": None}]},
            {"reasoning_content": "", "thinking_blocks": [{"type": "thinking", "thinking": "", "signature": "s"}]},
        ],
        [{"thinking_blocks": [{"type": "thinking", "thinking": "hm"}]}, {"thinking_blocks": [{"signature": "s"}]}],
    ],
)
def test_thinking_is_read_once_in_every_form(deltas):
    assert parse(upstream(*deltas, {"content": "so"}))[1:-1] == [
        ThinkingDelta(0, "hm"),
        ThinkingSigned(0, "s"),
        BlockEnded(0),
        TextDelta(1, "so"),
        BlockEnded(1),
    ]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"prompt_tokens": 100, "completion_tokens": 5}, Usage(100, 0, 0, 0, 5)),
        (
            {"prompt_tokens": 100, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 60}},
            Usage(40, 60, 0, 0, 5),
        ),
        (
            {
                "prompt_tokens": 100,
                "completion_tokens": 5,
                "cache_read_input_tokens": 60,
                "cache_creation_input_tokens": 30,
            },
            Usage(10, 60, 30, 0, 5),
        ),
        ({"prompt_tokens": 100, "completion_tokens": 5, "prompt_cache_hit_tokens": 64}, Usage(36, 64, 0, 0, 5)),
        ({"prompt_tokens": 100, "completion_tokens": 5, "cached_tokens": 64}, Usage(36, 64, 0, 0, 5)),
        (
            {"input_tokens": 100, "output_tokens": 5, "input_tokens_details": {"cached_tokens": 1}},
            Usage(99, 1, 0, 0, 5),
        ),
        (
            {
                "prompt_tokens": 100,
                "completion_tokens": 5,
                "prompt_tokens_details": {
                    "cached_tokens": 60,
                    "cache_creation_tokens": 30,
                    "cache_creation_token_details": {"ephemeral_1h_input_tokens": 20},
                },
            },
            Usage(10, 60, 10, 20, 5),
        ),
        # counted apart from the prompt: never charge less than what was read
        ({"prompt_tokens": 10, "completion_tokens": 5, "cache_read_input_tokens": 60}, Usage(10, 60, 0, 0, 5)),
        (
            {"prompt_tokens": 10, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 3}},
            Usage(10, 0, 0, 0, 5, 3),
        ),
        # xAI: reasoning beside the completion, told by the total
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "total_tokens": 35,
                "completion_tokens_details": {"reasoning_tokens": 20},
            },
            Usage(10, 0, 0, 0, 25, 20),
        ),
        ({"prompt_tokens": None, "completion_tokens": "5", "prompt_tokens_details": None}, Usage()),
    ],
)
def test_usage_becomes_disjoint_counts(source, expected):
    assert parse(upstream({"content": "a"}, usage={**source, "x": 1}))[-1] == Metered(expected)


@pytest.mark.parametrize(
    ("finish_reason", "reason"),
    [
        ("stop", "end_turn"),
        ("length", "max_tokens"),
        ("content_filter", "content_filtered"),
        ("tool_calls", "tool_use"),
        ("eos", "end_turn"),
    ],
)
def test_finish_reasons(finish_reason, reason):
    assert parse(upstream({"content": "a"}, finish_reason=finish_reason))[-1] == Stopped(reason)


def test_a_stop_sequence_that_the_upstream_names_is_kept():
    choice = {"index": 0, "delta": {}, "finish_reason": "stop", "stop_reason": "END"}
    data = render_event(json.dumps({"choices": [choice]}).encode()) + render_event(b"[DONE]")
    assert parse(data) == [Started(), Stopped("stop_sequence", "END")]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "slow down", "code": 429}, RateLimited),
        ({"message": "slow down", "type": "rate_limit_error"}, RateLimited),
        ({"message": "bad", "code": "400"}, UpstreamRejected),
        ({"message": "bad", "type": "invalid_request_error"}, UpstreamRejected),
        ({"message": "too long", "code": "context_length_exceeded"}, ContextTooLong),
        ({"message": "Incorrect API key at 10.0.0.1", "code": "invalid_api_key"}, UpstreamAccessDenied),
        ({"message": "internal host 10.0.0.1 died", "code": 500}, UpstreamUnavailable),
        ("plain words", UpstreamUnavailable),
        ([1], UpstreamUnavailable),
    ],
)
@pytest.mark.parametrize("reader", [ReplyParser, lambda: ChatPassing(call_id="c", model="public", wants_usage=True)])
def test_an_error_in_the_stream_is_raised(error, kind, reader):
    data = json.dumps({"error": error}).encode()
    with pytest.raises(kind) as raised:
        reader().feed(render_event(data))
    assert type(raised.value) is kind
    assert "10.0.0.1" not in raised.value.message
    with pytest.raises(kind):
        ReplyParser().whole(data)


@pytest.mark.parametrize(
    "event",
    [
        b'event: error\ndata: {"error": {"message": "bad", "code": 400}}\n\n',
        b'event: error\ndata: {"message": "bad", "code": 400}\n\n',
        b'data: {"object": "error", "message": "bad", "code": 400}\n\n',
    ],
)
@pytest.mark.parametrize("reader", [ReplyParser, lambda: ChatPassing(call_id="c", model="public", wants_usage=True)])
def test_errors_in_other_shapes_are_raised_too(event, reader):
    with pytest.raises(UpstreamRejected, match="bad"):
        reader().feed(event)


@pytest.mark.parametrize("data", [b"down", b"3"])
def test_an_error_event_may_hold_anything(data):
    with pytest.raises(UpstreamUnavailable):
        ReplyParser().feed(render_event(data, b"error"))


def test_a_finish_reason_may_be_an_error():
    with pytest.raises(UpstreamUnavailable):
        parse(upstream({"content": "a"}, finish_reason="error"))
    translation = ChatPassing(call_id="c", model="public", wants_usage=True)
    assert b'"content": "a"' in translation.feed(upstream({"content": "a"}, finish_reason="error"))
    with pytest.raises(UpstreamUnavailable):
        translation.feed(b"")


def test_half_an_emoji_from_the_upstream_is_mended():
    data = rb'{"choices":[{"delta":{"content":"\ud83d"},"finish_reason":null}]}'
    assert ReplyParser().feed(render_event(data)) == [Started(), TextDelta(0, "\ufffd")]
    ending = rb'{"choices":[{"delta":{"content":"\ud83d"},"finish_reason":"stop"}],"usage":null}'
    translation = ChatPassing(call_id="c", model="public", wants_usage=True)
    assert translation.feed(render_event(ending)) == b""
    assert chunks(translation.finish(None))[0]["choices"][0]["finish_reason"] == "stop"


def test_rarer_shapes_of_an_answer():
    message = {
        "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}, 3],
        "function_call": {"name": "f", "arguments": {"x": 1}},
    }
    choices = [{"index": 0, "message": message, "finish_reason": "function_call"}, {"index": 1, "message": message}]
    events = ReplyParser().whole(json.dumps({"id": "up", "choices": choices}).encode())
    assert events[1:3] == [TextDelta(0, "ab"), BlockEnded(0)]
    assert events[4:] == [ToolDelta(1, '{"x":1}'), BlockEnded(1), Stopped("tool_use")]


def test_an_answer_without_a_choice_is_the_upstreams_failure():
    with pytest.raises(UpstreamUnavailable):
        ReplyParser().whole(b'{"choices": []}')
    with pytest.raises(UpstreamUnavailable):
        ChatPassing(call_id="c", model="public", wants_usage=True).read(b'{"choices": [{"message"}]}', {})


def test_a_choice_may_carry_nothing():
    assert ReplyParser().feed(render_event(b'{"choices":[{"finish_reason":null}]}')) == [Started()]


def test_nothing_counts_after_the_terminator():
    late = render_event(b"no chunk")
    parser, translation = ReplyParser(), ChatPassing(call_id="c", model="public", wants_usage=True)
    data = upstream({"content": "a"}) + late
    assert parser.feed(data)[-1] == Stopped("end_turn")
    assert b"no chunk" not in translation.feed(data) + translation.finish(None)


def test_white_space_after_a_complete_call_is_ignored():
    events = parse(upstream(call(0, "a", "f", "{}"), call(1, "b", "g", "{}"), call(0, arguments=" \n")))
    assert [event.json for event in events if isinstance(event, ToolDelta)] == ["{}", "{}"]


def test_summaries_beside_plain_thinking_do_not_hide_it():
    message = {"reasoning": "hm", "reasoning_details": [{"type": "reasoning.summary", "summary": "short"}]}
    body = {"choices": [{"message": message, "finish_reason": "stop"}]}
    assert ReplyParser().whole(json.dumps(body).encode())[1] == ThinkingDelta(0, "hm")


@pytest.mark.parametrize(
    "data", [b"<html>", b"[]", b'{"choices": 3}', b'{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}']
)
def test_what_is_no_answer_is_the_upstreams_failure(data):
    parser = ReplyParser()
    with pytest.raises(UpstreamUnavailable):
        assert not any(isinstance(event, TextDelta) for event in parser.feed(render_event(data)))
        parser.feed(b"")
    with pytest.raises(UpstreamUnavailable):
        ReplyParser().whole(data)


def test_more_of_a_call_that_was_complete_is_the_upstreams_failure():
    with pytest.raises(UpstreamUnavailable):
        parse(upstream(call(0, "a", "f", "{}"), call(1, "b", "g", "{}"), call(0, arguments="x")))


def test_a_stream_without_its_terminator_is_not_complete():
    parser = ReplyParser()
    parser.feed(upstream({"content": "a"}).removesuffix(b"data: [DONE]\n\n"))
    assert not parser.is_complete


# --- the same wire on both sides ---

USAGE_CHUNK = {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}, "cost": 7}


def passing(data: bytes, wants_usage: bool, cost_nanousd: int | None = None) -> tuple[ChatPassing, bytes, bytes]:
    translation = ChatPassing(call_id="c", model="public", wants_usage=wants_usage)
    return translation, translation.feed(data), translation.finish(cost_nanousd)


def test_chunks_pass_as_they_are_and_the_end_is_held_back():
    data = upstream({"role": "assistant"}, {"content": 'say "usage": {"x":1}', "odd": [1]}, usage=USAGE_CHUNK)
    translation, passed, ending = passing(data, wants_usage=True, cost_nanousd=1_500)
    assert data.startswith(passed)
    assert [chunk["choices"][0]["delta"] for chunk in chunks(passed + ending)[:2]] == [
        {"role": "assistant"},
        {"content": 'say "usage": {"x":1}', "odd": [1]},
    ]
    assert b'finish_reason": "stop' not in passed
    assert chunks(ending)[0]["choices"][0]["finish_reason"] == "stop"
    assert b'"cost":0.0000015' in ending
    assert chunks(ending)[1]["usage"]["prompt_tokens_details"] == {"cached_tokens": 4}
    assert translation.is_complete and translation.has_started
    assert (translation.usage, translation.stop_reason) == (Usage(5, 4, 0, 0, 2), "end_turn")


def test_usage_that_the_client_did_not_ask_for_is_taken_out():
    translation, passed, ending = passing(upstream({"content": "a"}, usage=USAGE_CHUNK), wants_usage=False)
    assert b"usage" not in passed + ending
    assert [len(chunk["choices"]) for chunk in chunks(ending)] == [1]
    assert translation.usage == Usage(5, 4, 0, 0, 2)


def test_usage_in_every_chunk_is_taken_out_too_and_nulls_pass():
    first = {"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": None}], "usage": USAGE_CHUNK}
    null = {"choices": [{"index": 0, "delta": {"content": "b"}, "finish_reason": None}], "usage": None}
    data = b"".join(render_event(json.dumps(chunk).encode()) for chunk in (first, null)) + upstream()
    assert "usage" not in chunks(passing(data, wants_usage=False)[1] + render_event(b"[DONE]"))[0]
    kept = chunks(passing(data, wants_usage=True)[1] + render_event(b"[DONE]"))
    assert kept == [first | {"usage": {key: USAGE_CHUNK[key] for key in USAGE_CHUNK if key != "cost"}}, null]


def test_usage_that_comes_early_and_alone_does_not_hold_up_the_answer():
    early = render_event(json.dumps({"choices": [], "usage": USAGE_CHUNK}).encode())
    _, passed, _ = passing(early + upstream({"content": "a"}), wants_usage=True)
    assert b'"content": "a"' in passed and b"usage" not in passed


def test_what_cannot_be_read_when_it_must_be_is_the_upstreams_failure():
    with pytest.raises(UpstreamUnavailable):
        passing(render_event(b'{"usage": {"x"}}'), wants_usage=True)


def test_the_upstreams_own_cost_is_never_shown():
    assert b'"cost"' not in passing(upstream({"content": "a"}, usage=USAGE_CHUNK), wants_usage=True)[2]


@UNTIMED
@given(st.lists(st.integers(0, 10_000), max_size=20))
def test_passing_does_not_depend_on_how_the_bytes_are_cut(places):
    data = stream(ANSWER)
    bounds = [0, *sorted(place % len(data) for place in places), len(data)]
    translation = ChatPassing(call_id="c", model="public", wants_usage=True)
    passed = b"".join(translation.feed(data[bounds[i] : end]) for i, end in enumerate(bounds[1:]))
    assert chunks(passed + translation.finish(None)) == [chunk | {"model": "public"} for chunk in chunks(data)]


def test_the_public_name_stands_in_the_place_of_the_upstreams():
    said = '{"model":"m"} and "model": "m"'
    data = upstream({"content": said}, usage=USAGE_CHUNK).replace(b'{"id"', b'{"model" : "m-2026", "id"')
    _, passed, ending = passing(data, wants_usage=True)
    found = chunks(passed + ending)
    assert {chunk["model"] for chunk in found} == {"public"}
    assert found[0]["choices"][0]["delta"]["content"] == said
    translation = ChatPassing(call_id="c", model="公開", wants_usage=True)
    body = {"model": "m", "choices": [{"message": {"content": said}, "finish_reason": "stop"}]}
    translation.read(json.dumps(body).encode(), {})
    assert json.loads(translation.body(1)) == body | {"model": "公開"}


def test_a_whole_answer_may_lack_usage():
    translation = ChatPassing(call_id="c", model="public", wants_usage=True)
    body = {"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}]}
    translation.read(json.dumps(body).encode(), {})
    assert translation.usage is None
    assert json.loads(translation.body(1)) == body


def test_a_whole_answer_passes_with_our_cost():
    body = json.dumps(
        {
            "id": "x",
            "odd": 1,
            "choices": [{"message": {"content": "a"}, "finish_reason": "length"}],
            "usage": USAGE_CHUNK,
        }
    ).encode()
    translation = ChatPassing(call_id="c", model="public", wants_usage=True)
    translation.read(body, {})
    assert (translation.usage, translation.stop_reason) == (Usage(5, 4, 0, 0, 2), "max_tokens")
    assert json.loads(translation.body(3_000_000_000)) == json.loads(body) | {"usage": {**USAGE_CHUNK, "cost": 3}}


def test_both_ways_through_are_translations():
    ways: list[Translation] = [
        ChatPassing(call_id="c", model="public", wants_usage=True),
        Translated(ReplyParser(), renderer()),
    ]
    for way in ways:
        assert way.feed(upstream({"content": "a"}, usage={"prompt_tokens": 1, "completion_tokens": 1}))
        assert way.is_complete and way.usage == Usage(1, 0, 0, 0, 1)
        assert way.finish(None).endswith(b"data: [DONE]\n\n")
        assert b"error" in way.failure(Internal()) and way.keepalive().startswith(b":")
