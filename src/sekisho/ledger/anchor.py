"""How large a prompt can be, from what the upstream counted in the turn before it.

An agent sends its whole history again with every turn. The tokens of what is the same are known exactly: they are in
the usage of the turn that was settled. So a prompt has at most that turn's tokens, and the bytes of what is new.

Above: the admit stage. Below: bytes. Why this is never too small, and when it is not used: docs/why/bound.md
"""

import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import Literal

import msgspec

from sekisho.dialects import search
from sekisho.dialects.cache_marks import MARK

Chain = tuple[str, str, str]
"""Whose turns may follow each other: virtual key, model as the upstream knows it, door."""

WORTH_BYTES = 8_192  # a smaller body is bounded well enough by its bytes
_MOST_BYTES = 64 * 1024 * 1024  # of all turns that are kept
_TURNS_PER_CHAIN = 8  # sub-agents and conversations of one key take turns
_TAIL_BYTES = 32_768  # a history that was changed further back is counted by its bytes
_MOST_END_BYTES = 256  # white space before the end of a list
_MOST_CUTS = 6
_MOST_MARKS = 8
_MARK_REACH = 4  # bytes that a mark and what stands in its place can have in common

_HISTORY = ("messages", "input")
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


class Turn(msgspec.Struct, frozen=True):
    """A prompt as its client wrote it. `history`: the list of messages. `rest`: every other member of the body."""

    chain: Chain
    history: bytes
    rest: dict[str, bytes]
    size: int


class Prompt(msgspec.Struct, frozen=True):
    """What is known of a prompt before it is sent: the most tokens it can have, and the longest caching it can ask for.

    `turn`: for the anchors; `anchored`: how it was bounded by one. `is_counted`: the provider was asked."""

    tokens: int
    longest_ttl: Literal["5m", "1h"] = "5m"
    turn: Turn | None = None
    anchored: "Anchored | None" = None
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


def find_turn(chain: Chain, fields: Mapping[str, msgspec.Raw], betas: bytes) -> Turn | None:
    """The prompt of a body; None for one that no turn can be compared with. `betas`: of its header."""
    name = next((name for name in _HISTORY if name in fields), "")
    if not name or _CLEARED_BY_SIZE in bytes(fields.get("context_management", b"")):
        return None
    history = bytes(fields[name])
    if not history.startswith(b"["):
        return None
    rest = {other: bytes(value) for other, value in fields.items() if other != name}
    if system := _BILLING.match(rest.get("system", b"")):
        rest["system"] = rest["system"][system.end() :]
    rest["anthropic_beta"] = rest.get("anthropic_beta", b"") + betas
    return Turn(chain, history, rest, len(history) + sum(map(len, rest.values())))


class Anchors:
    """The last settled turns of every chain, as many as fit; the ones used longest ago are forgotten first."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._chains: OrderedDict[Chain, list[Anchor]] = OrderedDict()
        self.held_bytes = 0

    def bound(self, turn: Turn) -> Anchored | None:
        """The best that the anchors of the turn's chain say of its prompt; None where they say nothing."""
        best: Anchored | None = None
        for anchor in reversed(self._chains.get(turn.chain, ())):
            found = bound_by(anchor, turn)
            if found is not None and (best is None or _least(found) < _least(best)):
                best = found
                if found.goes_on:
                    break
        return best

    def keep(self, prompt: Prompt, prompt_tokens: int) -> None:
        """Remember the turn of a settled prompt, in place of the one that it goes on from."""
        turn, after = prompt.turn, prompt.anchored
        if turn is None or turn.size > self._most_bytes:
            return
        anchors = self._chains.setdefault(turn.chain, [])
        self._chains.move_to_end(turn.chain)
        if after is not None and after.goes_on:
            self._drop(anchors, after.anchor)
        anchors.append(Anchor(turn, prompt_tokens, prompt.longest_ttl))
        self.held_bytes += turn.size
        if len(anchors) > _TURNS_PER_CHAIN:
            self._drop(anchors, anchors[0])
        while self.held_bytes > self._most_bytes:
            oldest, turns = next(iter(self._chains.items()))
            self._drop(turns, turns[0])
            if not turns:
                del self._chains[oldest]

    def _drop(self, anchors: list[Anchor], anchor: Anchor) -> None:
        for at, one in enumerate(anchors):
            if one is anchor:
                del anchors[at]
                self.held_bytes -= anchor.turn.size
                return


def bound_by(anchor: Anchor, turn: Turn) -> Anchored | None:
    """What one anchor says of a turn's prompt; None where the two cannot be compared."""
    new_text = _changed(anchor.turn.rest, turn.rest)
    if new_text is None:
        return None
    old, new = anchor.turn.history, turn.history
    old_at, new_at = _same_until(old, new, new_text)
    goes_on = len(old) - old_at < _MOST_END_BYTES and old[old_at:].strip() in (b"]", b"")
    if not goes_on:
        cut = _last_cut(old, new, old_at, new_at)
        if cut is None or any(search.holds(old, word) for word in _REASONING):
            return None
        new_at = cut
    new_text.append(new[new_at:])
    return Anchored(anchor, goes_on, b"".join(new_text))


def _least(found: Anchored) -> int:
    return found.anchor.prompt_tokens + len(found.new_text)


def _changed(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> list[bytes] | None:
    """The members that are not as they were; None if one of them changes how a prompt is counted."""
    if any(old.get(name) != new.get(name) for name in _MODE):
        return None
    return [value for name, value in new.items() if old.get(name) != value]


def _same_until(old: bytes, new: bytes, new_marks: list[bytes]) -> tuple[int, int]:
    """Where the two begin to differ, marks apart; those that only the new one has are added to the list."""
    old_at = new_at = 0
    for _ in range(_MOST_MARKS):
        same = search.same_bytes(old, new, old_at, new_at)
        old_at, new_at = old_at + same, new_at + same
        if skipped := _skip_mark(old, old_at, same):
            old_at, new_at = skipped[0], new_at - skipped[1]
        elif skipped := _skip_mark(new, new_at, same):
            new_marks.append(new[new_at - skipped[1] : skipped[0]])
            old_at, new_at = old_at - skipped[1], skipped[0]
        else:
            break
    return old_at, new_at


def _skip_mark(text: bytes, at: int, same: int) -> tuple[int, int] | None:
    """Where the mark ends that begins here, or so many bytes before, of which the last `same` are in both."""
    for back in range(min(_MARK_REACH, same) + 1):
        mark = MARK.match(text, at - back)
        if mark:
            return mark.end(), back
    return None


def _last_cut(old: bytes, new: bytes, old_at: int, new_at: int) -> int | None:
    """Where the last message begins, in the new history, before which both are the same."""
    at = new_at
    for _ in range(_MOST_CUTS):
        at = new.rfind(b"},", max(new_at - _TAIL_BYTES, 0), at)
        before = old_at - (new_at - at)
        if at < 0 or before < 0 or old[before : before + 2] != b"},":
            return None
        if _are_messages(old, before + 2) and _are_messages(new, at + 2):
            return at + 2
    return None


def _are_messages(history: bytes, at: int) -> bool:
    """Whether whole messages stand here, to the end of the list. Inside of one there are brackets too many."""
    if len(history) - at > _TAIL_BYTES:
        return False
    try:
        _decode_objects(b"[" + history[at:])
    except (msgspec.DecodeError, RecursionError):
        return False
    return True
