"""The register of users: people and service accounts."""

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import UNSET

from sekisho.access.organisation import (
    EMAIL_CHARACTERS,
    NAME_CHARACTERS,
    Member,
    OrganisationStore,
    User,
    UserChange,
    UserKind,
    check_id,
    check_metadata,
    check_texts,
)
from sekisho.access.publishing import Publisher
from sekisho.access.rules import NO_RULES, RuleWrite
from sekisho.clock import Clock, id_text, new_id
from sekisho.errors import NotFound
from sekisho.values import Scope


class UserRegister:
    """Creates, finds and changes the users of one organisation. Changes are in force when a method returns."""

    def __init__(self, store: OrganisationStore, org_id: str, clock: Clock, publisher: Publisher) -> None:
        self._store = store
        self._org_id = org_id
        self._clock = clock
        self._publisher = publisher

    async def create(
        self,
        by: str,
        *,
        user_id: str = "",
        kind: UserKind = "person",
        alias: str = "",
        email: str = "",
        metadata: dict[str, Any] | None = None,
        owner: str = "",
        team_ids: Sequence[str] = (),
        rules: Callable[[Scope], RuleWrite] = lambda _: NO_RULES,
    ) -> User:
        """Make a user; without an id it gets one. `team_ids`: of these it becomes a member. `rules`: its budgets and
        limits, given its scope; all of it is made, or nothing. Raises BadRequest, StoreUnavailable."""
        now_us = self._clock.now_us()
        user = User(
            id=user_id or id_text(new_id(now_us)),
            org_id=self._org_id,
            created_at=now_us,
            created_by=by,
            updated_at=now_us,
            kind=kind,
            alias=alias,
            email=email,
            metadata=metadata or {},
            owner=owner,
        )
        check_id(user.id, "user_id")
        _check(UserChange(kind, alias, email, user.metadata))
        members = tuple(Member(self._org_id, team_id, user.id, "member", now_us, by) for team_id in team_ids)
        write = rules(Scope("user", user.id))
        await self._store.add_user(user, members, write)
        if write != NO_RULES or members or "language" in user.metadata:
            await self._publisher.publish()
        return user

    async def update(self, user_id: str, change: UserChange, by: str, rules: RuleWrite = NO_RULES) -> User:
        """Change a user and its rules. Raises NotFound, BadRequest, StoreUnavailable."""
        _check(change)
        changed = await self._store.change_user(self._org_id, user_id, change, by, self._clock.now_us(), rules)
        # calls speak to a user by the language in the metadata, and of a lead by the alias
        if rules != NO_RULES or change.metadata is not UNSET or change.alias is not UNSET:
            await self._publisher.publish()
        return changed

    async def delete(self, user_id: str, by: str, transfer_to: str = "") -> None:
        """Delete a user, its keys, its memberships and its rules; what it owns goes to `transfer_to`. Raises NotFound,
        StoreUnavailable, and Conflict when it owns something that goes to nobody."""
        await self._store.delete_user(self._org_id, user_id, by, self._clock.now_us(), transfer_to)
        await self._publisher.publish()

    async def get(self, user_id: str) -> User:
        """One user. Raises NotFound."""
        found = await self._store.find_user(self._org_id, user_id)
        if found is None:
            raise NotFound("There is no such user.")
        return found

    async def list(
        self,
        *,
        limit: int = 50,
        after: str = "",
        email: str = "",
        kind: str = "",
        among: frozenset[str] | None = None,
    ) -> list[User]:
        """Users, by id. `among`: only these."""
        return await self._store.list_users(self._org_id, limit=limit, after=after, email=email, kind=kind, among=among)


def _check(change: UserChange) -> None:
    check_texts(
        alias=("" if change.alias is UNSET else change.alias, NAME_CHARACTERS),
        email=("" if change.email is UNSET else change.email, EMAIL_CHARACTERS),
    )
    check_metadata({} if change.metadata is UNSET else change.metadata)
