"""Token counts in OpenAI's form: read in every spelling, written in every spelling.

OpenAI's `prompt_tokens` include what was cached; ours are disjoint. The border is here.
"""

from typing import Any

import msgspec

from sekisho.dialects.openai import render_usd
from sekisho.values import Usage

_CACHE_READ = (
    ("prompt_tokens_details", "cached_tokens"),
    ("input_tokens_details", "cached_tokens"),
    ("cache_read_input_tokens",),
    ("prompt_cache_hit_tokens",),  # DeepSeek
    ("cached_tokens",),  # Moonshot
)
_CACHE_WRITE = (
    ("prompt_tokens_details", "cache_write_tokens"),
    ("prompt_tokens_details", "cache_creation_tokens"),
    ("input_tokens_details", "cache_write_tokens"),
    ("cache_creation_input_tokens",),
)
_CACHE_WRITE_1H = (
    ("prompt_tokens_details", "cache_creation_token_details", "ephemeral_1h_input_tokens"),  # LiteLLM
    ("cache_creation", "ephemeral_1h_input_tokens"),
)
_REASONING = (
    ("completion_tokens_details", "reasoning_tokens"),
    ("output_tokens_details", "reasoning_tokens"),
    ("reasoning_tokens",),
)


def parse_usage(source: dict[str, Any]) -> Usage:
    """Counts that are absent, null or no numbers are 0.

    Two upstreams deviate and are recognised by arithmetic: cached tokens beyond the prompt's can only have been counted
    apart from it, and a total that exceeds prompt and completion by the reasoning has it counted apart (xAI)."""
    prompt = _first(source, (("prompt_tokens",), ("input_tokens",)))
    completion = _first(source, (("completion_tokens",), ("output_tokens",)))
    read, write = _first(source, _CACHE_READ), _first(source, _CACHE_WRITE)
    write_1h = min(_first(source, _CACHE_WRITE_1H), write)
    reasoning = _first(source, _REASONING)
    if reasoning and _first(source, (("total_tokens",),)) == prompt + completion + reasoning:
        completion += reasoning
    return Usage(
        input_tokens=prompt - read - write if prompt >= read + write else prompt,
        cache_read_tokens=read,
        cache_write_5m_tokens=write - write_1h,
        cache_write_1h_tokens=write_1h,
        output_tokens=completion,
        reasoning_tokens=min(reasoning, completion),
    )


def _first(source: dict[str, Any], paths: tuple[tuple[str, ...], ...]) -> int:
    """The first of these places with a count above 0."""
    for path in paths:
        value: Any = source
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, int | float) and value >= 1:
            return int(value)
    return 0


def render_usage(usage: Usage, cost_nanousd: int | None) -> dict[str, Any]:
    """Every spelling the agents read, and `cost` in US dollars when it is known."""
    written = usage.cache_write_5m_tokens + usage.cache_write_1h_tokens
    rendered: dict[str, Any] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": written,
            "cache_creation_tokens": written,
        },
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "cache_read_input_tokens": usage.cache_read_tokens,
        "cache_creation_input_tokens": written,
    }
    if cost_nanousd is not None:
        rendered["cost"] = render_usd(cost_nanousd)
    return rendered


def with_cost(usage: msgspec.Raw, cost_nanousd: int | None) -> msgspec.Raw:
    """An upstream's usage object, untouched but for `cost`: ours, or none. Raises what msgspec raises."""
    fields = msgspec.json.decode(usage, type=dict[str, msgspec.Raw])
    fields.pop("cost", None)
    if cost_nanousd is not None:
        fields["cost"] = render_usd(cost_nanousd)
    return msgspec.Raw(msgspec.json.encode(fields))
