"""Wire data for the dialect tests, and the AWS and Anthropic SDKs as judges of ours."""

import base64
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import botocore.eventstream
import botocore.parsers
import botocore.session
import botocore.validate
import httpx2
from hypothesis import strategies as st

from sekisho.dialects.bedrock.event_stream import encode_frame
from sekisho.values import Quirks, Usage

SAMPLES = Path(__file__).parents[2] / "samples"
SERVICE = botocore.session.Session().get_service_model("bedrock-runtime")

CLAUDE = Quirks(
    thinking=("enabled", "adaptive", "disabled"),
    effort=True,
    images=True,
    documents=True,
    json_schema=True,
    cache_min_tokens=1024,
    cache_ttl_1h=True,
)

CLAUDE_EVENTS: list[dict[str, Any]] = [
    {
        "type": "message_start",
        "message": {
            "id": "msg_bdrk_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-4-6",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {
                "input_tokens": 7,
                "cache_read_input_tokens": 100,
                "cache_creation_input_tokens": 30,
                "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
                "output_tokens": 1,
            },
        },
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm…"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "c2ln"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "ping"},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "こんにちは\n関所"}},
    {"type": "content_block_stop", "index": 1},
    {
        "type": "content_block_start",
        "index": 2,
        "content_block": {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {}},
    },
    {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": '{"path": '}},
    {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": '"calc.py"}'}},
    {"type": "content_block_stop", "index": 2},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "tool_use", "stop_sequence": None},
        "usage": {"output_tokens": 42},
    },
    {
        "type": "message_stop",
        "amazon-bedrock-invocationMetrics": {"inputTokenCount": 7, "outputTokenCount": 42, "invocationLatency": 900},
    },
]
CLAUDE_USAGE = Usage(
    input_tokens=7, cache_read_tokens=100, cache_write_5m_tokens=10, cache_write_1h_tokens=20, output_tokens=42
)

CONVERSE_EVENTS: list[tuple[str, dict[str, Any]]] = [
    ("messageStart", {"role": "assistant", "p": "ab"}),
    ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "Hm…"}}}),
    ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {"signature": "c2ln"}}}),
    ("contentBlockStop", {"contentBlockIndex": 0}),
    ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"text": "こんにちは"}, "p": "abcdef"}),
    ("contentBlockStop", {"contentBlockIndex": 1}),
    (
        "contentBlockStart",
        {"contentBlockIndex": 2, "start": {"toolUse": {"toolUseId": "tooluse_1", "name": "Read"}}},
    ),
    ("contentBlockDelta", {"contentBlockIndex": 2, "delta": {"toolUse": {"input": '{"path": "calc.py"}'}}}),
    ("contentBlockStop", {"contentBlockIndex": 2}),
    ("messageStop", {"stopReason": "tool_use"}),
    (
        "metadata",
        {
            "usage": {
                "inputTokens": 7,
                "outputTokens": 42,
                "totalTokens": 179,
                "cacheReadInputTokens": 100,
                "cacheWriteInputTokens": 30,
                "cacheDetails": [{"ttl": "1h", "inputTokens": 20}, {"ttl": "5m", "inputTokens": 10}],
            },
            "metrics": {"latencyMs": 900},
        },
    ),
]


