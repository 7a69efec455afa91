"""Against a small STS on loopback; the AWS environment of the machine is hidden."""

import asyncio
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs

import msgspec
import pytest

from sekisho.clock import FakeClock
from sekisho.errors import UpstreamAccessDenied, UpstreamUnavailable
from sekisho.upstream.bedrock.credentials import AwsCredentials
from sekisho.upstream.bedrock.default_chain import has_default_credentials
from sekisho.values import AwsCredential, BearerCredential, CredentialSource
from tests.unit.upstream.servers import Wire, answer, serving

BASE = CredentialSource("static", access_key_id="AKIDBASE", secret_access_key="env:BASE_SECRET")
ROLE = "arn:aws:iam::111122223333:role/llm"


@pytest.fixture(autouse=True)
def no_aws_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_PROFILE",
        "AWS_DEFAULT_PROFILE",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("AWS_BEARER_TOKEN_BEDROCK", raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))


class Sts:
    """Answers AssumeRole with numbered sessions of an hour by `clock`; refuses while `refusal` is set."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.asked: list[dict[str, str]] = []
        self.refusal = ""

    async def __call__(self, wire: Wire) -> None:
        while True:
            request = await wire.request()
            fields = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
            signer = dict(request.headers)[b"Authorization"].decode().partition("Credential=")[2].partition("/")[0]
            self.asked.append({"signer": signer, **fields})
            if self.refusal:
                code = f"<Error><Code>{self.refusal}</Code><Message>no, account 111122223333</Message></Error>"
                body = f"<ErrorResponse>{code}</ErrorResponse>".encode()
                await wire.say(answer(body, status=b"403 Forbidden"))
                continue
            end = datetime.fromtimestamp(self.clock.now_us() / 1e6 + int(fields["DurationSeconds"]), UTC)
            keys = {
                "AccessKeyId": f"ASIA{len(self.asked)}",
                "SecretAccessKey": "s",
                "SessionToken": "t",
                "Expiration": end.strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
            inner = "".join(f"<{name}>{value}</{name}>" for name, value in keys.items())
            result = f"<AssumeRoleResult><Credentials>{inner}</Credentials></AssumeRoleResult>"
            await wire.say(answer(f"<AssumeRoleResponse>{result}</AssumeRoleResponse>".encode()))


def resolver(clock: FakeClock) -> AwsCredentials:
    return AwsCredentials(clock, {"BASE_SECRET": "hidden", "TOKEN": "bedrock-api-key-x", "EMPTY": ""})


async def test_secrets_are_found_by_their_references(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from a file\n")
    source = CredentialSource(
        "static", access_key_id="AKID", secret_access_key=f"file:{tmp_path}/secret", session_token="literal"
    )
    credentials = resolver(FakeClock())
    assert await credentials.resolve(source) == AwsCredential("AKID", "from a file", "literal")
    assert await credentials.resolve(BASE) == AwsCredential("AKIDBASE", "hidden")
    assert await credentials.resolve(CredentialSource("bearer", token="env:TOKEN")) == BearerCredential(
        "bedrock-api-key-x"
    )


@pytest.mark.parametrize("reference", ["env:ABSENT", "env:EMPTY", "file:/nowhere/at/all", ""])
async def test_a_secret_that_is_not_there_is_named(reference: str) -> None:
    with pytest.raises(UpstreamAccessDenied) as raised:
        await resolver(FakeClock()).resolve(CredentialSource("bearer", token=reference))
    assert reference in raised.value.message


def test_a_source_shows_references_and_no_secrets() -> None:
    text = repr(CredentialSource("static", access_key_id="AKID", secret_access_key="hush", session_token="env:TOKEN"))
    assert text == (
        "CredentialSource(kind='static', access_key_id='AKID', secret_access_key='***', session_token='env:TOKEN', "
        "session_name='sekisho', session_s=3600)"
    )


async def test_the_default_chain_reads_the_environment_and_the_bearer_token_goes_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    credentials = resolver(FakeClock())
    with pytest.raises(UpstreamAccessDenied):
        await credentials.resolve(CredentialSource("default"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    assert await credentials.resolve(CredentialSource("default")) == AwsCredential("AKIDENV", "s")
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "token")
    assert await credentials.resolve(CredentialSource("default")) == BearerCredential("token")


async def test_a_profile_is_read_and_its_session_has_an_end(tmp_path: Path) -> None:
    end = datetime(2099, 1, 2, 3, 4, 5, tzinfo=UTC)
    keys = {"Version": 1, "AccessKeyId": "ASIAPROC", "SecretAccessKey": "s", "SessionToken": "t"}
    (tmp_path / "keys.json").write_text(json.dumps({**keys, "Expiration": end.isoformat()}))
    (tmp_path / "cat.py").write_text(f"print(open({str(tmp_path / 'keys.json')!r}).read())")
    (tmp_path / "credentials").write_text("[plain]\naws_access_key_id = AKIDPLAIN\naws_secret_access_key = s\n")
    (tmp_path / "config").write_text(f"[profile made]\ncredential_process = {sys.executable} {tmp_path / 'cat.py'}\n")
    credentials = resolver(FakeClock())
    assert await credentials.resolve(CredentialSource("profile", profile="plain")) == AwsCredential("AKIDPLAIN", "s")
    made = await credentials.resolve(CredentialSource("profile", profile="made"))
    assert made == AwsCredential("ASIAPROC", "s", "t", int(end.timestamp() * 1e6))
    with pytest.raises(UpstreamAccessDenied):
        await credentials.resolve(CredentialSource("profile", profile="absent"))


def role(url: str, **options: object) -> CredentialSource:
    return CredentialSource("assume_role", role_arn=ROLE, base=BASE, sts_endpoint=url, **options)  # type: ignore[arg-type]


async def test_a_role_is_assumed_once_per_session_and_renewed_before_its_end() -> None:
    clock = FakeClock()
    sts = Sts(clock)
    credentials = resolver(clock)
    async with serving(sts) as server:
        source = role(server.url, external_id="hq", session_name="gateway-1")
        first = await asyncio.gather(*(credentials.resolve(source) for _ in range(5)))
        assert {key.access_key_id for key in first if isinstance(key, AwsCredential)} == {"ASIA1"}
        clock.advance(44 * 60)
        assert await credentials.resolve(source) == first[0]
        clock.advance(2 * 60)
        renewed = await credentials.resolve(source)
    assert renewed == AwsCredential("ASIA2", "s", "t", clock.now_us() + 3_600_000_000)
    assert [{**asked, "Version": ""} for asked in sts.asked] == [
        {
            "signer": "AKIDBASE",
            "Action": "AssumeRole",
            "Version": "",
            "RoleArn": ROLE,
            "RoleSessionName": "gateway-1",
            "DurationSeconds": "3600",
            "ExternalId": "hq",
        }
    ] * 2


async def test_roles_may_be_chained() -> None:
    clock = FakeClock()
    sts = Sts(clock)
    async with serving(sts) as server:
        hub = role(server.url)
        credentials = resolver(clock)
        spokes = [
            CredentialSource("assume_role", role_arn=f"{ROLE}-{n}", base=hub, sts_endpoint=server.url) for n in "ab"
        ]
        await asyncio.gather(*(credentials.resolve(spoke) for spoke in spokes))
    assert [asked["signer"] for asked in sts.asked] == ["AKIDBASE", "ASIA1", "ASIA1"]


async def test_a_role_starts_from_its_own_keys_or_profile_or_the_default_chain(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "credentials").write_text("[hub]\naws_access_key_id = AKIDHUB\naws_secret_access_key = s\n")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    clock = FakeClock()
    sts = Sts(clock)
    async with serving(sts) as server:
        start = CredentialSource("assume_role", role_arn=ROLE, sts_endpoint=server.url)
        own_keys = msgspec.structs.replace(start, access_key_id="AKIDOWN", secret_access_key="s")
        for source in (own_keys, msgspec.structs.replace(start, profile="hub"), start):
            await resolver(clock).resolve(source)
    assert [asked["signer"] for asked in sts.asked] == ["AKIDOWN", "AKIDHUB", "AKIDENV"]


async def test_a_refusal_of_sts_is_told_without_its_words_unless_the_session_is_still_good() -> None:
    clock = FakeClock()
    sts = Sts(clock)
    credentials = resolver(clock)
    async with serving(sts) as server:
        held = await credentials.resolve(role(server.url))
        sts.refusal = "AccessDenied"
        clock.advance(50 * 60)
        assert await credentials.resolve(role(server.url)) == held
        clock.advance(11 * 60)
        with pytest.raises(UpstreamAccessDenied) as raised:
            await credentials.resolve(role(server.url))
    assert "111122223333" not in raised.value.message
    assert "111122223333" in raised.value.upstream_message


async def test_a_bearer_token_cannot_assume_a_role() -> None:
    source = CredentialSource("assume_role", role_arn=ROLE, base=CredentialSource("bearer", token="x"))
    with pytest.raises(UpstreamAccessDenied):
        await resolver(FakeClock()).resolve(source)


async def test_an_sts_that_cannot_be_reached_is_an_unavailable_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)  # botocore waits between its attempts

    async def closed(wire: Wire) -> None:
        await wire.request()

    async with serving(closed) as server:
        with pytest.raises(UpstreamUnavailable) as raised:
            await resolver(FakeClock()).resolve(role(server.url))
    assert not isinstance(raised.value, UpstreamAccessDenied)


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, False),
        ({"AWS_ACCESS_KEY_ID": "a"}, False),
        ({"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"}, True),
        ({"AWS_BEARER_TOKEN_BEDROCK": "t"}, True),
        ({"AWS_PROFILE": "p"}, True),
        ({"AWS_ROLE_ARN": ROLE, "AWS_WEB_IDENTITY_TOKEN_FILE": "/t"}, True),
        ({"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/x"}, True),
    ],
)
def test_default_credentials_show_in_the_environment(env: dict[str, str], expected: bool, tmp_path: Path) -> None:
    assert has_default_credentials({**env, "HOME": str(tmp_path)}) is expected


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("credentials", "[default]\naws_access_key_id = a\naws_secret_access_key = s\n", True),
        ("credentials", "[other]\naws_access_key_id = a\n", False),
        ("config", "[default]\nregion = ap-northeast-1\ns3 =\n  addressing_style = path\n", False),
        ("config", "[default]\nsso_session = corp\n", True),
        ("config", "[profile default]\nrole_arn = x\n", True),
        ("config", "no section\n", False),
    ],
)
def test_default_credentials_show_in_the_shared_files(name: str, text: str, expected: bool, tmp_path: Path) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / name).write_text(text)
    assert has_default_credentials({"HOME": str(tmp_path)}) is expected
    other = "AWS_SHARED_CREDENTIALS_FILE" if name == "credentials" else "AWS_CONFIG_FILE"
    assert has_default_credentials({"HOME": "/nowhere", other: str(tmp_path / ".aws" / name)}) is expected
