"""Asks the identity provider over our own HTTP client. Sign-ins are rare: each question has a connection of its own."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from sekisho.access.oidc import Fetched
from sekisho.errors import StoreUnavailable, UpstreamUnavailable
from sekisho.upstream.http1 import Http1Client
from sekisho.upstream.origin import parse_origin

TIMEOUT_S = 10.0
MOST_BYTES = 1_000_000


async def fetch(method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Fetched:
    """Ask once, without following redirects. Raises StoreUnavailable when there is no answer."""
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
    http = Http1Client(connect_timeout_s=TIMEOUT_S)
    try:
        origin, _ = parse_origin(f"{parts.scheme}://{parts.netloc}")
        response = await http.send(
            origin, method.encode(), target.encode(), lines, body, first_byte_timeout_s=TIMEOUT_S
        )
        return Fetched(response.status, await response.read(MOST_BYTES, TIMEOUT_S))
    except (UpstreamUnavailable, ValueError) as error:
        raise StoreUnavailable(f"The identity provider does not answer at {url[:200]}.") from error
    finally:
        await http.close()
