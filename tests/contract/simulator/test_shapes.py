"""Bodies are held against botocore's own service model."""

import json
from typing import Any

import pytest

from sekisho.simulator.exceptions import AwsException
from sekisho.simulator.shapes import check_body, decode_object
from tests.contract.simulator.conftest import text, user


def refused(body: Any) -> tuple[str, str]:
    with pytest.raises(AwsException) as caught:
        check_body("Converse", decode_object(json.dumps(body).encode()))
    return caught.value.name, caught.value.message


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"messages": [], "modelId": "x"}, "#: extraneous key [modelId]"),
        ({"stream": True}, "#: extraneous key [stream]"),
        ({"messages": [{**user(text()), "name": "a"}]}, "#/messages/0: extraneous key [name]"),
        ({"inferenceConfig": {"topK": 1}}, "#/inferenceConfig: extraneous key [topK]"),
    ],
)
def test_unknown_keys_are_refused_where_they_stand(body: Any, where: str) -> None:
    name, message = refused(body)
    assert name == "ValidationException"
    assert message == f"Malformed input request: {where} is not permitted, please reformat your input and try again."


@pytest.mark.parametrize(
    "body",
    [
        [],
        {"messages": {}},
        {"messages": [{"role": 1, "content": []}]},
        {"inferenceConfig": {"maxTokens": "5"}},
        {"inferenceConfig": {"maxTokens": True}},
        {"inferenceConfig": {"temperature": "0"}},
        {"messages": [user({"image": {"format": "png", "source": {"bytes": "not base64!"}}})]},
        {"requestMetadata": {"a": 1}},
        {"toolConfig": {"tools": [{"toolSpec": {"name": "a", "inputSchema": {"json": {}}, "strict": "yes"}}]}},
    ],
)
def test_wrong_json_types_cannot_be_deserialised(body: Any) -> None:
    assert refused(body)[0] == "SerializationException"


def test_broken_json_cannot_be_deserialised() -> None:
    with pytest.raises(AwsException, match="Malformed JSON"):
        decode_object(b"{")


def test_missing_members_are_named() -> None:
    name, message = refused({"messages": [{"role": "user"}]})
    assert name == "ValidationException"
    assert message == (
        "1 validation error detected: Value null at 'messages.0.content' failed to satisfy constraint: "
        "Member must not be null"
    )


def test_null_members_read_as_absent() -> None:
    assert check_body("Converse", {"messages": [user(text())], "system": None}) == {"messages": [user(text())]}
