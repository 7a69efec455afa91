"""What an answer costs is booked exactly, before its client sees the end."""

import asyncio
import json
from decimal import Decimal

import httpx
import pytest

from sekisho.calls.gate import Limits
from tests.acceptance.conftest import ALICE, Gateway

# USD per 1,000,000 tokens of Claude Sonnet 4.5, as published: input, output, cache read, cache write 5 minutes
SONNET = (Decimal(3), Decimal(15), Decimal("0.30"), Decimal("3.75"))
AUTH = {"authorization": f"Bearer {ALICE}"}


def messages(text: str, **more) -> dict:
    return {"model": "claude-sonnet-4-5", "max_tokens": 500, "messages": [{"role": "user", "content": text}], **more}


async def test_the_cost_is_the_published_price_of_what_the_upstream_counted(gateway: Gateway) -> None:
    cached = [{"type": "text", "text": "rule " * 6000, "cache_control": {"type": "ephemeral"}}]
    async with httpx.AsyncClient() as client:
        for _ in range(2):
            answer = await client.post(
                gateway.url + "/v1/messages", json=messages("Hello", system=cached), headers=AUTH
            )
            usage = answer.json()["usage"]
            counts = (
                usage["input_tokens"],
                usage["output_tokens"],
                usage["cache_read_input_tokens"],
                usage["cache_creation_input_tokens"],
            )
            scope = gateway.journal.settled[-1].attempts[0].price_scope
            premium = Decimal(1) if scope in ("in-region", "global") else Decimal("1.1")
            expected = sum(n * price for n, price in zip(counts, SONNET, strict=True)) * premium / 1_000_000
            assert Decimal(answer.headers["x-litellm-response-cost"]) == expected
    first, second = gateway.journal.settled
    assert first.usage.cache_write_5m_tokens == second.usage.cache_read_tokens > 4000
    assert second.cost_nanousd < first.cost_nanousd / 5


async def test_every_opened_call_is_settled_once_within_its_bound(gateway: Gateway) -> None:
    async with httpx.AsyncClient() as client:
        asks = [client.post(gateway.url + "/v1/messages", json=messages(f"Hello {n}"), headers=AUTH) for n in range(30)]
        assert {answer.status_code for answer in await asyncio.gather(*asks)} == {200}
    bounds = {opened.call_id: opened.reserved_nanousd for opened in gateway.journal.opened}
    settled = gateway.journal.settled
    assert sorted(bounds) == sorted(one.call_id for one in settled)
    assert all(0 < one.cost_nanousd <= bounds[one.call_id] and one.is_metered for one in settled)


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("throttle", 429, "rate_limit_exceeded"),
        ("unavailable", 502, "upstream_unavailable"),
        ("validation", 400, "upstream_rejected"),
        ("access_denied", 502, "upstream_access_denied"),
    ],
)
async def test_a_refusal_by_the_upstream_is_free_and_named(
    gateway: Gateway, fault: str, status: int, code: str
) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.post(
            gateway.url + "/v1/messages", json=messages(f"[[simulate: {fault}]] Hello", stream=True), headers=AUTH
        )
    settled = gateway.journal.settled[0]
    assert answer.status_code == status and answer.json()["type"] == "error"
    assert (settled.status, settled.error, settled.cost_nanousd) == ("failed", code, 0)


async def test_a_stream_without_usage_is_booked_at_its_bound(gateway: Gateway) -> None:
    ask = messages("[[simulate: missing_metadata]] Hello", stream=True) | {"model": "nova-pro"}
    async with httpx.AsyncClient() as client:
        await client.post(gateway.url + "/v1/chat/completions", json=ask, headers=AUTH)
    assert gateway.journal.settled[0].is_metered is False


async def test_a_call_that_cannot_be_recorded_is_not_sent(gateway: Gateway) -> None:
    gateway.journal.is_full = True
    async with httpx.AsyncClient() as client:
        answer = await client.post(gateway.url + "/v1/messages", json=messages("Hello"), headers=AUTH)
    assert answer.status_code == 503
    assert list(gateway.simulator.calls) == []


class TestPacedStreams:
    """Streams that come event by event, as a model writes them."""

    @pytest.fixture
    def pace_s(self) -> float:
        return 0.01

    @pytest.mark.parametrize("fault", ("mid_stream_exception", "cut", "bad_crc"))
    @pytest.mark.parametrize("door", ("/v1/messages", "/v1/chat/completions"))
    async def test_a_stream_that_breaks_ends_with_an_error_and_is_booked_at_its_bound(
        self, gateway: Gateway, fault: str, door: str
    ) -> None:
        ask = messages(f"[[simulate: {fault}]] Hello", stream=True)
        async with httpx.AsyncClient() as client:
            answer = await client.post(gateway.url + door, json=ask, headers=AUTH)
        assert answer.status_code == 200 and "error" in answer.text
        assert "message_stop" not in answer.text and '"finish_reason":"stop"' not in answer.text
        settled = gateway.journal.settled[0]
        assert (settled.status, settled.is_metered) == ("failed", False)
        assert settled.cost_nanousd > 0

    async def test_the_end_of_a_stream_that_cannot_be_booked_is_withheld(self, gateway: Gateway) -> None:
        ask = messages("Hello", stream=True)
        async with (
            httpx.AsyncClient() as client,
            client.stream("POST", gateway.url + "/v1/messages", json=ask, headers=AUTH) as answer,
        ):
            gateway.journal.is_full = True
            text = (await answer.aread()).decode()
        assert "message_stop" not in text and "event: error" in text


class TestClientLeaves:
    """A client that goes away does not take its bill with it."""

    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(idle_timeout_s=20, first_byte_timeout_s=20, drain_timeout_s=10)

    @pytest.fixture
    def pace_s(self) -> float:
        return 0.05

    async def test_in_mid_stream_the_answer_is_read_to_its_usage(self, gateway: Gateway) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        body = json.dumps(messages("Hello", stream=True)).encode()
        writer.write(
            b"POST /v1/messages HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %b\r\ncontent-length: %d\r\n\r\n%b"
            % (ALICE.encode(), len(body), body)
        )
        await reader.readuntil(b"content_block_delta")
        writer.close()
        (settled,) = await gateway.journal.wait_settled()
        assert (settled.status, settled.is_metered, settled.client_left) == ("ok", True, True)
