"""Where visitors come from, as guesses and sign-ins are counted."""

from ipaddress import IPv6Network, ip_address


def network_of(address: str) -> str:
    """What one visitor has of addresses: of IPv6 it is at least a /64, and whoever has one has them all."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    return str(parsed.ipv4_mapped or IPv6Network((int(parsed), 64), strict=False))
