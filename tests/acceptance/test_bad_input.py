"""What is wrong with a request is said clearly, in the dialect of the door, and costs nothing."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from sekisho.calls.gate import Limits
from tests.acceptance.conftest import ALICE, BOB, CHARLIE, DANA, Gateway

DOORS = ("/v1/chat/completions", "/v1/responses", "/v1/messages", "/model/nova-pro/converse")
HELLO: dict[str, dict] = {
    "/v1/chat/completions": {"model": "nova-pro", "messages": [{"role": "user", "content": "Hello"}]},
    "/v1/responses": {"model": "nova-pro", "input": "Hello"},
    "/v1/messages": {"model": "nova-pro", "max_tokens": 10, "messages": [{"role": "user", "content": "Hello"}]},
    "/model/nova-pro/converse": {"messages": [{"role": "user", "content": [{"text": "Hello"}]}]},
}


def message_of(door: str, body: Any) -> Any:
    """The error's text where each dialect's clients look for it."""
    if door.startswith("/model"):
        return body["message"]
    if door == "/v1/messages":
        assert body["type"] == "error" and body["request_id"]
    return body["error"]["message"]


async def post(gateway: Gateway, door: str, content: bytes, key: str = ALICE, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.post(
            gateway.url + door,
            content=content,
            headers={"x-api-key": key, "content-type": "application/json", **headers},
        )


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no body"),
        (b"{", "not valid JSON"),
        (b"[]", "must be a JSON object"),
        (b"nonsense", "not valid JSON"),
        (b'{"model":"nova-pro","model":"claude-opus-5"}', "stands twice"),
        (b'{"model": "nova-pro", "model": "claude-opus-5"}', "stands twice"),
        (b'{"model":"\xff"}', "UTF-8"),
        (b'{"model":"nova-pro","messages":' + b"[" * 50_000 + b"]" * 50_000 + b"}", "nested too deeply"),
    ],
)
async def test_a_body_that_cannot_be_read_is_named(gateway: Gateway, door: str, content: bytes, words: str) -> None:
    answer = await post(gateway, door, content)
    assert answer.status_code == 400
    assert words in message_of(door, answer.json())
    assert answer.headers["x-should-retry"] == "false"
    assert gateway.journal.settled == []


@pytest.mark.parametrize("door", DOORS[:3])
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": 5}, "'model'"),
        ({"model": None}, "'model'"),
        ({"stream": "yes"}, "'stream'"),
        ({"messages": "Hello", "input": {"no": "list"}}, ""),
        ({"messages": [{"role": "wizard", "content": "Hello"}], "input": [{"role": "wizard", "content": "x"}]}, ""),
        ({"messages": [], "input": []}, ""),
        ({"max_tokens": 0, "max_completion_tokens": 0, "max_output_tokens": 0}, "at least 1"),
        ({"max_tokens": "many", "max_output_tokens": "many"}, "whole number"),
        ({"tools": "hammer"}, ""),
    ],
)
async def test_wrong_types_are_named(gateway: Gateway, door: str, changes: dict, words: str) -> None:
    answer = await post(gateway, door, json.dumps({**HELLO[door], **changes}).encode())
    assert answer.status_code == 400, answer.text
    assert words in message_of(door, answer.json())
    assert "Traceback" not in answer.text
    assert sum(one.cost_nanousd for one in gateway.journal.settled) == 0


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("key", "words"),
    [("sk-unknown", "not known"), (CHARLIE, "expired"), (DANA, "blocked"), ("", "No key")],
)
async def test_a_key_that_does_not_open_is_refused_by_name(gateway: Gateway, door: str, key: str, words: str) -> None:
    answer = await post(gateway, door, json.dumps(HELLO[door]).encode(), key=key)
    assert answer.status_code == 401
    assert words in message_of(door, answer.json())
    assert gateway.journal.opened == []


@pytest.mark.parametrize("door", DOORS[:3])
async def test_an_unknown_model_is_not_found(gateway: Gateway, door: str) -> None:
    answer = await post(gateway, door, json.dumps({**HELLO[door], "model": "gpt-99"}).encode())
    assert answer.status_code == 404
    assert "gpt-99" in message_of(door, answer.json())
    assert [refused.stage for refused in gateway.journal.refused] == ["resolve"]


async def test_a_model_outside_the_keys_list_is_refused_and_recorded(gateway: Gateway) -> None:
    ask = {**HELLO["/v1/messages"], "model": "claude-sonnet-4-5"}
    answer = await post(gateway, "/v1/messages", json.dumps(ask).encode(), key=BOB)
    assert answer.status_code == 400 and "claude-sonnet-4-5" in answer.json()["error"]["message"]
    refused = gateway.journal.refused[0]
    assert (refused.stage, refused.error, refused.caller.key_id) == ("authorize", "not_allowed", "bob")
    assert (await post(gateway, "/v1/messages", json.dumps(HELLO["/v1/messages"]).encode(), key=BOB)).status_code == 200


@pytest.mark.parametrize("header", ("authorization", "x-api-key", "x-litellm-api-key", "api-key"))
async def test_the_key_is_taken_from_every_header_that_clients_use(gateway: Gateway, header: str) -> None:
    value = f"Bearer {ALICE}" if header == "authorization" else ALICE
    async with httpx.AsyncClient() as client:
        answer = await client.post(
            gateway.url + "/chat/completions", json=HELLO["/v1/chat/completions"], headers={header: value}
        )
    assert answer.status_code == 200


async def test_a_wrong_method_is_told_which_is_right(gateway: Gateway) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.get(gateway.url + "/v1/chat/completions")
    assert answer.status_code == 405 and answer.headers["allow"] == "POST"


class TestSmallGate:
    """The same door with small limits."""

    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(max_body_bytes=2000, body_timeout_s=0.2, idle_timeout_s=20, first_byte_timeout_s=20)

    @pytest.mark.parametrize("door", DOORS)
    async def test_a_body_over_the_limit_is_refused(self, gateway: Gateway, door: str) -> None:
        answer = await post(gateway, door, b" " * 2001)
        assert answer.status_code == 413 and "2,000 bytes" in message_of(door, answer.json())

    async def test_a_body_over_the_limit_without_a_length_is_refused(self, gateway: Gateway) -> None:
        async def parts():
            for _ in range(5):
                yield b" " * 1000

        async with httpx.AsyncClient() as client:
            answer = await client.post(
                gateway.url + "/v1/messages", content=parts(), headers={"authorization": f"Bearer {ALICE}"}
            )
        assert answer.status_code == 413

    async def test_a_body_that_never_ends_is_refused_in_time(self, gateway: Gateway) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %b\r\n" % ALICE.encode())
        writer.write(b"content-length: 100\r\n\r\n{")
        answer = await reader.readuntil(b"}")
        writer.close()
        assert b"400" in answer.splitlines()[0] and b"did not arrive in time" in answer

    async def test_half_a_body_and_gone_costs_nothing(self, gateway: Gateway) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %b\r\n" % ALICE.encode())
        writer.write(b"content-length: 100\r\n\r\n{")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        answer = await post(gateway, "/v1/messages", json.dumps(HELLO["/v1/messages"]).encode())
        assert answer.status_code == 200 and len(gateway.journal.settled) == 1


class TestAWholeCallTakesTooLong:
    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(idle_timeout_s=20, first_byte_timeout_s=20, call_timeout_s=0.4)

    @pytest.fixture
    def pace_s(self) -> float:
        return 0.3  # every event comes in time, all of them together do not

    async def test_it_ends_with_an_error_and_is_booked(self, gateway: Gateway) -> None:
        body = HELLO["/v1/messages"] | {"stream": True, "max_tokens": 200}
        answer = await post(gateway, "/v1/messages", json.dumps(body).encode())
        (settled,) = await gateway.journal.wait_settled()
        assert "upstream_timeout" in answer.text
        assert (settled.status, settled.error) == ("failed", "upstream_timeout")
