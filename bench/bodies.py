"""The requests that are measured: a small call, and a late turn of a coding agent shaped as Claude Code writes it."""

import json

MODEL = "claude-sonnet-4-5"

_PROSE = "The checkpoint on the road writes down who passes, when, and with which papers; nobody passes unseen.\n"
_CODE = (
    '    def settle(self, call: "Call", usage: Usage) -> int:\n'
    '        """Book what the call has cost; the amount in nano-USD."""\n'
    '        path = "C:\\\\sekisho\\\\journal"  # \u95a2\u6240\n'
    "        return self._ledger.book(call.id, price(usage, call.model))\n"
)


def small_call() -> bytes:
    """One short question: 1 KB, as the SDKs write it."""
    return _compact({"model": MODEL, "max_tokens": 256, "messages": [{"role": "user", "content": "y" * 900}]})


def whole_answer() -> bytes:
    """What the provider answers when it does not stream: 1 KB."""
    return _compact(
        {
            "id": "msg_bench",
            "type": "message",
            "role": "assistant",
            "model": MODEL,
            "content": [{"type": "text", "text": "x" * 800}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 210, "output_tokens": 190},
        }
    )


def agent_turn(turns: int = 100, body_bytes: int = 800_000, *, stream: bool = False) -> bytes:
    """The last of `turns` turns of an agent with 25 tools: system prompt, tool calls and their results; 800 KB.

    Ten of the tool results are long files, the rest grows evenly; tools stand behind the messages, as agents put them.
    """
    body = {
        "model": MODEL,
        "max_tokens": 32_000,
        "stream": stream,
        "system": [
            {"type": "text", "text": "You are an agent for software engineering.\n" + _PROSE * 120},
            {"type": "text", "text": _PROSE * 40, "cache_control": {"type": "ephemeral"}},
        ],
        "messages": _messages(turns, 0),
        "metadata": {"user_id": "user_bench_account_bench_session_0f8fad5b-d9cb-469f-a165-70867728950e"},
        "tools": [_tool(number) for number in range(25)],
    }
    missing = body_bytes - len(_compact(body))
    body["messages"] = _messages(turns, missing // (turns // 2) * len(_CODE) // (len(_compact(_CODE)) - 2))
    return _compact(body)


def _messages(turns: int, filler: int) -> list[object]:
    messages: list[object] = []
    for number in range(turns // 2):
        size = filler * 4 if number % 5 == 0 else filler // 4
        result = (_CODE * (size // len(_CODE) + 1))[:size] if size else ""
        asked: object = [{"type": "text", "text": f"Please look at part {number}."}]
        if number:
            asked = [
                {"type": "tool_result", "tool_use_id": f"toolu_{number - 1:024d}", "content": result},
                {"type": "text", "text": "<system-reminder>Keep the list of tasks up to date.</system-reminder>"},
            ]
        messages.append({"role": "user", "content": asked})
        messages.append(
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "I read the file first. " + _PROSE * 3},
                    {
                        "type": "tool_use",
                        "id": f"toolu_{number:024d}",
                        "name": "tool_3",
                        "input": {"path": f"/src/part_{number}.py", "limit": 2000},
                    },
                ],
            }
        )
    last = {"type": "tool_result", "tool_use_id": f"toolu_{turns // 2 - 1:024d}", "content": "done"}
    messages.append({"role": "user", "content": [{**last, "cache_control": {"type": "ephemeral"}}]})
    return messages


def _tool(number: int) -> dict[str, object]:
    properties = {f"field_{n}": {"type": "string", "description": _PROSE.strip()} for n in range(6)}
    return {
        "name": f"tool_{number}",
        "description": _PROSE * 12,
        "input_schema": {"type": "object", "properties": properties, "required": ["field_0"]},
    }


def _compact(body: object) -> bytes:
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
