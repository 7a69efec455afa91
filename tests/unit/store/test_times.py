"""The column that holds where a call's time went."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekisho.store.sql.times import pack_times, unpack_times

numbers = st.integers(0, 2**40)


@given(stages=st.lists(numbers, max_size=20).map(tuple), lead=numbers, waited=st.one_of(st.just(0), numbers))
def test_times_come_back_as_they_went_in(stages, lead, waited):
    assert unpack_times(pack_times(stages, lead, waited)) == (stages, lead, waited)


@pytest.mark.parametrize(
    ("stored", "times"),
    [
        (b"", ((), 0, 0)),
        (msgspec.msgpack.encode([]), ((), 0, 0)),
        (msgspec.msgpack.encode([1, 20, 300]), ((1, 20, 300), 0, 0)),
        (msgspec.msgpack.encode([1, 20, 300, -1, 120]), ((1, 20, 300), 120, 0)),
        (msgspec.msgpack.encode([1] * 16 + [-1, 120, 70_000]), ((1,) * 16, 120, 70_000)),
    ],
)
def test_times_written_by_earlier_versions_are_read(stored, times):
    assert unpack_times(stored) == times
