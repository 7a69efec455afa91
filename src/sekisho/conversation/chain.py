"""A body as a chain of blocks: its tools, its system text, and one block for each element of its history.

Blocks stand in the order that providers read and cache a prompt: tools, system, messages. What is in no block (model,
settings) is small. A fingerprint finds equal blocks; it is no proof: where it matters, bytes are compared.
"""

import re
from collections.abc import Sequence
from typing import Literal

import msgspec
from xxhash import xxh3_64_intdigest

from sekisho.conversation.layout import HISTORY, Fields, Span, find_members, list_elements
from sekisho.dialects.alignment import Alignment
from sekisho.dialects.cache_marks import MARK, MARK_WORDS
from sekisho.dialects.plain import is_plain
from sekisho.dialects.text import Text
from sekisho.values import Door

BlockKind = Literal["tools", "system", "message"]

_SINGLE: dict[str, BlockKind] = {
    "tools": "tools",
    "toolConfig": "tools",
    "system": "system",
    "instructions": "system",
}
"""The members that are one block each, in the order of a prompt."""
_ROLE_FIRST = re.compile(rb'\{\s*"role"\s*:\s*"(\w+)"')
_USER = b'{"role":"user"'
_ITEM_ROLES = {
    "function_call": "assistant",
    "custom_tool_call": "assistant",
    "reasoning": "assistant",
    "function_call_output": "tool",
    "custom_tool_call_output": "tool",
}


class Block(msgspec.Struct, frozen=True):
    """A part of a prompt that an agent sends again with every turn. `start`, `end`: its bytes in the body.

    `role`: of a message, as the client wrote it (of a Responses item without one: whose it is). `fingerprint`: XXH3, 64
    bits, of its bytes without cache marks, which agents move from block to block."""

    kind: BlockKind
    start: int
    end: int
    role: str
    fingerprint: int


class Base(msgspec.Struct, frozen=True):
    """How a body goes on from that of an earlier call of the same key through the same door, whose open record was
    journalled.

    body == base_body[:prefix_bytes] + new + base_body[len(base_body) - suffix_bytes:]. `kept_blocks`: how many of the
    chain's messages, from the first on, are byte for byte those of the base."""

    call_id: bytes
    prefix_bytes: int
    suffix_bytes: int
    kept_blocks: int


class Notes:
    """What other rooms found out about a body and would find out again about one that goes on from it."""

    __slots__ = ("sent",)

    def __init__(self) -> None:
        self.sent: dict[object, object] = {}  # by upstream wire and model: how it was written there


class Chain:
    """One body, read. `fields`: the values of its top level, undecoded. `base`: None where nothing earlier is known.

    `is_plain`: it is small, and known to have no picture, document or cache mark in it. `notes`: its own; `before`:
    those of the base. `alignment`: with the base.
    """

    __slots__ = (
        "_blocks",
        "_elements",
        "_members",
        "_text",
        "_texts",
        "alignment",
        "base",
        "before",
        "body",
        "door",
        "fields",
        "is_plain",
        "notes",
    )

    def __init__(self, door: Door, body: bytes, fields: Fields, base: Base | None = None) -> None:
        self.door = door
        self.body = body
        self.fields = fields
        self.base = base
        self._text: Text | None = None
        self.notes = Notes()
        self.before: Notes | None = None
        self.alignment: Alignment | None = None
        self._members: dict[str, Span] | None = None
        self._elements: tuple[Span, ...] | None = None
        self._texts: dict[str, Text] = {}
        self._blocks: tuple[Block, ...] | None = None
        self.is_plain = is_plain(door, body)

    @property
    def text(self) -> Text:
        """The whole body, to be searched."""
        if self._text is None:
            self._text = Text(self.body)
        return self._text

    @property
    def members(self) -> dict[str, Span]:
        """Where the values of its top level stand, in their order; empty where that cannot be told."""
        if self._members is None:
            self._members = find_members(self.body, self.fields)
        return self._members

    @property
    def elements(self) -> tuple[Span, ...]:
        """Where the elements of its history stand; found when they are asked for, which takes a parse of it."""
        if self._elements is None:
            self._elements = list_elements(self.body, self.history)
        return self._elements

    @property
    def blocks(self) -> tuple[Block, ...]:
        """All blocks; found when they are asked for."""
        if self._blocks is None:
            self._blocks = _find_blocks(self)
        return self._blocks

    @property
    def history(self) -> Span | None:
        """The list that grows from turn to turn, where it can be told."""
        return self.members.get(HISTORY[self.door])

    def member(self, name: str) -> Text | None:
        """A value of the top level, other than the history, to be searched; the same object as long as it is the same
        from turn to turn."""
        if name not in self._texts:
            if name not in self.fields:
                return None
            self._texts[name] = Text(bytes(self.fields[name]))
        return self._texts[name]

    def go_on_from(
        self,
        earlier: "Chain",
        base: Base,
        members: dict[str, Span],
        elements: tuple[Span, ...],
        olds: Sequence[int],
    ) -> None:
        """Take over what is known of the body this one goes on from, and still holds.

        `olds`: for each element of the history which one it was, -1 for a new one."""
        self.base = base
        self._members = members
        self._elements = elements
        self.before = earlier.notes
        for name, text in earlier._texts.items():
            if self.fields.get(name) is earlier.fields.get(name):
                self._texts[name] = text
        if earlier._blocks is not None:
            self._blocks = _taken(earlier, earlier._blocks, self, olds, base.kept_blocks)


