"""The top level of a body: every field once, whatever white space stands between, and only valid UTF-8."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekisho.dialects.body import parse_fields
from sekisho.errors import BadRequest

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(st.text(max_size=6), JSON, max_size=5)


@given(OBJECTS, st.sampled_from([None, 0, 2]), st.booleans())
def test_fields_are_those_of_a_full_parse(body, indent, ascii_only) -> None:
    text = json.dumps(body, indent=indent, ensure_ascii=ascii_only)
    try:
        fields = parse_fields(text.encode("utf-8", "surrogatepass"))
    except BadRequest:
        return  # half a surrogate pair
    assert {name: json.loads(bytes(value)) for name, value in fields.items()} == body


@given(OBJECTS.filter(bool), JSON, st.sampled_from(["", " ", "\n\t "]), st.data())
def test_a_key_that_stands_twice_is_refused_by_name(body, value, space, data) -> None:
    twice = data.draw(st.sampled_from(sorted(body)))
    members = [(key, body[key]) for key in body]
    members.insert(data.draw(st.integers(0, len(members))), (twice, value))
    text = "{" + ",".join(f"{space}{json.dumps(k)}{space}:{space}{json.dumps(v)}{space}" for k, v in members) + "}"
    with pytest.raises(BadRequest, match="stands twice"):
        parse_fields(text.encode())


@pytest.mark.parametrize("at", [0, 100, 16_382, 16_383, 16_384, 40_000])
@pytest.mark.parametrize("bad", [b"\xff", b"\xc3", b"\xe9\x96", b"\xed\xa0\x80", b"\xf5\x80\x80\x80"])
def test_bytes_that_are_no_utf_8_are_refused_wherever_they_stand(at: int, bad: bytes) -> None:
    with pytest.raises(BadRequest, match="UTF-8"):
        parse_fields(b'{"a":"' + b"x" * at + bad + b"x" * 20_000 + '関"}'.encode())


@pytest.mark.parametrize("at", range(16_376, 16_386))
def test_characters_of_several_bytes_may_stand_anywhere(at: int) -> None:
    text = "x" * at + "関é😀" + "x" * 20_000
    fields = parse_fields(json.dumps({"a": text}, ensure_ascii=False).encode())
    assert json.loads(bytes(fields["a"])) == text
