"""Events reach the client as they come from the provider: nothing on the way waits for more of them."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from sekisho.dialects.bedrock.event_stream import encode_frame
from tests.acceptance.conftest import ALICE, Gateway

HEADERS = {":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}
START = {
    "type": "message_start",
    "message": {"id": "m", "content": [], "usage": {"input_tokens": 9, "output_tokens": 1}},
}
WORDS = ("first", "second", "third")
END: list[dict] = [
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}},
    {"type": "message_stop"},
]


def chunk(event: dict) -> bytes:
    payload = {"bytes": base64.b64encode(json.dumps(event).encode()).decode()}
    frame = encode_frame(HEADERS, json.dumps(payload).encode())
    return b"%x\r\n%b\r\n" % (len(frame), frame)


@asynccontextmanager
async def provider() -> AsyncIterator[tuple[str, asyncio.Queue[int]]]:
    """A provider that says the next word when told to; its address, and where to tell it."""
    turns: asyncio.Queue[int] = asyncio.Queue()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunk(START))
        for word in WORDS:
            await turns.get()
            event = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}
            writer.write(chunk(event))
        await turns.get()
        writer.write(b"".join(chunk(event) for event in END) + b"0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", turns
    finally:
        server.close()


def serve_by(gateway: Gateway, url: str) -> None:
    """Send the calls of every model to this address."""
    snapshot = gateway.registry.snapshot
    assert snapshot is not None
    models = tuple(
        msgspec.structs.replace(
            model, deployments=tuple(msgspec.structs.replace(one, endpoint=url) for one in model.deployments)
        )
        for model in snapshot.models
    )
    gateway.registry.load(msgspec.structs.replace(snapshot, models=models))


@pytest.mark.parametrize("door", ["/v1/messages", "/model/claude-sonnet-4-5/invoke-with-response-stream"])
async def test_each_event_reaches_the_client_before_the_next_is_sent(gateway: Gateway, door: str) -> None:
    body = {
        "model": "claude-sonnet-4-5",
        "max_tokens": 9,
        "stream": True,
        "messages": [{"role": "user", "content": "x"}],
    }
    content = json.dumps(body).encode()
    async with provider() as (url, turns):
        serve_by(gateway, url)
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(
            b"POST %b HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %b\r\ncontent-length: %d\r\n\r\n%b"
            % (door.encode(), ALICE.encode(), len(content), content)
        )
        async with asyncio.timeout(20):
            for word in WORDS:
                turns.put_nowait(1)
                await reader.readuntil(word.encode() if door == "/v1/messages" else b'{"bytes"')
            assert gateway.journal.settled == []
            turns.put_nowait(1)
            (settled,) = await gateway.journal.wait_settled()
        assert (settled.status, settled.usage.output_tokens) == ("ok", 3)
        writer.close()
