"""Brings a conversation into the shape that model providers take. Pure steps over the neutral messages.

Clients send histories in any shape: system text in the middle, the same role twice, calls whose result never came
because the user interrupted, results whose call was compacted away. Providers refuse all of that.
Above: the codecs that write a request. Below: the neutral exchange.
"""

import hashlib
import re
from collections.abc import Iterable

import msgspec

from sekisho.dialects.exchange import (
    CachePoint,
    Message,
    Part,
    RedactedThinking,
    Request,
    Text,
    Thinking,
    Tool,
    ToolResult,
    ToolUse,
    Ttl,
)
from sekisho.values import Quirks

MAX_CACHE_POINTS = 4
NO_OUTPUT = "(no output)"
NO_RESULT = "This call was interrupted: there is no result."
CONTINUE = "Continue."

_BEFORE = Message("user", (Text(CONTINUE),))  # stands for the history before a stretch of it
_SAFE_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_UNSAFE_CHARS = re.compile(r"[^a-zA-Z0-9_-]")


def fold(request: Request, quirks: Quirks) -> Request:
    """All the steps in their order: the request with a history that a provider takes."""
    system, messages = fold_system(request.system, request.messages)
    messages = end(begin(pair_tools(alternate(_cleared(messages, quirks)), set())), prefill=quirks.prefill)
    system = without_blank(system)
    if system and not quirks.system:
        messages, system = alternate((Message("user", system), *messages)), ()
    folded = msgspec.structs.replace(request, system=system, messages=messages)
    return cap_cache_points(folded, MAX_CACHE_POINTS if quirks.cache_min_tokens else 0, may_1h=quirks.cache_ttl_1h)


def fold_first(
    system: tuple[Part, ...], messages: tuple[Message, ...], quirks: Quirks, seen: set[str]
) -> tuple[tuple[Part, ...], tuple[Message, ...]] | None:
    """The system text, and the beginning of a history folded by itself, if it ends in a turn of the user; see
    `fold_on`."""
    system, messages = fold_system(system, messages)
    cleared = _cleared(messages, quirks)
    if not cleared or cleared[-1].role != "user":
        return None
    return system, begin(pair_tools(alternate(cleared), seen))


def fold_on(
    messages: tuple[Message, ...], quirks: Quirks, seen: set[str], *, is_last: bool
) -> tuple[Message, ...] | None:
    """A stretch of a history that begins with an answer and stands behind a turn of the user, folded by itself: the
    same messages as in the whole. The last one is closed, all others must end in a turn of the user. None if it cannot
    stand by itself. `seen`: the ids of the calls before it; those in it are added. Cache points stay where they are."""
    _, messages = fold_system((), (_BEFORE, *messages))
    cleared = _cleared(messages[1:], quirks)
    if not cleared or cleared[0].role != "assistant" or not (is_last or cleared[-1].role == "user"):
        return None
    folded = pair_tools(alternate(cleared), seen)
    return end(folded, prefill=quirks.prefill) if is_last else folded


def _cleared(messages: tuple[Message, ...], quirks: Quirks) -> tuple[Message, ...]:
    return drop_blank(drop_unprovable_thinking(messages, keep=bool(quirks.thinking)))


def system_as_user(text: str) -> str:
    """System text that has to stand in a user turn, marked so that the model can tell it from the user's words."""
    return f"<system-reminder>\n{text}\n</system-reminder>"


def fold_system(
    system: tuple[Part, ...], messages: tuple[Message, ...]
) -> tuple[tuple[Part, ...], tuple[Message, ...]]:
    """System messages before the first turn join `system`; later ones become marked user text where they stand."""
    folded: list[Message] = []
    for message in messages:
        if message.role != "system":
            folded.append(message)
        elif not folded:
            system += message.parts
        else:
            parts = tuple(
                Text(system_as_user(part.text)) if isinstance(part, Text) and part.text.strip() else part
                for part in message.parts
            )
            folded.append(Message("user", parts))
    return system, tuple(folded)


