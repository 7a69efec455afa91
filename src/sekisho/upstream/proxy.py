"""The HTTP forward proxy between the gateway and the providers: who goes through it, and the tunnel it opens."""

import asyncio
from base64 import b64encode
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import unquote, urlsplit

from sekisho.errors import UpstreamUnavailable
from sekisho.upstream.origin import Origin

_HEAD_LIMIT_BYTES = 65_536


class Proxy:
    """An HTTP forward proxy, and which origins do without it.

    `url`: http://[user:password@]host:port. `no_proxy`: the comma-separated list of the NO_PROXY variable: host names
    (their subdomains included), addresses, networks in CIDR form, each optionally with :port, or * for all.
    Loopback and Unix sockets never go through a proxy. Raises ValueError for a URL of another kind."""

    def __init__(self, url: str, no_proxy: str = "") -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError("a proxy is named http://host:port")
        self.host = parts.hostname
        self.port = parts.port or 80
        self.authorization_line = b""
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self.authorization_line = b"Proxy-Authorization: Basic " + b64encode(pair.encode())
        self._exceptions = [entry for raw in no_proxy.split(",") if (entry := raw.strip().lower())]

    def serves(self, origin: Origin) -> bool:
        """Whether the way to `origin` leads through this proxy."""
        if origin.scheme == "unix" or origin.host == "localhost":
            return False
        address = _address(origin.host)
        if address is not None and address.is_loopback:
            return False
        return not any(_matches(entry, origin) for entry in self._exceptions)

    async def open_tunnel(self, origin: Origin) -> asyncio.Transport:
        """Connect to the proxy and have it connect to `origin`; TLS is the caller's next step.

        Raises OSError when the proxy cannot be reached, UpstreamUnavailable when it refuses."""
        loop = asyncio.get_running_loop()
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        target = f"{host}:{origin.port}".encode("ascii")
        answered: asyncio.Future[bytes] = loop.create_future()
        transport, _ = await loop.create_connection(lambda: _TunnelHead(answered), self.host, self.port)
        try:
            lines = [b"CONNECT %b HTTP/1.1" % target, b"Host: %b" % target, self.authorization_line]
            transport.write(b"\r\n".join(filter(None, lines)) + b"\r\n\r\n")
            head = await answered
            status = head.split(b" ", 2)[1:2]
            if not head.startswith(b"HTTP/1.") or status != [b"200"] or not head.endswith(b"\r\n\r\n"):
                raise UpstreamUnavailable("The HTTP proxy refused the way to the model provider.")
        except BaseException:
            transport.abort()
            raise
        return transport


class _TunnelHead(asyncio.Protocol):
    """Waits for the end of the proxy's head. The far side of a fresh tunnel is a TLS server and never speaks first."""

    def __init__(self, answered: "asyncio.Future[bytes]") -> None:
        self._answered = answered
        self._head = bytearray()

    def data_received(self, data: bytes) -> None:
        self._head += data
        if not self._answered.done() and (b"\r\n\r\n" in self._head or len(self._head) > _HEAD_LIMIT_BYTES):
            self._answered.set_result(bytes(self._head))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._answered.done():
            self._answered.set_exception(exc or ConnectionResetError("the proxy closed the connection"))


def _matches(entry: str, origin: Origin) -> bool:
    if entry == "*":
        return True
    network = _network(entry)
    if network is not None:
        address = _address(origin.host)
        return address is not None and address in network
    host, colon, port = entry.rpartition(":")
    if colon and port.isdigit():
        if int(port) != origin.port:
            return False
        entry = host.strip("[]")
    domain = entry.lstrip("*").lstrip(".")
    return origin.host == domain or origin.host.endswith("." + domain)


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _network(entry: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(entry, strict=False)
    except ValueError:
        return None
