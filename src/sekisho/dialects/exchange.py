"""The neutral form of one exchange with a model: a request, and the events of its answer.

Above: the doors and the upstreams, which meet here when they speak different wires. Below: nothing.
Same wire in and out never comes here: those bytes pass (dialects.passing).
Tool inputs stay JSON text, images and documents stay base64 text, exactly as the client wrote them.
"""

from typing import Any, Literal, Protocol

import msgspec

from sekisho.errors import SekishoError
from sekisho.values import StopReason, Usage

Ttl = Literal["5m", "1h"]


class Text(msgspec.Struct, frozen=True, tag="text"):
    text: str


class Image(msgspec.Struct, frozen=True, tag="image"):
    """`data` is base64 of the `format` png, jpeg, gif or webp."""

    format: str
    data: str


class Document(msgspec.Struct, frozen=True, tag="document"):
    """`data` is base64 of the file; `format` as Bedrock names it (pdf, csv, doc, docx, xls, xlsx, html, txt, md)."""

    format: str
    name: str
    data: str


class Thinking(msgspec.Struct, frozen=True, tag="thinking"):
    """The model's reasoning as it must be sent back: text and the signature that proves it."""

    text: str
    signature: str = ""


class RedactedThinking(msgspec.Struct, frozen=True, tag="redacted_thinking"):
    """Encrypted reasoning: base64 text, sent back unchanged."""

    data: str


class ToolUse(msgspec.Struct, frozen=True, tag="tool_use"):
    """A call the model wants made. `input` is JSON text of an object."""

    id: str
    name: str
    input: str


class ToolResult(msgspec.Struct, frozen=True, tag="tool_result"):
    """What the call gave. `content` holds Text, Image and Document parts only."""

    tool_use_id: str
    content: tuple["Part", ...]
    is_error: bool = False


class CachePoint(msgspec.Struct, frozen=True, tag="cache_point"):
    """Everything before this position (tools, then system, then messages) may be cached for `ttl`."""

    ttl: Ttl = "5m"


Part = Text | Image | Document | Thinking | RedactedThinking | ToolUse | ToolResult | CachePoint


class Message(msgspec.Struct, frozen=True):
    """One turn. Roles alternate only after `dialects.folding.alternate`; clients may send them in any order."""

    role: Literal["user", "assistant", "system"]
    parts: tuple[Part, ...]


class ToolOrigin(msgspec.Struct, frozen=True):
    """How the client knows a tool that the neutral form had to rename or reshape.

    `namespace`: the group it stands in. `is_free_text`: its input is text, carried here as the property "input"."""

    name: str
    namespace: str = ""
    is_free_text: bool = False


class Tool(msgspec.Struct, frozen=True):
    """A function the model may call. `input_schema` is a JSON schema, decoded. `cache_ttl` marks a point after it.

    `origin` only for tools that are not plain functions for the client."""

    name: str
    description: str
    input_schema: dict[str, Any]
    strict: bool | None = None
    cache_ttl: Ttl | None = None
    origin: ToolOrigin | None = None


class ToolChoice(msgspec.Struct, frozen=True):
    """`name` only with mode "tool"."""

    mode: Literal["auto", "any", "none", "tool"]
    name: str = ""


class Reasoning(msgspec.Struct, frozen=True):
    """How much the model should think. `budget_tokens` only with "enabled".

    `effort`: low, medium, high, xhigh, max, or empty for none said.
    """

    mode: Literal["unset", "disabled", "enabled", "adaptive"] = "unset"
    budget_tokens: int = 0
    effort: str = ""


class JsonSchema(msgspec.Struct, frozen=True):
    """The answer must be JSON of this schema."""

    name: str
    schema: dict[str, Any]


class Request(msgspec.Struct, frozen=True):
    """What a client asks of a model. `unused` names the request fields that have no meaning for the neutral form."""

    model: str
    messages: tuple[Message, ...]
    system: tuple[Part, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    reasoning: Reasoning = Reasoning()
    json_schema: JsonSchema | None = None
    stream: bool = False
    wants_usage: bool = True
    unused: tuple[str, ...] = ()


class Started(msgspec.Struct, frozen=True, tag="started"):
    """The upstream accepted the call and begins."""

    id: str = ""


class TextDelta(msgspec.Struct, frozen=True, tag="text"):
    index: int
    text: str


class ThinkingDelta(msgspec.Struct, frozen=True, tag="thinking"):
    index: int
    text: str


class ThinkingSigned(msgspec.Struct, frozen=True, tag="signature"):
    index: int
    signature: str


class ThinkingRedacted(msgspec.Struct, frozen=True, tag="redacted"):
    index: int
    data: str


class ToolStarted(msgspec.Struct, frozen=True, tag="tool"):
    index: int
    id: str
    name: str


class ToolDelta(msgspec.Struct, frozen=True, tag="tool_input"):
    """A fragment of the tool input's JSON text."""

    index: int
    json: str


class BlockEnded(msgspec.Struct, frozen=True, tag="block_end"):
    index: int


class Stopped(msgspec.Struct, frozen=True, tag="stopped"):
    """The model is done. Usage may come before or after this event."""

    reason: StopReason
    stop_sequence: str | None = None


class Metered(msgspec.Struct, frozen=True, tag="metered"):
    """Counts so far; the last one of a stream holds."""

    usage: Usage


Event = (
    Started
    | TextDelta
    | ThinkingDelta
    | ThinkingSigned
    | ThinkingRedacted
    | ToolStarted
    | ToolDelta
    | BlockEnded
    | Stopped
    | Metered
)
"""Blocks are numbered by `index` from 0, in the order they begin; one block is open at a time, except tool blocks of
upstreams that interleave them. Order: Started, blocks, Stopped, Metered (Metered may also come early)."""


class ReplyParser(Protocol):
    """Reads one upstream answer. One instance per call."""

    def feed(self, data: bytes) -> list[Event]:
        """The events completed by these bytes of a stream.

        Raises UpstreamUnavailable, UpstreamRejected or RateLimited for an error in the stream or broken framing; one
        that comes behind something good in the same bytes is in `failed`, and raised next time."""
        ...

    @property
    def failed(self) -> SekishoError | None:
        """What ended the stream behind the last events that `feed` gave."""
        ...

    def whole(self, body: bytes) -> list[Event]:
        """The events of a complete, non-streamed answer: each block's text or input in one delta."""
        ...

    @property
    def is_complete(self) -> bool:
        """Whether the stream's own terminator (not merely the connection's end) was seen."""
        ...


class ReplyRenderer(Protocol):
    """Writes one answer for a client. One instance per call."""

    media_type: bytes

    def events(self, events: list[Event]) -> bytes:
        """Stream bytes for these events; empty if none are due. Stopped and Metered are kept for `finish`."""
        ...

    def finish(self, cost_nanousd: int | None) -> bytes:
        """The stream's terminal bytes: stop reason, usage (with cost where the dialect has a place), terminator."""
        ...

    def whole(self, events: list[Event], cost_nanousd: int | None) -> bytes:
        """The complete body of a non-streamed answer."""
        ...

    def failure(self, error: SekishoError) -> bytes:
        """Bytes that end a started stream with an error, in the form this dialect's clients understand and stop on."""
        ...

    def keepalive(self) -> bytes:
        """Bytes that mean nothing to the client and keep the connection from looking dead; may be empty."""
        ...
