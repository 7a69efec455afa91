"""OpenAI chat completions, the answer for a client: neutral events to stream or body.

Thinking goes out as `reasoning_content`; once signed, again as a whole in `thinking_blocks`, so that a client which
keeps message fields can send it back. An error in the stream is an `error` object, then the terminator: the agents show
it and stop, where a stream that merely ends makes some of them ask again without bound.
"""

from typing import Any

import msgspec

from sekisho.dialects.exchange import (
    BlockEnded,
    Event,
    RedactedThinking,
    Started,
    Stopped,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ThinkingRedacted,
    ThinkingSigned,
    ToolDelta,
    ToolStarted,
)
from sekisho.dialects.openai import Answer, error_object, gather
from sekisho.dialects.openai_chat.usage import render_usage
from sekisho.dialects.sse import KEEPALIVE, render_event
from sekisho.errors import SekishoError
from sekisho.values import StopReason, Usage

TERMINATOR = render_event(b"[DONE]")
MEDIA_TYPE = b"text/event-stream"

# "stop" for malformed answers: the dialect has no word for them, and without a finish reason agents ask again
FINISH_REASONS: dict[StopReason, str] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
    "malformed_model_output": "stop",
    "malformed_tool_use": "stop",
}


def render_failure(error: SekishoError, call_id: str) -> bytes:
    """What ends a stream that has begun."""
    return render_event(msgspec.json.encode({"error": error_object(error, call_id)})) + TERMINATOR


class ReplyRenderer:
    """Writes one chat completion. `created`: seconds since the epoch."""

    media_type = MEDIA_TYPE

    def __init__(self, *, call_id: str, model: str, created: int, wants_usage: bool) -> None:
        self._call_id = call_id
        self._id = f"chatcmpl-{call_id}"
        self._model = model
        self._created = created
        self._wants_usage = wants_usage
        head = {"id": self._id, "object": "chat.completion.chunk", "created": created, "model": model}
        self._head = msgspec.json.encode(head)[:-1]
        self._before_delta = b"data: " + self._head + b',"choices":[{"index":0,"delta":'
        self._has_role = False
        self._tool_numbers: dict[int, int] = {}
        self._without_input: set[int] = set()
        self._thinking: dict[int, list[str]] = {}
        self._thinking_blocks = 0
        self._stop_reason: StopReason = "end_turn"
        self._usage: Usage | None = None

    def events(self, events: list[Event]) -> bytes:
        return b"".join([self._event(event) for event in events])

    def finish(self, cost_nanousd: int | None) -> bytes:
        reason = msgspec.json.encode(FINISH_REASONS[self._stop_reason])
        chunks = [self._role(), self._before_delta, b'{},"finish_reason":', reason, b"}]}\n\n"]
        if self._wants_usage and self._usage is not None:
            usage = msgspec.json.encode(render_usage(self._usage, cost_nanousd))
            chunks += [b"data: ", self._head, b',"choices":[],"usage":', usage, b"}\n\n"]
        return b"".join([*chunks, TERMINATOR])

    def whole(self, events: list[Event], cost_nanousd: int | None) -> bytes:
        answer = gather(events)
        choice = {
            "index": 0,
            "message": _message(answer),
            "logprobs": None,
            "finish_reason": FINISH_REASONS[answer.stop_reason],
        }
        body: dict[str, Any] = {
            "id": self._id,
            "object": "chat.completion",
            "created": self._created,
            "model": self._model,
            "choices": [choice],
        }
        if answer.usage is not None:
            body["usage"] = render_usage(answer.usage, cost_nanousd)
        return msgspec.json.encode(body)

    def failure(self, error: SekishoError) -> bytes:
        return render_failure(error, self._call_id)

    def keepalive(self) -> bytes:
        return KEEPALIVE

    def _event(self, event: Event) -> bytes:
        match event:
            case Started():
                return self._role()
            case TextDelta(text=text):
                return self._chunk(b'{"content":' + msgspec.json.encode(text) + b"}")
            case ThinkingDelta(index=index, text=text):
                self._thinking.setdefault(index, []).append(text)
                return self._chunk(b'{"reasoning_content":' + msgspec.json.encode(text) + b"}")
            case ThinkingSigned(index=index, signature=signature):
                text = "".join(self._thinking.pop(index, ()))
                return self._thinking_block({"type": "thinking", "thinking": text, "signature": signature})
            case ThinkingRedacted(data=data):
                return self._thinking_block({"type": "redacted_thinking", "data": data})
            case ToolStarted():
                return self._tool_start(event)
            case ToolDelta(index=index, json=fragment):
                return self._tool_delta(index, fragment) if fragment else b""
            case BlockEnded(index=index):
                # a call without input is an empty object; some agents cannot read empty text
                return self._tool_delta(index, "{}") if index in self._without_input else b""
            case Stopped(reason=reason):
                self._stop_reason = reason
            case _:
                self._usage = event.usage
        return b""

    def _role(self) -> bytes:
        if self._has_role:
            return b""
        self._has_role = True
        return self._before_delta + b'{"role":"assistant","content":""},"finish_reason":null}]}\n\n'

    def _chunk(self, delta: bytes) -> bytes:
        return self._role() + self._before_delta + delta + b',"finish_reason":null}]}\n\n'

    def _thinking_block(self, block: dict[str, str]) -> bytes:
        """The official SDK's accumulator joins list entries by their `index` and fails without one."""
        entry = {"index": self._thinking_blocks, **block}
        self._thinking_blocks += 1
        return self._chunk(msgspec.json.encode({"thinking_blocks": [entry]}))

    def _tool_start(self, event: ToolStarted) -> bytes:
        number = self._tool_numbers.setdefault(event.index, len(self._tool_numbers))
        self._without_input.add(event.index)
        function = {"name": event.name, "arguments": ""}
        call = {"index": number, "id": event.id, "type": "function", "function": function}
        return self._chunk(msgspec.json.encode({"tool_calls": [call]}))

    def _tool_delta(self, index: int, fragment: str) -> bytes:
        self._without_input.discard(index)
        call = {"index": self._tool_numbers[index], "function": {"arguments": fragment}}
        return self._chunk(msgspec.json.encode({"tool_calls": [call]}))


def _message(answer: Answer) -> dict[str, Any]:
    texts: list[str] = []
    thinking: list[dict[str, str]] = []
    calls: list[dict[str, Any]] = []
    for part in answer.parts:
        match part:
            case Text(text=text):
                texts.append(text)
            case Thinking(text=text, signature=signature):
                thinking.append({"type": "thinking", "thinking": text, "signature": signature})
            case RedactedThinking(data=data):
                thinking.append({"type": "redacted_thinking", "data": data})
            case _:
                function = {"name": part.name, "arguments": part.input}
                calls.append({"id": part.id, "type": "function", "function": function})
    content = "".join(texts) if texts or not calls else None
    message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None}
    if thinking:
        message["reasoning_content"] = "".join(block.get("thinking", "") for block in thinking)
        message["thinking_blocks"] = thinking
    if calls:
        message["tool_calls"] = calls
    return message
