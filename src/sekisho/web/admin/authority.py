"""Who is asking: the local operator, the holder of the master key, of an access token, or of a virtual key.

A request on the Unix socket is the local operator's: file permissions let nobody else in. The call plane forwards other
people's requests over the same socket and marks every one of them with a header, overwriting what they sent. A key
that is presented decides alone, on either way.
"""

import hmac
from collections.abc import Awaitable, Callable

from starlette.requests import Request

from sekisho.access.keys import check
from sekisho.access.register import StoredKey
from sekisho.access.roles import Permission, Principal, administrator
from sekisho.access.tokens import TOKEN_PREFIX
from sekisho.errors import NotAllowed, NotAuthenticated, NotFound
from sekisho.web import forwarded
from sekisho.web.admin.services import Services

OPERATOR = "operator"
MASTER_KEY = "master key"
PRINCIPAL = "sekisho.principal"  # in the scope of a request that our own console makes in memory; never from a socket


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
    return is_unix_socket and forwarded.ADDRESS not in request.headers


def is_anonymous(request: Request) -> bool:
    """Whether nobody's key or token is presented."""
    return not presented_key(request)


class Authority:
    """Judges requests. Its methods serve as FastAPI dependencies."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def principal(self, request: Request) -> Principal:
        """Who asks. Raises NotAuthenticated, or NotAllowed for a virtual key."""
        known = request.scope.get(PRINCIPAL)
        if isinstance(known, Principal):
            return known
        key = presented_key(request)
        if not key:
            if is_local(request):
                return administrator(OPERATOR, "operator")
            raise NotAuthenticated("The master key or an access token is missing: send it as Authorization: Bearer.")
        if self._is_master(key):
            return administrator(MASTER_KEY, "master")
        if key.startswith(TOKEN_PREFIX):
            return await self._holder(key)
        if await self._services.keys.find_raw(key):
            raise NotAllowed("This needs the master key or an access token; a virtual key is not enough.")
        raise NotAuthenticated("The master key is not valid.")

    async def _holder(self, token: str) -> Principal:
        """Who holds an access token. Raises NotAuthenticated."""
        found = await self._services.tokens.find_raw(token)
        principal = await self._services.grants.principal(found.user_id, found.expires_at) if found else None
        if principal is None:
            raise NotAuthenticated("The access token is not valid: it is unknown, has expired or was revoked.")
        return principal

    async def administrator(self, request: Request) -> str:
        """The name of somebody who may do everything. Raises as `require`."""
        principal = await self.principal(request)
        if not principal.is_admin:
            raise NotAllowed("This needs a platform administrator.")
        return principal.actor

    def require(self, permission: Permission) -> Callable[[Request], Awaitable[Principal]]:
        """A dependency that lets pass who has this permission in the whole organisation. Raises as `principal`, and
        NotAllowed."""

        async def pass_or_refuse(request: Request) -> Principal:
            principal = await self.principal(request)
            if not principal.may(permission):
                raise NotAllowed(f"This needs the permission {permission} in the whole organisation.")
            return principal

        return pass_or_refuse

    def within(self, permission: Permission) -> Callable[[Request], Awaitable[Principal]]:
        """As `require`, but also for who has the permission in some team or for itself only: the route then judges
        each object by `Principal.sight` and hides what lies outside as if it were not there."""

        async def pass_or_refuse(request: Request) -> Principal:
            principal = await self.principal(request)
            if not principal.sight(permission):
                raise NotAllowed(f"This needs the permission {permission}.")
            return principal

        return pass_or_refuse

    async def key_holder(self, request: Request) -> StoredKey:
        """The virtual key that a developer presents. Raises NotAuthenticated."""
        key = presented_key(request)
        stored = await self._services.keys.find_raw(key) if key else None
        if stored is None:
            raise NotAuthenticated("The virtual key is missing or not valid.")
        check(stored.virtual_key(), self._services.clock.now_us())
        return stored

    async def principal_or_self(self, request: Request) -> StoredKey | Principal:
        """The presented virtual key, which may look at itself, or a principal. Raises NotAuthenticated."""
        key = presented_key(request)
        if key and not self._is_master(key) and not key.startswith(TOKEN_PREFIX):
            return await self.key_holder(request)
        return await self.principal(request)

    async def local(self, request: Request) -> None:
        """Let only our own processes on this machine pass. Raises NotFound: others need not know what is here."""
        if not is_local(request):
            raise NotFound("There is no such page.")

    def _is_master(self, key: str) -> bool:
        master = self._services.master_digest
        return master is not None and hmac.compare_digest(master, self._services.keys.digest(key))
