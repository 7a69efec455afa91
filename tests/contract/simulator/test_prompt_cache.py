"""Prompt caching as Bedrock reports it: read, written, and when it is forgotten."""

import json
from typing import Any

from sekisho.clock import FakeClock
from sekisho.values import AwsCredential
from tests.contract.simulator.conftest import OPUS, SONNET, Bedrock, assistant, connected, running, text, user

POINT = {"cachePoint": {"type": "default"}}
LONG_POINT = {"cachePoint": {"type": "default", "ttl": "1h"}}
LONG_TEXT = text("word" * 100)  # 100 tokens
SYSTEM = [LONG_TEXT, POINT]


def counts(answer: dict[str, Any]) -> tuple[int, int, int]:
    """Fresh, read and written input tokens."""
    usage = answer["usage"]
    return usage["inputTokens"], usage["cacheReadInputTokens"], usage["cacheWriteInputTokens"]


async def test_the_second_call_reads_what_the_first_wrote(bearer: Bedrock) -> None:
    ask = {"modelId": SONNET, "system": SYSTEM, "messages": [user(text())]}
    first, second = await bearer.call("converse", **ask), await bearer.call("converse", **ask)
    assert counts(first) == (5, 0, 100)
    assert counts(second) == (5, 100, 0)
    assert first["usage"]["cacheDetails"] == [{"ttl": "5m", "inputTokens": 100}]
    assert "cacheDetails" not in second["usage"]
    assert first["usage"]["totalTokens"] == 105 + first["usage"]["outputTokens"]


async def test_a_growing_conversation_reads_its_past_and_writes_its_tail(bearer: Bedrock) -> None:
    history = [user(LONG_TEXT, POINT)]
    first = await bearer.call("converse", modelId=SONNET, messages=history)
    grown = [user(LONG_TEXT), assistant(text("four")), user(LONG_TEXT, POINT), assistant(text("I")), user(text("more"))]
    second = await bearer.call("converse", modelId=SONNET, messages=grown)
    assert counts(first) == (0, 0, 103)
    assert counts(second) == (8, 103, 107)


async def test_a_hit_is_looked_for_twenty_blocks_back_and_no_further(bearer: Bedrock) -> None:
    ask = {"modelId": SONNET, "system": SYSTEM}
    await bearer.call("converse", **ask, messages=[user(text())])
    blocks = [text(f"a{index:03}") for index in range(18)]  # with the mode and role blocks: 20 behind the system text
    reached = await bearer.call("converse", modelId=SONNET, system=[LONG_TEXT], messages=[user(*blocks, POINT)])
    assert counts(reached)[1] == 100
    further = [text(f"b{index:03}") for index in range(19)]
    missed = await bearer.call("converse", modelId=SONNET, system=[LONG_TEXT], messages=[user(*further, POINT)])
    assert counts(missed)[1] == 0


async def test_an_entry_lives_five_minutes_and_a_hit_renews_it(bearer: Bedrock, clock: FakeClock) -> None:
    ask = {"modelId": SONNET, "system": SYSTEM, "messages": [user(text())]}
    await bearer.call("converse", **ask)
    clock.advance(299)
    assert counts(await bearer.call("converse", **ask))[1] == 100
    clock.advance(299)
    assert counts(await bearer.call("converse", **ask))[1] == 100
    clock.advance(300)
    assert counts(await bearer.call("converse", **ask)) == (5, 0, 100)


async def test_an_hour_long_entry_is_counted_apart_and_outlives_the_others(bearer: Bedrock, clock: FakeClock) -> None:
    ask = {"modelId": SONNET, "system": [LONG_TEXT, LONG_POINT], "messages": [user(LONG_TEXT, POINT)]}
    first = await bearer.call("converse", **ask)
    assert first["usage"]["cacheDetails"] == [{"ttl": "1h", "inputTokens": 100}, {"ttl": "5m", "inputTokens": 103}]
    clock.advance(3599)
    assert counts(await bearer.call("converse", **ask)) == (0, 100, 103)


async def test_a_prompt_below_the_models_minimum_is_silently_not_cached(bearer: Bedrock) -> None:
    ask = {"modelId": SONNET, "system": [text("short"), POINT], "messages": [user(text())]}
    for _ in "ab":
        assert counts(await bearer.call("converse", **ask)) == (7, 0, 0)


async def test_changed_tools_lose_everything_and_a_changed_mode_only_the_messages(bearer: Bedrock) -> None:
    schema = {"json": {"type": "object"}}
    tools = [{"toolSpec": {"name": "read", "inputSchema": schema}}]
    ask: dict[str, Any] = {"modelId": SONNET, "system": SYSTEM, "messages": [user(LONG_TEXT, POINT)]}
    written = counts(await bearer.call("converse", **ask, toolConfig={"tools": tools}))[2]
    same = counts(await bearer.call("converse", **ask, toolConfig={"tools": tools}))
    assert same == (0, written, 0)
    auto = {"tools": tools, "toolChoice": {"auto": {}}}
    assert counts(await bearer.call("converse", **ask, toolConfig=auto))[1:] == (written - 103, 103)
    renamed = [{"toolSpec": {"name": "look", "inputSchema": schema}}]
    assert counts(await bearer.call("converse", **ask, toolConfig={"tools": renamed}))[1] == 0


async def test_models_regions_and_accounts_share_nothing(clock: FakeClock) -> None:
    other = AwsCredential("AKIASIMULATOROTHER00", "another-simulated-secret")
    ask = {"system": SYSTEM, "messages": [user(text())]}
    async with running(clock, accounts=[other]) as (_, url):
        with connected(url) as client:
            assert counts(await client.call("converse", modelId=OPUS, **ask)) == (5, 0, 100)
            assert counts(await client.call("converse", modelId=SONNET, **ask)) == (5, 0, 100)
            assert counts(await client.call("converse", modelId=OPUS, **ask)) == (5, 100, 0)
        with connected(url, region="us-east-1") as client:
            assert counts(await client.call("converse", modelId=OPUS, **ask)) == (5, 0, 100)
        with connected(url, other) as client:
            assert counts(await client.call("converse", modelId=OPUS, **ask)) == (5, 0, 100)


async def test_invoke_reports_the_same_in_anthropics_words(bearer: Bedrock) -> None:
    mark = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    request = json.dumps(
        {
            "anthropic_version": "bedrock-2023-05-31",
            "max_tokens": 100,
            "system": [{"type": "text", "text": "word" * 100, **mark}],
            "messages": [{"role": "user", "content": "Hello"}],
        }
    )
    first = await bearer.call("invoke_model", modelId=SONNET, body=request)
    usage = json.loads(first["body"].read())["usage"]
    assert usage == {
        "input_tokens": 5,
        "cache_creation_input_tokens": 100,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 100},
        "output_tokens": usage["output_tokens"],
    }
    assert first["ResponseMetadata"]["HTTPHeaders"]["x-amzn-bedrock-cache-write-input-token-count"] == "100"
    chunks = await bearer.events("invoke_model_with_response_stream", modelId=SONNET, body=request)
    last = json.loads(chunks[-1]["chunk"]["bytes"])["amazon-bedrock-invocationMetrics"]
    assert (last["cacheReadInputTokenCount"], last["cacheWriteInputTokenCount"]) == (100, 0)
