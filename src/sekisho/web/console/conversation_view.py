"""A task's calls as the conversation that people read: who spoke, which tools ran, what each call cost. Pure.

From the ledger's rows and the turns that the admin API gives: either may be missing, for content is kept only where a
team says so. Above: the task page. Below: prose, changes.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from markupsafe import Markup

from sekisho.record.cache import NEVER_CACHED, BrokenCache
from sekisho.record.titles import first_line, own_words
from sekisho.web.console.changes import Change, arguments_of, change_of, main_argument
from sekisho.web.console.prose import Prose
from sekisho.web.console.rows import Row

_SHOWN_LINES = 12
_MOST_OUTPUT = 40_000


@dataclass(frozen=True)
class Output:
    """What a tool gave: its first lines, the rest, and whether it says that it failed."""

    head: str
    rest: str
    lines: int
    is_error: bool
    attachments: tuple[str, ...] = ()


@dataclass
class Block:
    """One thing that a call said or did. `html` of prose; `text` of thoughts and of what cannot be read."""

    kind: Literal["said", "thought", "tool", "output", "unreadable", "attachment"]
    html: Markup | str = ""
    text: str = ""
    name: str = ""
    main: str = ""
    arguments: str = ""
    change: Change | None = None
    output: Output | None = None


@dataclass
class Human:
    """What a person wrote; `added`: what the agent put around it."""

    by: str
    at: int
    html: Markup
    added: str
    kind: Literal["human"] = "human"


@dataclass
class Mode:
    """From here on the agent works in another mode."""

    mode: str
    model: str
    kind: Literal["mode"] = "mode"


@dataclass
class Turn:
    """One call with what it said. `share`: its cost in per cent of the dearest call's; `broke`: of its cache,
    `is_told`: for a reason that is said above already."""

    number: int
    row: Row
    share: float
    turn: str
    asked_model: str
    system_bytes: int = 0
    state: str = ""
    broke: BrokenCache | None = None
    is_told: bool = False
    blocks: list[Block] = field(default_factory=list)
    kind: Literal["call"] = "call"


Item = Human | Mode | Turn


@dataclass(frozen=True)
class Window:
    """The calls to show: `first` is the number of the first of them; `mode` that of the call before. `broken`: by call
    id."""

    rows: Sequence[tuple[Row, str, str, str]]  # the row, its mode, its kind of turn, the model that was asked for
    first: int
    mode: str
    dearest_nanousd: int
    broken: Mapping[str, BrokenCache]


def items_of(window: Window, said: Mapping[str, Mapping[str, Any]], prose: Prose) -> list[Item]:
    """The conversation. `said`: by call id, what the admin API tells of a call's turns."""
    return list(_Telling(said, prose).tell(window))


def title_of(said: Iterable[Mapping[str, Any]]) -> str:
    """The first line that a person wrote; empty where nothing is known."""
    for call in said:
        for turn in call["turns"]:
            if turn["speaker"] == "human":
                if line := first_line(own_words(_text_of(turn))[0]):
                    return line
    return ""


class _Telling:
    def __init__(self, said: Mapping[str, Mapping[str, Any]], prose: Prose) -> None:
        self._said = said
        self._prose = prose
        self._tools: dict[str, Block] = {}

    def tell(self, window: Window) -> Iterator[Item]:
        mode = window.mode
        seen: set[str] = set()
        for number, (row, of_call, turn, asked) in enumerate(window.rows, window.first):
            call = self._said.get(row.call.call_id)
            share = 100 * row.call.cost_nanousd / window.dearest_nanousd if window.dearest_nanousd else 0.0
            told = Turn(number, row, round(share, 1), turn, asked, state=_state(call))
            told.broke = window.broken.get(row.call.call_id)
            told.is_told = told.broke is not None and told.broke.cause in NEVER_CACHED & seen
            seen |= {told.broke.cause} if told.broke else set()
            before: list[Item] = []
            for one in call["turns"] if call else ():
                self._take(one, told, before)
            for one in call["answer"] if call else ():
                told.blocks += self._blocks(one)
            yield from before
            if of_call and of_call != mode:
                mode = of_call
                yield Mode(mode, row.call.model)
            yield told

    def _take(self, turn: Mapping[str, Any], told: Turn, before: list[Item]) -> None:
        """What a request has that was not said before."""
        if turn["speaker"] == "system":
            told.system_bytes += len(_text_of(turn).encode())
        elif turn["speaker"] == "human":
            text, added = own_words(_text_of(turn))
            others = [block for block in self._blocks(turn) if block.kind not in ("said", "thought")]
            if text or added:
                call = told.row.call
                before.append(Human(call.user_id or call.key_alias, call.started_at, self._prose(text), added))
            told.blocks += others
        else:
            told.blocks += self._blocks(turn)

    def _blocks(self, turn: Mapping[str, Any]) -> list[Block]:
        found = []
        for part in turn["parts"]:
            block = self._block(part)
            if block is not None:
                found.append(block)
        return found

    def _block(self, part: Mapping[str, Any]) -> Block | None:
        """A part as a block; None for a result that belongs to a tool call above."""
        match part["type"]:
            case "text":
                return Block("said", html=self._prose(part["text"])) if part["text"].strip() else None
            case "thinking":
                return Block("thought", text=part["text"]) if part["text"] else None
            case "tool_call":
                arguments = arguments_of(part["arguments"])
                shown = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False, indent=2)
                block = Block(
                    "tool",
                    name=part["name"],
                    main=main_argument(arguments),
                    arguments=shown[:_MOST_OUTPUT],
                    change=change_of(arguments),
                )
                self._tools[part["id"]] = block
                return block
            case "tool_result":
                output = _output(part)
                tool = self._tools.get(part["call_id"])
                if tool is not None and tool.output is None:
                    tool.output = output
                    return None
                return Block("output", output=output)
            case "attachment":
                return Block("attachment", text=_attachment(part))
            case _:
                return Block("unreadable", text=str(part.get("text", ""))[:_MOST_OUTPUT])


def _state(call: Mapping[str, Any] | None) -> str:
    """Why an answer cannot be shown; empty if it is, or if nothing is kept anyway."""
    return "" if call is None or call["answer_state"] == "whole" else str(call["answer_state"])


def _output(part: Mapping[str, Any]) -> Output:
    said, has_failed = _unwrapped(str(part["text"]))
    lines = said[:_MOST_OUTPUT].splitlines()
    attachments = tuple(_attachment(one) for one in part.get("attachments", ()))
    head, rest = "\n".join(lines[:_SHOWN_LINES]), "\n".join(lines[_SHOWN_LINES:])
    return Output(head, rest, len(lines), has_failed or bool(part["is_error"]), attachments)


def _unwrapped(text: str) -> tuple[str, bool]:
    """What a tool gave, out of the JSON in which some agents wrap it; and whether that says that it failed."""
    if not text.startswith(("{", "[")):
        return text, False
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text, False
    wrapped = found if isinstance(found, list) else [found]
    if not all(isinstance(one, dict) and isinstance(one.get("result"), str) for one in wrapped):
        return text, False
    return "\n".join(one["result"] for one in wrapped), any(one.get("success") is False for one in wrapped)


def _attachment(part: Mapping[str, Any]) -> str:
    return " · ".join(str(one) for one in (part["name"] or part["kind"], part["format"], f"{part['bytes']:,} B") if one)


def _text_of(turn: Mapping[str, Any]) -> str:
    return "\n\n".join(part["text"] for part in turn["parts"] if part["type"] == "text")
