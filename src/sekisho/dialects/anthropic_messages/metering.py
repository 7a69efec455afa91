"""Token counts and stop reasons as the Anthropic dialect writes them; Claude on Bedrock writes the same."""

from typing import Annotated, Any

import msgspec

from sekisho.values import StopReason, Usage

_STOP_REASONS: dict[str, StopReason] = {
    "end_turn": "end_turn",
    "tool_use": "tool_use",
    "max_tokens": "max_tokens",
    "stop_sequence": "stop_sequence",
    "refusal": "content_filtered",
    "model_context_window_exceeded": "model_context_window_exceeded",
    "pause_turn": "end_turn",
}

_RENDERED_REASONS: dict[StopReason, str] = {
    "end_turn": "end_turn",
    "tool_use": "tool_use",
    "max_tokens": "max_tokens",
    "stop_sequence": "stop_sequence",
    # Claude Code replaces the text of a `refusal` by words of its own, so a guardrail's explanation would be lost.
    "guardrail_intervened": "end_turn",
    "content_filtered": "refusal",
    "malformed_model_output": "end_turn",
    # the unfinished call is in the answer, but nothing may be run from it
    "malformed_tool_use": "end_turn",
    "model_context_window_exceeded": "model_context_window_exceeded",
}


def parse_stop_reason(text: str) -> StopReason:
    """The neutral reason; one that is not known yet counts as the end of the turn."""
    return _STOP_REASONS.get(text, "end_turn")


def render_stop_reason(reason: StopReason | None) -> str:
    return _RENDERED_REASONS[reason or "end_turn"]


Count = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]


class CacheCreation(msgspec.Struct, frozen=True):
    ephemeral_5m_input_tokens: Count = 0
    ephemeral_1h_input_tokens: Count = 0


class OutputDetails(msgspec.Struct, frozen=True):
    thinking_tokens: Count = 0


class UsageCounts(msgspec.Struct, frozen=True):
    """The `usage` member; None means "not said here". Counts of a stream are cumulative, the last one said holds."""

    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    cache_creation: CacheCreation | None = None
    output_tokens_details: OutputDetails | None = None

    def updated(self, newer: "UsageCounts") -> "UsageCounts":
        """These counts with what `newer` says in their place."""
        if newer == _NOTHING_SAID:
            return self
        if self == _NOTHING_SAID:
            return newer
        said = zip(msgspec.structs.astuple(self), msgspec.structs.astuple(newer), strict=True)
        return UsageCounts(*[old if new is None else new for old, new in said])

    def usage(self) -> Usage:
        """The neutral counts. Cache writes without a split by lifetime count as 5 minutes, the dialect's default."""
        split = self.cache_creation or CacheCreation()
        written = self.cache_creation_input_tokens
        if written is None:
            written = split.ephemeral_5m_input_tokens + split.ephemeral_1h_input_tokens
        written_1h = min(split.ephemeral_1h_input_tokens, written)
        return Usage(
            input_tokens=self.input_tokens or 0,
            cache_read_tokens=self.cache_read_input_tokens or 0,
            cache_write_5m_tokens=written - written_1h,
            cache_write_1h_tokens=written_1h,
            output_tokens=self.output_tokens or 0,
            reasoning_tokens=self.output_tokens_details.thinking_tokens if self.output_tokens_details else 0,
        )


_NOTHING_SAID = UsageCounts()


def render_usage(usage: Usage) -> dict[str, Any]:
    """The `usage` member of a message."""
    rendered: dict[str, Any] = {
        "input_tokens": usage.input_tokens,
        "cache_creation_input_tokens": usage.cache_write_5m_tokens + usage.cache_write_1h_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write_5m_tokens,
            "ephemeral_1h_input_tokens": usage.cache_write_1h_tokens,
        },
        "output_tokens": usage.output_tokens,
    }
    if usage.reasoning_tokens:
        rendered["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return rendered
