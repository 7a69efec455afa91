"""Reads Converse, ConverseStream and CountTokens requests: the service's own checks, then the model's.

Converse words its own refusals; what the model refuses comes behind a fixed sentence. Wording follows the service.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
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
from sekisho.simulator.content_rules import (
    PairingFault,
    check_content,
    check_document_name,
    find_pairing_fault,
    has_tool_blocks,
    refuse_pairing,
)
from sekisho.simulator.exceptions import AwsException, ModelRefusal, validation
from sekisho.simulator.model_rules import check_parameters
from sekisho.simulator.subject import Subject
from sekisho.values import Model

_MODEL_ERROR = "The model returned the following errors: "
_NO_CACHING = (
    "You invoked an unsupported model or your request did not allow prompt caching. See the documentation for more "
    "information."
)
_UNSERVED_BLOCKS = ("video", "audio", "toolAddition", "toolRemoval")
_CLAUDE_FIELDS = ("anthropic_beta", "context_management", "output_config", "thinking", "top_k")
_OTHER_FIELDS = ("inferenceConfig", "reasoningConfig", "reasoning_effort", "top_k")
_RESPONSE_PATH = re.compile(r"(/[^/~]*(~[01][^/~]*)*)+")


def read_request(body: Mapping[str, Any], model: Model, model_id: str) -> Subject:
    """The request of a body whose shape was checked. Raises AwsException in the service's words."""
    try:
        subject = _parse(body, model, model_id)
        _check_service(body, subject)
        _check_conversation(subject)
        check_parameters(subject)
        check_content(subject)
    except ModelRefusal as refusal:
        raise validation(_MODEL_ERROR + refusal.message) from refusal
    return subject


def too_long(tokens: int, limit: int) -> AwsException:
    """The refusal of a prompt that the context window cannot hold."""
    return validation(f"{_MODEL_ERROR}prompt is too long: {tokens} tokens > {limit} maximum")


def _parse(body: Mapping[str, Any], model: Model, model_id: str) -> Subject:
    config = body.get("inferenceConfig", {})
    tool_config = body.get("toolConfig", {})
    fields = _Fields(body, is_claude="anthropic." in model_id)
    request = Request(
        model=model_id,
        messages=tuple(
            Message(item["role"], tuple(_parts(item["content"], f"messages.{index}.content")))
            for index, item in enumerate(body.get("messages", ()))
        ),
        system=tuple(_parts(body.get("system", ()), "system")),
        tools=tuple(_tools(tool_config.get("tools", ()))),
        tool_choice=_tool_choice(tool_config.get("toolChoice")),
        max_tokens=config.get("maxTokens"),
        temperature=config.get("temperature"),
        top_p=config.get("topP"),
        top_k=fields.top_k,
        stop=tuple(config.get("stopSequences", ())),
        reasoning=fields.reasoning,
        json_schema=fields.json_schema,
    )
    return Subject(request, model, model_id, fields.betas)


class _Fields:
    """What `additionalModelRequestFields` and `outputConfig` add to the request."""

    def __init__(self, body: Mapping[str, Any], *, is_claude: bool) -> None:
        extra = body.get("additionalModelRequestFields", {})
        anthropic_fields.require(extra, dict, "additionalModelRequestFields")
        anthropic_fields.refuse_extra(extra, _CLAUDE_FIELDS if is_claude else _OTHER_FIELDS, "")
        self.betas = anthropic_fields.parse_betas(extra.get("anthropic_beta", []))
        self.reasoning = anthropic_fields.parse_thinking(extra["thinking"]) if "thinking" in extra else Reasoning()
        self.top_k: int | None = extra.get("top_k")
        if self.top_k is not None:
            anthropic_fields.require(self.top_k, int, "top_k")
        effort, self.json_schema = anthropic_fields.parse_output_config(extra.get("output_config", {}))
        if "context_management" in extra:
            anthropic_fields.check_context_management(extra["context_management"], self.betas)
        output = body.get("outputConfig", {})
        if "effort" in output:
            effort = anthropic_fields.parse_effort(output["effort"])
        if "textFormat" in output:
            definition = output["textFormat"]["structure"]["jsonSchema"]
            schema = anthropic_fields.parse_schema_text(definition["schema"])
            self.json_schema = JsonSchema(definition.get("name", ""), schema)
        self.reasoning = msgspec.structs.replace(self.reasoning, effort=effort)


