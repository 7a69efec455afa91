"""What the real agents sent (tests/samples), through the gateway to a Bedrock as strict as the real one."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from botocore.eventstream import EventStreamBuffer
from msgspec.structs import replace

from tests.acceptance.conftest import ALICE, Gateway

SAMPLES = Path(__file__).parents[1] / "samples"
CLAUDES = ("claude-3-7-sonnet", "claude-sonnet-4-5", "claude-sonnet-4-6", "claude-haiku-5-5", "claude-opus-5-5")
MODELS = (*CLAUDES, "nova-pro", "llama-3-1-70b-instruct")
TERMINATORS = {"/chat/": "data: [DONE]", "/responses": "event: response.completed", "/messages": "event: message_stop"}
FUNCTION = {"name": "read", "description": "Reads a file.", "parameters": {"type": "object"}}


def recorded() -> dict[str, dict[str, Any]]:
    """Every recorded request, by the name of its file."""
    found = {}
    for path in sorted(SAMPLES.glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        for number, request in enumerate(content.get("requests", [content])):
            found[f"{path.stem}-{number}"] = request
    return found


RECORDED = recorded()


async def send(gateway: Gateway, path: str, body: dict[str, Any], headers: dict[str, str] | None = None):
    """One call by the key that may use everything."""
    async with httpx.AsyncClient(timeout=30) as client:
        return await client.post(
            gateway.url + path, json=body, headers={**(headers or {}), "authorization": f"Bearer {ALICE}"}
        )


def assert_good_end(answer: httpx.Response, path: str) -> None:
    """A whole answer, or a stream that ends as its dialect ends a good one."""
    assert answer.status_code == 200, answer.text
    media_type = answer.headers["content-type"]
    if media_type.startswith("application/vnd.amazon.eventstream"):
        frames = EventStreamBuffer()
        frames.add_data(answer.content)
        headers = [frame.headers for frame in frames]
        assert {one[":message-type"] for one in headers} == {"event"}
        return
    if media_type.startswith("text/event-stream"):
        terminator = next(end for part, end in TERMINATORS.items() if part in path)
        assert answer.text.count(terminator) == 1, answer.text
        assert "error" not in {line.partition(": ")[2] for line in answer.text.splitlines() if line[:6] == "event:"}


def assert_booked(gateway: Gateway) -> None:
    """Bedrock took the call at the first try, and it is booked by Bedrock's own counts."""
    (received,) = [call for call in gateway.simulator.calls if call.operation != "CountTokens"]
    (settled,) = gateway.journal.settled
    assert received.usage is not None
    assert (received.status, settled.status, settled.is_metered) == (200, "ok", True)
    assert replace(settled.usage, reasoning_tokens=0) == replace(received.usage, reasoning_tokens=0)
    assert settled.cost_nanousd > 0


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", [name for name, request in RECORDED.items() if request["path"].startswith("/v1/")])
async def test_every_recorded_request_is_served_by_every_family(gateway: Gateway, name: str, model: str) -> None:
    request = RECORDED[name]
    answer = await send(gateway, request["path"], {**request["body"], "model": model}, request.get("headers"))
    assert_good_end(answer, request["path"])
    assert_booked(gateway)


@pytest.mark.parametrize("model", CLAUDES)
@pytest.mark.parametrize("name", [name for name, request in RECORDED.items() if "/invoke" in request["path"]])
async def test_claude_codes_bedrock_mode_is_served_by_every_claude(gateway: Gateway, name: str, model: str) -> None:
    request = RECORDED[name]
    path = f"/model/{model}/{request['path'].rpartition('/')[2]}"
    answer = await send(gateway, path, request["body"], request.get("headers"))
    assert_good_end(answer, path)
    assert_booked(gateway)


@pytest.mark.parametrize("model", MODELS)
async def test_clines_bedrock_mode_is_served_by_every_family(gateway: Gateway, model: str) -> None:
    request = RECORDED["converse-cline-0"]
    path = f"/model/{model}/converse-stream"
    answer = await send(gateway, path, request["body"], request.get("headers"))
    assert_good_end(answer, path)
    assert_booked(gateway)


