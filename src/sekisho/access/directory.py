"""People as the organisation's directory knows them: made when they first arrive, following its groups, gone when it
says so.

Roles and memberships that groups give are kept apart from those given by hand, so that each follows its own: what a
person's groups no longer give ends, what somebody gave by hand stays. Who has left has no principal, and every key of
theirs is refused by the call plane. Above: signing in through the identity provider, SCIM. Below: a `DirectoryStore`.
"""

from collections.abc import Iterable
from typing import Protocol

import msgspec

from sekisho.access.organisation import EMAIL_CHARACTERS, NAME_CHARACTERS, check_id
from sekisho.access.publishing import Publisher
from sekisho.access.sign_in_rules import GROUP_CHARACTERS
from sekisho.clock import Clock
from sekisho.errors import NotAllowed

DIRECTORY = "directory"  # who gave what groups give
MOST_GROUPS = 2_000


class Arrival(msgspec.Struct, frozen=True):
    """Somebody whom the identity provider vouches for. `subject` never changes; `user_name` names a new user here.

    `groups`: all of them, or None where the provider did not say."""

    issuer: str
    subject: str
    user_name: str
    name: str = ""
    email: str = ""
    groups: tuple[str, ...] | None = ()


class DirectoryStore(Protocol):
    """Where all this is kept. Each method is one transaction that raises the epoch. Raises StoreUnavailable."""

    async def arrive(self, org_id: str, arrival: Arrival, now_us: int) -> str | None:
        """Find or make the user of an arrival, bring its names, roles and memberships up to date; None when the rules
        let nobody in whom they do not know: then what groups gave before is taken away.

        Raises NotAllowed for who has left, and for an account that is linked to another."""
        ...

    async def leave(self, org_id: str, user_id: str, by: str, now_us: int) -> bool:
        """Note that a user has left: keys are blocked, tokens, sessions and the local account end. False: it had."""
        ...

    async def come_back(self, org_id: str, user_id: str, by: str, now_us: int) -> bool:
        """Note that a user is back; its keys work again only if the rules say so. False: it had not left."""
        ...

    async def follow(self, org_id: str, now_us: int) -> None:
        """Bring everybody's roles and memberships up to date with rules that have changed."""
        ...


class Directory:
    """Lets the identity provider's people in and out."""

    def __init__(self, store: DirectoryStore, org_id: str, clock: Clock, publisher: Publisher) -> None:
        self._store = store
        self._org_id = org_id
        self._clock = clock
        self._publisher = publisher

    async def arrive(self, arrival: Arrival) -> str:
        """The id of the user who has arrived, made if need be. Raises NotAllowed, BadRequest, StoreUnavailable."""
        checked = _checked(arrival)
        user_id = await self._store.arrive(self._org_id, checked, self._clock.now_us())
        await self._publisher.publish()
        if user_id is None:
            raise NotAllowed("None of your groups may use Sekisho. Ask your administrator.", param="groups")
        return user_id

    async def leave(self, user_id: str, by: str) -> None:
        """End all that a user may do. In force on every call process of this machine when it returns."""
        if await self._store.leave(self._org_id, user_id, by, self._clock.now_us()):
            await self._publisher.publish()

    async def come_back(self, user_id: str, by: str) -> None:
        """Let a user in again."""
        if await self._store.come_back(self._org_id, user_id, by, self._clock.now_us()):
            await self._publisher.publish()

    async def follow(self) -> None:
        """Bring everybody up to date with rules that have changed."""
        await self._store.follow(self._org_id, self._clock.now_us())
        await self._publisher.publish()


def _checked(arrival: Arrival) -> Arrival:
    """The arrival with names of a length that can be kept. Raises BadRequest for a user name that cannot be."""
    user_name = arrival.user_name.strip()[:NAME_CHARACTERS]
    check_id(user_name, "user_name")
    return msgspec.structs.replace(
        arrival,
        user_name=user_name,
        name=_plain(arrival.name, NAME_CHARACTERS),
        email=_plain(arrival.email, EMAIL_CHARACTERS),
        groups=None if arrival.groups is None else kept_groups(arrival.groups),
    )


def kept_groups(groups: Iterable[str]) -> tuple[str, ...]:
    """The groups that can be named in a rule, once each."""
    named = {one for one in groups if 0 < len(one) <= GROUP_CHARACTERS and one.isprintable()}
    return tuple(sorted(named)[:MOST_GROUPS])


def _plain(text: str, most: int) -> str:
    return text.replace("\0", "")[:most]
