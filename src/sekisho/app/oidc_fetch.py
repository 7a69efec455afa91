"""Asks the identity provider over our own HTTP client. Sign-ins are rare: each question has a connection of its own."""

import ssl
from collections.abc import Mapping
from functools import cached_property
from urllib.parse import urlsplit

from sekisho.access.oidc import Fetched
from sekisho.app.sign_in_settings import Way
from sekisho.errors import StoreUnavailable, UpstreamUnavailable
from sekisho.upstream.http1 import Http1Client, tls_context
from sekisho.upstream.origin import parse_origin

TIMEOUT_S = 10.0
MOST_BYTES = 1_000_000


class Fetcher:
    """Asks by one way."""

    def __init__(self, way: Way) -> None:
        self._way = way

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """Made once: it reads all certificates of the system."""
        context = tls_context()
        if self._way.ca_file:
            context.load_verify_locations(self._way.ca_file)
        return context

    async def __call__(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Fetched:
        """Ask once, without following redirects. Raises StoreUnavailable when there is no answer."""
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        lines = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
        http = Http1Client(
            connect_timeout_s=TIMEOUT_S, tls=self._tls, proxy_url=self._way.proxy_url, no_proxy=self._way.no_proxy
        )
        try:
            origin, _ = parse_origin(f"{parts.scheme}://{parts.netloc}")
            response = await http.send(
                origin, method.encode(), target.encode(), lines, body, first_byte_timeout_s=TIMEOUT_S
            )
            return Fetched(response.status, await response.read(MOST_BYTES, TIMEOUT_S))
        except (UpstreamUnavailable, ValueError) as error:
            through = " through the proxy (https_proxy)" if self._way.proxy_url else ""
            raise StoreUnavailable(f"The identity provider does not answer at {url[:200]}{through}.") from error
        finally:
            await http.close()
