"""What calls and tasks said, as people read it, in the admin API: turns, the same for every dialect."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from sekisho.access.roles import Principal
from sekisho.clock import id_text
from sekisho.errors import NotFound
from sekisho.record.conversation import Turn, read_answer, read_request
from sekisho.record.task_turns import CallTurns, read_task
from sekisho.values import ContentLevel
from sekisho.web.admin.authority import Authority
from sekisho.web.admin.calls import parse_call_id
from sekisho.web.admin.content import ContentReading
from sekisho.web.admin.services import Services
from sekisho.web.admin.times import iso

NO_TASK = "Nothing is kept of what was said in this task."


class Conversation(BaseModel):
    """`turns`: what the request says, `answer`: what came back; see docs/en/content.md for the parts of a turn.

    `level` "none": nothing is kept. `request_state`, `answer_state`: as of the call's content."""

    call_id: str
    level: ContentLevel
    request_state: str
    answer_state: str
    turns: list[dict[str, Any]]
    answer: list[dict[str, Any]]


class TaskCall(Conversation):
    """What one call added to its task. `turns` without what was said before."""

    started_at: str | None
    user_id: str


class TaskTurns(BaseModel):
    """Calls in their order. `next`: pass it as `after` for the following page; null at the end."""

    calls: list[TaskCall]
    next: str | None


class FoundCall(BaseModel):
    """A call in which the text stands: in what its request added, or in its answer, with the words around it.

    `level`: at which its content is kept."""

    call_id: str
    task_id: str
    team_id: str
    user_id: str
    started_at: str | None
    level: ContentLevel
    where: str
    words: str


class Found(BaseModel):
    """Calls, newest first. `next`: pass it as `before` to search on; null at the end. A page may be short, or empty,
    before the end: a search reads so much at a time."""

    calls: list[FoundCall]
    next: str | None


def conversations_router(services: Services, authority: Authority) -> APIRouter:
    """Routes for whoever may read content."""
    router = APIRouter(prefix="/admin/v1", tags=["content"])
    reading = ContentReading(services, authority)
    may_read = Annotated[Principal, Depends(reading.reader)]

    @router.get("/calls/{call_id}/conversation")
    async def get_conversation(call_id: str, who: may_read) -> Conversation:
        """A call as people read it. Reading somebody else's is noted in the audit log."""
        raw = parse_call_id(call_id, "call_id")
        await reading.find(who, raw)
        found = await services.content.store.read(raw)
        turns = read_request(found.door, found.request) if found and found.request is not None else ()
        answer: tuple[Turn, ...] = ()
        if found and found.answer is not None:
            answer = read_answer(found.door, found.answer, stream=found.stream, form=found.answer_form)
        return Conversation(
            call_id=id_text(raw),
            level=found.level if found else "none",
            request_state=found.request_state if found else "none",
            answer_state=found.answer_state if found else "none",
            turns=shown(turns),
            answer=shown(answer),
        )

    @router.get("/tasks/{task_id}/turns")
    async def get_task_turns(
        task_id: str, who: may_read, limit: Annotated[int, Query(ge=1, le=500)] = 100, after: str = ""
    ) -> TaskTurns:
        """What each call of a task added, in their order."""
        task, cursor = parse_call_id(task_id, "task_id"), parse_call_id(after, "after") if after else b""
        found = await read_task(services.content.store, task, after=cursor, limit=limit + 1)
        calls = await reading.among(who, "task", id_text(task), [one.row for one in found[:limit]])
        if not calls and not after:
            raise NotFound(NO_TASK)
        shown_calls = [_task_call(one) for one in found[:limit] if one.row.call_id in calls]
        return TaskTurns(calls=shown_calls, next=id_text(found[limit - 1].row.call_id) if len(found) > limit else None)

    @router.get("/content/search")
    async def search(
        who: may_read,
        q: Annotated[str, Query(min_length=2, max_length=200)],
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        before: str = "",
    ) -> Found:
        """Calls in which a text stands, newest first, among those whose content this principal may read."""
        store, sight = services.content.store, reading.sight(who)
        teams = {vault: team for team, vault in (await store.vaults()).items()}
        vaults = [vault for vault, team in teams.items() if sight.is_all or team in sight.team_ids]
        cursor = parse_call_id(before, "before") if before else b""
        hits, following = await store.search(q, vaults, sight.user_id, before=cursor, limit=limit)
        await reading.note_search(who, q, len(hits))
        await reading.among(who, "search", "", [hit.row for hit in hits])
        found = [
            FoundCall(
                call_id=id_text(hit.row.call_id),
                task_id=id_text(hit.row.task_id) if hit.row.task_id else "",
                team_id=teams.get(hit.row.vault, ""),
                user_id=hit.row.user_id,
                started_at=iso(hit.row.started_at),
                level=hit.row.level,
                where=hit.where,
                words=hit.words,
            )
            for hit in hits
        ]
        return Found(calls=found, next=id_text(following) if following else None)

    return router


def shown(turns: tuple[Turn, ...]) -> list[dict[str, Any]]:
    """Turns as JSON values."""
    built: list[dict[str, Any]] = msgspec.to_builtins(turns)
    return list(built)


def _task_call(one: CallTurns) -> TaskCall:
    row = one.row
    return TaskCall(
        call_id=id_text(row.call_id),
        started_at=iso(row.started_at),
        user_id=row.user_id,
        level=row.level,
        request_state=row.request_state,
        answer_state=row.answer_state,
        turns=shown(one.turns),
        answer=shown(one.answer),
    )
