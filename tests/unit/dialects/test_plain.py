"""Plain bodies: one search for all words finds what a search for each of them finds."""

from hypothesis import given
from hypothesis import strategies as st

from sekisho.dialects.cache_marks import MARK_WORDS
from sekisho.dialects.plain import IMAGE, UNPACKED, is_plain
from sekisho.values import Door

WORDS = (IMAGE, *MARK_WORDS, *(word for words in UNPACKED.values() for word in words))
PIECES = st.sampled_from((*WORDS, *(word[:-1] for word in WORDS), b'"', b"image", b'":"', b"{", b"text"))


@given(st.sampled_from(sorted(UNPACKED)), st.lists(PIECES, max_size=6).map(b"".join))
def test_a_small_body_is_plain_if_it_has_none_of_the_words_of_its_door(door: Door, body: bytes) -> None:
    assert is_plain(door, body) == (not any(word in body for word in (IMAGE, *MARK_WORDS, *UNPACKED[door])))


def test_a_large_body_is_not_known_to_be_plain() -> None:
    assert is_plain("openai_chat", b"y" * 8_191)
    assert not is_plain("openai_chat", b"y" * 8_192)
