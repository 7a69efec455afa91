"""Where a connection goes: the origin of a URL."""

from typing import Literal, NamedTuple
from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}


class Origin(NamedTuple):
    """One server, its host in ASCII. For "unix", `host` is the path of the socket and `port` is 0."""

    scheme: Literal["http", "https", "unix"]
    host: str
    port: int

    @property
    def authority(self) -> str:
        """The value of the Host header, which AWS signatures cover: no default port, brackets around IPv6."""
        if self.scheme == "unix":
            return "localhost"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


def parse_origin(url: str) -> tuple[Origin, str]:
    """Split a URL into its origin and its base path, which has no trailing slash.

    Takes http://, https:// and unix:/path/of/socket. Raises ValueError for anything else, and for a query, a fragment
    or a user name, which no endpoint of ours has."""
    parts = urlsplit(url)
    if parts.query or parts.fragment:
        raise ValueError("an endpoint has no query and no fragment")
    if parts.scheme == "unix":
        if not parts.path.startswith("/") or parts.netloc:
            raise ValueError("a socket is named unix:/absolute/path")
        return Origin("unix", parts.path, 0), ""
    if parts.scheme not in ("http", "https"):
        raise ValueError("an endpoint starts with http://, https:// or unix:/")
    if "@" in parts.netloc:
        raise ValueError("an endpoint carries no user name: credentials are configured apart")
    if not parts.hostname or not all("!" <= char <= "~" for char in parts.path):
        raise ValueError("an endpoint has a host, and a path of visible ASCII characters")
    host = parts.hostname.encode("idna").decode("ascii")
    if not all("!" <= char <= "~" for char in host):
        raise ValueError("an endpoint's host has no blanks")
    scheme: Literal["http", "https"] = "https" if parts.scheme == "https" else "http"
    port = _DEFAULT_PORTS[scheme] if parts.port is None else parts.port
    return Origin(scheme, host, port), parts.path.rstrip("/")
