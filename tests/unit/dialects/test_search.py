"""Searching large bodies gives what bytes.find gives."""

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
