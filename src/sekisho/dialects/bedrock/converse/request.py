"""Requests of Bedrock's Converse, to and from the neutral form."""

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
from sekisho.dialects.fitting import fit, has_tool_blocks
from sekisho.dialects.folding import fold, input_object, safe_name
from sekisho.errors import BadRequest
from sekisho.values import Model

IMAGE_FORMATS = ("png", "jpeg", "gif", "webp")
DOCUMENT_FORMATS = ("pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md")
DOCUMENT_TEXT = "The document is attached."
"""Text that stands beside a document when the client wrote none: Converse refuses a document alone."""

MAX_STOP_SEQUENCES = 2500
_MAX_DOCUMENT_NAME = 190  # 200 less room for a number that makes it unique
_DOCUMENT_NAME = re.compile(r"[^a-zA-Z0-9()\[\]-]+")


class _CachePoint(msgspec.Struct, frozen=True):
    type: Literal["default"] = "default"
    ttl: Ttl | None = None


class _Source(msgspec.Struct, frozen=True):
    bytes: str | None = None
    text: str | None = None


class _Media(msgspec.Struct, frozen=True):
    source: _Source
    format: str = "txt"
    name: str = "document"


class _ReasoningText(msgspec.Struct, frozen=True):
    text: str
    signature: str = ""


class _Reasoning(msgspec.Struct, frozen=True, rename="camel"):
    reasoning_text: _ReasoningText | None = None
    redacted_content: str | None = None


class _Text(msgspec.Struct, frozen=True):
    text: str = ""


class _Texts(msgspec.Struct, frozen=True):
    content: list[_Text] = []


class _GuardContent(msgspec.Struct, frozen=True):
    text: _Text | None = None


class _ToolUse(msgspec.Struct, frozen=True, rename="camel"):
    tool_use_id: str
    name: str
    input: msgspec.Raw


class _ToolResult(msgspec.Struct, frozen=True, rename="camel"):
    tool_use_id: str
    content: "list[_Block]"
    status: Literal["success", "error"] = "success"


class _Block(msgspec.Struct, frozen=True, rename="camel"):
    """A content block: exactly one member is set. `json` only inside tool results."""

    text: str | None = None
    image: _Media | None = None
    document: _Media | None = None
    tool_use: _ToolUse | None = None
    tool_result: _ToolResult | None = None
    cache_point: _CachePoint | None = None
    reasoning_content: _Reasoning | None = None
    guard_content: _GuardContent | None = None
    citations_content: _Texts | None = None
    search_result: _Texts | None = None
    json: msgspec.Raw = msgspec.Raw()


class _Turn(msgspec.Struct, frozen=True):
    role: Literal["user", "assistant", "system"]
    content: list[_Block]


class _InputSchema(msgspec.Struct, frozen=True):
    json: dict[str, Any]