def _parts(blocks: Sequence[Mapping[str, Any]], where: str) -> list[Part]:
    return [_part(block, f"{where}.{index}") for index, block in enumerate(blocks)]


def _part(block: Mapping[str, Any], where: str) -> Part:
    """One content block; the shape check has made sure that exactly one member is set."""
    ((kind, value),) = block.items()
    if kind in _UNSERVED_BLOCKS:
        raise validation(f"This model doesn't support the {kind} field at {where}. Remove {kind} and try again.")
    if kind == "toolUse":
        return _tool_use(value, where)
    if kind == "toolResult":
        is_error = value.get("status") == "error"
        content = _parts(value["content"], f"{where}.toolResult.content")
        return ToolResult(value["toolUseId"], tuple(content), is_error)
    if kind == "reasoningContent":
        return _reasoning(value)
    if kind == "cachePoint":
        return CachePoint(value.get("ttl", "5m"))
    if kind == "image":
        return Image(value["format"], _bytes(value["source"], f"{where}.image"))
    if kind == "document":
        return _document(value, where)
    return Text(_text(kind, value))


def _text(kind: str, value: Any) -> str:
    """The text of the block kinds that are text to the model."""
    if kind == "text":
        return str(value)
    if kind == "guardContent":
        return str(value.get("text", {}).get("text", ""))
    if kind == "citationsContent":
        return "".join(item.get("text", "") for item in value.get("content", ()))
    return msgspec.json.encode(value).decode()


def _tool_use(value: Mapping[str, Any], where: str) -> ToolUse:
    if not isinstance(value["input"], dict):
        raise validation(
            f"The format of the value at {where}.toolUse.input is invalid. Provide a json object for the field and "
            "try again."
        )
    return ToolUse(value["toolUseId"], value["name"], msgspec.json.encode(value["input"]).decode())


def _reasoning(value: Mapping[str, Any]) -> Part:
    if "redactedContent" in value:
        return RedactedThinking(value["redactedContent"])
    return Thinking(value["reasoningText"]["text"], value["reasoningText"].get("signature", ""))


def _document(value: Mapping[str, Any], where: str) -> Document:
    check_document_name(value["name"])
    source = value["source"]
    if "text" in source:
        data = base64.b64encode(source["text"].encode()).decode()
    elif "content" in source:
        data = base64.b64encode("".join(item["text"] for item in source["content"]).encode()).decode()
    else:
        data = _bytes(source, f"{where}.document")
    return Document(value.get("format", "txt"), value["name"], data)


def _bytes(source: Mapping[str, Any], where: str) -> str:
    if "bytes" not in source:
        raise validation(f"The source at {where} must carry bytes: no Amazon S3 location can be read here.")
    return str(source["bytes"])


def _tools(entries: Sequence[Mapping[str, Any]]) -> list[Tool]:
    tools = list[Tool]()
    for index, entry in enumerate(entries):
        where = f"toolConfig.tools.{index}"
        if "cachePoint" in entry:
            if not tools or tools[-1].cache_ttl is not None:
                raise validation(f"The cachePoint at {where} must follow a toolSpec.")
            tools[-1] = msgspec.structs.replace(tools[-1], cache_ttl=entry["cachePoint"].get("ttl", "5m"))
        elif "toolSpec" in entry:
            spec = entry["toolSpec"]
            schema = spec["inputSchema"]["json"]
            if not isinstance(schema, dict) or schema.get("type") != "object":
                raise validation(
                    f"The value at {where}.toolSpec.inputSchema.json.type must be one of the following: object."
                )
            tools.append(Tool(spec["name"], spec.get("description", ""), schema, spec.get("strict")))
        else:
            raise validation(f"This model doesn't support the systemTool at {where}. Remove it and try again.")
    if entries and not tools:
        raise validation("The toolConfig field must define at least one toolSpec.")
    return tools


def _tool_choice(choice: Mapping[str, Any] | None) -> ToolChoice | None:
    if choice is None:
        return None
    if "tool" in choice:
        return ToolChoice("tool", choice["tool"]["name"])
    return ToolChoice("any" if "any" in choice else "auto")


