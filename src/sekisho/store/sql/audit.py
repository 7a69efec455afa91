"""The audit log in the database: appended in the transaction that changes something, never changed.

The head row of an organisation is locked until that transaction ends, so every link follows the one before it also
when several control processes write. Locks are taken in one order, so that nobody waits for each other: the epoch, the
head of the log, rows; the drain, whose rows nobody else changes, takes the head last. Triggers refuse to change or
delete an entry.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.access.audit import START, AuditEntry, AuditEvent, AuditFilter, AuditHead, chain
from sekisho.clock import id_text
from sekisho.errors import NotAuthenticated
from sekisho.ledger.journal import Refused, Unrecognised
from sekisho.store.sql.engine import Database
from sekisho.store.sql.names import clean
from sekisho.store.sql.tables.rights import audit_entry, audit_head

INSERT_ROWS = 500


async def record(
    connection: AsyncConnection,
    *,
    org_id: str,
    actor: str,
    action: str,
    kind: str,
    id: str,
    before: Any = None,
    after: Any = None,
    at_us: int,
) -> None:
    """Append one entry in this transaction. `before` and `after`: structs or JSON values without any secret."""
    await record_all(connection, org_id, at_us, [AuditEvent(actor, action, kind, id, before, after)])


async def record_all(connection: AsyncConnection, org_id: str, at_us: int, events: Sequence[AuditEvent]) -> None:
    """Append entries in this transaction, in this order."""
    if not events:
        return
    entries = chain(await lock_head(connection, org_id), at_us, events)
    rows = [msgspec.structs.asdict(entry) for entry in entries]
    for start in range(0, len(rows), INSERT_ROWS):
        await connection.execute(audit_entry.insert(), rows[start : start + INSERT_ROWS])
    newest = {"sequence": entries[-1].sequence, "hash": entries[-1].hash}
    await connection.execute(audit_head.update().where(audit_head.c.org_id == org_id).values(newest))


async def record_refusals(connection: AsyncConnection, refusals: Iterable[Refused | Unrecognised]) -> None:
    """Append an entry for each refused call, and for each address and minute with unknown keys, in their order."""
    by_org: dict[str, list[AuditEvent]] = {}
    for one in refusals:
        org_id = one.org_id if isinstance(one, Unrecognised) else one.caller.org_id
        event = _unrecognised(one) if isinstance(one, Unrecognised) else _refusal(one)
        by_org.setdefault(clean(org_id), []).append(event)
    for org_id, events in sorted(by_org.items()):
        await record_all(connection, org_id, events[0].at, events)


def _unrecognised(one: Unrecognised) -> AuditEvent:
    after = {"calls": one.calls, "until": one.ended_at, "stage": "authenticate", "code": NotAuthenticated.code}
    return AuditEvent("unknown key", "call.refuse", "address", one.address, None, after, one.started_at)


def _refusal(one: Refused) -> AuditEvent:
    caller = one.caller
    after = {
        "key_id": caller.key_id,
        "user_id": caller.user_id,
        "team_id": caller.team_id,
        "door": one.door,
        "model": one.model,
        "stage": one.stage,
        "code": one.error,
        "reason": one.message,
    }
    actor = f"key:{caller.key_id}"
    return AuditEvent(actor, "call.refuse", "call", id_text(one.call_id), None, after, one.ended_at)


class SqlAudit:
    """`access.audit.AuditQueries` over SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def note(self, org_id: str, event: AuditEvent, now_us: int) -> None:
        """Append an entry that comes with no other change."""
        async with self._database.write() as connection:
            await record_all(connection, org_id, now_us, [event])

    async def list_entries(
        self, org_id: str, where: AuditFilter, *, limit: int, before: int | None = None
    ) -> list[AuditEntry]:
        """Entries, newest first."""
        columns = audit_entry.c
        query = _filtered(sa.select(audit_entry).where(columns.org_id == org_id), where)
        if before is not None:
            query = query.where(columns.sequence < before)
        async with self._database.read() as connection:
            rows = await connection.execute(query.order_by(columns.sequence.desc()).limit(limit))
            return [AuditEntry(**row) for row in rows.mappings()]

    async def read_entries(self, org_id: str, *, after: int, limit: int) -> list[AuditEntry]:
        """Entries in their order."""
        columns = audit_entry.c
        query = sa.select(audit_entry).where(columns.org_id == org_id, columns.sequence > after)
        async with self._database.read() as connection:
            rows = await connection.execute(query.order_by(columns.sequence).limit(limit))
            return [AuditEntry(**row) for row in rows.mappings()]

    async def head(self, org_id: str) -> AuditHead | None:
        """The newest entry's place and hash."""
        async with self._database.read() as connection:
            rows = await connection.execute(sa.select(audit_head).where(audit_head.c.org_id == org_id))
            row = rows.mappings().one_or_none()
            return AuditHead(**row) if row else None


async def lock_head(connection: AsyncConnection, org_id: str) -> AuditHead:
    """Let no other transaction append until this one ends. Who does not begin by raising the epoch, and changes what
    others change behind this lock, begins with it: else the two could wait for each other."""
    query = sa.select(audit_head).where(audit_head.c.org_id == org_id).with_for_update()
    row = (await connection.execute(query)).mappings().one_or_none()
    if row is None:
        first = {"org_id": org_id, "sequence": 0, "hash": START}
        await connection.execute(_insert(connection).values(first).on_conflict_do_nothing())
        row = (await connection.execute(query)).mappings().one()
    return AuditHead(**row)


def _insert(connection: AsyncConnection) -> postgresql.Insert | sqlite.Insert:
    return sqlite.insert(audit_head) if connection.dialect.name == "sqlite" else postgresql.insert(audit_head)


def _filtered(query: sa.Select[Any], where: AuditFilter) -> sa.Select[Any]:
    columns = audit_entry.c
    wanted = {"actor": where.actor, "action": where.action, "kind": where.kind, "id": where.id}
    query = query.where(*(columns[name] == value for name, value in wanted.items() if value))
    if where.since:
        query = query.where(columns.at >= where.since)
    if where.until:
        query = query.where(columns.at < where.until)
    return query
