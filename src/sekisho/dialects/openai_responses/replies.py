"""OpenAI Responses, the answer for a client: neutral events to typed stream events or a response object.

Each block becomes an output item: text a message, thinking a reasoning item, a tool block a function or custom call.
The request's own fields (tools, instructions) are not echoed. Source: OpenAI API reference (responses streaming).
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from sekisho.dialects.exchange import (
    BlockEnded,
    Event,
    Metered,
    RedactedThinking,
    Request,
    Started,
    Stopped,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolDelta,
    ToolOrigin,
)
from sekisho.dialects.openai import Block, error_object, grow
from sekisho.dialects.openai_responses.thinking import render_encrypted
from sekisho.dialects.reading import UNREADABLE
from sekisho.dialects.sse import KEEPALIVE, render_event
from sekisho.errors import ContextTooLong, RateLimited, SekishoError, UpstreamRejected
from sekisho.values import StopReason, Usage

JsonObject = dict[str, Any]

_INCOMPLETE: dict[StopReason, str] = {
    "max_tokens": "max_output_tokens",
    "model_context_window_exceeded": "max_output_tokens",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}
_FILTERED = "The answer was ended by a content filter."


def tool_origins(request: Request) -> dict[str, ToolOrigin]:
    """Flat name to what the client called it, for the tools that differ."""
    return {tool.name: tool.origin for tool in request.tools if tool.origin is not None}


def failure_code(error: SekishoError) -> str:
    """The code that makes Codex do the right thing in the middle of a stream.

    "invalid_prompt" shows our message and stops, so it stands for every refusal; "context_length_exceeded" compacts;
    "rate_limit_exceeded" waits and tries again; "server_is_overloaded" stops, where any other code would buy the same
    answer up to five times more."""
    if isinstance(error, ContextTooLong):
        return "context_length_exceeded"
    if isinstance(error, RateLimited):
        return "rate_limit_exceeded"
    if isinstance(error, UpstreamRejected) or error.status < 500:
        return "invalid_prompt"
    return "server_is_overloaded"


class _Item:
    """An output item while it grows."""

    def __init__(self, block: Block, output_index: int, item_id: str, origin: ToolOrigin | None) -> None:
        self.block = block
        self.output_index = output_index
        self.id = item_id
        self.origin = origin
        self.has_part = False
        self.is_open = True

    @property
    def is_free_text(self) -> bool:
        return self.origin is not None and self.origin.is_free_text

    def render(self, status: str) -> JsonObject:
        """The item as it is now; `status` in_progress shows it empty, as the protocol adds it."""
        is_done = status != "in_progress"
        if self.block.kind == "text":
            content = [_text_part(self.block.content)] if is_done else []
            return {"id": self.id, "type": "message", "status": status, "role": "assistant", "content": content}
        if self.block.kind == "tool":
            return self._render_call(status, is_done)
        item: JsonObject = {"id": self.id, "type": "reasoning", "summary": []}
        part = self.block.part()
        if is_done and isinstance(part, Thinking | RedactedThinking):
            item["encrypted_content"] = render_encrypted(part)
            if isinstance(part, Thinking) and part.text:
                item["summary"] = [_summary_part(part.text)]
        return item

    def _render_call(self, status: str, is_done: bool) -> JsonObject:
        origin = self.origin or ToolOrigin(self.block.name)
        item: JsonObject = {"id": self.id, "call_id": self.block.tool_id, "name": origin.name, "status": status}
        if origin.namespace:
            item["namespace"] = origin.namespace
        if origin.is_free_text:
            return item | {"type": "custom_tool_call", "input": _free_text(self.block.content) if is_done else ""}
        return item | {"type": "function_call", "arguments": (self.block.content or "{}") if is_done else ""}


class ReplyRenderer:
    """Writes one response. `created`: seconds since the epoch; `origins`: from `tool_origins` of the request."""

    media_type = b"text/event-stream"

    def __init__(
        self, *, call_id: str, model: str, created: int, origins: Mapping[str, ToolOrigin] | None = None
    ) -> None:
        self._call_id = call_id
        self._model = model
        self._created = created
        self._origins = origins or {}
        self._has_begun = False
        self._sequence_number = 0
        self._blocks: dict[int, Block] = {}
        self._items: dict[int, _Item] = {}
        self._stop_reason: StopReason = "end_turn"
        self._usage: Usage | None = None

    def events(self, events: list[Event]) -> bytes:
        written: list[bytes] = []
        for event in events:
            self._event(event, written)
        return b"".join(written)

    def finish(self, cost_nanousd: int | None) -> bytes:
        """The terminal event. The dialect has no place for the cost.

        A filtered answer ends as failed: Codex asks again for one that is "incomplete", and shows the failure's words.
        """
        written: list[bytes] = []
        self._begin(written)
        self._end_all(written)
        incomplete = _INCOMPLETE.get(self._stop_reason)
        if incomplete == "content_filter":
            failure = {"code": "invalid_prompt", "message": _FILTERED}
            self._write(written, "response.failed", {"response": self._response("failed", error=failure)})
        else:
            status = "incomplete" if incomplete else "completed"
            self._write(written, f"response.{status}", {"response": self._response(status, incomplete=incomplete)})
        return b"".join(written)

    def whole(self, events: list[Event], cost_nanousd: int | None) -> bytes:
        self.events(events)
        self._end_all([])
        incomplete = _INCOMPLETE.get(self._stop_reason)
        return msgspec.json.encode(self._response("incomplete" if incomplete else "completed", incomplete=incomplete))

    def failure(self, error: SekishoError) -> bytes:
        written: list[bytes] = []
        self._begin(written)
        failure = {"code": failure_code(error), "message": error_object(error, self._call_id)["message"]}
        self._write(written, "response.failed", {"response": self._response("failed", error=failure)})
        return b"".join(written)

    def keepalive(self) -> bytes:
        return KEEPALIVE

    def _event(self, event: Event, written: list[bytes]) -> None:
        match event:
            case Started():
                self._begin(written)
            case Stopped(reason=reason):
                self._stop_reason = reason
            case Metered(usage=usage):
                self._usage = usage
            case BlockEnded(index=index) if index in self._items:
                self._end(self._items[index], written)
            case _:
                block = grow(self._blocks, event)
                if block is not None:  # else the end of a block that held nothing
                    self._begin(written)
                    self._delta(event, self._item(event.index, block, written), written)

    def _begin(self, written: list[bytes]) -> None:
        if not self._has_begun:
            self._has_begun = True
            self._write(written, "response.created", {"response": self._response("in_progress")})
            self._write(written, "response.in_progress", {"response": self._response("in_progress")})

    def _item(self, index: int, block: Block, written: list[bytes]) -> _Item:
        item = self._items.get(index)
        if item is None:
            origin = self._origins.get(block.name) if block.kind == "tool" else None
            prefix = {"text": "msg", "tool": "ctc" if origin and origin.is_free_text else "fc"}.get(block.kind, "rs")
            item = _Item(block, len(self._items), f"{prefix}_{self._call_id}_{len(self._items)}", origin)
            self._items[index] = item
            added = {"output_index": item.output_index, "item": item.render("in_progress")}
            self._write(written, "response.output_item.added", added)
        return item

    def _delta(self, event: Event, item: _Item, written: list[bytes]) -> None:
        match event:
            case TextDelta(text=text):
                self._begin_part(item, written)
                self._write_of(item, written, "response.output_text.delta", content_index=0, delta=text, logprobs=[])
            case ThinkingDelta(text=text) if text:
                self._begin_part(item, written)
                self._write_of(item, written, "response.reasoning_summary_text.delta", summary_index=0, delta=text)
            case ToolDelta(json=fragment) if fragment and not item.is_free_text:
                self._write_of(item, written, "response.function_call_arguments.delta", delta=fragment)
            case _:
                pass  # signatures and free text are shown when the item is done

    def _begin_part(self, item: _Item, written: list[bytes]) -> None:
        if item.has_part:
            return
        item.has_part = True
        if item.block.kind == "text":
            self._write_of(item, written, "response.content_part.added", content_index=0, part=_text_part(""))
        else:
            self._write_of(
                item, written, "response.reasoning_summary_part.added", summary_index=0, part=_summary_part("")
            )

    def _end_all(self, written: list[bytes]) -> None:
        for item in self._items.values():
            self._end(item, written)

    def _end(self, item: _Item, written: list[bytes]) -> None:
        if not item.is_open:
            return
        item.is_open = False
        content = item.block.content
        if item.block.kind == "tool":
            self._end_call(item, content, written)
        elif item.has_part and item.block.kind == "text":
            at = {"content_index": 0}
            self._write_of(item, written, "response.output_text.done", **at, text=content, logprobs=[])
            self._write_of(item, written, "response.content_part.done", **at, part=_text_part(content))
        elif item.has_part:
            at = {"summary_index": 0}
            self._write_of(item, written, "response.reasoning_summary_text.done", **at, text=content)
            self._write_of(item, written, "response.reasoning_summary_part.done", **at, part=_summary_part(content))
        done = {"output_index": item.output_index, "item": item.render("completed")}
        self._write(written, "response.output_item.done", done)

    def _end_call(self, item: _Item, content: str, written: list[bytes]) -> None:
        if item.is_free_text:
            text = _free_text(content)
            self._write_of(item, written, "response.custom_tool_call_input.delta", delta=text)
            self._write_of(item, written, "response.custom_tool_call_input.done", input=text)
            return
        name = item.origin.name if item.origin else item.block.name
        if not content:
            self._write_of(item, written, "response.function_call_arguments.delta", delta="{}")
        self._write_of(item, written, "response.function_call_arguments.done", name=name, arguments=content or "{}")

    def _write_of(self, item: _Item, written: list[bytes], kind: str, **fields: Any) -> None:
        self._write(written, kind, {"item_id": item.id, "output_index": item.output_index, **fields})

    def _write(self, written: list[bytes], kind: str, fields: JsonObject) -> None:
        data = {"type": kind, "sequence_number": self._sequence_number, **fields}
        self._sequence_number += 1
        written.append(render_event(msgspec.json.encode(data), kind.encode()))

    def _response(self, status: str, *, incomplete: str | None = None, error: JsonObject | None = None) -> JsonObject:
        items = [item.render("incomplete" if item.is_open else "completed") for item in self._items.values()]
        return {
            "id": f"resp_{self._call_id}",
            "object": "response",
            "created_at": self._created,
            "status": status,
            "error": error,
            "incomplete_details": {"reason": incomplete} if incomplete else None,
            "instructions": None,
            "max_output_tokens": None,
            "model": self._model,
            "output": items,
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "reasoning": {"effort": None, "summary": None},
            "store": False,
            "temperature": None,
            "text": {"format": {"type": "text"}},
            "tool_choice": "auto",
            "tools": [],
            "top_p": None,
            "truncation": "disabled",
            "usage": _render_usage(self._usage) if self._usage is not None else None,
            "metadata": {},
        }


def _text_part(text: str) -> JsonObject:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _summary_part(text: str) -> JsonObject:
    return {"type": "summary_text", "text": text}


def _free_text(arguments: str) -> str:
    """The property "input" of a free-text call; what the model wrote instead, when it kept to no form."""
    try:
        value = msgspec.json.decode(arguments)
    except (*UNREADABLE, UnicodeEncodeError):
        return arguments
    text = value.get("input") if isinstance(value, dict) else None
    return text if isinstance(text, str) else arguments


def _render_usage(usage: Usage) -> JsonObject:
    written = usage.cache_write_5m_tokens + usage.cache_write_1h_tokens
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cache_read_tokens, "cache_write_tokens": written},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
    }
