"""The register of teams and their members."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import UNSET

from sekisho.access.organisation import (
    NAME_CHARACTERS,
    Member,
    OrganisationStore,
    Role,
    Team,
    TeamChange,
    check_id,
    check_metadata,
    check_texts,
)
from sekisho.access.publishing import Publisher
from sekisho.access.rules import NO_RULES, RuleWrite
from sekisho.clock import Clock, id_text, new_id
from sekisho.errors import NotFound
from sekisho.values import ContentLevel, Scope


class TeamRegister:
    """Creates, finds and changes the teams of one organisation. Changes are in force when a method returns."""

    def __init__(self, store: OrganisationStore, org_id: str, clock: Clock, publisher: Publisher) -> None:
        self._store = store
        self._org_id = org_id
        self._clock = clock
        self._publisher = publisher

    async def create(
        self,
        by: str,
        *,
        team_id: str = "",
        alias: str = "",
        models: tuple[str, ...] = (),
        metadata: dict[str, Any] | None = None,
        blocked: bool = False,
        content_level: ContentLevel | None = None,
        content_days: int = 0,
        cut_streams: bool | None = None,
        members: Mapping[str, Role] | None = None,
        rules: Callable[[Scope], RuleWrite] = lambda _: NO_RULES,
    ) -> Team:
        """Make a team; without an id it gets one. `members`: role by user id. `rules`: its budgets and limits, given
        its scope; all of it is made, or nothing. Raises BadRequest, StoreUnavailable."""
        now_us = self._clock.now_us()
        team = Team(
            id=team_id or id_text(new_id(now_us)),
            org_id=self._org_id,
            created_at=now_us,
            created_by=by,
            updated_at=now_us,
            alias=alias,
            models=models,
            metadata=metadata or {},
            blocked=blocked,
            content_level=content_level,
            content_days=content_days,
            cut_streams=cut_streams,
        )
        check_id(team.id, "team_id", may_have_slash=False)
        _check(TeamChange(alias, models, team.metadata))
        await self._store.add_team(team, self._members(team.id, members or {}, by), rules(Scope("team", team.id)))
        await self._publisher.publish()
        return team

    async def update(self, team_id: str, change: TeamChange, by: str, rules: RuleWrite = NO_RULES) -> Team:
        """Change a team and its rules. Raises NotFound, BadRequest, StoreUnavailable."""
        _check(change)
        team = await self._store.change_team(self._org_id, team_id, change, by, self._clock.now_us(), rules)
        await self._publisher.publish()
        return team

    async def delete(self, team_id: str, by: str, transfer_to: str = "") -> None:
        """Delete a team, its keys, its memberships and its rules; what it owns goes to `transfer_to`. Raises NotFound,
        StoreUnavailable, and Conflict when it owns something that goes to nobody."""
        await self._store.delete_team(self._org_id, team_id, by, self._clock.now_us(), transfer_to)
        await self._publisher.publish()

    async def get(self, team_id: str) -> Team:
        """One team. Raises NotFound."""
        found = await self._store.find_team(self._org_id, team_id)
        if found is None:
            raise NotFound("There is no such team.")
        return found

    async def list(
        self,
        *,
        limit: int = 50,
        after: str = "",
        alias: str = "",
        user_id: str = "",
        among: frozenset[str] | None = None,
    ) -> list[Team]:
        """Teams, by id. `among`: only these."""
        return await self._store.list_teams(
            self._org_id, limit=limit, after=after, alias=alias, user_id=user_id, among=among
        )

    async def put_members(self, team_id: str, roles: Mapping[str, Role], by: str, rules: RuleWrite = NO_RULES) -> None:
        """Make users members, or give members another role, with their rules. Raises NotFound, BadRequest,
        StoreUnavailable."""
        await self._store.put_members(self._members(team_id, roles, by), rules)
        await self._publisher.publish()

    async def delete_member(self, team_id: str, user_id: str, by: str) -> None:
        """Take a user out of a team, with the keys bound to both. Raises NotFound, StoreUnavailable."""
        await self._store.delete_member(self._org_id, team_id, user_id, by, self._clock.now_us())
        await self._publisher.publish()

    async def members(self, team_id: str) -> Sequence[Member]:
        """The members of a team, by user id."""
        return await self._store.list_members(self._org_id, team_id=team_id)

    async def every_member(self) -> Sequence[Member]:
        """The members of all teams, by team and user id."""
        return await self._store.list_members(self._org_id)

    async def memberships(self, user_id: str) -> Sequence[Member]:
        """The teams of a user."""
        return await self._store.list_members(self._org_id, user_id=user_id)

    def _members(self, team_id: str, roles: Mapping[str, Role], by: str) -> tuple[Member, ...]:
        for user_id in roles:
            check_id(user_id, "user_id")
        now_us = self._clock.now_us()
        return tuple(Member(self._org_id, team_id, user_id, role, now_us, by) for user_id, role in roles.items())


def _check(change: TeamChange) -> None:
    check_texts(alias=("" if change.alias is UNSET else change.alias, NAME_CHARACTERS))
    check_metadata({} if change.metadata is UNSET else change.metadata)