def _taken(
    earlier: Chain, blocks: tuple[Block, ...], later: Chain, olds: Sequence[int], first: int
) -> tuple[Block, ...]:
    members, elements = later.members, later.elements
    singles = len(blocks) - len(earlier.elements)
    same = {
        name: block
        for name, block in zip(_single_names(earlier.members), blocks, strict=False)
        if later.fields.get(name) is earlier.fields.get(name)
    }
    made = [
        _moved(same[name], members[name]) if name in same else _single(later, name)
        for name in _single_names(later.members)
    ]
    made += blocks[singles : singles + first]
    for at in range(first, len(elements)):
        if olds[at] >= 0:
            made.append(_moved(blocks[singles + olds[at]], elements[at]))
        else:
            made.append(_message(later, elements[at]))
    return tuple(made)


NO_CHAIN = Chain("openai_chat", b"", {})


def _find_blocks(chain: Chain) -> tuple[Block, ...]:
    body, members, history = chain.body, chain.members, chain.history
    blocks = [_single(chain, name) for name in _SINGLE if name in members]
    if history is not None and body[history.start : history.start + 1] == b'"':  # Responses: one text of the user
        blocks.append(_block("message", chain, history, "user"))
    blocks += [_message(chain, element) for element in chain.elements]
    return tuple(blocks)


def _single_names(members: dict[str, Span]) -> list[str]:
    return [name for name in _SINGLE if name in members]


def _single(chain: Chain, name: str) -> Block:
    kind = _SINGLE[name]
    return _block(kind, chain, chain.members[name], "system" if kind == "system" else "")


def _message(chain: Chain, span: Span) -> Block:
    return _block("message", chain, span, role_of(chain.body, span))


def _block(kind: BlockKind, chain: Chain, span: Span, role: str) -> Block:
    start, end = span
    text = chain.body[start:end]
    if not chain.is_plain and any(chain.text.is_within(word, *span) for word in MARK_WORDS):
        text = MARK.sub(b"", text)
    return Block(kind, start, end, role, xxh3_64_intdigest(text))


def _moved(block: Block, span: Span) -> Block:
    if block.start == span.start:
        return block
    return Block(block.kind, span.start, span.end, block.role, block.fingerprint)


class _Item(msgspec.Struct):
    role: str = ""
    type: str = ""


_item = msgspec.json.Decoder(_Item)


def role_of(body: bytes, span: Span) -> str:
    """Whose an element of a history is; empty where it does not say."""
    if body.startswith(_USER, span.start):
        return "user"
    first = _ROLE_FIRST.match(body, span.start)
    if first is not None:
        return first[1].decode()
    try:
        item = _item.decode(memoryview(body)[span.start : span.end])
    except (msgspec.DecodeError, RecursionError):
        return ""
    return item.role or _ITEM_ROLES.get(item.type, "")
