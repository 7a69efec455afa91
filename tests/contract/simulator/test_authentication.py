"""Who may call: botocore's own signatures and tokens are the oracle."""

import asyncio
import base64
import http.client
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from sekisho.clock import FakeClock
from sekisho.simulator.credentials import SIMULATOR_CREDENTIAL
from sekisho.simulator.server import Simulator
from sekisho.values import AwsCredential
from tests.contract.simulator.conftest import OPUS, REGION, SONNET, Bedrock, connected, running, text, user

ASK = {"modelId": SONNET, "messages": [user(text())]}
BODY = b'{"messages":[{"role":"user","content":[{"text":"Hello"}]}]}'


def signed_headers(url: str, body: bytes = BODY, *, region: str = REGION, service: str = "bedrock") -> dict[str, str]:
    keys = Credentials(SIMULATOR_CREDENTIAL.access_key_id, SIMULATOR_CREDENTIAL.secret_access_key)
    request = AWSRequest("POST", url, data=body, headers={"Content-Type": "application/json"})
    SigV4Auth(keys, service, region).add_auth(request)
    return dict(request.headers.items())


async def post(url: str, headers: dict[str, str], body: bytes = BODY) -> tuple[int, str, str]:
    """Status, exception name and body of a request made by hand."""

    def send() -> tuple[int, str, str]:
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(str(parts.netloc), timeout=20)
        connection.request("POST", parts.path, body, headers)
        answer = connection.getresponse()
        content = answer.read().decode()
        connection.close()
        return answer.status, (answer.getheader("x-amzn-errortype") or "").partition(":")[0], content

    return await asyncio.to_thread(send)


@pytest.mark.parametrize(
    "model_id",
    [
        SONNET,
        OPUS,
        f"arn:aws:bedrock:{REGION}:111122223333:inference-profile/{SONNET}",
        f"arn:aws:bedrock:{REGION}::foundation-model/{OPUS}",
    ],
)
async def test_boto3_signatures_hold_for_every_kind_of_model_id(bedrock: Bedrock, model_id: str) -> None:
    answer = await bedrock.call("converse", modelId=model_id, messages=[user(text())])
    assert answer["stopReason"] == "end_turn"


async def test_a_wrong_secret_is_a_signature_mismatch(url: str) -> None:
    with connected(url, AwsCredential(SIMULATOR_CREDENTIAL.access_key_id, "another-secret")) as other:
        code, status, message = await other.refusal("converse", **ASK)
    assert (code, status) == ("InvalidSignatureException", 403)
    assert message.startswith("The request signature we calculated does not match the signature you provided.")


async def test_an_unknown_access_key_is_an_unrecognized_client(url: str) -> None:
    with connected(url, AwsCredential("AKIAUNKNOWN000000000", "secret")) as other:
        refusal = await other.refusal("converse", **ASK)
    assert refusal == ("UnrecognizedClientException", 403, "The security token included in the request is invalid.")


async def test_a_session_token_must_be_the_credentials_own(url: str) -> None:
    known = SIMULATOR_CREDENTIAL
    with connected(url, AwsCredential(known.access_key_id, known.secret_access_key, "token")) as other:
        assert (await other.refusal("converse", **ASK))[0] == "UnrecognizedClientException"
    credential = AwsCredential("ASIASESSION000000000", "secret", "session-token")
    async with running(credential=credential) as (_, other_url):
        with connected(other_url, credential) as own:
            assert (await own.call("converse", **ASK))["stopReason"] == "end_turn"
        with connected(other_url, AwsCredential("ASIASESSION000000000", "secret", "stale")) as stale:
            assert (await stale.refusal("converse", **ASK))[0] == "UnrecognizedClientException"


async def test_expired_credentials_are_refused(clock: FakeClock) -> None:
    credential = AwsCredential("ASIASESSION000000000", "secret", "session-token", expires_at=clock.now_us())
    async with running(clock, credential=credential) as (_, url):
        with connected(url, credential) as client:
            assert (await client.refusal("converse", **ASK))[:2] == ("ExpiredTokenException", 403)


async def test_another_region_or_service_is_refused(url: str) -> None:
    with connected(url, region="mars-north-1") as other:
        code, status, message = await other.refusal("converse", **ASK)
    assert (code, status) == ("InvalidSignatureException", 403)
    assert "valid region, not 'mars-north-1'" in message
    target = f"{url}/model/{OPUS}/converse"
    status, code, content = await post(target, signed_headers(target, service="s3"))
    assert (status, code) == (403, "InvalidSignatureException")
    assert "correct service: 'bedrock'" in content


@pytest.mark.parametrize(("seconds", "words"), [(301, "Signature expired"), (-301, "Signature not yet current")])
async def test_a_clock_five_minutes_off_is_refused(
    bedrock: Bedrock, clock: FakeClock, seconds: float, words: str
) -> None:
    clock.step(seconds + (2 if seconds > 0 else -2))
    code, status, message = await bedrock.refusal("converse", **ASK)
    assert (code, status) == ("InvalidSignatureException", 403)
    assert message.startswith(words)


async def test_a_changed_body_breaks_the_signature(url: str) -> None:
    target = f"{url}/model/{OPUS}/converse"
    headers = signed_headers(target)
    assert (await post(target, headers))[0] == 200
    assert (await post(target, headers, BODY.replace(b"Hello", b"Jello")))[:2] == (403, "InvalidSignatureException")


async def test_an_unsigned_amz_header_is_refused(url: str) -> None:
    target = f"{url}/model/{OPUS}/converse"
    headers = {**signed_headers(target), "x-amz-extra": "1"}
    assert (await post(target, headers))[:2] == (403, "InvalidSignatureException")


