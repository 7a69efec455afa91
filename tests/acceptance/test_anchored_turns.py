"""The recorded agents go on for some turns: each turn's prompt is bounded by the one before it, and never too low."""

import copy
import json
from itertools import pairwise
from typing import Any

import pytest
from msgspec.structs import replace

from sekisho.values import Price
from tests.acceptance.conftest import Gateway
from tests.acceptance.test_agent_requests import RECORDED, send

TURNS = 6
FILE = "\n".join(f"line {number}: 計算 = {number * 7919 % 1000}; return value" for number in range(120))
START = "Read the module and mend it. " * 600
MODEL = "claude-sonnet-4-5"


def is_conversation(request: dict[str, Any]) -> bool:
    return "count_tokens" not in request["path"] and bool({"messages", "input"} & request["body"].keys())


CONVERSATIONS = {name: one for name, one in RECORDED.items() if is_conversation(one)}


def without_marks(value: Any) -> Any:
    """The value without cache marks, which agents move from turn to turn."""
    if isinstance(value, list):
        return [without_marks(one) for one in value if not (isinstance(one, dict) and set(one) == {"cachePoint"})]
    if isinstance(value, dict):
        return {name: without_marks(one) for name, one in value.items() if name != "cache_control"}
    return value


def begun(request: dict[str, Any]) -> dict[str, Any]:
    """The recorded body as one of a real size (recordings have their long texts cut out), without thinking."""
    body = copy.deepcopy(request["body"])
    kept = {name: value for name, value in body.items() if name not in ("stream", "output_config", "thinking")}
    if "messages" in body:
        if "/converse" in request["path"]:  # its users and models take turns
            kept["messages"][-1]["content"].append({"text": START})
        else:
            kept["messages"].append({"role": "user", "content": START})
    elif isinstance(body["input"], list):
        kept["input"].append({"role": "user", "content": [{"type": "input_text", "text": START}]})
    else:
        kept["input"] = [{"role": "user", "content": [{"type": "input_text", "text": START}]}]
    if "/converse" in request["path"]:
        kept["inferenceConfig"] = {"maxTokens": 200}
    elif "messages" in body:
        kept["max_tokens"] = 200
    else:
        kept["max_output_tokens"] = 200
    return kept


def go_on(body: dict[str, Any], path: str, number: int) -> dict[str, Any]:
    """The next turn: what the model said, what the tool gave, and the marks at the new end."""
    has_marks = "cache_control" in json.dumps(body["messages"]) if "messages" in body else False
    has_points = "cachePoint" in json.dumps(body.get("messages", ""))
    text = f"turn {number}\n{FILE}"
    if "input" in body:
        said = {"role": "assistant", "content": [{"type": "output_text", "text": f"Reading {number}."}]}
        return body | {
            "input": [*body["input"], said, {"role": "user", "content": [{"type": "input_text", "text": text}]}]
        }
    history = without_marks(body["messages"])
    if "/converse" in path:
        said = {"role": "assistant", "content": [{"text": f"Reading {number}."}]}
        content: list[dict[str, Any]] = [{"text": text}]
        if has_points:
            content.append({"cachePoint": {"type": "default"}})
        return body | {"messages": [*history, said, {"role": "user", "content": content}]}
    block: dict[str, Any] = {"type": "text", "text": text}
    if has_marks:
        block["cache_control"] = {"type": "ephemeral"}
    said = {"role": "assistant", "content": f"Reading {number}."}
    return body | {"messages": [*history, said, {"role": "user", "content": [block]}]}


def prompt_bound(reserved_nanousd: int, price: Price) -> int:
    """The prompt tokens that a reservation of one attempt stands for."""
    dearest = max(price.base.input, price.base.cache_read, price.base.cache_write_5m)
    return (reserved_nanousd * 1000 - 200 * price.base.output) // dearest


def one_deployment(gateway: Gateway) -> Price:
    """Let every model have one deployment, so that a bound is that of one attempt; the price at it."""
    snapshot = gateway.registry.snapshot
    assert snapshot is not None
    models = tuple(replace(model, deployments=model.deployments[:1]) for model in snapshot.models)
    gateway.registry.load(replace(snapshot, models=models))
    price = gateway.registry.models[MODEL].deployments[0].price
    assert price is not None
    return price


async def replay(gateway: Gateway, request: dict[str, Any]) -> list[tuple[int, int, int]]:
    """For each turn: the bytes of the body, the bound of its prompt, and its tokens."""
    path = request["path"].replace("-stream", "").replace("-with-response", "")
    if path.startswith("/model/"):
        path = f"/model/{MODEL}/{path.rsplit('/', 1)[1]}"
    price = one_deployment(gateway)
    body = begun(request)
    if "model" in body:
        body["model"] = MODEL
    turns = []
    for number in range(TURNS):
        answer = await send(gateway, path, body, request.get("headers"))
        assert answer.status_code == 200, answer.text[:500]
        opened, settled = gateway.journal.opened[-1], gateway.journal.settled[-1]
        bound = prompt_bound(opened.reserved_nanousd, price)
        turns.append((opened.request_bytes, bound, settled.usage.prompt_tokens))
        assert settled.cost_nanousd <= opened.reserved_nanousd
        body = go_on(body, path, number)
    return turns


@pytest.mark.parametrize("name", CONVERSATIONS)
async def test_a_recorded_agent_that_goes_on_is_bounded_by_its_turn_before(gateway: Gateway, name: str) -> None:
    turns = await replay(gateway, CONVERSATIONS[name])
    assert all(tokens <= bound for _, bound, tokens in turns)
    assert turns[0][1] >= turns[0][0]  # nothing is known yet but the bytes
    for (old_bytes, _, old_tokens), (new_bytes, bound, _) in pairwise(turns):
        assert bound <= old_tokens + (new_bytes - old_bytes) + 1_200  # what is new, and what a provider adds
