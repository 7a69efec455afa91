"""What all commands say alike."""

import sys
from pathlib import Path

import pytest

from sekisho.app.serve import address_path
from sekisho.cli.messages import columns, language, program, say
from sekisho.cli.place import DEFAULT_URL, local_url


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "en"),
        ({"LANG": "ja_JP.UTF-8"}, "ja"),
        ({"LANG": "ja_JP.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "en_GB.UTF-8", "SEKISHO_LANG": "ja"}, "ja"),
        ({"LANG": "ja_JP.UTF-8", "SEKISHO_LANG": "en"}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
    ],
)
def test_the_most_specific_setting_decides(monkeypatch, environment, expected):
    for variable in ("SEKISHO_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    assert language() == expected
    assert say(en="key", ja="キー") == {"en": "key", "ja": "キー"}[expected]


def test_columns_are_aligned_with_full_width_characters_too():
    assert columns([("キー", "a"), ("key", "bb"), ("x", "")]) == "キー  a\nkey   bb\nx"


@pytest.mark.parametrize(
    ("called", "search_path", "expected"),
    [
        ("bin/sekisho", "", "bin/sekisho"),
        ("../bin/sekisho", "", "{root}/bin/sekisho"),
        ("bin/sekisho", "{root}/bin", "sekisho"),
        ("bin/sekisho", "{root}/other", "bin/sekisho"),
        ("-c", "", "sekisho"),
    ],
)
def test_the_program_is_named_as_it_can_be_called(monkeypatch, tmp_path: Path, called, search_path, expected):
    for folder in ("bin", "other", "work"):
        (tmp_path / folder).mkdir()
    for folder in ("bin", "other"):
        (tmp_path / folder / "sekisho").touch(mode=0o755)
    monkeypatch.chdir(tmp_path / "work" if called.startswith("..") else tmp_path)
    monkeypatch.setenv("PATH", search_path.format(root=tmp_path))
    monkeypatch.setattr(sys, "argv", [called])
    assert program() == expected.format(root=tmp_path)


def test_the_address_is_the_one_that_runs_in_this_home(monkeypatch, tmp_path: Path):
    assert local_url(tmp_path) == DEFAULT_URL
    address_path(tmp_path).parent.mkdir()
    address_path(tmp_path).write_text("http://127.0.0.1:4711\n")
    assert local_url(tmp_path) == "http://127.0.0.1:4711"
    monkeypatch.setenv("SEKISHO_HOME", str(tmp_path))
    assert local_url() == "http://127.0.0.1:4711"
