"""Change single values in JSON that a person wrote: comments, order, spacing and trailing commas stay.

Reads JSON and JSONC (// and /* */ comments, trailing commas). Every change is proved by reading the result again.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sekisho.kits.target import CannotEdit, Text

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]
Path = tuple[str, ...]

_SPACE = re.compile(r"(?:[\s\ufeff]|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_REST_OF_LINE = re.compile(r"[^\S\r\n]*(?://[^\r\n]*|(?:/\*[^\r\n]*?\*/[^\S\r\n]*)*)(?=\r?\n)")
_SCALAR = re.compile(r"[^\s,:\]\}/]+")
_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_INDENT = re.compile(r"\n([ \t]+)\S")


@dataclass(slots=True)
class _Node:
    """A value and where it stands. `members`: only of objects; `comma`: the end of a trailing comma, or 0."""

    start: int
    end: int
    value: Json
    members: "dict[str, tuple[int, _Node]] | None" = None
    comma: int = 0


def parse(text: str) -> Json:
    """The value of a JSON or JSONC text; None for an empty one. Raises CannotEdit when it is not JSON."""
    root = _parse(text)
    return root.value if root else None


def set_value(text: str, path: Path, value: Json) -> str:
    """The text with `value` at `path`; objects on the way are made where missing."""
    root = _parse(text)
    if root is None:
        return text + json.dumps(_nest(path, value), indent=2, ensure_ascii=False) + "\n"
    node, rest = _descend(root, path)
    if not rest:
        changed = text[: node.start] + _dump(value, text, len(path)) + text[node.end :]
    elif node.members is None:
        raise CannotEdit(_not_an_object(path[: len(path) - len(rest)]))
    else:
        changed = _insert(text, node, rest, value, len(path) - len(rest))
    _prove(text, changed, _with(root.value, path, value))
    return changed


def set_default(text: str, path: Path, value: Json) -> str:
    """The text with `value` at `path` if nothing stands there yet."""
    root = _parse(text)
    return text if root and not _descend(root, path)[1] else set_value(text, path, value)


def remove(text: str, path: Path) -> str:
    """The text without the member at `path`; the same text if there is none."""
    root = _parse(text)
    if root is None:
        return text
    node, rest = _descend(root, path[:-1])
    if rest or node.members is None or path[-1] not in node.members:
        return text
    start, member = node.members[path[-1]]
    after = _SPACE.match(text, member.end)
    end = after.end() if after else member.end
    if text[end : end + 1] == ",":
        end += 1
        changed = text[:start] + text[end:].lstrip(" \t")
    else:
        before = text[:start].rstrip()
        changed = before.removesuffix(",") + text[member.end :]
    _prove(text, changed, _without(root.value, path))
    return changed


def _descend(root: _Node, path: Path) -> tuple[_Node, Path]:
    """The deepest existing node on the path, and what of the path is missing below it."""
    node = root
    for depth, name in enumerate(path):
        if node.members is None or name not in node.members:
            return node, path[depth:]
        node = node.members[name][1]
    return node, ()


def _insert(text: str, node: _Node, rest: Path, value: Json, depth: int) -> str:
    """Add a member at the end of an object, after a comment that stands on the last member's line."""
    eol = "\r\n" if "\r\n" in text else "\n"
    unit = _indent_unit(text)
    inner = eol + unit * (depth + 1)
    member = f"{inner}{json.dumps(rest[0], ensure_ascii=False)}: {_dump(_nest(rest[1:], value), text, depth + 1)}"
    if not node.members:
        return text[: node.start + 1] + member + eol + unit * depth + text[node.start + 1 :].lstrip()
    last = max(child.end for _, child in node.members.values())
    at = node.comma or last
    rest_of_line = _REST_OF_LINE.match(text, at)
    place = rest_of_line.end() if rest_of_line else at
    comma = "" if node.comma else ","
    closing = "" if "\n" in text[place : node.end] else eol + unit * depth
    return text[:last] + comma + text[last:place] + member + closing + text[place:]


