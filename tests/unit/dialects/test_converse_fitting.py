"""A client's own Converse body, fitted to a model that is not the one the client took it for."""

import json
from typing import Any

import msgspec
import pytest

from sekisho.dialects.bedrock.converse import fit_request
from sekisho.errors import BadRequest
from sekisho.values import Model, Quirks

CLAUDE = Quirks(thinking=("enabled", "disabled"), cache_min_tokens=1024)
NEW_CLAUDE = Quirks(thinking=("adaptive",), thinking_always_on=True, sampling=False, cache_min_tokens=512)
LLAMA = Quirks()
POINT = {"cachePoint": {"type": "default"}}
HI: list[dict[str, Any]] = [{"role": "user", "content": [{"text": "Hi"}]}]


def fitted(body: Any, quirks: Quirks) -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    model = Model("m", "any", 200_000, 4096, quirks, ())
    return fit_request(data, msgspec.json.decode(data, type=dict[str, msgspec.Raw]), model)


def test_what_the_model_takes_keeps_every_byte():
    body = b'{ "messages" : [{"role":"user","content":[{"text":"\\u00e4"},{"cachePoint":{"type":"default"}}]}],'
    body += b'"inferenceConfig": {"maxTokens":4096,"temperature":0.10},'
    body += b'"additionalModelRequestFields":{"thinking":{"type":"enabled","budget_tokens":2000}},"x":1.50}'
    assert fitted(body, CLAUDE) == body


def test_an_answer_longer_than_the_models_longest_is_shortened():
    inference = {"maxTokens": 38400, "stopSequences": ["a"]}
    body = json.loads(fitted({"messages": HI, "inferenceConfig": inference, "requestMetadata": {"a": "b"}}, LLAMA))
    assert body["inferenceConfig"] == {"maxTokens": 4096, "stopSequences": ["a"]}
    assert body["requestMetadata"] == {"a": "b"} and body["messages"] == HI


def test_cache_points_are_left_out_for_models_without_prompt_caching():
    use = {"toolUse": {"toolUseId": "1", "name": "t", "input": {"content": [POINT], "cachePoint": 1}}}
    result = {"toolResult": {"toolUseId": "1", "content": [{"text": "r"}]}}
    spec = {"toolSpec": {"name": "t", "inputSchema": {"json": {"type": "object"}}}}
    marked = {
        "system": [{"text": "s"}, POINT],
        "messages": [
            {"role": "user", "content": [{"text": "Hi"}, POINT]},
            {"role": "assistant", "content": [use, POINT]},
            {"role": "user", "content": [result, POINT]},
        ],
        "toolConfig": {"tools": [spec, POINT], "toolChoice": {"auto": {}}},
    }
    body = json.loads(fitted(marked, LLAMA))
    assert body["system"] == [{"text": "s"}]
    assert [message["content"] for message in body["messages"]] == [[{"text": "Hi"}], [use], [result]]
    assert body["toolConfig"] == {"tools": [spec], "toolChoice": {"auto": {}}}
    assert json.loads(fitted(marked, CLAUDE)) == marked


@pytest.mark.parametrize(
    ("asked", "quirks", "expected"),
    [
        ({"type": "enabled", "budget_tokens": 9000}, CLAUDE, {"type": "enabled", "budget_tokens": 4095}),
        ({"type": "enabled", "budget_tokens": 2000}, NEW_CLAUDE, {"type": "adaptive"}),
        ({"type": "disabled"}, NEW_CLAUDE, None),
        ({"type": "enabled", "budget_tokens": 2000}, LLAMA, None),
    ],
)
def test_thinking_takes_the_form_that_the_model_takes(asked, quirks, expected):
    extra = {"thinking": asked, "anthropic_beta": ["x"]}
    body = json.loads(fitted({"messages": HI, "additionalModelRequestFields": extra}, quirks))
    assert body["additionalModelRequestFields"].get("thinking") == expected
    assert body["additionalModelRequestFields"]["anthropic_beta"] == ["x"]


def test_sampling_is_left_out_where_the_model_takes_none():
    inference = {"maxTokens": 100, "temperature": 1, "topP": 0.9}
    body = json.loads(fitted({"messages": HI, "inferenceConfig": inference}, NEW_CLAUDE))
    assert body["inferenceConfig"] == {"maxTokens": 100}


@pytest.mark.parametrize(
    "body",
    [
        {"inferenceConfig": 3},
        {"inferenceConfig": {"maxTokens": "many"}},
        {"additionalModelRequestFields": ["thinking"]},
        {"additionalModelRequestFields": {"thinking": {"type": "deep"}}},
    ],
)
def test_what_cannot_be_read_is_refused(body):
    with pytest.raises(BadRequest):
        fitted({"messages": HI, **body}, CLAUDE)