def _check_service(body: Mapping[str, Any], subject: Subject) -> None:
    """What the service refuses without asking the model."""
    if "promptVariables" in body:
        raise validation("The promptVariables field is only allowed with a prompt resource as modelId.")
    if "guardrailConfig" in body:
        raise validation("The guardrail identifier or version provided in the request does not exist.")
    if body.get("performanceConfig", {}).get("latency") == "optimized":
        raise validation(f"Latency performance configuration is not supported for {subject.model_id}.")
    tier = body.get("serviceTier", {}).get("type", "default")
    if subject.is_claude and tier in ("priority", "flex"):
        raise validation(f"The service tier {tier} is not supported for {subject.model_id}.")
    if not all(_RESPONSE_PATH.fullmatch(path) for path in body.get("additionalModelResponseFieldPaths", ())):
        raise validation(
            "The additionalModelResponseFieldPaths field must hold JSON pointers. Correct them and try again."
        )
    max_tokens, limit = subject.request.max_tokens, subject.model.max_output_tokens
    if max_tokens is not None and max_tokens > limit:
        raise validation(
            f"The maximum tokens you requested exceeds the model limit of {limit}. Try again with a maximum tokens "
            f"value that is lower than {limit}."
        )


def _check_conversation(subject: Subject) -> None:
    request = subject.request
    if request.system and not subject.quirks.system:
        raise validation(
            "This model doesn't support system messages. Try again without system messages or use a model that "
            "supports system messages."
        )
    _check_cache_points(subject)
    _check_roles(request.messages)
    for index, message in enumerate(request.messages):
        for position, part in enumerate(message.parts):
            if isinstance(part, Text) and not part.text.strip():
                raise validation(
                    f"The text field in the ContentBlock object at messages.{index}.content.{position} is blank. Add "
                    "text to the text field, and try again."
                )
        if any(isinstance(part, Document) for part in message.parts) and not any(
            isinstance(part, Text) for part in message.parts
        ):
            raise validation(f"The Message object at messages.{index} has a document and no text. Add a text block.")
    if has_tool_blocks(request.messages) and not request.tools:
        raise validation("The toolConfig field must be defined when using toolUse and toolResult content blocks.")
    fault = find_pairing_fault(request.messages, results_first=subject.is_claude)
    if fault is not None:
        raise _pairing_refusal(fault)


def _check_roles(messages: Sequence[Message]) -> None:
    for index, message in enumerate(messages):
        if not message.parts:
            raise validation(
                f"The content field in the Message object at messages.{index} is empty. Add a ContentBlock object to "
                "the content field and try again."
            )
        if message.role == "system":
            raise ModelRefusal(f"messages.{index}: role 'system' is not supported on this model")
    if not messages or messages[0].role != "user":
        raise validation(
            "A conversation must start with a user message. Try again with a conversation that starts with a user "
            "message."
        )
    if any(one.role == next_one.role for one, next_one in pairwise(messages)):
        raise validation(
            "A conversation must alternate between user and assistant roles. Make sure the conversation alternates "
            "between user and assistant roles and try again."
        )


def _check_cache_points(subject: Subject) -> None:
    request = subject.request
    sections = [("system", request.system)]
    sections += [(f"messages.{index}.content", message.parts) for index, message in enumerate(request.messages)]
    has_points = any(tool.cache_ttl for tool in request.tools)
    for where, parts in sections:
        before: Part | None = None
        for position, part in enumerate(parts):
            if isinstance(part, CachePoint):
                has_points = True
                if before is None or isinstance(before, CachePoint | Thinking | RedactedThinking):
                    raise validation(f"The cachePoint at {where}.{position} must follow content that can be cached.")
            before = part
    if has_points and subject.quirks.cache_min_tokens == 0:
        raise AwsException("AccessDeniedException", _NO_CACHING)


def _pairing_refusal(fault: PairingFault) -> Exception:
    """Converse's words for the two commonest faults; the model's words for the others."""
    ids = ", ".join(fault.ids)
    if fault.kind == "unanswered":
        return validation(
            f"Expected toolResult blocks at messages.{fault.message}.content for the following Ids: {ids}"
        )
    if fault.kind == "stray":
        return validation(
            f"The number of toolResult blocks at messages.{fault.message}.content exceeds the number of toolUse blocks "
            f"of previous turn. Found toolResult blocks for the following Ids: {ids}"
        )
    return refuse_pairing(fault)
