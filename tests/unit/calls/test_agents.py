"""Which agent is calling, as its own requests say. The header values are those of requests recorded from them."""

import json

import msgspec
import pytest

from sekisho.calls.agents import identify, identify_by_body
from sekisho.calls.call import Agent


@pytest.mark.parametrize(
    ("headers", "agent"),
    [
        ({b"user-agent": b"claude-cli/2.1.4 (external, cli)"}, Agent("claude-code", "2.1.4")),
        ({b"user-agent": b"codex_exec/0.98.0 (Linux)"}, Agent("codex", "0.98.0")),
        ({b"user-agent": b"litellm/1.81.0"}, Agent("aider", "1.81.0")),
        ({b"user-agent": b"OpenAI/Python 2.20.0"}, Agent("openai-sdk")),
        ({b"user-agent": b"Mozilla/5.0"}, Agent()),
        ({b"user-agent": b"curl/8.5", b"x-sekisho-agent": b"nightly-job"}, Agent("nightly-job", "8.5")),
        ({b"user-agent": b"curl/8.5", b"x-sekisho-agent": b"<script>"}, Agent("curl", "8.5")),
        ({b"x-claude-code-session-id": b"s-1"}, Agent(session="s-1")),
        ({}, Agent()),
    ],
)
def test_headers_name_the_agent(headers: dict[bytes, bytes], agent: Agent) -> None:
    assert identify(headers) == agent


def by_body(body: dict[str, object], agent: Agent = Agent()) -> Agent:  # noqa: B008 - frozen
    data = json.dumps(body).encode()
    return identify_by_body(agent, data, msgspec.json.decode(data, type=dict[str, msgspec.Raw]))


@pytest.mark.parametrize(
    ("body", "agent"),
    [
        ({"system": "You are Cline, a highly skilled engineer"}, Agent("cline")),
        ({"messages": ["x" * 9000], "system": "Use a *SEARCH/REPLACE block*"}, Agent("aider")),
        ({"prompt_cache_key": "s-1"}, Agent(session="s-1")),
        ({"prompt_cache_key": 7, "metadata": {"session_id": "s-2"}}, Agent(session="s-2")),
        ({"metadata": {"user_id": '{"session_id": "s-3"}'}}, Agent(session="s-3")),
        (
            {"metadata": {"user_id": "user_a_account__session_0f8fad5b-d9cb-469f-a165-70867728950e"}},
            Agent(session="0f8fad5b-d9cb-469f-a165-70867728950e"),
        ),
        ({"metadata": {"user_id": "{broken"}}, Agent()),
        ({"metadata": []}, Agent()),
    ],
)
def test_the_body_completes_what_the_headers_leave_open(body: dict[str, object], agent: Agent) -> None:
    assert by_body(body) == agent


def test_what_headers_said_stays() -> None:
    told = Agent("kilo", "5.1", "s-0")
    assert by_body({"system": "You are Cline", "prompt_cache_key": "s-1"}, told) == told
