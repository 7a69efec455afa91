"""Bedrock's Converse dialect: one request and answer shape for every model.

`request` reads and writes requests, `fitting` fits a client's own; `reply` answers; `metering` counts tokens.
"""

from sekisho.dialects.bedrock.converse.fitting import fit_request
from sekisho.dialects.bedrock.converse.reply import ReplyParser, ReplyRenderer, error_headers, render_error
from sekisho.dialects.bedrock.converse.request import (
    is_claude,
    parse_request,
    render_around,
    render_messages,
    render_request,
)

__all__ = [
    "ReplyParser",
    "ReplyRenderer",
    "error_headers",
    "fit_request",
    "is_claude",
    "parse_request",
    "render_around",
    "render_error",
    "render_messages",
    "render_request",
]
