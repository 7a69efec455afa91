"""What the providers of the bench answer, and what they say a call has used: ten kinds of answer, one after the other.

The usage differs from answer to answer, so that a ledger that is right only on average is found out.
"""

import base64
import json
from typing import Any, Literal, NamedTuple

from sekisho.dialects.bedrock.event_stream import encode_frame

Wire = Literal["openai_chat", "invoke", "converse"]
KINDS = 10
EVENTS = 200  # text events of a stream
_FRAME_HEADERS = {":content-type": "application/json", ":message-type": "event"}


class Said(NamedTuple):
    """Tokens of one answer, disjoint classes."""

    fresh: int
    cache_read: int
    cache_write: int
    output: int


def said(kind: int, wire: Wire) -> Said:
    """What an answer of this kind says it used. OpenAI's form has no class for cache writes."""
    return Said(210 + 13 * kind, 64 * kind, 0 if wire == "openai_chat" else 32 * kind, 190 + 7 * kind)


def whole_answer(kind: int, wire: Wire) -> bytes:
    """A whole answer of 1 KB."""
    text, usage = "x" * 800, usage_of(kind, wire)
    if wire == "openai_chat":
        spoken = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": spoken, "finish_reason": "stop"}
        return _compact(
            {
                "id": "chatcmpl-bench",
                "object": "chat.completion",
                "created": 1_790_000_000,
                "model": "gpt-4o-mini",
                "choices": [choice],
                "usage": usage,
            }
        )
    content: Any = [{"type": "text", "text": text}]
    if wire == "invoke":
        head: dict[str, Any] = {"id": "msg_bench", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5"}
        return _compact({**head, "content": content, "stop_reason": "end_turn", "stop_sequence": None, "usage": usage})
    message: dict[str, Any] = {"role": "assistant", "content": [{"text": text}]}
    metrics = {"latencyMs": 900}
    return _compact({"output": {"message": message}, "stopReason": "end_turn", "usage": usage, "metrics": metrics})


def usage_of(kind: int, wire: Wire) -> dict[str, Any]:
    """The same tokens in the provider's words."""
    used = said(kind, wire)
    if wire == "openai_chat":
        prompt = used.fresh + used.cache_read
        return {
            "prompt_tokens": prompt,
            "completion_tokens": used.output,
            "total_tokens": prompt + used.output,
            "prompt_tokens_details": {"cached_tokens": used.cache_read},
        }
    if wire == "invoke":
        return {
            "input_tokens": used.fresh,
            "cache_read_input_tokens": used.cache_read,
            "cache_creation_input_tokens": used.cache_write,
            "output_tokens": used.output,
        }
    return {
        "inputTokens": used.fresh,
        "cacheReadInputTokens": used.cache_read,
        "cacheWriteInputTokens": used.cache_write,
        "outputTokens": used.output,
        "totalTokens": sum(used),
    }


class Script(NamedTuple):
    """A stream in three parts, as HTTP chunks: what comes first, and what ends it (by kind of answer)."""

    first: bytes
    last: tuple[bytes, ...]


def script(wire: Wire, *, with_usage: bool = True) -> Script:
    """The parts around the text events. `with_usage`: whether OpenAI's extra usage event was asked for."""
    render = {"openai_chat": _openai_ends, "invoke": _invoke_ends, "converse": _converse_ends}[wire]
    parts = [render(kind, with_usage) for kind in range(KINDS)]
    return Script(parts[0][0], tuple(last + b"0\r\n\r\n" for _, last in parts))


def text_event(wire: Wire, text: str) -> bytes:
    """One text event as an HTTP chunk. Bedrock's padding says the text too, for readers that see only bytes."""
    if wire == "openai_chat":
        return _openai_event({"content": text}, None)
    if wire == "invoke":
        event = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
        return _invoke_event(event, text)
    return _frame("contentBlockDelta", {"delta": {"text": text}, "contentBlockIndex": 0, "p": text})


def _openai_ends(kind: int, with_usage: bool) -> tuple[bytes, bytes]:
    usage = {"choices": [], "usage": usage_of(kind, "openai_chat")}
    last = _openai_event({}, "stop") + (_openai_raw(usage) if with_usage else b"") + _chunk(b"data: [DONE]\n\n")
    return _openai_event({"role": "assistant", "content": ""}, None), last


def _openai_event(delta: dict[str, Any], finish: str | None) -> bytes:
    return _openai_raw({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


def _openai_raw(fields: dict[str, Any]) -> bytes:
    head = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1_790_000_000, "model": "gpt-4o-mini"}
    return _chunk(b"data: " + _compact({**head, **fields}) + b"\n\n")


def _invoke_ends(kind: int, _: bool) -> tuple[bytes, bytes]:
    usage = usage_of(kind, "invoke")
    begun = {**usage_of(0, "invoke"), "output_tokens": 1}
    message = {"id": "msg_bench", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": begun}
    metrics = {"inputTokenCount": 210, "outputTokenCount": 190, "invocationLatency": 900, "firstByteLatency": 300}
    first: list[dict[str, Any]] = [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    ]
    last: list[dict[str, Any]] = [
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage},
        {"type": "message_stop", "amazon-bedrock-invocationMetrics": metrics},
    ]
    return _invoke_events(first), _invoke_events(last)


def _invoke_events(events: list[dict[str, Any]]) -> bytes:
    return b"".join(_invoke_event(event, "abcdefgh") for event in events)


def _invoke_event(event: dict[str, Any], padding: str) -> bytes:
    return _frame("chunk", {"bytes": base64.b64encode(_compact(event)).decode(), "p": padding})


def _converse_ends(kind: int, _: bool) -> tuple[bytes, bytes]:
    first = _frame("messageStart", {"role": "assistant", "p": "abcdefgh"})
    last = (
        _frame("contentBlockStop", {"contentBlockIndex": 0, "p": "abcd"})
        + _frame("messageStop", {"stopReason": "end_turn", "p": "abcdef"})
        + _frame("metadata", {"usage": usage_of(kind, "converse"), "metrics": {"latencyMs": 900}, "p": "abc"})
    )
    return first, last


def _frame(event_type: str, payload: dict[str, Any]) -> bytes:
    return _chunk(encode_frame({":event-type": event_type, **_FRAME_HEADERS}, _compact(payload)))


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _compact(body: object) -> bytes:
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
