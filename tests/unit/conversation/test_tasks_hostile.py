"""Whatever a client sends, its call gets a task: nothing of a body is trusted to be as agents write it."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sekisho.conversation.chain import Chain
from sekisho.conversation.claims import read_claims
from sekisho.conversation.tasks import Sight, Tasks
from sekisho.dialects.body import parse_fields
from sekisho.values import Door

DOORS: tuple[Door, ...] = (
    "openai_chat",
    "anthropic_messages",
    "openai_responses",
    "bedrock_converse",
    "bedrock_invoke",
)
scalars = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.text(max_size=12))
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
)
texts = st.one_of(
    st.sampled_from(["You are in Plan mode", "Error: exited with code 2", "<system-reminder>", "summary"]), values
)
contents = st.one_of(
    texts, st.lists(st.dictionaries(st.sampled_from(["type", "text", "id", "toolUse"]), texts), max_size=3)
)
messages = st.lists(
    st.dictionaries(st.sampled_from(["role", "content", "type", "tool_calls", "output", "call_id"]), contents)
    | st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "tool", "system"]), "content": contents})
    | values,
    max_size=5,
)
bodies = st.dictionaries(
    st.sampled_from(["messages", "input", "system", "tools", "metadata", "max_tokens"]), messages | values
)


@pytest.mark.parametrize("door", DOORS)
@given(
    sent=st.lists(bodies, min_size=1, max_size=4), agent=st.sampled_from(["", "aider", "cline"]), named=st.booleans()
)
@settings(max_examples=40, deadline=None)
def test_every_body_gets_a_task(door: Door, sent: list[dict[str, Any]], agent: str, named: bool) -> None:
    tasks = Tasks()
    for number, one in enumerate([*sent, *sent]):
        body = json.dumps(one).encode()
        fields = parse_fields(body)
        claims = read_claims("s-1" if named else "", {b"x-codex-turn-metadata": body} if number % 2 else {}, fields)
        call_id = bytes([number])
        task = tasks.assign(Sight("o", b"ua", agent, claims, Chain(door, body, fields), call_id, number * 1_000_000))
        assert len(task.id) == 16
        tasks.ended(call_id, number * 1_000_000, error="", asked_for_tools=bool(number % 2), said=body.decode()[:200])
