"""OpenAI chat completions, the client's request: body to neutral Request.

Takes what the agents send beyond OpenAI's own form: `cache_control` in five places, thinking blocks, `thinking`,
`output_config` and `reasoning` objects. Fields without a meaning here are named in `unused`, never refused.
Source: OpenAI API reference (chat), LiteLLM and OpenRouter request extensions as agents use them.
"""

from typing import Any

from sekisho.dialects.exchange import (
    CachePoint,
    JsonSchema,
    Part,
    Reasoning,
    RedactedThinking,
    Request,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    Ttl,
)
from sekisho.dialects.openai import (
    Role,
    Turns,
    file_part,
    image_part,
    read_choice_word,
    read_effort,
    read_function,
    read_output_format,
    text_parts,
    tool_input,
)
from sekisho.dialects.reading import (
    JsonObject,
    as_object,
    as_text,
    decode_object,
    find_bool,
    find_count,
    find_list,
    find_number,
    find_object,
    find_text,
    get_object,
    get_text,
    join_path,
    unknown_value,
    wrong_type,
)
from sekisho.errors import BadRequest

_FIELDS = frozenset(
    "model messages tools tool_choice functions function_call parallel_tool_calls max_tokens max_completion_tokens "
    "temperature top_p top_k stop reasoning_effort reasoning thinking output_config response_format "
    "stream stream_options n".split()
)
_ROLES = "system, developer, user, assistant, tool or function"


def parse_request(body: bytes) -> Request:
    """Raises BadRequest with the path of the field that cannot be read or served."""
    source = decode_object(body)
    return request_of(source, _turns(source))


def request_of(source: JsonObject, turns: Turns) -> Request:
    """The request of a decoded body whose messages were read already: `source` may be without them."""
    unused = [name for name in source if name not in _FIELDS]
    tools, tool_choice = _tools(source, unused)
    stream = find_bool(source, "stream") or False
    stream_options = find_object(source, "stream_options") or {}
    wants_usage = find_bool(stream_options, "include_usage", "stream_options") or False
    return Request(
        model=get_text(source, "model"),
        messages=turns.messages("messages"),
        system=tuple(turns.system),
        tools=tools,
        tool_choice=tool_choice,
        parallel_tool_calls=find_bool(source, "parallel_tool_calls"),
        max_tokens=find_count(source, "max_completion_tokens") or find_count(source, "max_tokens"),
        temperature=find_number(source, "temperature"),
        top_p=find_number(source, "top_p"),
        top_k=find_count(source, "top_k"),
        stop=_stop(source),
        reasoning=_reasoning(source),
        json_schema=_json_schema(source),
        stream=stream,
        wants_usage=wants_usage or not stream,
        unused=tuple(unused),
    )


def _stop(source: JsonObject) -> tuple[str, ...]:
    if isinstance(source.get("stop"), str):
        return (source["stop"],) if source["stop"] else ()
    return tuple(as_text(text, f"stop[{i}]") for i, text in enumerate(find_list(source, "stop") or []))


def _json_schema(source: JsonObject) -> JsonSchema | None:
    wanted = find_object(source, "response_format")
    if wanted is None:
        return None
    holder = {}
    if wanted.get("type") == "json_schema":
        holder = get_object(wanted, "json_schema", "response_format")
    return read_output_format(wanted, holder, "response_format", "response_format.json_schema")


def _reasoning(source: JsonObject) -> Reasoning:
    """The most exact wish wins: `thinking`, then `reasoning`, then `reasoning_effort`, then `output_config.effort`."""
    config = find_object(source, "output_config") or {}
    effort = read_effort(find_text(config, "effort", "output_config"), "output_config.effort").effort
    thinking = find_object(source, "thinking")
    if thinking is not None:
        return _thinking_wish(thinking, effort)
    wanted = find_object(source, "reasoning")
    if wanted is not None:
        return _reasoning_wish(wanted)
    if source.get("reasoning_effort") is not None:
        return read_effort(find_text(source, "reasoning_effort"), "reasoning_effort")
    return Reasoning(effort=effort)


