"""A model provider that streams: `python -m bench.upstream PORT GAP_S EVENTS`.

To every POST it answers with the frames of InvokeModelWithResponseStream, made once: all in one write if GAP_S is 0,
else one event per write and HTTP chunk, GAP_S apart. If EVENTS is 0 it answers whole.
"""

import asyncio
import base64
import json
import sys
from typing import cast

import uvloop
from httptools import HttpRequestParser

from bench.bodies import whole_answer
from sekisho.dialects.bedrock.event_stream import encode_frame

_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\n"
    b"x-amzn-requestid: bench\r\ntransfer-encoding: chunked\r\n\r\n"
)
_WHOLE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
    len(whole_answer()),
    whole_answer(),
)
_FRAME_HEADERS = {":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}


def frames(events: int) -> list[bytes]:
    """The chunks of one answer of so many events."""
    usage = {"input_tokens": 210, "output_tokens": 1}
    metrics = {"inputTokenCount": 210, "outputTokenCount": 190, "invocationLatency": 900, "firstByteLatency": 300}
    message = {"id": "msg_bench", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": usage}
    deltas = [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": f"word number {number} "}}
        for number in range(events - 5)
    ]
    said: list[dict[str, object]] = [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *deltas,
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 190}},
        {"type": "message_stop", "amazon-bedrock-invocationMetrics": metrics},
    ]
    return [_chunk(event, number) for number, event in enumerate(said)]


def _chunk(event: dict[str, object], number: int) -> bytes:
    text = base64.b64encode(json.dumps(event, separators=(",", ":")).encode()).decode()
    payload = json.dumps({"bytes": text, "p": "abcdefghijklmnopqrstuvwxyz"[: number % 26 + 1]}, separators=(",", ":"))
    frame = encode_frame(_FRAME_HEADERS, payload.encode())
    return b"%x\r\n%b\r\n" % (len(frame), frame)


class Upstream(asyncio.Protocol):
    """One connection: reads requests, answers each with the stream."""

    def __init__(self, answer: list[bytes], gap_s: float) -> None:
        self._answer = answer
        self._gap_s = gap_s
        self._parser = HttpRequestParser(self)
        self._next = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        if not self._answer:
            self._transport.write(_WHOLE)
            return
        self._transport.write(_HEAD)
        if self._gap_s:
            self._next = 0
            self._write_one()
        else:
            self._transport.write(b"".join((*self._answer, b"0\r\n\r\n")))

    def _write_one(self) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(self._answer[self._next])
        self._next += 1
        if self._next < len(self._answer):
            asyncio.get_running_loop().call_later(self._gap_s, self._write_one)
        else:
            self._transport.write(b"0\r\n\r\n")


async def _serve(port: int, gap_s: float, events: int) -> None:
    answer = frames(events) if events else []
    server = await asyncio.get_running_loop().create_server(lambda: Upstream(answer, gap_s), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])))
