"""One call through a door: read it, walk the path, send its answer back.

A client that leaves only stops being written to: the answer is read to its end (for a bounded time), so that its cost
is booked. Why the reader is the request's own task: docs/why/drain.md
"""

import asyncio
import logging
from contextlib import nullcontext

from sekisho.calls.answer import Answer
from sekisho.calls.call import Call, Operation, Trail
from sekisho.calls.gate import Gate, Limits
from sekisho.calls.path import COUNT_STAGES, STAGES, join
from sekisho.calls.reply import Counted, Next
from sekisho.clock import new_ids
from sekisho.errors import BadRequest, BodyTooLarge, Internal, NotAuthenticated, SekishoError, StoreUnavailable
from sekisho.values import Door
from sekisho.web.doors.asgi import (
    JSON,
    Receive,
    Send,
    at_once,
    send_whole,
)
from sekisho.web.doors.client import Client
from sekisho.web.doors.http1 import Exchange
from sekisho.web.doors.refusals import id_headers, send_error
from sekisho.web.doors.running import RunningStreams

log = logging.getLogger(__name__)
_RELEASE_TIMEOUT_S = 0.5
_NO_TIMER = nullcontext()
_HEAD_LINES = b"".join([b"%b: %b\r\n" % one for one in [(b"content-type", JSON), *id_headers("%b")]])


class ClientGone(BadRequest):
    """The client left before its request was complete."""

    code = "client_gone"


class CallDoor:
    """Serves calls of every dialect over one gate."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._generate: Next = join(gate, STAGES)
        self._count: Next = join(gate, COUNT_STAGES)
        self._clients: set[Client] = set()
        self.running = RunningStreams(gate)

    async def serve(
        self,
        exchange: Exchange,
        *,
        door: Door,
        operation: Operation = "generate",
        model: str = "",
        is_stream: bool = False,
    ) -> None:
        """Serve one call. `model` and `is_stream` come from the URL of the Bedrock doors."""
        gate = self._gate
        clock = gate.clock
        now_us = clock.now_us()
        call_id, call_id_text = new_ids(now_us)
        headers = exchange.head.by_name
        trail = Trail(clock.monotonic_us())
        client = Client(trail, call_id_text, exchange, clock)
        call = Call(
            id=call_id,
            id_text=call_id_text,
            door=door,
            operation=operation,
            started_at=now_us,
            headers=headers,
            read_body=lambda: read_body(exchange.receive, headers, gate.limits),
            trail=trail,
            wait=client.wait,
            path_model=model,
            path_stream=is_stream,
        )
        if not headers.get(b"content-encoding"):
            call.body = exchange.whole_body(gate.limits.max_body_bytes) or b""
        self._clients.add(client)
        try:
            if exchange.head.clash:
                name = exchange.head.clash.decode("latin-1")
                raise BadRequest(f"The header '{name}' stands twice, with different values.")
            await self._walk(call, client, exchange)
        except ClientGone:
            log.debug("call %s: the client left before its request was complete", call.id_text)
        except SekishoError as error:
            if isinstance(error, NotAuthenticated) and call.key is None:
                gate.strangers.note(exchange.client_address, call.started_at)
            await _refuse(call, client, exchange.send, error)
        except asyncio.CancelledError:  # the server, at the end of its grace time; the task ends here in any case
            log.warning("call %s was cut off: its process stops", call.id_text)
            await _refuse(call, client, exchange.send, StoreUnavailable("Sekisho is stopping. Try again."))
        except Exception:  # the edge: whatever it is, the caller gets an id and the log gets the cause
            log.exception("call %s failed inside Sekisho", call.id_text)
            await _refuse(call, client, exchange.send, Internal(f"Sekisho failed on call {call.id_text}."))
        finally:
            self._clients.discard(client)
            client.close()

    async def _walk(self, call: Call, client: Client, exchange: Exchange) -> None:
        reply = await (self._generate if call.operation == "generate" else self._count)(call)
        if isinstance(reply, Counted):
            key = b"inputTokens" if call.door.startswith("bedrock") else b"input_tokens"
            body = b'{"%s":%d}' % (key, reply.input_tokens)
            await send_whole(exchange.send, 200, body, JSON, id_headers(call.id_text))
        elif reply.is_stream:
            try:
                await self._relay(call, reply, client)
            except BaseException:  # the server stops, or a fault of ours: what was opened is settled all the same
                await reply.abandon("cut_off", "Sekisho had to stop the answer.")
                raise
            await reply.release(_RELEASE_TIMEOUT_S)
        else:
            body = await reply.whole()
            assert reply.cost_nanousd is not None
            cost = usd(reply.cost_nanousd)
            if not exchange.answer(b"%bx-litellm-response-cost: %b\r\n" % (_head_lines(call.id_text), cost), body):
                headers = [*id_headers(call.id_text), (b"x-litellm-response-cost", cost)]
                await send_whole(exchange.send, 200, body, JSON, headers)

    async def _relay(self, call: Call, answer: Answer, client: Client) -> None:
        """Send the whole stream. If the client leaves, read on without it for at most the drain time."""
        trail = call.trail
        trail.first_byte_us = self._gate.clock.monotonic_us() - trail.started_us
        client.watch()
        stream = self.running.begin(call.known_key, answer)
        try:
            await client.begin(answer.media_type)
            while not answer.has_ended:
                data = await answer.next()
                if client.has_left:
                    answer.client_left = True
                    break
                if answer.has_ended or not client.write_at_once(data):
                    await client.write(data, is_last=answer.has_ended)
        except asyncio.CancelledError:
            if stream.reason is None:
                raise
            stream.task.uncancel()
            await client.write(await answer.cut(stream.reason), is_last=True)
        finally:
            self.running.end(stream)
        if not answer.has_ended:
            await self._drain(answer)

    async def _drain(self, answer: Answer) -> None:
        try:
            async with asyncio.timeout(self._gate.limits.drain_timeout_s):
                while not answer.has_ended:
                    await answer.next()
        except TimeoutError:
            await answer.abandon("client_gone", "The client left the stream.")

    def keep_alive(self) -> None:
        """Write to the clients of silent streams, so that nothing between us takes the connection for dead."""
        for client in tuple(self._clients):
            client.keep_alive(self._gate.limits.keepalive_s)


async def _refuse(call: Call, client: Client, send: Send, error: SekishoError) -> None:
    if client.has_begun:
        await client.fail(error)
    else:
        # a client that waits for "100 Continue" may or may not send its body now: only a new connection is clear
        headers = [(b"connection", b"close")] if b"expect" in call.headers else []
        await send_error(send, call.door, error, call.id_text, headers)


def _head_lines(call_id: str) -> bytes:
    """The media type and `id_headers` as they stand in a head."""
    value = call_id.encode()
    return _HEAD_LINES % (value, value, value, value, value)


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
    first = at_once(receive())  # a small body came with its head: no timer for it
    is_here = first is not None and not first.get("more_body", False)
    try:
        async with _NO_TIMER if is_here else asyncio.timeout(limits.body_timeout_s):
            while True:
                message = first or await receive()
                first = None
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
