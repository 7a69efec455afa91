"""The messages of one call as the assigner needs them: what is new is read, what was there before is remembered.

Above: the assigner. Below: chains and clues. Of a history that goes on from a body that is kept, only the new messages
are looked at.
"""

import re
from collections import OrderedDict
from collections.abc import Sequence
from typing import overload

from sekisho.conversation.chain import Block, Chain
from sekisho.conversation.clues import (
    MessageClue,
    SystemClue,
    ends_aider_examples,
    human_words,
    is_aider_scaffold,
    message_texts,
    read_message,
    read_system,
    system_key,
    text_hash,
)

_OUTSIDE = ("system", "developer")  # roles of what is no part of a conversation's own messages
_MASK = (1 << 64) - 1
_MIX = 0x9E3779B97F4A7C15
_KEPT_CLUES = 4_096
_KEPT_COUNTED = 512
_LONG = 64  # a shorter list is copied as fast as it is looked into
_WORTH_MESSAGES = 12  # a shorter history is counted as fast as it is looked up
_MOST_TOOL_BYTES = 65_536
_TOOL_ID = re.compile(
    rb'"(?:id|call_id|toolUseId)"\s*:\s*"((?:call|toolu|tooluse|chatcmpl-tool|functions)[\w.:-]{4,120})"'
)
_TOOL_WORDS = (b'"call_', b'"toolu', b'"chatcmpl-tool', b'"functions.')
_BEFORE_ID = 24  # bytes of a key and what stands between it and its value
_NO_CLUE = MessageClue()
_NO_SYSTEM = SystemClue()


class Messages(Sequence[Block]):
    """The blocks from one on, without a copy of the list: to touch each costs more than all else of a long history."""

    __slots__ = ("_blocks", "_start")

    def __init__(self, blocks: Sequence[Block], start: int) -> None:
        self._blocks = blocks
        self._start = start

    def __len__(self) -> int:
        return len(self._blocks) - self._start

    @overload
    def __getitem__(self, place: int) -> Block: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Block]: ...

    def __getitem__(self, place: int | slice) -> Block | Sequence[Block]:
        if isinstance(place, slice):
            first, last, _ = place.indices(len(self))
            return self._blocks[self._start + first : self._start + last]
        return self._blocks[place + self._start if place >= 0 else place]


class Reading:
    """One call's messages. `prefix`: a hash of the first, the first two, ... of them; `others`: how many of those are
    not the model's. `asked`: how many of all are not, and the last of them."""

    __slots__ = (
        "answers_at",
        "asked",
        "clue",
        "has_tools",
        "head",
        "last",
        "lines",
        "messages",
        "others",
        "prefix",
        "system",
    )

    def __init__(self) -> None:
        self.messages: Sequence[Block] = ()
        self.lines: list[int] | None = None  # what stands for each message, where that is not its fingerprint
        self.prefix: list[int] = []
        self.others: list[int] = []
        self.head = 0  # elements of the history before the messages
        self.system = 0
        self.clue = _NO_SYSTEM
        self.has_tools = False
        self.last = _NO_CLUE
        self.asked = (0, 0)
        self.answers_at = -1  # the place of the model's first message

    def last_lines(self, since: int) -> list[int]:
        """What stands for the messages from this place on."""
        if self.lines is not None:
            return self.lines[since:]
        return [block.fingerprint for block in self.messages[since:]]


class _Counted:
    """What was counted in the messages of a call."""

    __slots__ = ("answers_at", "head", "others", "prefix")

    def __init__(self, reading: Reading) -> None:
        self.head, self.answers_at = reading.head, reading.answers_at
        self.prefix, self.others = reading.prefix, reading.others


