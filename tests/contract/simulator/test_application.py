"""The simulator as an ASGI callable, as another server would run it."""

from collections.abc import MutableMapping
from typing import Any

from sekisho.clock import FakeClock
from sekisho.simulator.server import app
from tests.contract.simulator.conftest import MODELS

Message = MutableMapping[str, Any]


async def converse_with(messages: list[Message], scope: dict[str, Any]) -> list[Message]:
    """What the application sends while it receives these messages."""
    waiting, sent = iter(messages), list[Message]()

    async def receive() -> Message:
        return next(waiting)

    async def send(message: Message) -> None:
        sent.append(message)

    await app(MODELS, clock=FakeClock())(scope, receive, send)
    return sent


async def test_the_lifespan_of_a_server_is_followed() -> None:
    asked: list[Message] = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent = await converse_with(asked, {"type": "lifespan"})
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_a_client_that_leaves_while_it_asks_gets_nothing() -> None:
    scope = {"type": "http", "method": "POST", "raw_path": b"/", "query_string": b"", "headers": []}
    asked: list[Message] = [
        {"type": "http.request", "body": b"{", "more_body": True},
        {"type": "http.disconnect"},
    ]
    assert await converse_with(asked, scope) == []


async def test_a_refusal_is_one_json_body() -> None:
    scope = {"type": "http", "method": "GET", "raw_path": b"/", "query_string": b"", "headers": []}
    start, *bodies = await converse_with([{"type": "http.request", "body": b""}], scope)
    assert start["status"] == 404
    assert b"".join(body["body"] for body in bodies) == b'{"message":"The operation is not known."}'
