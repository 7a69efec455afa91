"""What a tool call would change in a file, as the lines of a difference; for the ways in which agents write that down.

Only for looking at: what cannot be read as a change gives None, and the page shows the arguments.
"""

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

MOST_LINES = 400
_OLD = ("old_string", "oldString", "old_text", "oldText", "old_str")
_NEW = ("new_string", "newString", "new_text", "newText", "new_str")
_WHOLE = ("content", "contents", "file_text")
_PATH = ("file_path", "filePath", "path", "filename", "target_file", "absolutePath", "file")
_MAIN = (*_PATH, "command", "cmd", "pattern", "query", "regex", "url", "description", "prompt")
_SEARCH = re.compile(r"^[-<]{5,} ?SEARCH\n", re.MULTILINE)
_BETWEEN = re.compile(r"\n?(?<!=)={5,}\n")
_REPLACE = re.compile(r"\n?(?<![+>])[+>]{5,} ?REPLACE")


@dataclass(frozen=True)
class Line:
    """One line. `kind`: "m" taken away, "p" put in, "" as it was, "h" a heading."""

    kind: Literal["m", "p", "", "h"]
    text: str
    old: int | None = None
    new: int | None = None


@dataclass(frozen=True)
class Change:
    """The lines, cut after a good many; how many there are of each."""

    lines: tuple[Line, ...]
    added: int
    removed: int
    is_cut: bool


def arguments_of(text: str) -> Any:
    """The arguments as JSON, or the text itself, also where they are nested deeper than anybody reads."""
    try:
        found = json.loads(text)
        json.dumps(found, indent=2)
        return found
    except (ValueError, RecursionError):
        return text


def main_argument(arguments: Any) -> str:
    """The one that says most: a path, a command, what is looked for."""
    if isinstance(arguments, str):
        return arguments.strip().split("\n")[0][:200]
    if not isinstance(arguments, Mapping):
        return ""
    for name in _MAIN:
        value = arguments.get(name)
        if isinstance(value, str) and value:
            return value.strip().split("\n")[0][:200]
    for value in arguments.values():
        found = value[0] if isinstance(value, list) and value else value
        if isinstance(found, Mapping):
            return main_argument(found)
        if isinstance(found, str) and found:
            return found.strip().split("\n")[0][:200]
    return ""


def change_of(arguments: Any) -> Change | None:
    """The change that these arguments ask for, if they ask for one."""
    lines = list(_lines(arguments))
    if not lines:
        return None
    added, removed = (sum(line.kind == kind for line in lines) for kind in ("p", "m"))
    return Change(tuple(lines[:MOST_LINES]), added, removed, len(lines) > MOST_LINES)


def _lines(arguments: Any) -> Iterator[Line]:
    if isinstance(arguments, str):
        yield from _patch(arguments)
        return
    if not isinstance(arguments, Mapping):
        return
    old, new = _first(arguments, _OLD), _first(arguments, _NEW)
    if old is not None and new is not None:
        yield from _compared(old, new)
    elif isinstance(edits := arguments.get("edits"), list):
        for edit in edits:
            yield from _lines(edit)
    elif isinstance(diff := arguments.get("diff"), str):
        for before, after in _replacements(diff):
            yield from _compared(before, after)
    elif (patch := _first(arguments, ("input", "patch", "patchText"))) is not None:
        yield from _patch(patch)
    elif _first(arguments, _PATH) is not None and (whole := _first(arguments, _WHOLE)) is not None:
        yield from _compared("", whole)


def _replacements(diff: str) -> Iterator[tuple[str, str]]:
    """What is looked for and what is put in its place. One pass: hostile text must not stop the pages."""
    at = 0
    while found := _SEARCH.search(diff, at):
        between = _BETWEEN.search(diff, found.end())
        end = between and _REPLACE.search(diff, between.end())
        if between is None or end is None:
            return
        yield diff[found.end() : between.start()], diff[between.end() : end.start()]
        at = end.end()


def _first(arguments: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    return next((arguments[name] for name in names if isinstance(arguments.get(name), str)), None)


def _compared(old: str, new: str) -> Iterator[Line]:
    """The two, line by line, with their own numbers."""
    before, after = old.splitlines(), new.splitlines()
    if len(before) + len(after) > 4 * MOST_LINES:  # comparing takes longer than linear time
        before, after = before[: 2 * MOST_LINES], after[: 2 * MOST_LINES]
    for tag, a1, a2, b1, b2 in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "equal":
            for offset, line in enumerate(before[a1:a2]):
                yield Line("", line, a1 + offset + 1, b1 + offset + 1)
            continue
        for number in range(a1, a2):
            yield Line("m", before[number], number + 1)
        for number in range(b1, b2):
            yield Line("p", after[number], None, number + 1)


def _patch(text: str) -> Iterator[Line]:
    """A patch in the form of Codex, or a unified difference."""
    if not re.search(r"^(?:\*\*\* (?:Update|Add|Delete) File: |@@ |--- )", text, re.MULTILINE):
        return
    for line in text.splitlines():
        if line.startswith(("*** ", "@@", "--- ", "+++ ", "diff ")):
            if not line.startswith(("*** Begin", "*** End")):
                yield Line("h", line)
        elif line.startswith("+"):
            yield Line("p", line[1:])
        elif line.startswith("-"):
            yield Line("m", line[1:])
        else:
            yield Line("", line.removeprefix(" "))