class Reader:
    """Reads calls, and remembers what it has read."""

    def __init__(self) -> None:
        self._systems: OrderedDict[int, SystemClue] = OrderedDict()
        self._messages: OrderedDict[int, MessageClue] = OrderedDict()
        self._counted: OrderedDict[bytes, _Counted] = OrderedDict()  # by call

    def read(self, chain: Chain, call_id: bytes, *, is_aider: bool) -> Reading:
        """The messages of a call."""
        reading = Reading()
        blocks, body = chain.blocks, chain.body
        if len(blocks) == 1 and blocks[0].role == "user" and not is_aider:
            return self._read_only(reading, body, blocks)
        start, system = 0, None
        while start < len(blocks) and blocks[start].kind != "message":
            block = blocks[start]
            if block.kind == "system":
                system = block
            elif block.end - block.start > 4:
                reading.has_tools = True
            start += 1
        first = start
        while start < len(blocks) and blocks[start].role in _OUTSIDE:
            system = system or blocks[start]
            start += 1
        reading.head = start - first
        reading.messages = blocks[start:] if len(blocks) < _LONG else Messages(blocks, start)
        if system is not None:
            self._read_system(reading, body, system)
        if is_aider:
            _read_aider(reading, body)
        self._follow(reading, chain)
        self._read_last(reading, body)
        if len(reading.prefix) >= _WORTH_MESSAGES and reading.lines is None:
            self._counted[call_id] = _Counted(reading)
            if len(self._counted) > _KEPT_COUNTED:
                self._counted.popitem(last=False)
        return reading

    def _read_only(self, reading: Reading, body: bytes, blocks: tuple[Block, ...]) -> Reading:
        """As `read`, for a conversation that is one message of the user: what most small calls are."""
        only = blocks[0]
        reading.messages = blocks
        reading.prefix, reading.others = [only.fingerprint + 1 & _MASK], [1]
        reading.asked = 1, only.fingerprint
        reading.last = self.clue(body, only)
        return reading

    def clue(self, body: bytes, block: Block) -> MessageClue:
        """What a message says that is not the model's own."""
        clue = self._messages.get(block.fingerprint)
        if clue is None:
            clue = read_message(body[block.start : block.end], block.role)
            self._messages[block.fingerprint] = clue
            if len(self._messages) > _KEPT_CLUES:
                self._messages.popitem(last=False)
        return clue

    def _read_system(self, reading: Reading, body: bytes, block: Block) -> None:
        key = system_key(body, block.start, block.end, block.fingerprint) ^ reading.has_tools
        reading.system = key
        clue = self._systems.get(key)
        if clue is None:
            clue = read_system(body[block.start : block.end], has_tools=reading.has_tools)
            self._systems[key] = clue
            if len(self._systems) > _KEPT_CLUES:
                self._systems.popitem(last=False)
        reading.clue = clue

    def _follow(self, reading: Reading, chain: Chain) -> None:
        """Count and hash the messages; those that are as they were in the call before are not looked at again."""
        kept, known, count = 0, 0, 0
        base = self._counted.pop(chain.base.call_id, None) if chain.base is not None else None
        if base is not None and chain.base is not None and reading.lines is None and base.head == reading.head:
            kept = max(min(chain.base.kept_blocks - reading.head, len(base.prefix), len(reading.messages)), 0)
            reading.prefix, reading.others = base.prefix, base.others  # nobody else has them any more
            del reading.prefix[kept:], reading.others[kept:]
            if kept:
                known, count = reading.prefix[-1], reading.others[-1]
            if base.answers_at < kept:
                reading.answers_at = base.answers_at
        prefix, others = reading.prefix, reading.others
        lines = reading.last_lines(kept)
        for place, block in enumerate(reading.messages[kept:], start=kept):
            if block.role == "assistant":
                if reading.answers_at < 0:
                    reading.answers_at = place
            elif block.role not in _OUTSIDE:
                count += 1
            known = (known * _MIX + lines[place - kept] + 1) & _MASK
            prefix.append(known)
            others.append(count)

    def _read_last(self, reading: Reading, body: bytes) -> None:
        for block in reversed(reading.messages):
            if block.role != "assistant" and block.role not in _OUTSIDE:
                reading.last = self.clue(body, block)
                reading.asked = (reading.others[-1], block.fingerprint)
                return


def tool_ids(text: bytes, start: int = 0, end: int | None = None) -> list[bytes]:
    """The ids of the first tool calls in a message of the model, or in a piece of an answer; agents send them back as
    they were."""
    end = len(text) if end is None else end
    end = min(end, start + _MOST_TOOL_BYTES)
    for word in _TOOL_WORDS:
        at = text.find(word, start, end)
        if at >= 0:
            found: list[bytes] = _TOOL_ID.findall(text, max(at - _BEFORE_ID, start), min(at + 1_024, end))
            if found:
                return found
    return []


def _read_aider(reading: Reading, body: bytes) -> None:
    """Leave the messages that are the conversation's own, each by its words: aider writes the others anew, and adds its
    rules to the last."""
    kept: list[tuple[Block, int]] = []
    for block in reading.messages:
        text = "\n".join(message_texts(body[block.start : block.end])).strip()
        if ends_aider_examples(text):
            kept.clear()
        if not is_aider_scaffold(text):
            kept.append((block, text_hash(block.role + human_words(text))))
    reading.messages = [block for block, _ in kept]
    reading.lines = [line for _, line in kept]
