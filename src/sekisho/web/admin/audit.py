"""The audit log in the admin API, under /admin/v1/audit. Nothing here changes it."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from sekisho.access.audit import AuditEntry, AuditFilter
from sekisho.access.roles import Principal
from sekisho.web.admin.authority import Authority
from sekisho.web.admin.services import Services
from sekisho.web.admin.times import iso, parse_since, parse_until

Text = Annotated[str, Query(max_length=401)]


class Entry(BaseModel):
    """One entry. `before` and `after`: the object as it was, null where there was none. Hashes in hexadecimal."""

    sequence: int
    at: str | None
    actor: str
    action: str
    kind: str
    id: str
    before: Any
    after: Any
    previous: str
    hash: str


class EntryPage(BaseModel):
    """Entries, newest first. `next`: pass it as `after` for the following page; null at the end."""

    entries: list[Entry]
    next: str | None


class Head(BaseModel):
    """The newest entry of the log: keep it elsewhere, and the end of the log cannot be cut off unseen."""

    sequence: int
    hash: str


def audit_router(services: Services, authority: Authority) -> APIRouter:
    """Routes for auditors and administrators."""
    router = APIRouter(prefix="/admin/v1/audit", tags=["audit"])
    reader = Annotated[Principal, Depends(authority.require("audit:read"))]

    @router.get("")
    async def list_entries(
        _who: reader,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        after: Annotated[int | None, Query(ge=0, le=2**62)] = None,
        actor: Text = "",
        action: Text = "",
        kind: Text = "",
        id: Text = "",
        since: str | None = None,
        until: str | None = None,
    ) -> EntryPage:
        """Entries, newest first. `since` and `until` are dates or times; a date `until` includes its whole day."""
        where = AuditFilter(actor, action, kind, id, parse_since(since, "since") or 0, parse_until(until, "until") or 0)
        found = await services.audit.list_entries(services.org_id, where, limit=limit + 1, before=after)
        shown = [_render(entry) for entry in found[:limit]]
        return EntryPage(entries=shown, next=str(shown[-1].sequence) if len(found) > limit else None)

    @router.get("/head")
    async def head(_who: reader) -> Head:
        """The newest entry's place and hash."""
        found = await services.audit.head(services.org_id)
        return Head(sequence=found.sequence, hash=found.hash.hex()) if found else Head(sequence=0, hash="")

    return router


def _render(entry: AuditEntry) -> Entry:
    return Entry(
        sequence=entry.sequence,
        at=iso(entry.at),
        actor=entry.actor,
        action=entry.action,
        kind=entry.kind,
        id=entry.id,
        before=json.loads(entry.before) if entry.before else None,
        after=json.loads(entry.after) if entry.after else None,
        previous=entry.previous.hex(),
        hash=entry.hash.hex(),
    )
