"""LiteLLM's sums and reports: /spend/keys, users, tags, calculate, /global/spend and /global/spend/report.

Every figure is a sum of the ledger, in US dollars. Days are UTC. There are no end users here: where LiteLLM reports by
customer, this reports by user.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from sekisho.access.terms import max_budget_of
from sekisho.errors import BadRequest
from sekisho.ledger.cost import list_cost_nanousd
from sekisho.record.spend import Dimension, Spend, SpendQuery
from sekisho.values import Model, Scope, Usage
from sekisho.web.admin.authority import Authority
from sekisho.web.admin.litellm_fields import KnownFields, public_name, refuse_unknown_query, render_all, render_spend
from sekisho.web.admin.litellm_keys import render as render_key
from sekisho.web.admin.litellm_spend import api_key_of, key_labels
from sekisho.web.admin.litellm_users import render_user
from sekisho.web.admin.services import Services
from sekisho.web.admin.times import EPOCH, MICROSECOND, parse_since, parse_until, usd

MOST_OBJECTS = 10_000
Count = Annotated[int, Query(ge=0, le=10**12)]
Text = Annotated[str, Query(max_length=401)]


class CachedTokens(BaseModel):
    """The cached part of a prompt, as OpenAI counts it."""

    cached_tokens: int | None = None


class CountedUsage(BaseModel):
    """What an answer said it used, in OpenAI's form; `prompt_tokens` includes cached ones."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    prompt_tokens_details: CachedTokens | None = None

    def usage(self) -> Usage:
        """Disjoint counts. Raises BadRequest for ones that cannot be."""
        details = self.prompt_tokens_details
        read = self.cache_read_input_tokens or (details.cached_tokens if details else None) or 0
        written = self.cache_creation_input_tokens or 0
        counts = (self.prompt_tokens - read - written, read, written, 0, self.completion_tokens)
        if min(counts) < 0 or max(counts) > 10**12:
            raise BadRequest("These token counts cannot be.", param="completion_response")
        return Usage(*counts)


class Completion(BaseModel):
    """An answer that somebody has."""

    model: str | None = None
    usage: CountedUsage | None = None


class Calculation(KnownFields):
    """What to price."""

    model: str | None = None
    messages: list[Any] | None = None
    completion_response: Completion | None = None


def litellm_reports_router(services: Services, authority: Authority) -> APIRouter:
    """The sums under /spend."""
    router = APIRouter(
        prefix="/spend",
        tags=["LiteLLM-compatible"],
        dependencies=[Depends(authority.require("spend:read")), Depends(refuse_unknown_query)],
    )

    @router.get("/keys")
    async def spend_keys() -> list[dict[str, Any]]:
        """Every key in use as /key/info shows it, the dearest first."""
        keys = await services.keys.list(limit=MOST_OBJECTS)
        terms = await render_all(services, "key", [key.id for key in keys])
        return _dearest([render_key(key) | terms[key.id] for key in keys])

    @router.get("/users")
    async def spend_users(user_id: Text = "") -> list[dict[str, Any]]:
        """Every user as /user/info shows it, the dearest first; or one of them."""
        users = [await services.users.get(user_id)] if user_id else await services.users.list(limit=MOST_OBJECTS)
        terms = await render_all(services, "user", [user.id for user in users])
        return _dearest([render_user(user) | terms[user.id] for user in users])

    @router.get("/tags")
    async def spend_tags(start_date: str | None = None, end_date: str | None = None) -> list[dict[str, Any]]:
        """What calls with each tag cost. A call with two tags is in two sums."""
        rows = await services.spend.spend(services.org_id, _query(("tag",), start_date, end_date))
        return [
            {
                "individual_request_tag": row.tag,
                "log_count": row.calls + row.refused,
                "total_spend": usd(row.cost_nanousd),
            }
            for row in rows
            if row.tag
        ]

    @router.post("/calculate")
    async def calculate(body: Calculation) -> dict[str, float]:
        """What an answer with this usage costs at the list price of the model's first deployment."""
        return _calculated(services.models(), body)

    return router


