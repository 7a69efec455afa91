"""The YAML reader: strict, bounded, exact."""

from decimal import Decimal
from pathlib import Path

import pytest

from sekisho.config.document import MAX_BYTES, Section, read_document
from sekisho.settings import SettingsError


def read(tmp_path: Path, text: str) -> dict[str, object]:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return read_document(path)


def test_amounts_stay_exact_decimals_and_dates_stay_text(tmp_path: Path) -> None:
    document = read(tmp_path, "a: 0.000003\nb: 1.1e-7\nc: 2024-06-01\nd: 7\ne: 1_000.5\n")
    assert document == {
        "a": Decimal("0.000003"),
        "b": Decimal("1.1e-7"),
        "c": "2024-06-01",
        "d": 7,
        "e": Decimal("1000.5"),
    }


def test_an_empty_file_is_an_empty_configuration(tmp_path: Path) -> None:
    assert read(tmp_path, "# nothing\n") == {}


def test_included_files_are_joined(tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text("model_list: [b]\ngeneral_settings: {x: 2}\n")
    document = read(tmp_path, "include: [more.yaml]\nmodel_list: [a]\ngeneral_settings: {x: 1}\n")
    assert document == {"model_list": ["a", "b"], "general_settings": {"x": 2}}


LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\na: 2\n", "given twice"),
        ("model_list:\n  - {x: 1, x: 2}\n", "given twice"),
        ("a: [1\n", "not valid YAML"),
        ("- a\n", "must be a mapping"),
        ("1: a\n", "must be a mapping"),
        ("a: !!python/object/apply:os.system [id]\n", "not valid YAML"),
        ("a: .inf\n", "not an amount"),
        ("? [a]\n: b\n", "plain value"),
        ("a: &a [*a]\n", "too deeply nested"),
        (LAUGHS, "too many"),
        ("a: " + "[" * 60 + "]" * 60, "too deeply nested"),
        ("a: " + "[" * 900, "not valid YAML"),
        ("include: more.yaml\n", "must be a list"),
        ("include: [missing.yaml]\n", "cannot be read"),
        ("a: \x01\n", "not valid YAML"),
        ("#" * (MAX_BYTES + 1), "larger than"),
    ],
)
def test_what_cannot_be_read_safely_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        read(tmp_path, text)


def test_merged_mappings_may_override_their_anchor(tmp_path: Path) -> None:
    document = read(tmp_path, "base: &base {a: 1, b: 2}\nown:\n  <<: *base\n  b: 3\n")
    assert document["own"] == {"a": 1, "b": 3}


def test_a_section_knows_what_was_not_taken() -> None:
    root = Section("", {"a": {"b": 1, "c": 2}, "d": 3}, {})
    root.section("a").take("b")
    assert list(root.unused()) == ["d", "a.c"]
