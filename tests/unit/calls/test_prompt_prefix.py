"""No prefix is broken here: what a provider could serve from its cache of a client's turn, it can serve of ours.

Turns of random conversations go through every door to every wire, with the marks that agents set and move. The prompts
that go upstream are read by the simulator, and by a plain reading of their JSON.
"""

import json
import random
from typing import Any

import pytest

from sekisho.calls.call import Agent, Call, Trail
from sekisho.calls.shaping import shape
from sekisho.clock import SystemClock, id_text, new_id
from sekisho.conversation.kept import Conversations, Owner
from sekisho.ledger.catalog import load_catalog
from sekisho.simulator import converse, messages
from sekisho.simulator.prompt_cache import CacheKey, PromptCache
from sekisho.simulator.tokens import CountedBlock, counted_blocks
from sekisho.values import Door, Usage, VirtualKey, Wire
from tests.thorough import seeds
from tests.unit.conversation.conversations import FORMS, conversation, exchange, mark_turn, written

TURNS = 7
MODEL_ID = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
(CLAUDE,) = [
    model
    for model in load_catalog().bedrock_models("us-east-1", "http://127.0.0.1:1", "none")
    if model.name == "claude-sonnet-4-5"
]
DOORS: tuple[Door, ...] = (
    "anthropic_messages",
    "bedrock_invoke",
    "bedrock_converse",
    "openai_chat",
    "openai_responses",
)
WIRES: tuple[Wire, ...] = ("bedrock_converse", "anthropic_messages", "openai_chat")
PAIRS = [(door, wire) for door in DOORS for wire in WIRES]
PAIRS += [("anthropic_messages", "bedrock_invoke"), ("bedrock_invoke", "bedrock_invoke")]
MARK = {"type": "ephemeral"}


def turns(door: Door, chance: random.Random) -> list[bytes]:
    """Bodies of a conversation that grows; marks on the system text, on the last message and the one before it."""
    body = conversation(chance, door, chance.randint(1, 4))
    body.pop("extra")
    history = body["input" if door == "openai_responses" else "messages"]
    if door == "bedrock_invoke":
        body["anthropic_version"] = "bedrock-2023-05-31"
    for turn in history:  # marks come and go, and a client that marks writes its text as a list all along
        if door in ("anthropic_messages", "bedrock_invoke", "openai_chat") and isinstance(turn.get("content"), str):
            turn["content"] = [{"type": "text", "text": turn["content"]}] if turn["role"] != "tool" else turn["content"]
    form, ascii_only, made = chance.choice(FORMS), chance.random() < 0.5, []
    for _ in range(TURNS):
        made.append(written(with_marks(door, body), form, ascii_only=ascii_only))
        new = exchange(chance, door, 1000 + len(history))
        for turn in new:
            if door == "openai_chat" and isinstance(turn["content"], str) and turn["role"] == "user":
                turn["content"] = [{"type": "text", "text": turn["content"]}]
        history += new
    return made


def with_marks(door: Door, body: dict[str, Any]) -> dict[str, Any]:
    marked: dict[str, Any] = json.loads(json.dumps(body))
    if door == "openai_responses":
        return marked  # has no marks
    if isinstance(marked.get("system"), list):
        if door == "bedrock_converse":
            marked["system"].append({"cachePoint": {"type": "default"}})
        else:
            marked["system"][-1]["cache_control"] = MARK
    users = [turn for turn in marked["messages"] if turn["role"] != "assistant"]
    for turn in users[-2:]:
        mark_turn(door, turn, MARK)
    return marked


class Gateway:
    """What Sekisho sends upstream for the turns of one key, read by what is known of the turns before."""

    def __init__(self, door: Door, wire: Wire) -> None:
        self._owner = Owner("red", "alice", door)
        self._wire = wire
        self._conversations = Conversations(worth_bytes=100)

    def send(self, body: bytes) -> bytes:
        chain = self._conversations.read(self._owner, body)
        call_id = new_id(SystemClock().now_us())
        call = Call(
            id=call_id,
            id_text=id_text(call_id),
            door=self._owner.door,
            operation="generate",
            started_at=0,
            headers={},
            read_body=None,  # type: ignore[arg-type]
            trail=Trail(0),
            agent=Agent(),
            key=VirtualKey("alice", "default", b"", team_id="red"),
            body=body,
            fields=chain.fields,
            chain=chain,
            model_name="claude-sonnet-4-5",
            model=CLAUDE,
            max_output_tokens=900,
            deployment=CLAUDE.deployments[0],
        )
        sent = bytes(shape(call, self._wire).body)
        self._conversations.keep(self._owner, call_id, chain)
        self._conversations.settle(self._owner, call_id, chain)
        return sent


