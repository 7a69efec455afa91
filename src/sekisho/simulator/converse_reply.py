"""Renders answers in Converse form: the body of Converse, the frames of ConverseStream."""

from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any

import msgspec

from sekisho.dialects.exchange import RedactedThinking, Text, Thinking, ToolUse
from sekisho.simulator.answer import AnswerBlock
from sekisho.simulator.framing import event
from sekisho.simulator.replies import Reply, decoded_input, fragments, words
from sekisho.values import Usage


class ConverseRenderer:
    """`paths` are the request's additionalModelResponseFieldPaths; `tier` its service tier, empty for none said."""

    def __init__(self, paths: Sequence[str], tier: str, random: Random) -> None:
        self._paths = paths
        self._tier = tier
        self._random = random

    def whole(self, reply: Reply) -> tuple[bytes, dict[str, str]]:
        answer = reply.answer
        body: dict[str, Any] = {
            "output": {"message": {"role": "assistant", "content": [_block(block) for block in answer.blocks]}},
            "stopReason": answer.stop_reason,
            "metrics": {"latencyMs": reply.latency_ms},
            **self._further(),
            **_response_fields(self._paths, {"stop_sequence": answer.stop_sequence}),
        }
        if reply.shows_usage:
            body["usage"] = usage_body(reply.usage)
        return msgspec.json.encode(body), {}

    def frames(self, reply: Reply) -> Iterator[bytes]:
        answer = reply.answer
        yield self._event("messageStart", {"role": "assistant"})
        for index, block in enumerate(answer.blocks):
            yield from self._block_frames(index, block)
        fields = _response_fields(self._paths, {"delta": {"stop_sequence": answer.stop_sequence}})
        yield self._event("messageStop", {"stopReason": answer.stop_reason, **fields})
        if reply.shows_usage:
            metadata = {"usage": usage_body(reply.usage), "metrics": {"latencyMs": reply.latency_ms}}
            yield self._event("metadata", {**metadata, **self._further()})

    def _block_frames(self, index: int, block: AnswerBlock) -> Iterator[bytes]:
        if isinstance(block, ToolUse):
            start = {"toolUse": {"toolUseId": block.id, "name": block.name}}
            yield self._event("contentBlockStart", {"contentBlockIndex": index, "start": start})
        for delta in _deltas(block):
            yield self._event("contentBlockDelta", {"contentBlockIndex": index, "delta": delta})
        yield self._event("contentBlockStop", {"contentBlockIndex": index})

    def _event(self, event_type: str, payload: Mapping[str, Any]) -> bytes:
        return event(event_type, payload, self._random)

    def _further(self) -> dict[str, Any]:
        return {"serviceTier": {"type": self._tier}} if self._tier else {}


def usage_body(usage: Usage) -> dict[str, Any]:
    """The counts as Converse names them; `inputTokens` leaves out what was read from or written to the cache."""
    written = usage.cache_write_5m_tokens + usage.cache_write_1h_tokens
    body: dict[str, Any] = {
        "inputTokens": usage.input_tokens,
        "outputTokens": usage.output_tokens,
        "totalTokens": usage.total_tokens,
        "cacheReadInputTokens": usage.cache_read_tokens,
        "cacheWriteInputTokens": written,
    }
    by_ttl = (("1h", usage.cache_write_1h_tokens), ("5m", usage.cache_write_5m_tokens))
    if written:
        body["cacheDetails"] = [{"ttl": ttl, "inputTokens": tokens} for ttl, tokens in by_ttl if tokens]
    return body


def _block(block: AnswerBlock) -> dict[str, Any]:
    match block:
        case Text(text=text):
            return {"text": text}
        case Thinking(text=text, signature=signature):
            return {"reasoningContent": {"reasoningText": {"text": text, "signature": signature}}}
        case RedactedThinking(data=data):
            return {"reasoningContent": {"redactedContent": data}}
        case ToolUse(id=use_id, name=name, input=json):
            return {"toolUse": {"toolUseId": use_id, "name": name, "input": decoded_input(json)}}


def _deltas(block: AnswerBlock) -> Iterator[dict[str, Any]]:
    match block:
        case Text(text=text):
            yield from ({"text": piece} for piece in words(text))
        case Thinking(text=text, signature=signature):
            yield from ({"reasoningContent": {"text": piece}} for piece in words(text))
            yield {"reasoningContent": {"signature": signature}}
        case RedactedThinking(data=data):
            yield {"reasoningContent": {"redactedContent": data}}
        case ToolUse(input=json):
            yield from ({"toolUse": {"input": piece}} for piece in fragments(json))


def _response_fields(paths: Sequence[str], raw: Mapping[str, Any]) -> dict[str, Any]:
    """The members of the model's own answer that the JSON pointers name; pointers to nothing are skipped."""
    found: dict[str, Any] = {}
    for path in paths:
        names = path.split("/")[1:]
        source: Any = raw
        for name in names:
            source = source.get(name, ...) if isinstance(source, Mapping) else ...
        if source is ...:
            continue
        target = found
        for name in names[:-1]:
            target = target.setdefault(name, {})
        target[names[-1]] = source
    return {"additionalModelResponseFields": found} if found else {}