def _thinking_wish(thinking: JsonObject, effort: str) -> Reasoning:
    kind = get_text(thinking, "type", "thinking")
    if kind == "disabled":
        return Reasoning("disabled")
    if kind == "adaptive":
        return Reasoning("adaptive", effort=effort)
    if kind != "enabled":
        raise unknown_value(kind, "enabled, adaptive or disabled", "thinking.type")
    budget_tokens = find_count(thinking, "budget_tokens", "thinking")
    if budget_tokens is None:
        raise wrong_type(None, "an integer", "thinking.budget_tokens")
    return Reasoning("enabled", budget_tokens, effort)


def _reasoning_wish(wanted: JsonObject) -> Reasoning:
    by_effort = read_effort(find_text(wanted, "effort", "reasoning"), "reasoning.effort")
    budget_tokens = find_count(wanted, "max_tokens", "reasoning")
    if find_bool(wanted, "enabled", "reasoning") is False:
        return Reasoning("disabled")
    if budget_tokens is not None:
        return Reasoning("enabled", budget_tokens, by_effort.effort)
    return by_effort if by_effort != Reasoning() else Reasoning("adaptive")


def _tools(source: JsonObject, unused: list[str]) -> tuple[tuple[Tool, ...], ToolChoice | None]:
    tools: list[Tool] = []
    for i, value in enumerate(find_list(source, "tools") or []):
        at = f"tools[{i}]"
        tool = as_object(value, at)
        kind = find_text(tool, "type", at) or "function"
        if kind != "function":
            unused.append(f"tools.{kind}")
            continue
        function = get_object(tool, "function", at)
        ttl = _cache_ttl(tool, at) or _cache_ttl(function, f"{at}.function")
        tools.append(_with_ttl(read_function(function, f"{at}.function"), ttl))
    for i, value in enumerate(find_list(source, "functions") or []):
        tools.append(read_function(as_object(value, f"functions[{i}]"), f"functions[{i}]"))
    choice, allowed = _tool_choice(source)
    if allowed is not None:
        tools = [tool for tool in tools if tool.name in allowed]
    return tuple(tools), choice if tools else None  # without tools there is nothing to choose


def _with_ttl(tool: Tool, ttl: Ttl | None) -> Tool:
    return Tool(tool.name, tool.description, tool.input_schema, tool.strict, ttl) if ttl else tool


def _tool_choice(source: JsonObject) -> tuple[ToolChoice | None, set[str] | None]:
    """How tools are chosen and, for `allowed_tools`, which may be."""
    value = source.get("tool_choice")
    if value is None:
        return _legacy_choice(source), None
    if isinstance(value, str):
        return read_choice_word(value, "tool_choice"), None
    choice = as_object(value, "tool_choice")
    kind = get_text(choice, "type", "tool_choice")
    if kind == "function":
        function = get_object(choice, "function", "tool_choice")
        return ToolChoice("tool", get_text(function, "name", "tool_choice.function")), None
    if kind == "tool":
        return ToolChoice("tool", get_text(choice, "name", "tool_choice")), None
    if kind != "allowed_tools":
        return read_choice_word(kind, "tool_choice.type"), None
    wanted = get_object(choice, "allowed_tools", "tool_choice")
    at = "tool_choice.allowed_tools"
    names: set[str] = set()
    for i, item in enumerate(find_list(wanted, "tools", at) or []):
        tool = as_object(item, f"{at}.tools[{i}]")
        if tool.get("type") == "function":
            names.add(get_text(get_object(tool, "function", f"{at}.tools[{i}]"), "name", f"{at}.tools[{i}].function"))
    return read_choice_word(get_text(wanted, "mode", at), f"{at}.mode"), names


def _legacy_choice(source: JsonObject) -> ToolChoice | None:
    value = source.get("function_call")
    if value is None:
        return None
    if isinstance(value, str):
        return read_choice_word(value, "function_call")
    return ToolChoice("tool", get_text(as_object(value, "function_call"), "name", "function_call"))


