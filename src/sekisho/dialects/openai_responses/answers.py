"""Reads an answer of the Responses API back, as its client got it: what `replies` writes, and what OpenAI does.

A stream is read by its finished items; an item that the stream broke off is read by its deltas.
"""

from typing import Any

import msgspec

from sekisho.dialects.exchange import Event, TextDelta, ThinkingDelta, ToolDelta, ToolStarted
from sekisho.dialects.sse import SseParser
from sekisho.errors import SekishoError


class _Answer(msgspec.Struct):
    output: list[dict[str, Any]] = []


class _StreamEvent(msgspec.Struct):
    type: str = ""
    output_index: int = 0
    item: dict[str, Any] = {}
    delta: Any = None


_DELTAS: dict[str, type[TextDelta | ThinkingDelta | ToolDelta]] = {
    "response.output_text.delta": TextDelta,
    "response.refusal.delta": TextDelta,
    "response.reasoning_summary_text.delta": ThinkingDelta,
    "response.reasoning_text.delta": ThinkingDelta,
    "response.function_call_arguments.delta": ToolDelta,
    "response.custom_tool_call_input.delta": ToolDelta,
}
_decode_event = msgspec.json.Decoder(_StreamEvent, strict=False).decode
_decode_answer = msgspec.json.Decoder(_Answer).decode


class AnswerParser:
    """`exchange.ReplyParser` for what clients get; says nothing of usage. Raises msgspec.DecodeError."""

    def __init__(self) -> None:
        self._sse = SseParser()
        self.is_complete = False
        self.failed: SekishoError | None = None

    def feed(self, data: bytes) -> list[Event]:
        """The events of a whole stream, or of as much of one as there is."""
        begun: dict[int, list[Event]] = {}
        for one in self._sse.feed(data):
            if one.data == b"[DONE]":
                continue
            event = _decode_event(one.data)
            if event.type == "response.output_item.added":
                begun[event.output_index] = _opening(event.item, event.output_index)
            elif event.type == "response.output_item.done":
                begun[event.output_index] = _item(event.item, event.output_index)
            elif kind := _DELTAS.get(event.type):
                begun.setdefault(event.output_index, []).append(kind(event.output_index, str(event.delta)))
            self.is_complete = self.is_complete or event.type in ("response.completed", "response.incomplete")
        return [event for _, events in sorted(begun.items()) for event in events]

    def whole(self, body: bytes) -> list[Event]:
        """The events of a whole answer."""
        output = _decode_answer(body).output
        return [event for index, item in enumerate(output) for event in _item(item, index)]


def _opening(item: dict[str, Any], index: int) -> list[Event]:
    if item.get("type") in ("function_call", "custom_tool_call"):
        return [ToolStarted(index, str(item.get("call_id", "")), str(item.get("name", "")))]
    return []


def _item(item: dict[str, Any], index: int) -> list[Event]:
    """What a finished item says."""
    match item.get("type"):
        case "message":
            return [TextDelta(index, text) for text in _texts(item.get("content"), "text", "refusal")]
        case "reasoning":
            return [ThinkingDelta(index, text) for text in _texts(item.get("summary"), "text")]
        case "function_call" | "custom_tool_call":
            text = item.get("arguments", item.get("input", ""))
            return [*_opening(item, index), ToolDelta(index, str(text))]
    return []


def _texts(parts: Any, *names: str) -> list[str]:
    if not isinstance(parts, list):
        return []
    return [str(part[name]) for part in parts if isinstance(part, dict) for name in names if name in part]
