"""The OpenAI chat completions dialect: what its clients send and read, what its upstreams take and answer."""

from sekisho.dialects.openai import render_error
from sekisho.dialects.openai_chat.parsing import ReplyParser
from sekisho.dialects.openai_chat.passing import ChatPassing, pass_fields, pass_request
from sekisho.dialects.openai_chat.rendering import render_request
from sekisho.dialects.openai_chat.replies import ReplyRenderer
from sekisho.dialects.openai_chat.requests import parse_request, read_message, request_of

__all__ = [
    "ChatPassing",
    "ReplyParser",
    "ReplyRenderer",
    "parse_request",
    "pass_fields",
    "pass_request",
    "read_message",
    "render_error",
    "render_request",
    "request_of",
]
