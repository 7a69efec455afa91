"""What a provider can keep of a prompt, as fingerprints: enough to tell why its cache did not serve the next turn.

Above: the stage that settles calls. Below: chains. A prompt is read in the order tools, system, messages; a provider
that has cached it up to a mark serves the next one if all before that mark is the same. Source: docs/why/cache.md
"""

import re
from array import array
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal

import msgspec
from xxhash import xxh3_64_intdigest

from sekisho.conversation.chain import Block, Chain
from sekisho.dialects.cache_marks import MARK, MARK_WORDS
from sekisho.dialects.search import same_bytes

Part = Literal["tools", "system", "settings", "message"]

_SYSTEM_ROLES = ("system", "developer")
_SETTINGS = ("thinking", "tool_choice", "additionalModelRequestFields", "reasoning_effort", "reasoning")
"""Members without text that a provider's cache of the messages hangs on all the same."""
_FINGERPRINT_BYTES = 8
_MOST_TASKS = 20_000
_MOST_BYTES = 16 * 1024 * 1024
_THREADS_PER_TASK = 8


class Prefix(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt. `thread`: the fingerprint of its first message, by which the turns of one conversation are told from
    those of another. `messages`: fingerprints of 8 bytes each. `marked`: how many messages stand up to the last cache
    mark, 0 if that is in tools or system, -1 without any."""

    thread: int
    tools: int
    system: tuple[int, ...]
    settings: int
    messages: bytes
    marked: int


class Change(msgspec.Struct, frozen=True):
    """The first part of a prompt that is not as it was. `message`: its number among all messages but those of the
    system, from 0 on."""

    part: Part
    message: int = 0


def prefix_of(chain: Chain) -> Prefix:
    """The prompt of a body."""
    tools, system, at = 0, [], 0
    for block in chain.blocks:  # tools and system text come first
        if _is_system(block):
            system.append(block.fingerprint)
        elif block.kind == "tools":
            tools = block.fingerprint
        else:
            break
        at += 1
    messages = chain.blocks[at:]
    return Prefix(
        thread=messages[0].fingerprint if messages else 0,
        tools=tools,
        system=tuple(system),
        settings=_settings(chain),
        messages=array("Q", [block.fingerprint for block in messages]).tobytes(),
        marked=_marked(chain, messages),
    )


def first_change(before: Prefix, after: Prefix) -> Change | None:
    """Where the later prompt is another one than the earlier, within what was cached of that: up to its last mark, all
    of it if it has none."""
    if before.tools != after.tools:
        return Change("tools")
    if before.system != after.system:
        return Change("system")
    cached = before.messages if before.marked < 0 else before.messages[: before.marked * _FINGERPRINT_BYTES]
    if not after.messages.startswith(cached):
        return Change("message", _same_bytes(cached, after.messages) // _FINGERPRINT_BYTES)
    if before.settings != after.settings and before.marked:
        return Change("settings")
    return None


def _same_bytes(one: bytes, other: bytes) -> int:
    """How many bytes both begin with."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[:middle] == other[:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def unmarked(text: bytes) -> bytes:
    """The same JSON without its cache marks."""
    return MARK.sub(b"", text)


def share_kept(before: Prefix, chain: Chain) -> float:
    """How much of a body's blocks, by bytes, stood in the earlier prompt too."""
    known = {*array("Q", before.messages), *before.system, before.tools}
    sizes = [(block.end - block.start, block.fingerprint in known) for block in chain.blocks]
    return sum(size for size, is_known in sizes if is_known) / max(1, sum(size for size, _ in sizes))


def _is_system(block: Block) -> bool:
    return block.kind == "system" or block.role in _SYSTEM_ROLES


def _settings(chain: Chain) -> int:
    values = [bytes(chain.fields[name]) for name in _SETTINGS if name in chain.fields]
    return xxh3_64_intdigest(b"\0".join(values)) if values else 0


def _marked(chain: Chain, messages: Sequence[Block]) -> int:
    marks = [at for word in MARK_WORDS for at in chain.text.positions(word) or ()]
    if not marks:
        return -1
    last = 0
    for at in marks:
        number = bisect_right(messages, at, key=_start)
        if number and at < messages[number - 1].end:
            last = max(last, number)
    return last


def _start(block: Block) -> int:
    return block.start


class Seen(msgspec.Struct, frozen=True):
    """A settled call, for the next turn to be held against. Times are monotonic microseconds. `place`: where the cache
    is (provider, endpoint, account, model). `cached_tokens`: read from the cache and written to it."""

    call_id: bytes
    prefix: Prefix
    model: str
    place: str
    started_us: int
    ended_us: int
    life_us: int
    prompt_tokens: int
    cached_tokens: int
    is_main: bool

    @property
    def size_bytes(self) -> int:
        return 600 + len(self.prefix.messages)


class Prefixes:
    """The last turn of each conversation of each task, within a bound of tasks and of bytes; the oldest go first."""

    def __init__(self, most_tasks: int = _MOST_TASKS, most_bytes: int = _MOST_BYTES) -> None:
        self._most_tasks = most_tasks
        self._most_bytes = most_bytes
        self._tasks: OrderedDict[bytes, OrderedDict[int, Seen]] = OrderedDict()
        self.held_bytes = 0

    def counts(self) -> dict[str, int]:
        """The bytes that are held, and how many these may be."""
        return {"held_bytes": self.held_bytes, "most_bytes": self._most_bytes}

    def before(self, task_id: bytes, prefix: Prefix, *, is_main: bool) -> Seen | None:
        """The turn that this one goes on from: the last of the same conversation. A main conversation whose first
        message was replaced goes on from the task's last main one with the same tools or system text."""
        threads = self._tasks.get(task_id)
        if threads is None:
            return None
        seen = threads.get(prefix.thread)
        if seen is not None or not is_main:
            return seen
        for other in reversed(threads.values()):
            if other.is_main and (other.prefix.tools == prefix.tools or other.prefix.system == prefix.system):
                return other
        return None

    def keep(self, task_id: bytes, seen: Seen) -> None:
        """This turn is the last one of its conversation now."""
        threads = self._tasks.setdefault(task_id, OrderedDict())
        self._tasks.move_to_end(task_id)
        old = threads.pop(seen.prefix.thread, None)
        self.held_bytes += seen.size_bytes - (old.size_bytes if old else 0)
        threads[seen.prefix.thread] = seen
        if len(threads) > _THREADS_PER_TASK:
            self.held_bytes -= threads.popitem(last=False)[1].size_bytes
        while self.held_bytes > self._most_bytes or len(self._tasks) > self._most_tasks:
            _, gone = self._tasks.popitem(last=False)
            self.held_bytes -= sum(one.size_bytes for one in gone.values())


class Texts:
    """Tool lists and system texts by team and fingerprint, within a bound of bytes: to say how one differs from
    another. Never journalled, never told."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._texts: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self.held_bytes = 0

    def counts(self) -> dict[str, int]:
        """The bytes that are held, and how many these may be."""
        return {"held_bytes": self.held_bytes, "most_bytes": self._most_bytes}

    def find(self, team_id: str, fingerprint: int) -> bytes | None:
        return self._texts.get((team_id, fingerprint))

    def keep(self, team_id: str, chain: Chain) -> None:
        """Keep those of a body that are not known yet."""
        for block in chain.blocks:
            if block.kind == "message" and block.role not in _SYSTEM_ROLES:
                break
            at = (team_id, block.fingerprint)
            if at in self._texts:
                self._texts.move_to_end(at)
                continue
            text = unmarked(chain.body[block.start : block.end])
            self._texts[at] = text
            self.held_bytes += len(text)
            while self.held_bytes > self._most_bytes and self._texts:
                self.held_bytes -= len(self._texts.popitem(last=False)[1])


_VOLATILE = re.compile(
    rb"\b(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?\b"
    rb"|\b(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    rb"|sep(?:t(?:ember)?)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b"
    rb"|\b[0-9a-f]{7,}\b|\d+|\b[ap]m\b",
    re.IGNORECASE,
)


def is_volatile(before: bytes, after: bytes) -> bool:
    """Whether two texts differ only in what changes by itself: dates, times, numbers, ids."""
    before, after = _differing(before, after)
    return before != after and _VOLATILE.sub(b"#", before) == _VOLATILE.sub(b"#", after)


def _differing(before: bytes, after: bytes) -> tuple[bytes, bytes]:
    """The two without the words that both begin and end with: a blank is no part of what changes by itself, and
    parts what stands beside it."""
    start = before.rfind(b" ", 0, same_bytes(before, after)) + 1
    low, high = 0, min(len(before), len(after)) - start
    while low < high:
        middle = (low + high + 1) // 2
        if before.endswith(after[len(after) - middle :]):
            low = middle
        else:
            high = middle - 1
    blank = before.find(b" ", len(before) - low)
    same = 0 if blank < 0 else len(before) - blank
    return before[start : len(before) - same], after[start : len(after) - same]


class _Function(msgspec.Struct, frozen=True):
    name: str = ""


class _Tool(msgspec.Struct, frozen=True):
    name: str = ""
    function: _Function = _Function()
    toolSpec: _Function = _Function()  # as Converse writes it


class _ToolConfig(msgspec.Struct):
    tools: list[msgspec.Raw] = []


_decode_tool = msgspec.json.Decoder(_Tool).decode
_decode_tools = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_tool_config = msgspec.json.Decoder(_ToolConfig).decode


class ToolsChange(msgspec.Struct, frozen=True):
    """How one tool list differs from another. `is_order`: the same tools in another order. `names`: of those that were
    added, taken away or rewritten."""

    is_order: bool
    names: tuple[str, ...] = ()


def tools_change(before: bytes, after: bytes) -> ToolsChange | None:
    """How two tool lists differ; None if they are not what a client writes."""
    try:
        old, new = _tools_of(before), _tools_of(after)
    except (msgspec.MsgspecError, RecursionError):
        return None
    if sorted(old) == sorted(new):
        return ToolsChange(is_order=True)
    return ToolsChange(is_order=False, names=tuple(sorted({name for name, _ in {*old} ^ {*new}})))


def _tools_of(text: bytes) -> list[tuple[str, bytes]]:
    raws = _decode_tools(text) if text.startswith(b"[") else _decode_tool_config(text).tools
    made = []
    for raw in raws:
        tool = _decode_tool(raw)
        made.append((tool.name or tool.function.name or tool.toolSpec.name, bytes(raw)))
    return made
