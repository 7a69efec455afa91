"""`sekisho setup` as a person uses it, against a gateway on loopback."""

import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Cli, FakeGateway


def offer(name: str, mode: str | None = "chat") -> dict[str, object]:
    return {
        "model_name": name,
        "litellm_params": {"model": name},
        "model_info": {"mode": mode, "max_input_tokens": 200_000, "max_output_tokens": 64_000,
                       "input_cost_per_token": 3e-6, "output_cost_per_token": 1.5e-5},
    }  # fmt: skip


@pytest.fixture
def models(gateway: FakeGateway) -> FakeGateway:
    names = ["claude-haiku-4-5", "claude-sonnet-4-5-20250929", "claude-sonnet-4-6"]
    gateway.answer("/v1/model/info", {"data": [offer("titan-embed", "embedding"), *map(offer, names)]})
    return gateway


def claude(home: Path) -> dict[str, str]:
    env = json.loads((home / ".claude/settings.json").read_text())["env"]
    assert isinstance(env, dict)
    return env


@pytest.mark.parametrize("ending", ["", "/", "/v1", "/v1/"])
def test_asks_for_models_with_the_key_and_takes_the_newest_sonnet(
    cli: Cli, models: FakeGateway, tmp_path: Path, ending: str
) -> None:
    result = cli("setup", "claude", "--url", models.url + ending, "--home-dir", str(tmp_path), SEKISHO_KEY="sk-1")
    assert result.exit_code == 0
    assert models.asked == [("/v1/model/info", "Bearer sk-1")]
    assert claude(tmp_path)["ANTHROPIC_BASE_URL"] == models.url
    assert claude(tmp_path)["ANTHROPIC_MODEL"] == "claude-sonnet-4-6"
    assert "Undo: sekisho setup claude --undo" in result.output
    assert "sk-1" not in result.output


@pytest.mark.parametrize(("words", "variables"), [
    (("--key", "sk-1"), {}), ((), {"SEKISHO_KEY": "sk-1"}), ((), {"typed": "sk-1\n"}),
    (("--key", "sk-1"), {"SEKISHO_KEY": "sk-2"}),
])  # fmt: skip
def test_the_key_comes_by_option_variable_or_pipe(
    cli: Cli, models: FakeGateway, tmp_path: Path, words: tuple[str, ...], variables: dict[str, str]
) -> None:
    result = cli("setup", "claude", "--url", models.url, "--home-dir", str(tmp_path), *words, **variables)
    assert result.exit_code == 0
    assert claude(tmp_path)["ANTHROPIC_AUTH_TOKEN"] == "sk-1"


def test_undo_after_two_set_ups_brings_the_first_file_back(cli: Cli, models: FakeGateway, tmp_path: Path) -> None:
    path = tmp_path / ".claude/settings.json"
    path.parent.mkdir()
    path.write_bytes(b'{"a": 1}')
    for key in ("sk-1", "sk-2"):
        cli("setup", "claude", "--url", models.url, "--home-dir", str(tmp_path), SEKISHO_KEY=key)
    result = cli("setup", "claude", "--undo", "--home-dir", str(tmp_path))
    assert (result.exit_code, path.read_bytes()) == (0, b'{"a": 1}')
    assert cli("setup", "claude", "--undo", "--home-dir", str(tmp_path)).exit_code == 1


def test_print_writes_nothing_and_masks_the_key(cli: Cli, models: FakeGateway, tmp_path: Path) -> None:
    result = cli("setup", "codex", "--print", "--url", models.url, "--home-dir", str(tmp_path), SEKISHO_KEY="sk-1")
    assert result.exit_code == 0
    assert '+experimental_bearer_token = "***"' in result.output
    assert "sk-1" not in result.output
    assert list(tmp_path.iterdir()) == []


def test_print_needs_no_key_where_a_model_is_named(cli: Cli, tmp_path: Path) -> None:
    result = cli("setup", "aider", "--print", "--model", "my-model", "--home-dir", str(tmp_path))
    assert result.exit_code == 0
    assert "+model: openai/my-model" in result.output


def test_cline_says_what_to_type_in_vs_code(cli: Cli, models: FakeGateway, tmp_path: Path) -> None:
    words = ("setup", "cline", "--url", models.url, "--home-dir", str(tmp_path))
    assert f"Base URL      {models.url}\n" in cli(*words, SEKISHO_KEY="sk-1").output
    assert "VS Code では" in cli(*words, SEKISHO_KEY="sk-1", SEKISHO_LANG="ja").output


