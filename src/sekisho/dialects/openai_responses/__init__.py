"""The OpenAI Responses dialect: what its clients send and read. No upstream speaks it here."""

from sekisho.dialects.openai import render_error
from sekisho.dialects.openai_responses.answers import AnswerParser
from sekisho.dialects.openai_responses.replies import ReplyRenderer, tool_origins
from sekisho.dialects.openai_responses.requests import parse_request

__all__ = ["AnswerParser", "ReplyRenderer", "parse_request", "render_error", "tool_origins"]
