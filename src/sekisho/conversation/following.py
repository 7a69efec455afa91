"""Read a body by what is known of an earlier one: only what lies between equal bytes is parsed.

Above: the conversations that are kept. Below: layouts and alignment. Whatever is unusual gives None: then the body is
read in full, which also finds the words for what is wrong with it. Why this reads as a full parse: docs/why/blocks.md
"""

from typing import NamedTuple

import msgspec

from sekisho.conversation.chain import Base, Chain
from sekisho.conversation.layout import HISTORY, Fields, Span, find_elements, find_members
from sekisho.dialects.alignment import Alignment, Run, align
from sekisho.dialects.body import parse_fields
from sekisho.dialects.cache_marks import MARK_WORDS
from sekisho.dialects.text import Moved
from sekisho.errors import BadRequest

_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_OPEN = b"[{}"  # stands for the list so far: nothing but a comma or the end of the list may follow
_CLOSED = b"{}]"


class _Elements(NamedTuple):
    """The elements of a history; those that stand in an earlier one as pieces of it, and the gaps between them.

    `first`: how many of the first ones stand where they stood. `tail_at`: where the last piece ends."""

    spans: list[Span]
    olds: list[int]  # the earlier element of each, -1 for a new one
    moved: list[Moved]
    gaps: list[tuple[int, int]]
    first: int
    tail_at: int


def align_histories(earlier: Chain, body: bytes) -> Alignment | None:
    """How far the history of this body is the earlier one's; None if its top level begins in another way."""
    history = earlier.history
    if history is None or body[: history.start + 1] != earlier.body[: history.start + 1]:
        return None
    start = history.start + 1
    if earlier.body[history.start : start] != b"[":
        return None
    marks = [at for word in MARK_WORDS for at in earlier.text.positions(word) or ()]
    return align(earlier.body, body, Run(start, start, history.end - 1 - start), marks)


def follow(earlier: Chain, call_id: bytes, body: bytes, alignment: Alignment) -> Chain | None:
    """The chain of a body that goes on from an earlier one of that call, so aligned."""
    kept = _kept_elements(earlier, body, alignment)
    if kept is None or not kept.spans:
        return None
    name = HISTORY[earlier.door]
    tail_start = _tail_start(earlier, body, kept.tail_at)
    if tail_start is None:
        return None
    opened = b'{"%b":' % name.encode()
    middle = b"%b%b%b}" % (opened, _OPEN, body[kept.tail_at : tail_start])
    try:
        said = parse_fields(middle)
        rest = _decode_list(said[name])
    except (BadRequest, msgspec.DecodeError, RecursionError, KeyError):
        return None
    spans = find_members(middle, said)
    if not spans:
        return None
    shift = kept.tail_at - len(opened) - len(_OPEN)
    new = find_elements(body, rest[1:], kept.tail_at)
    kept.spans.extend(new)
    kept.olds.extend([-1] * len(new))
    kept.gaps.append((kept.tail_at, tail_start))
    list_end = spans[name].end + shift
    members = {other: Span(at.start + shift, at.end + shift) for other, at in spans.items() if other != name}
    made = _members(earlier, body, tail_start, {name: Span(earlier.members[name].start, list_end)} | members)
    if made is None:
        return None
    suffix_bytes = len(body) - tail_start
    base = Base(call_id, kept.moved[0].end, suffix_bytes, kept.first)
    result = Chain(earlier.door, body, _fields(earlier, body, made, said))
    result.alignment = alignment
    moved = len(body) - len(earlier.body)
    pieces = [*kept.moved, Moved(tail_start - moved, len(earlier.body), moved)]
    result.text.goes_on_from(earlier.text, pieces, kept.gaps)
    result.go_on_from(earlier, base, made, tuple(kept.spans), kept.olds)
    return result


def _kept_elements(earlier: Chain, body: bytes, alignment: Alignment) -> _Elements | None:
    """The elements up to the last one that is known; what lies between two known ones is parsed. None if it is no
    JSON."""
    olds = earlier.elements
    first_run = alignment.runs[0]
    first = _last_within(olds, first_run.old + first_run.size)
    spans, numbers = list(olds[:first]), list(range(first))
    at = spans[-1].end if spans else first_run.new
    moved, gaps = [Moved(0, at, 0)], []
    number = first
    for run in alignment.runs[1:]:
        shift, run_end = run.new - run.old, run.old + run.size
        while number < len(olds) and olds[number].start < run.old:
            number += 1
        begun = number
        while number < len(olds) and olds[number].end <= run_end:
            number += 1
        if number == begun:
            continue
        start, end = olds[begun].start, olds[number - 1].end
        between = _between(body, at, start + shift)
        if between is None:
            return None
        spans += between
        numbers += [-1] * len(between)
        gaps.append((at, start + shift))
        spans += [Span(one.start + shift, one.end + shift) for one in olds[begun:number]]
        numbers += range(begun, number)
        moved.append(Moved(start, end, shift))
        at = end + shift
    return _Elements(spans, numbers, moved, gaps, first, at)


def _last_within(spans: tuple[Span, ...], end: int) -> int:
    """How many of the spans end at or before this offset."""
    low, high = 0, len(spans)
    while low < high:
        middle = (low + high) // 2
        if spans[middle].end <= end:
            low = middle + 1
        else:
            high = middle
    return low


def _between(body: bytes, at: int, end: int) -> tuple[Span, ...] | None:
    """The elements that stand between the end of a known one and the start of another."""
    text = body[at:end]
    try:
        if not text.isascii():
            text.decode()
        elements = _decode_list(b"%b%b%b" % (_OPEN, text, _CLOSED))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return find_elements(body, elements[1:-1], at)


def _tail_start(earlier: Chain, body: bytes, least: int) -> int | None:
    """Where the members begin that end both bodies: behind the value of the member before them. None without any."""
    history_end = earlier.members[HISTORY[earlier.door]].end
    for span in earlier.members.values():
        if span.end >= history_end:
            tail = earlier.body[span.end :]
            if len(body) - len(tail) >= least and body.endswith(tail):
                return len(body) - len(tail)
    return None


def _members(earlier: Chain, body: bytes, tail_start: int, middle: dict[str, Span]) -> dict[str, Span] | None:
    """The members of the body in its order; None if a name stands twice."""
    olds = earlier.members
    history_start = olds[HISTORY[earlier.door]].start
    shift = len(body) - len(earlier.body)
    head = {name: span for name, span in olds.items() if span.start < history_start}
    tail = {
        name: Span(span.start + shift, span.end + shift)
        for name, span in olds.items()
        if span.start + shift > tail_start and span.start > history_start
    }
    made = head | middle | tail
    return made if len(made) == len(head) + len(middle) + len(tail) else None


def _fields(earlier: Chain, body: bytes, members: dict[str, Span], said: Fields) -> Fields:
    """The values, in the order of the body. Those that are the earlier body's are the very same objects."""
    name = HISTORY[earlier.door]
    fields: Fields = {}
    for other, span in members.items():
        if other == name:
            fields[other] = msgspec.Raw(memoryview(body)[span.start : span.end])
        elif other in said:
            fields[other] = said[other]
        else:  # a copy, made once: a view would keep the whole earlier body
            fields[other] = earlier.fields[other] = earlier.fields[other].copy()
    return fields
