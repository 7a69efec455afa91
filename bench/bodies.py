"""The requests that are measured: a small call, and a late turn of a coding agent, as OpenAI's and Anthropic's clients
write it. The sizes are those of the design: 1 KB, 100 KB, 800 KB."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

Door = Literal["openai_chat", "anthropic_messages"]
MODEL = "claude-sonnet-4-5"
TURNS_BEFORE_REWIND = 20

_PROSE = "The checkpoint on the road writes down who passes, when, and with which papers; nobody passes unseen.\n"
_CODE = (
    '    def settle(self, call: "Call", usage: Usage) -> int:\n'
    '        """Book what the call has cost; the amount in nano-USD."""\n'
    '        path = "C:\\\\sekisho\\\\journal"  # \u95a2\u6240\n'
    "        return self._ledger.book(call.id, price(usage, call.model))\n"
)
_UNSEEN, _HERE = "@unseen@", "@here@"
_MARK = {"cache_control": {"type": "ephemeral"}}


def small_call(model: str = MODEL, *, stream: bool = False, text: str = "") -> bytes:
    """One short question: 1 KB, as the SDKs write it. The form is that of both doors."""
    body: dict[str, Any] = {"model": model, "max_tokens": 256}
    if stream:
        body["stream"] = True
    return _compact({**body, "messages": [{"role": "user", "content": text + "y" * (900 - len(text))}]})


@dataclass(frozen=True)
class Conversation:
    """A long conversation cut where it grows: bytes before what makes it a new one, before the newest turns, after."""

    door: Door
    head: bytes
    history: bytes
    tail: bytes

    def same(self) -> Iterator[bytes]:
        """The same request again and again: every block is known."""
        body = self._body(b"same", _asks(self.door, 0), 0)
        while True:
            yield body

    def next_turn(self, name: bytes) -> Iterator[bytes]:
        """The conversation goes on by an answer and a tool result each time.

        After so many turns they are taken back and others come instead, so that the size stays what it is."""
        number = 0
        while True:
            grown = _asks(self.door, number)
            for _ in range(TURNS_BEFORE_REWIND):
                yield self._body(name, grown, number)
                grown += _result(self.door, number, is_last=False) + b"," + _asks(self.door, number + 1)
                number += 1

    def unseen(self, name: bytes) -> Iterator[bytes]:
        """Another conversation each time: it differs from its first words on."""
        number = 0
        while True:
            number += 1
            yield self._body(b"%b-%d" % (name, number), _asks(self.door, 0), 0)

    def _body(self, name: bytes, grown: bytes, number: int) -> bytes:
        return b"".join((self.head, name, self.history, grown, _result(self.door, number, is_last=True), self.tail))


def conversation(door: Door, model: str, body_bytes: int) -> Conversation:
    """A conversation of an agent with 25 tools: 100 turns for 800 KB. Ten tool results are long files.

    Tools stand behind the messages, as every recorded agent puts them."""
    turns = 100 if body_bytes > 400_000 else 20
    bare, probe = (len(_compact(_request(door, model, turns, filler))) for filler in (0, 1_000))
    filler = max(0, body_bytes - bare) * 1_000 // (probe - bare)
    text = _compact(_request(door, model, turns, filler)).decode()
    head, rest = text.split(_UNSEEN)
    history, tail = rest.split(f'"{_HERE}"')
    return Conversation(door, head.encode(), history.encode(), tail.encode())


def _request(door: Door, model: str, turns: int, filler: int) -> dict[str, Any]:
    prompt = f"You are an agent for software engineering, session {_UNSEEN}.\n" + _PROSE * 120
    messages = _messages(door, turns, filler)
    if door == "openai_chat":
        return {
            "model": model,
            "messages": [{"role": "system", "content": prompt + _PROSE * 40}, *messages, _HERE],
            "max_tokens": 4_000,
            "tools": [{"type": "function", "function": _tool(number, "parameters")} for number in range(25)],
        }
    return {
        "model": model,
        "max_tokens": 4_000,
        "system": [{"type": "text", "text": prompt}, {"type": "text", "text": _PROSE * 40, **_MARK}],
        "messages": [*messages, _HERE],
        "metadata": {"user_id": "user_bench_account_bench_session_0f8fad5b-d9cb-469f-a165-70867728950e"},
        "tools": [_tool(number, "input_schema") for number in range(25)],
    }


def _messages(door: Door, turns: int, filler: int) -> list[object]:
    messages: list[object] = [{"role": "user", "content": "Please look at the first part."}]
    for number in range(turns // 2):
        if number:
            size = filler * 4 if number % 5 == 0 else filler // 4
            result = (_CODE * (size // len(_CODE) + 1))[:size] if size else ""
            messages.append(_result_message(door, f"old_{number - 1}", result, is_last=False))
        messages.append(_asking_message(door, f"old_{number}"))
    messages.append(_result_message(door, f"old_{turns // 2 - 1}", "done", is_last=False))
    return messages


def _asks(door: Door, number: int) -> bytes:
    return _compact(_asking_message(door, f"new_{number}")) + b","


def _result(door: Door, number: int, *, is_last: bool) -> bytes:
    return _compact(_result_message(door, f"new_{number}", f"{number} " + _CODE * 3, is_last=is_last))


def _asking_message(door: Door, call: str) -> dict[str, Any]:
    text, given = "I read the file first. " + _PROSE * 3, {"path": f"/src/{call}.py", "limit": 2000}
    if door == "openai_chat":
        function = {"name": "tool_3", "arguments": json.dumps(given)}
        used = {"id": f"call_{call}", "type": "function", "function": function}
        return {"role": "assistant", "content": text, "tool_calls": [used]}
    use = {"type": "tool_use", "id": f"toolu_{call}", "name": "tool_3", "input": given}
    return {"role": "assistant", "content": [{"type": "text", "text": text}, use]}


def _result_message(door: Door, call: str, result: str, *, is_last: bool) -> dict[str, Any]:
    """Anthropic's clients mark the last message for the cache, and no longer mark it when others have come."""
    if door == "openai_chat":
        return {"role": "tool", "tool_call_id": f"call_{call}", "content": result}
    block = {"type": "tool_result", "tool_use_id": f"toolu_{call}", "content": result}
    return {"role": "user", "content": [{**block, **(_MARK if is_last else {})}]}


def _tool(number: int, schema: str) -> dict[str, object]:
    properties = {f"field_{n}": {"type": "string", "description": _PROSE.strip()} for n in range(6)}
    return {
        "name": f"tool_{number}",
        "description": _PROSE * 12,
        schema: {"type": "object", "properties": properties, "required": ["field_0"]},
    }


def _compact(body: object) -> bytes:
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
