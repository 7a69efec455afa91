"""A conversation reads the same through every door, and nothing that is sent can break the reading."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekisho.dialects import anthropic_messages, openai_chat, openai_responses
from sekisho.dialects.bedrock import converse, invoke_reply
from sekisho.dialects.exchange import (
    BlockEnded,
    Event,
    Metered,
    Started,
    Stopped,
    TextDelta,
    ThinkingDelta,
    ToolDelta,
    ToolStarted,
)
from sekisho.record.conversation import (
    Attachment,
    Thought,
    ToolCall,
    ToolOutput,
    Turn,
    Unreadable,
    Words,
    read_answer,
    read_request,
    text_of,
)
from sekisho.values import Usage
from tests.contract.store.test_content import recorded_tasks

PNG = "iVBORw0KGgo="
CALL = ToolCall("call_1", "read_file", '{"path":"計画.md"}')
TURNS = (
    Turn("system", (Words("Be brief."),)),
    Turn(
        "human",
        (
            Words("読んで"),
            Attachment("image", "png", "", 8, "4c4b6a3be1314ab86138bef4314dde022e600960d8689a2c8f8631802d20dab6"),
        ),
    ),
    Turn("agent", (Words("I look."), CALL)),
    Turn("tool", (ToolOutput("call_1", "the plan", False),)),
)
ARGUMENTS = {"path": "計画.md"}
BODIES: dict[Any, dict[str, Any]] = {
    "openai_chat": {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "読んで"},
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
                ],
            },
            {
                "role": "assistant",
                "content": "I look.",
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "read_file", "arguments": CALL.arguments},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "the plan"},
        ],
    },
    "openai_responses": {
        "model": "m",
        "instructions": "Be brief.",
        "input": [
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "読んで"},
                    {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"},
                ],
            },
            {"role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
            {"type": "function_call", "call_id": "call_1", "name": "read_file", "arguments": CALL.arguments},
            {"type": "function_call_output", "call_id": "call_1", "output": "the plan"},
        ],
    },
    "anthropic_messages": {
        "model": "m",
        "max_tokens": 9,
        "system": "Be brief.",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "読んで"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "I look."},
                    {"type": "tool_use", "id": "call_1", "name": "read_file", "input": ARGUMENTS},
                ],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "the plan"}]},
        ],
    },
    "bedrock_converse": {
        "system": [{"text": "Be brief."}],
        "messages": [
            {"role": "user", "content": [{"text": "読んで"}, {"image": {"format": "png", "source": {"bytes": PNG}}}]},
            {
                "role": "assistant",
                "content": [
                    {"text": "I look."},
                    {"toolUse": {"toolUseId": "call_1", "name": "read_file", "input": ARGUMENTS}},
                ],
            },
            {
                "role": "user",
                "content": [{"toolResult": {"toolUseId": "call_1", "content": [{"text": "the plan"}]}}],
            },
        ],
    },
}
BODIES["bedrock_invoke"] = {name: value for name, value in BODIES["anthropic_messages"].items() if name != "model"} | {
    "anthropic_version": "bedrock-2023-05-31"
}
RENDERERS: dict[Any, Callable[[], Any]] = {
    "openai_chat": lambda: openai_chat.ReplyRenderer(call_id="c", model="m", created=1, wants_usage=True),
    "openai_responses": lambda: openai_responses.ReplyRenderer(call_id="c", model="m", created=1, origins={}),
    "anthropic_messages": lambda: anthropic_messages.ReplyRenderer("c", "m"),
    "bedrock_converse": converse.ReplyRenderer,
    "bedrock_invoke": lambda: invoke_reply.ReplyRenderer("c", "m"),
}
EVENTS: list[Event] = [
    Started("x"),
    ThinkingDelta(0, "Hm, "),
    ThinkingDelta(0, "考える"),
    BlockEnded(0),
    TextDelta(1, "I "),
    TextDelta(1, "look."),
    BlockEnded(1),
    ToolStarted(2, "call_1", "read_file"),
    ToolDelta(2, '{"path":'),
    ToolDelta(2, '"計画.md"}'),
    BlockEnded(2),
    Stopped("tool_use"),
    Metered(Usage(10, output_tokens=5)),
]
ANSWER = (Turn("agent", (Thought("Hm, 考える"), Words("I look."), CALL)),)


def joined(turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
    """With neighbours of the same speaker as one: where a dialect writes a turn in several items."""
    found: list[Turn] = []
    for turn in turns:
        if found and found[-1].speaker == turn.speaker:
            found[-1] = Turn(turn.speaker, (*found[-1].parts, *turn.parts))
        else:
            found.append(turn)
    return tuple(found)


def plain(turns: tuple[Turn, ...]) -> object:
    """Arguments of tools as values: doors write the same JSON with other spaces."""
    shown = json.loads(msgspec.json.encode(joined(turns)))
    for turn in shown:
        for part in turn["parts"]:
            if part["type"] == "tool_call":
                part["arguments"] = json.loads(part["arguments"])
    return shown


@pytest.mark.parametrize("door", BODIES)
def test_a_request_reads_the_same_through_every_door(door):
    assert plain(read_request(door, json.dumps(BODIES[door]).encode())) == plain(TURNS)


@pytest.mark.parametrize("door", RENDERERS)
@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_reads_the_same_through_every_door(door, stream):
    renderer = RENDERERS[door]()
    written = renderer.events(EVENTS) + renderer.finish(7) if stream else renderer.whole(EVENTS, 7)
    assert plain(read_answer(door, written, stream=stream)) == plain(ANSWER)


@pytest.mark.parametrize("door", RENDERERS)
def test_of_a_broken_stream_everything_that_came_is_read(door):
    written = RENDERERS[door]().events(EVENTS[:6])
    assert read_answer(door, written, stream=True) == (Turn("agent", (Thought("Hm, 考える"), Words("I look."))),)


def test_everything_that_real_agents_sent_is_readable():
    for door, bodies in recorded_tasks().values():
        for body in bodies:
            turns = read_request(door, json.dumps(body).encode())
            assert not [part for turn in turns for part in turn.parts if isinstance(part, Unreadable)]


@given(
    st.sampled_from(sorted(BODIES)), st.binary(max_size=60) | st.just(b'{"messages":[1,{"role":"user"}],"input":{}}')
)
def test_nothing_that_is_sent_breaks_the_reading(door, data):
    for turns in (
        read_request(door, data),
        read_answer(door, data, stream=True),
        read_answer(door, data, stream=False),
    ):
        assert isinstance("".join(text_of(turns)), str)
