"""`sekisho` as a whole: its help in both languages, its exit codes, what it says before it serves."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

WALK = """
import json, typer, sekisho.cli.main as m
def walk(command, path):
    yield path, "", command.help or "", command.hidden
    for parameter in command.params:
        yield path, parameter.name, getattr(parameter, "help", None) or "", False
    for name, one in getattr(command, "commands", {}).items():
        yield from walk(one, f"{path} {name}".strip())
print(json.dumps(list(walk(typer.main.get_command(m.create_app()), ""))))
"""
Explained = dict[tuple[str, str], str]


def run(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """The command in a process of its own: the language is chosen when it starts."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SEKISHO_", "AWS_"))}
    return subprocess.run(
        [sys.executable, "-c", "from sekisho.cli.main import main; main()", *words],
        env={**kept, "SEKISHO_LANG": "en", "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_agents_are_spoken_to_in_the_language_of_who_starts_it() -> None:
    words = "from sekisho.cli.serve import effective_settings as e; print(e(None, {}).language)"
    for environment, expected in (
        ({"LANG": "ja_JP.UTF-8"}, "ja"),
        ({"LANG": "C"}, "en"),
        ({"LANG": "ja_JP.UTF-8", "SEKISHO_LANGUAGE": "en"}, "en"),
    ):
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SEKISHO_", "AWS_", "L"))}
        done = subprocess.run(
            [sys.executable, "-c", words], env=kept | environment, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == expected, environment


@functools.cache
def explained(language: str) -> Explained:
    """What is said of every command (empty name) and of each of its options and arguments."""
    done = subprocess.run(
        [sys.executable, "-c", WALK],
        env={**os.environ, "SEKISHO_LANG": language},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return {(path, name): text for path, name, text, is_hidden in json.loads(done.stdout) if not is_hidden}


def test_every_command_option_and_argument_is_explained_in_both_languages() -> None:
    english, japanese = explained("en"), explained("ja")
    assert english.keys() == japanese.keys()
    assert len(english) > 250
    assert not {place: text for place, text in english.items() if not text or not text.isascii()}
    assert not {place: text for place, text in japanese.items() if text.isascii()}


GROUPS = {
    "key": {"create", "list", "show", "update", "delete", "block", "unblock", "rotate"},
    "team": {"create", "list", "show", "update", "delete", "block", "unblock", "add", "remove"},
    "user": {"create", "list", "show", "update", "delete"},
    "tag": {"create", "list", "show", "update", "delete"},
    "budget": {"create", "list", "show", "update", "delete", "credit", "reset"},
    "limit": {"create", "list", "show", "update", "delete"},
    "role": {"create", "list", "show", "delete"},
    "token": {"create", "list", "show", "delete"},
}


def test_nouns_and_verbs_are_the_same_everywhere_and_each_command_speaks_json() -> None:
    words = explained("en")
    for noun, verbs in GROUPS.items():
        found = {path.split()[1] for path, name in words if path.startswith(f"{noun} ") and not name}
        assert found >= verbs, noun
        for verb in found:
            assert (f"{noun} {verb}", "as_json") in words, f"{noun} {verb}"


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("sekisho bud", "budget"), ("sekisho budget cred", "credit"), ("sekisho budget create --win", "--window")],
)
def test_a_shell_completes_commands_and_options(typed: str, offered: str) -> None:
    position = str(len(typed.split()) - 1)
    done = run(_SEKISHO_COMPLETE="complete_bash", COMP_WORDS=typed, COMP_CWORD=position)
    assert done.stdout.split() == [offered]


def test_a_shell_is_told_how_to_complete() -> None:
    assert "_SEKISHO_COMPLETE" in run("completion", "zsh").stdout


def test_the_version_is_shown() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, "0.1.0\n")


@pytest.mark.parametrize(
    ("words", "environment", "said"),
    [
        (("--port", "99999"), {}, "--port"),
        ((), {"SEKISHO_PROT": "1"}, "Did you mean SEKISHO_PORT?"),
        ((), {"SEKISHO_PORT": "x"}, "SEKISHO_PORT must be a whole number from 0 to 65535, not 'x'."),
        (("--config", "none.yaml"), {}, "none.yaml cannot be read: No such file or directory."),
        (("--config", "broken.yaml"), {}, "broken.yaml is not valid YAML"),
        (("--config", "unset.yaml"), {}, "the environment variable NOWHERE is not set"),
        (("--config", "unset.yaml"), {"SEKISHO_LANG": "ja"}, "上の設定を直してください"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_and_nothing_is_started(
    tmp_path: Path, words: tuple[str, ...], environment: dict[str, str], said: str
) -> None:
    (tmp_path / "broken.yaml").write_text("model_list: [\n")
    (tmp_path / "unset.yaml").write_text("general_settings:\n  master_key: os.environ/NOWHERE\n")
    paths = [str(tmp_path / word) if word.endswith(".yaml") else word for word in words]
    done = run("serve", *paths, HOME=str(tmp_path), **environment)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in " ".join(done.stderr.split()) and "Traceback" not in done.stderr
    assert not (tmp_path / ".sekisho").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--home", "{file}"), "cannot be used"),
        (("--home", "{home}", "--host", "192.0.2.1"), "Choose another address with --host or SEKISHO_HOST."),
    ],
)
def test_a_place_that_cannot_be_used_is_named_with_what_to_do(
    tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    (tmp_path / "file").touch()
    paths = [word.format(file=tmp_path / "file", home=tmp_path / "home") for word in words]
    done = run("serve", *paths, "--port", "0", HOME=str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr and "Traceback" not in done.stderr


def test_every_command_stands_under_a_heading_of_the_help_page(tmp_path: Path) -> None:
    page = run("--help", HOME=str(tmp_path), SEKISHO_LANG="en").stdout
    assert "─ Run and use ─" in page
    assert "─ Commands ─" not in page
