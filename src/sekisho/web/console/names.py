"""What people, teams and keys are called, for pages that know only their ids. What has no name keeps its id."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sekisho.values import Scope
from sekisho.web.admin.services import Services
from sekisho.web.console.filters import filter_said
from sekisho.web.console.language import Words


@dataclass(frozen=True, slots=True)
class Names:
    """Names by id."""

    people: Mapping[str, str] = field(default_factory=dict)
    teams: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)

    def person(self, user_id: str) -> str:
        return self.people.get(user_id) or user_id

    def team(self, team_id: str) -> str:
        return self.teams.get(team_id) or team_id

    def key(self, key_id: str) -> str:
        return self.keys.get(key_id) or key_id

    def of(self, kind: str, id: str) -> str:
        """The name of an object of the audit log, of a filter, of a scope."""
        if kind == "member":
            team_id, _, user_id = id.partition("/")
            return f"{self.team(team_id)} / {self.person(user_id)}"
        known = {"user": self.person, "team": self.team, "key": self.key}.get(kind)
        return known(id) if known else id

    def scope(self, scope: Scope, words: Words) -> str:
        """A scope as people call it."""
        return str(words("scope.org")) if scope.kind == "org" else self.of(scope.kind, scope.id)

    def filter(self, name: str, value: str, words: Words) -> str:
        """A filter's value as people read it."""
        said = self.of(name, value)
        return said if said != value else filter_said(name, value, words)


async def names_of(services: Services, of: Iterable[tuple[str, str]]) -> Names:
    """The names of these objects, each a kind (user, team, member, key) and an id; other kinds have no name."""
    ids: dict[str, set[str]] = {"user": set(), "team": set(), "key": set()}
    for kind, id in of:
        if kind == "member":
            team_id, _, user_id = id.partition("/")
            ids["team"].add(team_id)
            ids["user"].add(user_id)
        elif kind in ids:
            ids[kind].add(id)
    people, teams, keys = (frozenset(one for one in among if one) for among in ids.values())
    return Names(
        {one.id: one.alias for one in await services.users.list(limit=len(people), among=people)} if people else {},
        {one.id: one.alias for one in await services.teams.list(limit=len(teams), among=teams)} if teams else {},
        {id: one.alias for id, one in (await services.keys.labels(keys)).items()} if keys else {},
    )
