"""How far two histories are the same, byte for byte, when cache marks are stepped over.

Above: chains, which parse only what differs, and the bound of a prompt. Below: memcmp.
"""

from collections.abc import Iterable
from typing import NamedTuple

from sekisho.dialects.cache_marks import MARK
from sekisho.dialects.search import same_bytes

_MOST_MARKS = 8
_REACH = 4  # bytes that a mark and what stands in its place can have in common


class Run(NamedTuple):
    """So many bytes from `old` on in the one text are those from `new` on in the other."""

    old: int
    new: int
    size: int


class Alignment(NamedTuple):
    """The runs that are the same, in order, with nothing but marks between them; where the texts begin to differ behind
    the last one; and the marks that only the new text has."""

    runs: tuple[Run, ...]
    old_at: int
    new_at: int
    new_marks: tuple[bytes, ...]


def align(old: bytes, new: bytes, at: Run, old_marks: Iterable[int] = ()) -> Alignment:
    """Compare from these positions on, `at.size` bytes of the old text.

    `old_marks`: where marks are known to stand in it, in order: likely places for the first difference."""
    old_at, new_at, old_end = at.old, at.new, at.old + at.size
    runs: list[Run] = []
    marks: list[bytes] = []
    likely = next((mark for mark in old_marks if mark > old_at), old_end)
    for _ in range(_MOST_MARKS):
        same = _same(old, new, old_at, new_at, old_end, likely)
        likely = old_end
        run = Run(old_at, new_at, same)
        old_at, new_at = old_at + same, new_at + same
        back = 0
        if old_at == old_end:
            runs.append(run)
            break
        if skipped := _skip(old, old_at, same):
            end, back = skipped
            old_at, new_at = end, new_at - back
        elif skipped := _skip(new, new_at, same):
            end, back = skipped
            marks.append(new[new_at - back : end])
            old_at, new_at = old_at - back, end
        else:
            runs.append(run)
            break
        runs.append(Run(run.old, run.new, same - back))
    return Alignment(tuple(runs), old_at, new_at, tuple(marks))


def _same(old: bytes, new: bytes, old_at: int, new_at: int, old_end: int, likely: int) -> int:
    """How many bytes are the same; one comparison where they differ just behind the likely place."""
    first = same_bytes(old, new, old_at, new_at, likely - old_at)
    if old_at + first < likely:
        return first
    return first + same_bytes(old, new, likely, new_at + first, old_end - likely)


def _skip(text: bytes, at: int, same: int) -> tuple[int, int] | None:
    """Where the mark ends that begins here, or so many bytes before, of which the last `same` are in both."""
    for back in range(min(_REACH, same) + 1):
        mark = MARK.match(text, at - back)
        if mark:
            return mark.end(), back
    return None
