"""`sekisho` as a whole: its help in both languages, its exit codes, what it says before it serves."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMANDS = (
    "",
    "serve",
    "setup",
    "status",
    "console",
    "key",
    "key create",
    "key update",
    "key delete",
    "team",
    "team create",
    "user",
    "role",
    "role grant",
    "role list",
    "token",
    "token create",
    "token list",
    "key rotate",
    "key redeem",
    "key withdraw",
    "budget",
    "budget create",
    "limit",
)


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


def helps(language: str) -> str:
    """The help pages of all commands, without the line that Typer itself says in English only."""
    code = (
        "from typer.testing import CliRunner; import sekisho.cli.main as m; "
        f"m.language() == 'ja' and m._speak_japanese(); "
        f"[print(CliRunner().invoke(m.create_app(), [*words.split(), '--help']).output) for words in {COMMANDS!r}]"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "SEKISHO_LANG": language, "COLUMNS": "200", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return "\n".join(line for line in done.stdout.splitlines() if "--help" not in line and "Usage:" not in line)


def test_every_option_and_command_is_explained_in_both_languages() -> None:
    for language, is_right in (("en", str.isascii), ("ja", lambda text: not text.isascii())):
        rows = [line.strip("│ ") for line in helps(language).splitlines() if line.startswith("│ --")]
        assert len(rows) > 30
        for row in rows:
            explanation = row.split(">", 1)[1].strip()
            assert explanation and is_right(explanation), row


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
