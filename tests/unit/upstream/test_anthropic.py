import json

import pytest

from sekisho.errors import (
    ContextTooLong,
    RateLimited,
    SekishoError,
    UpstreamAccessDenied,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from sekisho.upstream.anthropic import AnthropicClient
from sekisho.upstream.http1 import Http1Client
from sekisho.values import BearerCredential, Deployment
from tests.unit.upstream.servers import Wire, answer, serving

KEY = BearerCredential("sk-ant-x")


async def failure(status: int, body: bytes, *lines: bytes) -> SekishoError:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.say(answer(body, b"request-id: req_1", *lines, status=b"%d X" % status))

    http = Http1Client()
    async with serving(script) as server:
        deployment = Deployment("d1", "anthropic", "anthropic_messages", server.url, "claude-x")
        with pytest.raises(SekishoError) as raised:
            await AnthropicClient(http).open(deployment, KEY, b"{}", stream=True, first_byte_timeout_s=10)
        await http.close()
    assert (raised.value.upstream_status, raised.value.upstream_request_id) == (status, "req_1")
    return raised.value


@pytest.mark.parametrize("base", ["", "/v1", "/v1/", "/anthropic"])
async def test_calls_go_to_messages_below_the_endpoint(base: str) -> None:
    seen = []

    async def script(wire: Wire) -> None:
        for _ in range(2):
            seen.append(await wire.request())
            await wire.say(answer(b"{}"))

    http = Http1Client()
    async with serving(script) as server:
        deployment = Deployment("d1", "anthropic", "anthropic_messages", server.url + base, "claude-x")
        client = AnthropicClient(http)
        opened = await client.open(deployment, KEY, b"1", stream=True, betas=["a-1", "b-2"], first_byte_timeout_s=10)
        opened.close()
        (await client.count_tokens(deployment, KEY, b"2", first_byte_timeout_s=10)).close()
        await http.close()
    prefix = "/anthropic" if base == "/anthropic" else ""
    assert [request.line for request in seen] == [
        f"POST {prefix}/v1/messages HTTP/1.1".encode(),
        f"POST {prefix}/v1/messages/count_tokens HTTP/1.1".encode(),
    ]
    assert [request.body for request in seen] == [b"1", b"2"]
    first, second = (dict(request.headers) for request in seen)
    assert first[b"x-api-key"] == b"sk-ant-x"
    assert first[b"anthropic-version"] == b"2023-06-01"
    assert (first[b"anthropic-beta"], first[b"accept"]) == (b"a-1,b-2", b"text/event-stream")
    assert (second.get(b"anthropic-beta"), second[b"accept"]) == (None, b"application/json")


@pytest.mark.parametrize(
    ("status", "type_", "words", "expected"),
    [
        (400, "invalid_request_error", "max_tokens: must be positive", UpstreamRejected),
        (400, "invalid_request_error", "prompt is too long: 208310 tokens > 200000 maximum", ContextTooLong),
        (401, "authentication_error", "invalid x-api-key", UpstreamAccessDenied),
        (402, "billing_error", "no credit", UpstreamAccessDenied),
        (403, "permission_error", "no", UpstreamAccessDenied),
        (404, "not_found_error", "model: claude-x", UpstreamRejected),
        (413, "request_too_large", "Request exceeds the maximum size", UpstreamRejected),
        (429, "rate_limit_error", "your organisation's limit of input tokens per minute", RateLimited),
        (500, "api_error", "Internal server error", UpstreamUnavailable),
        (504, "timeout_error", "late", UpstreamTimeout),
        (529, "overloaded_error", "Overloaded", UpstreamUnavailable),
    ],
)
async def test_every_error_type_has_its_meaning(
    status: int, type_: str, words: str, expected: type[SekishoError]
) -> None:
    body = {"type": "error", "error": {"type": type_, "message": words}, "request_id": "req_1"}
    error = await failure(status, json.dumps(body).encode(), b"retry-after: 12")
    assert type(error) is expected
    assert error.upstream_message == words
    assert (words in error.message) is (expected in (UpstreamRejected, ContextTooLong))
    assert error.retry_after_s == (12 if expected is RateLimited else None)


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"error": "no"}', b"[1", b"\xff"])
async def test_an_error_without_its_body_is_told_by_its_status(body: bytes) -> None:
    assert type(await failure(529, body)) is UpstreamUnavailable
    assert type(await failure(429, body)) is RateLimited
    assert (await failure(422, body)).status == 422
