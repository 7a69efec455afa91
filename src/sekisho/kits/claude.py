"""Claude Code: the "env" section of its user settings.

All model names are set, so that no built-in name reaches the gateway.
"""

from sekisho.kits import jsonc
from sekisho.kits.target import FileEdit, Kit, Target, Text

_PATH = ".claude/settings.json"
_IN_THE_WAY = (
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_SMALL_FAST_MODEL",
    "CLAUDE_CODE_USE_BEDROCK",
    "CLAUDE_CODE_USE_VERTEX",
    "CLAUDE_CODE_SKIP_BEDROCK_AUTH",
)


def plan(target: Target) -> tuple[FileEdit, ...]:
    """Point Claude Code here with a bearer key; settings that would win over it are taken out."""
    env = {
        "ANTHROPIC_BASE_URL": target.url,
        "ANTHROPIC_AUTH_TOKEN": target.key,
        "ANTHROPIC_MODEL": target.model,
        "ANTHROPIC_DEFAULT_OPUS_MODEL": target.best("opus"),
        "ANTHROPIC_DEFAULT_SONNET_MODEL": target.best("sonnet"),
        "ANTHROPIC_DEFAULT_HAIKU_MODEL": target.best("haiku"),
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }

    def change(old: str) -> str:
        text = old
        for name in _IN_THE_WAY:
            text = jsonc.remove(text, ("env", name))
        text = jsonc.remove(text, ("apiKeyHelper",))
        for name, value in env.items():
            text = jsonc.set_value(text, ("env", name), value)
        return text

    return (FileEdit(target.home / _PATH, change, holds_key=True),)


def notes(target: Target) -> tuple[Text, ...]:
    return (
        Text(
            'Claude Code is ready: claude "say hello"',
            'Claude Code の準備ができました。試す： claude "say hello"',
        ),
    )


KIT = Kit("claude", "Claude Code", plan, notes)
