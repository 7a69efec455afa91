"""Blobs in an S3 bucket, or in one of a server that speaks S3 (AWS_ENDPOINT_URL_S3). Objects are encrypted before they
come here; `kms_key` asks S3 to encrypt them once more with that key of KMS."""

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session

from sekisho.errors import NotFound, StoreUnavailable

_CONFIG = Config(connect_timeout=5, read_timeout=30, retries={"total_max_attempts": 3, "mode": "standard"})
_MISSING = ("NoSuchKey", "404", "NotFound")
T = TypeVar("T")


class S3Blobs:
    """`record.content_store.Blobs` at `s3://bucket/prefix`. Its methods block: call them in a thread."""

    def __init__(self, url: str, region: str, kms_key: str = "") -> None:
        parts = urlsplit(url)
        self._bucket = parts.netloc
        self._prefix = f"{parts.path.strip('/')}/".removeprefix("/")
        self._encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key} if kms_key else {}
        self._s3 = Session().create_client("s3", region_name=region, config=_CONFIG)

    def put(self, name: str, data: bytes) -> None:
        """Keep these bytes, durably."""
        where = self._at(name)
        _asked("written", lambda: self._s3.put_object(**where, Body=data, **self._encryption))

    def get(self, name: str) -> bytes:
        """The bytes. Raises NotFound, StoreUnavailable."""
        found: bytes = _asked("read", lambda: self._s3.get_object(**self._at(name))["Body"].read())
        return found

    def delete(self, name: str) -> None:
        """Remove the bytes; nothing happens if they are gone."""
        _asked("deleted", lambda: self._s3.delete_object(**self._at(name)))

    def names(self) -> list[str]:
        """Every blob there is."""
        return _asked("listed", lambda: sorted(self._listed()))

    def _listed(self) -> list[str]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix)
        return [one["Key"].rpartition("/")[2] for page in pages for one in page.get("Contents", ())]

    def _at(self, name: str) -> dict[str, Any]:
        return {"Bucket": self._bucket, "Key": f"{self._prefix}{name[:2]}/{name}"}


def _asked(what: str, ask: Callable[[], T]) -> T:
    """The answer of AWS. Raises NotFound, StoreUnavailable."""
    try:
        return ask()
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in _MISSING:
            raise NotFound("This content is no longer there.") from error
        raise StoreUnavailable(f"Content cannot be {what}: {code}.") from error
    except BotoCoreError as error:
        raise StoreUnavailable(f"Content cannot be {what}: {type(error).__name__}.") from error
