"""A shorter answer reaches servers that take the length that their client says, or none."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from sekisho.calls.call import Call, Trail
from sekisho.calls.policing import shorten
from sekisho.calls.shaping import shape
from sekisho.conversation.chain import Chain
from sekisho.dialects.body import parse_fields
from sekisho.values import Deployment, Door, Model, Quirks

ELSEWHERE = Deployment("d", "openai", "openai_chat", "http://x", "there")
MODEL = Model("here", "other", 100_000, 4_000, Quirks(), (ELSEWHERE,))


async def unread() -> bytes:
    raise AssertionError


def call(door: Door, body: dict[str, Any], model: Model) -> Call:
    content = json.dumps(body).encode()
    chain = Chain(door, content, parse_fields(content))
    one = Call(b"1" * 16, "1", door, "generate", 0, {}, unread, Trail(0))
    one.body, one.chain, one.fields = content, chain, chain.fields
    one.model, one.model_name, one.deployment, one.max_output_tokens = model, model.name, ELSEWHERE, 4_000
    return one


@pytest.mark.parametrize("asked", [{}, {"max_tokens": 9_000}, {"max_completion_tokens": 9_000}])
@pytest.mark.parametrize("most", [50, 4_000])
def test_what_goes_to_a_server_of_ones_own_states_the_length(asked: dict[str, int], most: int) -> None:
    body = {"model": "here", "messages": [{"role": "user", "content": "Hello"}]} | asked
    one = call("openai_chat", body, replace(MODEL, max_output_tokens=most))
    shorten(one)
    sent = json.loads(bytes(shape(one, "openai_chat").body))
    assert {sent.get(name) for name in asked or ("max_completion_tokens",)} == {most}
    assert one.max_output_tokens == most


def test_so_does_what_was_said_in_another_dialect() -> None:
    body = {"model": "here", "max_tokens": 4_000, "messages": [{"role": "user", "content": "Hello"}]}
    one = call("anthropic_messages", body, replace(MODEL, max_output_tokens=50))
    shorten(one)
    assert json.loads(bytes(shape(one, "openai_chat").body))["max_tokens"] == 50
