import pytest

from sekisho.dialects.fields import Fields, decode, encode
from sekisho.errors import BadRequest


def test_members_are_taken_by_name_and_the_others_are_left():
    fields = Fields(b'{"a": 1, "b": null, "c": "x"}')
    assert (fields.take("a", int), fields.take("b", int), fields.take("missing", int)) == (1, None, None)
    assert list(fields.left) == ["c"]
    with pytest.raises(BadRequest, match="c: Expected `int`, got `str`") as raised:
        fields.take("c", int)
    assert raised.value.param == "c"


def test_what_is_nested_too_deeply_is_refused_in_both_directions():
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(BadRequest, match="too deeply"):
        encode(deep)
    with pytest.raises(BadRequest, match="too deeply"):
        decode(b"[" * 100_000, list[object], "body")
