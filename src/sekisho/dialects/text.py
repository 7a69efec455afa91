"""A body or a part of one, and where words stand in it: where it goes on from another, only what is new is searched.

An agent's turn is searched for some words that are hardly ever there, and each search reads all of it.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sekisho.dialects import search

_MOST_LISTED = 1_000  # positions of one word
_SMALL_BYTES = 8_192

Positions = tuple[int, ...]


class Moved(NamedTuple):
    """A piece of an earlier body that stands in this one, `shift` bytes further on."""

    start: int
    end: int
    shift: int


class Text:
    """The bytes of `body` from `start` to before `end`."""

    __slots__ = ("_bytes", "_earlier", "_found", "_gaps", "_moved", "_whole", "body", "end", "start")

    def __init__(self, body: bytes, start: int = 0, end: int | None = None) -> None:
        self.body = body
        self.start = start
        self.end = len(body) if end is None else end
        self._bytes: bytes | None = None
        self._found: dict[bytes, Positions | None] = {}
        self._earlier: Mapping[bytes, Positions | None] = {}
        self._moved: Sequence[Moved] = ()
        self._gaps: Sequence[tuple[int, int]] = ()
        self._whole: Text | None = None

    def part(self, start: int, end: int) -> "Text":
        """A part of it, searched by searching the whole, once."""
        part = Text(self.body, start, end)
        part._whole = self
        return part

    def __len__(self) -> int:
        return self.end - self.start

    def __bytes__(self) -> bytes:
        """A copy, made once."""
        if self._bytes is None:
            whole = self.start == 0 and self.end == len(self.body)
            self._bytes = self.body if whole else self.body[self.start : self.end]
        return self._bytes

    def goes_on_from(self, earlier: "Text", moved: Sequence[Moved], gaps: Sequence[tuple[int, int]]) -> None:
        """Take over what is known of an earlier text: this one is its pieces `moved`, and between them `gaps`.

        No word that is ever asked for may lie across the border of a piece."""
        self._earlier, self._moved, self._gaps = earlier._found, moved, gaps

    def positions(self, word: bytes) -> Positions | None:
        """Where the word stands, as offsets of the body; None where it stands too often to be listed."""
        if word not in self._found:
            self._found[word] = self._find(word)
        return self._found[word]

    def holds(self, word: bytes) -> bool:
        """Whether the word stands in it."""
        if self.end - self.start < _SMALL_BYTES:  # looked for again and again faster than remembered
            return self.body.find(word, self.start, self.end) >= 0
        return self.positions(word) != ()

    def is_within(self, word: bytes, start: int, end: int) -> bool:
        """Whether the word stands between these offsets of the body."""
        found = self.positions(word)
        if found is None:
            return self.body.find(word, start, end) >= 0
        at = bisect_left(found, start)
        return at < len(found) and found[at] < end

    def count(self, word: bytes) -> int:
        """How often the word stands in it."""
        if self.end - self.start < _SMALL_BYTES:
            return self.body.count(word, self.start, self.end)
        found = self.positions(word)
        return self.body.count(word, self.start, self.end) if found is None else len(found)

    def starts_with(self, words: bytes) -> bool:
        return self.body.startswith(words, self.start, self.end)

    def _find(self, word: bytes) -> Positions | None:
        whole = self._whole.positions(word) if self._whole is not None else None
        if whole is not None:
            return whole[bisect_left(whole, self.start) : bisect_left(whole, self.end)]
        known = self._earlier.get(word)
        if known is None:
            return _listed(_search(self.body, word, self.start, self.end))
        places = [at + piece.shift for piece in self._moved for at in known if piece.start <= at < piece.end]
        for start, end in self._gaps:
            places += _search(self.body, word, start, end)
        places.sort()
        return _listed(places)


def _listed(places: list[int]) -> Positions | None:
    return tuple(places) if len(places) <= _MOST_LISTED else None


def _search(body: bytes, word: bytes, start: int, end: int) -> list[int]:
    """The positions, or one more than are listed."""
    places: list[int] = []
    at = search.find(body, word, start, end)
    while at >= 0 and len(places) <= _MOST_LISTED:
        places.append(at)
        at = search.find(body, word, at + len(word), end)
    return places
