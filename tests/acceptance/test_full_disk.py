"""A journal that cannot be written: nothing new passes, no good end is shown, what ended meanwhile is booked late."""

import asyncio
from pathlib import Path

import pytest

from sekisho.calls.gate import Limits
from sekisho.values import Usage
from tests.acceptance.test_client_faults import ASKS, connected, request
from tests.acceptance.test_upstream_faults import END, HEAD, chunk, error_in_stream, only, over, post, says
from tests.unit.dialects.wire import CONVERSE_EVENTS, compact, converse_frames, exception_frame
from tests.unit.upstream.servers import Wire

DOORS = ("/v1/chat/completions", "/v1/responses", "/v1/messages")


@pytest.fixture
def limits() -> Limits:
    return Limits(keepalive_s=0.05)  # what is owed is tried again as often as clients get signs of life


@pytest.mark.parametrize("door", DOORS)
async def test_nothing_is_sent_that_cannot_be_recorded(limits: Limits, tmp_path: Path, door: str) -> None:
    async with over(says(), limits, tmp_path) as (plane, server):
        plane.journal.is_full = True
        got = await post(plane, door, stream=True)
        assert got.status_code == 503 and got.json()["error"]["message"] and server.wires == []


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("end", ("good", "bad"))
async def test_what_ends_meanwhile_shows_no_good_end_and_is_booked_once_there_is_room(
    limits: Limits, tmp_path: Path, door: str, end: str
) -> None:
    is_full = asyncio.Event()
    rest = {
        "good": converse_frames(CONVERSE_EVENTS[5:]),
        "bad": exception_frame("modelStreamErrorException", {"message": "Broken."}),
    }

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.say(HEAD, chunk(converse_frames(CONVERSE_EVENTS[:5])))
        await is_full.wait()
        await wire.say(chunk(rest[end]), END)

    async with over(script, limits, tmp_path) as (plane, _), connected(plane) as connection:
        await connection.say(request(door, compact(ASKS[door])))
        await connection.reader.readuntil(b"\r\n\r\n")
        plane.journal.is_full = True
        is_full.set()
        text = (await connection.reader.readuntil(b"\r\n0\r\n\r\n")).decode()
        assert error_in_stream(door, text) and not any(word in text for word in ("message_stop", "response.completed"))
        assert plane.journal.settled == []
        plane.journal.is_full = False
        await plane.journal.wait_settled()
        assert only(plane).is_metered is (end == "good") and only(plane).cost_nanousd > 0
        assert (only(plane).usage == Usage()) is (end == "bad")


async def test_a_whole_answer_that_cannot_be_booked_is_withheld_and_booked_late(limits: Limits, tmp_path: Path) -> None:
    is_full = asyncio.Event()
    body = compact(
        {
            "output": {"message": {"role": "assistant", "content": [{"text": "x"}]}},
            "stopReason": "end_turn",
            "usage": {"inputTokens": 7, "outputTokens": 8, "totalTokens": 15},
        }
    )

    async def script(wire: Wire) -> None:
        await wire.request()
        await is_full.wait()
        await wire.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    async with over(script, limits, tmp_path) as (plane, _):
        asking = asyncio.ensure_future(post(plane, "/v1/messages", stream=False))
        while not plane.journal.opened:
            plane.journal.news.clear()
            await plane.journal.news.wait()
        plane.journal.is_full = True
        is_full.set()
        assert (await asking).status_code == 503
        plane.journal.is_full = False
        await plane.journal.wait_settled()
        assert (only(plane).status, only(plane).usage) == ("ok", Usage(input_tokens=7, output_tokens=8))
