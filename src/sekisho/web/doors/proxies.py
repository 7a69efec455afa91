"""Who really asks when a load balancer stands before us: what trusted proxies say of the visitor.

Only what a trusted proxy has written counts. Each appends the address that it saw, so the list is read from its end:
the first address that is no trusted proxy's is the visitor's, and whatever stands before that, visitors may have
written themselves. Above: the connection. Sources: RFC 7239; X-Forwarded-For and X-Forwarded-Proto as proxies use them.
"""

import logging
import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import NamedTuple

from sekisho.web.doors.asgi import HeaderList

log = logging.getLogger(__name__)
_MOST_HOPS = 32
_NAMING = frozenset({b"x-forwarded-for", b"forwarded"})
_SCHEMES = ("http", "https")
_FORWARDED_PAIR = re.compile(r'\s*([!#$%&\'*+.^_`|~\w-]+)=(?:"([^"\\]*)"|([^\s",;]*))\s*')

Address = IPv4Address | IPv6Address


class Hop(NamedTuple):
    """One step of a request's way. `scheme`: by which it came, empty where that is not said."""

    address: Address
    scheme: str = ""


class Proxies:
    """The proxies whose word is taken. `networks`: theirs; none: everybody is who is at the other end."""

    def __init__(self, networks: Iterable[str] = ()) -> None:
        self._networks = tuple(ip_network(one) for one in networks)
        self._has_wondered = False

    def origin(self, peer: str, scheme: str, headers: HeaderList) -> tuple[str, str]:
        """The visitor's address and scheme. `peer`, `scheme`: of the connection."""
        here = parse_address(peer) if self._networks else None
        if here is None or not self._trusts(here):
            self._wonder(peer, headers)
            return peer, scheme
        forwarded = _joined(headers, b"forwarded")
        listed = _joined(headers, b"x-forwarded-for")
        ways = []
        if listed:
            ways.append(self._visitor(here, _listed_hops(listed, _joined(headers, b"x-forwarded-proto"))))
        if forwarded:
            ways.append(self._visitor(here, _forwarded_hops(forwarded)))
        if not ways:
            return peer, _scheme(_joined(headers, b"x-forwarded-proto").rpartition(",")[2]) or scheme
        if ways[0].address != ways[-1].address:  # a proxy writes one of the two: the other is the visitor's own word
            return peer, scheme
        return str(ways[0].address), ways[0].scheme or ways[-1].scheme or scheme

    def _wonder(self, peer: str, headers: HeaderList) -> None:
        """Say once that somebody speaks for others who is not trusted: a load balancer that nobody has named."""
        if not self._has_wondered and not _NAMING.isdisjoint(name for name, _ in headers):
            self._has_wondered = True
            log.warning(
                "%s names other visitors and is not believed; a load balancer is named in trusted_proxies", peer
            )

    def _visitor(self, here: Address, hops: list[Hop | None]) -> Hop:
        """The first hop from the end that no trusted proxy is. One that cannot be read ends the way there: what is
        known is only who reported it."""
        last = Hop(here)
        for hop in reversed(hops):
            if hop is None:
                break
            last = hop
            if not self._trusts(hop.address):
                break
        return last

    def _trusts(self, address: Address) -> bool:
        return any(address.version == network.version and address in network for network in self._networks)


def parse_address(text: str) -> Address | None:
    """An address as proxies write it: perhaps with a port, brackets or a zone. One of IPv4 in IPv6's form is IPv4."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _joined(headers: HeaderList, name: bytes) -> str:
    """All lines of a header as one list, in the order in which they came."""
    return ",".join(value.decode("latin-1") for found, value in headers if found == name)


def _last(text: str) -> list[str]:
    """The last entries of a list, as many as are looked at."""
    return text.rsplit(",", _MOST_HOPS)[-_MOST_HOPS:]


def _scheme(text: str) -> str:
    """The scheme that a proxy names, empty if it names none that we know."""
    found = text.strip().strip('"').lower()
    return found if found in _SCHEMES else ""


def _listed_hops(addresses: str, schemes: str) -> list[Hop | None]:
    """The hops of X-Forwarded-For. A scheme for each of them counts with its hop, fewer with the last ones."""
    named = _last(addresses)
    said = ([""] * len(named) + _last(schemes))[-len(named) :] if "," in schemes else [schemes] * len(named)
    return [
        Hop(address, _scheme(scheme)) if (address := parse_address(name)) else None
        for name, scheme in zip(named, said, strict=True)
    ]


def _forwarded_hops(text: str) -> list[Hop | None]:
    """The hops of Forwarded. Names that hide an address, such as `unknown`, are no hop to go on from."""
    hops: list[Hop | None] = []
    for element in _last(text):
        pairs = [_FORWARDED_PAIR.fullmatch(pair) for pair in element.split(";")]
        fields = {pair[1].lower(): pair[2] or pair[3] or "" for pair in pairs if pair}
        address = parse_address(fields.get("for", "")) if all(pairs) else None
        hops.append(Hop(address, _scheme(fields.get("proto", ""))) if address else None)
    return hops