def drop_unprovable_thinking(messages: tuple[Message, ...], *, keep: bool) -> tuple[Message, ...]:
    """Without thinking that has no signature, which providers refuse; without any when not `keep`."""

    def stays(part: Part) -> bool:
        if isinstance(part, Thinking):
            return keep and bool(part.signature)
        return keep or not isinstance(part, RedactedThinking)

    return tuple(Message(message.role, tuple(filter(stays, message.parts))) for message in messages)


def drop_blank(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Without blank text and without messages that hold nothing; blank tool results say so in words."""
    kept = []
    for message in messages:
        parts = without_blank(message.parts)
        if any(not isinstance(part, CachePoint) for part in parts):
            kept.append(Message(message.role, parts))
    return tuple(kept)


def without_blank(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """Without blank text; tool results that hold nothing say so in words."""
    kept: list[Part] = []
    for part in parts:
        if isinstance(part, Text) and not part.text.strip():
            continue
        if isinstance(part, ToolResult):
            part = msgspec.structs.replace(part, content=without_blank(part.content) or (Text(NO_OUTPUT),))
        kept.append(part)
    return tuple(kept)


def alternate(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Neighbours of the same role become one message."""
    merged: list[Message] = []
    for message in messages:
        if merged and merged[-1].role == message.role:
            merged[-1] = Message(message.role, merged[-1].parts + message.parts)
        else:
            merged.append(message)
    return tuple(merged)


def pair_tools(messages: tuple[Message, ...], seen: set[str] | None = None) -> tuple[Message, ...]:
    """Every call is answered, first thing in the next user turn, and every result answers a call of the turn before.

    Takes alternating messages and keeps them so. Missing results are filled in as errors, results without a call become
    text, call ids used twice are renamed. `seen`: ids that were used before these messages; theirs are added.
    """
    paired: list[Message] = []
    seen = set() if seen is None else seen
    waiting: dict[str, str] = {}  # id as the client wrote it, to id as it is sent
    for message in messages:
        if message.role == "assistant":
            _answer(paired, (), waiting)
            parts, waiting = _unique_calls(message.parts, seen)
            paired.append(Message("assistant", parts))
        else:
            _answer(paired, message.parts, waiting)
            waiting = {}
    _answer(paired, (), waiting)
    return tuple(paired)


def _unique_calls(parts: tuple[Part, ...], seen: set[str]) -> tuple[tuple[Part, ...], dict[str, str]]:
    kept: list[Part] = []
    waiting: dict[str, str] = {}
    for part in parts:
        if isinstance(part, ToolUse):
            if part.id in waiting:
                continue  # the same call written twice in one turn
            unique, number = part.id, 1
            while unique in seen:
                number += 1
                unique = f"{part.id}_{number}"
            seen.add(unique)
            waiting[part.id] = unique
            part = msgspec.structs.replace(part, id=unique)
        kept.append(part)
    return tuple(kept), waiting


def _answer(paired: list[Message], parts: tuple[Part, ...], waiting: dict[str, str]) -> None:
    """Append the user turn that answers `waiting`; nothing if there is nothing to say."""
    answers: list[Part] = []
    rest: list[Part] = []
    answered: set[str] = set()
    after_answer = False
    for part in parts:
        if isinstance(part, ToolResult):
            after_answer = part.tool_use_id in waiting and part.tool_use_id not in answered
            if after_answer:
                answered.add(part.tool_use_id)
                answers.append(msgspec.structs.replace(part, tool_use_id=waiting[part.tool_use_id]))
            else:
                rest += (Text(f"Result of the earlier tool call {part.tool_use_id}:"), *part.content)
        elif after_answer and isinstance(part, CachePoint):
            answers.append(part)
        else:
            after_answer = False
            rest.append(part)
    for asked, sent in waiting.items():
        if asked not in answered:
            answers.append(ToolResult(sent, (Text(NO_RESULT),), is_error=True))
    if answers or rest:
        paired.append(Message("user", (*answers, *rest)))


def close(messages: tuple[Message, ...], *, prefill: bool) -> tuple[Message, ...]:
    """Begins with a user turn, and ends with one unless the model takes the beginning of its own answer."""
    return end(begin(messages), prefill=prefill)


def begin(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Begins with a user turn."""
    if not messages or messages[0].role != "user":
        return (Message("user", (Text(CONTINUE),)), *messages)
    return messages


def end(messages: tuple[Message, ...], *, prefill: bool) -> tuple[Message, ...]:
    """Ends with a user turn unless the model takes the beginning of its own answer."""
    last = messages[-1]
    if last.role == "user":
        return messages
    if not prefill:
        return (*messages, Message("user", (Text(CONTINUE),)))
    tail = last.parts[-1]
    if isinstance(tail, Text):  # providers refuse a beginning that ends in white space
        last = Message("assistant", (*last.parts[:-1], Text(tail.text.rstrip())))
    return (*messages[:-1], last)


def cap_cache_points(request: Request, limit: int, *, may_1h: bool) -> Request:
    """At most `limit` cache points, the last ones; none at the start of a list, none after thinking, none doubled.

    A longer time to live after a shorter one is refused by providers, so it is shortened; and so is 1h unless `may_1h`.
    """
    tools = [tool.cache_ttl for tool in request.tools]
    lists = [request.system, *(message.parts for message in request.messages)]
    valid = [ttl for ttl in tools if ttl] + [
        part.ttl
        for parts in lists
        for at, part in enumerate(parts)
        if isinstance(part, CachePoint) and _may_follow(parts, at)
    ]
    skip = max(len(valid) - limit, 0)
    decided: list[Ttl | None] = [None] * skip
    longest: Ttl = "1h" if may_1h else "5m"
    for ttl in valid[skip:]:
        longest = ttl if longest == "1h" else "5m"
        decided.append(longest)
    verdicts = iter(decided)

    def keep(parts: tuple[Part, ...]) -> tuple[Part, ...]:
        kept: list[Part] = []
        for at, part in enumerate(parts):
            if not isinstance(part, CachePoint):
                kept.append(part)
            elif _may_follow(parts, at) and (verdict := next(verdicts)):
                kept.append(CachePoint(verdict))
        return tuple(kept)

    return msgspec.structs.replace(
        request,
        tools=tuple(
            msgspec.structs.replace(tool, cache_ttl=next(verdicts)) if tool.cache_ttl else tool
            for tool in request.tools
        ),
        system=keep(request.system),
        messages=tuple(Message(message.role, keep(message.parts)) for message in request.messages),
    )


def _may_follow(parts: tuple[Part, ...], at: int) -> bool:
    """Whether a cache point can stand at this place of a list."""
    return at > 0 and not isinstance(parts[at - 1], CachePoint | Thinking | RedactedThinking)


def safe_name(name: str) -> str:
    """A tool name or call id within providers' limits ([a-zA-Z0-9_-], 64 characters); the same for the same input."""
    if _SAFE_NAME.fullmatch(name):
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    return f"{_UNSAFE_CHARS.sub('_', name)[:51]}_{digest}"


def renamed_tools(tools: Iterable[Tool]) -> dict[str, str]:
    """Tool names as sent upstream to the client's own, for those that had to be changed."""
    return {safe: tool.name for tool in tools if (safe := safe_name(tool.name)) != tool.name}


def input_object(text: str) -> msgspec.Raw:
    """The JSON of a tool call's input, always an object: a model's broken JSON is kept as text in one member."""
    try:
        msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, RecursionError):
        return msgspec.Raw(msgspec.json.encode({"arguments": text} if text.strip() else {}))
    return msgspec.Raw(text.encode())
