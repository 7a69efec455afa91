"""Signing in through the organisation's identity provider: OpenID Connect, authorization code with PKCE.

Authlib makes the requests and validates the claims, joserfc verifies the signature; what fetches is handed in. The
browser carries state, nonce and verifier in one sealed cookie, so nothing is kept for who never comes back.
Sources: OpenID Connect Core 1.0, Discovery 1.0, RP-Initiated Logout 1.0; RFC 6749, 7636, 9207.
"""

import hmac
import secrets
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

import msgspec
from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from sekisho.access.directory import Arrival
from sekisho.access.identity_provider import OidcSettings
from sekisho.access.sealing import Sealer
from sekisho.clock import Clock
from sekisho.errors import NotAllowed, NotAuthenticated, SekishoError, StoreUnavailable

CALLBACK = "/console/oidc/callback"
FLOW = "oidc flow"
FLOW_US = 10 * 60 * 1_000_000
FRESH_US = 3600 * 1_000_000
AGAIN_US = 60 * 1_000_000
LEEWAY_S = 60
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_VERIFIED = (True, "true", "True")  # Amazon Cognito's user info writes truth values as text
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Fetched(msgspec.Struct, frozen=True):
    """An answer of the provider."""

    status: int
    body: bytes


class Fetch(Protocol):
    """Asks the provider, without following redirects. Raises SekishoError when it does not answer."""

    async def __call__(self, method: str, url: str, headers: Mapping[str, str] = ..., body: bytes = b"") -> Fetched: ...


class Provider(msgspec.Struct, frozen=True):
    """What the provider publishes of itself; the rest is ignored."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str = ""
    end_session_endpoint: str = ""
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False


class Tokens(msgspec.Struct, frozen=True):
    """What the token endpoint gives."""

    id_token: str
    access_token: str = ""


class Started(msgspec.Struct, frozen=True):
    """Where the browser goes, and the cookie that it brings back."""

    address: str
    cookie: str


class Entered(msgspec.Struct, frozen=True):
    """Who came back, where they wanted to go, and the provider's token, which signing out needs."""

    arrival: Arrival
    back: str
    id_token: str

    def __repr__(self) -> str:
        return f"Entered({self.arrival.subject}, ***)"


