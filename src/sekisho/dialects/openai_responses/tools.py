"""The Responses dialect's tools: groups become plain names and back, free-text tools become functions and back.

Models know one flat list of functions, so a tool of a `namespace` gets a name that tells its group; `Tool.origin` keeps
the way back. Tools the provider would have to host (web search and the like) are named as unused.
"""

import hashlib
import re

import msgspec

from sekisho.dialects.exchange import Tool, ToolChoice, ToolOrigin
from sekisho.dialects.openai import read_choice_word, read_function
from sekisho.dialects.reading import JsonObject, as_object, find_list, find_object, find_text, get_text

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_OTHER = re.compile(r"[^a-zA-Z0-9_-]")
_FREE_TEXT = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
    "additionalProperties": False,
}


class Toolbox:
    """The tools of one request, and the flat name of each.

    Names of groups that are not in the list (calls in the history to tools since gone) get the same form."""

    def __init__(self) -> None:
        self.tools: list[Tool] = []
        self._plain: set[str] = set()

    def read(self, values: list[object], unused: list[str]) -> None:
        """Raises BadRequest for what is no list of tools; unknown types are named in `unused`."""
        tools = [as_object(value, f"tools[{i}]") for i, value in enumerate(values)]
        self._plain = {str(tool.get("name")) for tool in tools if tool.get("type") in ("function", "custom")}
        for i, tool in enumerate(tools):
            self._read_tool(tool, f"tools[{i}]", "", unused)

    def flat_name(self, namespace: str, name: str) -> str:
        """At most 64 of [a-zA-Z0-9_-], different for different tools; a digest where plain joining would not do."""
        if not namespace:
            return name
        joined = f"{namespace}__{name}"
        is_unambiguous = "__" not in namespace and not namespace.endswith("_")
        if is_unambiguous and _NAME.fullmatch(joined) and joined not in self._plain:
            return joined
        digest = hashlib.sha256(f"{namespace}\0{name}".encode()).hexdigest()[:12]
        return f"{_OTHER.sub('_', joined)[:51]}_{digest}"

    def _read_tool(self, tool: JsonObject, at: str, namespace: str, unused: list[str]) -> None:
        kind = get_text(tool, "type", at)
        if kind == "function":
            self._add(read_function(tool, at), namespace)
        elif kind == "custom":
            description = _free_text_description(tool, at)
            self._add(Tool(get_text(tool, "name", at), description, _FREE_TEXT), namespace, is_free_text=True)
        elif kind == "namespace" and not namespace:
            group = get_text(tool, "name", at)
            for i, value in enumerate(find_list(tool, "tools", at) or []):
                self._read_tool(as_object(value, f"{at}.tools[{i}]"), f"{at}.tools[{i}]", group, unused)
        else:
            unused.append(f"tools.{kind}")

    def _add(self, tool: Tool, namespace: str, is_free_text: bool = False) -> None:
        if namespace or is_free_text:
            origin = ToolOrigin(tool.name, namespace, is_free_text)
            tool = msgspec.structs.replace(tool, name=self.flat_name(namespace, tool.name), origin=origin)
        self.tools.append(tool)


def _free_text_description(tool: JsonObject, at: str) -> str:
    description = find_text(tool, "description", at) or ""
    grammar = find_object(tool, "format", at) or {}
    definition = find_text(grammar, "definition", f"{at}.format")
    if definition:
        syntax = find_text(grammar, "syntax", f"{at}.format") or "formal"
        description += f"\n\nThe input must follow this {syntax} grammar:\n{definition}"
    return description


def read_tool_choice(
    source: JsonObject, toolbox: Toolbox, unused: list[str]
) -> tuple[ToolChoice | None, set[str] | None]:
    """How tools are chosen and, for `allowed_tools`, the flat names of those that may be."""
    value = source.get("tool_choice")
    if value is None:
        return None, None
    if isinstance(value, str):
        return read_choice_word(value, "tool_choice"), None
    choice = as_object(value, "tool_choice")
    kind = get_text(choice, "type", "tool_choice")
    if kind in ("function", "custom"):
        return ToolChoice("tool", _chosen_name(choice, "tool_choice", toolbox)), None
    if kind != "allowed_tools":
        unused.append(f"tool_choice.{kind}")
        return None, None
    names: set[str] = set()
    for i, item in enumerate(find_list(choice, "tools", "tool_choice") or []):
        at = f"tool_choice.tools[{i}]"
        tool = as_object(item, at)
        if tool.get("type") in ("function", "custom"):
            names.add(_chosen_name(tool, at, toolbox))
    return read_choice_word(get_text(choice, "mode", "tool_choice"), "tool_choice.mode"), names


def _chosen_name(source: JsonObject, at: str, toolbox: Toolbox) -> str:
    return toolbox.flat_name(find_text(source, "namespace", at) or "", get_text(source, "name", at))
