"""Causes that hang on time and place, which the simulator cannot bring about: pauses, other deployments, budgets."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from sekisho.calls.caching import caching_of
from sekisho.calls.call import AttemptNote, Call, Trail
from sekisho.conversation.chain import Chain
from sekisho.conversation.prefix import Prefixes, Texts
from sekisho.conversation.tasks import Task
from sekisho.dialects.body import parse_fields
from sekisho.ledger.anchor import Prompt
from sekisho.ledger.catalog import load_catalog
from sekisho.ledger.journal import CacheBreak, Caching
from sekisho.values import Deployment, Model, Usage, VirtualKey

MODELS = {model.name: model for model in load_catalog().bedrock_models("us-east-1", "http://one", "none")}
SONNET, HAIKU = MODELS["claude-sonnet-4-5"], MODELS["claude-haiku-4-5"]
MINUTE_US = 60_000_000
READ, WRITTEN = 9_000, 1_000
COLD = Usage(input_tokens=10, cache_write_5m_tokens=READ + WRITTEN, output_tokens=5)
WARM = Usage(input_tokens=10, cache_read_tokens=READ + WRITTEN, cache_write_5m_tokens=WRITTEN, output_tokens=5)


def body(turns: int) -> bytes:
    texts = ["x" * 4_000, *(f"turn {number}" for number in range(turns))]
    messages: list[Any] = [{"role": "user", "content": [{"type": "text", "text": text}]} for text in texts]
    messages[-1]["content"][0]["cache_control"] = {"type": "ephemeral"}
    return json.dumps({"model": "m", "messages": messages}).encode()


class Turns:
    """Turns of one task; each begins a minute after the one before has begun, and takes a second."""

    def __init__(self) -> None:
        self._gate: Any = SimpleNamespace(prefixes=Prefixes(), prefix_texts=Texts())
        self._number = 0
        self._at_us = 0

    def turn(
        self,
        usage: Usage,
        *,
        model: Model = SONNET,
        deployment: Deployment | None = None,
        after_us: int = MINUTE_US,
        took_us: int = 1_000_000,
        **changes: Any,
    ) -> Caching | None:
        text = body(self._number)
        self._at_us += after_us
        deployment = deployment or model.deployments[0]
        note = AttemptNote(deployment, 0, self._at_us, self._at_us + took_us, 200, usage=usage)
        self._number += 1
        fields = parse_fields(text)
        made: dict[str, Any] = {
            "id": bytes([self._number]),
            "id_text": "",
            "door": "anthropic_messages",
            "operation": "generate",
            "started_at": 0,
            "headers": {},
            "read_body": None,
            "trail": Trail(0, attempts=[note]),
            "key": VirtualKey("alice", "default", b"", team_id="red"),
            "chain": Chain("anthropic_messages", text, fields),
            "fields": fields,
            "task": Task(b"task", turn="agent"),
            "model": model,
            "prompt": Prompt(20_000),
        }
        return caching_of(self._gate, Call(**made | changes))


@pytest.fixture
def turns() -> Turns:
    begun = Turns()
    begun.turn(COLD)
    return begun


def broken(told: Caching | None) -> CacheBreak:
    assert told is not None and told.broke is not None
    return told.broke


def test_a_turn_that_is_served_is_no_break(turns: Turns) -> None:
    told = turns.turn(WARM)
    assert told is not None and told.broke is None and told.saved_nanousd > 0


def test_a_pause_longer_than_the_cache_lives(turns: Turns) -> None:
    broke = broken(turns.turn(COLD, after_us=7 * MINUTE_US))
    assert (broke.cause, broke.detail, broke.lost_tokens) == ("expired", "6 min > 5 min", READ + WRITTEN)


def test_an_hours_lifetime_is_not_over_after_seven_minutes() -> None:
    turns = Turns()
    turns.turn(COLD, prompt=Prompt(20_000, "1h"))
    assert broken(turns.turn(COLD, after_us=7 * MINUTE_US, prompt=Prompt(20_000, "1h"))).cause == "unknown"


def test_another_deployment_is_our_own_doing(turns: Turns) -> None:
    other = replace(SONNET.deployments[0], id="other", account="another account")
    assert broken(turns.turn(COLD, deployment=other)).cause == "rerouted"


def test_a_cheaper_model_by_a_budget_is_told_from_one_that_was_asked_for(turns: Turns) -> None:
    stepped = broken(turns.turn(COLD, model=HAIKU, asked_model="claude-sonnet-4-5"))
    assert (stepped.cause, stepped.detail) == ("stepped_down", "claude-sonnet-4-5 -> claude-haiku-4-5")
    asked = Turns()
    asked.turn(COLD)
    assert broken(asked.turn(COLD, model=HAIKU)).cause == "model_changed"


def test_a_turn_that_began_before_the_other_had_ended_could_not_be_served() -> None:
    turns = Turns()
    turns.turn(COLD, took_us=5 * MINUTE_US)
    told = turns.turn(COLD)
    assert told is not None and told.broke is None


def test_the_providers_rounding_is_not_a_break(turns: Turns) -> None:
    nearly = replace(WARM, cache_read_tokens=READ + WRITTEN - 100, input_tokens=110)
    told = turns.turn(nearly)
    assert told is not None and told.broke is None


def test_what_nobody_here_can_explain_is_said_to_be_unknown(turns: Turns) -> None:
    assert broken(turns.turn(COLD)).cause == "unknown"


def test_without_a_task_only_savings_are_told(turns: Turns) -> None:
    told = turns.turn(COLD, task=Task())
    assert told is not None and told.broke is None and told.saved_nanousd < 0


def test_an_answer_without_usage_says_nothing(turns: Turns) -> None:
    note = AttemptNote(SONNET.deployments[0], 0, 0, is_metered=False)
    assert turns.turn(COLD, trail=Trail(0, attempts=[note])) is None
    assert turns.turn(COLD, trail=Trail(0)) is None
