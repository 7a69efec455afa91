"""Identifiers: made in one step, they are what the two steps make."""

from hypothesis import given
from hypothesis import strategies as st

from sekisho.clock import id_text, new_ids, parse_id


@given(st.integers(0, 2**48 * 1000 - 1))
def test_a_new_identifier_and_its_text_are_one(now_us: int) -> None:
    raw, text = new_ids(now_us)
    assert id_text(raw) == text
    assert parse_id(text) == raw
    assert raw[:6] == (now_us // 1000).to_bytes(6, "big")
    assert new_ids(now_us)[0] != raw
