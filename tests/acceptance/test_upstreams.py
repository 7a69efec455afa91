"""`sekisho serve --config` with a LiteLLM configuration: Bedrock at a given address, OpenAI-compatible, Anthropic.

The OpenAI-compatible server and the Anthropic API are a second Sekisho on its simulator, which speaks both.
"""

import asyncio
import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from sekisho.ledger.catalog import load_catalog
from sekisho.simulator.credentials import SIMULATOR_CREDENTIAL
from sekisho.simulator.server import Simulator
from tests.acceptance.processes import Served, served, wait_for

pytestmark = pytest.mark.xdist_group("processes and stores")

MASTER = "sk-master-0000000000000000000000000000"
SONNET = "bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0"
# USD per token: input and output, as the configuration states them
NEAR, FAR = (Decimal("0.000002"), Decimal("0.000007")), (Decimal("0.000003"), Decimal("0.0000110001"))
OPENAI, ANTHROPIC = (Decimal("0.00000123"), Decimal("0.00000456")), (Decimal("0.00000321"), Decimal("0.00000654"))
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CALL = '[[simulate: tool name=weather input={"city":"Osaka"}]] How is the weather?'


@contextmanager
def simulator() -> Iterator[tuple[Simulator, str]]:
    """Bedrock in a thread of its own, and its address."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    # events one by one: an answer that breaks off before anything of it was read is an HTTP error instead
    bedrock = Simulator(load_catalog().bedrock_models("us-east-1", "http://unused", "simulator"), pace_s=0.005)
    try:
        yield bedrock, asyncio.run_coroutine_threadsafe(bedrock.start(), loop).result(30)
        asyncio.run_coroutine_threadsafe(bedrock.stop(), loop).result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class Setting:
    """The gateway under test with clients to it, and what stands behind it."""

    def __init__(
        self, front: Served, near: Simulator, far: Simulator, chat: openai.OpenAI, claude: anthropic.Anthropic
    ) -> None:
        self.front = front
        self.near = near
        self.far = far
        self.chat = chat
        self.claude = claude

    def booked(self, call_id: str) -> dict[str, Any]:
        """The ledger's row of a call, with its attempts, once it is settled."""
        number = bytes.fromhex(_hex(call_id))
        query = (
            "select status.text as status, error.text as error, call.* from call "
            "join name status on status.id = call.status join name error on error.id = call.error where call.id = ?"
        )
        attempts = (
            "select name.text as deployment, attempt.* from attempt join name on name.id = attempt.deployment "
            "where call_id = ? order by number"
        )
        with closing(sqlite3.connect(f"file:{self.front.home / 'sekisho.db'}?mode=ro", uri=True)) as database:
            database.row_factory = sqlite3.Row

            def is_settled() -> bool:
                row = database.execute(query, (number,)).fetchone()
                return row is not None and row["duration_us"] is not None

            wait_for(is_settled, f"call {call_id} settled")
            row = dict(database.execute(query, (number,)).fetchone())
            return row | {"attempts": [dict(one) for one in database.execute(attempts, (number,))]}


def _hex(call_id: str) -> str:
    """A call id as it is stored: its letters are base 32 in Crockford's alphabet."""
    value = 0
    for letter in call_id.upper():
        value = value * 32 + "0123456789ABCDEFGHJKMNPQRSTVWXYZ".index(letter)
    return f"{value:032x}"


def cost_nanousd(row: dict[str, Any], price: tuple[Decimal, Decimal]) -> int:
    """What the row's tokens cost at this price, rounded up once; cached input at the price of input."""
    prompt = (
        row["input_tokens"] + row["cache_read_tokens"] + row["cache_write_5m_tokens"] + row["cache_write_1h_tokens"]
    )
    usd = prompt * price[0] + row["output_tokens"] * price[1]
    return int((usd * 10**9).to_integral_value(ROUND_CEILING))


def _entry(name: str, params: dict[str, Any], price: tuple[Decimal, Decimal] | None) -> dict[str, Any]:
    prices = {"input_cost_per_token": f"{price[0]:f}", "output_cost_per_token": f"{price[1]:f}"} if price else {}
    return {
        "model_name": name,
        "litellm_params": {**params, **prices},
        "model_info": {"max_input_tokens": 100_000, "max_output_tokens": 8000},
    }


