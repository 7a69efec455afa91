"""What a key may do once its team has its say: the keys of a snapshot, resolved.

A blocked team blocks its keys; a key of a team that does not exist is blocked too, so that nothing stays valid by being
forgotten. Where both the key and its team list models, the key may use what both allow.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from sekisho.access.keys import may_use
from sekisho.access.organisation import Team
from sekisho.values import Budget, ContentLevel, Language, Model, Policy, RateLimit, VirtualKey

NO_MODELS = ("",)  # an empty list would mean all; no model has this name


class Effective(msgspec.Struct, frozen=True):
    """What the store has in use, as of `epoch`. `leads`: by team, the names of those who lead it. `left`: users who
    are no longer there."""

    epoch: int
    keys: tuple[VirtualKey, ...]
    teams: tuple[Team, ...] = ()
    budgets: tuple[Budget, ...] = ()
    limits: tuple[RateLimit, ...] = ()
    leads: dict[str, tuple[str, ...]] = {}
    languages: dict[str, Language] = {}
    policies: tuple[Policy, ...] = ()
    left: frozenset[str] = frozenset()
    content_generation: int = 0


def resolve_keys(
    keys: Iterable[VirtualKey],
    teams: Iterable[Team],
    models: Sequence[Model],
    content_level: ContentLevel = "none",
    left: Collection[str] = (),
) -> tuple[VirtualKey, ...]:
    """The keys as the call plane must judge them. `content_level`: where a team says nothing. `left`: users whose keys
    are blocked, whatever else is said of them."""
    by_id = {team.id: team for team in teams}
    resolved = (_as_team(_resolve(key, by_id, models), by_id, content_level) for key in keys)
    return tuple(replace(key, blocked=True) if key.user_id and key.user_id in left else key for key in resolved)


def _as_team(key: VirtualKey, teams: Mapping[str, Team], content_level: ContentLevel) -> VirtualKey:
    """With what its team says of content, and of streams where the key says nothing."""
    team = teams.get(key.team_id)
    level = content_level if team is None or team.content_level is None else team.content_level
    cut_streams = team.cut_streams if team and key.cut_streams is None else key.cut_streams
    if (level, cut_streams) == (key.content_level, key.cut_streams):
        return key
    return replace(key, content_level=level, cut_streams=cut_streams)


def _resolve(key: VirtualKey, teams: Mapping[str, Team], models: Sequence[Model]) -> VirtualKey:
    if not key.team_id:
        return key
    team = teams.get(key.team_id)
    if team is None or team.blocked:
        return replace(key, blocked=True)
    if not team.models:
        return key
    if not key.models:
        return replace(key, models=team.models)
    as_team = replace(key, models=team.models)
    both = [
        model.name
        for model in models
        if may_use(key, model.name, model.aliases) and may_use(as_team, model.name, model.aliases)
    ]
    return replace(key, models=tuple(both) or NO_MODELS)
