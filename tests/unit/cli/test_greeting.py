"""What `sekisho serve` says once it is open."""

from pathlib import Path
from typing import Any

import pytest

from sekisho.cli import greeting, place
from sekisho.cli.place import DEFAULT_HOME
from sekisho.settings import Settings

URL = "http://127.0.0.1:4000"
READY: dict[str, Any] = {"status": "ready", "missing_credentials": []}
MODELS = ["nova-pro", "claude-sonnet-4-5", "claude-sonnet-4-6"]


class Home:
    """The control process of a home, as the greeting asks it."""

    def __init__(self, keys: list[str], models: list[str]) -> None:
        self.keys, self.models = keys, models

    def request(self, _home: Path, method: str, path: str, _body: object = None) -> Any:
        assert (method, path.partition("?")[0]) == ("POST", "/internal/greeting")
        has_keys, wants_key = bool(self.keys), not path.endswith("alias=")
        key = "sk-new" if wants_key and not has_keys else ""
        return {"has_keys": has_keys, "key": key, "models": self.models, "console": "c0de", "levels": ["full"]}


def said(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    is_simulated: bool = True,
    keys: tuple[str, ...] = (),
    models: list[str] = MODELS,
    language: str = "en",
    ready: dict[str, Any] = READY,
    **settings: Any,
) -> str:
    monkeypatch.setenv("SEKISHO_LANG", language)
    monkeypatch.setattr(greeting, "request", Home(list(keys), models).request)
    monkeypatch.setattr(place, "program", lambda: ".venv/bin/sekisho")
    greeting.greet(URL, Settings(**{"home": DEFAULT_HOME, **settings}), ready, is_simulated=is_simulated)
    return capsys.readouterr().out


def test_the_first_start_gives_commands_that_work_as_pasted(monkeypatch, capsys):
    text = said(monkeypatch, capsys)
    assert text.startswith("Bedrock simulator: no AWS credentials and no configuration were found.")
    assert "\nWhat calls say is kept in full (full).\n" in text
    assert "Virtual key  sk-new (shown only now)\n" in text
    assert f"Console      {URL}/console/enter?code=c0de (opens once)\n" in text
    assert "  SEKISHO_KEY=sk-new .venv/bin/sekisho setup cline\n" in text
    assert f"ANTHROPIC_BASE_URL={URL} ANTHROPIC_AUTH_TOKEN=sk-new ANTHROPIC_MODEL=claude-sonnet-4-6 claude\n" in text
    assert f'curl {URL}/v1/chat/completions -H "Authorization: Bearer sk-new"' in text
    assert text.endswith("\nCtrl-C stops.\n")


def test_a_later_start_leaves_the_key_to_the_shell(monkeypatch, capsys):
    text = said(monkeypatch, capsys, keys=("sk-old",))
    assert "Virtual key  as made before; another: .venv/bin/sekisho key create\n" in text
    assert "  .venv/bin/sekisho setup cline\n" in text
    assert '-H "Authorization: Bearer $SEKISHO_KEY"' in text
    assert "sk-new" not in text


def test_another_home_is_named_in_every_command(monkeypatch, capsys, tmp_path):
    text = said(monkeypatch, capsys, keys=("sk-old",), home=tmp_path / "my home")
    assert f".venv/bin/sekisho key create --home '{tmp_path}/my home'\n" in text
    assert f".venv/bin/sekisho setup cline --url {URL}\n" in text


@pytest.mark.parametrize("is_first", [True, False])
def test_with_bedrock_no_key_is_made_and_the_region_is_said(monkeypatch, capsys, is_first):
    text = said(monkeypatch, capsys, is_simulated=False, keys=() if is_first else ("sk-old",), aws_region="eu-west-1")
    assert text.startswith("Amazon Bedrock in eu-west-1, with the AWS credentials of this environment.")
    assert ("none yet; make one: .venv/bin/sekisho key create" in text) is is_first


def test_missing_credentials_are_said_with_where_to_look(monkeypatch, capsys):
    ready = {"status": "not ready", "missing_credentials": ["default"]}
    text = said(monkeypatch, capsys, is_simulated=False, ready=ready)
    assert f"credentials are missing (default). Calls fail until they are found; {URL}/health/ready" in text


def test_a_configuration_is_named_with_its_models(monkeypatch, capsys):
    text = said(monkeypatch, capsys, is_simulated=False, models=["one"], config_file=Path("/etc/config.yaml"))
    assert text.startswith("1 model, from /etc/config.yaml")
    assert "No model is on offer." in said(
        monkeypatch, capsys, is_simulated=False, models=[], config_file=Path("/etc/config.yaml")
    )


def test_japanese_columns_are_aligned(monkeypatch, capsys):
    text = said(monkeypatch, capsys, language="ja")
    assert "仮想キー    sk-new （表示は今回だけ）\n" in text
    assert f"コンソール  {URL}/console/enter?code=c0de （1 回だけ開けます）\n" in text
    assert text.endswith("\nCtrl-C で終了します。\n")
