"""What each kit writes. The expected forms are those with which the real agents reached a gateway."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from sekisho.kits import jsonc
from sekisho.kits.agents import KITS
from sekisho.kits.target import Offer, Target, default_model

SONNET = Offer("claude-sonnet-4-6", 200_000, 64_000, 3.0, 15.0, 0.3, 3.75)
OFFERS = (
    Offer("claude-haiku-4-5", 200_000, 64_000, 1.0, 5.0, 0.1, 1.25),
    Offer("claude-sonnet-4-5-20250929", 200_000, 64_000),
    SONNET,
    Offer("claude-opus-4-6", 200_000, 32_000),
)
HOME = Path("/home/alice")
TARGET = Target("https://gw.example.com", "sk-alice", "claude-sonnet-4-6", HOME, OFFERS)


def written(agent: str, old: str = "", target: Target = TARGET, number: int = 0) -> str:
    return KITS[agent].plan(target)[number].change(old)


def loaded(agent: str, old: str = "", target: Target = TARGET) -> Any:
    text = written(agent, old, target)
    if agent == "codex":
        return tomllib.loads(text)
    return yaml.safe_load(text) if agent in ("continue", "aider") else jsonc.parse(text)


class TestEveryKit:
    @pytest.mark.parametrize("agent", KITS)
    def test_writes_only_below_the_home_folder_and_marks_files_that_hold_the_key(self, agent: str) -> None:
        for edit in KITS[agent].plan(TARGET):
            assert edit.path.is_relative_to(HOME)
            assert edit.holds_key == ("sk-alice" in edit.change(""))

    @pytest.mark.parametrize("agent", KITS)
    def test_a_second_set_up_changes_nothing(self, agent: str) -> None:
        for edit in KITS[agent].plan(TARGET):
            once = edit.change("")
            assert edit.change(once) == once

    @pytest.mark.parametrize("agent", KITS)
    def test_a_new_key_and_model_replace_the_old(self, agent: str) -> None:
        once = written(agent)
        again = written(agent, once, Target("https://new.example.com", "sk-bob", "claude-opus-4-6", HOME, OFFERS))
        assert "sk-alice" not in again
        assert "gw.example.com" not in again
        assert "sk-bob" in again

    @pytest.mark.parametrize("agent", KITS)
    def test_works_without_a_list_of_models(self, agent: str) -> None:
        assert "my-model" in written(agent, target=Target("http://localhost:4000", "k", "my-model", HOME))

    @pytest.mark.parametrize("agent", KITS)
    def test_notes_are_in_both_languages_and_never_show_the_key(self, agent: str) -> None:
        for note in KITS[agent].notes(TARGET):
            assert note.en != note.ja
            assert "sk-alice" not in note.en + note.ja

    def test_the_key_is_not_in_a_representation(self) -> None:
        assert "sk-alice" not in repr(TARGET)


def test_cline() -> None:
    old = '{"version": 1, "lastUsedProvider": "anthropic", "providers": {"anthropic": {"settings": {}}}}'
    found = loaded("cline", old)
    assert found["lastUsedProvider"] == "litellm"
    assert found["providers"]["anthropic"] == {"settings": {}}
    assert found["providers"]["litellm"]["settings"] == {
        "provider": "litellm",
        "apiKey": "sk-alice",
        "model": "claude-sonnet-4-6",
        "baseUrl": "https://gw.example.com/v1",
        "headers": {"x-sekisho-agent": "cline"},
    }


def test_claude() -> None:
    old = json.dumps({"permissions": {"deny": ["Bash"]}, "env": {"ANTHROPIC_API_KEY": "x", "MINE": "1"}})
    found = loaded("claude", old)
    assert found == {
        "permissions": {"deny": ["Bash"]},
        "env": {
            "MINE": "1",
            "ANTHROPIC_BASE_URL": "https://gw.example.com",
            "ANTHROPIC_AUTH_TOKEN": "sk-alice",
            "ANTHROPIC_MODEL": "claude-sonnet-4-6",
            "ANTHROPIC_DEFAULT_OPUS_MODEL": "claude-opus-4-6",
            "ANTHROPIC_DEFAULT_SONNET_MODEL": "claude-sonnet-4-6",
            "ANTHROPIC_DEFAULT_HAIKU_MODEL": "claude-haiku-4-5",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        },
    }


def test_codex() -> None:
    found = loaded("codex", 'model = "gpt-5"\napproval_policy = "never"\n\n[features]\nweb = true\n')
    assert (found["model"], found["model_provider"]) == ("claude-sonnet-4-6", "sekisho")
    assert found["approval_policy"] == "never"
    assert found["features"] == {"web": True, "goals": False}
    assert found["model_providers"]["sekisho"] == {
        "name": "Sekisho",
        "base_url": "https://gw.example.com/v1",
        "wire_api": "responses",
        "experimental_bearer_token": "sk-alice",
        "http_headers": {"x-sekisho-agent": "codex"},
        "request_max_retries": 0,
        "stream_max_retries": 1,
    }


@pytest.mark.parametrize("agent", ["opencode", "kilo"])
def test_opencode_and_its_fork(agent: str) -> None:
    found = loaded(agent, '{ // mine\n  "theme": "x", "enabled_providers": ["anthropic"] }')
    assert found["theme"] == "x"
    assert found["model"] == "sekisho/claude-sonnet-4-6"
    assert found["small_model"] == "sekisho/claude-haiku-4-5"
    assert found["enabled_providers"] == ["anthropic", "sekisho"]
    provider = found["provider"]["sekisho"]
    assert provider["options"] == {
        "baseURL": "https://gw.example.com/v1",
        "apiKey": "sk-alice",
        "headers": {"x-sekisho-agent": agent},
    }
    assert provider["models"]["claude-sonnet-4-6"] == {
        "name": "claude-sonnet-4-6",
        "tool_call": True,
        "limit": {"context": 200_000, "output": 64_000},
        "cost": {"input": 3.0, "output": 15.0, "cache_read": 0.3, "cache_write": 3.75},
    }
    assert next(iter(provider["models"])) == "claude-sonnet-4-6"
    assert len(provider["models"]) == 4


def test_continue() -> None:
    found = loaded(
        "continue", "name: mine\nversion: 1.0.0\nschema: v1\nmodels:\n  - name: local\n    provider: ollama\n"
    )
    assert found["name"] == "mine"
    assert found["models"][-1] == {"name": "local", "provider": "ollama"}
    assert found["models"][0] == {
        "name": "claude-sonnet-4-6 (Sekisho)",
        "provider": "openai",
        "model": "claude-sonnet-4-6",
        "apiBase": "https://gw.example.com/v1",
        "apiKey": "sk-alice",
        "roles": ["chat", "edit", "apply"],
        "capabilities": ["tool_use"],
        "requestOptions": {"headers": {"x-sekisho-agent": "continue"}},
        "defaultCompletionOptions": {"contextLength": 200_000},
    }


def test_aider() -> None:
    found = loaded("aider", "model: gpt-5\nset-env:\n  - MINE=1\nread: [A.md]\n")
    assert found["read"] == ["A.md"]
    assert found["model"] == "openai/claude-sonnet-4-6"
    assert found["weak-model"] == "openai/claude-haiku-4-5"
    assert (found["openai-api-base"], found["openai-api-key"]) == ("https://gw.example.com/v1", "sk-alice")
    assert found["set-env"] == ["MINE=1", "LITELLM_LOCAL_MODEL_COST_MAP=True"]
    metadata = json.loads(written("aider", '{"mine": {}}', number=1))
    assert metadata["mine"] == {}
    assert metadata["openai/claude-sonnet-4-6"] == {
        "max_input_tokens": 200_000,
        "max_output_tokens": 64_000,
        "max_tokens": 64_000,
        "litellm_provider": "openai",
        "mode": "chat",
        "input_cost_per_token": 3e-6,
        "output_cost_per_token": 1.5e-5,
    }


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (("nova-pro", "claude-sonnet-4-5-20250929", "claude-sonnet-4-6", "claude-opus-4-6"), "claude-sonnet-4-6"),
        (("claude-3-7-sonnet", "claude-sonnet-4"), "claude-sonnet-4"),
        (("nova-pro", "claude-haiku-4-5"), "claude-haiku-4-5"),
        (("nova-pro", "gpt-oss-120b"), "nova-pro"),
        ((), None),
    ],
)
def test_the_default_model_is_the_newest_sonnet(names: tuple[str, ...], chosen: str | None) -> None:
    assert default_model(tuple(Offer(name) for name in names)) == chosen
