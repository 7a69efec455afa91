"""aider: ~/.aider.conf.yml for address, key and model, and ~/.aider.model.metadata.json for sizes and prices.

The key goes into aider's own file and not into ~/.env: other programs read that one too.
"""

from typing import Any

from sekisho.kits import jsonc, yaml_blocks
from sekisho.kits.target import FileEdit, Kit, Offer, Target, Text

_CONFIG = ".aider.conf.yml"
_METADATA = ".aider.model.metadata.json"
_LOCAL_PRICES = "LITELLM_LOCAL_MODEL_COST_MAP=True"  # else it asks the internet for prices at every start


def plan(target: Target) -> tuple[FileEdit, ...]:
    """Set address, key and model; tell sizes and prices of the models where the gateway says them."""

    def change(old: str) -> str:
        set_env = yaml_blocks.load(old).get("set-env") or []
        kept = [set_env] if isinstance(set_env, str) else list(set_env)
        values: dict[str, Any] = {
            "model": f"openai/{target.model}",
            "weak-model": f"openai/{target.best('haiku')}",
            "edit-format": "diff",
            "openai-api-base": f"{target.url}/v1",
            "openai-api-key": target.key,
            "set-env": kept if _LOCAL_PRICES in kept else [*kept, _LOCAL_PRICES],
            "analytics-disable": True,
            "check-update": False,
            "show-model-warnings": False,
        }
        return yaml_blocks.set_top_level(old, values)

    edits = [FileEdit(target.home / _CONFIG, change, holds_key=True)]
    known = {f"openai/{offer.name}": _metadata(offer) for offer in target.offers if offer.context_tokens}
    if known:

        def describe(old: str) -> str:
            text = old
            for name, facts in known.items():
                text = jsonc.set_value(text, (name,), facts)
            return text

        edits.append(FileEdit(target.home / _METADATA, describe))
    return tuple(edits)


def _metadata(offer: Offer) -> dict[str, jsonc.Json]:
    facts: dict[str, jsonc.Json] = {
        "max_input_tokens": offer.context_tokens,
        "max_output_tokens": offer.max_output_tokens,
        "max_tokens": offer.max_output_tokens,
        "litellm_provider": "openai",
        "mode": "chat",
    }
    if offer.input_usd is not None and offer.output_usd is not None:
        facts["input_cost_per_token"] = offer.input_usd / 1_000_000
        facts["output_cost_per_token"] = offer.output_usd / 1_000_000
    return facts


def notes(target: Target) -> tuple[Text, ...]:
    return (
        Text(
            "aider is ready: run aider in your repository",
            "aider の準備ができました。リポジトリーで aider を実行してください",
        ),
    )


KIT = Kit("aider", "aider", plan, notes)
