"""opencode: a provider in ~/.config/opencode/opencode.json with every model the key may use."""

from collections.abc import Callable

from sekisho.kits import jsonc
from sekisho.kits.target import AGENT_HEADER, PROVIDER_ID, FileEdit, Kit, Offer, Target, Text

_PATH = ".config/opencode/opencode.json"


def plan(target: Target) -> tuple[FileEdit, ...]:
    """Add the provider and make it the one in use. Sharing is switched off: it uploads conversations."""
    change = configure(target, agent="opencode", schema="https://opencode.ai/config.json")
    return (FileEdit(target.home / _PATH, change, holds_key=True),)


def configure(target: Target, *, agent: str, schema: str) -> Callable[[str], str]:
    """The change to a configuration of opencode's form; Kilo, its fork, reads the same."""

    def change(old: str) -> str:
        known = jsonc.parse(old)
        text = jsonc.set_default(old, ("$schema",), schema)
        text = jsonc.set_value(text, ("model",), f"{PROVIDER_ID}/{target.model}")
        text = jsonc.set_value(text, ("small_model",), f"{PROVIDER_ID}/{target.best('haiku')}")
        text = jsonc.set_value(text, ("share",), "disabled")
        enabled = known.get("enabled_providers") if isinstance(known, dict) else None
        if isinstance(enabled, list) and PROVIDER_ID not in enabled:
            text = jsonc.set_value(text, ("enabled_providers",), [*enabled, PROVIDER_ID])
        return jsonc.set_value(text, ("provider", PROVIDER_ID), _provider(target, agent))

    return change


def _provider(target: Target, agent: str) -> jsonc.Json:
    return {
        "npm": "@ai-sdk/openai-compatible",
        "name": "Sekisho",
        "options": {"baseURL": f"{target.url}/v1", "apiKey": target.key, "headers": {AGENT_HEADER: agent}},
        "models": {offer.name: _model(offer) for offer in target.models},
    }


def _model(offer: Offer) -> dict[str, jsonc.Json]:
    model: dict[str, jsonc.Json] = {"name": offer.name, "tool_call": True}
    if offer.context_tokens and offer.max_output_tokens:
        model["limit"] = {"context": offer.context_tokens, "output": offer.max_output_tokens}
    if offer.input_usd is not None and offer.output_usd is not None:
        model["cost"] = {
            "input": offer.input_usd,
            "output": offer.output_usd,
            "cache_read": offer.cache_read_usd or 0,
            "cache_write": offer.cache_write_usd or 0,
        }
    return model


def notes(target: Target) -> tuple[Text, ...]:
    return (
        Text(
            'opencode is ready: opencode run "say hello"',
            'opencode の準備ができました。試す： opencode run "say hello"',
        ),
    )


KIT = Kit("opencode", "opencode", plan, notes)
