"""A turn that goes on from an earlier one goes upstream, and is bounded, exactly as if it were read in full."""

import random
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, cast

import pytest
from msgspec.structs import replace

from sekisho.calls.call import Call, Trail
from sekisho.calls.ceiling import keep_anchor, measure
from sekisho.calls.gate import Gate
from sekisho.calls.shaping import shape, wire_of
from sekisho.conversation.chain import Chain
from sekisho.conversation.kept import Conversations
from sekisho.dialects import anthropic_messages, openai_chat
from sekisho.dialects.body import parse_fields
from sekisho.errors import BadRequest
from sekisho.ledger.catalog import load_catalog
from sekisho.upstream.payload import Payload
from sekisho.values import Door, Model, VirtualKey, Wire
from tests.thorough import seeds
from tests.unit.conversation.conversations import (
    DOORS,
    EDITS,
    FORMS,
    conversation,
    marked,
    marked_last,
    written,
)

MODELS = {model.name: model for model in load_catalog().bedrock_models("us-east-1", "http://127.0.0.1:1", "none")}
WIRES: tuple[Wire, ...] = ("bedrock_converse", "anthropic_messages", "openai_chat")
ALICE = VirtualKey("alice", "default", b"digest", team_id="red")


@dataclass
class Parts:
    """What the functions use of a gate."""

    conversations: Conversations = field(default_factory=lambda: Conversations(worth_bytes=100))


async def nothing() -> bytes:
    return b""


def call_of(chain: Chain, number: int, model: Model) -> Call:
    return Call(
        id=bytes([number]),
        id_text=str(number),
        door=chain.door,
        operation="generate",
        started_at=0,
        headers={},
        read_body=nothing,
        trail=Trail(0),
        key=ALICE,
        body=chain.body,
        fields=chain.fields,
        chain=chain,
        model_name=model.name,
        model=model,
        deployment=model.deployments[0],
    )


def sent(call: Call, wire: Wire | None = None) -> tuple[Any, ...]:
    """What goes upstream, with its hash; or why nothing does."""
    try:
        body = shape(call, wire or wire_of(call.door, call.chosen_deployment, call.known_model.family)).body
    except BadRequest as error:
        return error.message, error.param
    hashed = body.sha256_hex() if isinstance(body, Payload) else sha256(body).hexdigest().encode()
    assert hashed == sha256(bytes(body)).hexdigest().encode()
    return bytes(body), hashed


def check_turn(parts: Parts, call: Call, known_tokens: int) -> None:
    """Send it both ways, bound it both ways, and let it be settled."""
    gate = cast(Gate, parts)
    full = replace(call, chain=Chain(call.door, call.body, parse_fields(call.body)))
    full = replace(full, fields=full.chain.fields)
    assert sent(call) == sent(full)
    for other in WIRES:
        assert sent(call, other) == sent(full, other)
    if call.door in ("anthropic_messages", "openai_chat"):  # to servers that speak the same
        same: Wire = "openai_chat" if call.door == "openai_chat" else "anthropic_messages"
        pass_request = openai_chat.pass_request if call.door == "openai_chat" else anthropic_messages.pass_request
        model = call.known_model
        whole = pass_request(call.body, model.deployments[0].upstream_model, max_output_tokens=model.max_output_tokens)
        assert sent(call, same)[0] == whole
    prompt, in_full = measure(gate, call), measure(gate, full)
    assert (prompt.tokens, prompt.longest_ttl, prompt.is_anchored) == (
        in_full.tokens,
        in_full.longest_ttl,
        in_full.is_anchored,
    )
    parts.conversations.keep(call.owner, call.id, call.chain)
    keep_anchor(gate, replace(call, prompt=prompt), known_tokens)


@pytest.mark.parametrize("model", ["claude-sonnet-4-5", "nova-pro"])
@pytest.mark.parametrize("door", DOORS)
@seeds(3)
def test_every_turn_goes_upstream_as_if_it_were_read_in_full(door: Door, model: str, seed: int) -> None:
    chance = random.Random(f"{door} {model} {seed}")
    parts = Parts()
    body = conversation(chance, door, chance.randint(24, 34))
    form, ascii_only = chance.choice(FORMS), chance.random() < 0.5
    for number in range(12):
        turn = chance.choice((body, marked_last(door, body), marked(chance, door, body)))
        text = written(turn, form, ascii_only=ascii_only)
        call = call_of(Chain(door, b"", {}), number, MODELS[model])
        chain = parts.conversations.read(call.owner, text)
        check_turn(parts, replace(call, body=text, fields=chain.fields, chain=chain), len(text) // 4)
        for edit in chance.sample(EDITS, chance.randint(1, 2)):
            edit(chance, door, body)
    assert parts.conversations.hits


@pytest.mark.parametrize("door", ["openai_chat", "anthropic_messages", "bedrock_converse"])
def test_a_conversation_that_grows_is_signed_from_where_it_was(door: Door) -> None:
    chance = random.Random(door)
    parts, model = Parts(), MODELS["claude-sonnet-4-5"]
    body = conversation(chance, door, 40)
    for number in range(4):
        text = written(marked_last(door, body) if door != "openai_chat" else body, FORMS[0], ascii_only=False)
        call = call_of(Chain(door, b"", {}), number, model)
        chain = parts.conversations.read(call.owner, text)
        call = replace(call, body=text, fields=chain.fields, chain=chain)
        payload = shape(call, wire_of(door, call.chosen_deployment, model.family)).body
        assert isinstance(payload, Payload)
        hashed = payload.sha256_hex()
        assert hashed == sha256(bytes(payload)).hexdigest().encode()
        if number:
            assert payload.hashed_bytes < len(text) // 4
        check_turn(parts, call, len(text) // 4)
        EDITS[0](chance, door, body)
