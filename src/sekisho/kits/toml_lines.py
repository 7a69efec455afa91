"""Change single values in a TOML file that a person wrote: comments and order stay.

Works by lines, and proves every change by reading the result again with tomllib.
"""

import json
import re
import tomllib
from collections.abc import Mapping

from sekisho.kits.target import CannotEdit, Text

TomlValue = str | bool | int | Mapping[str, str]
_HEADER = re.compile(r"^\s*\[\s*([A-Za-z0-9_\-.]+)\s*\]\s*(?:#.*)?$")
_ANY_HEADER = re.compile(r"^\s*\[")


def set_values(text: str, table: str, values: Mapping[str, TomlValue]) -> str:
    """The text with `values` in `table` ("" for the top level, dots for nesting). Raises CannotEdit."""
    before = _load(text)
    eol = "\r\n" if "\r\n" in text else "\n"
    lines = text.removesuffix(eol).split(eol) if text else []
    start, end = _region(lines, table)
    if start < 0:
        lines += [""] * bool(lines and lines[-1].strip()) + [f"[{table}]"]
        start = end = len(lines)
    missing = []
    for name, value in values.items():
        line = f"{name} = {_render(value)}"
        pattern = re.compile(rf'^\s*(?:{re.escape(name)}|"{re.escape(name)}")\s*=')
        at = next((i for i in range(start, end) if pattern.match(lines[i])), None)
        if at is None:
            missing.append(line)
        else:
            lines[at] = line
    lines[start:start] = missing + [""] * bool(missing and not table and lines)
    changed = eol.join(lines) + eol
    if _load(changed) != _with(before, table.split(".") if table else [], values):
        raise CannotEdit(
            Text(
                f"The table [{table}] is written in a way that cannot be changed safely, so nothing was written.",
                f"[{table}] の表が安全に書き換えられない書き方のため、何も書きませんでした。",
            )
        )
    return changed


def _region(lines: list[str], table: str) -> tuple[int, int]:
    """First line after the table's header and the line of the next header; start is -1 when there is no such table."""
    start = 0 if not table else -1
    for number, line in enumerate(lines):
        header = _HEADER.match(line)
        if start >= 0 and _ANY_HEADER.match(line) and number >= start:
            return start, number
        if header and header[1] == table:
            start = number + 1
    return start, len(lines)


def _render(value: TomlValue) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_quote(name)} = {_quote(item)}" for name, item in value.items()) + " }"
    if isinstance(value, bool):
        return "true" if value else "false"
    return _quote(value) if isinstance(value, str) else str(value)


def _quote(text: str) -> str:
    """A TOML basic string: JSON's escapes are a subset of TOML's."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _with(old: Mapping[str, object], path: list[str], values: Mapping[str, TomlValue]) -> dict[str, object]:
    if not path:
        return {**old, **{name: dict(v) if isinstance(v, Mapping) else v for name, v in values.items()}}
    child = old.get(path[0], {})
    return {**old, path[0]: _with(child if isinstance(child, Mapping) else {}, path[1:], values)}


def _load(text: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CannotEdit(
            Text(
                f"It is not TOML ({error}), so nothing was written.",
                f"TOML として読めません（{error}）。何も書きませんでした。",
            )
        ) from error
