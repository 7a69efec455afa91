"""Codex CLI: a model provider in ~/.codex/config.toml that speaks the Responses API.

Tool groups that only OpenAI's own service understands are switched off, and so are Codex's many retries: the gateway
retries by itself.
"""

from sekisho.kits import toml_lines
from sekisho.kits.target import AGENT_HEADER, PROVIDER_ID, FileEdit, Kit, Target, Text

_PATH = ".codex/config.toml"


def plan(target: Target) -> tuple[FileEdit, ...]:
    """Add the provider and make it the one in use; comments and other tables stay."""

    def change(old: str) -> str:
        text = toml_lines.set_values(
            old, "", {"model": target.model, "model_provider": PROVIDER_ID, "web_search": "disabled"}
        )
        text = toml_lines.set_values(text, "features", {"goals": False})
        text = toml_lines.set_values(text, "agents", {"enabled": False})
        text = toml_lines.set_values(text, "analytics", {"enabled": False})
        return toml_lines.set_values(
            text,
            f"model_providers.{PROVIDER_ID}",
            {
                "name": "Sekisho",
                "base_url": f"{target.url}/v1",
                "wire_api": "responses",
                "experimental_bearer_token": target.key,
                "http_headers": {AGENT_HEADER: "codex"},
                "request_max_retries": 0,
                "stream_max_retries": 1,
            },
        )

    return (FileEdit(target.home / _PATH, change, holds_key=True),)


def notes(target: Target) -> tuple[Text, ...]:
    return (Text('Codex is ready: codex "say hello"', 'Codex の準備ができました。試す： codex "say hello"'),)


KIT = Kit("codex", "Codex", plan, notes)
