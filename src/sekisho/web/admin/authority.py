"""Who is asking: the local operator, the holder of the master key, or the holder of a virtual key.

A request on the Unix socket is the local operator's: file permissions let nobody else in. The call plane forwards other
people's requests over the same socket and marks every one of them with a header, overwriting what they sent. A key
that is presented decides alone, on either way.
"""

import hmac

from starlette.requests import Request

from sekisho.access.keys import check
from sekisho.access.register import StoredKey
from sekisho.errors import NotAllowed, NotAuthenticated, NotFound
from sekisho.web.admin.services import Services

FORWARDED_HEADER = "x-sekisho-forwarded"
OPERATOR = "operator"
MASTER_KEY = "master key"


def presented_key(request: Request) -> str:
    """The raw key in `Authorization: Bearer`, `x-litellm-api-key`, `x-api-key` or `api-key`; empty if there is none."""
    for header in ("authorization", "x-litellm-api-key", "x-api-key", "api-key"):
        value = request.headers.get(header, "").strip()
        if value:
            scheme, _, rest = value.partition(" ")
            return rest.strip() if scheme.lower() == "bearer" else value
    return ""


def is_local(request: Request) -> bool:
    """Whether this came straight over the Unix socket, not forwarded and not over TCP."""
    server = request.scope.get("server")
    is_unix_socket = server is not None and server[1] is None and server[0].startswith("/")
    return is_unix_socket and FORWARDED_HEADER not in request.headers


class Authority:
    """Judges requests. Its methods serve as FastAPI dependencies."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def administrator(self, request: Request) -> str:
        """Who administers here, for the record. Raises NotAuthenticated, or NotAllowed for a virtual key."""
        key = presented_key(request)
        if not key:
            if is_local(request):
                return OPERATOR
            raise NotAuthenticated("The master key is missing: send it as Authorization: Bearer.")
        if self._is_master(key):
            return MASTER_KEY
        if await self._services.keys.find_raw(key):
            raise NotAllowed("This needs the master key; a virtual key is not enough.")
        raise NotAuthenticated("The master key is not valid.")

    async def key_holder(self, request: Request) -> StoredKey:
        """The virtual key that a developer presents. Raises NotAuthenticated."""
        key = presented_key(request)
        stored = await self._services.keys.find_raw(key) if key else None
        if stored is None:
            raise NotAuthenticated("The virtual key is missing or not valid.")
        check(stored.virtual_key(), self._services.clock.now_us())
        return stored

    async def administrator_or_self(self, request: Request) -> StoredKey | None:
        """The presented virtual key, which may look at itself; None for an administrator. Raises NotAuthenticated."""
        key = presented_key(request)
        if key and not self._is_master(key):
            return await self.key_holder(request)
        await self.administrator(request)
        return None

    async def local(self, request: Request) -> None:
        """Let only our own processes on this machine pass. Raises NotFound: others need not know what is here."""
        if not is_local(request):
            raise NotFound("There is no such page.")

    def _is_master(self, key: str) -> bool:
        master = self._services.master_digest
        return master is not None and hmac.compare_digest(master, self._services.keys.digest(key))
