"""LiteLLM's spend log, from our record: GET /spend/logs with its field names."""

from collections import Counter, defaultdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from sekisho.access.register import KeyLabel
from sekisho.clock import id_text
from sekisho.errors import BadRequest, NotFound
from sekisho.record.calls import AttemptRow, CallFilter, CallRow, utc_day
from sekisho.record.spend import Dimension, SpendQuery
from sekisho.web.admin.authority import Authority
from sekisho.web.admin.calls import parse_call_id
from sekisho.web.admin.services import Services
from sekisho.web.admin.times import iso, iso_day, parse_since, parse_until, usd

NEXT_HEADER = "x-sekisho-next"
CALL_TYPES = {
    "openai_chat": "acompletion",
    "openai_responses": "aresponses",
    "anthropic_messages": "anthropic_messages",
    "bedrock_converse": "allm_passthrough_route",
    "bedrock_invoke": "allm_passthrough_route",
}
MASTER_KEY_ID = "master"
MOST_DAYS = 1000
DAY_US = 86_400_000_000


def litellm_spend_router(services: Services, authority: Authority) -> APIRouter:
    """Routes under /spend."""
    router = APIRouter(
        prefix="/spend", tags=["LiteLLM-compatible"], dependencies=[Depends(authority.require("spend:read"))]
    )

    @router.get("/logs")
    async def logs(
        response: Response,
        api_key: str | None = None,
        user_id: str | None = None,
        request_id: str | None = None,
        start_date: str | None = None,
        end_date: str | None = None,
        summarize: bool = True,
        limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
        before: str = "",
    ) -> list[dict[str, Any]]:
        """Ended calls, newest first, at most `limit`; the header x-sekisho-next holds the `before` of the next page.

        With both dates and `summarize` (as in LiteLLM the default): one sum per UTC day instead.
        """
        if request_id:
            row = await services.calls.find(services.org_id, parse_call_id(request_id, "request_id"))
            return await _logs(services, [row] if row and row.ended_at is not None else [])
        where = CallFilter(
            key_id=await key_id(api_key),
            user_id=user_id or "",
            since=parse_since(start_date, "start_date"),
            until=parse_until(end_date, "end_date"),
            is_ended=True,
        )
        if where.since is not None and where.until is not None and summarize:
            return await _daily(services, where, where.since, where.until)
        cursor = parse_call_id(before, "before") if before else None
        rows = await services.calls.recent(services.org_id, limit=limit + 1, before=cursor, where=where)
        if len(rows) > limit:
            response.headers[NEXT_HEADER] = id_text(rows[limit - 1].id)
        return await _logs(services, rows[:limit])

    async def key_id(reference: str | None) -> str:
        """The id of the key that is meant; for one that is unknown an id that no key has."""
        if not reference:
            return ""
        try:
            return (await services.keys.identify(reference)).id
        except NotFound:
            return "unknown"

    return router


async def _logs(services: Services, rows: list[CallRow]) -> list[dict[str, Any]]:
    labels = await key_labels(services, {row.key_id for row in rows})
    attempts = await services.calls.attempts([row.id for row in rows])
    return [_log(row, labels.get(row.key_id), attempts.get(row.id, [])) for row in rows]


async def _daily(services: Services, where: CallFilter, since: int, until: int) -> list[dict[str, Any]]:
    """One object per UTC day, also for days without calls: spend in all, by key (as fields), by user, by model."""
    days = range(utc_day(since), utc_day(until - 1) + 1)
    if not days:
        return []
    if len(days) > MOST_DAYS:
        raise BadRequest(f"Ask for at most {MOST_DAYS} days.", param="start_date")
    named: tuple[tuple[Dimension, str], ...] = (("key", where.key_id), ("user", where.user_id))
    query = SpendQuery(
        by=("key", "user", "model"),
        period="day",
        since=days[0] * DAY_US,
        until=(days[-1] + 1) * DAY_US,
        where={dimension: (value,) for dimension, value in named if value},
    )
    spend = await services.spend.spend(services.org_id, query)
    labels = await key_labels(services, {row.key_id for row in spend})
    by_key, by_user, by_model = (defaultdict[int, Counter[str]](Counter) for _ in range(3))
    for row in spend:
        day = utc_day(row.starts_at or 0)
        by_key[day][api_key_of(labels.get(row.key_id))] += row.cost_nanousd
        by_user[day][row.user_id] += row.cost_nanousd
        by_model[day][row.model] += row.cost_nanousd
    return [
        _in_usd(by_key[day])
        | {
            "startTime": iso_day(day),
            "spend": usd(by_key[day].total()),
            "users": _in_usd(by_user[day]),
            "models": _in_usd(by_model[day]),
        }
        for day in days
    ]


async def key_labels(services: Services, key_ids: set[str]) -> dict[str, KeyLabel]:
    """What to call these keys; the master key has a name too."""
    labels = await services.keys.labels(key_ids)
    if services.master_digest is not None:
        labels[MASTER_KEY_ID] = KeyLabel(MASTER_KEY_ID, "", services.master_digest)
    return labels


def _in_usd(costs: Counter[str]) -> dict[str, Any]:
    return {name: usd(cost) for name, cost in costs.items()}


def api_key_of(label: KeyLabel | None) -> str:
    """How LiteLLM names a key: by its digest; empty for one that is unknown."""
    return label.digest.hex() if label else ""


def _log(row: CallRow, label: KeyLabel | None, attempts: list[AttemptRow]) -> dict[str, Any]:
    answered = attempts[-1] if attempts else None
    first_byte_at = row.started_at + row.first_byte_us if row.first_byte_us else None
    ended_at = row.ended_at or row.started_at
    return {
        "request_id": id_text(row.id),
        "call_type": CALL_TYPES.get(row.door, row.door),
        "api_key": api_key_of(label),
        "spend": usd(row.cost_nanousd),
        "total_tokens": row.usage.total_tokens,
        "prompt_tokens": row.usage.prompt_tokens,
        "completion_tokens": row.usage.output_tokens,
        "startTime": iso(row.started_at),
        "endTime": iso(ended_at),
        "completionStartTime": iso(first_byte_at),
        "request_duration_ms": (ended_at - row.started_at) // 1000,
        "model": row.model,
        "model_id": answered.deployment if answered else "",
        "model_group": row.model,
        "user": row.user_id,
        "end_user": "",
        "team_id": row.team_id or None,
        "organization_id": row.org_id,
        "metadata": {
            "user_api_key": api_key_of(label),
            "user_api_key_alias": label.alias or None if label else None,
            "user_api_key_user_id": row.user_id or None,
            "user_api_key_team_id": row.team_id or None,
            "user_agent": f"{row.agent}/{row.agent_version}".strip("/"),
            "status": _status(row),
            "error_information": {"error_code": row.error, "error_message": row.message} if row.error else None,
            "sekisho": {
                "status": row.status,
                "is_metered": row.is_metered,
                "client_left": row.client_left,
                "cost_nanousd": row.cost_nanousd,
                "list_cost_nanousd": row.list_cost_nanousd,
                "price_version": row.price_version,
                "price_scope": row.price_scope,
                "cache_read_tokens": row.usage.cache_read_tokens,
                "cache_write_5m_tokens": row.usage.cache_write_5m_tokens,
                "cache_write_1h_tokens": row.usage.cache_write_1h_tokens,
                "tools": dict(row.tools),
            },
        },
        "cache_hit": "False",
        "cache_key": "",
        "request_tags": list(row.tags),
        "session_id": row.session or None,
        "status": _status(row),
    }


def _status(row: CallRow) -> str:
    return "success" if row.status == "ok" else "failure"
