"""OpenAI Responses, the client's request: body to neutral Request.

Nothing is stored between calls, so whatever points to earlier state is refused with the way out: send the history.
Source: OpenAI API reference (responses); Codex for namespaces, free-text tools and client metadata.
"""

from typing import NamedTuple

import msgspec

from sekisho.dialects.exchange import (
    Image,
    JsonSchema,
    Part,
    Reasoning,
    Request,
    Thinking,
    ToolChoice,
    ToolResult,
    ToolUse,
)
from sekisho.dialects.openai import (
    Role,
    Turns,
    file_part,
    image_part,
    read_effort,
    read_output_format,
    text_parts,
    tool_input,
)
from sekisho.dialects.openai_responses.thinking import is_ours, parse_encrypted
from sekisho.dialects.openai_responses.tools import Toolbox, read_tool_choice
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
    get_text,
    unknown_value,
    wrong_type,
)
from sekisho.errors import BadRequest

_FIELDS = frozenset(
    "model input instructions tools tool_choice parallel_tool_calls max_output_tokens temperature top_p reasoning text "
    "stream stream_options include store background previous_response_id conversation prompt".split()
)
_STATEFUL = ("previous_response_id", "conversation", "prompt")
# Steps of tools that a provider hosts: none run here, and a model can do without the record of one.
_HOSTED_STEPS = frozenset(
    "web_search_call file_search_call code_interpreter_call image_generation_call mcp_list_tools mcp_call "
    "mcp_approval_request mcp_approval_response tool_search_call tool_search_output".split()
)


def parse_request(body: bytes) -> Request:
    """Raises BadRequest with the path of the field that cannot be read or served.

    `stream_options`, `include` and `reasoning.summary` change nothing: usage, thinking and its summary always come."""
    source = decode_object(body)
    offered = read_offered(source)
    return request_of(source, _turns(source, offered.toolbox, offered.unused), offered)


class Offered(NamedTuple):
    """The tools of a body, how they are chosen, which may be, and the names of what is not used so far."""

    toolbox: Toolbox
    choice: ToolChoice | None
    allowed: set[str] | None
    unused: list[str]


def read_offered(source: JsonObject) -> Offered:
    """What a decoded body says of tools. Raises BadRequest, also for a body that needs state."""
    _refuse_state(source)
    unused = [name for name in source if name not in _FIELDS]
    if find_bool(source, "store"):
        unused.append("store")
    toolbox = Toolbox()
    toolbox.read(find_list(source, "tools") or [], unused)
    choice, allowed = read_tool_choice(source, toolbox, unused)
    return Offered(toolbox, choice, allowed, unused)


def request_of(source: JsonObject, turns: Turns, offered: Offered) -> Request:
    """The request of a decoded body whose input was read already: `source` may be without it."""
    toolbox, tool_choice, allowed, unused = offered
    tools = tuple(tool for tool in toolbox.tools if allowed is None or tool.name in allowed)
    return Request(
        model=get_text(source, "model"),
        messages=turns.messages("input"),
        system=tuple(turns.system),
        tools=tools,
        tool_choice=tool_choice if tools else None,  # without tools there is nothing to choose
        parallel_tool_calls=find_bool(source, "parallel_tool_calls"),
        max_tokens=find_count(source, "max_output_tokens"),
        temperature=find_number(source, "temperature"),
        top_p=find_number(source, "top_p"),
        reasoning=_reasoning(source),
        json_schema=_json_schema(source, unused),
        stream=find_bool(source, "stream") or False,
        unused=tuple(dict.fromkeys(unused)),
    )


def instructions_of(source: JsonObject) -> list[Part]:
    """The system text that leads."""
    return text_parts(find_text(source, "instructions"))


class _Said:
    """Takes what `_add_item` adds."""

    def __init__(self) -> None:
        self.words: tuple[Role, list[Part], str] = ("system", [], "")

    def add(self, role: Role, parts: list[Part], run: str = "") -> None:
        self.words = (role, parts, run)


def read_item(item: JsonObject, at: str, toolbox: Toolbox) -> tuple[Role, list[Part], str]:
    """What one item says, whatever stands before it: the arguments of `Turns.add`. Raises BadRequest."""
    said = _Said()
    _add_item(item, at, said, toolbox, [])
    return said.words


def _refuse_state(source: JsonObject) -> None:
    for name in _STATEFUL:
        if source.get(name) is not None:
            raise BadRequest(f"{name}: this gateway stores no responses; send the whole history in input.", param=name)
    if find_bool(source, "background"):
        raise BadRequest("background: calls here are answered while the client waits.", param="background")


def _reasoning(source: JsonObject) -> Reasoning:
    wanted = find_object(source, "reasoning") or {}
    return read_effort(find_text(wanted, "effort", "reasoning"), "reasoning.effort")


def _json_schema(source: JsonObject, unused: list[str]) -> JsonSchema | None:
    text = find_object(source, "text") or {}
    unused += [f"text.{name}" for name in text if name != "format"]
    wanted = find_object(text, "format", "text")
    return read_output_format(wanted, wanted, "text.format", "text.format") if wanted is not None else None


