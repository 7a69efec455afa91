"""Reads InvokeModel bodies for Claude: Anthropic's Messages body as Bedrock takes it.

Without `model` and `stream`, with `anthropic_version`; every key that is not known is refused.
"""

import base64
import re
from collections.abc import Mapping
from typing import Any

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
)
from sekisho.simulator import anthropic_fields
from sekisho.simulator.anthropic_fields import refuse_extra, require
from sekisho.simulator.content_rules import check_content, find_pairing_fault, has_tool_blocks, refuse_pairing
from sekisho.simulator.exceptions import AwsException, ModelRefusal, validation
from sekisho.simulator.model_rules import check_parameters
from sekisho.simulator.subject import Subject
from sekisho.values import Model

VERSION = "bedrock-2023-05-31"

_BODY_KEYS = (
    "anthropic_beta",
    "anthropic_version",
    "context_management",
    "max_tokens",
    "messages",
    "metadata",
    "output_config",
    "stop_sequences",
    "system",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_p",
)
_BLOCK_KEYS: dict[str, tuple[str, ...]] = {
    "document": ("type", "source", "title", "context", "citations", "cache_control"),
    "image": ("type", "source", "cache_control"),
    "redacted_thinking": ("type", "data"),
    "text": ("type", "text", "citations", "cache_control"),
    "thinking": ("type", "thinking", "signature"),
    "tool_reference": ("type", "tool_name"),
    "tool_result": ("type", "tool_use_id", "content", "is_error", "cache_control"),
    "tool_use": ("type", "id", "name", "input", "cache_control"),
}
_TOOL_KEYS = ("cache_control", "description", "input_schema", "name", "strict", "type")
_BETA_TOOL_KEYS = {
    "defer_loading": "tool-search-tool-2025-10-19",
    "input_examples": "tool-examples-2025-10-29",
    "eager_input_streaming": "fine-grained-tool-streaming-2025-05-14",
}
_CLIENT_TOOLS = ("bash_20250124", "custom", "memory_20250818", "text_editor_20250124", "text_editor_20250728")
_TOOL_CHOICE_KEYS: dict[Any, tuple[str, ...]] = {
    "any": ("type", "disable_parallel_tool_use"),
    "auto": ("type", "disable_parallel_tool_use"),
    "none": ("type",),
    "tool": ("type", "name", "disable_parallel_tool_use"),
}
_IMAGE_TYPES = {"image/png": "png", "image/jpeg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_TOOL_USE_ID = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")


def read_request(body: Mapping[str, Any], model: Model, model_id: str) -> Subject:
    """The request of a JSON object. Raises AwsException with the model's own words."""
    if "anthropic." not in model_id:
        raise validation(f"The simulator serves {model_id} by Converse only: InvokeModel bodies differ by vendor.")
    try:
        subject = _parse(body, model, model_id)
        messages = subject.request.messages
        if has_tool_blocks(messages) and not subject.request.tools:
            raise ModelRefusal("Requests which include `tool_use` or `tool_result` blocks must define tools.")
        fault = find_pairing_fault(messages, results_first=True)
        if fault is not None:
            raise refuse_pairing(fault)
        check_parameters(subject)
        check_content(subject)
    except ModelRefusal as refusal:
        raise validation(refusal.message) from refusal
    return subject


def too_long(tokens: int, limit: int) -> AwsException:
    """The refusal of a prompt that the context window cannot hold."""
    return validation(f"prompt is too long: {tokens} tokens > {limit} maximum")


def _parse(body: Mapping[str, Any], model: Model, model_id: str) -> Subject:
    for key in ("anthropic_version", "max_tokens", "messages"):
        if key not in body:
            raise validation(
                f"Malformed input request: #: required key [{key}] not found, please reformat your input and try again."
            )
    if body["anthropic_version"] != VERSION:
        raise ModelRefusal(f"anthropic_version: Input should be '{VERSION}'")
    refuse_extra(dict(body), _BODY_KEYS, "")
    require(body["max_tokens"], int, "max_tokens")
    betas = anthropic_fields.parse_betas(body.get("anthropic_beta", []))
    if "context_management" in body:
        anthropic_fields.check_context_management(body["context_management"], betas)
    _check_metadata(body.get("metadata"))
    reasoning, json_schema = _reasoning(body)
    request = Request(
        model=model_id,
        messages=_messages(body["messages"]),
        system=_system(body.get("system")),
        tools=tuple(_tools(body.get("tools"), betas)),
        tool_choice=_tool_choice(body.get("tool_choice")),
        max_tokens=body["max_tokens"],
        temperature=_number(body, "temperature", float),
        top_p=_number(body, "top_p", float),
        top_k=_number(body, "top_k", int),
        stop=_stop_sequences(body.get("stop_sequences")),
        reasoning=reasoning,
        json_schema=json_schema,
    )
    return Subject(request, model, model_id, betas)


def _number(body: Mapping[str, Any], key: str, expected: type) -> Any:
    value = body.get(key)
    if value is not None:
        require(value, expected, key)
    return value