def sample(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8"))
    return found


def compact(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def event_frame(kind: str, payload: bytes) -> bytes:
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return encode_frame(headers, payload)


def exception_frame(kind: str, body: dict[str, Any]) -> bytes:
    headers = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return encode_frame(headers, compact(body))


def chunk_frame(event: bytes) -> bytes:
    return event_frame("chunk", compact({"bytes": base64.b64encode(event).decode(), "p": "abcdefg"}))


def claude_frames(events: Iterable[dict[str, Any]] = CLAUDE_EVENTS) -> bytes:
    return b"".join(chunk_frame(compact(event)) for event in events)


def converse_frames(events: Iterable[tuple[str, dict[str, Any]]] = CONVERSE_EVENTS) -> bytes:
    return b"".join(event_frame(kind, compact(payload)) for kind, payload in events)


def claude_sse(events: Iterable[dict[str, Any]] = CLAUDE_EVENTS) -> bytes:
    return b"".join(b"event: %b\ndata: %b\n\n" % (event["type"].encode(), compact(event)) for event in events)


def pieces(data: bytes, cuts: Iterable[int]) -> Iterator[bytes]:
    at = 0
    for cut in sorted({cut % (len(data) + 1) for cut in cuts}):
        yield data[at:cut]
        at = cut
    yield data[at:]


CUTS = st.lists(st.integers(min_value=0, max_value=1 << 20), max_size=8)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)


def mutated(body: Any) -> st.SearchStrategy[Any]:
    """The body with some of its members replaced by other JSON or left out."""

    @st.composite
    def draw_body(draw: st.DrawFn) -> Any:
        def walk(value: Any) -> Any:
            if draw(st.integers(0, 24)) == 0:
                return draw(JSON)
            if isinstance(value, dict):
                return {key: walk(inner) for key, inner in value.items() if draw(st.integers(0, 24))}
            if isinstance(value, list):
                return [walk(inner) for inner in value]
            return value

        return walk(body)

    return draw_body()


class _Raw:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def stream(self) -> Iterator[bytes]:
        yield self._data

    def close(self) -> None:
        pass


def aws_events(data: bytes, operation: str) -> list[dict[str, Any]]:
    """What boto3 hands out for the bytes of a stream. Raises botocore's EventStreamError for exceptions in it."""
    shape = SERVICE.operation_model(operation).get_event_stream_output()
    stream = botocore.eventstream.EventStream(_Raw(data), shape, botocore.parsers.EventStreamJSONParser(), operation)
    return list(stream)


def aws_problems(body: Any, operation: str = "Converse") -> list[str]:
    """What botocore's model of the service finds wrong with a request body: types, members, limits, patterns."""
    shape = SERVICE.operation_model(operation).input_shape
    problems: list[str] = []
    params = _to_params(body, shape, "body", problems)
    report = botocore.validate.ParamValidator().validate({"modelId": "anthropic.claude", **params}, shape)
    return problems + ([report.generate_report()] if report.has_errors() else [])


def _to_params(value: Any, shape: Any, where: str, problems: list[str]) -> Any:
    """JSON to what boto3 takes; checks what its validator leaves to the service."""
    if shape.type_name == "structure" and not getattr(shape, "is_document_type", False):
        if not isinstance(value, dict):
            problems.append(f"{where}: {value!r} is not a structure")
            return {}
        problems += [f"{where}: unknown member {name}" for name in value if name not in shape.members]
        return {
            name: _to_params(inner, shape.members[name], f"{where}.{name}", problems)
            for name, inner in value.items()
            if name in shape.members
        }
    if shape.type_name == "list":
        if len(value) > shape.metadata.get("max", len(value)):
            problems.append(f"{where}: too many items")
        return [_to_params(inner, shape.member, f"{where}[{at}]", problems) for at, inner in enumerate(value)]
    if shape.type_name == "blob":
        return base64.b64decode(value, validate=True)
    if shape.type_name == "string":
        metadata = shape.metadata
        if "enum" in metadata and value not in metadata["enum"]:
            problems.append(f"{where}: {value!r} is not in {metadata['enum']}")
        if "pattern" in metadata and not re.fullmatch(metadata["pattern"], value):
            problems.append(f"{where}: {value!r} does not match {metadata['pattern']}")
        if len(value) > metadata.get("max", len(value)):
            problems.append(f"{where}: {value!r} is too long")
    if shape.type_name in ("integer", "float") and value > shape.metadata.get("max", value):
        problems.append(f"{where}: {value!r} is too large")
    return value


def anthropic_client(body: bytes, media_type: str, status: int = 200) -> anthropic.Anthropic:
    """The official SDK, answered with these bytes."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, content=body, headers={"content-type": media_type})

    transport = httpx2.MockTransport(answer)
    return anthropic.Anthropic(
        api_key="k", base_url="http://gateway", max_retries=0, http_client=httpx2.Client(transport=transport)
    )


def accumulated(sse: bytes) -> Any:
    """The message the official SDK puts together from a stream."""
    with (
        anthropic_client(sse, "text/event-stream") as client,
        client.messages.stream(model="m", max_tokens=9, messages=[{"role": "user", "content": "x"}]) as stream,
    ):
        return stream.get_final_message()
