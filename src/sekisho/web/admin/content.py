"""What calls said, in the admin API: read to the byte, deleted, and how the store is.

Content is read by whoever's key made the call; by leads of the team only if the operator allows it; by auditors and
administrators. Each reading of somebody else's content is an entry of the audit log. Source: docs/why/content.md
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel
from starlette.requests import Request

from sekisho.access.audit import AuditEvent
from sekisho.access.roles import Principal, Sight
from sekisho.clock import id_text
from sekisho.errors import BadRequest, NotAllowed, NotFound
from sekisho.record.calls import CallRow
from sekisho.record.content import ContentFilter, ContentRow
from sekisho.record.content_store import Content
from sekisho.values import ContentLevel
from sekisho.web.admin.authority import Authority
from sekisho.web.admin.calls import parse_call_id
from sekisho.web.admin.services import Services
from sekisho.web.admin.times import iso

NO_CALL = "There is no such call."
NO_CONTENT = "Nothing is kept of what this call said."
_BYTES: dict[int | str, dict[str, Any]] = {200: {"content": {"application/octet-stream": {}}}}


class CallContent(BaseModel):
    """What is kept of a call. `level`: what its team wanted kept when it was made; "none": nothing is.

    `request_state`: "whole", or "lost": it could not be kept. `answer_state`: "whole", "none": the call failed before
    it had one, "running": it has not ended, or its process died, "lost". `request` and `answer` are text; where they
    are not valid UTF-8 the routes below give their bytes. `answer_form` "turns": masked, as neutral turns."""

    call_id: str
    level: ContentLevel
    door: str
    stream: bool
    request_state: str
    answer_state: str
    answer_form: str
    request: str | None
    answer: str | None


class TeamContent(BaseModel):
    """What is kept of a team's calls: how many, and bytes as stored. An empty `team_id`: of keys without a team."""

    team_id: str
    calls: int
    bytes: int


class ContentStatus(BaseModel):
    """`level`, `days`: of teams that say nothing else. `failure` is empty when all is well; while it is not, content
    waits in the spool, and when that is full it is lost."""

    level: ContentLevel
    days: int
    leads_may_read: bool
    failure: str
    spool_bytes: int
    spool_most_bytes: int
    taken_at: str | None
    teams: list[TeamContent]


class Deleted(BaseModel):
    """Of how many calls the content was deleted."""

    calls: int


class ContentReading:
    """Judges who may read a call's content, and notes who did."""

    def __init__(self, services: Services, authority: Authority) -> None:
        self._services = services
        self._authority = authority

    async def reader(self, request: Request) -> Principal:
        """Who asks, if there can be content that this one may read. Raises NotAllowed."""
        who = await self._authority.principal(request)
        if not self.sight(who):
            raise NotAllowed("This needs the permission content:read.")
        return who

    def sight(self, who: Principal) -> Sight:
        """Whose content this principal may read."""
        sight = who.sight("content:read")
        if sight.is_all or not self._services.content.settings.leads_may_read:
            return sight
        return Sight(False, sight.team_ids | who.leads, sight.user_id)

    async def find(self, who: Principal, raw: bytes) -> CallRow:
        """The call, if its content is this principal's to read; the reading is noted. Raises NotFound."""
        call = await self._services.calls.find(self._services.org_id, raw)
        if call is None or not self.sight(who).covers(team_id=call.team_id, user_id=call.user_id):
            raise NotFound(NO_CALL)
        await self.note(who, "call", id_text(raw), {"team_id": call.team_id, "user_id": call.user_id})
        return call

    async def among(self, who: Principal, kind: str, id: str, rows: Sequence[ContentRow]) -> set[bytes]:
        """Which of these calls' content is this principal's to read; the reading is noted once for each person."""
        teams = {vault: team for team, vault in (await self._services.content.store.vaults()).items()}
        sight = self.sight(who)
        seen = [row for row in rows if sight.covers(team_id=teams.get(row.vault, ""), user_id=row.user_id)]
        for team_id, user_id in sorted({(teams.get(row.vault, ""), row.user_id) for row in seen}):
            await self.note(who, kind, id, {"team_id": team_id, "user_id": user_id})
        return {row.call_id for row in seen}

    async def note_search(self, who: Principal, query: str, found: int) -> None:
        """Write into the audit log what somebody looked for in others' content, also where nothing was found: the log
        masks what is secret in it. Raises StoreUnavailable: then nothing is shown."""
        sight = self.sight(who)
        if not (sight.is_all or sight.team_ids):
            return
        teams = None if sight.is_all else sorted(sight.team_ids)
        what = {"query": query, "team_ids": teams, "found": found}
        event = AuditEvent(who.actor, "content.search", "search", "", None, what)
        await self._services.notes.note(self._services.org_id, event, self._services.clock.now_us())

    async def titles(self, who: Principal, task_ids: Sequence[bytes]) -> dict[bytes, str]:
        """The titles of those of these tasks that are this principal's to read; the reading is noted once for all."""
        sight, store = self.sight(who), self._services.content.store
        if not sight or not task_ids:
            return {}
        teams = {vault: team for team, vault in (await store.vaults()).items()}
        found = {
            task_id: (row, title)
            for task_id, (row, title) in (await store.titles(task_ids)).items()
            if sight.covers(team_id=teams.get(row.vault, ""), user_id=row.user_id)
        }
        others = sorted({row.user_id for row, _ in found.values() if not who.user_id or row.user_id != who.user_id})
        if others:
            await self.note(who, "task_titles", "", {"user_ids": others})
        return {task_id: title for task_id, (_, title) in found.items()}

    async def note(self, who: Principal, kind: str, id: str, what: Mapping[str, Any]) -> None:
        """Write into the audit log who read somebody else's content. Raises StoreUnavailable: then nothing is shown."""
        if who.user_id and what.get("user_id") == who.user_id:
            return
        event = AuditEvent(who.actor, "content.read", kind, id, None, dict(what))
        await self._services.notes.note(self._services.org_id, event, self._services.clock.now_us())