def configuration(near: str, far: str, back: Served) -> dict[str, Any]:
    """A config.yaml in LiteLLM's form; JSON is YAML."""

    def bedrock(endpoint: str) -> dict[str, Any]:
        return {
            "model": SONNET,
            "aws_region_name": "us-east-1",
            "aws_bedrock_runtime_endpoint": endpoint,
            "aws_access_key_id": SIMULATOR_CREDENTIAL.access_key_id,
            "aws_secret_access_key": "os.environ/TEST_SECRET",
        }

    address = f"http://127.0.0.1:{back.port}"
    compatible = {"api_base": f"{address}/v1", "api_key": back.key}
    return {
        "model_list": [
            _entry("one", bedrock(near), NEAR),
            _entry("two", bedrock(near), NEAR),
            _entry("two", bedrock(far), FAR),
            _entry("nova-elsewhere", {"model": "openai/nova-pro", **compatible}, OPENAI),
            _entry("claude-elsewhere", {"model": "openai/claude-sonnet-4-5", **compatible}, OPENAI),
            _entry("unpriced", {"model": "openai/nova-lite", **compatible}, None),
            _entry(
                "claude-direct",
                {"model": "anthropic/claude-sonnet-4-6", "api_base": address, "api_key": back.key},
                ANTHROPIC,
            ),
        ],
        "general_settings": {"master_key": MASTER},
    }


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    folder: Path = tmp_path_factory.mktemp("upstreams")
    (folder / "back").mkdir()
    with simulator() as (near, near_url), simulator() as (far, far_url), served(folder / "back" / "home") as back:
        file = folder / "config.yaml"
        file.write_text(json.dumps(configuration(near_url, far_url, back)), encoding="utf-8")
        secret = {"TEST_SECRET": SIMULATOR_CREDENTIAL.secret_access_key}
        with served(folder / "home", "--config", str(file), **secret) as front:
            url = f"http://127.0.0.1:{front.port}"
            with (
                openai.OpenAI(base_url=f"{url}/v1", api_key=MASTER, max_retries=0) as chat,
                anthropic.Anthropic(base_url=url, auth_token=MASTER, max_retries=0) as claude,
            ):
                yield Setting(front, near, far, chat, claude)


ELSEWHERE = [("nova-elsewhere", OPENAI), ("claude-elsewhere", OPENAI), ("claude-direct", ANTHROPIC), ("one", NEAR)]


@pytest.mark.parametrize(("model", "price"), ELSEWHERE)
def test_chat_uses_a_tool_and_is_booked_at_the_stated_price(setting: Setting, model: str, price) -> None:
    tools: list = [{"type": "function", "function": {"name": "weather", "parameters": WEATHER}}]
    messages: list = [{"role": "user", "content": CALL}]
    client = setting.chat.chat.completions.with_raw_response
    first = client.create(model=model, messages=messages, tools=tools, max_tokens=500)
    answer = first.parse()
    (call,) = answer.choices[0].message.tool_calls or []
    assert answer.model == model
    assert (answer.choices[0].finish_reason, json.loads(call.function.arguments)) == ("tool_calls", {"city": "Osaka"})
    row = setting.booked(first.headers["x-sekisho-call-id"])
    assert (row["status"], row["cost_nanousd"]) == ("ok", cost_nanousd(row, price))
    assert Decimal(first.headers["x-litellm-response-cost"]) * 10**9 == row["cost_nanousd"]
    assert answer.usage and answer.usage.completion_tokens == row["output_tokens"] > 0
    messages += [answer.choices[0].message.model_dump(exclude_none=True)]
    messages += [{"role": "tool", "tool_call_id": call.id, "content": "Sunny"}]
    stream = setting.chat.chat.completions.create(
        model=model, messages=messages, tools=tools, max_tokens=500, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert {chunk.model for chunk in chunks} == {model}
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    usage = chunks[-1].usage
    assert usage is not None and usage.model_extra is not None and usage.model_extra["cost"] > 0


@pytest.mark.parametrize(("model", "price"), ELSEWHERE)
def test_messages_use_a_tool_and_are_booked_at_the_stated_price(setting: Setting, model: str, price) -> None:
    tools: list = [{"name": "weather", "input_schema": WEATHER}]
    messages: list = [{"role": "user", "content": CALL}]
    first = setting.claude.messages.with_raw_response.create(
        model=model, max_tokens=500, messages=messages, tools=tools
    )
    answer = first.parse()
    (call,) = [block for block in answer.content if block.type == "tool_use"]
    assert (answer.model, answer.stop_reason, call.input) == (model, "tool_use", {"city": "Osaka"})
    row = setting.booked(first.headers["x-sekisho-call-id"])
    assert (row["status"], row["cost_nanousd"]) == ("ok", cost_nanousd(row, price))
    messages += [
        {"role": "assistant", "content": answer.content},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "Sunny"}]},
    ]
    with setting.claude.messages.stream(model=model, max_tokens=500, messages=messages, tools=tools) as stream:
        final = stream.get_final_message()
    assert (final.model, final.stop_reason) == (model, "end_turn") and final.usage.output_tokens > 0


@pytest.mark.parametrize(("model", "price"), ELSEWHERE)
def test_responses_stream_a_tool_call(setting: Setting, model: str, price) -> None:
    tools: list = [{"type": "function", "name": "weather", "parameters": WEATHER, "strict": False}]
    with setting.chat.responses.stream(model=model, input=CALL, tools=tools) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    (call,) = [item for item in final.output if item.type == "function_call"]
    assert (kinds[-1], final.model, json.loads(call.arguments)) == ("response.completed", model, {"city": "Osaka"})
    assert final.usage is not None and final.usage.output_tokens > 0


