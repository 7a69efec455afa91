"""The counting rule: a quarter of the bytes, never more than the bytes of the request."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sekisho.simulator import converse, messages
from sekisho.simulator.tokens import count_tokens, text_tokens
from tests.contract.simulator.conftest import MODELS, SONNET, assistant, text, user

WORDS = st.text(min_size=1, max_size=40).filter(lambda value: bool(value.strip()))
NAMES = st.from_regex(r"[a-zA-Z0-9_-]{1,64}", fullmatch=True)


def test_a_text_counts_a_quarter_of_its_bytes() -> None:
    assert [text_tokens(value) for value in ("", "a", "abcd", "abcde", "日本語")] == [0, 1, 1, 2, 3]


@given(st.lists(WORDS, min_size=1, max_size=5), st.lists(NAMES, max_size=5, unique=True), WORDS)
def test_converse_counts_at_most_its_bytes(turns: list[str], names: list[str], system: str) -> None:
    history = [message for turn in turns for message in (user(text(turn)), assistant(text(turn)))]
    body: dict[str, Any] = {"messages": [*history, user(text())], "system": [text(system)]}
    if names:
        body["toolConfig"] = {
            "tools": [{"toolSpec": {"name": name, "inputSchema": {"json": {"type": "object"}}}} for name in names]
        }
    subject = converse.read_request(body, MODELS[0], SONNET)
    written = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    assert 0 < count_tokens(subject.request) <= len(written)


@given(st.lists(WORDS, min_size=1, max_size=8), WORDS)
def test_messages_count_at_most_their_bytes(contents: list[str], result: str) -> None:
    use = {"type": "tool_use", "id": "t", "name": "a", "input": {}}
    body = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 9,
        "tools": [{"name": "a", "input_schema": {"type": "object"}}],
        "messages": [
            *({"role": "user", "content": content} for content in contents),
            {"role": "assistant", "content": [use]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": result}]},
        ],
    }
    subject = messages.read_request(body, MODELS[0], SONNET)
    written = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    assert 0 < count_tokens(subject.request) <= len(written)
