"""Where a Valkey or Redis is, read from its URL; the password in it is never printed."""

import ssl
from urllib.parse import unquote, urlsplit

import msgspec

_SCHEMES = {"redis": False, "valkey": False, "rediss": True, "valkeys": True, "unix": False}


class ValkeyAddress(msgspec.Struct, frozen=True):
    """One server. `path`: a Unix socket, instead of host and port."""

    host: str
    port: int
    path: str = ""
    user: str = ""
    password: str = ""
    database: int = 0
    is_tls: bool = False

    def __repr__(self) -> str:
        return f"ValkeyAddress({self.shown}, ***)"

    @property
    def shown(self) -> str:
        """The address without what is secret."""
        if self.path:
            return f"unix://{self.path}"
        return f"{'rediss' if self.is_tls else 'redis'}://{self.host}:{self.port}/{self.database}"

    def tls_context(self) -> ssl.SSLContext | None:
        """How to verify the server: by SSL_CERT_FILE or the system's certificates."""
        return ssl.create_default_context() if self.is_tls else None


def parse_valkey_url(text: str) -> ValkeyAddress:
    """`redis://[user[:password]@]host[:port][/database]`, with `rediss` for TLS, or `unix:///path`.

    Raises ValueError, which never quotes the URL."""
    try:
        parts = urlsplit(text)
        port = parts.port or 6379
    except ValueError:
        raise ValueError("it is not a URL such as redis://host:6379/0") from None
    if parts.scheme not in _SCHEMES or not (parts.path if parts.scheme == "unix" else parts.hostname):
        raise ValueError("it is not a URL such as redis://host:6379/0 or rediss://user:password@host:6379")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if parts.scheme == "unix":
        return ValkeyAddress("", 0, parts.path, user, password)
    database = parts.path.strip("/")
    if parts.query or (database and not database.isdecimal()):
        raise ValueError("behind its host a Valkey URL has the number of a database and nothing else")
    return ValkeyAddress(
        parts.hostname or "", port, "", user, password, int(database or 0), is_tls=_SCHEMES[parts.scheme]
    )
