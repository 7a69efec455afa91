from sekisho.upstream.bedrock.signing import Signer
from sekisho.upstream.payload import Payload
from sekisho.values import AwsCredential

NOW_US = 1_763_000_000_000_000
DAY_US = 86_400_000_000


def signed(signer: Signer, credential: AwsCredential, now_us: int) -> list[tuple[bytes, bytes]]:
    return signer.headers(credential, b"POST", "h", "/model/m/converse", "", [], Payload((b"{}",)).sha256_hex(), now_us)


def test_what_a_signer_remembers_never_shows() -> None:
    signer = Signer("us-east-1")
    credentials = [AwsCredential(f"AKID{number}", f"secret{number}", "token") for number in range(300)]
    for now_us in (NOW_US, NOW_US + DAY_US, NOW_US):
        for credential in credentials:
            assert signed(signer, credential, now_us) == signed(Signer("us-east-1"), credential, now_us)


def test_keys_with_the_same_id_and_another_secret_are_other_keys() -> None:
    signer = Signer("us-east-1")
    old, new = AwsCredential("AKID", "old"), AwsCredential("AKID", "new")
    assert signed(signer, old, NOW_US) != signed(signer, new, NOW_US)
