"""A stream that is silent still shows its client that it is there, before the model's first word and after it."""

import asyncio
from pathlib import Path

import pytest

from sekisho.calls.gate import Limits
from tests.acceptance.test_client_faults import ASKS, connected, request
from tests.acceptance.test_upstream_faults import END, HEAD, check_bound, chunk, error_in_stream, only, over
from tests.unit.dialects.wire import CONVERSE_EVENTS, compact, converse_frames, exception_frame
from tests.unit.upstream.servers import Wire, answer

SIGNS = {"/v1/chat/completions": b": keepalive", "/v1/responses": b": keepalive", "/v1/messages": b"event: ping"}
FAILURES = {
    "an error status": answer(b'{"message":"Busy."}', b"x-amzn-ErrorType: ThrottlingException", status=b"429 Busy"),
    "an exception first": HEAD + chunk(exception_frame("internalServerException", {"message": "Busy."})) + END,
    "nothing": HEAD + END,
}


@pytest.fixture
def limits() -> Limits:
    return Limits(keepalive_s=0.05)


@pytest.mark.parametrize("door", SIGNS)
async def test_while_the_model_has_not_begun_the_head_and_signs_of_life_come(
    limits: Limits, tmp_path: Path, door: str
) -> None:
    may_go = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        await may_go.wait()
        await wire.say(HEAD, chunk(converse_frames()), END)

    async with over(script, limits, tmp_path) as (plane, _), connected(plane) as connection:
        await connection.say(request(door, compact(ASKS[door])))
        head = await connection.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200") and b"text/event-stream" in head
        for _ in range(3):
            await connection.reader.readuntil(SIGNS[door])
        assert plane.journal.settled == []
        may_go.set()
        rest = await connection.reader.readuntil(b"\r\n0\r\n\r\n")
        assert b"calc.py" in rest and b'"error":{' not in rest
        assert (only(plane).status, only(plane).is_metered) == ("ok", True)


@pytest.mark.parametrize("door", SIGNS)
async def test_in_the_middle_of_a_stream_they_come_between_events(limits: Limits, tmp_path: Path, door: str) -> None:
    may_go = asyncio.Event()
    frames = converse_frames()

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.say(HEAD, chunk(frames[:300]))  # in the middle of a frame
        await may_go.wait()
        await wire.say(chunk(frames[300:]), END)

    async with over(script, limits, tmp_path) as (plane, _), connected(plane) as connection:
        await connection.say(request(door, compact(ASKS[door])))
        seen = b""
        while seen.count(SIGNS[door]) < 3:
            seen += await connection.reader.read(65_536)
        may_go.set()
        seen += await connection.reader.readuntil(b"\r\n0\r\n\r\n")
        text = b"".join(line for line in seen.splitlines(keepends=True) if not line.strip().isalnum())
        events = [event for event in text.replace(b"\r\n", b"").split(b"\n\n") if event]
        assert all(event.startswith((b"data: ", b"event: ", b": keepalive", b"HTTP/1.1")) for event in events)
        assert only(plane).status == "ok"


@pytest.mark.parametrize("door", SIGNS)
@pytest.mark.parametrize("failure", FAILURES)
async def test_a_failure_after_them_comes_inside_the_stream(
    limits: Limits, tmp_path: Path, door: str, failure: str
) -> None:
    may_go = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        await may_go.wait()
        await wire.say(FAILURES[failure])

    async with over(script, limits, tmp_path) as (plane, _), connected(plane) as connection:
        await connection.say(request(door, compact(ASKS[door])))
        await connection.reader.readuntil(SIGNS[door])
        may_go.set()
        rest = await connection.reader.readuntil(b"\r\n0\r\n\r\n")
        assert error_in_stream(door, rest.decode())
        if failure == "nothing":  # the provider took the call on, so it may be billed
            check_bound(plane)
        else:
            assert (only(plane).status, only(plane).cost_nanousd) == ("failed", 0)


@pytest.mark.parametrize("door", SIGNS)
async def test_another_deployment_may_still_answer_after_them(limits: Limits, tmp_path: Path, door: str) -> None:
    may_go = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        if wire.number == 0:
            await may_go.wait()
            await wire.say(FAILURES["an exception first"])
        else:
            await wire.say(HEAD, chunk(converse_frames()), END)

    async with over(script, limits, tmp_path, deployments=2) as (plane, _), connected(plane) as connection:
        await connection.say(request(door, compact(ASKS[door])))
        await connection.reader.readuntil(SIGNS[door])
        may_go.set()
        rest = await connection.reader.readuntil(b"\r\n0\r\n\r\n")
        assert b"calc.py" in rest and b'"error":{' not in rest
        assert [attempt.error for attempt in only(plane).attempts] == ["upstream_unavailable", ""]


async def test_bedrocks_stream_has_no_such_event_so_its_head_waits(limits: Limits, tmp_path: Path) -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        for _ in range(20):
            await asyncio.sleep(0.01)  # several times as long as until the next sign of life
        await wire.say(FAILURES["an error status"])

    door = "/model/nova-pro/converse-stream"
    async with over(script, limits, tmp_path) as (plane, _), connected(plane) as connection:
        await connection.say(request(door, compact(ASKS[door])))
        assert (await connection.answer())[0] == 429


async def test_a_client_that_takes_nothing_does_not_hold_up_the_signs_of_others(limits: Limits, tmp_path: Path) -> None:
    silence = asyncio.Event()
    big = chunk(converse_frames([("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"text": "x" * 8_000_000}})]))

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.say(HEAD, chunk(converse_frames(CONVERSE_EVENTS[:5])))
        if wire.number == 0:
            await wire.say(big)  # more than the connection holds: the rest waits in the gateway for the client
        await silence.wait()
        await wire.say(chunk(converse_frames(CONVERSE_EVENTS[5:])), END)

    async with over(script, limits, tmp_path) as (plane, _), connected(plane) as stuck, connected(plane) as other:
        await stuck.say(request(body=compact(ASKS["/v1/messages"])))
        await stuck.reader.readuntil(b"content_block_delta")
        stuck.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await other.say(request(body=compact(ASKS["/v1/messages"])))
        for _ in range(5):
            await other.reader.readuntil(b"event: ping")
        silence.set()
        assert b"message_stop" in await other.reader.readuntil(b"\r\n0\r\n\r\n")
        stuck.writer.transport.resume_reading()  # type: ignore[attr-defined]
        await stuck.read_past(b"message_stop")