def plain(body: bytes) -> tuple[list[str], list[int]]:
    """The parts of a prompt as JSON text without marks, in the order of a provider, and after which of them a mark
    stands."""
    said = json.loads(body)
    parts: list[str] = []
    marks: list[int] = []

    def add(value: Any) -> None:
        if isinstance(value, dict) and "cachePoint" in value:
            marks.append(len(parts))
            return
        is_marked = isinstance(value, dict) and bool(value.pop("cache_control", None))
        parts.append(json.dumps(value))
        if is_marked:
            marks.append(len(parts))

    tools = said.get("tools") or said.get("toolConfig", {}).get("tools") or []
    system = said.get("system") or []
    for one in [*tools, *([system] if isinstance(system, str) else system)]:
        add(one)
    for message in said["messages"]:
        content, is_marked = message.pop("content"), bool(message.pop("cache_control", None))
        parts.append(json.dumps(message))
        # OpenAI's form knows two ways to write one text; a model reads the same
        for part in [{"type": "text", "text": content}] if isinstance(content, str) else content or []:
            add(part)
        if is_marked:
            marks.append(len(parts))
    return parts, marks


def blocks(wire: Wire, body: bytes) -> list[CountedBlock]:
    """The prompt as the simulator reads it, which has a parser of its own."""
    said = json.loads(body)
    if wire == "bedrock_converse":
        return counted_blocks(converse.read_request(said, CLAUDE, MODEL_ID).request)
    said.pop("model", None)
    said.pop("stream", None)
    said.setdefault("anthropic_version", "bedrock-2023-05-31")
    return counted_blocks(messages.read_request(said, CLAUDE, MODEL_ID).request)


class Provider:
    """A prompt cache for one account and model."""

    def __init__(self) -> None:
        self._cache = PromptCache(SystemClock())

    def usage(self, prompt: list[CountedBlock]) -> Usage:
        return self._cache.read_and_write(CacheKey("1", "us-east-1", MODEL_ID), prompt, 1)


@seeds(2)
@pytest.mark.parametrize(("door", "wire"), PAIRS)
def test_what_stands_before_a_mark_stays_what_it_was(door: Door, wire: Wire, seed: int) -> None:
    gateway = Gateway(door, wire)
    before: list[str] = []
    for body in turns(door, random.Random(f"{door} {wire} {seed}")):
        parts, marks = plain(gateway.send(body))
        assert parts[: len(before)] == before
        # providers that cache by themselves hang on all of a prompt, others on what stands before its last mark
        before = parts if wire == "openai_chat" or not marks else parts[: marks[-1]]
        assert before and (wire == "openai_chat" or door == "openai_responses" or marks)


@seeds(2)
@pytest.mark.parametrize(("door", "wire"), [pair for pair in PAIRS if pair[1] != "openai_chat"])
def test_the_cache_serves_all_that_the_turn_before_had_in_it(door: Door, wire: Wire, seed: int) -> None:
    if door == "openai_responses":
        return  # its clients have no marks to set: nothing is cached, here or there
    gateway, provider = Gateway(door, wire), Provider()
    cached = 0
    for body in turns(door, random.Random(f"{door} {wire} {seed}")):
        usage = provider.usage(blocks(wire, gateway.send(body)))
        assert usage.cache_read_tokens == cached
        cached = usage.cache_read_tokens + usage.cache_write_5m_tokens
    assert cached > 0


SPOKEN: list[tuple[Door, Wire]] = [
    ("anthropic_messages", "bedrock_invoke"),
    ("anthropic_messages", "anthropic_messages"),
    ("bedrock_invoke", "bedrock_invoke"),
    ("bedrock_converse", "bedrock_converse"),
]


@seeds(2)
@pytest.mark.parametrize(("door", "wire"), SPOKEN)
def test_the_hits_are_those_that_the_client_would_have_had_without_us(door: Door, wire: Wire, seed: int) -> None:
    gateway, through, direct = Gateway(door, wire), Provider(), Provider()
    for body in turns(door, random.Random(f"{door} {wire} {seed}")):
        ours, own = blocks(wire, gateway.send(body)), blocks(wire, body)
        assert through.usage(ours) == direct.usage(own)
