"""Single values changed in JSON that a person wrote. Oracle: Python's own json module."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekisho.kits import jsonc
from sekisho.kits.target import CannotEdit

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.text(max_size=6), values, max_size=4)

COMMENTED = """\
// my settings
{
  "model": "gpt-5", // the big one
  /* keep
     this */
  "provider": {
    "other": { "key": "a,b}" }, // stays
  },
  "list": [1, 2, ], // last
}
"""


def plain(text: str) -> object:
    """The value of a commented text by the shortest other way: take comments and trailing commas away."""
    bare = re.sub(r'("(?:[^"\\]|\\.)*")|//[^\n]*|/\*.*?\*/', lambda m: m[1] or "", text, flags=re.DOTALL)
    return json.loads(re.sub(r'("(?:[^"\\]|\\.)*")|,(?=\s*[}\]])', lambda m: m[1] or "", bare))


class TestSetValue:
    @given(objects, st.text(max_size=6), values, st.sampled_from([None, 1, 2, "\t"]))
    def test_a_member_is_set_and_all_others_stay(
        self, old: dict[str, jsonc.Json], name: str, value: jsonc.Json, indent: int | str | None
    ) -> None:
        text = json.dumps(old, indent=indent)
        assert json.loads(jsonc.set_value(text, (name,), value)) == {**old, name: value}

    @given(objects, st.lists(st.sampled_from("abc"), min_size=2, max_size=3), values)
    def test_objects_on_the_way_are_made(self, old: dict[str, jsonc.Json], path: list[str], value: jsonc.Json) -> None:
        expected: dict[str, jsonc.Json] = {"old": old}
        found = json.loads(jsonc.set_value(json.dumps(expected, indent=2), tuple(path), value))
        assert found.pop("old") == old
        for name in path:
            found = found[name]
        assert found == value

    @given(objects, st.text(max_size=6), values)
    def test_a_second_time_changes_nothing(self, old: dict[str, jsonc.Json], name: str, value: jsonc.Json) -> None:
        once = jsonc.set_value(json.dumps(old, indent=2), (name,), value)
        assert jsonc.set_value(once, (name,), value) == once

    def test_comments_order_and_spacing_stay(self) -> None:
        changed = jsonc.set_value(COMMENTED, ("provider", "sekisho", "key"), "k")
        changed = jsonc.set_value(changed, ("model",), "m")
        assert (
            changed
            == """\
// my settings
{
  "model": "m", // the big one
  /* keep
     this */
  "provider": {
    "other": { "key": "a,b}" }, // stays
    "sekisho": {
      "key": "k"
    }
  },
  "list": [1, 2, ], // last
}
"""
        )
        assert plain(changed) == jsonc.parse(changed)

    def test_windows_line_ends_stay(self) -> None:
        changed = jsonc.set_value('{\r\n  "a": 1\r\n}\r\n', ("b", "c"), 2)
        assert "\n" not in changed.replace("\r\n", "")
        assert json.loads(changed) == {"a": 1, "b": {"c": 2}}

    def test_a_file_that_is_not_there_begins_as_an_object(self) -> None:
        assert jsonc.set_value("", ("a", "b"), 1) == '{\n  "a": {\n    "b": 1\n  }\n}\n'

    def test_what_is_not_an_object_is_never_overwritten(self) -> None:
        with pytest.raises(CannotEdit, match="env is not a JSON object"):
            jsonc.set_value('{"env": [1]}', ("env", "A"), "x")

    @pytest.mark.parametrize("text", ["{", '{"a" 1}', "{'a': 1}", '{"a": 1} x', '{"a": 1 "b": 2}', "[1 2]", "{a}"])
    def test_what_is_not_json_is_refused(self, text: str) -> None:
        with pytest.raises(CannotEdit, match="Line 1 is not JSON"):
            jsonc.set_value(text, ("b",), 1)


class TestRemove:
    @given(objects, st.sampled_from([None, 2]))
    def test_any_member_can_go(self, old: dict[str, jsonc.Json], indent: int | None) -> None:
        for name in old:
            text = jsonc.remove(json.dumps(old, indent=indent), (name,))
            assert json.loads(text) == {key: value for key, value in old.items() if key != name}

    def test_a_member_that_is_not_there_changes_nothing(self) -> None:
        assert jsonc.remove(COMMENTED, ("provider", "missing")) == COMMENTED
        assert jsonc.remove("", ("a",)) == ""

    def test_comments_of_others_stay(self) -> None:
        changed = jsonc.remove(COMMENTED, ("model",))
        assert "// my settings" in changed
        assert plain(changed) == {"provider": {"other": {"key": "a,b}"}}, "list": [1, 2]}


class TestSetDefault:
    def test_what_is_there_stays(self) -> None:
        assert jsonc.set_default('{"a": null}', ("a",), 1) == '{"a": null}'
        assert json.loads(jsonc.set_default("{}", ("a",), 1)) == {"a": 1}
