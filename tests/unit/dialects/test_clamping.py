"""A request with a shorter answer: one field changes, the thinking budget follows, the rest keeps its bytes."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekisho.dialects.clamping import clamp, thinks_by_budget
from sekisho.dialects.fitting import MIN_THINKING_TOKENS
from sekisho.errors import BadRequest
from sekisho.values import Door


def clamped(door: Door, body: dict[str, Any], asked: int, most: int) -> dict[str, Any]:
    fields = msgspec.json.decode(json.dumps(body).encode(), type=dict[str, msgspec.Raw])
    written, members = clamp(door, fields, asked, most)
    found: dict[str, Any] = json.loads(written)
    assert {name: json.loads(bytes(value)) for name, value in members.items()} == found
    return found


@pytest.mark.parametrize(
    ("door", "body", "expected"),
    [
        ("openai_chat", {"max_tokens": 9}, {"max_tokens": 5}),
        ("openai_chat", {"max_completion_tokens": 9}, {"max_completion_tokens": 5}),
        ("openai_chat", {"max_tokens": 9, "max_completion_tokens": 8}, {"max_tokens": 5, "max_completion_tokens": 5}),
        ("openai_chat", {}, {"max_completion_tokens": 5}),
        ("openai_responses", {}, {"max_output_tokens": 5}),
        ("anthropic_messages", {"max_tokens": 9}, {"max_tokens": 5}),
        ("bedrock_invoke", {"max_tokens": 9}, {"max_tokens": 5}),
        ("bedrock_converse", {}, {"inferenceConfig": {"maxTokens": 5}}),
        ("bedrock_converse", {"inferenceConfig": None}, {"inferenceConfig": {"maxTokens": 5}}),
        (
            "bedrock_converse",
            {"inferenceConfig": {"maxTokens": 9, "topP": 0.5}},
            {"inferenceConfig": {"maxTokens": 5, "topP": 0.5}},
        ),
    ],
)
def test_the_length_goes_where_the_dialect_has_it(door: Door, body: dict[str, Any], expected: dict[str, Any]) -> None:
    assert clamped(door, body | {"x": [1]}, 9, 5) == expected | {"x": [1]}


@given(st.integers(2_048, 64_000), st.integers(1, 64_000), st.integers(1, 63_999))
def test_a_thinking_budget_stays_legal_and_never_grows(asked: int, budget: int, less: int) -> None:
    most = max(2_048, asked - less)
    body = {"max_tokens": asked, "thinking": {"type": "enabled", "budget_tokens": budget}}
    found = clamped("anthropic_messages", body, asked, most)["thinking"]["budget_tokens"]
    assert found <= budget
    if budget >= MIN_THINKING_TOKENS:
        assert MIN_THINKING_TOKENS <= found < most


@pytest.mark.parametrize("thinking", [{"type": "adaptive"}, {"type": "enabled", "budget_tokens": None}, None])
def test_thinking_without_a_budget_is_left_alone(thinking: Any) -> None:
    body = {"thinking": thinking}
    assert clamped("anthropic_messages", body, 9_000, 5_000) == body | {"max_tokens": 5_000}
    more = {"additionalModelRequestFields": {"thinking": thinking, "y": 1}}
    assert clamped("bedrock_converse", more, 9_000, 5_000) == more | {"inferenceConfig": {"maxTokens": 5_000}}


def test_what_cannot_be_read_is_refused_by_name() -> None:
    for body in ({"thinking": ["budget_tokens"]}, {"thinking": {"budget_tokens": "many"}}):
        with pytest.raises(BadRequest, match="thinking"):
            clamped("anthropic_messages", body, 9_000, 5_000)
    with pytest.raises(BadRequest, match="inferenceConfig"):
        clamped("bedrock_converse", {"inferenceConfig": 5}, 9_000, 5_000)


def test_who_thinks_by_a_budget() -> None:
    budget = {"type": "enabled", "budget_tokens": 2_000}
    for door, body, expected in (
        ("anthropic_messages", {"thinking": budget}, True),
        ("anthropic_messages", {"thinking": {"type": "adaptive"}}, False),
        ("bedrock_converse", {"additionalModelRequestFields": {"thinking": budget}}, True),
        ("bedrock_converse", {"thinking": budget}, False),
    ):
        fields = msgspec.json.decode(json.dumps(body).encode(), type=dict[str, msgspec.Raw])
        assert thinks_by_budget(door, fields) == expected  # type: ignore[arg-type]
