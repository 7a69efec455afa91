"""What the call plane says of a request that it hands on to the control plane, in headers that nobody else can set.

It removes them from what clients send. A request without them came straight over the Unix socket.
"""

from collections.abc import Mapping

ADDRESS = "x-sekisho-forwarded"  # of the visitor, also behind trusted proxies
HOST = "x-sekisho-host"  # that the visitor asked for
SCHEME = "x-sekisho-scheme"  # by which the visitor came


def address_of(headers: Mapping[str, str], peer: object) -> str:
    """Where a request comes from. `peer`: the other end of the connection, as host and port, or None."""
    return headers.get(ADDRESS) or (str(peer[0]) if isinstance(peer, tuple) else "")


def host_of(headers: Mapping[str, str]) -> str:
    """The host that was asked for."""
    return headers.get(HOST) or headers.get("host", "")
