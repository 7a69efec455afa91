"""Counts tokens by a fixed rule: a quarter of the UTF-8 bytes of each block, rounded up, plus a fixed overhead.

Deterministic, and never more than the bytes of the request's JSON: each overhead is smaller than the JSON that is
needed to write the block down. Images and documents are counted by their decoded size.
"""

import base64
import hashlib

import msgspec

from sekisho.dialects.exchange import (
    CachePoint,
    Document,
    Image,
    Part,
    RedactedThinking,
    Request,
    Text,
    Thinking,
    Tool,
    ToolResult,
    ToolUse,
    Ttl,
)

MESSAGE_TOKENS = 3
TOOL_TOKENS = 8
TOOL_USE_TOKENS = 6
TOOL_RESULT_TOKENS = 4
IMAGE_TOKENS_MAX = 1600

_json = msgspec.json.Encoder(order="deterministic")


class CountedBlock(msgspec.Struct, frozen=True):
    """One block of a prompt in Bedrock's caching order. `cache_ttl` says that a cache point follows it."""

    digest: bytes
    tokens: int
    cache_ttl: Ttl | None = None


def text_tokens(text: str) -> int:
    """Tokens of a text: a quarter of its UTF-8 bytes, rounded up."""
    return -(-len(text.encode()) // 4)


def part_tokens(part: Part) -> int:
    """Tokens of one content block."""
    match part:
        case Text(text=text) | Thinking(text=text):
            return text_tokens(text)
        case RedactedThinking(data=data):
            return text_tokens(data)
        case Image(data=data):
            return min(-(-_decoded_bytes(data) // 4), IMAGE_TOKENS_MAX)
        case Document(data=data, name=name):
            return -(-_decoded_bytes(data) // 8) + text_tokens(name)
        case ToolUse(name=name, input=tool_input):
            return text_tokens(name) + text_tokens(tool_input) + TOOL_USE_TOKENS
        case ToolResult(content=content):
            return sum(part_tokens(item) for item in content) + TOOL_RESULT_TOKENS
        case CachePoint():
            return 0


def tool_tokens(tool: Tool) -> int:
    """Tokens of one tool definition."""
    return text_tokens(tool.name + tool.description) + -(-len(_json.encode(tool.input_schema)) // 4) + TOOL_TOKENS


def counted_blocks(request: Request) -> list[CountedBlock]:
    """The prompt as blocks in caching order: tools, system, messages.

    Between system and messages stands an empty block made of the thinking mode and the tool choice: changing either
    keeps the cached tools and system text and loses the cached messages."""
    blocks = [CountedBlock(_digest("tool", _bare(tool)), tool_tokens(tool), tool.cache_ttl) for tool in request.tools]
    _append_parts(blocks, "system", request.system)
    mode = (request.reasoning.mode, request.reasoning.budget_tokens, request.tool_choice)
    blocks.append(CountedBlock(_digest("mode", mode), 0))
    for message in request.messages:
        blocks.append(CountedBlock(_digest("role", message.role), MESSAGE_TOKENS))
        _append_parts(blocks, message.role, message.parts)
    return blocks


def count_tokens(request: Request) -> int:
    """All input tokens of the request, cached or not."""
    return sum(block.tokens for block in counted_blocks(request))


def _append_parts(blocks: list[CountedBlock], role: str, parts: tuple[Part, ...]) -> None:
    for part in parts:
        if isinstance(part, CachePoint):
            blocks[-1] = msgspec.structs.replace(blocks[-1], cache_ttl=part.ttl)
        else:
            blocks.append(CountedBlock(_digest(role, part), part_tokens(part)))


def _bare(tool: Tool) -> Tool:
    return msgspec.structs.replace(tool, cache_ttl=None)


def _digest(kind: str, content: object) -> bytes:
    return hashlib.blake2b(_json.encode((kind, content)), digest_size=16).digest()


def _decoded_bytes(data: str) -> int:
    return len(base64.b64decode(data))
