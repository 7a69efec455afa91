"""A task's cost as a strip: one column for each call, or for each run of calls where there are too many. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from sekisho.clock import id_text
from sekisho.record.tasks import TaskStep

WIDTH, HEIGHT = 1000, 84
MOST_COLUMNS = 120
_LEAST = 1.5
_MODES = {"plan": "f-5", "act": "f-1"}


@dataclass(frozen=True)
class Column:
    """One column. `first`, `last`: numbers of its calls; `mark`: "stop" if one was refused or failed, "brk" if
    a prompt cache broke, else empty."""

    x: float
    y: float
    width: float
    height: float
    css: str
    mark: Literal["stop", "brk", ""]
    first: int
    last: int
    cost_nanousd: int
    call_id: str


@dataclass(frozen=True)
class Band:
    """Calls in one mode, under the columns."""

    x: float
    width: float
    css: str
    mode: str
    first: int
    last: int


@dataclass(frozen=True)
class Strip:
    """All of it, the width of a column with its gap, and the cost of the highest."""

    columns: tuple[Column, ...]
    bands: tuple[Band, ...]
    pitch: float
    most_nanousd: int


def strip_of(steps: Sequence[TaskStep]) -> Strip:
    """The strip of a task's calls in their order."""
    if not steps:
        return Strip((), (), 0, 0)
    each = -(-len(steps) // MOST_COLUMNS)
    bins = [steps[at : at + each] for at in range(0, len(steps), each)]
    pitch = WIDTH / max(len(bins), 12)
    costs = [sum(step.cost_nanousd for step in some) for some in bins]
    most = max(costs)
    columns = []
    for number, (some, cost) in enumerate(zip(bins, costs, strict=True)):
        height = max(_LEAST, HEIGHT * cost / most) if most else _LEAST
        columns.append(
            Column(
                x=round(number * pitch + pitch * 0.16, 1),
                y=round(HEIGHT - height, 1),
                width=round(pitch * 0.68, 1),
                height=round(height, 1),
                css=_MODES.get(some[0].mode, "f-2"),
                mark=_mark(some),
                first=number * each + 1,
                last=number * each + len(some),
                cost_nanousd=cost,
                call_id=id_text(some[0].id),
            )
        )
    return Strip(tuple(columns), tuple(_bands(steps, pitch / each)), round(pitch, 1), most)


def _mark(some: Sequence[TaskStep]) -> Literal["stop", "brk", ""]:
    if any(step.status in ("refused", "failed", "interrupted") for step in some):
        return "stop"
    return "brk" if any(step.is_cache_broken for step in some) else ""


def _bands(steps: Sequence[TaskStep], pitch: float) -> list[Band]:
    found, at = [], 0
    for mode, some in groupby(steps, key=lambda step: step.mode):
        count = len(list(some))
        if mode:
            found.append(
                Band(round(at * pitch, 1), round(count * pitch, 1), _MODES.get(mode, "f-2"), mode, at + 1, at + count)
            )
        at += count
    return found