async def test_no_authentication_is_a_missing_token(url: str) -> None:
    status, code, content = await post(f"{url}/model/{OPUS}/converse", {})
    assert (status, code) == (403, "MissingAuthenticationTokenException")
    assert content == '{"message":"Missing Authentication Token"}'


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        (f"AKIA/20261122/{REGION}/bedrock", "exactly 5 slash-delimited elements"),
        (f"AKIA/20261122/{REGION}/bedrock/aws5_request", "valid terminator: 'aws4_request'"),
    ],
)
async def test_a_malformed_scope_is_refused(url: str, scope: str, words: str) -> None:
    authorization = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=ab"
    headers = {"authorization": authorization, "x-amz-date": "20261122T000000Z"}
    status, _, content = await post(f"{url}/model/{OPUS}/converse", headers)
    assert status == 403
    assert words in content


@pytest.mark.parametrize("date", ["yesterday", "20200101T000000Z"])
async def test_a_date_that_is_not_the_scopes_is_refused(url: str, date: str) -> None:
    target = f"{url}/model/{OPUS}/converse"
    assert (await post(target, {**signed_headers(target), "X-Amz-Date": date}))[0] == 403


async def test_signatures_without_a_date_or_over_absent_headers_are_refused(url: str) -> None:
    target = f"{url}/model/{OPUS}/converse"
    headers = signed_headers(target)
    undated = {name: value for name, value in headers.items() if name != "X-Amz-Date"}
    assert (await post(target, undated))[:2] == (403, "IncompleteSignatureException")
    more = {**headers, "Authorization": headers["Authorization"].replace("SignedHeaders=", "SignedHeaders=absent;")}
    assert (await post(target, more))[:2] == (403, "InvalidSignatureException")


async def test_a_declared_body_hash_must_be_the_bodys(url: str) -> None:
    target = f"{url}/model/{OPUS}/converse"
    headers = signed_headers(target)
    signed = headers["Authorization"].replace("x-amz-date", "x-amz-content-sha256;x-amz-date")
    declared = {**headers, "x-amz-content-sha256": "0" * 64, "Authorization": signed}
    assert (await post(target, declared))[:2] == (403, "InvalidSignatureException")


@pytest.mark.parametrize(
    "authorization", ["Basic eDp5", "AWS4-HMAC-SHA256 Credential=a/b/c", "AWS4-HMAC-SHA256 Signature=ab"]
)
async def test_an_incomplete_authorization_is_refused(url: str, authorization: str) -> None:
    answer = await post(f"{url}/model/{OPUS}/converse", {"authorization": authorization, "x-amz-date": "x"})
    assert answer[:2] == (403, "IncompleteSignatureException")


async def test_a_long_term_api_key_opens_the_first_account(bearer: Bedrock) -> None:
    assert (await bearer.call("converse", **ASK))["stopReason"] == "end_turn"


async def test_an_unknown_api_key_is_refused(url: str) -> None:
    answer = await post(f"{url}/model/{OPUS}/converse", {"authorization": "Bearer sk-unknown"})
    assert answer[:2] == (403, "AccessDeniedException")


def short_term_key(secret: str, region: str = REGION, expires_s: int = 3600) -> str:
    """A short-term API key as AWS's token generator makes it: a presigned URL in base64."""
    request = AWSRequest("POST", "https://bedrock.amazonaws.com/", params={"Action": "CallWithBearerToken"})
    keys = Credentials(SIMULATOR_CREDENTIAL.access_key_id, secret)
    SigV4QueryAuth(keys, "bedrock", region, expires=expires_s).add_auth(request)
    presigned = str(request.url).removeprefix("https://") + "&Version=1"
    return "bedrock-api-key-" + base64.b64encode(presigned.encode()).decode()


async def test_a_short_term_api_key_is_verified_and_pinned_to_its_region(url: str, clock: FakeClock) -> None:
    target = f"{url}/model/{OPUS}/converse"
    key = short_term_key(SIMULATOR_CREDENTIAL.secret_access_key)
    assert (await post(target, {"authorization": f"Bearer {key}"}))[0] == 200
    forged = short_term_key("another-secret")
    assert (await post(target, {"authorization": f"Bearer {forged}"}))[:2] == (403, "AccessDeniedException")
    american = short_term_key(SIMULATOR_CREDENTIAL.secret_access_key, "us-east-1")
    european = f"{url}/model/{SONNET.replace(':', '%3A')}/converse"
    assert (await post(european, {"authorization": f"Bearer {american}"}))[:2] == (400, "ValidationException")
    clock.advance(3700)
    assert (await post(target, {"authorization": f"Bearer {key}"}))[:2] == (403, "ExpiredTokenException")


@pytest.mark.parametrize("key", ["bedrock-api-key-!", "bedrock-api-key-" + base64.b64encode(b"x/?a=b").decode()])
async def test_a_malformed_short_term_key_is_refused(url: str, key: str) -> None:
    answer = await post(f"{url}/model/{OPUS}/converse", {"authorization": f"Bearer {key}"})
    assert answer[:2] == (403, "AccessDeniedException")


async def test_each_call_is_kept_with_who_made_it(bedrock: Bedrock, simulator: Simulator) -> None:
    await bedrock.call("converse", **ASK)
    (call,) = simulator.calls
    assert (call.operation, call.model_id, call.region, call.is_bearer, call.status) == (
        "Converse",
        SONNET,
        REGION,
        False,
        200,
    )
