"""The fields of Anthropic's Messages body that Claude takes on both ways in.

In InvokeModel they stand in the body; in Converse they come through `additionalModelRequestFields`.
Wording follows Anthropic's own refusals as Bedrock passes them on.
"""

from collections.abc import Collection
from typing import Any

import msgspec

from sekisho.dialects.exchange import JsonSchema, Reasoning
from sekisho.simulator.exceptions import ModelRefusal

# What Bedrock documents for the request body; every other flag is refused, whatever Anthropic's own API takes.
BETAS = frozenset(
    {
        "computer-use-2024-10-22",
        "computer-use-2025-01-24",
        "computer-use-2025-11-24",
        "context-1m-2025-08-07",
        "context-management-2025-06-27",
        "dev-full-thinking-2025-05-14",
        "effort-2025-11-24",
        "fine-grained-tool-streaming-2025-05-14",
        "interleaved-thinking-2025-05-14",
        "output-128k-2025-02-19",
        "token-efficient-tools-2025-02-19",
        "tool-examples-2025-10-29",
        "tool-search-tool-2025-10-19",
    }
)
CONTEXT_MANAGEMENT_BETA = "context-management-2025-06-27"
EFFORTS = ("low", "medium", "high", "xhigh", "max")
THINKING_MIN_TOKENS = 1024

_THINKING_KEYS = {
    "enabled": {"type", "budget_tokens", "display"},
    "adaptive": {"type", "display"},
    "disabled": {"type"},
}


def refuse_extra(value: dict[str, Any], allowed: Collection[str], where: str) -> None:
    """Raises ModelRefusal when the object has a key outside `allowed`."""
    for key in value:
        if key not in allowed:
            raise ModelRefusal(f"{where}{key}: Extra inputs are not permitted")


def require(value: Any, expected: type, where: str) -> None:
    """Raises ModelRefusal unless the value has the JSON type; a boolean is not a number."""
    if isinstance(value, bool) and expected is not bool:
        raise ModelRefusal(f"{where}: Input should be a valid {_TYPE_NAMES[expected]}")
    if not isinstance(value, (int, float) if expected is float else expected):
        raise ModelRefusal(f"{where}: Input should be a valid {_TYPE_NAMES[expected]}")


_TYPE_NAMES: dict[type, str] = {
    bool: "boolean",
    dict: "dictionary",
    float: "number",
    int: "integer",
    list: "list",
    str: "string",
}


def parse_betas(value: Any) -> frozenset[str]:
    """The beta flags. Raises ModelRefusal for a flag that Bedrock does not take."""
    require(value, list, "anthropic_beta")
    if any(flag not in BETAS for flag in value):
        raise ModelRefusal("invalid beta flag")
    return frozenset(value)


def parse_thinking(value: Any) -> Reasoning:
    """The `thinking` object in neutral form. Which forms a model takes is judged with the model's other rules."""
    require(value, dict, "thinking")
    mode = value.get("type")
    if mode not in _THINKING_KEYS:
        tags = ", ".join(f"'{tag}'" for tag in sorted(_THINKING_KEYS))
        raise ModelRefusal(
            f"thinking: Input tag '{mode}' found using 'type' does not match any of the expected tags: {tags}"
        )
    refuse_extra(value, _THINKING_KEYS[mode], f"thinking.{mode}.")
    if value.get("display") not in (None, "summarized", "omitted"):
        raise ModelRefusal(f"thinking.{mode}.display: Input should be 'summarized' or 'omitted'")
    if mode != "enabled":
        return Reasoning(mode=mode)
    if "budget_tokens" not in value:
        raise ModelRefusal("thinking.enabled.budget_tokens: Field required")
    require(value["budget_tokens"], int, "thinking.enabled.budget_tokens")
    if value["budget_tokens"] < THINKING_MIN_TOKENS:
        raise ModelRefusal(
            f"thinking.enabled.budget_tokens: Input should be greater than or equal to {THINKING_MIN_TOKENS}"
        )
    return Reasoning(mode="enabled", budget_tokens=value["budget_tokens"])


def parse_effort(value: Any) -> str:
    """One of the five efforts."""
    if value not in EFFORTS:
        raise ModelRefusal("output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'")
    return str(value)


def parse_output_config(value: Any) -> tuple[str, JsonSchema | None]:
    """Effort (empty for none said) and the format of the answer."""
    require(value, dict, "output_config")
    refuse_extra(value, ("effort", "format"), "output_config.")
    effort = parse_effort(value["effort"]) if value.get("effort") is not None else ""
    chosen = value.get("format")
    if chosen is None:
        return effort, None
    require(chosen, dict, "output_config.format")
    refuse_extra(chosen, ("type", "schema"), "output_config.format.")
    if chosen.get("type") != "json_schema":
        raise ModelRefusal("output_config.format.type: Input should be 'json_schema'")
    require(chosen.get("schema"), dict, "output_config.format.schema")
    check_closed_objects(chosen["schema"], "output_config.format.schema")
    return effort, JsonSchema(name="", schema=chosen["schema"])


def parse_schema_text(text: str) -> dict[str, Any]:
    """The JSON schema that Converse carries as text."""
    try:
        schema = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise ModelRefusal("output_config.format.schema: Input should be valid JSON") from error
    require(schema, dict, "output_config.format.schema")
    check_closed_objects(schema, "output_config.format.schema")
    return dict(schema)


def check_closed_objects(schema: Any, where: str) -> None:
    """Constrained output asks for `additionalProperties: false` on every object of the schema."""
    if isinstance(schema, list):
        for item in schema:
            check_closed_objects(item, where)
    if not isinstance(schema, dict):
        return
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        raise ModelRefusal(f"{where}: For 'object' type, 'additionalProperties' must be explicitly set to false")
    for value in schema.values():
        check_closed_objects(value, where)


def check_context_management(value: Any, betas: frozenset[str]) -> None:
    """Raises ModelRefusal unless the beta that brings the field is asked for."""
    if CONTEXT_MANAGEMENT_BETA not in betas:
        raise ModelRefusal("context_management: Extra inputs are not permitted")
    require(value, dict, "context_management")
    refuse_extra(value, ("edits",), "context_management.")
