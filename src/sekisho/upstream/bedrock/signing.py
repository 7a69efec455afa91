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


class _DayKey:
    """The signing key of one credential for one day, its scope, and how the Authorization header begins.

    HMAC hashes a block of the key before and behind each text: both are hashed once, and OpenSSL does not look its
    algorithm up for every signature (5.6 microseconds, now 0.8)."""

    __slots__ = ("_inner", "_outer", "claim", "day", "scope")

    def __init__(self, day: bytes, scope: bytes, key: bytes, claim: bytes) -> None:
        self.day = day
        self.scope = scope
        self.claim = claim
        block = key.ljust(64, b"\0")  # a key is a digest of 32 bytes, a block of SHA-256 has 64
        self._inner = sha256(bytes([byte ^ 0x36 for byte in block]))
        self._outer = sha256(bytes([byte ^ 0x5C for byte in block]))

    def sign(self, text: bytes) -> bytes:
        """The signature of a text, as hexadecimal digits."""
        inner = self._inner.copy()
        inner.update(text)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.hexdigest().encode("ascii")


class Canonical(NamedTuple):
    """A canonical request before its date, and between date and payload hash; the names of the signed headers."""

    before_date: bytes
    after_date: bytes
    names: bytes


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
        token = credential.session_token
        canonical = canonical_request(method, host, path, query, token, tuple(headers))
        timestamp, authorization = self.sign(credential, canonical, body_sha256, now_us)
        added = [(b"X-Amz-Date", timestamp)]
        if token:
            added.append((b"X-Amz-Security-Token", token.encode("ascii")))
        added.append((b"Authorization", authorization))
        return added

    def sign(
        self, credential: AwsCredential, canonical: Canonical, body_sha256: bytes, now_us: int
    ) -> tuple[bytes, bytes]:
        """X-Amz-Date and Authorization. `body_sha256`: in hexadecimal."""
        timestamp = self._timestamp_at(now_us // 1_000_000)
        day_key = self._day_key(credential, timestamp[:8])
        before_date, after_date, names = canonical
        request = b"%b%b%b%b" % (before_date, timestamp, after_date, body_sha256)
        digest = sha256(request).hexdigest().encode("ascii")
        signature = day_key.sign(b"AWS4-HMAC-SHA256\n%b\n%b\n%b" % (timestamp, day_key.scope, digest))
        return timestamp, b"%b, SignedHeaders=%b, Signature=%b" % (day_key.claim, names, signature)

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
def canonical_request(
    method: bytes, host: str, path: str, query: str, token: str, headers: tuple[tuple[bytes, bytes], ...]
) -> Canonical:
    """What is signed of a request, without its date and its body."""
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
    return Canonical(before_date + b"x-amz-date:", after_date, names)


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
