"""Single values changed in TOML that a person wrote. Oracle: tomllib."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekisho.kits import toml_lines
from sekisho.kits.target import CannotEdit

MINE = """\
# my codex
model = "gpt-5" # big
notify = [
  "say",
]

[features]
# experiments
goals = true

[projects."/home/me/x"]
trust_level = "trusted"
"""


def test_top_level_values_are_set_and_the_rest_stays() -> None:
    changed = toml_lines.set_values(MINE, "", {"model": "m", "model_provider": "sekisho"})
    assert changed == 'model_provider = "sekisho"\n\n' + MINE.replace('model = "gpt-5" # big', 'model = "m"')


def test_values_go_into_a_table_that_is_there() -> None:
    changed = toml_lines.set_values(MINE, "features", {"goals": False, "other": True})
    assert changed == MINE.replace("[features]\n", "[features]\nother = true\n").replace(
        "goals = true", "goals = false"
    )


def test_a_missing_table_is_added_at_the_end() -> None:
    changed = toml_lines.set_values(MINE, "a.b", {"url": "x", "n": 1, "headers": {"x-a": 'q"\\'}})
    assert changed == MINE + '\n[a.b]\nurl = "x"\nn = 1\nheaders = { "x-a" = "q\\"\\\\" }\n'


def test_an_empty_file_is_a_start() -> None:
    assert toml_lines.set_values("", "", {"a": 1}) == "a = 1\n"


@pytest.mark.parametrize("text", ["features.goals = true\n", "features = { goals = true }\n", "not toml", '[a]\n"x'])
def test_what_cannot_be_changed_safely_is_refused(text: str) -> None:
    with pytest.raises(CannotEdit):
        toml_lines.set_values(text, "features", {"goals": False})


def test_text_that_only_looks_like_a_key_or_a_table_is_not_touched() -> None:
    text = 'note = """\nmodel = "inside"\n"""\n'
    with pytest.raises(CannotEdit):
        toml_lines.set_values(text, "", {"model": "m"})


@given(st.dictionaries(st.sampled_from("abcd"), st.text(max_size=12) | st.booleans() | st.integers(0, 99), min_size=1))
def test_every_value_comes_back_and_a_second_time_changes_nothing(values: dict[str, str | bool | int]) -> None:
    once = toml_lines.set_values(MINE, "model_providers.x", values)
    assert tomllib.loads(once)["model_providers"]["x"] == values
    assert toml_lines.set_values(once, "model_providers.x", values) == once
