"""LiteLLM's daily activity: what was spent by day, and within a day by model, key, provider and entity.

Days are UTC, as LiteLLM's are. A day's figures are a sum of its own, never the sum of a breakdown: a call with two tags
counts once in the day.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from fastapi import APIRouter, Depends, Query

from sekisho.access.register import KeyLabel
from sekisho.access.roles import Principal
from sekisho.errors import BadRequest, NotFound
from sekisho.record.spend import Dimension, Period, Spend, SpendQuery
from sekisho.values import Model, Usage
from sekisho.web.admin.authority import Authority
from sekisho.web.admin.litellm_fields import refuse_unknown_query
from sekisho.web.admin.litellm_spend import api_key_of, key_labels
from sekisho.web.admin.services import Services
from sekisho.web.admin.spend import within_sight
from sekisho.web.admin.times import DAY, EPOCH, MICROSECOND, parse_since, parse_until, usd

MOST_DAYS = 1000
Entity = Literal["user", "team", "tag", "org"]
Name = TypeVar("Name", bound=Hashable)
Text = Annotated[str, Query(max_length=4000)]

_FIELDS: Mapping[str, str] = {"user": "user_id", "team": "team_id", "tag": "tag"}
_COUNTS = ("calls", "failed", "refused", "list_cost_nanousd", "cost_nanousd")


class Activity(msgspec.Struct, frozen=True):
    """What is asked for: days of the calls that `where` keeps, broken down by an entity."""

    entity: Entity
    since: int
    until: int
    where: Mapping[Dimension, tuple[str, ...]]


def litellm_activity_router(services: Services, authority: Authority) -> APIRouter:
    """`/user|team|tag|organization/daily/activity`."""
    may_read = Depends(authority.within("spend:read"))  # asked first, so that nobody else learns what there is
    router = APIRouter(tags=["LiteLLM-compatible"], dependencies=[may_read, Depends(refuse_unknown_query)])
    reader = Annotated[Principal, may_read]
    page_number = Annotated[int, Query(ge=1, le=100_000)]
    page_size_of = Annotated[int, Query(ge=1, le=1000)]

    @router.get("/user/daily/activity")
    async def user_activity(
        who: reader,
        start_date: str | None = None,
        end_date: str | None = None,
        user_id: Text = "",
        model: Text = "",
        api_key: Text = "",
        page: page_number = 1,
        page_size: page_size_of = 50,
    ) -> dict[str, Any]:
        """By day, newest first; of one user or of all that the caller may see."""
        where = await narrowed(who, {"user": _names(user_id), "model": _names(model)}, api_key)
        return await answer(_activity("user", start_date, end_date, where), page, page_size)

    @router.get("/team/daily/activity")
    async def team_activity(
        who: reader,
        start_date: str | None = None,
        end_date: str | None = None,
        team_ids: Text = "",
        model: Text = "",
        api_key: Text = "",
        page: page_number = 1,
        page_size: page_size_of = 50,
    ) -> dict[str, Any]:
        """By day, newest first, with the teams of each day. `team_ids`: separated by commas."""
        where = await narrowed(who, {"team": _names(team_ids), "model": _names(model)}, api_key)
        return await answer(_activity("team", start_date, end_date, where), page, page_size)

    @router.get("/tag/daily/activity")
    async def tag_activity(
        who: reader,
        start_date: str | None = None,
        end_date: str | None = None,
        tags: Text = "",
        model: Text = "",
        api_key: Text = "",
        page: page_number = 1,
        page_size: page_size_of = 50,
    ) -> dict[str, Any]:
        """By day, newest first, with the tags of each day. `tags`: separated by commas; none: calls with any tag."""
        where = await narrowed(who, {"tag": _names(tags), "model": _names(model)}, api_key)
        return await answer(_activity("tag", start_date, end_date, where), page, page_size)

    @router.get("/organization/daily/activity")
    async def organization_activity(
        who: reader,
        start_date: str | None = None,
        end_date: str | None = None,
        organization_ids: Text = "",
        model: Text = "",
        api_key: Text = "",
        page: page_number = 1,
        page_size: page_size_of = 50,
    ) -> dict[str, Any]:
        """By day, newest first, of the one organisation there is."""
        if any(one != services.org_id for one in _names(organization_ids)):
            raise NotFound("There is no such organization.")
        where = await narrowed(who, {"model": _names(model)}, api_key)
        return await answer(_activity("org", start_date, end_date, where), page, page_size)

    async def narrowed(
        who: Principal, wanted: dict[Dimension, tuple[str, ...]], api_key: str
    ) -> Mapping[Dimension, tuple[str, ...]]:
        """The filters that were given, and those that hold for this principal. Raises NotFound for an unknown key."""
        where = {dimension: names for dimension, names in wanted.items() if names}
        if api_key:
            where["key"] = tuple([(await services.keys.identify(one)).id for one in _names(api_key)])
        return within_sight(where, who)

    async def answer(asked: Activity, page: int, page_size: int) -> dict[str, Any]:
        report = _Report(asked, await _sums(services, asked), services)
        return await report.render(page, page_size)

    return router


class _Sums(msgspec.Struct, frozen=True):
    """The same calls, added up four ways: in all, by day, by day and key and model, and those by entity too.

    Only in `entities` a call with two tags is counted twice."""

    total: Spend
    days: dict[int, Spend]
    parts: list[Spend]
    entities: list[Spend]


async def _sums(services: Services, asked: Activity) -> _Sums:
    async def read(*by: Dimension, period: Period | None = "day") -> list[Spend]:
        query = SpendQuery(by=by, period=period, since=asked.since, until=asked.until, where=asked.where)
        return await services.spend.spend(services.org_id, query)

    (total,) = await read(period=None)
    days = {row.starts_at or 0: row for row in await read()}
    if asked.entity != "tag":
        parts = await read("key", "model", "team", *(("user",) if asked.entity == "user" else ()))
        return _Sums(total, days, parts, parts)
    entities = await read("key", "model", "team", "tag")
    parts = await read("key", "model", "team")
    if "tag" in asked.where:
        return _Sums(total, days, parts, [row for row in entities if row.tag in asked.where["tag"]])
    untagged = [row for row in entities if not row.tag]
    total = _minus(total, _plus(untagged))
    by_day = _groups(untagged, lambda row: row.starts_at or 0)
    days = {day: _minus(row, _plus(by_day.get(day, ()))) for day, row in days.items()}
    by_part = _groups(untagged, _part)
    parts = [_minus(row, _plus(by_part.get(_part(row), ()))) for row in parts]
    return _Sums(
        total,
        {day: row for day, row in days.items() if row.calls or row.refused},
        [row for row in parts if row.calls or row.refused],
        [row for row in entities if row.tag],
    )


class _Report:
    """Draws the days of one page under LiteLLM's names."""

    def __init__(self, asked: Activity, sums: _Sums, services: Services) -> None:
        self._asked = asked
        self._sums = sums
        self._services = services
        self._org_id = services.org_id
        self._providers = {model.name: _provider(model) for model in services.models()}
        self._labels: Mapping[str, KeyLabel] = {}
        self._aliases: dict[str, str] = {}

    async def render(self, page: int, page_size: int) -> dict[str, Any]:
        sums = self._sums
        days = sorted(sums.days, reverse=True)
        shown = days[(page - 1) * page_size : page * page_size]
        self._labels = await key_labels(self._services, {row.key_id for row in sums.parts if row.starts_at in shown})
        if self._asked.entity == "team":
            self._aliases = {team.id: team.alias for team in await self._services.teams.list(limit=100_000)}
        parts = _groups(sums.parts, lambda row: row.starts_at)
        entities = _groups(sums.entities, lambda row: row.starts_at)
        pages = max(1, -(-len(days) // page_size))
        return {
            "results": [self._day(day, parts.get(day, []), entities.get(day, [])) for day in shown],
            "metadata": {f"total_{name}": value for name, value in _metrics(sums.total).items()}
            | {"page": page, "total_pages": pages, "has_more": page < pages},
        }

    def _day(self, day: int, parts: Sequence[Spend], entities: Sequence[Spend]) -> dict[str, Any]:
        field = _FIELDS.get(self._asked.entity)
        return {
            "date": (EPOCH + day * MICROSECOND).date().isoformat(),
            "metrics": _metrics(self._sums.days[day]),
            "breakdown": {
                "models": self._split(parts, lambda row: row.model),
                "model_groups": self._split(parts, lambda row: row.model),
                "providers": self._split(parts, lambda row: self._providers.get(row.model, "unknown")),
                "api_keys": self._by_key(parts),
                "entities": self._split(entities, lambda row: getattr(row, field) if field else self._services.org_id),
                "mcp_servers": {},
                "endpoints": {},
            },
        }

    def _split(self, rows: Sequence[Spend], name_of: Callable[[Spend], str]) -> dict[str, Any]:
        return {
            name: {
                "metrics": _metrics(_plus(group)),
                "metadata": {"team_alias": self._aliases[name] or None} if name in self._aliases else {},
                "api_key_breakdown": self._by_key(group),
            }
            for name, group in _groups(rows, name_of).items()
        }

    def _by_key(self, rows: Sequence[Spend]) -> dict[str, Any]:
        return {
            name: {"metrics": _metrics(_plus(group)), "metadata": self._about_key(group[0])}
            for name, group in _groups(rows, lambda row: self._api_key(row.key_id)).items()
        }

    def _api_key(self, key_id: str) -> str:
        return api_key_of(self._labels.get(key_id)) or key_id

    def _about_key(self, row: Spend) -> dict[str, Any]:
        label = self._labels.get(row.key_id)
        return {"key_alias": label.alias or None if label else None, "team_id": row.team_id or None}


def _activity(
    entity: Entity, start_date: str | None, end_date: str | None, where: Mapping[Dimension, tuple[str, ...]]
) -> Activity:
    """Raises BadRequest: LiteLLM needs both dates too."""
    since, until = parse_since(start_date, "start_date"), parse_until(end_date, "end_date")
    if since is None or until is None:
        raise BadRequest("State start_date and end_date, such as 2026-01-31.", param="start_date")
    if since >= until:
        raise BadRequest("end_date lies before start_date.", param="end_date")
    if until - since > MOST_DAYS * (DAY // timedelta(microseconds=1)):
        raise BadRequest(f"Ask for at most {MOST_DAYS} days.", param="start_date")
    return Activity(entity, since, until, where)


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _provider(model: Model) -> str:
    """Whose model this is, if all its deployments say the same."""
    providers = {one.provider for one in model.deployments}
    return providers.pop() if len(providers) == 1 else "several"


def _metrics(row: Spend) -> dict[str, Any]:
    """Refused calls are failed requests, as in LiteLLM."""
    usage = row.usage
    return {
        "spend": usd(row.cost_nanousd),
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "cache_creation_input_tokens": usage.cache_write_5m_tokens + usage.cache_write_1h_tokens,
        "api_requests": row.calls + row.refused,
        "successful_requests": row.calls - row.failed,
        "failed_requests": row.failed + row.refused,
    }


def _part(row: Spend) -> tuple[int | None, str, str, str]:
    return row.starts_at, row.key_id, row.model, row.team_id


def _groups(rows: Iterable[Spend], name_of: Callable[[Spend], Name]) -> dict[Name, list[Spend]]:
    groups: dict[Name, list[Spend]] = {}
    for row in rows:
        groups.setdefault(name_of(row), []).append(row)
    return groups


def _plus(rows: Sequence[Spend]) -> Spend:
    counts = {name: sum(getattr(row, name) for row in rows) for name in _COUNTS}
    usage = Usage(*(sum(getattr(row.usage, name) for row in rows) for name in Usage.__struct_fields__))
    return Spend(**counts, usage=usage)


def _minus(row: Spend, other: Spend) -> Spend:
    counts = {name: getattr(row, name) - getattr(other, name) for name in _COUNTS}
    usage = Usage(*(getattr(row.usage, name) - getattr(other.usage, name) for name in Usage.__struct_fields__))
    return msgspec.structs.replace(row, **counts, usage=usage)
