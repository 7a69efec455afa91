"""Data keys wrapped by a key of AWS KMS, which never leaves it."""

from base64 import b64encode

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session

from sekisho.errors import StoreUnavailable

_CONFIG = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 3, "mode": "standard"})


class KmsKey:
    """`record.sealing.Wrapping` by the KMS key of this id, alias or ARN. Its methods block: call them in a thread."""

    def __init__(self, key_id: str, region: str) -> None:
        self._key_id = key_id
        self._kms = Session().create_client("kms", region_name=region, config=_CONFIG)

    def wrap(self, key: bytes, context: bytes) -> bytes:
        """The key, encrypted for this context."""
        try:
            found: bytes = self._kms.encrypt(KeyId=self._key_id, Plaintext=key, EncryptionContext=_named(context))[
                "CiphertextBlob"
            ]
        except (ClientError, BotoCoreError) as error:
            raise StoreUnavailable("AWS KMS does not wrap the key of a team's content.") from error
        return found

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """What `wrap` encrypted."""
        try:
            found: bytes = self._kms.decrypt(
                KeyId=self._key_id, CiphertextBlob=wrapped, EncryptionContext=_named(context)
            )["Plaintext"]
        except (ClientError, BotoCoreError) as error:
            raise StoreUnavailable("AWS KMS does not unwrap the key of a team's content.") from error
        return found


def _named(context: bytes) -> dict[str, str]:
    return {"sekisho": b64encode(context).decode()}
