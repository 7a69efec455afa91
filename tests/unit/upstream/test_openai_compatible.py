import pytest

from sekisho.errors import (
    ContextTooLong,
    RateLimited,
    SekishoError,
    UpstreamAccessDenied,
    UpstreamRejected,
    UpstreamUnavailable,
)
from sekisho.upstream.http1 import Http1Client
from sekisho.upstream.openai_compatible import OpenAICompatibleClient
from sekisho.values import BearerCredential, Deployment
from tests.unit.upstream.servers import Wire, answer, serving


@pytest.mark.parametrize(
    ("credential", "stream", "accept"),
    [(BearerCredential("sk-x"), True, b"text/event-stream"), (None, False, b"application/json")],
)
async def test_calls_go_to_chat_completions_below_the_endpoint(
    credential: BearerCredential | None, stream: bool, accept: bytes
) -> None:
    seen = []

    async def script(wire: Wire) -> None:
        seen.append(await wire.request())
        await wire.say(answer(b"{}"))

    http = Http1Client()
    async with serving(script) as server:
        deployment = Deployment("d1", "openai", "openai_chat", server.url + "/v1/", "gpt-x")
        client = OpenAICompatibleClient(http)
        (await client.open(deployment, credential, b"1", stream=stream, first_byte_timeout_s=10)).close()
        await http.close()
    headers = dict(seen[0].headers)
    assert (seen[0].line, seen[0].body) == (b"POST /v1/chat/completions HTTP/1.1", b"1")
    assert headers.get(b"authorization") == (b"Bearer sk-x" if credential else None)
    assert headers[b"accept"] == accept


@pytest.mark.parametrize(
    ("status", "body", "expected", "words"),
    [
        (400, b'{"error":{"message":"bad","type":"invalid_request_error","code":null}}', UpstreamRejected, "bad"),
        (400, b'{"error":{"message":"no room","code":"context_length_exceeded"}}', ContextTooLong, "no room"),
        (
            400,
            b'{"object":"error","message":"This model\'s maximum context length is 4096 tokens","code":400}',
            ContextTooLong,
            "maximum context",
        ),
        (400, b'{"error":"plain words"}', UpstreamRejected, "plain words"),
        (422, b'{"detail":[{"loc":["body"],"msg":"field required"}]}', UpstreamRejected, "field required"),
        (404, b'{"detail":"Not Found"}', UpstreamRejected, "Not Found"),
        (401, b'{"error":{"message":"Incorrect API key sk-x","code":"invalid_api_key"}}', UpstreamAccessDenied, ""),
        (403, b"", UpstreamAccessDenied, ""),
        (429, b'{"error":{"message":"limit","code":"rate_limit_exceeded"}}', RateLimited, ""),
        (429, b'{"error":{"message":"pay","code":"insufficient_quota"}}', UpstreamAccessDenied, ""),
        (500, b'{"error":{"message":"oops","code":500}}', UpstreamUnavailable, ""),
        (503, b"<html>", UpstreamUnavailable, ""),
    ],
)
async def test_every_error_has_its_meaning(status: int, body: bytes, expected: type[SekishoError], words: str) -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.say(answer(body, b"x-request-id: req_1", b"retry-after-ms: 2500", status=b"%d X" % status))

    http = Http1Client()
    async with serving(script) as server:
        deployment = Deployment("d1", "openai", "openai_chat", server.url, "gpt-x")
        with pytest.raises(SekishoError) as raised:
            await OpenAICompatibleClient(http).open(deployment, None, b"{}", stream=False, first_byte_timeout_s=10)
        await http.close()
    error = raised.value
    assert type(error) is expected
    assert words in error.message
    assert "sk-x" not in error.message
    assert (error.upstream_status, error.upstream_request_id) == (status, "req_1")
    assert error.retry_after_s == (3 if expected is RateLimited else None)