def content_router(services: Services, authority: Authority) -> APIRouter:
    """Routes for whoever may read content, and for administrators."""
    router = APIRouter(prefix="/admin/v1", tags=["content"])
    reading, content = ContentReading(services, authority), services.content
    may_read = Annotated[Principal, Depends(reading.reader)]

    @router.get("/content")
    async def content_status(_who: Annotated[Principal, Depends(authority.require("settings:read"))]) -> ContentStatus:
        """What is kept, how much of it there is, and how the store is."""
        health, held = content.health(), await content.store.holding()
        return ContentStatus(
            level=content.settings.level,
            days=content.settings.days,
            leads_may_read=content.settings.leads_may_read,
            failure=health.failure,
            spool_bytes=health.spool_bytes,
            spool_most_bytes=health.spool_most_bytes,
            taken_at=iso(health.taken_at) if health.taken_at else None,
            teams=[TeamContent(team_id=team, calls=one.calls, bytes=one.bytes) for team, one in sorted(held.items())],
        )

    @router.get("/calls/{call_id}/content")
    async def get_content(call_id: str, who: may_read) -> CallContent:
        """What a call said and was answered. Reading somebody else's is noted in the audit log."""
        call, found = await read(call_id, who)
        return _shown(call, found)

    @router.get("/calls/{call_id}/content/request", response_class=Response, responses=_BYTES)
    async def get_request(call_id: str, who: may_read) -> Response:
        """The request's body, byte for byte as its client sent it."""
        return _bytes((await read(call_id, who))[1], "request")

    @router.get("/calls/{call_id}/content/answer", response_class=Response, responses=_BYTES)
    async def get_answer(call_id: str, who: may_read) -> Response:
        """The answer's body, byte for byte as its client got it."""
        return _bytes((await read(call_id, who))[1], "answer")

    async def read(call_id: str, who: Principal) -> tuple[CallRow, Content | None]:
        raw = parse_call_id(call_id, "call_id")
        call = await reading.find(who, raw)
        return call, await content.store.read(raw)

    return router


def content_deletion_router(services: Services, authority: Authority) -> APIRouter:
    """Routes for administrators."""
    router = APIRouter(prefix="/admin/v1", tags=["content"])
    writer = Annotated[Principal, Depends(authority.require("content:write"))]
    content = services.content

    @router.delete("/calls/{call_id}/content")
    async def delete_content(call_id: str, who: writer) -> Deleted:
        """Delete what is kept of one call; what later calls repeat of it stays with them."""
        raw = parse_call_id(call_id, "call_id")
        if await services.calls.find(services.org_id, raw) is None:
            raise NotFound(NO_CALL)
        return await delete(who, "call", call_id, ContentFilter(call_id=raw))

    @router.delete("/content")
    async def delete_contents(
        who: writer,
        team_id: Annotated[str | None, Query(max_length=200)] = None,
        user_id: Annotated[str | None, Query(min_length=1, max_length=200)] = None,
        task_id: str | None = None,
    ) -> Deleted:
        """Delete what is kept of a team, with its key, of a person, or of a task. Say one of them."""
        given = [one for one in (team_id, user_id, task_id) if one is not None]
        if len(given) != 1:
            raise BadRequest("Say whose content to delete: one of team_id, user_id, task_id.", param="team_id")
        if team_id is not None:
            await note_deletion(who, "team", team_id)
            return Deleted(calls=await content.forget_team(team_id))
        if user_id is not None:
            return await delete(who, "user", user_id, ContentFilter(user_id=user_id))
        assert task_id is not None
        return await delete(who, "task", task_id, ContentFilter(task_id=parse_call_id(task_id, "task_id")))

    async def delete(who: Principal, kind: str, id: str, where: ContentFilter) -> Deleted:
        await note_deletion(who, kind, id)
        return Deleted(calls=await content.forget(where))

    async def note_deletion(who: Principal, kind: str, id: str) -> None:
        event = AuditEvent(who.actor, "content.delete", kind, id)
        await services.notes.note(services.org_id, event, services.clock.now_us())

    return router


def _shown(call: CallRow, found: Content | None) -> CallContent:
    return CallContent(
        call_id=id_text(call.id),
        level=found.level if found else "none",
        door=call.door,
        stream=call.stream,
        request_state=found.request_state if found else "none",
        answer_state=found.answer_state if found else "none",
        answer_form=found.answer_form if found else "bytes",
        request=_text(found.request if found else None),
        answer=_text(found.answer if found else None),
    )


def _text(data: bytes | None) -> str | None:
    try:
        return None if data is None else data.decode()
    except UnicodeDecodeError:
        return None


def _bytes(found: Content | None, part: str) -> Response:
    data = found and (found.request if part == "request" else found.answer)
    if found is None or data is None:
        raise NotFound(NO_CONTENT)
    return Response(data, media_type="application/octet-stream", headers={"x-sekisho-content-level": found.level})
