"""A client's own request with a shorter answer than it asked for: in its dialect, before anything is translated.

The thinking budget shrinks with the answer, in proportion, and stays legal. Everything else keeps its bytes.
Above: the admit stage. Below: the fields of each dialect.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from sekisho.dialects.fields import decode
from sekisho.dialects.fitting import MIN_THINKING_TOKENS
from sekisho.values import Door

Members = dict[str, msgspec.Raw]

_encode = msgspec.json.encode


def clamp(
    door: Door, fields: Mapping[str, msgspec.Raw], asked_tokens: int, max_tokens: int
) -> tuple[bytes, dict[str, msgspec.Raw]]:
    """The body, and its top-level members, with at most `max_tokens` for the answer instead of `asked_tokens`.

    Raises BadRequest for what cannot be read."""
    changed = dict(fields)
    if door == "bedrock_converse":
        _set_in(changed, "inferenceConfig", "maxTokens", max_tokens)
        holder = "additionalModelRequestFields"
        if b'"thinking"' in bytes(changed.get(holder, b"")):
            members = decode(changed[holder], Members, holder)
            _fit_thinking(members, asked_tokens, max_tokens)
            changed[holder] = _raw(members)
        return _encode(changed), changed
    for name in _length_fields(door, fields):
        changed[name] = _raw(max_tokens)
    _fit_thinking(changed, asked_tokens, max_tokens)
    return _encode(changed), changed


def thinks_by_budget(door: Door, fields: Mapping[str, msgspec.Raw]) -> bool:
    """Whether the client gives thinking a budget, of which its answer needs more than the least."""
    holder = "additionalModelRequestFields" if door == "bedrock_converse" else "thinking"
    return b'"budget_tokens"' in bytes(fields.get(holder, b""))


def _length_fields(door: Door, fields: Mapping[str, msgspec.Raw]) -> tuple[str, ...]:
    if door == "openai_responses":
        return ("max_output_tokens",)
    if door != "openai_chat":
        return ("max_tokens",)
    given = tuple(name for name in ("max_completion_tokens", "max_tokens") if name in fields)
    return given or ("max_completion_tokens",)


def _set_in(fields: Members, holder: str, name: str, value: int) -> None:
    raw = bytes(fields.get(holder, b"null"))
    members = {} if raw == b"null" else decode(raw, Members, holder)
    members[name] = _raw(value)
    fields[holder] = _raw(members)


def _fit_thinking(fields: Members, asked_tokens: int, max_tokens: int) -> None:
    raw = bytes(fields.get("thinking", b"null"))
    if b'"budget_tokens"' not in raw:
        return
    thinking = decode(raw, Members, "thinking")
    if bytes(thinking.get("budget_tokens", b"null")) == b"null":
        return
    budget = decode(thinking["budget_tokens"], int, "thinking.budget_tokens")
    shrunk = max(budget * max_tokens // max(asked_tokens, 1), MIN_THINKING_TOKENS)
    thinking["budget_tokens"] = _raw(min(budget, shrunk, max_tokens - 1))
    fields["thinking"] = _raw(thinking)


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(_encode(value))