async def test_the_bedrock_ids_that_agents_use_mean_the_public_model(gateway: Gateway) -> None:
    model = gateway.registry.models["claude-sonnet-4-5"]
    for name in (model.name, *model.aliases):
        answer = await send(
            gateway,
            f"/model/{quote(name, safe='')}/converse",
            {"messages": [{"role": "user", "content": [{"text": "Hello"}]}]},
        )
        assert answer.status_code == 200, (name, answer.text)
    assert {opened.model for opened in gateway.journal.opened} == {model.name}


CHAT = {"messages": [{"role": "user", "content": "Hello"}], "stream": True}
MESSAGES = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 3000, "stream": True}
ODDITIES: dict[str, tuple[str, dict[str, Any]]] = {
    "system messages in mid conversation (chat)": (
        "/v1/chat/completions",
        CHAT
        | {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Hello"},
                {"role": "system", "content": "The user is in plan mode."},
                {"role": "assistant", "content": "Hi."},
                {"role": "developer", "content": [{"type": "text", "text": "Now act."}]},
                {"role": "user", "content": "Go on"},
                {"role": "system", "content": "Remember the rules."},
            ]
        },
    ),
    "system messages in mid conversation (messages)": (
        "/v1/messages",
        MESSAGES
        | {
            "messages": [
                {"role": "system", "content": "First of all."},
                {"role": "user", "content": "Hello"},
                {"role": "system", "content": [{"type": "text", "text": "Agent types: none"}]},
                {"role": "assistant", "content": "Hi."},
                {"role": "user", "content": "Go on"},
            ]
        },
    ),
    "markers on message objects, parts, calls, results and tools": (
        "/v1/chat/completions",
        CHAT
        | {
            "messages": [
                {"role": "system", "content": "Rules", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
                {"role": "user", "content": "Read it", "cache_control": {"type": "ephemeral"}},
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {
                            "id": "call_1",
                            "type": "function",
                            "function": {"name": "read", "arguments": "{}"},
                            "cache_control": {"type": "ephemeral"},
                        }
                    ],
                },
                {
                    "role": "tool",
                    "tool_call_id": "call_1",
                    "content": [{"type": "text", "text": "done", "cache_control": {"type": "ephemeral"}}],
                    "cache_control": {"type": "ephemeral"},
                },
            ],
            "tools": [{"type": "function", "function": FUNCTION, "cache_control": {"type": "ephemeral"}}],
        },
    ),
    "server tools beside the agent's own": (
        "/v1/messages",
        MESSAGES
        | {
            "tools": [
                {"type": "web_search_20250305", "name": "web_search", "max_uses": 5},
                {"name": "read", "description": "Reads.", "input_schema": {"type": "object"}},
            ],
            "tool_choice": {"type": "auto"},
        },
    ),
    "context management, effort, thinking and metadata": (
        "/v1/messages",
        MESSAGES
        | {
            "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
            "output_config": {"effort": "high"},
            "thinking": {"type": "adaptive", "display": "summarized"},
            "metadata": {"user_id": "{}"},
            "service_tier": "auto",
            "a_field_of_next_year": {"x": 1},
        },
    ),
    "a thinking budget": ("/v1/messages", MESSAGES | {"thinking": {"type": "enabled", "budget_tokens": 2000}}),
    "a title as JSON with temperature 1": (
        "/v1/messages",
        MESSAGES
        | {
            "temperature": 1,
            "thinking": {"type": "disabled"},
            "output_config": {
                "effort": "high",
                "format": {
                    "type": "json_schema",
                    "schema": {
                        "type": "object",
                        "properties": {"title": {"type": "string"}},
                        "required": ["title"],
                        "additionalProperties": False,
                    },
                },
            },
        },
    ),
    "a probe of one token": ("/v1/messages", {"messages": [{"role": "user", "content": "quota"}], "max_tokens": 1}),
    "a probe of one token while thinking": (
        "/v1/messages",
        {"messages": [{"role": "user", "content": "."}], "max_tokens": 1, "thinking": {"type": "adaptive"}},
    ),
    "sampling of every kind": (
        "/v1/chat/completions",
        CHAT | {"temperature": 1.4, "top_p": 0.9, "seed": 7, "frequency_penalty": 0, "user": "u", "n": 1},
    ),
    "reasoning effort with tools": (
        "/v1/chat/completions",
        CHAT | {"reasoning_effort": "high", "tools": [{"type": "function", "function": FUNCTION}], "max_tokens": 4000},
    ),
    "a forced tool": (
        "/v1/chat/completions",
        CHAT
        | {
            "tools": [{"type": "function", "function": FUNCTION}],
            "tool_choice": {"type": "function", "function": {"name": "read"}},
        },
    ),
    "history with tools, none offered": (
        "/v1/chat/completions",
        CHAT
        | {
            "messages": [
                {"role": "user", "content": "Read"},
                {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [
                        {"id": "call|1", "type": "function", "function": {"name": "a.b", "arguments": ""}},
                        {"id": "call|2", "type": "function", "function": {"name": "a.b", "arguments": "{}"}},
                    ],
                },
                {"role": "tool", "tool_call_id": "call|2", "content": ""},
            ]
        },
    ),
    "a title as JSON (chat)": (
        "/v1/chat/completions",
        CHAT
        | {
            "response_format": {
                "type": "json_schema",
                "json_schema": {
                    "name": "t",
                    "strict": True,
                    "schema": {
                        "type": "object",
                        "properties": {"title": {"type": "string"}},
                        "required": ["title"],
                        "additionalProperties": False,
                    },
                },
            }
        },
    ),
    "tools in a namespace, hosted tools and custom tools": (
        "/v1/responses",
        {
            "input": [
                {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Be brief."}]},
                {"type": "message", "role": "user", "content": "Ask an agent"},
                {
                    "type": "function_call",
                    "call_id": "call_1",
                    "name": "spawn",
                    "namespace": "agents",
                    "arguments": "{}",
                },
                {"type": "function_call_output", "call_id": "call_1", "output": "done"},
            ],
            "tools": [
                {
                    "type": "namespace",
                    "name": "agents",
                    "description": "Agents.",
                    "tools": [{"type": "function", "name": "spawn", "parameters": {"type": "object"}}],
                },
                {"type": "web_search", "external_web_access": True},
            ],
            "stream": True,
            "store": False,
        },
    ),
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", ODDITIES)
async def test_what_agents_may_send_is_fitted_to_every_family(gateway: Gateway, name: str, model: str) -> None:
    path, body = ODDITIES[name]
    betas = {"anthropic-beta": "context-management-2025-06-27,a-beta-of-next-year-2027-01-01"}
    answer = await send(gateway, path, body | {"model": model}, betas)
    assert_good_end(answer, path)
    assert_booked(gateway)


async def test_only_betas_that_bedrock_knows_go_upstream(gateway: Gateway) -> None:
    betas = {"anthropic-beta": "interleaved-thinking-2025-05-14,prompt-caching-scope-2026-01-05,a-beta-of-next-year"}
    answer = await send(gateway, "/v1/messages", MESSAGES | {"model": "claude-sonnet-4-6"}, betas)
    assert answer.status_code == 200
    assert json.loads(gateway.simulator.calls[-1].body)["anthropic_beta"] == ["interleaved-thinking-2025-05-14"]


async def test_claude_codes_billing_line_does_not_go_upstream(gateway: Gateway) -> None:
    request = RECORDED["anthropic-claude-code-0"]
    await send(gateway, request["path"], request["body"] | {"model": "claude-sonnet-4-6"}, request["headers"])
    assert b"x-anthropic-billing-header" not in gateway.simulator.calls[-1].body


@pytest.mark.parametrize(
    ("name", "agent"),
    [
        ("cline-0", "cline"),
        ("cline-legacy-0", "cline"),
        ("anthropic-claude-code-0", "claude-code"),
        ("kilo-0", "kilo"),
        ("aider-0", "aider"),
    ],
)
async def test_the_agent_behind_a_call_is_named(gateway: Gateway, name: str, agent: str) -> None:
    request = RECORDED[name]
    body = json.loads(json.dumps(request["body"]).replace(" ...", " SEARCH/REPLACE block"))
    await send(gateway, request["path"], body | {"model": "claude-sonnet-4-6"}, request.get("headers"))
    assert gateway.journal.opened[0].caller.agent == agent


async def test_legacy_clines_task_is_kept_as_the_session(gateway: Gateway) -> None:
    request = RECORDED["cline-legacy-0"]
    await send(gateway, request["path"], request["body"] | {"model": "nova-pro"})
    assert gateway.journal.opened[0].caller.session == request["body"]["litellm_session_id"]
