"""Fits a client's own Converse body to the model: what the model refuses is lowered or left out, all else stays.

A client chooses limits and cache points by what it believes the model to be; behind a public name it may be another.
Above: the Converse door. Below: the quirks of the model. A body that needs no change keeps every byte.
"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from sekisho.dialects.exchange import Reasoning
from sekisho.dialects.fields import decode, encode
from sekisho.dialects.fitting import fit_max_tokens, fit_reasoning
from sekisho.values import Model, Quirks

Members = dict[str, msgspec.Raw]


class _Inference(msgspec.Struct, frozen=True, rename="camel"):
    max_tokens: int | None = None


class _Thinking(msgspec.Struct, frozen=True):
    type: Literal["enabled", "adaptive", "disabled"]
    budget_tokens: int = 0


def fit_request(body: bytes, fields: Mapping[str, msgspec.Raw], model: Model) -> bytes:
    """The body as this model takes it. `fields`: its top-level members. Raises BadRequest for what cannot be read.

    Looked at: the answer's length, sampling, Claude's thinking, and cache points on models without prompt caching."""
    changed: dict[str, Any] = {}
    max_tokens = _fit_inference(fields, model, changed)
    _fit_thinking(fields, model.quirks, max_tokens, changed)
    if not model.quirks.cache_min_tokens and b'"cachePoint"' in body:
        for name in ("messages", "system", "toolConfig"):
            if b'"cachePoint"' in bytes(fields.get(name, b"")):
                changed[name] = _without_cache_points(decode(fields[name], Any, name))
    return encode({**fields, **changed}) if changed else body


def _fit_inference(fields: Mapping[str, msgspec.Raw], model: Model, changed: dict[str, Any]) -> int:
    """How many tokens the answer may have."""
    raw = fields.get("inferenceConfig")
    asked = decode(raw, _Inference | None, "inferenceConfig") if raw else None  # type: ignore[arg-type]
    if raw is None or asked is None:
        return model.max_output_tokens
    max_tokens = fit_max_tokens(asked.max_tokens, model.max_output_tokens)
    members = decode(raw, Members, "inferenceConfig")
    kept: dict[str, Any] = {
        name: value for name, value in members.items() if model.quirks.sampling or name not in ("temperature", "topP")
    }
    if asked.max_tokens is not None and asked.max_tokens > max_tokens:
        kept["maxTokens"] = max_tokens
    if kept != members:
        changed["inferenceConfig"] = kept
    return max_tokens


def _fit_thinking(fields: Mapping[str, msgspec.Raw], quirks: Quirks, max_tokens: int, changed: dict[str, Any]) -> None:
    name = "additionalModelRequestFields"
    if b'"thinking"' not in bytes(fields.get(name, b"")):
        return
    extra: dict[str, Any] = dict(decode(fields[name], Members, name))
    if "thinking" not in extra:
        return
    asked = decode(extra["thinking"], _Thinking, f"{name}.thinking")
    fitted = fit_reasoning(Reasoning(asked.type, asked.budget_tokens), quirks, max_tokens)
    if fitted.mode == asked.type and fitted.budget_tokens == asked.budget_tokens:
        return
    if fitted.mode == "unset":
        del extra["thinking"]
    elif fitted.mode == "enabled":
        extra["thinking"] = {"type": "enabled", "budget_tokens": fitted.budget_tokens}
    else:
        extra["thinking"] = {"type": fitted.mode}
    changed[name] = extra


def _without_cache_points(value: Any) -> Any:
    """The same without cache points, wherever content or tools are listed; a tool's input is not content."""
    if isinstance(value, list):
        return [
            _without_cache_points(item)
            for item in value
            if not (isinstance(item, dict) and set(item) == {"cachePoint"})
        ]
    if isinstance(value, dict):
        return {
            name: _without_cache_points(item) if name in ("content", "toolResult", "tools") else item
            for name, item in value.items()
        }
    return value
