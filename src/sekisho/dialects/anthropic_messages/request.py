"""Requests of the Anthropic Messages dialect, to and from the neutral form."""

import base64
import re
from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from sekisho.dialects.exchange import (
    CachePoint,
    Document,
    Image,
    JsonSchema,
    Message,
    Part,
    Reasoning,
    RedactedThinking,
    Request,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    Ttl,
)
from sekisho.dialects.fields import Fields, decode, encode
from sekisho.dialects.fitting import fit
from sekisho.dialects.folding import fold, input_object, safe_name
from sekisho.errors import BadRequest
from sekisho.values import Quirks

BILLING_HEADER = "x-anthropic-billing-header:"
"""What Claude Code begins its first system block with: accounting for Anthropic's own service, noise to a model."""

_IMAGE_FORMATS = {"image/png": "png", "image/jpeg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
_MEDIA_TYPES = {format_: media_type for media_type, format_ in _IMAGE_FORMATS.items()}

# Blocks of tools that ran at the provider. Their calls and results belong together, so both go.
_PRICED_APART = ("inference_geo", "service_tier", "speed")
_CHARGED_TOOL = re.compile(rb'"type"\s*:\s*"(?:web_search|code_execution)_\d+"')
_SERVER_BLOCKS = ("server_tool_use", "mcp_tool_use", "mcp_tool_result", "container_upload")
_SERVER_RESULT = "_tool_result"


class _CacheControl(msgspec.Struct, frozen=True):
    type: Literal["ephemeral"]
    ttl: Ttl | None = None


class _Block(msgspec.Struct, frozen=True):
    """Any content block: which fields count depends on `type`."""

    type: str
    text: str = ""
    source: msgspec.Raw = msgspec.Raw()
    title: str | None = None
    thinking: str = ""
    signature: str = ""
    data: str = ""
    id: str = ""
    name: str = ""
    input: msgspec.Raw = msgspec.Raw()
    tool_use_id: str = ""
    tool_name: str = ""
    content: msgspec.Raw = msgspec.Raw()
    is_error: bool | None = None
    cache_control: _CacheControl | None = None


class _Source(msgspec.Struct, frozen=True):
    type: str
    media_type: str = ""
    data: str = ""


class _Turn(msgspec.Struct, frozen=True):
    role: Literal["user", "assistant", "system"]
    content: str | list[_Block]


class _ToolDefinition(msgspec.Struct, frozen=True):
    name: str
    type: str | None = None
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    strict: bool | None = None
    cache_control: _CacheControl | None = None


class _ToolChoice(msgspec.Struct, frozen=True):
    type: Literal["auto", "any", "none", "tool"]
    name: str = ""
    disable_parallel_tool_use: bool | None = None


class _Thinking(msgspec.Struct, frozen=True):
    type: Literal["enabled", "adaptive", "disabled"]
    budget_tokens: int = 0


class _Format(msgspec.Struct, frozen=True):
    type: Literal["json_schema"]
    schema: dict[str, Any]


class _OutputConfig(msgspec.Struct, frozen=True):
    effort: str | None = None
    format: _Format | None = None


def parse_request(body: bytes) -> Request:
    """The neutral form of a Messages body. Raises BadRequest, and nothing else, for whatever cannot be read.

    Server tools and their blocks, Claude Code's billing header and settings without a neutral meaning are named in
    `unused`. Content given by URL or file id is refused: nothing is fetched on a caller's behalf.
    """
    fields = Fields(body)
    unused: list[str] = []
    model = fields.take("model", str) or ""
    turns = fields.take("messages", list[_Turn])
    if not turns:
        raise BadRequest("messages: at least one message is required", param="messages")
    system = _parse_system(fields.take("system", str | list[_Block]), unused)  # type: ignore[arg-type]
    tools = tuple(_parse_tools(fields.take("tools", list[_ToolDefinition]) or [], unused))
    choice = fields.take("tool_choice", _ToolChoice)
    thinking = fields.take("thinking", _Thinking)
    output = fields.take("output_config", _OutputConfig) or _OutputConfig()
    max_tokens = fields.take("max_tokens", int)
    if max_tokens is not None and max_tokens < 1:
        raise BadRequest("max_tokens: must be at least 1", param="max_tokens")
    messages = tuple(
        Message(turn.role, _parse_content(turn.content, f"messages[{at}]", unused)) for at, turn in enumerate(turns)
    )
    return Request(
        model=model,
        messages=messages,
        system=system,
        tools=tools,
        tool_choice=ToolChoice(choice.type, choice.name) if choice else None,
        parallel_tool_calls=not choice.disable_parallel_tool_use
        if choice and choice.disable_parallel_tool_use is not None
        else None,
        max_tokens=max_tokens,
        temperature=fields.take("temperature", float),
        top_p=fields.take("top_p", float),
        top_k=fields.take("top_k", int),
        stop=tuple(fields.take("stop_sequences", list[str]) or ()),
        reasoning=Reasoning(
            mode=thinking.type if thinking else "unset",
            budget_tokens=thinking.budget_tokens if thinking and thinking.type == "enabled" else 0,
            effort=output.effort or "",
        ),
        json_schema=JsonSchema("answer", output.format.schema) if output.format else None,
        stream=fields.take("stream", bool) or False,
        unused=(*fields.left, *dict.fromkeys(unused)),
    )


def _parse_system(system: str | list[_Block] | None, unused: list[str]) -> tuple[Part, ...]:
    if system is None or isinstance(system, str):
        return (Text(system),) if system else ()
    kept = [block for block in system if not (block.type == "text" and block.text.startswith(BILLING_HEADER))]
    if len(kept) < len(system):
        unused.append("system." + BILLING_HEADER.rstrip(":"))
    if any(block.type != "text" for block in kept):
        raise BadRequest("system: only text blocks are possible", param="system")
    return _parse_content(kept, "system", unused)


def _parse_tools(definitions: Iterable[_ToolDefinition], unused: list[str]) -> Iterable[Tool]:
    for definition in definitions:
        if definition.type not in (None, "custom"):
            unused.append(f"tools.{definition.type}")
            continue
        if definition.input_schema is None:
            raise BadRequest(f"tools: {definition.name} has no input_schema", param="tools")
        yield Tool(
            name=definition.name,
            description=definition.description or "",
            input_schema=definition.input_schema,
            strict=definition.strict,
            cache_ttl=(definition.cache_control.ttl or "5m") if definition.cache_control else None,
        )


def _parse_content(content: str | list[_Block], where: str, unused: list[str]) -> tuple[Part, ...]:
    if isinstance(content, str):
        return (Text(content),)
    parts: list[Part] = []
    for at, block in enumerate(content):
        part = _parse_block(block, f"{where}.content[{at}]", unused)
        if part is not None:
            parts.append(part)
        if block.cache_control is not None:
            parts.append(CachePoint(block.cache_control.ttl or "5m"))
    return tuple(parts)


def _parse_block(block: _Block, where: str, unused: list[str]) -> Part | None:  # noqa: C901 - one case per block type
    match block.type:
        case "text":
            return Text(block.text)
        case "image":
            return _parse_image(block, where)
        case "document":
            return _parse_document(block, where)
        case "thinking":
            return Thinking(block.thinking, block.signature)
        case "redacted_thinking":
            return RedactedThinking(block.data)
        case "tool_use":
            return ToolUse(
                _given(block.id, where, "id"), _given(block.name, where, "name"), _object(block.input, where)
            )
        case "tool_result":
            return ToolResult(
                _given(block.tool_use_id, where, "tool_use_id"),
                _parse_result(block.content, where, unused),
                bool(block.is_error),
            )
        case "search_result":
            found = _parse_result(block.content, where, unused)
            return Text("\n".join(part.text for part in found if isinstance(part, Text)))
        case "tool_reference":
            return Text(block.tool_name)
    if block.type in _SERVER_BLOCKS or block.type.endswith(_SERVER_RESULT):
        unused.append(f"messages.{block.type}")
        return None
    raise BadRequest(f"{where}: blocks of type {block.type!r} are not possible here", param="messages")


def _parse_result(raw: msgspec.Raw, where: str, unused: list[str]) -> tuple[Part, ...]:
    """The content of a tool result: Text, Image and Document parts. A cache point inside has no place: left out."""
    if not raw or bytes(raw) == b"null":
        return ()
    content: str | list[_Block] = decode(raw, str | list[_Block], where)  # type: ignore[arg-type]
    parts = _parse_content(content, where, unused)
    for part in parts:
        if not isinstance(part, Text | Image | Document | CachePoint):
            raise BadRequest(f"{where}: a tool result holds text, images and documents only", param="messages")
    return tuple(part for part in parts if not isinstance(part, CachePoint))


def _parse_source(block: _Block, where: str) -> _Source:
    if not block.source:
        raise BadRequest(f"{where}: source is missing", param="messages")
    source = decode(block.source, _Source, f"{where}.source")
    if source.type not in ("base64", "text"):
        raise BadRequest(
            f"{where}: a source of type {source.type!r} is not possible; send the content itself as base64",
            param="messages",
        )
    if not source.data:
        raise BadRequest(f"{where}: source.data is empty", param="messages")
    return source


def _parse_image(block: _Block, where: str) -> Image:
    source = _parse_source(block, where)
    if source.type != "base64" or source.media_type not in _IMAGE_FORMATS:
        raise BadRequest(f"{where}: an image is base64 of png, jpeg, gif or webp", param="messages")
    return Image(_IMAGE_FORMATS[source.media_type], source.data)


def _parse_document(block: _Block, where: str) -> Document:
    source = _parse_source(block, where)
    name = block.title or "document"
    if source.type == "text":
        return Document("txt", name, base64.b64encode(source.data.encode()).decode())
    if source.media_type != "application/pdf":
        raise BadRequest(f"{where}: a document is base64 of a PDF, or text", param="messages")
    return Document("pdf", name, source.data)


def _given(value: str, where: str, field: str) -> str:
    if not value:
        raise BadRequest(f"{where}: {field} is missing", param="messages")
    return value


def _object(raw: msgspec.Raw, where: str) -> str:
    text = bytes(raw)
    if not text.startswith(b"{"):
        raise BadRequest(f"{where}: input must be an object", param="messages")
    return text.decode()


def pass_request(body: bytes, upstream_model: str, *, max_output_tokens: int) -> bytes:
    """A client's own body for the Anthropic API as upstream; see `pass_members`."""
    members = decode(body, dict[str, msgspec.Raw], "body")
    return msgspec.json.encode(pass_members(members, upstream_model, max_output_tokens=max_output_tokens))


def pass_members(
    given: dict[str, msgspec.Raw], upstream_model: str, *, max_output_tokens: int
) -> dict[str, msgspec.Raw]:
    """The members of such a body as they go upstream: another model name, no longer answer than the model's.

    What would change the price of a token is left out, and hosted tools that cost by use; all else stays as it came."""
    members = dict(given)
    for name in _PRICED_APART:
        members.pop(name, None)
    if _CHARGED_TOOL.search(bytes(members.get("tools", b""))):
        tools = decode(members.pop("tools"), list[msgspec.Raw], "tools")
        if kept := [tool for tool in tools if not _CHARGED_TOOL.search(bytes(tool))]:
            members["tools"] = msgspec.Raw(msgspec.json.encode(kept))
        else:
            members.pop("tool_choice", None)
    asked = bytes(members.get("max_tokens", b""))
    if asked.isdigit() and int(asked) > max_output_tokens:
        members["max_tokens"] = msgspec.Raw(b"%d" % max_output_tokens)
    members["model"] = msgspec.Raw(msgspec.json.encode(upstream_model))
    return members


def render_request(request: Request, upstream_model: str, quirks: Quirks, *, max_output_tokens: int = 32_000) -> bytes:
    """A Messages body for the Anthropic API: folded, fitted to the model, tools and system first.

    `max_output_tokens` is the model's own limit. Raises BadRequest for tools on a model without them.
    """
    request, _ = fit(fold(request, quirks), quirks, max_output_tokens, claude=True)
    body: dict[str, Any] = {"model": upstream_model, "max_tokens": request.max_tokens}
    if request.tools:
        body["tools"] = [_render_tool(tool, strict=quirks.json_schema) for tool in request.tools]
    if request.system:
        body["system"] = _render_parts(request.system)
    body["messages"] = [{"role": message.role, "content": _render_parts(message.parts)} for message in request.messages]
    body |= _render_settings(request)
    if request.stream:
        body["stream"] = True
    return encode(body)


def _render_settings(request: Request) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    if request.tools and (choice := _render_choice(request)):
        settings["tool_choice"] = choice
    if request.reasoning.mode == "enabled":
        settings["thinking"] = {"type": "enabled", "budget_tokens": request.reasoning.budget_tokens}
    elif request.reasoning.mode != "unset":
        settings["thinking"] = {"type": request.reasoning.mode}
    if request.reasoning.effort:
        settings.setdefault("output_config", {})["effort"] = request.reasoning.effort
    if request.json_schema:
        schema = {"type": "json_schema", "schema": request.json_schema.schema}
        settings.setdefault("output_config", {})["format"] = schema
    if stop := [text for text in request.stop if text.strip()]:
        settings["stop_sequences"] = stop
    for name in ("temperature", "top_p", "top_k"):
        value = getattr(request, name)
        if value is not None:
            settings[name] = value
    return settings


def _render_tool(tool: Tool, *, strict: bool) -> dict[str, Any]:
    rendered: dict[str, Any] = {"name": safe_name(tool.name)}
    if tool.description:
        rendered["description"] = tool.description
    rendered["input_schema"] = {"type": "object", **tool.input_schema}
    if strict and tool.strict is not None:
        rendered["strict"] = tool.strict
    if tool.cache_ttl:
        rendered["cache_control"] = _cache_control(tool.cache_ttl)
    return rendered


def _render_choice(request: Request) -> dict[str, Any] | None:
    choice = request.tool_choice
    if choice is None and request.parallel_tool_calls is not False:
        return None
    rendered: dict[str, Any] = {"type": choice.mode if choice else "auto"}
    if choice and choice.mode == "tool":
        rendered["name"] = safe_name(choice.name)
    if request.parallel_tool_calls is False and rendered["type"] != "none":
        rendered["disable_parallel_tool_use"] = True
    return rendered


def _cache_control(ttl: Ttl) -> dict[str, str]:
    return {"type": "ephemeral"} if ttl == "5m" else {"type": "ephemeral", "ttl": ttl}


def _render_parts(parts: Iterable[Part]) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    for part in parts:
        if isinstance(part, CachePoint):
            blocks[-1]["cache_control"] = _cache_control(part.ttl)
        else:
            blocks.append(_render_part(part))
    return blocks


def _render_part(part: Part) -> dict[str, Any]:
    match part:
        case Text():
            return {"type": "text", "text": part.text}
        case Image():
            source = {"type": "base64", "media_type": _MEDIA_TYPES.get(part.format, "image/png"), "data": part.data}
            return {"type": "image", "source": source}
        case Document():
            return {"type": "document", "title": part.name or "document", "source": _render_document(part)}
        case Thinking():
            return {"type": "thinking", "thinking": part.text, "signature": part.signature}
        case RedactedThinking():
            return {"type": "redacted_thinking", "data": part.data}
        case ToolUse():
            return {
                "type": "tool_use",
                "id": safe_name(part.id),
                "name": safe_name(part.name),
                "input": input_object(part.input),
            }
        case ToolResult():
            block: dict[str, Any] = {"type": "tool_result", "tool_use_id": safe_name(part.tool_use_id)}
            block["content"] = _render_parts(part.content)
            if part.is_error:
                block["is_error"] = True
            return block
        case CachePoint():  # pragma: no cover - cap_cache_points leaves none without a block before it
            raise AssertionError("a cache point belongs to the block before it")


def _render_document(document: Document) -> dict[str, str]:
    if document.format == "pdf":
        return {"type": "base64", "media_type": "application/pdf", "data": document.data}
    if document.format not in ("txt", "md", "csv", "html"):
        raise BadRequest(f"Documents of type {document.format} are not possible with this model; send PDF or text.")
    try:
        text = base64.b64decode(document.data).decode()
    except ValueError as error:
        raise BadRequest(f"The document {document.name!r} is not base64 of UTF-8 text.") from error
    return {"type": "text", "media_type": "text/plain", "data": text}