def _indent_unit(text: str) -> str:
    found = _INDENT.search(text)
    return found[1] if found else "  "


def _dump(value: Json, text: str, depth: int) -> str:
    """JSON text of a value, indented as the file is."""
    unit = _indent_unit(text)
    eol = "\r\n" if "\r\n" in text else "\n"
    return json.dumps(value, indent=unit, ensure_ascii=False).replace("\n", eol + unit * depth)


def _nest(path: Path, value: Json) -> Json:
    for name in reversed(path):
        value = {name: value}
    return value


def _with(old: Json, path: Path, value: Json) -> Json:
    if not path:
        return value
    members = old if isinstance(old, Mapping) else {}
    return {**members, path[0]: _with(members.get(path[0]), path[1:], value)}


def _without(old: Json, path: Path) -> Json:
    if not isinstance(old, Mapping):
        return old
    if len(path) == 1:
        return {name: value for name, value in old.items() if name != path[0]}
    return {name: _without(value, path[1:]) if name == path[0] else value for name, value in old.items()}


def _prove(old: str, new: str, expected: Json) -> None:
    if parse(new) != expected:
        raise CannotEdit(
            Text(
                "The file has a form that cannot be changed safely, so nothing was written.",
                "安全に書き換えられない書き方のため、何も書きませんでした。",
            )
        )


def _not_an_object(path: Path) -> Text:
    name = ".".join(path) or "the file"
    return Text(
        f"{name} is not a JSON object, so nothing was written.",
        f"{name} が JSON のオブジェクトではないため、何も書きませんでした。",
    )


def _parse(text: str) -> _Node | None:
    start = _skip(text, 0)
    if start == len(text):
        return None
    root = _value(text, start)
    if _skip(text, root.end) != len(text):
        raise _unreadable(text, root.end)
    return root


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _value(text: str, at: int) -> _Node:
    first = text[at : at + 1]
    if first == "{":
        return _object(text, at)
    if first == "[":
        return _array(text, at)
    found = (_STRING if first == '"' else _SCALAR).match(text, at)
    if not found:
        raise _unreadable(text, at)
    try:
        return _Node(at, found.end(), json.loads(found[0]))
    except ValueError as error:
        raise _unreadable(text, at) from error


def _object(text: str, start: int) -> _Node:
    members: dict[str, tuple[int, _Node]] = {}
    at, comma = _skip(text, start + 1), 0
    while text[at : at + 1] != "}":
        if members and not comma:
            raise _unreadable(text, at)
        name = _STRING.match(text, at)
        if not name:
            raise _unreadable(text, at)
        colon = _skip(text, name.end())
        if text[colon : colon + 1] != ":":
            raise _unreadable(text, colon)
        child = _value(text, _skip(text, colon + 1))
        members[json.loads(name[0])] = (at, child)
        at, comma = _after_item(text, child.end)
    value = {name: child.value for name, (_, child) in members.items()}
    return _Node(start, at + 1, value, members, comma)


def _array(text: str, start: int) -> _Node:
    items: list[Json] = []
    at, comma = _skip(text, start + 1), 0
    while text[at : at + 1] != "]":
        if items and not comma:
            raise _unreadable(text, at)
        child = _value(text, at)
        items.append(child.value)
        at, comma = _after_item(text, child.end)
    return _Node(start, at + 1, items)


def _after_item(text: str, end: int) -> tuple[int, int]:
    """Where the next item or the bracket stands, and the end of the comma between (0 for none)."""
    at = _skip(text, end)
    if text[at : at + 1] != ",":
        return at, 0
    return _skip(text, at + 1), at + 1


def _unreadable(text: str, at: int) -> CannotEdit:
    line = text.count("\n", 0, at) + 1
    return CannotEdit(
        Text(
            f"Line {line} is not JSON, so nothing was written.",
            f"{line} 行目が JSON として読めないため、何も書きませんでした。",
        )
    )
