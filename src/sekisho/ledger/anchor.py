"""How large a prompt can be, from what the upstream counted in the turn before it.

An agent sends its whole history again with every turn. The tokens of what is the same are known exactly: they are in
the usage of the turn that was settled. So a prompt has at most that turn's tokens, and the bytes of what is new.

Above: the admit stage, which keeps anchors with the bodies they belong to. Below: bytes. Why this is never too small,
and when it is not used: docs/why/bound.md
"""

import re
from collections.abc import Mapping
from typing import Literal

import msgspec

from sekisho.dialects.alignment import Alignment, Run, align
from sekisho.dialects.text import Text

_TAIL_BYTES = 32_768  # a history that was changed further back is counted by its bytes
_MOST_END_BYTES = 256  # white space before the end of a list
_MOST_CUTS = 6

# What changes how much of a prompt the provider counts: another value, another count.
_MODE = frozenset(
    {
        "thinking",
        "context_management",
        "output_config",
        "reasoning",
        "reasoning_effort",
        "tool_choice",
        "toolConfig",
        "additionalModelRequestFields",
        "anthropic_beta",
        "truncation",
        "previous_response_id",
        "conversation",
    }
)
_CLEARED_BY_SIZE = b"clear_tool_uses"  # a shorter history may be counted whole where a longer one was cut down
# Reasoning that providers leave out of later turns, and count again when those turns are taken back.
_REASONING = (b'"signature"', b'"redacted', b'"encrypted_content"')
# Claude Code's accounting for its own service, another one with every call; a few tokens at most.
_BILLING = re.compile(rb'\[\{"type":"text","text":"x-anthropic-billing-header:[^"\\]{0,300}"\},')
_decode_objects = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode


Values = Mapping[str, msgspec.Raw | bytes]


class Turn(msgspec.Struct, frozen=True):
    """A prompt as its client wrote it: its history, a list, and every other member of the body."""

    history: Text
    rest: dict[str, msgspec.Raw | bytes]


class Prompt(msgspec.Struct, frozen=True):
    """What is known of a prompt before it is sent: the most tokens it can have, and the longest caching it can ask for.

    `tokenizer`, `turn`: what its usage will be an anchor for; `is_anchored`: it was bounded by one. `is_counted`: the
    provider was asked."""

    tokens: int
    longest_ttl: Literal["5m", "1h"] = "5m"
    tokenizer: str = ""
    turn: Turn | None = None
    is_anchored: bool = False
    is_counted: bool = False


class Anchor(msgspec.Struct, frozen=True):
    """A turn that was settled, the tokens of its whole prompt as the upstream counted them, and its longest caching."""

    turn: Turn
    prompt_tokens: int
    longest_ttl: Literal["5m", "1h"] = "5m"


class Anchored(msgspec.Struct, frozen=True):
    """What a turn has that an anchor has not: the end of its history, members that are not as they were, moved marks.

    `goes_on`: the turn is the anchor's with something at its end."""

    anchor: Anchor
    goes_on: bool
    new_text: bytes


def find_turn(history: Text, rest: Values, betas: bytes) -> Turn | None:
    """The prompt with this history, a list, and these other members; None for one that no turn can be compared with.

    `betas`: of its header."""
    if _CLEARED_BY_SIZE in bytes(rest.get("context_management", b"")):
        return None
    kept = dict(rest)
    if "system" in kept and (system := _BILLING.match(given := bytes(kept["system"]))):
        kept["system"] = given[system.end() :]
    if betas:
        kept["anthropic_beta"] = bytes(kept.get("anthropic_beta", b"")) + betas
    return Turn(history, kept)


def bound_by(anchor: Anchor, turn: Turn, alignment: Alignment | None = None) -> Anchored | None:
    """What one anchor says of a turn's prompt; None where the two cannot be compared.

    `alignment`: of the two histories from behind their opening brackets, where it is known already."""
    old, new = anchor.turn.history, turn.history
    if alignment is None:
        alignment = align(old.body, new.body, Run(old.start + 1, new.start + 1, len(old) - 2))
    old_at, new_at = alignment.old_at, alignment.new_at
    goes_on = old.end - old_at < _MOST_END_BYTES and old.body[old_at : old.end].strip() == b"]"
    if not goes_on:
        cut = _last_cut(old, new, old_at, new_at)
        if cut is None or any(old.holds(word) for word in _REASONING):
            return None
        new_at = cut
    changed = _changed(anchor.turn.rest, turn.rest)
    if changed is None:
        return None
    return Anchored(anchor, goes_on, b"".join((*changed, *alignment.new_marks, new.body[new_at : new.end])))


def tokens_by(found: Anchored) -> int:
    """The least that can be said of the tokens of a prompt so bounded; what the provider adds comes on top."""
    return found.anchor.prompt_tokens + len(found.new_text)


def _changed(old: Values, new: Values) -> list[bytes] | None:
    """The members that are not as they were; None if one of them changes how a prompt is counted."""
    if not all(_is_same(old.get(name), new.get(name)) for name in _MODE):
        return None
    return [bytes(value) for name, value in new.items() if not _is_same(old.get(name), value)]


def _is_same(old: msgspec.Raw | bytes | None, new: msgspec.Raw | bytes | None) -> bool:
    """Whether two members are the same; the same object, as a chain gives it, needs no comparison."""
    return old is new or (old is not None and new is not None and bytes(old) == bytes(new))


def _last_cut(old: Text, new: Text, old_at: int, new_at: int) -> int | None:
    """Where the last message begins, in the new body, before which both are the same."""
    at = new_at
    for _ in range(_MOST_CUTS):
        at = new.body.rfind(b"},", max(new_at - _TAIL_BYTES, new.start), at)
        before = old_at - (new_at - at)
        if at < 0 or before < old.start or old.body[before : before + 2] != b"},":
            return None
        if _are_messages(old, before + 2) and _are_messages(new, at + 2):
            return at + 2
    return None


def _are_messages(history: Text, at: int) -> bool:
    """Whether whole messages stand here, to the end of the list. Inside of one there are brackets too many."""
    if history.end - at > _TAIL_BYTES:
        return False
    try:
        _decode_objects(b"[" + history.body[at : history.end])
    except (msgspec.DecodeError, RecursionError):
        return False
    return True
