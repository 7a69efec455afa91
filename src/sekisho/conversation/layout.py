"""Where the parts of a body stand: the members of its top level, and the elements of the list that grows.

Above: chains. Below: bytes. Offsets are those of the body; a part begins and ends with its value, without white space.
"""

import re
from collections.abc import Iterable
from functools import partial
from typing import NamedTuple

import msgspec

from sekisho.values import Door

HISTORY: dict[Door, str] = {
    "anthropic_messages": "messages",
    "bedrock_invoke": "messages",
    "bedrock_converse": "messages",
    "openai_chat": "messages",
    "openai_responses": "input",
}
"""The member whose list grows from turn to turn."""

_NEXT_KEY = re.compile(rb'[ \t\n\r]*[{,][ \t\n\r]*"([^"\\]*)"[ \t\n\r]*:[ \t\n\r]*')
_NEXT_ELEMENT = re.compile(rb"[ \t\n\r]*[\[,][ \t\n\r]*")
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode

Fields = dict[str, msgspec.Raw]


class Span(NamedTuple):
    """Bytes of a body from `start` to before `end`."""

    start: int
    end: int


_span = partial(tuple.__new__, Span)  # in half the time


def list_elements(body: bytes, history: Span | None) -> tuple[Span, ...]:
    """Where the elements of a history stand; none where it is no list."""
    if history is None or body[history.start : history.start + 1] != b"[":
        return ()
    return find_elements(body, _decode_list(memoryview(body)[history.start : history.end]), history.start)


def find_members(body: bytes, fields: Fields) -> dict[str, Span]:
    """Where each value stands; empty when a key is written with an escape."""
    members: dict[str, Span] = {}
    end = 0
    for name, value in fields.items():  # as if nothing stood between them
        start = end + len(name) + 4
        end = start + len(value)
        members[name] = _span((start, end))
    if end + 1 == len(body):  # no body is shorter, so nothing does
        return members
    return _look_for_members(body, fields)


def _look_for_members(body: bytes, fields: Fields) -> dict[str, Span]:
    members: dict[str, Span] = {}
    at = 0
    for name, value in fields.items():
        key = _NEXT_KEY.match(body, at)
        if key is None or key[1] != name.encode():
            return {}
        at = key.end() + len(value)
        members[name] = Span(key.end(), at)
    return members


def find_elements(body: bytes, elements: Iterable[msgspec.Raw], at: int) -> tuple[Span, ...]:
    """Where each element of a list stands that opens, or goes on with a comma, at this offset."""
    spans: list[Span] = []
    for element in elements:
        if body[at + 1] == 0x7B and body[at] in b"[,":  # as agents write it: no white space between
            start = at + 1
        else:
            gap = _NEXT_ELEMENT.match(body, at)
            assert gap is not None  # a list that was decoded
            start = gap.end()
        at = start + len(element)
        spans.append(_span((start, at)))
    return tuple(spans)
