"""Bedrock's Converse dialect: one request and answer shape for every model.

`request` reads and writes requests, `fitting` fits a client's own; `reply` answers; `metering` counts tokens.
"""

from sekisho.dialects.bedrock.converse.fitting import fit_request
from sekisho.dialects.bedrock.converse.reply import ReplyParser, ReplyRenderer, error_headers, render_error
from sekisho.dialects.bedrock.converse.request import parse_request, render_request

__all__ = [
    "ReplyParser",
    "ReplyRenderer",
    "error_headers",
    "fit_request",
    "parse_request",
    "render_error",
    "render_request",
]
