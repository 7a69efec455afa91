"""Makes an Anthropic Messages body fit for Bedrock's InvokeModel, as bytes.

Only top-level members are looked at; tools, system and messages are copied as they came unless something in them must
change, since an agent's body is large and its prefix must stay the same for the prompt cache.
Above: the doors for Messages and Invoke. Below: the quirks of the model. Answers: dialects.passing.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from sekisho.dialects.anthropic_messages.request import BILLING_HEADER
from sekisho.dialects.exchange import Reasoning
from sekisho.dialects.fields import decode
from sekisho.dialects.fitting import fit_max_tokens, fit_reasoning
from sekisho.dialects.folding import MAX_CACHE_POINTS, system_as_user
from sekisho.dialects.text import Text
from sekisho.errors import BadRequest
from sekisho.values import Quirks

ANTHROPIC_VERSION = "bedrock-2023-05-31"

KNOWN_BETAS = frozenset(
    {
        "computer-use-2025-01-24",
        "computer-use-2025-11-24",
        "context-1m-2025-08-07",
        "dev-full-thinking-2025-05-14",
        "effort-2025-11-24",
        "fine-grained-tool-streaming-2025-05-14",
        "interleaved-thinking-2025-05-14",
        "output-128k-2025-02-19",
        "token-efficient-tools-2025-02-19",
        "tool-examples-2025-10-29",
        "tool-search-tool-2025-10-19",
    }
)
"""Betas that Bedrock takes; an unknown one is refused there with 400, so all others are left out."""

CONTEXT_MANAGEMENT_BETA = "context-management-2025-06-27"

_FIELDS = (
    "max_tokens",
    "metadata",
    "output_config",
    "stop_sequences",
    "temperature",
    "thinking",
    "tool_choice",
    "top_k",
    "top_p",
)
_BILLING_HEADER = BILLING_HEADER.encode()
_FIRST = ("tools", "system", "messages")  # the order of prompt caching
_ALLOWED = frozenset({*_FIRST, *_FIELDS})
_SAID_OTHERWISE = ("model", "stream", "anthropic_version", "anthropic_beta")  # in the path, or replaced

_SERVER_TOOLS = ("web_search_", "web_fetch_", "code_execution_", "advisor_", "mcp_toolset")
_SERVER_WORDS = tuple(b'"%b' % name.encode() for name in _SERVER_TOOLS)
# what a tool definition may hold only under a beta, or not at all on Bedrock
_TOOL_EXTRAS: dict[str, str] = {
    "allowed_callers": "",
    "defer_loading": "tool-search-tool-2025-10-19",
    "eager_input_streaming": "",
    "input_examples": "tool-examples-2025-10-29",
}
_TOOL_BLOCKS = (b'"tool_use"', b'"tool_result"')
_SYSTEM_ROLE = re.compile(rb'"role"\s*:\s*"system"')
_CACHE_CONTROL = b'"cache_control"'
_CACHE_OBJECT = re.compile(rb'"cache_control"\s*:\s*\{[^{}]*\}')

_IS_TEXT = b"[]"  # stands for a member that is in `texts`

Members = dict[str, msgspec.Raw]

_encode = msgspec.json.encode
_VERSION_MEMBER = _encode(ANTHROPIC_VERSION)


class InvokeBody(NamedTuple):
    """A body for InvokeModel in three pieces, up to the messages, the messages, and the rest; and the names of what the
    client sent that is not in it."""

    head: bytes
    messages: Text
    tail: bytes
    unused: tuple[str, ...]

    @property
    def body(self) -> bytes:
        return b"".join((self.head, bytes(self.messages), self.tail))


class _Typed(msgspec.Struct, frozen=True):
    type: str | None = None
    name: str | None = None
    text: str | None = None


class _Turn(msgspec.Struct, frozen=True):
    role: Literal["user", "assistant", "system"]
    content: msgspec.Raw


class _Thinking(msgspec.Struct, frozen=True):
    type: Literal["enabled", "adaptive", "disabled"]
    budget_tokens: int = 0


def to_invoke(
    given: Mapping[str, msgspec.Raw],
    quirks: Quirks,
    *,
    max_output_tokens: int,
    betas: Sequence[str] = (),
    known_betas: frozenset[str] = KNOWN_BETAS,
    texts: Mapping[str, Text] | None = None,
) -> InvokeBody:
    """The same request for InvokeModel of a Claude model with these quirks.

    `given`: the members of a body of Anthropic Messages, with or without `model`, or already of Claude's invoke form.
    `betas`: from the anthropic-beta header, already split. `texts`: of members that are known well, such as those of
    the turn before. Raises BadRequest for what cannot be read.
    """
    known = dict(texts or {})
    if "messages" not in known and "messages" in given:
        known["messages"] = Text(bytes(given["messages"]))
    present: dict[str, bytes] = {}
    for name in _FIRST:
        if name in given and (member := _IS_TEXT if name in known else bytes(given[name])) != b"null":
            present[name] = member
    for name, value in given.items():
        if name not in _FIRST and (member := _IS_TEXT if name in known else bytes(value)) != b"null":
            present[name] = member
    if "messages" not in known or not known["messages"].starts_with(b"["):
        raise BadRequest("messages: a list is required", param="messages")
    return _Fitting(present, known, quirks, max_output_tokens).run(betas, known_betas)


class _Fitting:
    """The steps over one body. `out`: its members in their order, as JSON bytes; those that are searched in `texts`.
    What is left out of them is named in `_unused`."""

    def __init__(self, out: dict[str, bytes], texts: dict[str, Text], quirks: Quirks, max_output_tokens: int) -> None:
        self._texts = texts
        self._quirks = quirks
        self._max_output_tokens = max_output_tokens
        self._unused: list[str] = []
        self._out = out

    def run(self, betas: Sequence[str], known_betas: frozenset[str]) -> InvokeBody:
        given = self._out
        kept_betas = self._betas(betas, known_betas) if betas or "anthropic_beta" in given else []
        self._fields(kept_betas)
        if "system" in given:
            self._billing_header()
        self._system_turns()
        if "tools" in given:
            self._tools(kept_betas)
        self._tools_of_history()
        self._cache_points()
        max_tokens = self._max_tokens()
        if "thinking" in given:
            self._thinking(max_tokens)
        if "output_config" in given:
            self._output_config()
        if "tool_choice" in given or not self._quirks.sampling:
            self._sampling_and_choice()
        self._out["anthropic_version"] = _VERSION_MEMBER
        if kept_betas:
            self._out["anthropic_beta"] = _encode(kept_betas)
        head: list[bytes] = []
        tail: list[bytes] = []
        pieces, joint = head, b"{"
        for name, member in self._out.items():
            pieces += (joint, b'"', name.encode(), b'":')
            joint = b","
            if name == "messages":
                pieces = tail
            else:
                pieces.append(member if name not in self._texts else bytes(self._texts[name]))
        tail.append(b"}")
        unused = tuple(dict.fromkeys(self._unused))
        return InvokeBody(b"".join(head), self._texts["messages"], b"".join(tail), unused)

    def _bytes(self, name: str) -> bytes:
        text = self._texts.get(name)
        return self._out[name] if text is None else bytes(text)

    def _text(self, name: str) -> Text:
        """The member to be searched: the same one until it is changed."""
        if name not in self._texts:
            self._texts[name] = Text(self._out[name])
        return self._texts[name]

    def _put(self, name: str, member: bytes) -> None:
        self._texts.pop(name, None)
        self._out[name] = member
        if name == "messages":
            self._texts[name] = Text(member)

    def _betas(self, header: Sequence[str], known: frozenset[str]) -> list[str]:
        raw = self._out.get("anthropic_beta")
        if raw is None and not header:
            return []
        asked = dict.fromkeys((*(decode(raw, list[str], "anthropic_beta") if raw else ()), *header))
        kept = []
        for beta in asked:
            fits = (self._quirks.effort or not beta.startswith("effort-")) and (
                bool(self._quirks.thinking) or not beta.startswith("interleaved-thinking-")
            )
            if beta in known and fits:
                kept.append(beta)
            elif beta:
                self._unused.append(f"anthropic_beta.{beta}")
        return kept

    def _fields(self, betas: list[str]) -> None:
        allowed = _ALLOWED | {"context_management"} if CONTEXT_MANAGEMENT_BETA in betas else _ALLOWED
        for name in list(self._out):
            if name not in allowed:
                del self._out[name]
                if name not in _SAID_OTHERWISE:
                    self._unused.append(name)

    def _billing_header(self) -> None:
        if not self._text("system").starts_with(b"["):
            return
        if not self._text("system").holds(_BILLING_HEADER):
            return
        system = self._bytes("system")
        blocks = decode(system, list[msgspec.Raw], "system")
        kept = [
            block for block in blocks if not (decode(block, _Typed, "system").text or "").startswith(BILLING_HEADER)
        ]
        if len(kept) == len(blocks):
            return
        self._unused.append("system." + BILLING_HEADER.rstrip(":"))
        if kept:
            self._put("system", _encode(kept))
        else:
            del self._out["system"]

    def _system_turns(self) -> None:
        # the second search is slower and hardly ever needed
        if not self._text("messages").holds(b'"system"'):
            return
        raw = self._bytes("messages")
        if not _SYSTEM_ROLE.search(raw):
            return
        turns = decode(raw, list[_Turn], "messages")
        if all(turn.role != "system" for turn in turns):
            return
        leading, turns = _fold_system_turns(turns)
        if leading:
            given = self._bytes("system") if "system" in self._out else None
            self._put("system", _encode([*_blocks(given), *leading]))
            self._order()
        self._put("messages", _encode([{"role": turn.role, "content": turn.content} for turn in turns]))

    def _order(self) -> None:
        names = (*_FIRST, *self._out)
        self._out = {name: self._out[name] for name in names if name in self._out}

    def _tools(self, betas: list[str]) -> None:
        if "tools" not in self._out:
            return
        banned = {name for name, beta in _TOOL_EXTRAS.items() if beta not in betas}
        if not self._quirks.json_schema:
            banned.add("strict")
        text = self._text("tools")
        if not any(text.holds(word) for word in (*_SERVER_WORDS, *(b'"%b"' % name.encode() for name in banned))):
            return
        tools = decode(bytes(text), list[Members], "tools")
        kept: list[Members] = []
        changed = False
        for tool in tools:
            kind = decode(tool["type"], str | None, "tools") if "type" in tool else None  # type: ignore[arg-type]
            if kind and kind.startswith(_SERVER_TOOLS):
                self._unused.append(f"tools.{kind}")
                changed = True
                continue
            extras = banned & tool.keys()
            self._unused += (f"tools.{name}" for name in sorted(extras))
            changed = changed or bool(extras)
            kept.append({name: value for name, value in tool.items() if name not in extras})
        if changed:
            self._replace_tools(kept)

    def _tools_of_history(self) -> None:
        """A bare definition of each tool the history uses: Bedrock refuses tool blocks in a request without tools."""
        text = self._text("messages")
        if "tools" in self._out and self._bytes("tools") != b"[]":
            return
        if not any(text.holds(word) for word in _TOOL_BLOCKS):
            return
        raw = bytes(text)
        names: dict[str, None] = {}
        for turn in decode(raw, list[_Turn], "messages"):
            blocks = [decode(block, _Typed, "messages") for block in _blocks(turn.content)]
            names |= dict.fromkeys(block.name for block in blocks if block.type == "tool_use" and block.name)
        if names:
            self._put("tools", _encode([{"name": name, "input_schema": {"type": "object"}} for name in names]))
            self._order()

    def _replace_tools(self, kept: list[Members]) -> None:
        names = {bytes(tool.get("name", msgspec.Raw())) for tool in kept}
        choice = decode(self._out.get("tool_choice", b"{}"), Members, "tool_choice")
        if not kept or ("name" in choice and bytes(choice["name"]) not in names):
            self._out.pop("tool_choice", None)
        if kept:
            self._put("tools", _encode(kept))
        else:
            del self._out["tools"]

    def _cache_points(self) -> None:
        limit = MAX_CACHE_POINTS if self._quirks.cache_min_tokens else 0
        places = [name for name in _FIRST if name in self._out]
        marks = [mark for name in places for mark in _marks(self._text(name))]
        is_odd = any(b'"scope"' in mark or (b'"1h"' in mark and not self._quirks.cache_ttl_1h) for mark in marks)
        if len(marks) <= limit and not is_odd:
            return
        found = 0

        def count(mark: msgspec.Raw) -> msgspec.Raw:
            nonlocal found
            found += 1
            return mark

        for name in places:
            _each_mark(msgspec.Raw(self._bytes(name)), count)
        skip = max(found - limit, 0)

        def fit(mark: msgspec.Raw) -> msgspec.Raw | None:
            nonlocal skip
            skip -= 1
            return None if skip >= 0 else self._cache_control(mark)

        if skip:
            self._unused.append("cache_control")
        for name in places:
            self._put(name, bytes(_each_mark(msgspec.Raw(self._bytes(name)), fit)))

    def _cache_control(self, given: msgspec.Raw) -> msgspec.Raw:
        ttl = decode(given, Members, "cache_control").get("ttl", msgspec.Raw())
        is_long = self._quirks.cache_ttl_1h and bytes(ttl) == b'"1h"'
        return _raw({"type": "ephemeral", "ttl": "1h"} if is_long else {"type": "ephemeral"})

    def _max_tokens(self) -> int:
        raw = self._out.get("max_tokens")
        asked = decode(raw, int, "max_tokens") if raw else None
        if asked is not None and asked < 1:
            raise BadRequest("max_tokens: must be at least 1", param="max_tokens")
        max_tokens = fit_max_tokens(asked, self._max_output_tokens)
        if max_tokens != asked:
            self._out["max_tokens"] = _encode(max_tokens)
        return max_tokens

    def _thinking(self, max_tokens: int) -> None:
        raw = self._out.get("thinking")
        if raw is None:
            return
        asked = decode(raw, _Thinking, "thinking")
        effort = self._effort()
        fitted = fit_reasoning(Reasoning(asked.type, asked.budget_tokens, effort), self._quirks, max_tokens)
        if asked.type == "adaptive" and fitted.mode == "enabled" and self._loop_without_thinking():
            fitted = Reasoning()
        if fitted.mode == "unset":
            del self._out["thinking"]
            self._unused.append("thinking")
        elif fitted.mode == "enabled" and (asked.type, asked.budget_tokens) != ("enabled", fitted.budget_tokens):
            self._out["thinking"] = _encode({"type": "enabled", "budget_tokens": fitted.budget_tokens})
        elif fitted.mode != asked.type:
            self._out["thinking"] = _encode({"type": fitted.mode})

    def _loop_without_thinking(self) -> bool:
        """Whether Claude could refuse a thinking budget: calls in the history that were made without thinking."""
        text = self._text("messages")
        return text.holds(b'"tool_use"') and not text.holds(b'"signature"') and not text.holds(b'"redacted_thinking"')

    def _effort(self) -> str:
        raw = self._out.get("output_config")
        effort = decode(raw, Members, "output_config").get("effort") if raw else None
        return (decode(effort, str | None, "output_config.effort") or "") if effort else ""  # type: ignore[arg-type]

    def _output_config(self) -> None:
        raw = self._out.get("output_config")
        if raw is None:
            return
        config = decode(raw, Members, "output_config")
        allowed = {"effort": self._quirks.effort, "format": self._quirks.json_schema}
        kept = {name: value for name, value in config.items() if allowed.get(name)}
        if len(kept) == len(config):
            return
        self._unused += (f"output_config.{name}" for name in config if name not in kept)
        if kept:
            self._out["output_config"] = _encode(kept)
        else:
            del self._out["output_config"]

    def _sampling_and_choice(self) -> None:
        if not self._quirks.sampling:
            for name in ("temperature", "top_p", "top_k"):
                if self._out.pop(name, None) is not None:
                    self._unused.append(name)
        raw = self._out.get("tool_choice")
        if raw is None or self._quirks.forced_tool_choice:
            return
        choice = decode(raw, Members, "tool_choice")
        if bytes(choice.get("type", msgspec.Raw())) in (b'"any"', b'"tool"'):
            choice["type"] = _raw("auto")
            choice.pop("name", None)
            self._out["tool_choice"] = _encode(choice)
            self._unused.append("tool_choice")


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(_encode(value))


def _marks(member: Text) -> list[bytes]:
    """The text of each cache_control object; found by search, since parsing costs more and they are few."""
    places = member.positions(_CACHE_CONTROL)
    if places is None:
        return _CACHE_OBJECT.findall(bytes(member))
    return [mark[0] for at in places if (mark := _CACHE_OBJECT.match(member.body, at))]


def _blocks(content: msgspec.Raw | bytes | None) -> list[msgspec.Raw]:
    """The blocks of a content that may be a string or missing."""
    if content is None:
        return []
    if bytes(content).startswith(b'"'):
        return [_raw({"type": "text", "text": msgspec.Raw(content)})]
    return decode(content, list[msgspec.Raw], "messages")


def _fold_system_turns(turns: Iterable[_Turn]) -> tuple[list[msgspec.Raw], list[_Turn]]:
    """System turns at the top as system blocks; later ones as marked user text, where tool results stay first."""
    leading: list[msgspec.Raw] = []
    folded: list[_Turn] = []
    carried: list[msgspec.Raw] = []  # text that joins the user turn it belongs to
    for turn in turns:
        if turn.role == "system" and not folded and not carried:
            leading += _blocks(turn.content)
        elif turn.role == "system":
            carried += map(_as_user_text, _blocks(turn.content))
        elif turn.role == "user" and carried:
            blocks = _blocks(turn.content)
            split = _end_of_results(blocks)
            _add_user(folded, [*blocks[:split], *carried, *blocks[split:]])
            carried = []
        else:
            if carried:
                _add_user(folded, carried)
                carried = []
            folded.append(turn)
    if carried:
        _add_user(folded, carried)
    return leading, folded


def _add_user(folded: list[_Turn], blocks: list[msgspec.Raw]) -> None:
    if folded and folded[-1].role == "user":
        folded[-1] = _Turn("user", _raw([*_blocks(folded[-1].content), *blocks]))
    else:
        folded.append(_Turn("user", _raw(blocks)))


def _end_of_results(blocks: list[msgspec.Raw]) -> int:
    for at in range(len(blocks), 0, -1):
        if decode(blocks[at - 1], _Typed, "messages").type == "tool_result":
            return at
    return 0


def _as_user_text(block: msgspec.Raw) -> msgspec.Raw:
    members = decode(block, Members, "messages")
    if "text" not in members:
        raise BadRequest("messages: a system message holds text only", param="messages")
    members["text"] = _raw(system_as_user(decode(members["text"], str, "messages")))
    return _raw(members)


def _each_mark(raw: msgspec.Raw, change: Callable[[msgspec.Raw], msgspec.Raw | None], depth: int = 3) -> msgspec.Raw:
    """The list with `change` made to each cache_control of its blocks and of their content; None removes it.

    What carries no mark stays the same bytes. `depth`: messages, their blocks, the blocks of a tool result."""
    text = bytes(raw)
    if depth == 0 or not text.startswith(b"[") or b'"cache_control"' not in text:
        return raw
    edited: list[msgspec.Raw] = []
    for item in decode(raw, list[msgspec.Raw], "body"):
        text = bytes(item)
        if not text.startswith(b"{") or b'"cache_control"' not in text:
            edited.append(item)
            continue
        members = decode(item, Members, "body")
        if "content" in members:
            members["content"] = _each_mark(members["content"], change, depth - 1)
        mark = members.get("cache_control")
        if mark is not None and bytes(mark).startswith(b"{"):
            changed = change(mark)
            if changed is None:
                del members["cache_control"]
            else:
                members["cache_control"] = changed
        edited.append(_raw(members))
    return _raw(edited)
