"""The Anthropic Messages dialect: what clients send to /v1/messages and what the Anthropic API answers.

`request` reads and writes requests, `reply` answers, `metering` counts tokens out of both, `faults` says what errors
mean. Claude on Bedrock speaks the same bodies inside another envelope: dialects.bedrock.invoke.
"""

from sekisho.dialects.anthropic_messages.reply import ReplyParser, ReplyRenderer, render_error
from sekisho.dialects.anthropic_messages.request import parse_request, pass_members, pass_request, render_request

__all__ = [
    "ReplyParser",
    "ReplyRenderer",
    "parse_request",
    "pass_members",
    "pass_request",
    "render_error",
    "render_request",
]
