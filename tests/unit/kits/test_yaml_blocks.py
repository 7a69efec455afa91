"""Marked blocks in YAML that a person wrote. Oracle: PyYAML."""

import pytest
import yaml

from sekisho.kits import yaml_blocks
from sekisho.kits.target import CannotEdit

MINE = """\
# my models
name: mine
models:
  # the local one
  - name: local
    provider: ollama
context:
- provider: code
"""


class TestAddItems:
    @pytest.mark.parametrize(
        "text", [MINE, MINE.replace("  - name", "- name").replace("    provider: o", "  provider: o")]
    )
    def test_items_come_first_and_everything_else_stays(self, text: str) -> None:
        changed = yaml_blocks.add_items(text, "models", [{"name": "new"}])
        assert [model["name"] for model in yaml.safe_load(changed)["models"]] == ["new", "local"]
        assert yaml_blocks.without_block(changed) == text

    def test_a_second_time_replaces_the_block(self) -> None:
        once = yaml_blocks.add_items(MINE, "models", [{"name": "new"}])
        assert yaml_blocks.add_items(once, "models", [{"name": "new"}]) == once
        again = yaml_blocks.add_items(once, "models", [{"name": "newer"}])
        assert [model["name"] for model in yaml.safe_load(again)["models"]] == ["newer", "local"]

    @pytest.mark.parametrize("text", ["", "name: x\n", "name: x", "models: []\n", "models:\n"])
    def test_a_missing_list_is_made(self, text: str) -> None:
        changed = yaml_blocks.add_items(text, "models", [{"name": "new"}])
        assert yaml.safe_load(changed)["models"] == [{"name": "new"}]

    @pytest.mark.parametrize("text", ["models: [{name: a}]\n", "- a\n", "a: [", "models: {a: 1}\n"])
    def test_what_cannot_be_changed_safely_is_refused(self, text: str) -> None:
        with pytest.raises(CannotEdit):
            yaml_blocks.add_items(text, "models", [{"name": "new"}])


class TestSetTopLevel:
    def test_former_lines_become_comments(self) -> None:
        text = "model: gpt-5\nread:\n  - A.md\nset-env:\n- A=1\n- B=2\n"
        changed = yaml_blocks.set_top_level(text, {"model": "m", "set-env": ["A=1", "C=3"]})
        assert changed.startswith(
            "# (sekisho) model: gpt-5\nread:\n  - A.md\n# (sekisho) set-env:\n# (sekisho) - A=1\n"
        )
        assert yaml.safe_load(changed) == {"read": ["A.md"], "model": "m", "set-env": ["A=1", "C=3"]}

    def test_a_second_time_changes_nothing(self) -> None:
        once = yaml_blocks.set_top_level("model: gpt-5\n", {"model": "m"})
        assert yaml_blocks.set_top_level(once, {"model": "m"}) == once
