"""AWS Signature Version 4 for calls with a whole body.

Above: the Bedrock client. Source: "Signature Version 4" in the AWS IAM guide; the tests compare with botocore.
The credential is the caller's, of any account; what repeats from call to call (date, day key, encoded path) is kept.
"""

import hmac
import time
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple
from urllib.parse import quote

from sekisho.values import AwsCredential

# what a proxy on the way may change or drop
_UNSIGNED = frozenset(
    b"baggage connection expect keep-alive proxy-authenticate proxy-authorization te traceparent tracestate trailer"
    b" transfer-encoding upgrade user-agent x-amzn-trace-id".split()
)
_KEPT_KEYS = 256
_DATE = b"\0"  # where the date goes; no header that is sent holds this byte


class _DayKey(NamedTuple):
    """The signing key of one credential for one day, its scope, and how the Authorization header begins."""

    day: bytes
    scope: bytes
    key: bytes
    claim: bytes


class Signer:
    """Signs for one Region and service."""

    def __init__(self, region: str, service: str = "bedrock") -> None:
        self._region = region.encode("ascii")
        self._service = service.encode("ascii")
        self._second = -1
        self._timestamp = b""
        self._day_keys: dict[AwsCredential, _DayKey] = {}

    def headers(
        self,
        credential: AwsCredential,
        method: bytes,
        host: str,
        path: str,
        query: str,
        headers: Sequence[tuple[bytes, bytes]],
        body_sha256: bytes,
        now_us: int,
    ) -> list[tuple[bytes, bytes]]:
        """The headers to add: Authorization, X-Amz-Date, and X-Amz-Security-Token for a session.

        `body_sha256`: in hexadecimal. `host` as in the Host header; `path` and `query` encoded as they go on the wire;
        `headers`: all others that are sent, ASCII. The canonical path encodes `path` once more, as AWS asks of every
        service but S3."""
        timestamp = self._timestamp_at(now_us // 1_000_000)
        day_key = self._day_key(credential, timestamp[:8])
        token = credential.session_token
        before_date, after_date, names = _canonical_request(method, host, path, query, token, tuple(headers))
        request = b"%b%b%b%b" % (before_date, timestamp, after_date, body_sha256)
        digest = sha256(request).hexdigest().encode("ascii")
        text = b"AWS4-HMAC-SHA256\n%b\n%b\n%b" % (timestamp, day_key.scope, digest)
        signature = hmac.digest(day_key.key, text, "sha256").hex().encode("ascii")
        added = [(b"X-Amz-Date", timestamp)]
        if token:
            added.append((b"X-Amz-Security-Token", token.encode("ascii")))
        added.append((b"Authorization", b"%b, SignedHeaders=%b, Signature=%b" % (day_key.claim, names, signature)))
        return added

    def _timestamp_at(self, second: int) -> bytes:
        if second != self._second:
            self._second = second
            self._timestamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second)).encode("ascii")
        return self._timestamp

    def _day_key(self, credential: AwsCredential, day: bytes) -> _DayKey:
        known = self._day_keys.get(credential)
        if known is not None and known.day == day:
            return known
        key = b"AWS4" + credential.secret_access_key.encode("ascii")
        for word in (day, self._region, self._service, b"aws4_request"):
            key = hmac.digest(key, word, "sha256")
        scope = b"%b/%b/%b/aws4_request" % (day, self._region, self._service)
        claim = b"AWS4-HMAC-SHA256 Credential=%b/%b" % (credential.access_key_id.encode("ascii"), scope)
        if len(self._day_keys) >= _KEPT_KEYS:  # sessions come and go: start over rather than keep the expired ones
            self._day_keys.clear()
        made = self._day_keys[credential] = _DayKey(day, scope, key, claim)
        return made


@lru_cache(maxsize=256)  # from call to call only the date and the payload are others
def _canonical_request(
    method: bytes, host: str, path: str, query: str, token: str, headers: tuple[tuple[bytes, bytes], ...]
) -> tuple[bytes, bytes, bytes]:
    """The canonical request before its date and between date and payload hash; the names of the signed headers."""
    signed = [(b"host", host.encode("ascii")), (b"x-amz-date", _DATE)]
    if token:
        signed.append((b"x-amz-security-token", token.encode("ascii")))
    for name, value in headers:
        lower = name.lower()
        if lower not in _UNSIGNED:
            signed.append((lower, b" ".join(value.split())))
    names, lines = _canonical_headers(signed)
    query_line = _canonical_query(query) if query else b""
    request = b"\n".join((method, _canonical_path(path), query_line, lines, b"", names, b""))
    before_date, _, after_date = request.partition(b"x-amz-date:" + _DATE)
    return before_date + b"x-amz-date:", after_date, names


def _canonical_headers(signed: list[tuple[bytes, bytes]]) -> tuple[bytes, bytes]:
    """Their names joined by ";" and their lines; a repeated header is one line, values in their order."""
    merged: dict[bytes, bytes] = {}
    for name, value in signed:
        merged[name] = merged[name] + b"," + value if name in merged else value
    names = sorted(merged)
    return b";".join(names), b"\n".join([b"%b:%b" % (name, merged[name]) for name in names])


def _canonical_path(path: str) -> bytes:
    return quote(path, safe="/~").encode("ascii")


def _canonical_query(query: str) -> bytes:
    pairs = sorted(tuple(pair.partition("=")[::2]) for pair in query.split("&"))
    return "&".join(f"{name}={value}" for name, value in pairs).encode("ascii")
