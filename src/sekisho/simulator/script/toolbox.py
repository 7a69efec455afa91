"""Finds, among an agent's tools, the one that reads, edits, writes or runs, and fills in its arguments.

Arguments are found by the names in the tool's own schema, so that a new agent or a renamed argument needs no code here.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from sekisho.dialects.exchange import Tool

_PATH = ("file_path", "filePath", "filepath", "path", "absolutePath", "target_file", "file", "filename")
_OLD = ("old_string", "oldString", "old_text", "oldText", "old_str")
_NEW = ("new_string", "newString", "new_text", "newText", "new_str")
_CONTENT = ("content", "contents", "file_text")
_COMMAND = ("command", "cmd", "commands")
_PATCH = ("input", "patch", "patchText")
_LISTS = ("files", "edits", "paths")

_READS = re.compile(r"read|view|open|cat", re.IGNORECASE)
_WRITES = re.compile(r"write|create|save", re.IGNORECASE)
_RUNS = re.compile(r"bash|shell|exec|run|terminal|command", re.IGNORECASE)
_PATCHES = re.compile(r"patch", re.IGNORECASE)
_NOT_FOR_CODE = re.compile(r"notebook|image|team_|kill|background|output", re.IGNORECASE)


class Call(msgspec.Struct, frozen=True):
    """A tool call to make."""

    name: str
    input: dict[str, Any]


class Toolbox:
    """The tools of one request. Each method returns None when no tool can do it."""

    def __init__(self, tools: Sequence[Tool], directory: str | None) -> None:
        self._tools = [tool for tool in tools if not _NOT_FOR_CODE.search(tool.name)]
        self._directory = directory

    def read(self, path: str) -> Call | None:
        """Read a whole file."""
        for tool in self._named(_READS):
            properties = _properties(tool)
            if (key := _first(properties, _PATH)) is not None:
                return _call(tool, {key: self._located(path, properties[key])})
            if (key := _first(properties, _LISTS)) is not None:
                item = _items(properties[key])
                item_key = _first(item.get("properties", {}), _PATH)
                value: Any = self._located(path, item)
                return _call(tool, {key: [value if item_key is None else {item_key: value}]})
        return None

    def replace(self, path: str, old: str, new: str) -> Call | None:
        """Replace whole lines of a file; patches and diffs take no less."""
        for tool in self._tools:
            properties = _properties(tool)
            key = _first(properties, _PATH)
            if key is None:
                continue
            place = {key: self._located(path, properties[key])}
            if passage := _passage(properties, old, new):
                return _call(tool, {**place, **passage})
            item = _items(properties.get("edits", {}))
            if passage := _passage(item.get("properties", {}), old, new):
                return _call(tool, {**place, "edits": [_filled(item, passage)]})
            if "diff" in properties:
                diff = f"------- SEARCH\n{old}\n=======\n{new}\n+++++++ REPLACE\n"
                return _call(tool, {**place, "diff": diff})
        return self._patch(f"*** Update File: {path}\n@@\n{_prefixed('-', old)}{_prefixed('+', new)}")

    def rewrite(self, path: str, changes: str) -> Call | None:
        """Hand over the new state of a file to a tool that merges it in."""
        for tool in self._tools:
            properties = _properties(tool)
            key = _first(properties, _PATH)
            if key is not None and "changes" in properties:
                return _call(tool, {key: self._located(path, properties[key]), "changes": changes})
        return self.write(path, changes)

    def write(self, path: str, content: str) -> Call | None:
        """Create or overwrite a file."""
        for tool in self._named(_WRITES):
            properties = _properties(tool)
            key, content_key = _first(properties, _PATH), _first(properties, _CONTENT)
            if key is not None and content_key is not None:
                return _call(tool, {key: self._located(path, properties[key]), content_key: content})
        for tool in self._tools:
            properties = _properties(tool)
            key, new_key, old_key = _first(properties, _PATH), _first(properties, _NEW), _first(properties, _OLD)
            if key is not None and new_key is not None and old_key not in _required(tool):
                return _call(tool, {key: self._located(path, properties[key]), new_key: content})
        return self._patch(f"*** Add File: {path}\n{_prefixed('+', content)}")

    def run(self, command: str) -> Call | None:
        """Run a shell command."""
        for tool in self._named(_RUNS):
            properties = _properties(tool)
            key = _first(properties, _COMMAND)
            if key is None:
                continue
            if not _takes(properties[key], "array"):
                return _call(tool, {key: command})
            is_list_of_commands = key == "commands"
            return _call(tool, {key: [command] if is_list_of_commands else ["bash", "-lc", command]})
        return None

    def _patch(self, hunk: str) -> Call | None:
        for tool in self._named(_PATCHES):
            key = _first(_properties(tool), _PATCH)
            if key is not None:
                return _call(tool, {key: f"*** Begin Patch\n{hunk}*** End Patch\n"})
        return None

    def _named(self, pattern: re.Pattern[str]) -> list[Tool]:
        return [tool for tool in self._tools if pattern.search(tool.name)]

    def _located(self, path: str, schema: Mapping[str, Any]) -> str:
        """The path as the argument wants it: absolute when the directory is known, unless a relative one is wanted."""
        wanted = str(schema.get("description", "")).lower()
        if self._directory is None or ("relative" in wanted and "absolute" not in wanted):
            return path
        return f"{self._directory}/{path}"


def sample_call(tool: Tool) -> Call:
    """A call with a plausible value for every required argument."""
    return _call(tool, {})


def sample_value(schema: Any, root: Any = None) -> Any:
    """A small value that fits a JSON schema; local references are followed."""
    root = schema if root is None else root
    if not isinstance(schema, dict):
        return "sample"
    if "$ref" in schema:
        return sample_value(_referenced(root, str(schema["$ref"])), root)
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if schema.get("enum"):
        return schema["enum"][0]
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return sample_value(schema[key][0], root)
    return _sample_of_type(_type(schema), schema, root)


def _sample_of_type(kind: str, schema: Mapping[str, Any], root: Any) -> Any:
    if kind == "object":
        properties = schema.get("properties", {})
        return {name: sample_value(properties.get(name), root) for name in schema.get("required", ())}
    if kind == "array":
        return [sample_value(schema.get("items"), root) for _ in range(schema.get("minItems", 0))]
    if kind in ("integer", "number"):
        return max(schema.get("minimum", 1), 1)
    if kind == "boolean":
        return False
    return None if kind == "null" else "sample"


def _type(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    return str(kind[0] if isinstance(kind, list) else kind)


def _referenced(root: Any, reference: str) -> Any:
    target = root
    for name in reference.removeprefix("#/").split("/"):
        target = target.get(name) if isinstance(target, dict) else None
    return target


def _call(tool: Tool, arguments: dict[str, Any]) -> Call:
    return Call(tool.name, _filled(tool.input_schema, arguments))


def _filled(schema: Mapping[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments and a sample for each required one that is missing."""
    properties = schema.get("properties", {})
    missing = [name for name in schema.get("required", ()) if name not in arguments]
    return {**arguments, **{name: sample_value(properties.get(name), schema) for name in missing}}


def _passage(properties: Mapping[str, Any], old: str, new: str) -> dict[str, Any]:
    old_key, new_key = _first(properties, _OLD), _first(properties, _NEW)
    return {old_key: old, new_key: new} if old_key is not None and new_key is not None else {}


def _properties(tool: Tool) -> dict[str, Any]:
    return dict(tool.input_schema.get("properties", {}))


def _required(tool: Tool) -> list[str | None]:
    return list(tool.input_schema.get("required", ()))


def _items(schema: Any) -> dict[str, Any]:
    items = schema.get("items", {}) if isinstance(schema, dict) else {}
    return items if isinstance(items, dict) else {}


def _takes(schema: Any, kind: str) -> bool:
    """Whether the schema takes the JSON type first of all (in an `anyOf`, its first branch counts)."""
    if not isinstance(schema, dict):
        return False
    branches = schema.get("anyOf") or [schema]
    return isinstance(branches[0], dict) and _type(branches[0]) == kind


def _first(properties: Mapping[str, Any], names: Iterable[str]) -> str | None:
    return next((name for name in names if name in properties), None)


def _prefixed(sign: str, text: str) -> str:
    return "".join(f"{sign}{line}\n" for line in text.splitlines())