def _stop_sequences(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    require(value, list, "stop_sequences")
    for index, item in enumerate(value):
        require(item, str, f"stop_sequences.{index}")
    return tuple(value)


def _check_metadata(value: Any) -> None:
    if value is None:
        return
    require(value, dict, "metadata")
    refuse_extra(value, ("user_id",), "metadata.")
    if value.get("user_id") is not None:
        require(value["user_id"], str, "metadata.user_id")
        if len(value["user_id"]) > 256:
            raise ModelRefusal("metadata.user_id: String should have at most 256 characters")


def _reasoning(body: Mapping[str, Any]) -> tuple[Reasoning, JsonSchema | None]:
    reasoning = Reasoning()
    if body.get("thinking") is not None:
        reasoning = anthropic_fields.parse_thinking(body["thinking"])
    effort, json_schema = anthropic_fields.parse_output_config(body.get("output_config") or {})
    return msgspec.structs.replace(reasoning, effort=effort), json_schema


def _messages(value: Any) -> tuple[Message, ...]:
    """The turns; consecutive messages of one role are one turn, as the model reads them."""
    require(value, list, "messages")
    if not value:
        raise ModelRefusal("messages: at least one message is required")
    turns = list[Message]()
    for index, item in enumerate(value):
        where = f"messages.{index}"
        require(item, dict, where)
        refuse_extra(item, ("role", "content"), f"{where}.")
        role = item.get("role")
        if role not in ("user", "assistant"):
            raise ModelRefusal(
                f'messages: Unexpected role "{role}". The Messages API accepts a top-level `system` parameter, not '
                '"system" as an input message role.'
            )
        parts = _content(item.get("content"), f"{where}.content")
        if not parts:
            raise ModelRefusal(f"{where}: all messages must have non-empty content")
        if turns and turns[-1].role == role:
            turns[-1] = Message(role, turns[-1].parts + parts)
        else:
            turns.append(Message(role, parts))
    if turns[0].role != "user":
        raise ModelRefusal('messages: first message must use the "user" role')
    return tuple(turns)


def _system(value: Any) -> tuple[Part, ...]:
    if value is None or value == "":
        return ()
    parts = _content(value, "system")
    for index, part in enumerate(parts):
        if not isinstance(part, Text | CachePoint):
            raise ModelRefusal(f"system.{index}.type: Input should be 'text'")
        if isinstance(part, Text) and not part.text:
            raise ModelRefusal("system: text content blocks must be non-empty")
    return parts


def _content(value: Any, where: str) -> tuple[Part, ...]:
    if isinstance(value, str):
        return (Text(value),)
    require(value, list, where)
    parts = list[Part]()
    for index, block in enumerate(value):
        parts.extend(_block(block, f"{where}.{index}"))
    return tuple(parts)


def _block(block: Any, where: str) -> list[Part]:
    """The part, and the cache point behind it if the block carries one."""
    require(block, dict, where)
    kind = block.get("type")
    if kind not in _BLOCK_KEYS:
        tags = ", ".join(f"'{tag}'" for tag in _BLOCK_KEYS)
        raise ModelRefusal(
            f"{where}: Input tag '{kind}' found using 'type' does not match any of the expected tags: {tags}"
        )
    refuse_extra(block, _BLOCK_KEYS[kind], f"{where}.{kind}.")
    part = _PARTS[kind](block, f"{where}.{kind}")
    if isinstance(part, ToolResult):
        return _with_marks_behind(part, block, where)
    if block.get("cache_control") is None:
        return [part]
    if isinstance(part, Text) and not part.text:
        raise ModelRefusal(f"{where}.text: cache_control cannot be set for empty text blocks")
    return [part, CachePoint(_cache_ttl(block["cache_control"], f"{where}.{kind}.cache_control"))]


def _with_marks_behind(result: ToolResult, block: Mapping[str, Any], where: str) -> list[Part]:
    """The tool result with the cache points of its own content moved behind it."""
    marks: list[Part] = [part for part in result.content if isinstance(part, CachePoint)]
    content = tuple(part for part in result.content if not isinstance(part, CachePoint))
    if block.get("cache_control") is not None:
        marks.append(CachePoint(_cache_ttl(block["cache_control"], f"{where}.tool_result.cache_control")))
    return [msgspec.structs.replace(result, content=content), *marks]


def _cache_ttl(value: Any, where: str) -> Any:
    require(value, dict, where)
    refuse_extra(value, ("type", "ttl"), f"{where}.ephemeral.")
    if value.get("type") != "ephemeral":
        raise ModelRefusal(f"{where}.type: Input should be 'ephemeral'")
    ttl = value.get("ttl") or "5m"
    if ttl not in ("5m", "1h"):
        raise ModelRefusal(f"{where}.ephemeral.ttl: Input should be '5m' or '1h'")
    return ttl


def _field(block: Mapping[str, Any], key: str, expected: type, where: str) -> Any:
    if key not in block:
        raise ModelRefusal(f"{where}.{key}: Field required")
    require(block[key], expected, f"{where}.{key}")
    return block[key]


def _text(block: Mapping[str, Any], where: str) -> Part:
    return Text(_field(block, "text", str, where))


def _thinking(block: Mapping[str, Any], where: str) -> Part:
    return Thinking(_field(block, "thinking", str, where), _field(block, "signature", str, where))


def _redacted(block: Mapping[str, Any], where: str) -> Part:
    return RedactedThinking(_field(block, "data", str, where))


def _tool_use(block: Mapping[str, Any], where: str) -> Part:
    tool_input = _field(block, "input", dict, where)
    use_id = _checked_id(_field(block, "id", str, where), f"{where}.id")
    name = _field(block, "name", str, where)
    if not _TOOL_NAME.fullmatch(name):
        raise ModelRefusal(f"{where}.name: String should match pattern '^{_TOOL_NAME.pattern}$'")
    return ToolUse(use_id, name, msgspec.json.encode(tool_input).decode())


def _tool_result(block: Mapping[str, Any], where: str) -> Part:
    use_id = _checked_id(_field(block, "tool_use_id", str, where), f"{where}.tool_use_id")
    content = block.get("content") or []
    parts = (Text(content),) if isinstance(content, str) else _content(content, f"{where}.content")
    for index, part in enumerate(parts):
        if not isinstance(part, Text | Image | Document | CachePoint):
            raise ModelRefusal(f"{where}.content.{index}.type: Input should be 'text', 'image' or 'document'")
    return ToolResult(use_id, parts, bool(block.get("is_error")))


def _checked_id(value: str, where: str) -> str:
    if not _TOOL_USE_ID.fullmatch(value):
        raise ModelRefusal(f"{where}: String should match pattern '^{_TOOL_USE_ID.pattern}$'")
    return value


def _tool_reference(block: Mapping[str, Any], where: str) -> Part:
    return Text(_field(block, "tool_name", str, where))


def _image(block: Mapping[str, Any], where: str) -> Part:
    source = _field(block, "source", dict, where)
    if source.get("type") != "base64":
        raise ModelRefusal(f"{where}.source.type: Input should be 'base64'")
    refuse_extra(source, ("type", "media_type", "data"), f"{where}.source.base64.")
    media_type = source.get("media_type")
    if media_type not in _IMAGE_TYPES:
        allowed = ", ".join(f"'{name}'" for name in _IMAGE_TYPES)
        raise ModelRefusal(f"{where}.source.base64.media_type: Input should be one of {allowed}")
    return Image(_IMAGE_TYPES[media_type], _field(source, "data", str, f"{where}.source.base64"))


def _document(block: Mapping[str, Any], where: str) -> Part:
    source = _field(block, "source", dict, where)
    title = block.get("title") or ""
    if source.get("type") == "text" and source.get("media_type") == "text/plain":
        text = _field(source, "data", str, f"{where}.source.text")
        return Document("txt", title, base64.b64encode(text.encode()).decode())
    if source.get("type") == "base64" and source.get("media_type") == "application/pdf":
        return Document("pdf", title, _field(source, "data", str, f"{where}.source.base64"))
    raise ModelRefusal(f"{where}.source: Input should be a base64 'application/pdf' or a 'text/plain' source")


_PARTS = {
    "document": _document,
    "image": _image,
    "redacted_thinking": _redacted,
    "text": _text,
    "thinking": _thinking,
    "tool_reference": _tool_reference,
    "tool_result": _tool_result,
    "tool_use": _tool_use,
}


def _tools(value: Any, betas: frozenset[str]) -> list[Tool]:
    if value is None:
        return []
    require(value, list, "tools")
    return [_tool(item, f"tools.{index}", betas) for index, item in enumerate(value)]


def _tool(item: Any, where: str, betas: frozenset[str]) -> Tool:
    require(item, dict, where)
    kind = item.get("type") or "custom"
    if kind not in _CLIENT_TOOLS:
        tags = ", ".join(f"'{tag}'" for tag in _CLIENT_TOOLS)
        raise ModelRefusal(
            f"{where}: Input tag '{kind}' found using 'type' does not match any of the expected tags: {tags}"
        )
    where = f"{where}.{kind.split('_20')[0]}"
    allowed = [*_TOOL_KEYS, *(key for key, beta in _BETA_TOOL_KEYS.items() if beta in betas)]
    refuse_extra(item, allowed, f"{where}.")
    schema = _field(item, "input_schema", dict, where) if kind == "custom" else {"type": "object"}
    mark = item.get("cache_control")
    return Tool(
        name=_field(item, "name", str, where),
        description=item.get("description") or "",
        input_schema=schema,
        strict=item.get("strict"),
        cache_ttl=_cache_ttl(mark, f"{where}.cache_control") if mark is not None else None,
    )


def _tool_choice(value: Any) -> ToolChoice | None:
    if value is None:
        return None
    require(value, dict, "tool_choice")
    mode = value.get("type")
    if mode not in _TOOL_CHOICE_KEYS:
        raise ModelRefusal("tool_choice.type: Input should be 'auto', 'any', 'tool' or 'none'")
    refuse_extra(value, _TOOL_CHOICE_KEYS[mode], f"tool_choice.{mode}.")
    return ToolChoice(mode, _field(value, "name", str, "tool_choice.tool") if mode == "tool" else "")
