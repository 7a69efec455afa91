import asyncio
import json

import pytest

from sekisho.clock import FakeClock
from sekisho.errors import (
    ContextTooLong,
    RateLimited,
    SekishoError,
    UpstreamAccessDenied,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from sekisho.upstream.bedrock.client import BedrockClient
from sekisho.upstream.http1 import Http1Client
from sekisho.values import AwsCredential, BearerCredential, Deployment
from tests.unit.upstream.servers import Server, Wire, answer, serving

KEYS = AwsCredential("AKID", "secret", "token")


def deployment(server: Server, model: str = "anthropic.claude-opus-5-5") -> Deployment:
    return Deployment("d1", "bedrock", "bedrock_converse", server.url, model, region="ap-northeast-1")


async def failure(*lines: bytes, status: bytes, body: object) -> SekishoError:
    """What a call ends with when Bedrock answers so."""

    async def script(wire: Wire) -> None:
        await wire.request()
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        await wire.say(answer(data, b"x-amzn-RequestId: r-1", *lines, status=status))

    http = Http1Client()
    async with serving(script) as server:
        with pytest.raises(SekishoError) as raised:
            await BedrockClient(http, FakeClock()).open(
                deployment(server), KEYS, "converse", b"{}", first_byte_timeout_s=10
            )
        await http.close()
    assert raised.value.upstream_request_id == "r-1"
    assert raised.value.upstream_status == int(status.split()[0])
    return raised.value


async def test_a_call_is_signed_json_for_the_model_as_one_path_segment() -> None:
    seen = []

    async def script(wire: Wire) -> None:
        for _ in range(2):
            seen.append(await wire.request())
            await wire.say(answer(b"{}"))

    http = Http1Client()
    client = BedrockClient(http, FakeClock())
    arn = "arn:aws:bedrock:ap-northeast-1:111122223333:inference-profile/jp.x-v1:0"
    async with serving(script) as server:
        for credential in (KEYS, BearerCredential("bedrock-api-key-x")):
            response = await client.open(
                deployment(server, arn),
                credential,
                "converse-stream",
                b'{"messages":[]}',
                first_byte_timeout_s=10,
                headers=[(b"x-amzn-bedrock-trace", b"ENABLED")],
            )
            assert await response.read(10, 10) == b"{}"
        await http.close()
    path = (
        "/model/arn%3Aaws%3Abedrock%3Aap-northeast-1%3A111122223333%3Ainference-profile%2Fjp.x-v1%3A0/converse-stream"
    )
    assert [request.line for request in seen] == [f"POST {path} HTTP/1.1".encode()] * 2
    assert [request.body for request in seen] == [b'{"messages":[]}'] * 2
    signed, bearer = (dict(request.headers) for request in seen)
    for headers in (signed, bearer):
        assert headers[b"content-type"] == b"application/json"
        assert headers[b"accept"] == b"application/vnd.amazon.eventstream"
        assert headers[b"x-amzn-bedrock-trace"] == b"ENABLED"
    assert b"content-type;host;x-amz-date;x-amz-security-token;x-amzn-bedrock-trace" in signed[b"Authorization"]
    assert b"/20251113/ap-northeast-1/bedrock/aws4_request" in signed[b"Authorization"]
    assert bearer[b"authorization"] == b"Bearer bedrock-api-key-x"
    assert b"X-Amz-Date" not in bearer


@pytest.mark.parametrize(
    "words",
    [
        "Input is too long for requested model.",
        "The model returned the following errors: prompt is too long: 208310 tokens > 200000 maximum",
        "Too many input tokens. Max input tokens: 128000, request input token count: 130001",
        "The model returned the following errors: input length and `max_tokens` exceed context limit: 190000 + 21333",
        "This model's maximum context length is 8192 tokens. Please reduce the length of the prompt",
    ],
)
async def test_a_prompt_that_does_not_fit_is_told_in_the_words_agents_know(words: str) -> None:
    error = await failure(b"x-amzn-ErrorType: ValidationException:http://x", status=b"400 Bad", body={"message": words})
    assert isinstance(error, ContextTooLong)
    assert "prompt is too long" in error.message
    assert words in error.message


async def test_a_refused_call_keeps_the_words_but_not_the_account() -> None:
    words = "The provided model identifier arn:aws:bedrock:us-east-1:111122223333:x/y is invalid."
    error = await failure(b"x-amzn-ErrorType: ValidationException", status=b"400 Bad", body={"message": words})
    assert isinstance(error, UpstreamRejected)
    assert error.status == 400
    assert error.message == (
        "The call was refused by Amazon Bedrock in ap-northeast-1: "
        "The provided model identifier arn:aws:bedrock:us-east-1:***:x/y is invalid."
    )
    assert error.upstream_message == words


@pytest.mark.parametrize("name", ["AccessDeniedException", "UnrecognizedClientException", "ExpiredTokenException"])
async def test_refused_credentials_are_the_operators_matter_and_nobodys_reading(name: str) -> None:
    words = "User: arn:aws:sts::111122223333:assumed-role/gateway/x is not authorized"
    error = await failure(status=b"403 Forbidden", body={"__type": f"com.amazon#{name}", "Message": words})
    assert isinstance(error, UpstreamAccessDenied)
    assert (error.status, error.retryable) == (502, False)
    assert error.message == "The gateway's credentials were refused by Amazon Bedrock in ap-northeast-1."
    assert error.upstream_message == words


@pytest.mark.parametrize(
    ("line", "wait_s"),
    [
        (b"x: y", 5),
        (b"Retry-After: 7", 7),
        (b"retry-after: 3600", 59),
        (b"retry-after: Fri, 31 Dec 1999 23:59:59 GMT", 5),
    ],
)
async def test_throttling_is_a_rate_limit_with_the_wait_it_names(line: bytes, wait_s: int) -> None:
    error = await failure(
        line,
        b"x-amzn-ErrorType: ThrottlingException",
        status=b"429 Too Many Requests",
        body={"message": "Too many tokens, please wait before trying again."},
    )
    assert isinstance(error, RateLimited)
    assert error.retry_after_s == wait_s
    assert "oo many tokens" not in error.message  # agents would compact their context


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (b"400 Bad", {"__type": "ServiceQuotaExceededException"}, RateLimited),
        (b"404 Not Found", {"__type": "ResourceNotFoundException", "message": "end of life"}, UpstreamRejected),
        (b"408 Late", {"__type": "ModelTimeoutException"}, UpstreamTimeout),
        (b"413 Large", b"<html>", UpstreamRejected),
        (b"424 Failed", {"__type": "ModelErrorException"}, UpstreamUnavailable),
        (b"424 Failed", {"__type": "ModelErrorException", "originalStatusCode": 400}, UpstreamRejected),
        (b"424 Failed", {"__type": "ModelErrorException", "originalStatusCode": 429}, RateLimited),
        (b"424 Failed", {"__type": "ModelErrorException", "originalStatusCode": 500}, UpstreamUnavailable),
        (b"429 Wait", {"__type": "ModelNotReadyException"}, UpstreamUnavailable),
        (b"429 Wait", b"", RateLimited),
        (b"500 Oops", {"__type": "InternalServerException"}, UpstreamUnavailable),
        (b"503 Busy", {"__type": "ServiceUnavailableException"}, UpstreamUnavailable),
        (b"504 Late", b"<html>gateway</html>", UpstreamTimeout),
        (b"403 No", b"[" * 60_000, UpstreamAccessDenied),
        (b"502 Bad", b"\xff\xfe", UpstreamUnavailable),
        (b"302 Found", b"", UpstreamUnavailable),
        (b"201 Created", b"{}", UpstreamUnavailable),
    ],
)
async def test_every_other_answer_has_its_meaning(status: bytes, body: object, expected: type[SekishoError]) -> None:
    assert type(await failure(status=status, body=body)) is expected


@pytest.mark.parametrize("ending", [b"", b"Transfer-Encoding: chunked\r\n\r\nfffff\r\n" + b"x" * 100_000])
async def test_an_error_whose_body_cannot_be_had_is_told_by_its_status(ending: bytes) -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.say(b"HTTP/1.1 503 Busy\r\n" + (ending or b"Content-Length: 10\r\n\r\n{"))

    http = Http1Client()
    async with serving(script) as server:
        with pytest.raises(UpstreamUnavailable) as raised:
            await BedrockClient(http, FakeClock()).open(
                deployment(server), KEYS, "invoke", b"{}", first_byte_timeout_s=10
            )
        assert raised.value.upstream_status == 503
        await asyncio.sleep(0)
        await http.close()
