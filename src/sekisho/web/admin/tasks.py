"""Tasks in Sekisho's own admin API, under /admin/v1."""

from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import msgspec
from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from sekisho.access.roles import Principal
from sekisho.clock import id_text, parse_id
from sekisho.errors import BadRequest, NotFound
from sekisho.record.calls import CallFilter
from sekisho.record.tasks import Cursor, ModeSum, TaskFilter, TaskRow
from sekisho.web.admin.authority import Authority
from sekisho.web.admin.calls import CallPage, TokenCounts, parse_call_id, part_of, render_call, tokens
from sekisho.web.admin.content import ContentReading
from sekisho.web.admin.services import Services
from sekisho.web.admin.times import iso, parse_since, parse_until


class Task(BaseModel):
    """One task: a conversation of a person with an agent, with its sub-agents, titles and summaries. Cost in nano-USD.

    `turns`: what a person wrote. `calls` have ended, `running` have not, `refused` were never sent. `agent`,
    `repository` and `branch` are the client's own claims. `title`: how the person's words begin; null unless the list
    is asked for titles, content is kept and is the reader's to read."""

    id: str
    status: Literal["running", "idle"]
    team_id: str
    user_id: str
    key_id: str
    agent: str
    repository: str
    branch: str
    first_at: str | None
    last_at: str | None
    calls: int
    turns: int
    failed: int
    refused: int
    running: int
    cost_nanousd: int
    title: str | None = None


class ModeTotal(BaseModel):
    """What the calls in one mode come to: "plan", "act", or "" for what has none, such as titles. Costs in nano-USD.

    The costs by class of tokens are a part of the cost: what was not metered is in none of them."""

    mode: str
    calls: int
    turns: int
    failed: int
    refused: int
    running: int
    usage: TokenCounts
    list_cost_nanousd: int
    cost_nanousd: int
    input_nanousd: int
    cache_read_nanousd: int
    cache_write_nanousd: int
    output_nanousd: int


class TaskDetail(Task):
    """One task with its totals by mode."""

    modes: list[ModeTotal]


class TaskPage(BaseModel):
    """Tasks. `next`: pass it as `after` for the following page; null at the end."""

    tasks: list[Task]
    next: str | None


def tasks_router(services: Services, authority: Authority) -> APIRouter:
    """Routes for whoever may see the calls: of all, of a team that one leads, or one's own."""
    router = APIRouter(prefix="/admin/v1", tags=["tasks"])
    reader = Annotated[Principal, Depends(authority.within("spend:read"))]
    reading = ContentReading(services, authority)

    @router.get("/tasks")
    async def list_tasks(
        who: reader,
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
        after: str = "",
        sort: Literal["last", "cost"] = "last",
        team_id: str = "",
        user_id: str = "",
        key_id: str = "",
        agent: str = "",
        mode: Literal["plan", "act", ""] | None = None,
        repository: str | None = None,
        since: str | None = None,
        until: str | None = None,
        min_cost_nanousd: Annotated[int, Query(ge=0, lt=2**63)] = 0,
        titles: bool = False,
    ) -> TaskPage:
        """Tasks, the one used last or the dearest first. `since` and `until` are dates (whole days of the books' time
        zone) or times: a task with a call between them is in the answer, with all its calls. `repository`: that its
        calls named last. An empty `mode` asks for those with calls beside the conversation, an empty `repository` for
        those that named none.

        `titles`: also how each begins; reading those of others is noted in the audit log, once for a page."""
        zone = ZoneInfo(services.time_zone)
        where = TaskFilter(
            team_id=team_id,
            user_id=user_id,
            key_id=key_id,
            agent=agent,
            mode=mode,
            repository=repository,
            since=parse_since(since, "since", zone),
            until=parse_until(until, "until", zone),
            min_cost_nanousd=min_cost_nanousd,
            part=part_of(who),
        )
        rows, following = await services.tasks.list_tasks(
            services.org_id, limit=limit, order=sort, after=_parse_cursor(after), where=where
        )
        following_text = f"{following[0]}.{following[1]}" if following else None
        named = await reading.titles(who, [row.id for row in rows]) if titles else {}
        tasks = [Task(**_task_fields(row), title=named.get(row.id)) for row in rows]
        return TaskPage(tasks=tasks, next=following_text)

    @router.get("/tasks/{task_id}")
    async def get_task(task_id: str, who: reader) -> TaskDetail:
        """One task with its totals by mode. An id that turned out to be another task's leads to that one."""
        row = await _visible(services, who, task_id)
        modes = await services.tasks.by_mode(services.org_id, row.id)
        return TaskDetail(modes=[_mode(one) for one in modes], **_task_fields(row))

    @router.get("/tasks/{task_id}/calls")
    async def list_task_calls(
        task_id: str,
        who: reader,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        before: str = "",
    ) -> CallPage:
        """The calls of a task, newest first."""
        row = await _visible(services, who, task_id)
        cursor = parse_call_id(before, "before") if before else None
        where = CallFilter(task_id=row.id, part=part_of(who))
        found = await services.calls.recent(services.org_id, limit=limit + 1, before=cursor, where=where)
        calls = [render_call(one) for one in found[:limit]]
        return CallPage(calls=calls, next=calls[-1].id if len(found) > limit else None)

    return router


async def _visible(services: Services, who: Principal, task_id: str) -> TaskRow:
    """The task, if this principal may see it. Raises BadRequest, NotFound."""
    try:
        raw = parse_id(task_id)
    except ValueError as error:
        raise BadRequest("This is not the id of a task.", param="task_id") from error
    row = await services.tasks.find(services.org_id, raw)
    if row is None or not who.sight("spend:read").covers(team_id=row.team_id, user_id=row.user_id):
        raise NotFound("There is no such task.")
    return row


def _parse_cursor(text: str) -> Cursor | None:
    if not text:
        return None
    value, _, number = text.partition(".")
    if not (value.isascii() and value.isdigit() and number.isascii() and number.isdigit() and len(text) <= 40):
        raise BadRequest("This is not where a page of tasks ends.", param="after")
    cursor = (int(value), int(number))
    if max(cursor) >= 2**63 or cursor[1] >= 2**31:
        raise BadRequest("This is not where a page of tasks ends.", param="after")
    return cursor


def _task_fields(row: TaskRow) -> dict[str, Any]:
    fields = msgspec.structs.asdict(row)
    return fields | {
        "id": id_text(row.id),
        "status": "running" if row.running else "idle",
        "first_at": iso(row.first_at),
        "last_at": iso(row.last_at),
    }


def _mode(one: ModeSum) -> ModeTotal:
    return ModeTotal(**msgspec.structs.asdict(one) | {"usage": tokens(one.usage)})