class Oidc:
    """One identity provider. What it publishes is fetched when it is needed, and kept for an hour."""

    def __init__(self, settings: OidcSettings, public_url: str, sealer: Sealer, fetch: Fetch, clock: Clock) -> None:
        self.settings = settings
        self._public_url = public_url
        self._sealer = sealer
        self._fetch = fetch
        self._clock = clock
        self._provider: tuple[int, Provider] | None = None
        self._keys: tuple[int, KeySet] | None = None

    @property
    def redirect_uri(self) -> str:
        """Where the provider sends people back: to be registered there."""
        return self._public_url + CALLBACK

    async def start(self, back: str) -> Started:
        """Begin. Raises StoreUnavailable when the provider does not say where to go."""
        provider = await self.provider()
        state, nonce, verifier = secrets.token_urlsafe(24), secrets.token_urlsafe(24), secrets.token_urlsafe(48)
        address = prepare_grant_uri(
            provider.authorization_endpoint,
            client_id=self.settings.client_id,
            response_type="code",
            redirect_uri=self.redirect_uri,
            scope=self.settings.scopes,
            state=state,
            nonce=nonce,
            code_challenge=create_s256_code_challenge(verifier),
            code_challenge_method="S256",
        )
        until = self._clock.now_us() + FLOW_US
        return Started(address, self._sealer.ticket(FLOW, until, state, nonce, verifier, back))

    async def finish(self, cookie: str, answer: Mapping[str, str]) -> Entered:
        """Judge what the browser brought back. Raises NotAuthenticated, NotAllowed, StoreUnavailable."""
        flow = self._sealer.read_ticket(FLOW, cookie, self._clock.now_us())
        if flow is None or not hmac.compare_digest(flow[0].encode(), answer.get("state", "").encode()):
            raise NotAuthenticated("This sign-in was not begun in this browser, or it took too long.", param="late")
        if "error" in answer:
            raise NotAuthenticated(f"The identity provider refused: {answer['error'][:100]}.", param="refused")
        provider = await self.provider()
        if "iss" in answer or provider.authorization_response_iss_parameter_supported:
            if answer.get("iss") != provider.issuer:
                raise NotAuthenticated("The answer comes from another identity provider.", param="token")
        _, nonce, verifier, back = flow
        tokens = await self._tokens(provider, answer.get("code", ""), verifier)
        claims = await self._claims(provider, tokens, nonce)
        claims = await self._completed(provider, tokens, claims)
        return Entered(self._arrival(claims), back, tokens.id_token)

    async def end_address(self, id_token: str) -> str:
        """Where to sign out of the provider too, empty if it offers that nowhere or does not answer."""
        try:
            provider = await self.provider()
        except SekishoError:
            return ""
        if not provider.end_session_endpoint:
            return ""
        fields = {
            "id_token_hint": id_token,
            "client_id": self.settings.client_id,
            "post_logout_redirect_uri": f"{self._public_url}/console/sign-in?out",
        }
        separator = "&" if "?" in provider.end_session_endpoint else "?"
        return provider.end_session_endpoint + separator + urlencode({k: v for k, v in fields.items() if v})

    async def provider(self, *, is_fresh: bool = False) -> Provider:
        """What the provider publishes. `is_fresh`: asked for now. Raises StoreUnavailable, saying what is wrong."""
        now_us = self._clock.now_us()
        if self._provider and not is_fresh and now_us - self._provider[0] < FRESH_US:
            return self._provider[1]
        wanted = self.settings.issuer.rstrip("/")
        found: Provider = await self._get(f"{wanted}/.well-known/openid-configuration", Provider)
        if found.issuer.rstrip("/") != wanted:
            raise StoreUnavailable(f"The provider calls itself {found.issuer[:200]}: set oidc_issuer to that.")
        for url in (found.authorization_endpoint, found.token_endpoint, found.jwks_uri):
            if not is_safe(url):
                raise StoreUnavailable("The provider's addresses are not https.")
        self._provider = (now_us, found)
        return found

    async def keys(self, provider: Provider, *, is_fresh: bool = False) -> KeySet:
        """The keys that the provider signs with. Fetched again at most once a minute."""
        now_us = self._clock.now_us()
        age_us = now_us - self._keys[0] if self._keys else FRESH_US
        if self._keys and age_us < (AGAIN_US if is_fresh else FRESH_US):
            return self._keys[1]
        found = await self._get(provider.jwks_uri, dict[str, Any])
        try:
            keys = KeySet.import_key_set({"keys": [key for key in found["keys"] if key.get("use", "sig") == "sig"]})
        except (JoseError, KeyError, TypeError, AttributeError, ValueError) as error:
            raise StoreUnavailable("The provider's keys cannot be read.") from error
        self._keys = (now_us, keys)
        return keys

    async def _tokens(self, provider: Provider, code: str, verifier: str) -> Tokens:
        body = prepare_token_request("authorization_code", redirect_uri=self.redirect_uri, code=code)
        methods = provider.token_endpoint_auth_methods_supported
        how = "client_secret_post" if "client_secret_basic" not in methods else "client_secret_basic"
        auth = ClientAuth(self.settings.client_id, self.settings.client_secret, how if self._has_secret else "none")
        form = f"{body}&{urlencode({'code_verifier': verifier})}"
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        url, headers, form = auth.prepare("POST", provider.token_endpoint, headers, form)
        answer = await self._fetch("POST", url, headers, form.encode())
        if answer.status != 200:
            raise NotAuthenticated(
                f"The identity provider did not take the code (status {answer.status}).", param="token"
            )
        try:
            return msgspec.json.decode(answer.body, type=Tokens)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise NotAuthenticated("The identity provider gave no id token.", param="token") from error

    @property
    def _has_secret(self) -> bool:
        return bool(self.settings.client_secret)

    async def _claims(self, provider: Provider, tokens: Tokens, nonce: str) -> dict[str, Any]:
        """The claims of a token whose signature, issuer, audience, times and nonce are right."""
        try:
            decoded = await self._decoded(provider, tokens.id_token)
            claims = CodeIDToken(
                decoded.claims,
                decoded.header,
                {
                    "iss": {"essential": True, "value": provider.issuer},
                    "aud": {"essential": True, "value": self.settings.client_id},
                },
                {"nonce": nonce, "client_id": self.settings.client_id, "access_token": tokens.access_token},
            )
            claims.validate(now=self._clock.now_us() // 1_000_000, leeway=LEEWAY_S)
        except (JoseError, ValueError, TypeError) as error:
            raise NotAuthenticated("The identity provider's token is not valid.", param="token") from error
        if not isinstance(claims["sub"], str) or not 0 < len(claims["sub"]) <= 255:
            raise NotAuthenticated("The identity provider's token names nobody.", param="token")
        return dict(claims)

    async def _decoded(self, provider: Provider, id_token: str) -> jwt.Token:
        """The token with a good signature. A key that is not known yet is looked for once more: keys are rotated."""
        try:
            return jwt.decode(id_token, await self.keys(provider), algorithms=list(ALGORITHMS))
        except (JoseError, ValueError):
            return jwt.decode(id_token, await self.keys(provider, is_fresh=True), algorithms=list(ALGORITHMS))

    async def _completed(self, provider: Provider, tokens: Tokens, claims: dict[str, Any]) -> dict[str, Any]:
        """The claims, with what only the user info endpoint says where the token lacks something. Raises
        NotAuthenticated when that says nothing: what is not known of groups must not be taken for none."""
        wanted = (self.settings.user_claim, self.settings.groups_claim, "email")
        is_whole = all(find_claim(claims, name) is not None for name in wanted)
        if is_whole or not is_safe(provider.userinfo_endpoint) or not tokens.access_token:
            return claims
        headers = {"Authorization": f"Bearer {tokens.access_token}", "Accept": "application/json"}
        answer = await self._fetch("GET", provider.userinfo_endpoint, headers)
        if answer.status != 200:
            raise NotAuthenticated(f"The user info answers {answer.status}.", param="userinfo")
        try:
            more = msgspec.json.decode(answer.body, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise NotAuthenticated("The user info cannot be read.", param="userinfo") from error
        if more.get("sub") != claims["sub"]:
            raise NotAuthenticated("The user info speaks of somebody else.", param="userinfo")
        if more.get("email") != claims.get("email", more.get("email")):
            more.pop("email_verified", None)  # it speaks of another address than the token
        return more | claims

    def _arrival(self, claims: dict[str, Any]) -> Arrival:
        user_name = find_claim(claims, self.settings.user_claim)
        if not isinstance(user_name, str) or not user_name:
            raise NotAllowed(
                f"The identity provider does not say {self.settings.user_claim}, which names users here.", param="claim"
            )
        is_verified = claims.get("email_verified", self.settings.trusts_email) in _VERIFIED
        if self.settings.user_claim == "email" and not is_verified:
            raise NotAllowed("The identity provider has not verified this e-mail address.", param="claim")
        name, email = claims.get("name"), claims.get("email")
        return Arrival(
            issuer=self.settings.issuer.rstrip("/"),
            subject=claims["sub"],
            user_name=user_name,
            name=name if isinstance(name, str) else "",
            email=email if isinstance(email, str) and is_verified else "",
            groups=groups_of(claims, self.settings.groups_claim),
        )

    async def _get(self, url: str, kind: type[Any]) -> Any:
        if not is_safe(url):
            raise StoreUnavailable("The identity provider's address must be https.")
        answer = await self._fetch("GET", url, {"Accept": "application/json"})
        if answer.status != 200:
            raise StoreUnavailable(f"The identity provider answers {answer.status} at {url[:200]}.")
        try:
            return msgspec.json.decode(answer.body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise StoreUnavailable(f"The identity provider's answer at {url[:200]} cannot be read.") from error


def is_safe(url: str) -> bool:
    """Whether nobody on the way can read or change what goes there."""
    try:
        parts = urlsplit(url)
    except ValueError:  # half an IPv6 address
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)


def find_claim(claims: Mapping[str, Any], name: str) -> Any:
    """The claim of this name, else what the name says as a path with dots; None if there is none."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def groups_of(claims: Mapping[str, Any], name: str) -> tuple[str, ...] | None:
    """The groups; none where the claim is missing. Raises NotAllowed where they were too many for the token.

    Entra ID names a place to ask instead of more than 200 groups; it must be told to send those of the application."""
    overage = claims.get("_claim_names")
    if isinstance(overage, Mapping) and name in overage:
        raise NotAllowed(
            "You are in more groups than a token holds. Your administrator must limit which are sent.", param="overage"
        )
    found = find_claim(claims, name)
    if isinstance(found, str):
        return (found,)
    return tuple(one for one in found if isinstance(one, str)) if isinstance(found, list) else ()
