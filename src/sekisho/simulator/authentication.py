"""Decides who calls: Signature Version 4 computed for real, or a Bedrock API key as bearer token.

Sources: AWS Signature Version 4 (canonical request, string to sign, signing key); Bedrock API keys. The canonical path
encodes the already encoded path once more, as every service but S3 does.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from urllib.parse import quote, unquote, urlsplit

import msgspec

from sekisho.clock import Clock
from sekisho.simulator.exceptions import AwsException
from sekisho.values import AwsCredential

SERVICE = "bedrock"
ALGORITHM = "AWS4-HMAC-SHA256"
SKEW_S = 300
SHORT_TERM_PREFIX = "bedrock-api-key-"

_EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
_SIGNATURE_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key "
    "and signing method. Consult the service documentation for details."
)
_UNKNOWN_KEY = "Authentication failed: Please make sure your API Key is valid."
_UNKNOWN_TOKEN = "The security token included in the request is invalid."
_PARAMETER = re.compile(r"\s*([A-Za-z]+)=([^,\s]+)\s*")


class Identity(msgspec.Struct, frozen=True):
    """Who calls. `region` is empty for a long-term API key, which carries none."""

    account: str
    region: str
    is_bearer: bool


class HttpRequest(msgspec.Struct, frozen=True):
    """A request as it was received. Header names are lower case; `path` is as sent, still encoded."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """The value of the header, its repetitions joined by commas; None if it is absent."""
        values = [value for key, value in self.headers if key == name]
        return ",".join(values) if values else None


class _Scope(msgspec.Struct, frozen=True):
    """The parts of a SigV4 credential: access key id/date/Region/service/aws4_request."""

    access_key_id: str
    date: str
    region: str
    service: str
    terminator: str

    @property
    def text(self) -> str:
        return f"{self.date}/{self.region}/{self.service}/{self.terminator}"


class Authenticator:
    """Knows the credentials of each account, the long-term API keys (of the first account) and the Regions."""

    def __init__(
        self,
        credentials: Iterable[AwsCredential],
        bearer_tokens: frozenset[str],
        regions: frozenset[str],
        clock: Clock,
    ) -> None:
        self._credentials = {credential.access_key_id: credential for credential in credentials}
        self._accounts = {key: f"{index:012d}" for index, key in enumerate(self._credentials, start=111122223333)}
        self._bearer_tokens = bearer_tokens
        self._regions = regions
        self._clock = clock

    def identify(self, request: HttpRequest) -> Identity:
        """Who signed or holds the key. Raises AwsException, status 403, for everybody else."""
        authorization = request.header("authorization")
        if authorization is None:
            raise AwsException("MissingAuthenticationTokenException", "Missing Authentication Token")
        scheme, _, rest = authorization.partition(" ")
        if scheme.lower() == "bearer":
            return self._identify_bearer(rest.strip())
        if scheme != ALGORITHM:
            message = f"Authorization header requires existence of either a '{ALGORITHM}' or a 'Bearer' scheme."
            raise AwsException("IncompleteSignatureException", message)
        return self._identify_signature(request, dict(_PARAMETER.findall(rest)))

    def _identify_bearer(self, token: str) -> Identity:
        if token.startswith(SHORT_TERM_PREFIX):
            return self._identify_short_term(token)
        if token not in self._bearer_tokens:
            raise AwsException("AccessDeniedException", _UNKNOWN_KEY)
        return Identity(account=next(iter(self._accounts.values())), region="", is_bearer=True)

    def _identify_short_term(self, token: str) -> Identity:
        """A short-term key is base64 of a presigned CallWithBearerToken URL: check that URL's signature and life."""
        try:
            url = urlsplit("https://" + base64.b64decode(token[len(SHORT_TERM_PREFIX) :], validate=True).decode())
        except (binascii.Error, UnicodeDecodeError, ValueError) as error:
            raise AwsException("AccessDeniedException", "Invalid API Key format: Must be base64.") from error
        query = [(name, value) for name, value in _query_pairs(url.query) if name != "Version"]
        values = dict(query)
        names = ("X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature")
        if any(name not in values for name in names) or not values["X-Amz-Expires"].isdecimal():
            raise AwsException("AccessDeniedException", "Invalid API Key format: Must be a presigned request.")
        scope = self._scope(values["X-Amz-Credential"])
        credential = self._credential(scope, values.get("X-Amz-Security-Token", ""))
        signed = [(name, value) for name, value in query if name != "X-Amz-Signature"]
        canonical = "\n".join(
            ("POST", url.path or "/", _canonical_query(signed), f"host:{url.netloc}\n", "host", _EMPTY_SHA256)
        )
        expected = _signature(credential, scope, values["X-Amz-Date"], canonical)
        if not hmac.compare_digest(expected, values["X-Amz-Signature"]):
            raise AwsException("AccessDeniedException", _UNKNOWN_KEY)
        age_s = self._clock.now_us() // 1_000_000 - _parse_date(values["X-Amz-Date"])
        if not -SKEW_S <= age_s <= int(values["X-Amz-Expires"]):
            raise AwsException("ExpiredTokenException", "Bearer Token has expired")
        return Identity(account=self._accounts[scope.access_key_id], region=scope.region, is_bearer=True)

    def _identify_signature(self, request: HttpRequest, parameters: Mapping[str, str]) -> Identity:
        for name in ("Credential", "SignedHeaders", "Signature"):
            if name not in parameters:
                message = f"Authorization header requires '{name}' parameter."
                raise AwsException("IncompleteSignatureException", message)
        date = request.header("x-amz-date")
        if date is None:
            message = "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
            raise AwsException("IncompleteSignatureException", message)
        scope = self._scope(parameters["Credential"])
        credential = self._credential(scope, request.header("x-amz-security-token") or "")
        self._check_time(date, scope)
        signed_headers = parameters["SignedHeaders"].split(";")
        for name, _ in request.headers:
            must_be_signed = name == "host" or name.startswith("x-amz-")
            if must_be_signed and name not in signed_headers:
                raise AwsException("InvalidSignatureException", f"'{name}' must be a 'SignedHeader' in the request.")
        canonical = _canonical_request(request, signed_headers)
        expected = _signature(credential, scope, date, canonical)
        if not hmac.compare_digest(expected, parameters["Signature"]):
            raise AwsException("InvalidSignatureException", _SIGNATURE_MISMATCH)
        return Identity(account=self._accounts[scope.access_key_id], region=scope.region, is_bearer=False)

    def _scope(self, credential: str) -> _Scope:
        parts = credential.split("/")
        if len(parts) != 5:
            message = "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term"
            raise AwsException("IncompleteSignatureException", f"{message}, got '{credential}'")
        scope = _Scope(*parts)
        if scope.service != SERVICE:
            message = f"Credential should be scoped to correct service: '{SERVICE}'. "
            raise AwsException("InvalidSignatureException", message)
        if scope.region not in self._regions:
            message = f"Credential should be scoped to a valid region, not '{scope.region}'. "
            raise AwsException("InvalidSignatureException", message)
        if scope.terminator != "aws4_request":
            message = f"Credential should be scoped with a valid terminator: 'aws4_request', not '{scope.terminator}'."
            raise AwsException("InvalidSignatureException", message)
        return scope

    def _credential(self, scope: _Scope, session_token: str) -> AwsCredential:
        credential = self._credentials.get(scope.access_key_id)
        if credential is None or credential.session_token != session_token:
            raise AwsException("UnrecognizedClientException", _UNKNOWN_TOKEN)
        if credential.expires_at is not None and credential.expires_at <= self._clock.now_us():
            message = "The security token included in the request is expired"
            raise AwsException("ExpiredTokenException", message)
        return credential

    def _check_time(self, date: str, scope: _Scope) -> None:
        signed_s, now_s = _parse_date(date), self._clock.now_us() // 1_000_000
        if date[:8] != scope.date:
            message = f"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date: '{date}'"
            raise AwsException("InvalidSignatureException", message)
        if signed_s < now_s - SKEW_S:
            limit, now = _format_date(now_s - SKEW_S), _format_date(now_s)
            message = f"Signature expired: {date} is now earlier than {limit} ({now} - 5 min.)"
            raise AwsException("InvalidSignatureException", message)
        if signed_s > now_s + SKEW_S:
            limit, now = _format_date(now_s + SKEW_S), _format_date(now_s)
            message = f"Signature not yet current: {date} is still later than {limit} ({now} + 5 min.)"
            raise AwsException("InvalidSignatureException", message)


