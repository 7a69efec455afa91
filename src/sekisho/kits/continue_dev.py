"""Continue: models in ~/.continue/config.yaml, read by its editor extensions and its command line."""

from typing import Any

from sekisho.kits import yaml_blocks
from sekisho.kits.target import AGENT_HEADER, FileEdit, Kit, Offer, Target, Text

_PATH = ".continue/config.yaml"


def plan(target: Target) -> tuple[FileEdit, ...]:
    """Put the models at the head of the list, where Continue looks for its default."""

    def change(old: str) -> str:
        known = yaml_blocks.load(yaml_blocks.without_block(old))
        text = old
        if not known:
            text += "name: sekisho\nversion: 0.0.1\nschema: v1\n"
        return yaml_blocks.add_items(text, "models", [_model(target, offer) for offer in target.models])

    return (FileEdit(target.home / _PATH, change, holds_key=True),)


def _model(target: Target, offer: Offer) -> dict[str, Any]:
    model: dict[str, Any] = {
        "name": f"{offer.name} (Sekisho)",
        "provider": "openai",
        "model": offer.name,
        "apiBase": f"{target.url}/v1",
        "apiKey": target.key,
        "roles": ["chat", "edit", "apply"],
        "capabilities": ["tool_use"],
        "requestOptions": {"headers": {AGENT_HEADER: "continue"}},
    }
    if offer.context_tokens:
        model["defaultCompletionOptions"] = {"contextLength": offer.context_tokens}
    return model


def notes(target: Target) -> tuple[Text, ...]:
    return (
        Text(
            "Continue is ready. On the command line: cn --config ~/.continue/config.yaml",
            "Continue の準備ができました。CLI では： cn --config ~/.continue/config.yaml",
        ),
    )


KIT = Kit("continue", "Continue", plan, notes)
