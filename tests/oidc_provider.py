"""An identity provider for tests, made of joserfc's signing and nothing of ours: it checks what a client sends as the
specifications say, and can be told to answer wrongly."""

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import uvicorn
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from sekisho.access.oidc import Fetched
from sekisho.clock import Clock

CLIENT, SECRET = "sekisho-client", "s3cret/with+signs"
RSA, OTHER, EC = (
    RSAKey.generate_key(2048, {"kid": "one", "use": "sig"}),
    RSAKey.generate_key(2048, {"kid": "two", "use": "sig"}),
    ECKey.generate_key("P-256", {"kid": "three", "use": "sig"}),
)


@dataclass
class OidcProvider:
    """`claims`: of the person who signs in next. `token`: changes to what the id token says.
    `user_info`: what only the user info endpoint says of the person. `key`, `alg`: what it is
    signed with. `discovery`: changes to what is published."""

    clock: Clock
    issuer: str = "https://id.example.com"
    claims: dict[str, Any] = field(default_factory=lambda: {"sub": "1", "preferred_username": "alice"})
    token: dict[str, Any] = field(default_factory=dict)
    user_info: dict[str, Any] = field(default_factory=dict)
    user_info_status: int = 200
    discovery: dict[str, Any] = field(default_factory=dict)
    key: RSAKey | ECKey = field(default_factory=lambda: RSA)
    alg: str = "RS256"
    published: list[Any] = field(default_factory=lambda: [RSA, EC])
    asked: list[str] = field(default_factory=list)
    redirect_uris: tuple[str, ...] = ("https://sekisho.example.com/console/oidc/callback",)
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def authorize(self, address: str) -> str:
        """The person signs in at this address and agrees: where the browser is sent back to."""
        parts = urlsplit(address)
        assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{self.issuer}/authorize"
        asked = {name: values[0] for name, values in parse_qs(parts.query, strict_parsing=True).items()}
        assert asked["response_type"] == "code"
        assert asked["client_id"] == CLIENT
        assert asked["redirect_uri"] in self.redirect_uris
        assert "openid" in asked["scope"].split()
        assert asked["code_challenge_method"] == "S256"
        assert len(asked["state"]) > 20
        assert len(asked["nonce"]) > 20
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked
        return asked["redirect_uri"] + "?" + urlencode({"code": code, "state": asked["state"]})

    async def __call__(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Fetched:
        """Answer as over HTTP."""
        path = url.removeprefix(self.issuer)
        self.asked.append(f"{method} {path}")
        match f"{method} {path}":
            case "GET /.well-known/openid-configuration":
                return _json(200, self._document())
            case "GET /jwks":
                return _json(200, {"keys": [key.as_dict(private=False) for key in self.published]})
            case "GET /userinfo":
                return _json(self.user_info_status, {"sub": self.claims.get("sub")} | self.user_info)
            case "POST /token":
                return self._exchange(headers or {}, body)
            case _:
                return _json(404, {})

    def _document(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "end_session_endpoint": f"{self.issuer}/logout",
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "something_else": [1],
        } | self.discovery

    def _exchange(self, headers: Mapping[str, str], body: bytes) -> Fetched:
        sent = {name: values[0] for name, values in parse_qs(body.decode(), strict_parsing=True).items()}
        asked = self._codes.pop(sent.get("code", ""), None)
        if asked is None or sent["grant_type"] != "authorization_code" or sent["redirect_uri"] != asked["redirect_uri"]:
            return _json(400, {"error": "invalid_grant"})
        challenge = base64.urlsafe_b64encode(hashlib.sha256(sent["code_verifier"].encode()).digest())
        if challenge.decode().rstrip("=") != asked["code_challenge"]:
            return _json(400, {"error": "invalid_grant"})
        if not self._knows_client({name.lower(): value for name, value in headers.items()}, sent):
            return _json(401, {"error": "invalid_client"})
        now_s = self.clock.now_us() // 1_000_000
        said = {"iss": self.issuer, "aud": CLIENT, "iat": now_s, "exp": now_s + 300, "nonce": asked["nonce"]}
        said = {name: value for name, value in (said | self.claims | self.token).items() if value is not None}
        header = {"alg": self.alg, "kid": self.key.kid}
        if self.alg in ("none", "HS256", "HS512"):
            id_token = _forged(header, said)
        else:
            id_token = jwt.encode(header, said, self.key, algorithms=[self.alg])
        return _json(200, {"access_token": "at-1", "token_type": "Bearer", "expires_in": 300, "id_token": id_token})

    def _knows_client(self, headers: Mapping[str, str], sent: Mapping[str, str]) -> bool:
        if "client_secret_basic" in self._document()["token_endpoint_auth_methods_supported"]:
            scheme, _, value = headers.get("authorization", "").partition(" ")
            user, _, secret = base64.b64decode(value).decode().partition(":")
            return (scheme, unquote(user), unquote(secret)) == ("Basic", CLIENT, SECRET)
        return (sent.get("client_id"), sent.get("client_secret")) == (CLIENT, SECRET)


@asynccontextmanager
async def over_loopback(provider: OidcProvider) -> AsyncIterator[None]:
    """Serve the provider on a port of this machine, which its issuer then names."""

    async def answer(request: Request) -> Response:
        if request.url.path == "/authorize":  # the person signs in and agrees
            return RedirectResponse(provider.authorize(str(request.url)))
        if request.url.path == "/logout":
            return RedirectResponse(request.query_params["post_logout_redirect_uri"])
        url = provider.issuer + request.url.path
        found = await provider(request.method, url, dict(request.headers), await request.body())
        return Response(found.body, found.status, media_type="application/json")

    app = Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])])
    server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", log_config=None, access_log=False))
    config = server.config
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    port = server.servers[0].sockets[0].getsockname()[1]
    provider.issuer = f"http://127.0.0.1:{port}"
    try:
        yield
    finally:
        server.should_exit = True
        await server.shutdown()


def _forged(header: dict[str, Any], claims: dict[str, Any]) -> str:
    """A token that nobody signed, or that is signed with the public key as if it were a shared secret."""
    parts = [base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=") for one in (header, claims)]
    signed = b".".join(parts)
    kind = {"HS256": hashlib.sha256, "HS512": hashlib.sha512}.get(header["alg"])
    mac = hmac.new(RSA.as_pem(private=False), signed, kind).digest() if kind else b""
    return (signed + b"." + base64.urlsafe_b64encode(mac).rstrip(b"=")).decode()


def _json(status: int, value: Any) -> Fetched:
    return Fetched(status, json.dumps(value).encode())
