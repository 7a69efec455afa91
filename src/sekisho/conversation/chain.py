"""A body as a chain of blocks: its tools, its system text, and one block for each element of its history.

Blocks stand in the order that providers read and cache a prompt: tools, system, messages. What is in no block (model,
settings) is small. A fingerprint finds equal blocks; it is no proof: where it matters, bytes are compared.
"""

import re
from typing import Literal

import msgspec
from xxhash import xxh3_64_intdigest

from sekisho.conversation.layout import HISTORY, NO_LAYOUT, Fields, Layout, Span, find_layout
from sekisho.dialects.cache_marks import without_marks
from sekisho.values import Door

BlockKind = Literal["tools", "system", "message"]

_SINGLE: tuple[tuple[str, BlockKind], ...] = (
    ("tools", "tools"),
    ("toolConfig", "tools"),
    ("system", "system"),
    ("instructions", "system"),
)
_ROLE_FIRST = re.compile(rb'\{\s*"role"\s*:\s*"(\w+)"')
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


class Chain:
    """One body, read. `fields`: the values of its top level, undecoded. `base`: None where nothing earlier is known."""

    __slots__ = ("_blocks", "base", "body", "door", "fields", "layout")

    def __init__(
        self, door: Door, body: bytes, fields: Fields, layout: Layout = NO_LAYOUT, base: Base | None = None
    ) -> None:
        self.door = door
        self.body = body
        self.fields = fields
        self.layout = layout
        self.base = base
        self._blocks: tuple[Block, ...] | None = None

    @property
    def blocks(self) -> tuple[Block, ...]:
        """All blocks; found when they are asked for."""
        if self._blocks is None:
            if self.layout is NO_LAYOUT and self.fields:
                self.layout = find_layout(self.door, self.body, self.fields)
            self._blocks = find_blocks(self.door, self.body, self.layout)
        return self._blocks


NO_CHAIN = Chain("openai_chat", b"", {})


def find_blocks(door: Door, body: bytes, layout: Layout) -> tuple[Block, ...]:
    """The blocks of a body with this layout."""
    blocks = [
        _block(kind, body, layout.members[name], role)
        for name, kind in _SINGLE
        for role in [kind if kind == "system" else ""]
        if name in layout.members
    ]
    history = layout.members.get(HISTORY[door])
    if history is not None and body[history.start : history.start + 1] == b'"':  # Responses: one text of the user
        blocks.append(_block("message", body, history, "user"))
    blocks += message_blocks(body, layout.elements)
    return tuple(blocks)


def message_blocks(body: bytes, elements: tuple[Span, ...]) -> list[Block]:
    """A block for each of these elements of a history."""
    return [_block("message", body, element, role_of(body, element)) for element in elements]


def _block(kind: BlockKind, body: bytes, span: Span, role: str) -> Block:
    fingerprint = xxh3_64_intdigest(without_marks(body[span.start : span.end]))
    return Block(kind, span.start, span.end, role, fingerprint)


class _Item(msgspec.Struct):
    role: str = ""
    type: str = ""


_item = msgspec.json.Decoder(_Item)


def role_of(body: bytes, span: Span) -> str:
    """Whose an element of a history is; empty where it does not say."""
    first = _ROLE_FIRST.match(body, span.start)
    if first is not None:
        return first[1].decode()
    try:
        item = _item.decode(memoryview(body)[span.start : span.end])
    except (msgspec.DecodeError, RecursionError):
        return ""
    return item.role or _ITEM_ROLES.get(item.type, "")
