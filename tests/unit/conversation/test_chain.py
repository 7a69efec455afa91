"""Blocks: where the parts of a body stand, held against a full parse by the standard library."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sekisho.conversation.chain import Block, Chain
from sekisho.conversation.layout import HISTORY
from sekisho.dialects.body import parse_fields
from sekisho.values import Door
from tests.unit.dialects.random_bodies import UNTIMED

DOORS: list[Door] = ["anthropic_messages", "bedrock_invoke", "bedrock_converse", "openai_chat", "openai_responses"]
TEXT = st.text(max_size=12) | st.sampled_from(['"messages":[', "},{", '"cache_control":{}', "\\u0031h", "]}"])
MARK = {"type": "ephemeral", "ttl": "1h"}


ROLE = st.sampled_from(["user", "assistant", "tool"])
MESSAGES = st.lists(
    st.fixed_dictionaries({"role": ROLE, "content": TEXT}) | st.fixed_dictionaries({"content": TEXT, "role": ROLE}),
    max_size=5,
)


@st.composite
def bodies(draw: st.DrawFn) -> tuple[Door, dict[str, Any]]:
    door = draw(st.sampled_from(DOORS))
    members: dict[str, Any] = {HISTORY[door]: draw(MESSAGES)}
    if draw(st.booleans()):
        members["model"] = draw(TEXT)
    if draw(st.booleans()):
        members["system" if door != "openai_responses" else "instructions"] = draw(TEXT)
    if draw(st.booleans()):
        members["toolConfig" if door == "bedrock_converse" else "tools"] = [{"name": draw(TEXT)}]
    names = sorted(members, reverse=draw(st.booleans()))
    return door, {name: members[name] for name in names}


def chain_of(door: Door, body: bytes) -> Chain:
    return Chain(door, body, parse_fields(body))


def parts(body: bytes, blocks: tuple[Block, ...], kind: str) -> list[Any]:
    return [json.loads(body[block.start : block.end]) for block in blocks if block.kind == kind]


@settings(UNTIMED, max_examples=60)
@given(bodies(), st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " : ")]), st.booleans())
def test_every_block_is_a_part_of_the_body(made, separators, ascii_only) -> None:
    door, members = made
    text = json.dumps(members, separators=separators, ensure_ascii=ascii_only)
    body = text.encode("utf-8", "surrogatepass") if ascii_only else text.encode("utf-8", "replace")
    blocks = chain_of(door, body).blocks
    said = json.loads(body)
    assert parts(body, blocks, "message") == said[HISTORY[door]]
    assert [block.role for block in blocks if block.kind == "message"] == [one["role"] for one in said[HISTORY[door]]]
    assert parts(body, blocks, "tools") == [said[name] for name in ("tools", "toolConfig") if name in said]
    assert parts(body, blocks, "system") == [said[name] for name in ("system", "instructions") if name in said]


@pytest.mark.parametrize("mark", [b',"cache_control":{"type":"ephemeral"}', b', "cache_control": {"ttl": "1h"}'])
def test_a_cache_mark_is_no_part_of_what_a_block_is(mark: bytes) -> None:
    plain = b'{"messages":[{"role":"user","content":[{"type":"text","text":"Hi"}]}]}'
    marked = plain.replace(b'"Hi"', b'"Hi"' + mark)
    one, other = chain_of("anthropic_messages", plain).blocks[0], chain_of("anthropic_messages", marked).blocks[0]
    assert one.fingerprint == other.fingerprint and other.end - one.end == len(mark)


def test_what_a_model_did_and_what_a_tool_gave_have_a_role_without_saying_so() -> None:
    body = json.dumps({"input": [{"type": "reasoning"}, {"type": "function_call"}, {"type": "function_call_output"}]})
    assert [block.role for block in chain_of("openai_responses", body.encode()).blocks] == [
        "assistant",
        "assistant",
        "tool",
    ]


def test_a_text_alone_is_one_message_of_the_user() -> None:
    body = b'{"input": "Hello", "model": "m"}'
    (block,) = chain_of("openai_responses", body).blocks
    assert (block.kind, block.role, body[block.start : block.end]) == ("message", "user", b'"Hello"')


@pytest.mark.parametrize("body", [b'{"messages":{}}', b'{"model":"m"}', b'{"m\\u0065ssages":[1]}', b'{"messages":[]}'])
def test_a_body_without_a_list_that_can_be_told_has_no_messages(body: bytes) -> None:
    assert chain_of("openai_chat", body).blocks == ()
