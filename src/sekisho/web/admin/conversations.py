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
