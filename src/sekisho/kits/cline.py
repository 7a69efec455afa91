"""Cline: the CLI's provider file, and what to type into the settings panel of the VS Code extension.

`cline auth` takes no base URL for the LiteLLM provider, so the file is written. The extension keeps its key in the
editor's secret store, where no program but the editor can put it.
"""

from sekisho.kits import jsonc
from sekisho.kits.target import AGENT_HEADER, FileEdit, Kit, Target, Text

_PATH = ".cline/data/settings/providers.json"
_UPDATED_AT = "2026-01-01T00:00:00.000Z"  # required by the file's schema; nothing reads it


def plan(target: Target) -> tuple[FileEdit, ...]:
    """Make LiteLLM the provider in use, with this gateway behind it; other providers stay."""

    def change(old: str) -> str:
        settings: jsonc.Json = {
            "provider": "litellm",
            "apiKey": target.key,
            "model": target.model,
            "baseUrl": f"{target.url}/v1",
            "headers": {AGENT_HEADER: "cline"},
        }
        provider: jsonc.Json = {"tokenSource": "manual", "updatedAt": _UPDATED_AT, "settings": settings}
        text = jsonc.set_default(old, ("version",), 1)
        text = jsonc.set_value(text, ("lastUsedProvider",), "litellm")
        text = jsonc.set_default(text, ("modes",), {})
        return jsonc.set_value(text, ("providers", "litellm"), provider)

    return (FileEdit(target.home / _PATH, change, holds_key=True),)


def notes(target: Target) -> tuple[Text, ...]:
    return (
        Text(
            'The Cline command line is ready: cline "say hello"',
            'Cline（CLI）の準備ができました。試す： cline "say hello"',
        ),
        Text(
            f"In VS Code, open Cline's settings and enter:\n{_panel(target, 'the same key')}",
            f"VS Code では、Cline の設定画面に次のように入力してください。\n{_panel(target, '同じキー')}",
        ),
    )


def _panel(target: Target, key: str) -> str:
    """The fields of the settings panel; the extension adds /v1 to a bare address."""
    return (
        f"  API Provider  LiteLLM\n  Base URL      {target.url}\n  API Key       {key}\n  Model         {target.model}"
    )


KIT = Kit("cline", "Cline", plan, notes)
