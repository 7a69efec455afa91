"""A body read by what is known of the one before it, held against the same body read in full."""

import random
from typing import Any

import pytest

from sekisho.conversation.chain import Chain
from sekisho.conversation.kept import Conversations, Owner
from sekisho.conversation.layout import HISTORY
from sekisho.dialects.body import parse_fields
from sekisho.errors import BadRequest
from sekisho.values import Door
from tests.thorough import seeds
from tests.unit.conversation.conversations import (
    DOORS,
    EDITS,
    FORMS,
    conversation,
    damaged,
    hold_no_list,
    marked,
    marked_last,
    written,
)

SEARCHED = (b'"image', b'"document"', b'"cache_control"', b'"cachePoint"', b'"1h"', b"zzz")


def all_of(chain: Chain) -> dict[str, Any]:
    """Everything that later stages take from a chain, but how it was found."""
    return {
        "body": chain.body,
        "fields": [(name, bytes(value)) for name, value in chain.fields.items()],
        "members": list(chain.members.items()),
        "elements": chain.elements,
        "blocks": chain.blocks,
        "positions": [chain.text.positions(word) for word in SEARCHED],
        "texts": [(name, bytes(chain.member(name) or b"")) for name in chain.fields],
    }


def read_both(conversations: Conversations, owner: Owner, body: bytes) -> Chain | None:
    """The chain, after a check that the full path gives the same, or fails in the same way."""
    try:
        full = Chain(owner.door, body, parse_fields(body))
    except BadRequest as error:
        with pytest.raises(BadRequest) as found:
            conversations.read(owner, body)
        assert (found.value.message, found.value.param) == (error.message, error.param)
        return None
    chain = conversations.read(owner, body)
    assert all_of(chain) == all_of(full)
    return chain


def check_base(conversations: Conversations, owner: Owner, chain: Chain) -> None:
    base = chain.base
    if base is None:
        return
    (known,) = [kept.chain.body for kept in conversations.bodies(owner) if kept.call_id == base.call_id]
    assert chain.body.startswith(known[: base.prefix_bytes])
    assert base.suffix_bytes and chain.body.endswith(known[len(known) - base.suffix_bytes :])
    assert base.prefix_bytes + base.suffix_bytes <= min(len(known), len(chain.body))


def owner_of(door: Door) -> Owner:
    return Owner("red", "alice", door)


@pytest.mark.parametrize("door", DOORS)
@seeds(4)
def test_turns_of_a_conversation_read_as_they_do_in_full(door: Door, seed: int) -> None:
    chance = random.Random(f"{door} {seed}")
    conversations, owner = Conversations(worth_bytes=100), owner_of(door)
    body = conversation(chance, door, chance.randint(12, 25))
    form, ascii_only = chance.choice(FORMS), chance.random() < 0.5
    for number in range(12):
        sent = marked(chance, door, body) if chance.random() < 0.7 else body
        chain = read_both(conversations, owner, written(sent, form, ascii_only=ascii_only))
        assert chain is not None
        check_base(conversations, owner, chain)
        conversations.keep(owner, bytes([number]), chain)
        for edit in chance.sample(EDITS, chance.randint(1, 2)):
            edit(chance, door, body)
        if chance.random() < 0.1:
            form = chance.choice(FORMS)
    assert conversations.hits


@pytest.mark.parametrize("door", DOORS)
@seeds(3)
def test_damage_is_found_and_named_as_in_a_full_parse(door: Door, seed: int) -> None:
    chance = random.Random(f"{door} {seed}")
    conversations, owner = Conversations(worth_bytes=100), owner_of(door)
    form = chance.choice(FORMS)
    body = conversation(chance, door, 12)
    whole = written(marked(chance, door, body), form, ascii_only=False)
    conversations.keep(owner, b"whole", conversations.read(owner, whole))
    EDITS[0](chance, door, body)
    longer = written(marked(chance, door, body), form, ascii_only=False)
    for _ in range(60):
        read_both(conversations, owner, damaged(chance, damaged(chance, longer) if chance.random() < 0.3 else longer))
    hold_no_list(chance, door, body)
    read_both(conversations, owner, written(body | {"extra": "x" * 9_000}, form, ascii_only=False))


@pytest.mark.parametrize("door", DOORS)
def test_a_body_that_ends_anywhere_is_refused_as_in_a_full_parse(door: Door) -> None:
    chance = random.Random(door)
    conversations, owner = Conversations(worth_bytes=100), owner_of(door)
    body = conversation(chance, door, 12)
    conversations.keep(owner, b"whole", conversations.read(owner, written(body, FORMS[0], ascii_only=False)))
    EDITS[0](chance, door, body)
    longer = written(body, FORMS[0], ascii_only=False)
    for end in sorted(chance.sample(range(101, len(longer)), 60)):
        assert read_both(conversations, owner, longer[:end]) is None


@pytest.mark.parametrize("door", DOORS)
def test_equal_fast_hashes_change_nothing(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sekisho.conversation.chain.xxh3_64_intdigest", lambda data: 7)
    test_turns_of_a_conversation_read_as_they_do_in_full(door, 3)


@pytest.mark.parametrize("door", DOORS)
def test_a_conversation_that_only_grows_is_never_read_in_full_again(door: Door) -> None:
    chance = random.Random(door)
    conversations, owner = Conversations(worth_bytes=100), owner_of(door)
    body = conversation(chance, door, 10)
    for number in range(6):
        sent = marked_last(door, body) if number % 2 else body
        chain = read_both(conversations, owner, written(sent, FORMS[0], ascii_only=False))
        assert chain is not None
        conversations.keep(owner, bytes([number]), chain)
        EDITS[0](chance, door, body)
    assert (conversations.hits, conversations.misses) == (5, 1)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("sizes", [[3_000_000, 10, 10], [10] * 5_000])
def test_one_gigantic_block_or_thousands_of_tiny_ones_are_read_alike(door: Door, sizes: list[int]) -> None:
    conversations, owner = Conversations(worth_bytes=100), owner_of(door)
    history = [{"role": "user", "content": [{"text": "x" * size}]} for size in sizes]
    body: dict[str, Any] = {HISTORY[door]: history, "model": "m"}
    for number in range(2):
        chain = read_both(conversations, owner, written(body, FORMS[0], ascii_only=True))
        assert chain is not None and len(chain.blocks) == len(sizes) + number
        conversations.keep(owner, bytes([number]), chain)
        history.append({"role": "assistant", "content": [{"text": "more"}]})
    assert conversations.hits == 1


@pytest.mark.parametrize("door", DOORS)
@seeds(3)
def test_a_body_that_differs_in_one_byte_is_read_anew_from_there(door: Door, seed: int) -> None:
    chance = random.Random(f"{door} {seed}")
    conversations, owner = Conversations(worth_bytes=100), owner_of(door)
    first = written(conversation(chance, door, 12), FORMS[0], ascii_only=False)
    conversations.keep(owner, b"1", conversations.read(owner, first))
    for _ in range(20):
        at = chance.randrange(len(first))
        other = first[:at] + bytes([chance.choice(b'cC9"{},\xff\n')]) + first[at + 1 :]
        chain = read_both(conversations, owner, other)
        if chain is not None and chain.base is not None and other != first:
            assert chain.base.prefix_bytes <= at
            assert chain.base.suffix_bytes <= len(first) - at - 1
