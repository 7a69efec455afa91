"""An upstream that misbehaves on the wire: a clear error for the client, one settled record, nothing left behind."""

import asyncio
import functools
import gc
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from sekisho.calls.gate import Limits
from sekisho.ledger.catalog import Catalog, load_catalog
from sekisho.ledger.journal import Settled
from sekisho.simulator.framing import with_bad_crc
from sekisho.values import Model
from tests.acceptance.conftest import ALICE, REGION, CallPlane, call_plane
from tests.unit.dialects.wire import (
    CLAUDE_EVENTS,
    CONVERSE_EVENTS,
    claude_frames,
    compact,
    converse_frames,
    event_frame,
    exception_frame,
)
from tests.unit.upstream.servers import Server, Wire, answer, serving

AUTH = {"authorization": f"Bearer {ALICE}"}
SAY = [{"role": "user", "content": "Hello"}]
DOORS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": SAY, "max_tokens": 100},
    "/v1/responses": {"input": "Hello", "max_output_tokens": 100},
    "/v1/messages": {"messages": SAY, "max_tokens": 100},
}
FRAMES = b"application/vnd.amazon.eventstream"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: " + FRAMES + b"\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
SOME = CONVERSE_EVENTS[:5]
STOPPED = CONVERSE_EVENTS[:-1]

Script = Callable[[Wire], Awaitable[None]]


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def says(*pieces: bytes, then: str = "close") -> Script:
    """A server that answers every request with these bytes, and then closes, resets, or stays silent."""

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.say(*pieces)
        if then == "reset":
            wire.reset()
        elif then == "silence":
            await wire.gone()

    return script


def stream_of(*frames: bytes) -> Script:
    return says(HEAD, *(chunk(frame) for frame in frames), END)


@functools.cache
def catalog() -> Catalog:
    return load_catalog()


def model_at(url: str, name: str = "nova-pro", deployments: int = 1) -> Model:
    (model,) = (one for one in catalog().bedrock_models(REGION, url, "simulator") if one.name == name)
    return replace_deployments(model, deployments)


def replace_deployments(model: Model, number: int) -> Model:
    return msgspec.structs.replace(model, deployments=model.deployments[:1] * number)


