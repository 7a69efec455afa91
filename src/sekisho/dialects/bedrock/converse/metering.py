"""Token counts and stop reasons as Converse writes them."""

from typing import Annotated, Any, get_args

import msgspec

from sekisho.values import StopReason, Usage

_STOP_REASONS = frozenset(get_args(StopReason))

Count = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]


def parse_stop_reason(text: str) -> StopReason:
    """The neutral reason, which has Converse's words; one that is not known yet counts as the end of the turn."""
    return text if text in _STOP_REASONS else "end_turn"  # type: ignore[return-value]


class CacheDetail(msgspec.Struct, frozen=True, rename="camel"):
    ttl: str
    input_tokens: Count = 0


class TokenUsage(msgspec.Struct, frozen=True, rename="camel"):
    """The `usage` member. `inputTokens` leaves cached tokens out; `cacheDetails` splits the written ones."""

    input_tokens: Count = 0
    output_tokens: Count = 0
    cache_read_input_tokens: Count = 0
    cache_write_input_tokens: Count = 0
    cache_details: list[CacheDetail] = []

    def usage(self) -> Usage:
        """The neutral counts. Cache writes without a split by lifetime count as 5 minutes, the default."""
        split_1h = sum(detail.input_tokens for detail in self.cache_details if detail.ttl == "1h")
        written_1h = min(split_1h, self.cache_write_input_tokens)
        return Usage(
            input_tokens=self.input_tokens,
            cache_read_tokens=self.cache_read_input_tokens,
            cache_write_5m_tokens=self.cache_write_input_tokens - written_1h,
            cache_write_1h_tokens=written_1h,
            output_tokens=self.output_tokens,
        )


def render_usage(usage: Usage) -> dict[str, Any]:
    """The `usage` member of an answer."""
    details = [("1h", usage.cache_write_1h_tokens), ("5m", usage.cache_write_5m_tokens)]
    rendered: dict[str, Any] = {
        "inputTokens": usage.input_tokens,
        "outputTokens": usage.output_tokens,
        "totalTokens": usage.total_tokens,
        "cacheReadInputTokens": usage.cache_read_tokens,
        "cacheWriteInputTokens": usage.cache_write_5m_tokens + usage.cache_write_1h_tokens,
    }
    if written := [{"ttl": ttl, "inputTokens": tokens} for ttl, tokens in details if tokens]:
        rendered["cacheDetails"] = written
    return rendered
