"""Anchors: never below the tokens of a prompt, whatever changes between two turns, and near them when one goes on."""

import json
import random
from typing import Any

import pytest

from sekisho.conversation.chain import Chain
from sekisho.conversation.following import align_histories
from sekisho.dialects import anthropic_messages
from sekisho.dialects.body import parse_fields
from sekisho.dialects.folding import fold
from sekisho.ledger.anchor import Anchor, Turn, bound_by, find_turn
from sekisho.ledger.bound import prompt_tokens_bound
from sekisho.simulator.tokens import count_tokens
from sekisho.values import Quirks
from tests.thorough import seeds

QUIRKS = Quirks(thinking=("enabled",), cache_min_tokens=1024, images=True)
MARK = {"type": "ephemeral"}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
WORDS = ("def", "資料", "\\n", '"quoted"', "},{", '","role":"user"', "0123456789", "🦊", '"cache_control":{}', "]")


def words(chance: random.Random, most: int) -> str:
    return " ".join(chance.choices(WORDS, k=chance.randint(1, most)))


def block(chance: random.Random) -> dict[str, Any]:
    if chance.random() < 0.1:
        return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    return {"type": "text", "text": words(chance, 400)}


def exchange(chance: random.Random, number: int) -> list[dict[str, Any]]:
    """A question and its answer; sometimes a tool call and its result."""
    call = {"type": "tool_use", "id": f"c{number}", "name": "run", "input": {"text": words(chance, 60)}}
    result = {"type": "tool_result", "tool_use_id": f"c{number}", "content": words(chance, 300)}
    if chance.random() < 0.5:
        return [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    return [{"role": "assistant", "content": words(chance, 80)}, {"role": "user", "content": [block(chance)]}]


def conversation(chance: random.Random, turns: int) -> dict[str, Any]:
    messages: list[dict[str, Any]] = [{"role": "user", "content": [block(chance)]}]
    for number in range(turns):
        messages += exchange(chance, number)
    tool = {"name": "run", "description": words(chance, 20), "input_schema": {"type": "object"}}
    system = [{"type": "text", "text": words(chance, 200)}]
    return {"model": "claude", "system": system, "messages": messages, "max_tokens": 900, "tools": [tool]}


def marked(body: dict[str, Any]) -> dict[str, Any]:
    """The body with cache marks where agents put them: at the system text and at the end."""
    copy: dict[str, Any] = json.loads(json.dumps(body))
    copy["system"][-1]["cache_control"] = MARK
    if isinstance(copy["messages"][-1]["content"], list):
        copy["messages"][-1]["content"][-1]["cache_control"] = MARK
    return copy


def append(chance: random.Random, body: dict[str, Any]) -> None:
    body["messages"] += exchange(chance, 1000 + len(body["messages"]))


def edit_last(chance: random.Random, body: dict[str, Any]) -> None:
    body["messages"][-1] = {"role": "user", "content": [block(chance), block(chance)]}


def take_back(chance: random.Random, body: dict[str, Any]) -> None:
    del body["messages"][-2:]
    if not body["messages"]:
        body["messages"] = [{"role": "user", "content": "Again"}]


def insert(chance: random.Random, body: dict[str, Any]) -> None:
    at = chance.randrange(len(body["messages"]))
    body["messages"].insert(at, {"role": "user", "content": words(chance, 100)})


def edit_anywhere(chance: random.Random, body: dict[str, Any]) -> None:
    body["messages"][chance.randrange(len(body["messages"]))] = {"role": "user", "content": [block(chance)]}


def change_system(chance: random.Random, body: dict[str, Any]) -> None:
    body["system"] = [{"type": "text", "text": words(chance, 200)}]


def change_tools(chance: random.Random, body: dict[str, Any]) -> None:
    schema = {"type": "object", "properties": {words(chance, 5): {"type": "string"}}}
    body["tools"].append({"name": "more", "description": words(chance, 60), "input_schema": schema})


def compact(chance: random.Random, body: dict[str, Any]) -> None:
    body["messages"] = [{"role": "user", "content": words(chance, 300)}, *body["messages"][-1:]]


EDITS = (append, append, edit_last, take_back, insert, edit_anywhere, change_system, change_tools, compact)


def find(body: bytes) -> Turn | None:
    chain = Chain("anthropic_messages", body, parse_fields(body))
    history = chain.history
    assert history is not None
    rest = {name: value for name, value in chain.fields.items() if name != "messages"}
    return find_turn(chain.text.part(*history), rest, b"")


def turn_of(body: bytes) -> Turn:
    turn = find(body)
    assert turn is not None
    return turn


def real_tokens(body: bytes) -> int:
    """The simulator's count of what would be sent: written by other code, from the whole parsed request."""
    return count_tokens(fold(anthropic_messages.parse_request(body), QUIRKS))


def tokens_by(anchor: Anchor, turn: Turn) -> int | None:
    found = bound_by(anchor, turn)
    earlier = Chain("anthropic_messages", anchor.turn.history.body, parse_fields(anchor.turn.history.body))
    alignment = align_histories(earlier, turn.history.body)  # as a chain gives it
    assert alignment is None or bound_by(anchor, turn, alignment) == found
    if found is None:
        return None
    more = prompt_tokens_bound(len(found.new_text), images=found.new_text.count(b'"image'))
    return found.anchor.prompt_tokens + more


def written(chance: random.Random, body: dict[str, Any]) -> bytes:
    separators = chance.choice(((",", ":"), (", ", ": ")))
    return json.dumps(body, ensure_ascii=chance.random() < 0.5, separators=separators).encode()


@seeds(20)
def test_no_edit_of_a_conversation_has_more_tokens_than_its_anchor_says(seed: int) -> None:
    chance = random.Random(seed)
    body = conversation(chance, chance.randint(0, 12))
    form = chance.choice(((",", ":"), (", ", ": ")))
    for _ in range(10):
        old = json.dumps(marked(body) if chance.random() < 0.5 else body, separators=form).encode()
        for edit in chance.sample(EDITS, chance.randint(1, 3)):
            edit(chance, body)
        new = json.dumps(marked(body) if chance.random() < 0.5 else body, separators=form).encode()
        most = tokens_by(Anchor(turn_of(old), real_tokens(old)), turn_of(new))
        assert most is None or real_tokens(new) <= most


@seeds(10)
def test_bytes_that_are_changed_at_random_and_still_are_a_request_stay_within_the_bound(seed: int) -> None:
    """Whatever a hostile client changes: other keys, other types, other places for the same long text."""
    chance = random.Random(seed)
    body = conversation(chance, 3)
    for message in body["messages"]:
        message["hidden"] = words(chance, 900)  # counts for nothing, unless its key were renamed
    old = json.dumps(body, separators=(",", ":")).encode()
    anchor = Anchor(turn_of(old), real_tokens(old))
    spots = (b"hidden", b"content", b"role", b"text", b"tool_use", b"tool_result", b"system", b"messages", b'"', b"},{")
    compared = 0
    for _ in range(400):
        spot, other = chance.sample(spots, 2)
        at = old.find(spot, chance.randrange(len(old)))
        new = old[:at] + chance.choice((other, b"", spot + b"x", b"text")) + old[at + len(spot) :]
        try:
            real, turn = real_tokens(new), turn_of(new)
        except Exception:  # noqa: BLE001  no request any more
            continue
        most = tokens_by(anchor, turn)
        compared += most is not None
        assert most is None or real <= most
    assert compared > 3


@pytest.mark.parametrize("key", ["messages", "extra"])
def test_text_that_moves_from_an_unread_member_into_the_prompt_is_counted(key: str) -> None:
    text, short = "word " * 20_000, "Hi"
    messages = [{"role": "user", "content": short, "unread": text}]
    body = {"messages": messages} if key == "messages" else {"messages": messages[:0], "extra": messages}
    old = json.dumps(body | {"system": short}).encode()
    new = old.replace(b'"unread"', b'"later"').replace(b'"content"', b'"unread"').replace(b'"later"', b'"content"')
    new = new.replace(b'"messages": [], "extra"', b'"messages"')
    assert real_tokens(new) > 20_000
    most = tokens_by(Anchor(turn_of(old), 10), turn_of(new))
    assert most is None or most >= real_tokens(new)


@pytest.mark.parametrize("is_marked", [False, True])
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_a_turn_that_goes_on_is_bounded_by_its_new_bytes_alone(is_marked: bool, separators: tuple[str, str]) -> None:
    chance = random.Random(3)
    body = conversation(chance, 20)
    old = json.dumps(marked(body) if is_marked else body, separators=separators).encode()
    before = len(json.dumps(body["messages"]))
    append(chance, body)
    new = json.dumps(marked(body) if is_marked else body, separators=separators).encode()
    found = bound_by(Anchor(turn_of(old), 5), turn_of(new))
    assert found is not None and found.goes_on
    assert len(found.new_text) <= len(json.dumps(body["messages"])) - before + 60


def test_reasoning_that_a_provider_counts_again_when_turns_are_taken_back_is_not_anchored() -> None:
    thought = {"type": "thinking", "thinking": "long " * 3000, "signature": "proof"}
    call = {"type": "tool_use", "id": "a", "name": "run", "input": {}}
    loop = [
        {"role": "user", "content": "Go"},
        {"role": "assistant", "content": [thought, call]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "ok"}]},
    ]
    longer = [*loop, {"role": "assistant", "content": "Done"}, {"role": "user", "content": "Next"}]
    old, new = (json.dumps({"messages": messages}, separators=(",", ":")).encode() for messages in (longer, loop))
    assert bound_by(Anchor(turn_of(old), 100), turn_of(new)) is None
    assert bound_by(Anchor(turn_of(new), 100), turn_of(old)) is not None


@pytest.mark.parametrize("name", ["thinking", "context_management", "reasoning_effort", "tool_choice"])
def test_settings_that_change_what_is_counted_part_the_turns(name: str) -> None:
    plain = turn_of(json.dumps({"messages": [{"role": "user", "content": "a"}]}).encode())
    other = turn_of(json.dumps({"messages": [{"role": "user", "content": "a"}], name: {"type": "x"}}).encode())
    assert bound_by(Anchor(plain, 1), other) is None and bound_by(Anchor(other, 1), plain) is None


def test_a_history_that_its_provider_clears_by_size_has_no_turn() -> None:
    management = {"edits": [{"type": "clear_tool_uses_20250919"}]}
    body = {"messages": [{"role": "user", "content": "a"}], "context_management": management}
    assert find(json.dumps(body).encode()) is None
