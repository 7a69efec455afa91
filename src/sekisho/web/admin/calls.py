"""Calls in Sekisho's own admin API, under /admin/v1."""

from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import msgspec
from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from sekisho.access.roles import Principal
from sekisho.clock import id_text, parse_id
from sekisho.errors import BadRequest, NotFound
from sekisho.record.calls import AttemptRow, CallFilter, CallRow, Part
from sekisho.values import Usage
from sekisho.web.admin.authority import Authority
from sekisho.web.admin.services import Services
from sekisho.web.admin.times import iso, parse_since, parse_until


class TokenCounts(BaseModel):
    """Disjoint counts, except `reasoning_tokens`, which is a part of `output_tokens`."""

    input_tokens: int
    cache_read_tokens: int
    cache_write_5m_tokens: int
    cache_write_1h_tokens: int
    output_tokens: int
    reasoning_tokens: int


class Attempt(BaseModel):
    """One try at one deployment. Costs are nano-USD. `status` 0: no answer came."""

    deployment: str
    started_at: str | None
    duration_us: int
    status: int
    error: str
    usage: TokenCounts
    list_cost_nanousd: int
    cost_nanousd: int
    price_version: str
    price_scope: str
    upstream_request_id: str


class Call(BaseModel):
    """One call. Costs are nano-USD. A running call has no `ended_at` and no cost yet.

    What budgets did to it: `asked_model` was asked for, where `model` served in its place; the answer had at most
    `clamped_tokens` (0: as many as asked); the call was held back for `delayed_ms`.
    Times in microseconds: `total_us` is `gateway_us` (our own), `waited_us` (for its body, for room in a budget, for
    counters and counts) and `upstream_us` (in its attempts), exactly; 0 while it runs.
    `task_id`: what it belongs to; `mode`: plan, act or nothing; `turn`: human, agent, title, compaction, side,
    sub_agent, repeat or probe; `repository`: the client's claim.
    `cache_saved_nanousd`: what it would have cost more without a prompt cache;
    `cache_lost_nanousd`: what it cost more since its cache was broken, by `cache_cause` (empty: it was not).
    `tools`: those that the answer called, by name, and how often; what is more than a row holds is under an empty
    name."""

    id: str
    change: int
    status: str
    key_id: str
    user_id: str
    team_id: str
    tags: list[str]
    agent: str
    agent_version: str
    session: str
    door: str
    model: str
    stream: bool
    request_bytes: int
    reserved_nanousd: int
    started_at: str | None
    ended_at: str | None
    stage: str
    stop_reason: str
    tools: dict[str, int]
    error: str
    message: str
    is_metered: bool
    client_left: bool
    usage: TokenCounts
    list_cost_nanousd: int
    cost_nanousd: int
    price_version: str
    price_scope: str
    first_byte_us: int
    total_us: int
    gateway_us: int
    waited_us: int
    upstream_us: int
    stages_us: list[int]
    asked_model: str
    clamped_tokens: int
    delayed_ms: int
    cache_saved_nanousd: int
    cache_lost_nanousd: int
    cache_cause: str
    task_id: str
    mode: str
    turn: str
    repository: str


class CallDetail(Call):
    """One call with its tries."""

    attempts: list[Attempt]


class CallPage(BaseModel):
    """Calls, newest first. `next`: pass it as `before` for the following page; null at the end."""

    calls: list[Call]
    next: str | None


def calls_router(services: Services, authority: Authority) -> APIRouter:
    """Routes for administrators."""
    router = APIRouter(prefix="/admin/v1", tags=["calls"])
    reader = Annotated[Principal, Depends(authority.within("spend:read"))]

    @router.get("/calls")
    async def list_calls(
        who: reader,
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
        before: str = "",
        key_id: str = "",
        user_id: str = "",
        team_id: str = "",
        model: str = "",
        status: str = "",
        agent: str = "",
        tag: str = "",
        mode: Literal["plan", "act", ""] | None = None,
        repository: str | None = None,
        since: str | None = None,
        until: str | None = None,
    ) -> CallPage:
        """Calls, newest first. `since` and `until` are dates (whole days of the books' time zone, as in sums of spend)
        or times. An empty `mode` or `repository` asks for the calls that have none."""
        zone = ZoneInfo(services.time_zone)
        where = CallFilter(
            key_id=key_id,
            user_id=user_id,
            team_id=team_id,
            model=model,
            status=status,
            agent=agent,
            tag=tag,
            mode=mode,
            repository=repository,
            since=parse_since(since, "since", zone),
            until=parse_until(until, "until", zone),
            part=part_of(who),
        )
        cursor = parse_call_id(before, "before") if before else None
        rows = await services.calls.recent(services.org_id, limit=limit + 1, before=cursor, where=where)
        calls = [render_call(row) for row in rows[:limit]]
        return CallPage(calls=calls, next=calls[-1].id if len(rows) > limit else None)

    @router.get("/calls/{call_id}")
    async def get_call(call_id: str, who: reader) -> CallDetail:
        """One call with its tries."""
        raw = parse_call_id(call_id, "call_id")
        row = await services.calls.find(services.org_id, raw)
        if row is None or not who.sight("spend:read").covers(team_id=row.team_id, user_id=row.user_id):
            raise NotFound("There is no such call.")
        attempts = (await services.calls.attempts([raw])).get(raw, [])
        return CallDetail(attempts=[_attempt(one) for one in attempts], **_call_fields(row))

    return router


def part_of(who: Principal) -> Part | None:
    """The calls that this principal may see; None for all."""
    sight = who.sight("spend:read")
    return None if sight.is_all else Part(tuple(sorted(sight.team_ids)), sight.user_id)


def parse_call_id(text: str, param: str) -> bytes:
    """The call id behind its text. Raises BadRequest."""
    try:
        return parse_id(text)
    except ValueError as error:
        raise BadRequest("This is not the id of a call.", param=param) from error


def tokens(usage: Usage) -> TokenCounts:
    """The counts of a usage, as they are shown."""
    return TokenCounts(**msgspec.structs.asdict(usage))


def render_call(row: CallRow) -> Call:
    """A call, as it is shown."""
    return Call(**_call_fields(row))


def _attempt(one: AttemptRow) -> Attempt:
    fields = msgspec.structs.asdict(one)
    return Attempt(**fields | {"started_at": iso(one.started_at), "usage": tokens(one.usage)})


def _call_fields(row: CallRow) -> dict[str, Any]:
    fields = msgspec.structs.asdict(row)
    del fields["org_id"], fields["lead_us"]
    return fields | {
        "id": id_text(row.id),
        "total_us": row.total_us,
        "gateway_us": row.gateway_us,
        "task_id": id_text(row.task_id) if row.task_id else "",
        "started_at": iso(row.started_at),
        "ended_at": iso(row.ended_at),
        "usage": tokens(row.usage),
        "tools": dict(row.tools),
    }
