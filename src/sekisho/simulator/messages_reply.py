"""Renders answers in Anthropic's form: the body of InvokeModel, the chunks of InvokeModelWithResponseStream."""

import base64
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

import msgspec

from sekisho.dialects.exchange import RedactedThinking, Text, Thinking, ToolUse
from sekisho.simulator.answer import AnswerBlock
from sekisho.simulator.exceptions import validation
from sekisho.simulator.framing import event
from sekisho.simulator.replies import Reply, decoded_input, fragments, new_id, words
from sekisho.values import StopReason, Usage

# Anthropic has no name for a malformed output: Converse makes those two itself.
_STOP_REASONS: dict[StopReason, str] = {
    "content_filtered": "refusal",
    "end_turn": "end_turn",
    "guardrail_intervened": "end_turn",
    "max_tokens": "max_tokens",
    "model_context_window_exceeded": "model_context_window_exceeded",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool_use",
}


class MessagesRenderer:
    """`model_id` is the id that was called; Bedrock answers with the name that Anthropic gives the model."""

    def __init__(self, model_id: str, random: Random) -> None:
        self._model = model_id.rpartition("anthropic.")[2].removesuffix(":0").removesuffix("-v1").removesuffix("-v2")
        self._random = random

    def whole(self, reply: Reply) -> tuple[bytes, dict[str, str]]:
        answer, usage = reply.answer, reply.usage
        body = {
            **self._head(),
            "content": [_block(block) for block in answer.blocks],
            "stop_reason": _stop_reason(answer.stop_reason),
            "stop_sequence": answer.stop_sequence,
            **_guardrail(answer.stop_reason),
        }
        headers = {"x-amzn-bedrock-invocation-latency": str(reply.latency_ms)}
        if reply.shows_usage:
            body["usage"] = {**_input_usage(usage), "output_tokens": usage.output_tokens}
            written = usage.cache_write_5m_tokens + usage.cache_write_1h_tokens
            headers["x-amzn-bedrock-input-token-count"] = str(usage.input_tokens)
            headers["x-amzn-bedrock-output-token-count"] = str(usage.output_tokens)
            headers["x-amzn-bedrock-cache-read-input-token-count"] = str(usage.cache_read_tokens)
            headers["x-amzn-bedrock-cache-write-input-token-count"] = str(written)
        return msgspec.json.encode(body), headers

    def frames(self, reply: Reply) -> Iterator[bytes]:
        answer, usage = reply.answer, reply.usage
        stop_reason = _stop_reason(answer.stop_reason)
        message = {**self._head(), "content": [], "stop_reason": None, "stop_sequence": None}
        if reply.shows_usage:
            message["usage"] = {**_input_usage(usage), "output_tokens": 1}
        yield self._chunk({"type": "message_start", "message": message})
        for index, block in enumerate(answer.blocks):
            yield from self._block_chunks(index, block)
        delta = {"stop_reason": stop_reason, "stop_sequence": answer.stop_sequence}
        end: dict[str, Any] = {"type": "message_delta", "delta": delta}
        if reply.shows_usage:
            end["usage"] = {"output_tokens": usage.output_tokens}
        yield self._chunk(end)
        stop: dict[str, Any] = {"type": "message_stop", **_guardrail(answer.stop_reason)}
        if reply.shows_usage:
            stop["amazon-bedrock-invocationMetrics"] = _metrics(reply)
        yield self._chunk(stop)

    def _head(self) -> dict[str, Any]:
        message_id = new_id("msg_bdrk_", 24, self._random)
        return {"id": message_id, "type": "message", "role": "assistant", "model": self._model}

    def _block_chunks(self, index: int, block: AnswerBlock) -> Iterator[bytes]:
        yield self._chunk({"type": "content_block_start", "index": index, "content_block": _opened(block)})
        for delta in _deltas(block):
            yield self._chunk({"type": "content_block_delta", "index": index, "delta": delta})
        yield self._chunk({"type": "content_block_stop", "index": index})

    def _chunk(self, payload: Mapping[str, Any]) -> bytes:
        encoded = base64.b64encode(msgspec.json.encode(payload)).decode()
        return event("chunk", {"bytes": encoded}, self._random)


def _stop_reason(reason: StopReason) -> str:
    if reason not in _STOP_REASONS:
        raise validation(f"InvokeModel has no stop reason {reason}: ask for it by Converse.")
    return _STOP_REASONS[reason]


def _guardrail(reason: StopReason) -> dict[str, str]:
    return {"amazon-bedrock-guardrailAction": "INTERVENED"} if reason == "guardrail_intervened" else {}


def _input_usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens,
        "cache_creation_input_tokens": usage.cache_write_5m_tokens + usage.cache_write_1h_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write_5m_tokens,
            "ephemeral_1h_input_tokens": usage.cache_write_1h_tokens,
        },
    }


def _metrics(reply: Reply) -> dict[str, int]:
    usage = reply.usage
    return {
        "inputTokenCount": usage.input_tokens,
        "outputTokenCount": usage.output_tokens,
        "invocationLatency": reply.latency_ms,
        "firstByteLatency": reply.latency_ms,
        "cacheReadInputTokenCount": usage.cache_read_tokens,
        "cacheWriteInputTokenCount": usage.cache_write_5m_tokens + usage.cache_write_1h_tokens,
    }


def _block(block: AnswerBlock) -> dict[str, Any]:
    match block:
        case Text(text=text):
            return {"type": "text", "text": text}
        case Thinking(text=text, signature=signature):
            return {"type": "thinking", "thinking": text, "signature": signature}
        case RedactedThinking(data=data):
            return {"type": "redacted_thinking", "data": data}
        case ToolUse(id=use_id, name=name, input=json):
            return {"type": "tool_use", "id": use_id, "name": name, "input": decoded_input(json)}


def _opened(block: AnswerBlock) -> dict[str, Any]:
    """The block as it stands before its deltas."""
    match block:
        case Text():
            return {"type": "text", "text": ""}
        case Thinking():
            return {"type": "thinking", "thinking": "", "signature": ""}
        case RedactedThinking():
            return _block(block)
        case ToolUse():
            return {"type": "tool_use", "id": block.id, "name": block.name, "input": {}}


def _deltas(block: AnswerBlock) -> Iterator[dict[str, Any]]:
    match block:
        case Text(text=text):
            yield from ({"type": "text_delta", "text": piece} for piece in words(text))
        case Thinking(text=text, signature=signature):
            yield from ({"type": "thinking_delta", "thinking": piece} for piece in words(text))
            yield {"type": "signature_delta", "signature": signature}
        case RedactedThinking():
            return
        case ToolUse(input=json):
            yield from ({"type": "input_json_delta", "partial_json": piece} for piece in fragments(json))
