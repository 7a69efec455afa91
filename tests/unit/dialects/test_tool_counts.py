"""Which tools an answer called: the same whatever way it takes, whole, in pieces and broken off."""

import json
from collections import Counter
from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekisho.dialects import anthropic_messages, openai_chat
from sekisho.dialects.bedrock import converse, invoke_reply
from sekisho.dialects.ending import EndedByClamp
from sekisho.dialects.openai_chat import ChatPassing
from sekisho.dialects.passing import ConverseToConverse, InvokeToInvoke, InvokeToMessages, MessagesToMessages
from sekisho.dialects.tool_counts import MOST_NAMES, NAME_BYTES, count_tool
from sekisho.dialects.translation import Translated, Translation
from tests.unit.dialects.wire import CUTS, claude_frames, claude_sse, compact, converse_frames, pieces

Part = tuple[str, str]  # a tool's name, or nothing, and what is said
Wire = tuple[bytes, bytes]  # a stream, and the same answer whole
NAMES = ("", "Read", "Write", "mcp__git__log", "検索")
ANSWERS = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(("hi", '"tool_use"', ""))), max_size=9)


def claude(parts: list[Part], wrap: Callable[..., bytes]) -> Wire:
    events: list[dict[str, Any]] = [{"type": "message_start", "message": {"id": "m", "content": [], "usage": {}}}]
    blocks: list[dict[str, Any]] = []
    for index, (name, text) in enumerate(parts):
        if name:
            block = {"type": "tool_use", "id": f"t{index}", "name": name, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps({"x": text})}
        else:
            block, delta = {"type": "text", "text": ""}, {"type": "text_delta", "text": text}
        blocks.append(block | ({} if name else {"text": text}))
        events += [
            {"type": "content_block_start", "index": index, "content_block": block},
            {"type": "content_block_delta", "index": index, "delta": delta},
            {"type": "content_block_stop", "index": index},
        ]
    usage = {"input_tokens": 1, "output_tokens": 1}
    events.append({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": usage})
    events.append({"type": "message_stop"})
    return wrap(events), compact({"id": "m", "content": blocks, "stop_reason": "tool_use", "usage": usage})


def bedrock(parts: list[Part]) -> Wire:
    events: list[tuple[str, dict[str, Any]]] = [("messageStart", {"role": "assistant"})]
    blocks: list[dict[str, Any]] = []
    for index, (name, text) in enumerate(parts):
        at = {"contentBlockIndex": index}
        if name:
            tool = {"toolUseId": f"t{index}", "name": name}
            events.append(("contentBlockStart", at | {"start": {"toolUse": tool}}))
            events.append(("contentBlockDelta", at | {"delta": {"toolUse": {"input": json.dumps({"x": text})}}}))
            blocks.append({"toolUse": tool | {"input": {"x": text}}})
        else:
            events.append(("contentBlockDelta", at | {"delta": {"text": text}}))
            blocks.append({"text": text})
        events.append(("contentBlockStop", at))
    usage = {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}
    events += [("messageStop", {"stopReason": "tool_use"}), ("metadata", {"usage": usage})]
    whole = {"output": {"message": {"content": blocks}}, "stopReason": "tool_use", "usage": usage}
    return converse_frames(events), compact(whole)


def chat(parts: list[Part], *, repeats_names: bool = False, numbers: bool = True) -> Wire:
    deltas: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    for name, text in parts:
        if not name:
            deltas.append({"content": text})
            continue
        number = {"index": len(calls)} if numbers else {}
        call: dict[str, Any] = {
            "id": f"t{len(calls)}",
            "type": "function",
            "function": {"name": name, "arguments": '{"x":'},
        }
        rest: dict[str, Any] = {"arguments": json.dumps(text) + "}"}
        again = call | {"function": rest | {"name": name}} if repeats_names else {"function": rest}
        if numbers:
            deltas += [{"tool_calls": [number | call]}, {"tool_calls": [number | again]}]
        else:  # each in one piece
            deltas.append({"tool_calls": [call | {"function": {"name": name, "arguments": "{}"}}]})
        calls.append(call | {"function": {"name": name, "arguments": "{}"}})
    chunks: list[dict[str, Any]] = [{"id": "c", "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    chunks.append({"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
    chunks.append({"id": "c", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}})
    stream = b"".join(b"data: %b\n\n" % compact(chunk) for chunk in chunks) + b"data: [DONE]\n\n"
    message = {"role": "assistant", "content": "".join(text for name, text in parts if not name), "tool_calls": calls}
    whole = {"id": "c", "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}], "usage": {}}
    return stream, compact(whole)


def translated(parser: Any) -> Translation:
    return Translated(parser, anthropic_messages.ReplyRenderer("1", "m"))


WAYS: dict[str, tuple[Callable[[], Translation], Callable[[list[Part]], Wire]]] = {
    "messages pass": (lambda: MessagesToMessages("1"), lambda parts: claude(parts, claude_sse)),
    "messages": (lambda: translated(anthropic_messages.ReplyParser()), lambda parts: claude(parts, claude_sse)),
    "invoke to messages": (lambda: InvokeToMessages("1"), lambda parts: claude(parts, claude_frames)),
    "invoke passes": (InvokeToInvoke, lambda parts: claude(parts, claude_frames)),
    "invoke": (lambda: translated(invoke_reply.ReplyParser()), lambda parts: claude(parts, claude_frames)),
    "converse passes": (ConverseToConverse, bedrock),
    "converse": (lambda: translated(converse.ReplyParser()), bedrock),
    "chat passes": (lambda: ChatPassing(call_id="1", model="m", wants_usage=True), chat),
    "chat": (lambda: translated(openai_chat.ReplyParser()), chat),
    "chat that repeats names": (
        lambda: ChatPassing(call_id="1", model="m", wants_usage=True),
        lambda parts: chat(parts, repeats_names=True),
    ),
    "chat without numbers": (
        lambda: ChatPassing(call_id="1", model="m", wants_usage=True),
        lambda parts: chat(parts, numbers=False),
    ),
}


@pytest.mark.parametrize("way", WAYS)
@given(ANSWERS, CUTS)
def test_every_tool_of_an_answer_is_counted_whatever_way_it_takes(way: str, parts: list[Part], cuts: list[int]) -> None:
    make, write = WAYS[way]
    stream, whole = write(parts)
    called = Counter(name for name, _ in parts if name)
    streamed, at_once = make(), make()
    for piece in pieces(stream, cuts):
        streamed.feed(piece)
    at_once.read(whole, {})
    assert (streamed.tools, at_once.tools) == (called, called)


@pytest.mark.parametrize("way", WAYS)
def test_a_call_that_broke_off_in_a_tool_call_has_called_it(way: str) -> None:
    make, write = WAYS[way]
    stream, _ = write([("", "hi"), ("Read", "x"), ("Write", "y")])
    broken = make()
    for piece in islice(pieces(stream, range(0, len(stream), 7)), None):
        broken.feed(piece)
        if broken.tools:
            break
    assert broken.tools == {"Read": 1}


def test_a_tool_call_that_the_clamp_left_out_was_not_called() -> None:
    stream, _ = claude([("Read", "x"), ("Write", "y")], claude_sse)
    cut = stream[: stream.rfind(b"event: content_block_delta")]
    ending = b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"max_tokens"}}\n\n'
    way = EndedByClamp(anthropic_messages.ReplyParser(), anthropic_messages.ReplyRenderer("1", "m"), "The end.")
    way.feed(cut)
    assert way.tools == {"Read": 1, "Write": 1}
    way.feed(ending)
    assert way.tools == {"Read": 1}


@pytest.mark.parametrize("said", [b'{"type":"tool_use","name":1}', b'{"type":"tool_use","name":["x"]}', b'"tool_use"'])
def test_what_cannot_be_read_passes_and_is_not_counted(said: bytes) -> None:
    event = b'{"type":"content_block_start","index":0,"content_block":%b}' % said
    way = MessagesToMessages("1")
    assert event in way.feed(b"event: content_block_start\ndata: %b\n\n" % event)
    assert way.tools == {}


@given(st.lists(st.text(max_size=200) | st.just("x" * 10_000), max_size=40))
def test_counts_stay_short_and_lose_no_call(names: list[str]) -> None:
    counts: dict[str, int] = {}
    for name in names:
        count_tool(counts, name)
    assert sum(counts.values()) == len(names)
    assert len(counts) <= MOST_NAMES + 1
    for name in counts:
        assert len(name.encode()) <= NAME_BYTES and (name.isprintable() and not set(name) & set('"\\'))
    text = json.dumps(counts, ensure_ascii=False, separators=(",", ":"))
    assert len(text.encode()) <= 960 and json.loads(text) == counts  # a name of the ledger has 1,000 characters


def test_five_hundred_calls_of_as_many_tools_fit_into_a_row() -> None:
    counts: dict[str, int] = {}
    for number in range(500):
        count_tool(counts, f"{number:03}" + "x" * 10_000)
    assert counts.pop("") == 500 - MOST_NAMES
    assert list(counts) == [f"{number:03}".ljust(NAME_BYTES, "x") for number in range(MOST_NAMES)]