def _parse_date(text: str) -> int:
    """Seconds since the epoch of an ISO 8601 basic date."""
    try:
        return int(datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp())
    except ValueError as error:
        message = f"Date must be in ISO-8601 'basic format'. Got '{text}'."
        raise AwsException("IncompleteSignatureException", message) from error


def _format_date(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%dT%H%M%SZ")


def _canonical_request(request: HttpRequest, signed_headers: list[str]) -> str:
    lines = []
    for name in signed_headers:
        value = request.header(name)
        if value is None:
            raise AwsException("InvalidSignatureException", _SIGNATURE_MISMATCH)
        lines.append(f"{name}:{' '.join(value.split())}\n")
    payload_hash = hashlib.sha256(request.body).hexdigest()
    if request.header("x-amz-content-sha256") not in (None, payload_hash):
        raise AwsException("InvalidSignatureException", _SIGNATURE_MISMATCH)
    return "\n".join(
        (
            request.method,
            quote(request.path, safe="/~"),
            _canonical_query(_query_pairs(request.query)),
            "".join(lines),
            ";".join(signed_headers),
            payload_hash,
        )
    )


def _query_pairs(query: str) -> list[tuple[str, str]]:
    """The decoded names and values; unlike form decoding, `+` stays itself."""
    pairs = (part.partition("=") for part in query.split("&") if part)
    return [(unquote(name), unquote(value)) for name, _, value in pairs]


def _canonical_query(pairs: Iterable[tuple[str, str]]) -> str:
    encoded = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in pairs)
    return "&".join(f"{name}={value}" for name, value in encoded)


def _signature(credential: AwsCredential, scope: _Scope, date: str, canonical_request: str) -> str:
    digest = hashlib.sha256(canonical_request.encode()).hexdigest()
    string_to_sign = "\n".join((ALGORITHM, date, scope.text, digest))
    key = f"AWS4{credential.secret_access_key}".encode()
    for part in (scope.date, scope.region, scope.service, scope.terminator):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, string_to_sign.encode(), "sha256").hex()
