"""Who has which role: assignments as rows with a history, and the principal that they make of a user.

Everybody is a developer. Who leads a team is said by the membership, so that it is said once: granting `team_lead`
makes the user a lead of that team. Above: the admin API. Below: a `GrantStore`.
"""

import hashlib
from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from sekisho.access.organisation import UserKind
from sekisho.access.publishing import Publisher
from sekisho.access.roles import ACTOR_CHARACTERS, EVERYTHING, Grant, Principal, RoleName, Sight
from sekisho.clock import Clock
from sekisho.errors import BadRequest, NotAllowed, NotFound

TEAM_ROLES: tuple[RoleName, ...] = ("team_lead", "cost_manager", "auditor")
MOST_GRANTS = 10_000
ORG_ROLES: tuple[RoleName, ...] = ("platform_admin", "cost_manager", "auditor", "directory")


class RoleGrant(msgspec.Struct, frozen=True):
    """One role of one user. An empty `team_id`: in the whole organisation."""

    user_id: str
    role: RoleName
    team_id: str
    created_at: int
    created_by: str


class RoleChange(msgspec.Struct, frozen=True):
    """One line of the history of roles. `id` rises."""

    id: int
    user_id: str
    role: RoleName
    team_id: str
    action: Literal["grant", "revoke"]
    at: int
    by: str


class GrantStore(Protocol):
    """Where assignments are kept. Raises StoreUnavailable."""

    async def put_grant(self, org_id: str, user_id: str, grant: Grant, by: str, now_us: int) -> None:
        """Give a user a role; nothing happens if it has it. Raises NotFound for an unknown user, BadRequest for an
        unknown team."""
        ...

    async def drop_grant(self, org_id: str, user_id: str, grant: Grant, by: str, now_us: int) -> None:
        """Take a role away. Raises NotFound when the user does not have it."""
        ...

    async def list_grants(
        self,
        org_id: str,
        *,
        user_id: str = "",
        role: str = "",
        sight: Sight = EVERYTHING,
        limit: int,
        after: tuple[str, ...] = (),
    ) -> list[RoleGrant]:
        """Roles that were given, those of leads too, by user, role and team, behind the three of `after`; only those in
        these teams, or of this user."""
        ...

    async def grants_of(self, org_id: str, user_id: str) -> tuple[UserKind, tuple[Grant, ...]] | None:
        """What sort of user this is and what it was given; None for an unknown user."""
        ...

    async def is_member(self, org_id: str, team_id: str, user_id: str) -> bool: ...

    async def role_history(
        self, org_id: str, *, user_id: str, limit: int, after: int | None = None
    ) -> list[RoleChange]:
        """What was given and taken away, newest first, behind the id `after`."""
        ...


class GrantRegister:
    """Gives and takes roles in one organisation. A change holds from the next request on; who leads a team is named to
    its members when they are refused, so that is in force too when a method returns."""

    def __init__(self, store: GrantStore, org_id: str, clock: Clock, publisher: Publisher) -> None:
        self._store = store
        self._org_id = org_id
        self._clock = clock
        self._publisher = publisher

    async def grant(self, user_id: str, grant: Grant, by: Principal) -> None:
        """Give a user a role. Raises BadRequest, NotFound, and NotAllowed for more than the giver holds."""
        check_grant(grant)
        await self._check_giver(user_id, grant, by)
        await self._store.put_grant(self._org_id, user_id, grant, by.actor, self._clock.now_us())
        await self._publish(grant)

    async def revoke(self, user_id: str, grant: Grant, by: Principal) -> None:
        """Take a role away. Raises as `grant`; NotFound also when the user does not have the role."""
        check_grant(grant)
        await self._check_giver(user_id, grant, by)
        await self._store.drop_grant(self._org_id, user_id, grant, by.actor, self._clock.now_us())
        await self._publish(grant)

    async def list(
        self,
        user_id: str = "",
        *,
        role: str = "",
        sight: Sight = EVERYTHING,
        limit: int = MOST_GRANTS,
        after: tuple[str, ...] = (),
    ) -> Sequence[RoleGrant]:
        """Roles that were given."""
        return await self._store.list_grants(
            self._org_id, user_id=user_id, role=role, sight=sight, limit=limit, after=after
        )

    async def history(self, user_id: str = "", *, limit: int, after: int | None = None) -> Sequence[RoleChange]:
        """What was given and taken away, newest first."""
        return await self._store.role_history(self._org_id, user_id=user_id, limit=limit, after=after)

    async def principal(self, user_id: str, token_expires_at: int | None = None) -> Principal | None:
        """Who a user is when it asks; None for an unknown one."""
        found = await self._store.grants_of(self._org_id, user_id)
        if found is None:
            return None
        kind, grants = found
        return Principal(actor_name(kind, user_id), kind, user_id, (Grant("developer"), *grants), token_expires_at)

    async def _publish(self, grant: Grant) -> None:
        if grant.role == "team_lead":
            await self._publisher.publish()

    async def _check_giver(self, user_id: str, grant: Grant, by: Principal) -> None:
        if by.may("organisation:write"):
            return
        if grant.role != "team_lead" or grant.team_id not in by.leads:
            raise NotAllowed("Nobody gives or takes a role that they do not hold themselves.")
        if not await self._store.is_member(self._org_id, grant.team_id, user_id):
            raise NotFound("There is no such user.")


def check_grant(grant: Grant) -> None:
    """Raises BadRequest for a role that cannot be given there."""
    if grant.role == "developer":
        raise BadRequest("Every user is a developer; that role is neither given nor taken.", param="role")
    if grant.team_id and grant.role not in TEAM_ROLES:
        raise BadRequest(f"The role {grant.role} is given in the whole organisation only.", param="team_id")
    if not grant.team_id and grant.role not in ORG_ROLES:
        raise BadRequest(f"The role {grant.role} is given in a team: say which in team_id.", param="team_id")


def actor_name(kind: UserKind, user_id: str) -> str:
    """How the record names a user: no user's id can make it look like the operator or the master key."""
    name = f"{'user' if kind == 'person' else 'service'}:{user_id}"
    if len(name) <= ACTOR_CHARACTERS:
        return name
    return f"{name[: ACTOR_CHARACTERS - 17]}~{hashlib.sha256(name.encode()).hexdigest()[:16]}"