def _turns(source: JsonObject) -> Turns:
    values = find_list(source, "messages")
    if not values:
        raise BadRequest("messages: at least one message is needed.", param="messages")
    turns = Turns()
    legacy_id = ""
    for i, value in enumerate(values):
        at = f"messages[{i}]"
        message = as_object(value, at)
        if message.get("function_call") is not None and message.get("role") == "assistant":
            legacy_id = f"call_legacy_{i}"
            turns.add("assistant", _mark(message, at, _assistant(message, at, legacy_id)))
        elif message.get("role") == "function":
            result = _tool_result(message, at, legacy_id or f"call_legacy_{i}")
            turns.add("user", _mark(message, at, result), run="tool")
        else:
            turns.add(*read_message(message, at))
    return turns


def read_message(message: JsonObject, at: str) -> tuple[Role, list[Part], str]:
    """What one message says, whatever stands before it: the arguments of `Turns.add`. Raises BadRequest, also for the
    old function calls, which belong to the message before them."""
    role = get_text(message, "role", at)
    match role:
        case "system" | "developer":
            return "system", _mark(message, at, _content(message, at, {"text"})), ""
        case "user":
            return "user", _mark(message, at, _content(message, at, {"text", "image", "file"})), ""
        case "assistant" if message.get("function_call") is None:
            return "assistant", _mark(message, at, _assistant(message, at)), ""
        case "tool":
            result = _tool_result(message, at, get_text(message, "tool_call_id", at))
            return "user", _mark(message, at, result), "tool"
    raise unknown_value(role, _ROLES, f"{at}.role")


def _cache_ttl(source: JsonObject, at: str) -> Ttl | None:
    """The lifetime a `cache_control` key asks for, None without one."""
    control = find_object(source, "cache_control", at)
    if control is None:
        return None
    path = join_path(at, "cache_control")
    if get_text(control, "type", path) != "ephemeral":
        raise unknown_value(control["type"], "ephemeral", f"{path}.type")
    match find_text(control, "ttl", path):
        case None | "5m":
            return "5m"
        case "1h":
            return "1h"
        case ttl:
            raise unknown_value(ttl, "5m or 1h", f"{path}.ttl")


def _mark(source: JsonObject, at: str, parts: list[Part]) -> list[Part]:
    """These parts, with a cache point after them when their source asks for one and they do not end in one.

    A marker as a key of the message itself (opencode) means: after its last part."""
    ttl = _cache_ttl(source, at)
    if ttl and parts and not isinstance(parts[-1], CachePoint):
        return [*parts, CachePoint(ttl)]
    return parts


def _content(message: JsonObject, at: str, allowed: set[str]) -> list[Part]:
    value = message.get("content")
    path = f"{at}.content"
    if value is None or isinstance(value, str):
        return text_parts(value)
    if not isinstance(value, list):
        raise wrong_type(value, "a string or an array", path)
    parts: list[Part] = []
    for i, item in enumerate(value):
        parts += _content_part(item, f"{path}[{i}]", allowed)
    return parts


def _content_part(item: object, at: str, allowed: set[str]) -> list[Part]:
    if isinstance(item, str):
        return text_parts(item)
    source = as_object(item, at)
    kind = get_text(source, "type", at)
    reader = _PART_READERS.get(kind)
    if kind == "input_audio":
        raise BadRequest(f"{at}: audio is not supported by the models here.", param=at)
    if reader is None or reader[0] not in allowed:
        raise BadRequest(f"{at}.type: {kind[:60]!r} is not supported in this place.", param=f"{at}.type")
    return _mark(source, at, reader[1](source, at))


def _read_text(source: JsonObject, at: str) -> list[Part]:
    return text_parts(as_text(source.get("text"), f"{at}.text"))