def test_a_named_model_works_while_the_gateway_does_not_answer(cli: Cli, tmp_path: Path) -> None:
    words = ("setup", "claude", "--url", "http://127.0.0.1:9", "--home-dir", str(tmp_path))
    result = cli(*words, "--model", "my-model", SEKISHO_KEY="sk-1")
    assert result.exit_code == 0
    assert "Nothing answers at http://127.0.0.1:9" in result.output
    assert claude(tmp_path)["ANTHROPIC_MODEL"] == "my-model"


class TestRefusals:
    def test_no_answer(self, cli: Cli, tmp_path: Path) -> None:
        words = ("setup", "claude", "--url", "http://127.0.0.1:9", "--home-dir", str(tmp_path))
        result = cli(*words, SEKISHO_KEY="sk-1")
        assert result.exit_code == 1
        assert "Nothing answers at http://127.0.0.1:9" in result.output
        assert list(tmp_path.iterdir()) == []

    def test_a_key_the_gateway_does_not_know(self, cli: Cli, gateway: FakeGateway) -> None:
        gateway.answer("/v1/model/info", {"error": {"message": "no"}}, 401)
        result = cli("setup", "claude", "--url", gateway.url, SEKISHO_KEY="sk-1")
        assert result.exit_code == 1
        assert "does not accept this key" in result.output

    def test_any_other_refusal_shows_its_words(self, cli: Cli, gateway: FakeGateway) -> None:
        gateway.answer("/v1/model/info", {"error": {"message": "Keys cannot be checked."}}, 503)
        result = cli("setup", "claude", "--url", gateway.url, SEKISHO_KEY="sk-1")
        assert f"{gateway.url} answers 503: Keys cannot be checked." in result.output

    @pytest.mark.parametrize("body", [b"<html>", {"models": []}, []])
    def test_something_else_answers(self, cli: Cli, gateway: FakeGateway, body: object) -> None:
        gateway.answer("/v1/model/info", body)
        assert cli("setup", "claude", "--url", gateway.url, SEKISHO_KEY="sk-1").exit_code == 1

    def test_the_key_is_never_sent_after_a_redirect(self, cli: Cli, gateway: FakeGateway) -> None:
        gateway.answer("/v1/model/info", {}, 302, location=f"{gateway.url}/elsewhere")
        assert cli("setup", "claude", "--url", gateway.url, SEKISHO_KEY="sk-1").exit_code == 1
        assert [path for path, _ in gateway.asked] == ["/v1/model/info"]

    def test_a_model_this_key_may_not_use(self, cli: Cli, models: FakeGateway, tmp_path: Path) -> None:
        words = ("setup", "claude", "--url", models.url, "--home-dir", str(tmp_path), "--model", "gpt-9")
        result = cli(*words, SEKISHO_KEY="sk-1")
        assert result.exit_code == 1
        assert "There are: claude-haiku-4-5, claude-sonnet-4-5-20250929, claude-sonnet-4-6." in result.output

    def test_an_unknown_agent(self, cli: Cli) -> None:
        result = cli("setup", "emacs")
        assert result.exit_code == 1
        assert "cline, claude, codex, opencode, kilo, continue, aider" in result.output

    @pytest.mark.parametrize("url", ["gateway", "ftp://gw", "http://", "https://gw/?a=1"])
    def test_what_is_no_address(self, cli: Cli, url: str) -> None:
        result = cli("setup", "claude", "--url", url, SEKISHO_KEY="sk-1")
        assert result.exit_code == 1
        assert "is not an address" in result.output

    def test_a_file_that_cannot_be_changed_is_named_and_left(
        self, cli: Cli, models: FakeGateway, tmp_path: Path
    ) -> None:
        path = tmp_path / ".claude/settings.json"
        path.parent.mkdir()
        path.write_text("not json")
        result = cli("setup", "claude", "--url", models.url, "--home-dir", str(tmp_path), SEKISHO_KEY="sk-1")
        assert result.exit_code == 1
        assert f"{path}: Line 1 is not JSON" in result.output
        assert path.read_text() == "not json"
