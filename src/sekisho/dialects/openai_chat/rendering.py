"""OpenAI chat completions, the request to an upstream: neutral Request to body.

What OpenAI's own API has no place for is left out, unless the upstream takes LiteLLM's extensions: cache points, signed
thinking, thinking budgets, top_k. A failed tool result has no mark in this dialect; its text must say so.
"""

import re
from typing import Any

import msgspec

from sekisho.dialects.exchange import (
    CachePoint,
    Document,
    Image,
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
from sekisho.dialects.openai import file_fields, image_url

_TAKES_COMPLETION_TOKENS = re.compile(r"(?:.*/)?(?:o\d|gpt-5|gpt-6)")
_IMAGE_ELSEWHERE = "(The images and files of this result follow in the next message.)"


def render_request(request: Request, upstream_model: str, *, extensions: bool = False) -> bytes:
    """A body for an OpenAI-compatible upstream; streams always ask for usage.

    `extensions`: the upstream takes what LiteLLM and OpenRouter add to OpenAI's form."""
    body: dict[str, Any] = {"model": upstream_model}
    body |= _tooling(request, extensions)
    body["messages"] = _messages(request, extensions)
    if request.max_tokens is not None:
        # newer OpenAI models refuse max_tokens, older compatible servers know nothing else
        newer = _TAKES_COMPLETION_TOKENS.match(upstream_model)
        body["max_completion_tokens" if newer else "max_tokens"] = request.max_tokens
    body |= _sampling(request, extensions)
    if request.json_schema is not None:
        schema = {"name": request.json_schema.name, "schema": request.json_schema.schema}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    body |= _reasoning_extended(request.reasoning) if extensions else _reasoning(request.reasoning)
    if request.stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    return msgspec.json.encode(body)


def _tooling(request: Request, extensions: bool) -> dict[str, Any]:
    """OpenAI refuses a choice of tools, and a word on parallel calls, where there are no tools."""
    if not request.tools:
        return {}
    fields: dict[str, Any] = {"tools": [_tool(tool, extensions) for tool in request.tools]}
    if request.tool_choice is not None:
        fields["tool_choice"] = _tool_choice(request.tool_choice)
    if request.parallel_tool_calls is not None:
        fields["parallel_tool_calls"] = request.parallel_tool_calls
    return fields


def _sampling(request: Request, extensions: bool) -> dict[str, Any]:
    fields = {"temperature": request.temperature, "top_p": request.top_p, "stop": request.stop or None}
    if extensions:
        fields["top_k"] = request.top_k
    return {name: value for name, value in fields.items() if value is not None}


def _reasoning(reasoning: Reasoning) -> dict[str, Any]:
    """OpenAI knows efforts only. "disabled" has no word that every model takes, so it is left unsaid."""
    effort = "xhigh" if reasoning.effort == "max" else reasoning.effort
    if reasoning.mode == "enabled" and not effort:
        effort = (
            "low" if reasoning.budget_tokens <= 2_048 else "medium" if reasoning.budget_tokens <= 16_384 else "high"
        )
    return {"reasoning_effort": effort} if effort and reasoning.mode != "disabled" else {}


def _reasoning_extended(reasoning: Reasoning) -> dict[str, Any]:
    config: dict[str, Any] = {"output_config": {"effort": reasoning.effort}} if reasoning.effort else {}
    match reasoning.mode:
        case "disabled":
            return {"thinking": {"type": "disabled"}}
        case "enabled":
            return {"thinking": {"type": "enabled", "budget_tokens": reasoning.budget_tokens}} | config
        case "adaptive":
            return {"thinking": {"type": "adaptive"}} | config
        case _:
            return config


def _tool(tool: Tool, extensions: bool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    function["parameters"] = tool.input_schema
    if tool.strict is not None:
        function["strict"] = tool.strict
    rendered: dict[str, Any] = {"type": "function", "function": function}
    if extensions and tool.cache_ttl is not None:
        rendered["cache_control"] = _cache_control(tool.cache_ttl)
    return rendered


def _tool_choice(choice: ToolChoice) -> object:
    if choice.mode == "tool":
        return {"type": "function", "function": {"name": choice.name}}
    return "required" if choice.mode == "any" else choice.mode


def _cache_control(ttl: Ttl) -> dict[str, str]:
    return {"type": "ephemeral"} if ttl == "5m" else {"type": "ephemeral", "ttl": ttl}


def _messages(request: Request, extensions: bool) -> list[dict[str, Any]]:
    rendered: list[dict[str, Any]] = []
    if content := _content(request.system, extensions):
        rendered.append({"role": "system", "content": content})
    for message in request.messages:
        if message.role == "assistant":
            rendered.append(_assistant(message, extensions))
        else:
            rendered += _spoken(message, extensions)
    return rendered


def _spoken(message: Message, extensions: bool) -> list[dict[str, Any]]:
    """A user or system turn. Tool results come first, each a message; their images and files follow in the next one."""
    rendered: list[dict[str, Any]] = []
    attached: list[Part] = []
    others: list[Part] = []
    for part in message.parts:
        if isinstance(part, ToolResult):
            rendered.append(_tool_result(part, attached))
        elif isinstance(part, CachePoint) and rendered and not others:
            if extensions:
                rendered[-1]["cache_control"] = _cache_control(part.ttl)
        else:
            others.append(part)
    if content := _content((*attached, *others), extensions):
        rendered.append({"role": message.role, "content": content})
    return rendered


def _tool_result(result: ToolResult, attached: list[Part]) -> dict[str, Any]:
    texts = [part.text for part in result.content if isinstance(part, Text)]
    elsewhere = [part for part in result.content if not isinstance(part, Text)]
    if elsewhere:
        attached += elsewhere
        texts.append(_IMAGE_ELSEWHERE)
    content: object = texts[0] if len(texts) == 1 else [{"type": "text", "text": text} for text in texts]
    return {"role": "tool", "tool_call_id": result.tool_use_id, "content": content if texts else ""}


def _content(parts: tuple[Part, ...], extensions: bool) -> object:
    """A string for one lone text, else the list of parts."""
    if len(parts) == 1 and isinstance(parts[0], Text):
        return parts[0].text
    rendered: list[dict[str, Any]] = []
    for part in parts:
        match part:
            case Text(text=text):
                rendered.append({"type": "text", "text": text})
            case Image():
                rendered.append({"type": "image_url", "image_url": {"url": image_url(part)}})
            case Document():
                rendered.append({"type": "file", "file": file_fields(part)})
            case CachePoint(ttl=ttl) if extensions and rendered:
                rendered[-1]["cache_control"] = _cache_control(ttl)
            case _:
                pass  # thinking and tools have their own places in a message
    return rendered


def _assistant(message: Message, extensions: bool) -> dict[str, Any]:
    """Text, calls and thinking each have one place in this dialect, so their order among each other is lost."""
    calls: list[dict[str, Any]] = []
    thinking: list[dict[str, str]] = []
    spoken: list[Part] = []
    for part in message.parts:
        match part:
            case ToolUse():
                function = {"name": part.name, "arguments": part.input}
                calls.append({"id": part.id, "type": "function", "function": function})
            case Thinking():
                thinking.append({"type": "thinking", "thinking": part.text, "signature": part.signature})
            case RedactedThinking():
                thinking.append({"type": "redacted_thinking", "data": part.data})
            case CachePoint(ttl=ttl) if calls:
                if extensions:
                    calls[-1]["cache_control"] = _cache_control(ttl)
            case _:
                spoken.append(part)
    rendered: dict[str, Any] = {"role": "assistant", "content": _content(tuple(spoken), extensions) or None}
    if calls:
        rendered["tool_calls"] = calls
    elif rendered["content"] is None:
        rendered["content"] = ""
    if extensions and thinking:
        rendered["reasoning_content"] = "".join(block.get("thinking", "") for block in thinking)
        rendered["thinking_blocks"] = thinking
    return rendered