def _turns(source: JsonObject, toolbox: Toolbox, unused: list[str]) -> Turns:
    turns = Turns()
    turns.add("system", instructions_of(source))
    value = source.get("input")
    if isinstance(value, str):
        turns.add("user", text_parts(value))
        return turns
    if not isinstance(value, list):
        raise wrong_type(value, "a string or an array", "input")
    for i, item in enumerate(value):
        _add_item(as_object(item, f"input[{i}]"), f"input[{i}]", turns, toolbox, unused)
    return turns


def _add_item(item: JsonObject, at: str, turns: Turns | _Said, toolbox: Toolbox, unused: list[str]) -> None:
    """What a model said or did in a row is one assistant message; results in a row are one user message."""
    kind = find_text(item, "type", at) or "message"
    match kind:
        case "message":
            _add_message(item, at, turns)
        case "function_call":
            arguments = tool_input(find_text(item, "arguments", at))
            turns.add("assistant", [_tool_use(item, at, toolbox, arguments)], run="assistant")
        case "custom_tool_call":
            arguments = msgspec.json.encode({"input": find_text(item, "input", at) or ""}).decode()
            turns.add("assistant", [_tool_use(item, at, toolbox, arguments)], run="assistant")
        case "function_call_output" | "custom_tool_call_output":
            content = _content(item.get("output"), f"{at}.output", {"text", "image", "file"})
            turns.add("user", [ToolResult(get_text(item, "call_id", at), tuple(content))], run="results")
        case "reasoning":
            turns.add("assistant", _thinking(item, at, unused), run="assistant")
        case "item_reference":
            raise BadRequest(f"{at}: this gateway stores no items; send the item itself.", param=at)
        case _ if kind in _HOSTED_STEPS:
            unused.append(f"input.{kind}")
        case _:
            raise BadRequest(f"{at}.type: items of type {kind[:60]!r} are not supported.", param=f"{at}.type")


def _tool_use(item: JsonObject, at: str, toolbox: Toolbox, arguments: str) -> ToolUse:
    name = toolbox.flat_name(find_text(item, "namespace", at) or "", get_text(item, "name", at))
    return ToolUse(get_text(item, "call_id", at), name, arguments)


def _add_message(item: JsonObject, at: str, turns: Turns | _Said) -> None:
    role = get_text(item, "role", at)
    content = item.get("content")
    path = f"{at}.content"
    match role:
        case "system" | "developer":
            turns.add("system", _content(content, path, {"text"}))
        case "user":
            turns.add("user", _content(content, path, {"text", "image", "file"}))
        case "assistant":
            turns.add("assistant", _content(content, path, {"text", "refusal"}), run="assistant")
        case _:
            raise unknown_value(role, "system, developer, user or assistant", f"{at}.role")


def _content(value: object, path: str, allowed: set[str]) -> list[Part]:
    if isinstance(value, str):
        return text_parts(value)
    if not isinstance(value, list):
        raise wrong_type(value, "a string or an array", path)
    parts: list[Part] = []
    for i, item in enumerate(value):
        parts += _content_part(as_object(item, f"{path}[{i}]"), f"{path}[{i}]", allowed)
    return parts


def _content_part(source: JsonObject, at: str, allowed: set[str]) -> list[Part]:
    kind = get_text(source, "type", at)
    match kind:
        case "input_text" | "output_text" | "text":
            return text_parts(as_text(source.get("text"), f"{at}.text"))
        case "input_image" if "image" in allowed:
            return [_image(source, at)]
        case "input_file" if "file" in allowed:
            return [file_part(source, at)]
        case "refusal" if "refusal" in allowed:
            return text_parts(as_text(source.get("refusal"), f"{at}.refusal"))
    raise BadRequest(f"{at}.type: {kind[:60]!r} is not supported in this place.", param=f"{at}.type")


def _image(source: JsonObject, at: str) -> Image:
    if source.get("file_id") is not None:
        raise BadRequest(f"{at}.file_id: this gateway keeps no files; send image_url.", param=f"{at}.file_id")
    return image_part(get_text(source, "image_url", at), f"{at}.image_url")


def _thinking(item: JsonObject, at: str, unused: list[str]) -> list[Part]:
    """What the model thought, with its proof where it is ours. Another provider's ciphertext is of no use here."""
    encrypted = find_text(item, "encrypted_content", at)
    if encrypted and not is_ours(encrypted):
        unused.append("input.reasoning")
        return []
    if encrypted:
        try:
            return [parse_encrypted(encrypted)]
        except ValueError as error:
            path = f"{at}.encrypted_content"
            raise BadRequest(f"{path}: was changed since this gateway made it.", param=path) from error
    texts = [
        as_text(as_object(part, f"{at}.summary[{i}]").get("text"), f"{at}.summary[{i}].text")
        for i, part in enumerate(find_list(item, "summary", at) or [])
    ]
    return [Thinking("\n\n".join(texts))] if any(texts) else []