@pytest.mark.parametrize(("model", "price"), ELSEWHERE)
def test_converse_answers(setting: Setting, model: str, price) -> None:
    body = {"messages": [{"role": "user", "content": [{"text": "Hello"}]}]}
    status, call_id, answer = setting.front.ask_for_id("POST", f"/model/{model}/converse", body, MASTER)
    assert status == 200, answer
    assert json.loads(answer)["output"]["message"]["content"][0]["text"]
    row = setting.booked(call_id)
    assert row["cost_nanousd"] == cost_nanousd(row, price) > 0


@pytest.mark.parametrize("model", [model for model, _ in ELSEWHERE])
@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [("throttle", 429, "rate_limit_exceeded"), ("validation", 400, "upstream_rejected")],
)
@pytest.mark.parametrize("stream", [False, True])
def test_an_error_of_the_upstream_is_named_and_free(
    setting: Setting, model: str, fault: str, status: int, code: str, stream: bool
) -> None:
    messages: list = [{"role": "user", "content": f"[[simulate: {fault}]] Hello"}]
    with pytest.raises(openai.APIStatusError) as refused:
        setting.chat.chat.completions.create(model=model, messages=messages, stream=stream)
    assert (refused.value.status_code, refused.value.code) == (status, code)
    row = setting.booked(refused.value.response.headers["x-sekisho-call-id"])
    assert (row["status"], row["error"], row["cost_nanousd"]) == ("failed", code, 0)


@pytest.mark.parametrize("model", [model for model, _ in ELSEWHERE])
def test_a_stream_that_the_upstream_breaks_off_ends_with_an_error_and_is_booked_at_its_bound(
    setting: Setting, model: str
) -> None:
    body = {
        "model": model,
        "messages": [{"role": "user", "content": "[[simulate: cut]] Hello"}],
        "max_tokens": 500,
        "stream": True,
    }
    for path in ("/v1/chat/completions", "/v1/messages"):
        status, call_id, answer = setting.front.ask_for_id("POST", path, body, MASTER)
        assert status == 200 and b'"error"' in answer
        assert b"message_stop" not in answer and b'"finish_reason":"stop"' not in answer
        row = setting.booked(call_id)
        assert (row["status"], row["is_metered"]) == ("failed", 0)
        assert 0 < row["cost_nanousd"] <= row["reserved_nanousd"]


def test_a_model_without_a_price_is_refused(setting: Setting) -> None:
    with pytest.raises(openai.BadRequestError, match="price of the model 'unpriced' is not known"):
        setting.chat.chat.completions.create(model="unpriced", messages=[{"role": "user", "content": "Hello"}])
    assert any("unpriced: the price of nova-lite is not known" in line for line in setting.front.lines)


def test_several_answers_of_one_call_are_refused_before_money_is_held(setting: Setting) -> None:
    with pytest.raises(openai.BadRequestError, match="one answer per call") as refused:
        setting.chat.chat.completions.create(
            model="nova-elsewhere", messages=[{"role": "user", "content": "Hello"}], n=3
        )
    row = setting.booked(refused.value.response.headers["x-sekisho-call-id"])
    assert (row["status"], row["reserved_nanousd"], row["attempts"]) == ("refused", 0, [])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", ["throttle", "unavailable", "not_ready"])
def test_a_second_deployment_serves_when_the_first_cannot(setting: Setting, fault: str, stream: bool) -> None:
    """One call, two attempts: the first costs nothing, the second its own price."""
    setting.near.fail_next(fault)
    before = len(setting.far.calls)
    raw = setting.chat.chat.completions.with_raw_response.create(
        model="two", messages=[{"role": "user", "content": "Hello"}], max_tokens=500, stream=stream
    )
    call_id = raw.headers["x-sekisho-call-id"]
    if stream:
        assert [chunk for chunk in raw.parse()]
    row = setting.booked(call_id)
    first, second = row["attempts"]
    assert len(setting.far.calls) == before + 1
    assert first["deployment"] != second["deployment"]
    assert (first["cost_nanousd"], first["output_tokens"]) == (0, 0)
    assert second["cost_nanousd"] == row["cost_nanousd"] == cost_nanousd(row, FAR) > 0
    assert row["status"] == "ok" and row["cost_nanousd"] <= row["reserved_nanousd"]


def test_what_the_first_refuses_for_good_does_not_go_to_the_second(setting: Setting) -> None:
    setting.near.fail_next("validation")
    before = len(setting.far.calls)
    with pytest.raises(openai.BadRequestError):
        setting.chat.chat.completions.create(model="two", messages=[{"role": "user", "content": "Hello"}])
    assert len(setting.far.calls) == before
