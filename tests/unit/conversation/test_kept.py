"""What is kept of conversations: within its bound, of its own team and key, one body per conversation."""

import json

from sekisho.conversation.chain import Chain
from sekisho.conversation.kept import Conversations, Owner

ALICE = Owner("red", "alice", "anthropic_messages")
BOB = Owner("red", "bob", "anthropic_messages")
CHARLIE = Owner("blue", "alice", "anthropic_messages")  # of another team


def body(*texts: str) -> bytes:
    messages = [{"role": "user", "content": text} for text in texts]
    return json.dumps({"model": "m", "messages": messages, "tools": []}, separators=(",", ":")).encode()


def keep(conversations: Conversations, owner: Owner, call_id: bytes, text: bytes) -> Chain:
    chain = conversations.read(owner, text)
    conversations.keep(owner, call_id, chain)
    conversations.settle(owner, call_id, chain)
    return chain


def test_the_owner_used_longest_ago_is_forgotten_first() -> None:
    conversations = Conversations(most_bytes=3_000, worth_bytes=100)
    for owner in (ALICE, BOB, CHARLIE):
        keep(conversations, owner, b"1", body("x" * 900))
    keep(conversations, ALICE, b"2", body("y" * 900))
    assert conversations.held_bytes <= 3_000
    assert [len(conversations.bodies(owner)) for owner in (ALICE, BOB, CHARLIE)] == [2, 0, 1]
    keep(conversations, CHARLIE, b"3", body("z" * 4_000))  # larger than all that may be kept
    assert conversations.held_bytes <= 3_000 and conversations.read(CHARLIE, body("z" * 4_000, "more")).base is None


def test_no_body_goes_on_from_one_of_another_key_team_or_door() -> None:
    conversations = Conversations(worth_bytes=100)
    keep(conversations, ALICE, b"1", body("secret " * 500))
    longer = body("secret " * 500, "more")
    assert conversations.read(BOB, longer).base is None
    assert conversations.read(CHARLIE, longer).base is None
    assert conversations.read(ALICE._replace(door="bedrock_invoke"), longer).base is None
    base = conversations.read(ALICE, longer).base
    assert base is not None and (base.call_id, base.kept_blocks) == (b"1", 1)


def test_a_turn_that_ended_well_takes_the_place_of_the_one_it_goes_on_from() -> None:
    conversations = Conversations(worth_bytes=100)
    keep(conversations, ALICE, b"1", body("a" * 500))
    longer = keep(conversations, ALICE, b"2", body("a" * 500, "more"))
    assert [one.call_id for one in conversations.bodies(ALICE)] == [b"2"]
    assert conversations.held_bytes == len(longer.body)
    shorter = keep(conversations, ALICE, b"3", body("a" * 500, "else", "again"))  # parts from it: both may go on
    assert [one.call_id for one in conversations.bodies(ALICE)] == [b"2", b"3"]
    assert conversations.held_bytes == len(longer.body) + len(shorter.body)


def test_a_call_that_has_not_ended_well_leaves_the_one_before_it() -> None:
    conversations = Conversations(worth_bytes=100)
    keep(conversations, ALICE, b"1", body("a" * 500))
    conversations.keep(ALICE, b"2", conversations.read(ALICE, body("a" * 500, "more")))
    assert [one.call_id for one in conversations.bodies(ALICE)] == [b"1", b"2"]


def test_conversations_of_one_key_take_turns_and_are_counted() -> None:
    conversations = Conversations(worth_bytes=100)
    for number in range(8):
        keep(conversations, ALICE, bytes([number]), body(f"task {number} " * 50))
    assert (conversations.hits, conversations.misses) == (0, 8)
    for number in range(8):
        base = keep(conversations, ALICE, bytes([100 + number]), body(f"task {number} " * 50, "more")).base
        assert base is not None and base.call_id == bytes([number])
    assert (conversations.hits, conversations.misses) == (8, 8)
    for number in range(8, 20):
        keep(conversations, ALICE, bytes([number]), body(f"task {number} " * 50))
    assert len(conversations.bodies(ALICE)) == 8


def test_a_small_body_is_neither_kept_nor_counted() -> None:
    conversations = Conversations()
    keep(conversations, ALICE, b"1", body("a"))
    assert (conversations.held_bytes, conversations.hits, conversations.misses) == (0, 0, 0)
