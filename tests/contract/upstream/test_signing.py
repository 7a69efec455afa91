"""Our signatures are botocore's signatures."""

from datetime import UTC, datetime
from unittest import mock
from urllib.parse import quote

from botocore import auth
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from sekisho.upstream.bedrock.signing import Signer
from sekisho.upstream.payload import Payload
from sekisho.values import AwsCredential

VISIBLE = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)
MODEL_IDS = st.one_of(
    st.sampled_from(
        [
            "anthropic.claude-opus-5-5",
            "jp.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "arn:aws:bedrock:ap-northeast-1:111122223333:application-inference-profile/a1b2c3d4e5f6",
        ]
    ),
    VISIBLE.filter(lambda text: text not in (".", "..")),
)
HEADERS = st.lists(
    st.tuples(
        st.one_of(
            st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,20}", fullmatch=True),
            st.sampled_from(["User-Agent", "TraceParent", "X-Amzn-Trace-Id", "Content-Type", "Connection"]),
        ).filter(
            lambda name: name.lower() not in ("host", "authorization", "date", "x-amz-date", "x-amz-security-token")
        ),
        st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40),
    ),
    max_size=6,
)
QUERIES = st.lists(st.tuples(st.from_regex(r"[a-z]{1,3}", fullmatch=True), VISIBLE), max_size=4).map(
    lambda pairs: "&".join(f"{name}={quote(value, safe='')}" for name, value in pairs)
)
CREDENTIALS = st.builds(AwsCredential, VISIBLE, VISIBLE, st.one_of(st.just(""), VISIBLE))
MOMENTS_US = st.integers(1_600_000_000_000_000, 2_000_000_000_000_000)
SIGNERS: dict[str, Signer] = {}  # kept over examples, so that what a signer remembers is put to the test too


@given(
    credential=CREDENTIALS,
    region=st.sampled_from(["us-east-1", "ap-northeast-1", "us-gov-west-1"]),
    model_id=MODEL_IDS,
    query=QUERIES,
    headers=HEADERS,
    body_parts=st.lists(st.binary(max_size=200), max_size=3),
    now_us=MOMENTS_US,
)
def test_a_signature_is_the_one_botocore_makes(
    credential: AwsCredential,
    region: str,
    model_id: str,
    query: str,
    headers: list[tuple[str, str]],
    body_parts: list[bytes],
    now_us: int,
) -> None:
    host = f"bedrock-runtime.{region}.amazonaws.com"
    path = f"/model/{quote(model_id, safe='')}/converse"
    request = AWSRequest("POST", f"https://{host}{path}" + (f"?{query}" if query else ""), data=b"".join(body_parts))
    for name, value in headers:
        request.headers.add_header(name, value)
    keys = Credentials(credential.access_key_id, credential.secret_access_key, credential.session_token or None)
    moment = datetime.fromtimestamp(now_us // 1_000_000, UTC)
    with mock.patch.object(auth, "get_current_datetime", lambda: moment):
        SigV4Auth(keys, "bedrock", region).add_auth(request)

    signer = SIGNERS.setdefault(region, Signer(region))
    sent = [(name.encode(), value.encode()) for name, value in headers]
    ours = dict(signer.headers(credential, b"POST", host, path, query, sent, Payload(body_parts).sha256_hex(), now_us))

    wanted = ("Authorization", "X-Amz-Date", *(["X-Amz-Security-Token"] if credential.session_token else []))
    assert ours == {name.encode(): request.headers[name].encode() for name in wanted}