@pytest.fixture(scope="module", autouse=True)
def _only_what_is_new_is_walked() -> None:
    """A worker that has run many tests holds so much that to walk it all again at each end costs 0.2 s of CPU."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def limits() -> Limits:
    return Limits(idle_timeout_s=20, first_byte_timeout_s=20, drain_timeout_s=20)


@asynccontextmanager
async def over(
    script: Script, limits: Limits, home: Path, name: str = "nova-pro", deployments: int = 1
) -> AsyncIterator[tuple[CallPlane, Server]]:
    """A call plane whose only model is at this server; afterwards nothing may be left of its calls."""
    async with serving(script) as server, call_plane((model_at(server.url, name, deployments),), limits, home) as plane:
        lost: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: lost.append(context))
        yield plane, server
        await quiet(plane)
        assert lost == []


async def quiet(plane: CallPlane) -> None:
    """Every opened call is settled once; no task, no busy connection and no lost exception is left."""
    async with asyncio.timeout(10):
        while any(connection.is_busy for connection in plane.http.connections) or calls_under_way():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert sorted(one.call_id for one in plane.journal.opened) == sorted(one.call_id for one in plane.journal.settled)
    gc.collect()  # a task whose exception nobody took says so when it goes


def calls_under_way() -> list[Any]:
    return [task for task in asyncio.all_tasks() if "run_asgi" in repr(task.get_coro())]


async def post(plane: CallPlane, door: str, *, stream: bool, model: str = "nova-pro") -> httpx.Response:
    async with httpx.AsyncClient(timeout=30, verify=False) as client:  # plain HTTP: certificates would only take time
        ask = {"model": model, "stream": stream, **DOORS[door]}
        return await client.post(plane.url + door, json=ask, headers=AUTH)


def error_in_stream(door: str, text: str) -> str:
    """The message of the error that ends a stream, where the clients of its dialect look for it."""
    data = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
    last = data[-1]
    if door == "/v1/responses":
        assert last["type"] == "response.failed"
        return str(last["response"]["error"]["message"])
    if door == "/v1/messages":
        assert last["type"] == "error"
    return str(last["error"]["message"])


def only(plane: CallPlane) -> Settled:
    (settled,) = plane.journal.settled
    return settled


def check_bound(plane: CallPlane) -> None:
    """The call began to answer and gave no usage: it is booked at the bound of its attempt, and says so."""
    settled = only(plane)
    (opened,) = plane.journal.opened
    assert (settled.status, settled.is_metered) == ("failed", False)
    assert 0 < settled.cost_nanousd <= opened.reserved_nanousd


GARBAGE = {
    "an exception first": stream_of(exception_frame("internalServerException", {"message": "Try again."})),
    "a broken prelude": stream_of(b"\xff" * 64),
    "a head that is none": says(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
    "a head that never ends": says(b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * 200_000),
    "a connection cut before the head": says(then="reset"),
    "a frame of 4 GB": stream_of(b"\xff\xff\xff\xf0\x00\x00\x00\x00" + b"\0" * 100),
    "an error status with no words": says(answer(b"<html>", status=b"500 Oops")),
    "an error status with a lie about its length": says(b"HTTP/1.1 503 X\r\nContent-Length: 999\r\n\r\n{"),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("fault", GARBAGE)
async def test_a_stream_that_fails_before_it_begins_is_an_http_error_and_free(
    limits: Limits, tmp_path: Path, door: str, fault: str
) -> None:
    async with over(GARBAGE[fault], limits, tmp_path) as (plane, _):
        got = await post(plane, door, stream=True)
        assert got.status_code in (502, 503) and got.json()["error"]["message"]
        assert "Traceback" not in got.text
        assert (only(plane).status, only(plane).cost_nanousd, only(plane).is_metered) == ("failed", 0, True)


SILENT = {
    "a stop before it begins": stream_of(),
    "no chunk where one was announced": says(HEAD, b"zz\r\nxx"),
    "a reset behind the head": says(HEAD, then="reset"),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("fault", SILENT)
async def test_a_call_that_was_taken_on_and_never_answered_may_be_billed(
    limits: Limits, tmp_path: Path, door: str, fault: str
) -> None:
    async with over(SILENT[fault], limits, tmp_path) as (plane, _):
        got = await post(plane, door, stream=True)
        assert got.status_code == 502 and got.json()["error"]["message"]
        check_bound(plane)


BROKEN = {
    "an exception in the middle": stream_of(
        converse_frames(SOME), exception_frame("modelStreamErrorException", {"message": "Try again."})
    ),
    "an event of a broken checksum": stream_of(
        converse_frames(SOME), with_bad_crc(event_frame("contentBlockStop", compact({"contentBlockIndex": 1})))
    ),
    "an exception in one piece with what came before": stream_of(
        converse_frames(SOME) + exception_frame("modelStreamErrorException", {"message": "Try again."})
    ),
    "a broken checksum in one piece with what came before": stream_of(
        converse_frames(SOME) + with_bad_crc(event_frame("contentBlockStop", compact({"contentBlockIndex": 1})))
    ),
    "half a frame": stream_of(converse_frames(SOME), converse_frames(SOME)[:-7]),
    "an end without a stop": stream_of(converse_frames(SOME)),
    "a reset": says(HEAD, chunk(converse_frames(SOME)), then="reset"),
    "an end without a last chunk": says(HEAD, chunk(converse_frames(SOME))),
    "broken chunking": says(HEAD, chunk(converse_frames(SOME)), b"nonsense\r\n"),
    "a length that is too long": says(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", converse_frames(SOME)),
    "a length that is too short": says(
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(converse_frames(SOME)) - 9), converse_frames(SOME)
    ),
    "an event that is not JSON": stream_of(converse_frames(SOME), event_frame("contentBlockDelta", b"{nope")),
    "an event of wrong types": stream_of(
        converse_frames(SOME), event_frame("contentBlockDelta", b'{"contentBlockIndex":"x","delta":5}')
    ),
    "impossible counts": stream_of(
        converse_frames(STOPPED[:-1]),
        event_frame("metadata", b'{"usage":{"inputTokens":-5,"outputTokens":1e300,"totalTokens":0}}'),
    ),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("fault", BROKEN)
async def test_a_stream_that_breaks_ends_with_an_error_in_its_dialect_and_is_booked_at_the_bound(
    limits: Limits, tmp_path: Path, door: str, fault: str
) -> None:
    async with over(BROKEN[fault], limits, tmp_path) as (plane, _):
        got = await post(plane, door, stream=True)
        assert got.status_code == 200
        assert error_in_stream(door, got.text)
        assert "Traceback" not in got.text
        check_bound(plane)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("end", ("close", "reset", "chunk"))
async def test_a_cut_between_the_stop_and_the_usage_is_a_whole_answer_at_the_bound(
    limits: Limits, tmp_path: Path, door: str, end: str
) -> None:
    last = (END,) if end == "chunk" else ()
    script = says(HEAD, chunk(converse_frames(STOPPED)), *last, then="reset" if end == "reset" else "close")
    async with over(script, limits, tmp_path) as (plane, _):
        got = await post(plane, door, stream=True)
        assert "calc.py" in got.text and '"error":{' not in got.text
        assert any(word in got.text for word in ("[DONE]", "message_stop", "response.completed"))
        assert (only(plane).status, only(plane).is_metered, only(plane).stop_reason) == ("ok", False, "tool_use")
        assert only(plane).cost_nanousd > 0


@pytest.mark.parametrize("door", DOORS)
async def test_what_is_not_known_in_a_stream_is_passed_over(limits: Limits, tmp_path: Path, door: str) -> None:
    strange = event_frame("somethingNew", b'{"of":"tomorrow"}')
    stop = event_frame("messageStop", compact({"stopReason": "a_reason_of_tomorrow"}))
    script = stream_of(
        converse_frames(CONVERSE_EVENTS[:6]), strange, stop, converse_frames(CONVERSE_EVENTS[-1:]), strange
    )
    async with over(script, limits, tmp_path) as (plane, _):
        got = await post(plane, door, stream=True)
        assert "こんにちは" in got.text and '"error":{' not in got.text
        assert (only(plane).status, only(plane).is_metered) == ("ok", True)


WHOLE = {
    "garbage": answer(b"<html>hello</html>"),
    "nothing": answer(b""),
    "a list": answer(b"[]"),
    "half of it": b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{",
    "wrong types": answer(b'{"output":5,"stopReason":[],"usage":"none"}'),
    "deep nesting": answer(b'{"output":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "a huge number": answer(
        b'{"output":{"message":{"role":"assistant","content":[{"text":"x"}]}},"stopReason":"end_turn",'
        b'"usage":{"inputTokens":99999999999999999999999,"outputTokens":1,"totalTokens":1}}'
    ),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("fault", WHOLE)
async def test_a_whole_answer_that_cannot_be_read_is_an_http_error_at_the_bound(
    limits: Limits, tmp_path: Path, door: str, fault: str
) -> None:
    async with over(says(WHOLE[fault]), limits, tmp_path) as (plane, _):
        got = await post(plane, door, stream=False)
        assert got.status_code == 502 and got.json()["error"]["message"] and "Traceback" not in got.text
        check_bound(plane)


@pytest.mark.parametrize("name", ("nova-pro", "claude-sonnet-4-5"))
async def test_a_whole_answer_without_usage_is_given_or_refused_but_never_free(
    limits: Limits, tmp_path: Path, name: str
) -> None:
    body = (
        {"output": {"message": {"role": "assistant", "content": [{"text": "x"}]}}, "stopReason": "end_turn"}
        if name == "nova-pro"
        else {"type": "message", "role": "assistant", "content": [], "stop_reason": "end_turn"}
    )
    async with over(says(answer(compact(body))), limits, tmp_path, name) as (plane, _):
        await post(plane, "/v1/messages", stream=False, model=name)
        assert only(plane).is_metered is False and only(plane).cost_nanousd > 0


@pytest.mark.parametrize("cut_at", range(1, len(CLAUDE_EVENTS)), ids=[event["type"] for event in CLAUDE_EVENTS[1:]])
async def test_claudes_own_events_may_break_off_anywhere(limits: Limits, tmp_path: Path, cut_at: int) -> None:
    script = says(HEAD, chunk(claude_frames(CLAUDE_EVENTS[:cut_at])), then="reset")
    async with over(script, limits, tmp_path, "claude-sonnet-4-5") as (plane, _):
        got = await post(plane, "/v1/messages", stream=True, model="claude-sonnet-4-5")
        settled = only(plane)
        has_stop = any(event["type"] == "message_delta" for event in CLAUDE_EVENTS[:cut_at])
        assert settled.status == ("ok" if has_stop else "failed")
        assert ("message_stop" in got.text) is False or has_stop
        if got.status_code == 200 and not has_stop:
            assert error_in_stream("/v1/messages", got.text)
            check_bound(plane)


class TestImpatientGate:
    """Limits of a fraction of a second, so that a silent upstream runs into them."""

    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(idle_timeout_s=0.3, first_byte_timeout_s=0.3, drain_timeout_s=20, keepalive_s=20)

    @pytest.mark.parametrize("stream", (False, True))
    @pytest.mark.parametrize("door", DOORS)
    async def test_silence_before_the_first_byte_is_a_timeout_and_may_be_billed(
        self, limits: Limits, tmp_path: Path, door: str, stream: bool
    ) -> None:
        async with over(says(then="silence"), limits, tmp_path) as (plane, _):
            got = await post(plane, door, stream=stream)
            assert got.status_code == 504 and got.json()["error"]["message"]
            assert only(plane).error == "upstream_timeout"
            check_bound(plane)

    @pytest.mark.parametrize("door", DOORS)
    async def test_silence_in_the_middle_ends_the_stream_with_an_error_at_the_bound(
        self, limits: Limits, tmp_path: Path, door: str
    ) -> None:
        script = says(HEAD, chunk(converse_frames(SOME)), then="silence")
        async with over(script, limits, tmp_path) as (plane, _):
            got = await post(plane, door, stream=True)
            assert "in time" in error_in_stream(door, got.text)
            check_bound(plane)

    async def test_silence_in_a_whole_answer_is_a_timeout_at_the_bound(self, limits: Limits, tmp_path: Path) -> None:
        script = says(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{", then="silence")
        async with over(script, limits, tmp_path) as (plane, _):
            assert (await post(plane, "/v1/messages", stream=False)).status_code == 504
            check_bound(plane)


class TestShortCalls:
    """A call may take a second in all."""

    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(call_timeout_s=1)

    @pytest.mark.parametrize("has_begun", (False, True))
    async def test_an_upstream_that_drips_for_ever_is_stopped(
        self, limits: Limits, tmp_path: Path, has_begun: bool
    ) -> None:
        async def drip(wire: Wire) -> None:
            await wire.request()
            await wire.say(HEAD, chunk(converse_frames(SOME if has_begun else SOME[:1])))
            while not wire.writer.transport.is_closing():
                await wire.say(chunk(event_frame("somethingNew", b"{}")))
                await asyncio.sleep(0.01)

        async with over(drip, limits, tmp_path) as (plane, _):
            got = await post(plane, "/v1/messages", stream=True)
            assert got.status_code == (200 if has_begun else 504)
            assert only(plane).error == "upstream_timeout"


async def test_a_second_deployment_answers_when_the_first_cannot_begin(limits: Limits, tmp_path: Path) -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        if wire.number == 0:
            await wire.say(HEAD, chunk(exception_frame("throttlingException", {"message": "slow"})), END)
        else:
            await wire.say(HEAD, chunk(converse_frames()), END)

    async with over(script, limits, tmp_path, deployments=2) as (plane, server):
        got = await post(plane, "/v1/chat/completions", stream=True)
        assert "[DONE]" in got.text and '"error":{' not in got.text and len(server.wires) == 2
        assert [attempt.error for attempt in only(plane).attempts] == ["rate_limit_exceeded", ""]
        assert only(plane).is_metered is True


async def test_a_connection_closed_while_idle_is_not_an_error(limits: Limits, tmp_path: Path) -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.say(HEAD, chunk(converse_frames()), END)

    async with over(script, limits, tmp_path) as (plane, _):
        for _ in range(5):
            got = await post(plane, "/v1/chat/completions", stream=True)
            assert "[DONE]" in got.text
        assert len(plane.journal.settled) == 5 and {one.status for one in plane.journal.settled} == {"ok"}


async def test_the_connection_of_a_good_answer_serves_again(limits: Limits, tmp_path: Path) -> None:
    async def script(wire: Wire) -> None:
        while True:
            await wire.request()
            await wire.say(HEAD, chunk(converse_frames()), END)

    async with over(script, limits, tmp_path) as (plane, server):
        for _ in range(5):
            assert "[DONE]" in (await post(plane, "/v1/chat/completions", stream=True)).text
        assert len(server.wires) == 1


async def test_an_upstream_that_never_stops_behind_its_end_is_let_go(limits: Limits, tmp_path: Path) -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.say(HEAD, chunk(converse_frames()))
        while not wire.writer.transport.is_closing():
            await wire.say(chunk(b"\0" * 1000))

    async with over(script, limits, tmp_path) as (plane, _):
        assert "[DONE]" in (await post(plane, "/v1/chat/completions", stream=True)).text
        assert only(plane).status == "ok"


async def test_a_fault_of_our_own_is_settled_and_told_by_id_alone(
    limits: Limits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> bytes:
        raise KeyError("secret detail")

    monkeypatch.setattr("sekisho.dialects.openai_chat.ReplyRenderer.events", fails)
    async with over(stream_of(converse_frames()), limits, tmp_path) as (plane, _):
        with caplog.at_level(logging.CRITICAL):
            got = await post(plane, "/v1/chat/completions", stream=True)
        assert got.status_code == 500 and "secret" not in got.text
        settled = only(plane)
        assert (settled.status, settled.error, settled.is_metered) == ("failed", "internal_error", False)