def _read_refusal(source: JsonObject, at: str) -> list[Part]:
    return text_parts(as_text(source.get("refusal"), f"{at}.refusal"))


def _read_image(source: JsonObject, at: str) -> list[Part]:
    if isinstance(source.get("image_url"), str):
        return [image_part(source["image_url"], f"{at}.image_url")]
    return [image_part(get_text(get_object(source, "image_url", at), "url", f"{at}.image_url"), f"{at}.image_url.url")]


def _read_file(source: JsonObject, at: str) -> list[Part]:
    return [file_part(get_object(source, "file", at), f"{at}.file")]


def _read_thinking(source: JsonObject, at: str) -> list[Part]:
    text = find_text(source, "thinking", at) or ""
    signature = find_text(source, "signature", at) or ""
    return [Thinking(text, signature)] if text or signature else []


def _read_redacted(source: JsonObject, at: str) -> list[Part]:
    return [RedactedThinking(get_text(source, "data", at))]


_PART_READERS = {
    "text": ("text", _read_text),
    "refusal": ("refusal", _read_refusal),
    "image_url": ("image", _read_image),
    "file": ("file", _read_file),
    "thinking": ("thinking", _read_thinking),
    "redacted_thinking": ("thinking", _read_redacted),
}


def _assistant(message: JsonObject, at: str, legacy_id: str = "") -> list[Part]:
    parts = _thinking(message, at)
    parts += _content(message, at, {"text", "refusal", "thinking"})
    parts += text_parts(find_text(message, "refusal", at))
    for i, value in enumerate(find_list(message, "tool_calls", at) or []):
        parts += _tool_call(as_object(value, f"{at}.tool_calls[{i}]"), f"{at}.tool_calls[{i}]")
    legacy = find_object(message, "function_call", at)
    if legacy is not None:
        arguments = find_text(legacy, "arguments", f"{at}.function_call")
        parts.append(ToolUse(legacy_id, get_text(legacy, "name", f"{at}.function_call"), tool_input(arguments)))
    return parts


def _tool_call(call: JsonObject, at: str) -> list[Part]:
    kind = find_text(call, "type", at) or "function"
    if kind != "function":
        raise unknown_value(kind, "function", f"{at}.type")
    function = get_object(call, "function", at)
    name = get_text(function, "name", f"{at}.function")
    arguments = tool_input(find_text(function, "arguments", f"{at}.function"))
    return _mark(call, at, [ToolUse(get_text(call, "id", at), name, arguments)])


def _tool_result(message: JsonObject, at: str, tool_use_id: str) -> list[Part]:
    """A cache marker inside the result moves behind it: no model takes one within."""
    parts = _content(message, at, {"text", "image", "file"})
    points = [part for part in parts if isinstance(part, CachePoint)]
    content = tuple(part for part in parts if not isinstance(part, CachePoint))
    return [ToolResult(tool_use_id, content), *points[-1:]]


def _thinking(message: JsonObject, at: str) -> list[Part]:
    """The thinking an agent sends back: with signatures where it kept them, else as bare text."""
    blocks = find_list(message, "thinking_blocks", at)
    if blocks:
        return [
            part
            for i, item in enumerate(blocks)
            for part in _content_part(item, f"{at}.thinking_blocks[{i}]", {"thinking"})
        ]
    details = find_list(message, "reasoning_details", at)
    if details:
        return [
            part for i, item in enumerate(details) for part in _reasoning_detail(item, f"{at}.reasoning_details[{i}]")
        ]
    text = find_text(message, "reasoning_content", at)
    return [Thinking(text)] if text else []


def _reasoning_detail(item: Any, at: str) -> list[Part]:
    source = as_object(item, at)
    if source.get("type") == "reasoning.encrypted":
        return [RedactedThinking(get_text(source, "data", at))]
    if source.get("type") == "reasoning.text":
        text, signature = find_text(source, "text", at) or "", find_text(source, "signature", at) or ""
        return [Thinking(text, signature)] if text or signature else []
    return []  # a summary is not what the model thought
