"""Add marked blocks to a YAML file that a person wrote: the rest stays as it is, byte for byte.

A block stands between two comment lines, so that the next set-up finds and replaces it. Every change is proved by
reading the result again.
"""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from sekisho.kits.target import CannotEdit, Text

_BEGIN = "# >>> sekisho >>>"
_END = "# <<< sekisho <<<"
_BLOCK = re.compile(rf"[ \t]*{_BEGIN}\r?\n.*?{_END}[^\n]*\n?", re.DOTALL)
_OFF = "# (sekisho) "

Yaml = Any  # what yaml.safe_load gives: there is no narrower type that is still true


def load(text: str) -> Mapping[str, Yaml]:
    """The mapping in a YAML text, empty for an empty text. Raises CannotEdit when it is something else."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise CannotEdit(
            Text("It is not YAML, so nothing was written.", "YAML として読めないため、何も書きませんでした。")
        ) from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise CannotEdit(
            Text(
                "It is not a YAML mapping, so nothing was written.", "YAML の対応表ではないため、何も書きませんでした。"
            )
        )
    return value


def set_top_level(text: str, values: Mapping[str, Yaml]) -> str:
    """The text with these top-level keys. Former lines of the same keys become comments."""
    bare = without_block(text)
    before = load(bare)
    kept = _switch_off(bare, set(values))
    changed = _append(kept, yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True, width=1000))
    _prove(changed, {**before, **values})
    return changed


def add_items(text: str, name: str, items: list[Yaml]) -> str:
    """The text with `items` at the head of the top-level list `name`, which is made if missing."""
    bare = without_block(text)
    before = load(bare)
    old = before.get(name)
    body = yaml.safe_dump(items, sort_keys=False, allow_unicode=True, width=1000)
    if not old:
        changed = _append(_switch_off(bare, {name}), f"{name}:\n{_indented(body, '  ')}")
        _prove(changed, {**before, name: items})
        return changed
    head = re.search(rf"^{re.escape(name)}:[^\S\n]*(?:#[^\n]*)?\r?\n", bare, re.MULTILINE)
    first = re.compile(r"(?:[ \t]*(?:#[^\n]*)?\r?\n)*([ \t]*)-[ \t\r\n]").match(bare, head.end()) if head else None
    if not head or not first:
        raise CannotEdit(
            Text(
                f"The list {name} is written in a way that cannot be changed safely, so nothing was written.",
                f"{name} の並びが安全に書き換えられない書き方のため、何も書きませんでした。",
            )
        )
    indent = first[1]
    block = f"{indent}{_BEGIN}\n{_indented(body, indent)}{indent}{_END}\n"
    changed = bare[: head.end()] + block + bare[head.end() :]
    _prove(changed, {**before, name: [*items, *old]})
    return changed


def without_block(text: str) -> str:
    """The text as it was before a block was added, except for lines that were switched off."""
    return _BLOCK.sub("", text)


def _switch_off(text: str, names: set[str]) -> str:
    """Turn the lines of these top-level keys, with what is indented under them, into comments."""
    out, off = [], False
    for line in text.splitlines(keepends=True):
        key = re.match(r"([A-Za-z0-9_\-]+)\s*:", line)
        if key:
            off = key[1] in names
        elif off and line.strip() and line[0] not in " \t-#":
            off = False
        out.append(_OFF + line if off and line.strip() else line)
    return "".join(out)


def _append(text: str, body: str) -> str:
    gap = "" if not text or text.endswith("\n") else "\n"
    return f"{text}{gap}{_BEGIN}\n{body}{_END}\n"


def _indented(text: str, indent: str) -> str:
    return "".join(indent + line for line in text.splitlines(keepends=True))


def _prove(text: str, expected: Mapping[str, Yaml]) -> None:
    if load(text) != expected:
        raise CannotEdit(
            Text(
                "The file has a form that cannot be changed safely, so nothing was written.",
                "安全に書き換えられない書き方のため、何も書きませんでした。",
            )
        )
