"""The OpenAI Responses dialect: what its clients send and read. No upstream speaks it here."""

from sekisho.dialects.openai import render_error
from sekisho.dialects.openai_responses.answers import AnswerParser
from sekisho.dialects.openai_responses.replies import ReplyRenderer, tool_origins
from sekisho.dialects.openai_responses.requests import (
    instructions_of,
    parse_request,
    read_item,
    read_offered,
    request_of,
)

__all__ = [
    "AnswerParser",
    "ReplyRenderer",
    "instructions_of",
    "parse_request",
    "read_item",
    "read_offered",
    "render_error",
    "request_of",
    "tool_origins",
]
