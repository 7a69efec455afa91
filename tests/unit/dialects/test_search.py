"""Searching large bodies gives what bytes.find gives."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekisho.dialects import search

FILL = b'{"a":"\x00\xe9 b"},' * 2000  # long enough for the C library's search


@pytest.mark.parametrize("fill", [b"", FILL])
@given(text=st.binary(max_size=40), words=st.binary(min_size=1, max_size=4), start=st.integers(0, 30_100))
def test_finding_and_counting_are_those_of_bytes(fill: bytes, text: bytes, words: bytes, start: int) -> None:
    body = fill + text + fill + text
    assert search.find(body, words, start) == body.find(words, start)
    assert search.holds(body, words) == (words in body)
    assert search.count(body, words) == body.count(words)


def test_words_at_both_ends_are_found() -> None:
    assert search.find(b"<<" + FILL + b">>", b"<<") == 0
    assert search.find(b"<<" + FILL + b">>", b">>") == len(FILL) + 2
    assert search.find(b"<<" + FILL, b"<<", 1) == -1


@given(st.binary(max_size=300), st.binary(max_size=60), st.binary(max_size=60), st.integers(0, 20), st.integers(0, 20))
def test_as_many_bytes_are_the_same_as_one_by_one(
    same: bytes, one: bytes, other: bytes, at: int, other_at: int
) -> None:
    left, right = b"x" * at + same + one, b"y" * other_at + same + other
    pairs = zip(left[at:], right[other_at:], strict=False)
    expected = len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)))
    assert search.same_bytes(left, right, at, other_at) == expected


def test_bytes_are_compared_without_the_library_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "_memcmp", None)
    text = b"ab" * 50_000
    assert search.same_bytes(text + b"1", text + b"2") == 100_000
    assert search.same_bytes(text, text) == 100_000
    assert search.same_bytes(text, b"", 5, 5) == 0