class _ToolSpec(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    input_schema: _InputSchema
    description: str = ""
    strict: bool | None = None


class _Tool(msgspec.Struct, frozen=True, rename="camel"):
    tool_spec: _ToolSpec | None = None
    cache_point: _CachePoint | None = None


class _NamedTool(msgspec.Struct, frozen=True):
    name: str


class _ToolChoice(msgspec.Struct, frozen=True):
    auto: dict[str, Any] | None = None
    any: dict[str, Any] | None = None
    tool: _NamedTool | None = None


class _ToolConfig(msgspec.Struct, frozen=True, rename="camel"):
    tools: list[_Tool]
    tool_choice: _ToolChoice | None = None


class _InferenceConfig(msgspec.Struct, frozen=True, rename="camel"):
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop_sequences: list[str] = []


class _JsonSchema(msgspec.Struct, frozen=True):
    schema: str
    name: str = "answer"


class _Structure(msgspec.Struct, frozen=True, rename="camel"):
    json_schema: _JsonSchema | None = None


class _TextFormat(msgspec.Struct, frozen=True):
    structure: _Structure


class _OutputConfig(msgspec.Struct, frozen=True, rename="camel"):
    text_format: _TextFormat | None = None
    effort: str = ""


class _Thinking(msgspec.Struct, frozen=True):
    type: Literal["enabled", "adaptive", "disabled"]
    budget_tokens: int = 0


def parse_request(body: bytes, model: str, *, stream: bool = False) -> Request:
    """The neutral form of a Converse body. `model` and `stream` come from the path.

    Raises BadRequest, and nothing else, for whatever cannot be read; content in S3, video and audio are refused."""
    fields = Fields(body)
    unused: list[str] = []
    turns = fields.take("messages", list[_Turn])
    if not turns:
        raise BadRequest("messages: at least one message is required", param="messages")
    config = fields.take("toolConfig", _ToolConfig)
    inference = fields.take("inferenceConfig", _InferenceConfig) or _InferenceConfig()
    output = fields.take("outputConfig", _OutputConfig) or _OutputConfig()
    extra = fields.take("additionalModelRequestFields", dict[str, msgspec.Raw]) or {}
    thinking = decode(extra.pop("thinking"), _Thinking, "thinking") if "thinking" in extra else None
    top_k = decode(extra.pop("top_k"), int, "top_k") if "top_k" in extra else None
    unused += (f"additionalModelRequestFields.{name}" for name in extra)
    if inference.max_tokens is not None and inference.max_tokens < 1:
        raise BadRequest("inferenceConfig.maxTokens: must be at least 1", param="inferenceConfig")
    system = fields.take("system", list[_Block]) or []
    return Request(
        model=model,
        messages=tuple(
            Message(turn.role, tuple(_parse_parts(turn.content, f"messages[{at}]"))) for at, turn in enumerate(turns)
        ),
        system=tuple(_parse_parts(system, "system")),
        tools=_parse_tools(config.tools, unused) if config else (),
        tool_choice=_parse_choice(config.tool_choice) if config and config.tool_choice else None,
        max_tokens=inference.max_tokens,
        temperature=inference.temperature,
        top_p=inference.top_p,
        top_k=top_k,
        stop=tuple(inference.stop_sequences),
        reasoning=Reasoning(
            mode=thinking.type if thinking else "unset",
            budget_tokens=thinking.budget_tokens if thinking and thinking.type == "enabled" else 0,
            effort=output.effort,
        ),
        json_schema=_parse_schema(output.text_format),
        stream=stream,
        unused=(*fields.left, *unused),
    )


def _parse_schema(text_format: _TextFormat | None) -> JsonSchema | None:
    found = text_format.structure.json_schema if text_format else None
    return JsonSchema(found.name, decode(found.schema.encode(), dict[str, Any], "outputConfig")) if found else None


def _parse_choice(choice: _ToolChoice) -> ToolChoice:
    if choice.tool:
        return ToolChoice("tool", choice.tool.name)
    return ToolChoice("any" if choice.any is not None else "auto")


def _parse_tools(tools: Iterable[_Tool], unused: list[str]) -> tuple[Tool, ...]:
    parsed: list[Tool] = []
    for tool in tools:
        if tool.tool_spec:
            spec = tool.tool_spec
            parsed.append(Tool(spec.name, spec.description, spec.input_schema.json, spec.strict))
        elif not tool.cache_point:
            unused.append("toolConfig.tools.systemTool")
        elif parsed:
            parsed[-1] = msgspec.structs.replace(parsed[-1], cache_ttl=tool.cache_point.ttl or "5m")
    return tuple(parsed)


def _parse_parts(blocks: Iterable[_Block], where: str) -> Iterable[Part]:
    for at, block in enumerate(blocks):
        yield _parse_block(block, f"{where}.content[{at}]")


def _parse_block(block: _Block, where: str) -> Part:  # noqa: C901 - one case per block type
    if block.text is not None:
        return Text(block.text)
    if block.cache_point:
        return CachePoint(block.cache_point.ttl or "5m")
    if block.tool_use:
        tool = block.tool_use
        text = bytes(tool.input)
        if not text.startswith(b"{"):
            raise BadRequest(f"{where}: toolUse.input must be an object", param="messages")
        return ToolUse(tool.tool_use_id, tool.name, text.decode())
    if block.tool_result:
        result = block.tool_result
        content = tuple(_parse_parts(result.content, where))
        if not all(isinstance(part, Text | Image | Document) for part in content):
            raise BadRequest(f"{where}: a toolResult holds text, json, images and documents only", param="messages")
        return ToolResult(result.tool_use_id, content, result.status == "error")
    if block.image:
        return Image(block.image.format, _media_bytes(block.image, where))
    if block.document:
        return Document(block.document.format, block.document.name, _media_bytes(block.document, where))
    if block.reasoning_content:
        return _parse_reasoning(block.reasoning_content, where)
    if block.guard_content and block.guard_content.text:
        return Text(block.guard_content.text.text)
    if texts := block.citations_content or block.search_result:
        return Text("".join(part.text for part in texts.content))
    if block.json:
        return Text(bytes(block.json).decode())
    raise BadRequest(f"{where}: a block of this type is not possible here", param="messages")


def _parse_reasoning(reasoning: _Reasoning, where: str) -> Part:
    if reasoning.reasoning_text:
        return Thinking(reasoning.reasoning_text.text, reasoning.reasoning_text.signature)
    if reasoning.redacted_content:
        return RedactedThinking(reasoning.redacted_content)
    raise BadRequest(f"{where}: reasoningContent is empty", param="messages")


def _media_bytes(media: _Media, where: str) -> str:
    if media.source.text is not None:
        return base64.b64encode(media.source.text.encode()).decode()
    if not media.source.bytes:
        raise BadRequest(f"{where}: send the content itself in source.bytes", param="messages")
    return media.source.bytes


def render_request(request: Request, model: Model) -> tuple[bytes, tuple[str, ...]]:
    """A Converse body for this model, and the names of what it cannot say.

    The history is folded and the settings fitted to the model. Tools may be renamed: give folding.renamed_tools of the
    request to the ReplyParser. Raises BadRequest for tools, images or documents on a
    model that takes none, and for image and document types that Converse does not know.
    """
    quirks = model.quirks
    request, unused = fit(fold(request, quirks), quirks, model.max_output_tokens, claude=is_claude(model))
    head, tail = _render_around(request, model, unused)
    body = {**head, "messages": _render_messages(request.messages, {}), **tail}
    return encode(body), tuple(dict.fromkeys((*request.unused, *unused)))


def render_messages(messages: Iterable[Message], documents: dict[str, int]) -> bytes:
    """Folded messages as the elements of a JSON list. `documents`: names used before them; theirs are added."""
    return encode(_render_messages(messages, documents))[1:-1]


def render_around(request: Request, model: Model) -> tuple[bytes, bytes]:
    """What stands before the elements of the message list, and what behind them, for a folded and fitted request."""
    head, tail = _render_around(request, model, [])
    before = encode(head)[:-1] + b"," if head else b"{"
    return before + b'"messages":[', b"]," + encode(tail)[1:]


def _render_messages(messages: Iterable[Message], documents: dict[str, int]) -> list[dict[str, Any]]:
    return [{"role": message.role, "content": _render_message(message, documents)} for message in messages]


def _render_around(request: Request, model: Model, unused: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The members before the messages, and those behind them; `unused` gets the names of what cannot be said."""
    head: dict[str, Any] = {}
    if request.tools and (config := _render_tools(request, strict=model.quirks.json_schema, unused=unused)):
        head["toolConfig"] = config
    if request.system:
        head["system"] = _render_parts(request.system, {})
    inference: dict[str, Any] = {"maxTokens": request.max_tokens}
    if request.temperature is not None:
        inference["temperature"] = request.temperature
    if request.top_p is not None:
        inference["topP"] = request.top_p
    if stop := [text for text in request.stop if text.strip()][:MAX_STOP_SEQUENCES]:
        inference["stopSequences"] = stop
    tail: dict[str, Any] = {"inferenceConfig": inference}
    if extra := _render_extra(request, model, unused):
        tail["additionalModelRequestFields"] = extra
    if output := _render_output(request, model):
        tail["outputConfig"] = output
    if request.parallel_tool_calls is False:
        unused.append("parallel_tool_calls")
    return head, tail


def is_claude(model: Model) -> bool:
    return "claude" in model.family


def _render_tools(request: Request, *, strict: bool, unused: list[str]) -> dict[str, Any] | None:
    choice = request.tool_choice
    if choice and choice.mode == "none":
        # Converse cannot forbid tools, only leave them out; but a history with calls needs their definitions.
        if not has_tool_blocks(request.messages):
            return None
        unused.append("tool_choice")
        choice = None
    tools: list[dict[str, Any]] = []
    for tool in request.tools:
        spec: dict[str, Any] = {"name": safe_name(tool.name)}
        if tool.description.strip():
            spec["description"] = tool.description
        spec["inputSchema"] = {"json": {"type": "object", **tool.input_schema}}
        if strict and tool.strict is not None:
            spec["strict"] = tool.strict
        tools.append({"toolSpec": spec})
        if tool.cache_ttl:
            tools.append(_cache_point(tool.cache_ttl))
    config: dict[str, Any] = {"tools": tools}
    if choice and choice.mode == "tool":
        config["toolChoice"] = {"tool": {"name": safe_name(choice.name)}}
    elif choice:
        config["toolChoice"] = {choice.mode: {}}
    return config


def _render_extra(request: Request, model: Model, unused: list[str]) -> dict[str, Any]:
    """`additionalModelRequestFields`: what Converse has no member for, in the words of the model's family."""
    extra: dict[str, Any] = {}
    reasoning = request.reasoning
    thinks = reasoning.mode in ("enabled", "adaptive")
    if is_claude(model):
        if reasoning.mode == "enabled":
            extra["thinking"] = {"type": "enabled", "budget_tokens": reasoning.budget_tokens}
        elif reasoning.mode != "unset":
            extra["thinking"] = {"type": reasoning.mode}
    elif "nova" in model.family and thinks:
        # at "high" Nova refuses maxTokens, which bounds what a call can cost
        effort = "low" if reasoning.effort == "low" else "medium"
        extra["reasoningConfig"] = {"type": "enabled", "maxReasoningEffort": effort}
    elif "gpt" in model.family and reasoning.effort:
        extra["reasoning_effort"] = reasoning.effort if reasoning.effort in ("low", "medium") else "high"
    if request.top_k is not None:
        if is_claude(model):
            extra["top_k"] = request.top_k
        elif "nova" in model.family:
            extra["inferenceConfig"] = {"topK": request.top_k}
        else:
            unused.append("top_k")
    return extra


def _render_output(request: Request, model: Model) -> dict[str, Any]:
    output: dict[str, Any] = {}
    if request.json_schema:
        schema = encode(request.json_schema.schema).decode()
        definition = {"schema": schema, "name": safe_name(request.json_schema.name or "answer")}
        output["textFormat"] = {"type": "json_schema", "structure": {"jsonSchema": definition}}
    if request.reasoning.effort and is_claude(model):
        output["effort"] = request.reasoning.effort[:16]
    return output


def _cache_point(ttl: Ttl) -> dict[str, Any]:
    return {"cachePoint": {"type": "default"} if ttl == "5m" else {"type": "default", "ttl": ttl}}


def _render_message(message: Message, documents: dict[str, int]) -> list[dict[str, Any]]:
    blocks = _render_parts(message.parts, documents)
    if any("document" in block for block in blocks) and not any("text" in block for block in blocks):
        blocks.append({"text": DOCUMENT_TEXT})
    return blocks


def _render_parts(parts: Iterable[Part], documents: dict[str, int]) -> list[dict[str, Any]]:
    return [_render_part(part, documents) for part in parts]


def _render_part(part: Part, documents: dict[str, int]) -> dict[str, Any]:  # noqa: C901 - one case per part type
    match part:
        case Text():
            return {"text": part.text}
        case CachePoint():
            return _cache_point(part.ttl)
        case Image():
            if part.format not in IMAGE_FORMATS:
                raise BadRequest(f"Images of type {part.format} are not possible; send png, jpeg, gif or webp.")
            return {"image": {"format": part.format, "source": {"bytes": part.data}}}
        case Document():
            if part.format not in DOCUMENT_FORMATS:
                raise BadRequest(f"Documents of type {part.format} are not possible.")
            name = _document_name(part.name, documents)
            return {"document": {"format": part.format, "name": name, "source": {"bytes": part.data}}}
        case Thinking():
            return {"reasoningContent": {"reasoningText": {"text": part.text, "signature": part.signature}}}
        case RedactedThinking():
            return {"reasoningContent": {"redactedContent": part.data}}
        case ToolUse():
            use = {"toolUseId": safe_name(part.id), "name": safe_name(part.name), "input": input_object(part.input)}
            return {"toolUse": use}
        case ToolResult():
            result: dict[str, Any] = {"toolUseId": safe_name(part.tool_use_id)}
            result["content"] = _render_parts(part.content, documents)
            if part.is_error:
                result["status"] = "error"
            return {"toolResult": result}


def _document_name(name: str, documents: dict[str, int]) -> str:
    """The name in the characters Converse allows, numbered when it was used before in this request."""
    plain = " ".join(_DOCUMENT_NAME.sub(" ", name).split())[:_MAX_DOCUMENT_NAME].strip() or "document"
    number = documents[plain] = documents.get(plain, 0) + 1
    return plain if number == 1 else f"{plain} ({number})"