def litellm_global_router(services: Services, authority: Authority) -> APIRouter:
    """Routes under /global."""
    router = APIRouter(
        prefix="/global/spend",
        tags=["LiteLLM-compatible"],
        dependencies=[Depends(authority.require("spend:read")), Depends(refuse_unknown_query)],
    )

    @router.get("")
    async def global_spend() -> dict[str, Any]:
        """What the organisation has spent and may spend: in its budget's window of now, else ever."""
        scope = Scope("org", services.org_id)
        rules = await services.rules.of(scope)
        budget = max_budget_of(rules)
        return {
            "spend": await render_spend(services, rules, scope),
            "max_budget": usd(budget.amount_nanousd) if budget else None,
        }

    @router.get("/report")
    async def report(
        start_date: str | None = None,
        end_date: str | None = None,
        group_by: Literal["team", "customer", "api_key"] = "team",
        api_key: Text = "",
        internal_user_id: Text = "",
        team_id: Text = "",
        customer_id: Text = "",
    ) -> list[dict[str, Any]]:
        """By day and team or user, each with its keys and models; or by key with its models."""
        if not (start_date and end_date):
            raise BadRequest("State start_date and end_date, such as 2026-01-31.", param="start_date")
        if internal_user_id and customer_id and internal_user_id != customer_id:
            raise BadRequest("A customer is a user here: name one of them.", param="customer_id")
        key_id = (await services.keys.identify(api_key)).id if api_key else ""
        wanted: dict[Dimension, str] = {"team": team_id, "user": internal_user_id or customer_id, "key": key_id}
        where = {dimension: (value,) for dimension, value in wanted.items() if value}
        if group_by == "api_key" or api_key:
            return await _by_key(services, _query(("key", "model"), start_date, end_date, where))
        dimension: Dimension = "team" if group_by == "team" else "user"
        query = _query((dimension, "key", "model"), start_date, end_date, where, by_day=True)
        return await _by_day(services, query, dimension)

    return router


def _calculated(models: Sequence[Model], body: Calculation) -> dict[str, float]:
    body.refuse_unknown()
    answer = body.completion_response
    name = body.model or (answer.model if answer else None)
    if not name:
        raise BadRequest("Say which model.", param="model")
    model = public_name(models, name, "model")
    if answer is None or answer.usage is None:
        raise BadRequest(
            "Send completion_response with its usage: a price needs counted tokens, and messages are not counted here.",
            param="completion_response",
        )
    (one,) = (one for one in models if one.name == model)
    price = next((deployment.price for deployment in one.deployments if deployment.price), None)
    if price is None:
        raise BadRequest(f"The model '{model[:60]}' has no known price.", param="model")
    return {"cost": usd(list_cost_nanousd(answer.usage.usage(), price))}


async def _by_key(services: Services, query: SpendQuery) -> list[dict[str, Any]]:
    rows = await services.spend.spend(services.org_id, query)
    labels = await key_labels(services, {row.key_id for row in rows})
    shown = [
        {
            "api_key": api_key_of(labels.get(key_id)) or key_id,
            **_totals(group),
            "model_details": [{"model": row.model, **_totals([row])} for row in group],
        }
        for key_id, group in _groups(rows, lambda row: row.key_id).items()
    ]
    return sorted(shown, key=lambda one: -one["total_cost"])


async def _by_day(services: Services, query: SpendQuery, dimension: Dimension) -> list[dict[str, Any]]:
    rows = await services.spend.spend(services.org_id, query)
    labels = await key_labels(services, {row.key_id for row in rows})
    names = {team.id: team.alias or team.id for team in await services.teams.list(limit=100_000)}

    def draw(name: str, group: Sequence[Spend]) -> dict[str, Any]:
        named = {"customer": name} if dimension == "user" else {"team_id": name, "team_name": names.get(name, name)}
        metadata = [
            {
                "model": row.model,
                "spend": usd(row.cost_nanousd),
                "total_tokens": row.usage.total_tokens,
                "api_key": api_key_of(labels.get(row.key_id)) or row.key_id,
            }
            for row in group
        ]
        return named | {"total_spend": usd(sum(row.cost_nanousd for row in group)), "metadata": metadata}

    listed = "customers" if dimension == "user" else "teams"
    return [
        {
            "group_by_day": (EPOCH + day * MICROSECOND).isoformat(),
            listed: [draw(name, group) for name, group in _groups(one, _name_of(dimension)).items()],
        }
        for day, one in sorted(_groups(rows, lambda row: row.starts_at or 0).items())
    ]


def _query(
    by: tuple[Dimension, ...],
    start_date: str | None,
    end_date: str | None,
    where: Mapping[Dimension, tuple[str, ...]] | None = None,
    *,
    by_day: bool = False,
) -> SpendQuery:
    """Raises BadRequest for dates that are none, or in the wrong order."""
    since, until = parse_since(start_date, "start_date"), parse_until(end_date, "end_date")
    if since is not None and until is not None and since >= until:
        raise BadRequest("end_date lies before start_date.", param="end_date")
    return SpendQuery(by=by, period="day" if by_day else None, since=since, until=until, where=where or {})


def _name_of(dimension: Dimension) -> Callable[[Spend], str]:
    return (lambda row: row.user_id) if dimension == "user" else (lambda row: row.team_id)


def _groups(rows: Sequence[Spend], name_of: Callable[[Spend], Any]) -> dict[Any, list[Spend]]:
    groups: dict[Any, list[Spend]] = {}
    for row in rows:
        groups.setdefault(name_of(row), []).append(row)
    return groups


def _totals(rows: Sequence[Spend]) -> dict[str, Any]:
    return {
        "total_cost": usd(sum(row.cost_nanousd for row in rows)),
        "total_input_tokens": sum(row.usage.prompt_tokens for row in rows),
        "total_output_tokens": sum(row.usage.output_tokens for row in rows),
    }


def _dearest(shown: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(shown, key=lambda one: -one["spend"])
