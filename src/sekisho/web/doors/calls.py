"""One call through a door: read it, walk the path, send its answer back.

A client that leaves only stops being written to: the answer is read to its end (for a bounded time), so that its cost
is booked. Why the reader is the request's own task: docs/why/drain.md
"""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote

from sekisho.calls.answer import Answer
from sekisho.calls.call import Call, Operation, Trail
from sekisho.calls.gate import Gate, Limits
from sekisho.calls.path import COUNT_STAGES, STAGES, join
from sekisho.calls.reply import Counted, Next
from sekisho.clock import id_text, new_id
from sekisho.errors import BadRequest, BodyTooLarge, Internal, SekishoError
from sekisho.values import Door
from sekisho.web.doors.asgi import JSON, HeaderList, Message, Receive, Scope, Send, headers_of, send_whole
from sekisho.web.doors.refusals import id_headers, send_error

log = logging.getLogger(__name__)
_RELEASE_TIMEOUT_S = 0.5
_KEEPALIVE_TIMEOUT_S = 0.05


class ClientGone(BadRequest):
    """The client left before its request was complete."""

    code = "client_gone"


class CallDoor:
    """Serves calls of every dialect over one gate."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._generate: Next = join(gate, STAGES)
        self._count: Next = join(gate, COUNT_STAGES)
        self._streams: set[Relay] = set()

    async def serve(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        door: Door,
        operation: Operation = "generate",
        model: str = "",
        is_stream: bool = False,
    ) -> None:
        """Serve one call. `model` and `is_stream` come from the URL of the Bedrock doors."""
        gate = self._gate
        now_us = gate.clock.now_us()
        call_id = new_id(now_us)
        headers = headers_of(scope)
        call = Call(
            id=call_id,
            id_text=id_text(call_id),
            door=door,
            operation=operation,
            started_at=now_us,
            headers=headers,
            read_body=lambda: read_body(receive, headers, gate.limits),
            trail=Trail(gate.clock.monotonic_us()),
            path_model=unquote(model),
            path_stream=is_stream,
        )
        try:
            await self._walk(call, receive, send)
        except ClientGone:
            log.debug("call %s: the client left before its request was complete", call.id_text)
        except SekishoError as error:
            await send_error(send, door, error, call.id_text)
        except Exception:  # the edge: whatever it is, the caller gets an id and the log gets the cause
            log.exception("call %s failed inside Sekisho", call.id_text)
            await send_error(send, door, Internal(f"Sekisho failed on call {call.id_text}."), call.id_text)

    async def _walk(self, call: Call, receive: Receive, send: Send) -> None:
        reply = await (self._generate if call.operation == "generate" else self._count)(call)
        if isinstance(reply, Counted):
            key = b"inputTokens" if call.door.startswith("bedrock") else b"input_tokens"
            await send_whole(send, 200, b'{"%s":%d}' % (key, reply.input_tokens), JSON, id_headers(call.id_text))
        elif reply.is_stream:
            await self._relay(call, reply, receive, send)
        else:
            body = await reply.whole()
            assert reply.cost_nanousd is not None
            headers = [*id_headers(call.id_text), (b"x-litellm-response-cost", usd(reply.cost_nanousd))]
            await send_whole(send, 200, body, reply.media_type, headers)

    async def _relay(self, call: Call, answer: Answer, receive: Receive, send: Send) -> None:
        relay = Relay(self._gate, call, answer, receive, send)
        with self._listed(relay):
            await relay.run()
        await answer.release(_RELEASE_TIMEOUT_S)

    @contextmanager
    def _listed(self, relay: "Relay") -> Iterator[None]:
        self._streams.add(relay)
        try:
            yield
        finally:
            self._streams.discard(relay)

    async def keep_alive(self) -> None:
        """Write to the clients of silent streams, so that nothing between us takes the connection for dead."""
        for relay in tuple(self._streams):
            await relay.keep_alive()


class Relay:
    """One stream on its way to its client."""

    def __init__(self, gate: Gate, call: Call, answer: Answer, receive: Receive, send: Send) -> None:
        self._gate = gate
        self._limits = gate.limits
        self._call = call
        self._answer = answer
        self._receive = receive
        self._send = send
        self._is_sending = False
        self._has_left = False
        self._sent_us = gate.clock.monotonic_us()

    async def run(self) -> None:
        """Send the whole stream. If the client leaves, read on without it for at most the drain time."""
        leaving = asyncio.ensure_future(self._receive())
        try:
            await self._start()
            await self._pass_on(leaving)
            if self._has_left:
                await self._drain()
        finally:
            leaving.cancel()

    async def _start(self) -> None:
        trail = self._call.trail
        trail.first_byte_us = self._gate.clock.monotonic_us() - trail.started_us
        headers: HeaderList = [
            (b"content-type", self._answer.media_type),
            (b"cache-control", b"no-cache"),
            (b"x-accel-buffering", b"no"),
            *id_headers(self._call.id_text),
        ]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def _pass_on(self, leaving: "asyncio.Future[Message]") -> None:
        answer = self._answer
        while not answer.has_ended:
            data = await answer.next()
            if leaving.done():
                self._has_left = answer.client_left = True
                return
            self._is_sending = True  # for as long as the client takes: the server closes on one that does not read
            await self._send({"type": "http.response.body", "body": data, "more_body": not answer.has_ended})
            self._is_sending = False
            self._sent_us = self._gate.clock.monotonic_us()

    async def _drain(self) -> None:
        answer = self._answer
        try:
            async with asyncio.timeout(self._limits.drain_timeout_s):
                while not answer.has_ended:
                    await answer.next()
        except TimeoutError:
            await answer.abandon()

    async def keep_alive(self) -> None:
        if self._is_sending or self._has_left:
            return
        silent_us = self._gate.clock.monotonic_us() - self._sent_us
        if silent_us < self._limits.keepalive_s * 1_000_000:
            return
        if data := self._answer.keepalive():
            self._sent_us = self._gate.clock.monotonic_us()
            try:
                async with asyncio.timeout(_KEEPALIVE_TIMEOUT_S):
                    await self._send({"type": "http.response.body", "body": data, "more_body": True})
            except TimeoutError:
                pass  # it does not read: nobody else's stream waits for that


def usd(nanousd: int) -> bytes:
    """Nano-USD as a decimal number of USD, exact."""
    text = f"{nanousd // 1_000_000_000}.{nanousd % 1_000_000_000:09d}".rstrip("0")
    return (text + "0" if text.endswith(".") else text).encode()


async def read_body(receive: Receive, headers: dict[bytes, bytes], limits: Limits) -> bytes:
    """The whole request body. Raises BodyTooLarge, ClientGone, BadRequest for one that comes too slowly."""
    length = headers.get(b"content-length", b"0")
    if not length.isdigit() or int(length) > limits.max_body_bytes:
        raise _too_large(limits)
    if b"content-encoding" in headers and headers[b"content-encoding"] not in (b"", b"identity"):
        raise BadRequest("Compressed request bodies are not taken. Send the body as it is.")
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(limits.body_timeout_s):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                part: bytes = message.get("body", b"")
                size += len(part)
                if size > limits.max_body_bytes:
                    raise _too_large(limits)
                parts.append(part)
                if not message.get("more_body", False):
                    return parts[0] if len(parts) == 1 else b"".join(parts)
    except TimeoutError:
        raise BadRequest("The request body did not arrive in time.") from None


def _too_large(limits: Limits) -> BodyTooLarge:
    return BodyTooLarge(
        f"The request body is larger than {limits.max_body_bytes:,} bytes, the most that is taken here."
    )
