"""Books what the journal says: calls, the attempts that a call does not tell all of, and the sums of both.

Booking is idempotent by call id. A call's share in the sums is a function of its row; a batch adds the difference
between the rows after and before it. So the sums equal the rows whatever is repeated, and whatever order it comes in.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.ledger.journal import Attempt, Caching, Caller, Opened, Refused, Settled, Unrecognised
from sekisho.ledger.journal_files import Batch
from sekisho.store.sql import bulk, cache_sums, shares, task_sums
from sekisho.store.sql.attempts import INT32_MAX, NAMED_IN_ATTEMPT, fitting, only_attempt, pack, row_of
from sekisho.store.sql.audit import record_refusals
from sekisho.store.sql.call_actions import keep_actions
from sekisho.store.sql.endings import ending
from sekisho.store.sql.engine import Database
from sekisho.store.sql.names import QUERY_SIZE, Names, clean
from sekisho.store.sql.roll_ups import RUNNING
from sekisho.store.sql.tables.ledger import attempt, call, call_message, ended_process, journal_offset, running_call
from sekisho.store.sql.tables.schema import counter
from sekisho.store.sql.task_sums import TaskSums, texts_of
from sekisho.store.sql.times import pack_times
from sekisho.values import Usage

PROCESS_ENDED: Final = "process_ended"  # the error of a call whose process died before it settled
TAGS_CHARACTERS = 900
ENDED_KEPT_US: Final = 7 * 86_400_000_000

USAGE_COLUMNS = Usage.__struct_fields__
# The columns of `call` and `attempt` that hold the number of a name.
NAMED = (
    *("org", "key", "user", "team", "tags", "agent", "agent_version", "session", "door", "model"),
    *("repository", "status", "stage", "stop_reason", "error", "price_version", "price_scope", "deployment"),
)
_BESIDE = ("caching", "message", "note", "classes", "mode", "turn")  # of a row in memory, kept elsewhere

Row = dict[str, Any]  # columns of `call`, names still as strings


class SqlLedger:
    """The ledger in a database; what `ledger.drain` fills. One drain at a time."""

    def __init__(self, database: Database, names: Names) -> None:
        self._database = database
        self._names = names
        self._tasks = TaskSums(database, names)

    async def offsets(self) -> dict[str, int]:
        """How far each segment has been booked."""
        async with self._database.read() as connection:
            rows = await connection.execute(sa.select(journal_offset.c.segment, journal_offset.c.end_offset))
            return {segment: end_offset for segment, end_offset in rows}

    async def apply(self, batch: Batch) -> None:
        """Book the records and the segment's new offset, all or nothing."""
        self._names.remember(await self._database.transact(partial(self._apply, batch)))

    async def _apply(self, batch: Batch, connection: AsyncConnection) -> dict[str, int]:
        records = [record for record in batch.records if not isinstance(record, Unrecognised)]
        refusals: list[Refused | Unrecognised] = [one for one in batch.records if isinstance(one, Unrecognised)]
        before = await self._rows(connection, {record.call_id for record in records})
        after = dict(before)
        attempts: dict[bytes, tuple[Attempt, ...]] = {}
        for record in records:
            row = after.get(record.call_id)
            after[record.call_id] = changed = _fold(row, record)
            if isinstance(record, Refused) and changed is not row:
                refusals.append(record)
            if isinstance(record, Settled) and changed is not row and not changed["deployment"]:
                attempts[record.call_id] = record.attempts
        numbers = await self._book(connection, before, after, attempts)
        await self._tasks.merge(connection, (one.task for one in records if isinstance(one, Opened | Refused)))
        await keep_actions(self._database, connection, batch.records)
        await self._track_running(connection, after, batch.segment.process)
        await self._keep_offset(connection, batch.segment.name, batch.end_offset)
        await record_refusals(connection, refusals)  # last: it takes the lock of the audit log
        return numbers

    async def interrupt(self, process: str, now_us: int) -> int:
        """Settle the calls that a dead process left open at their reserved bound; how many there were."""
        calls, numbers = await self._database.transact(partial(self._interrupt, process, now_us))
        self._names.remember(numbers)
        return calls

    async def _interrupt(self, process: str, now_us: int, connection: AsyncConnection) -> tuple[int, dict[str, int]]:
        query = sa.select(running_call.c.call_id).where(running_call.c.process == process)
        ids = set((await connection.execute(query)).scalars())
        before = await self._rows(connection, ids)
        running = {call_id: row for call_id, row in before.items() if row["status"] == RUNNING}
        after = before | {call_id: _interrupted(row, now_us) for call_id, row in running.items()}
        numbers = await self._book(connection, before, after, {})
        await connection.execute(running_call.delete().where(running_call.c.process == process))
        await self._note_end(connection, process, now_us)
        return len(ids), numbers

    async def _note_end(self, connection: AsyncConnection, process: str, now_us: int) -> None:
        """Keep that a process has ended until nobody can have counts of it any more."""
        insert = self._database.insert(ended_process).values(process=process, ended_at=now_us)
        await connection.execute(insert.on_conflict_do_update(index_elements=["process"], set_={"ended_at": now_us}))
        await connection.execute(ended_process.delete().where(ended_process.c.ended_at < now_us - ENDED_KEPT_US))

    async def forget(self, segments: Sequence[str]) -> None:
        """Drop the offsets of segments that no longer exist."""
        async with self._database.write() as connection:
            for segment in segments:
                await connection.execute(journal_offset.delete().where(journal_offset.c.segment == segment))

    async def _rows(self, connection: AsyncConnection, call_ids: set[bytes]) -> dict[bytes, Row]:
        rows: dict[bytes, Row] = {}
        caching: dict[bytes, Caching] = {}
        for chunk in _chunks(sorted(call_ids)):
            known = (await connection.execute(_locking(chunk))).mappings().all()
            rows.update({found["id"]: dict(found) for found in known})
            if known:
                caching.update(await cache_sums.read(self._names, connection, chunk))
        texts = await self._names.texts(connection, {row[column] for row in rows.values() for column in NAMED})
        for row in rows.values():
            row.update({column: texts[row[column]] for column in NAMED})
            row["mode"], row["turn"] = task_sums.mode_and_turn(row.pop("kind"))
            row["caching"] = caching.get(row["id"])
        return rows

    async def _book(
        self,
        connection: AsyncConnection,
        before: dict[bytes, Row],
        after: dict[bytes, Row],
        attempts: dict[bytes, tuple[Attempt, ...]],
    ) -> dict[str, int]:
        """Write the rows that changed and the difference they make; the numbers of the names they use."""
        changed = [row for call_id, row in after.items() if row is not before.get(call_id)]
        if not changed:
            return {}
        await self._tasks.number(connection, changed)
        gain, cached = shares.difference(before, after), cache_sums.difference(before, after)
        tries = [row_of(call_id, number, one) for call_id, all_ in attempts.items() for number, one in enumerate(all_)]
        texts = {row[column] for row in changed for column in NAMED}
        texts.update(one[column] for one in tries for column in NAMED_IN_ATTEMPT)
        texts.update(shares.names_in(gain), cache_sums.names_in(cached), texts_of(changed))
        numbers = await self._names.numbers(connection, texts)
        await self._write_rows(connection, before, changed, numbers)
        if tries:
            rows = [one | {column: numbers[one[column]] for column in NAMED_IN_ATTEMPT} for one in tries]
            await connection.execute(self._database.insert(attempt).on_conflict_do_nothing(), rows)
        await shares.add(self._database, connection, gain, numbers)
        await cache_sums.add(self._database, connection, cached, numbers)
        await cache_sums.keep(self._database, connection, changed, numbers)
        await self._tasks.add(connection, before, after, numbers)
        return numbers

    async def _write_rows(
        self, connection: AsyncConnection, before: dict[bytes, Row], changed: list[Row], numbers: dict[str, int]
    ) -> None:
        change = await _advance(connection, "change", len(changed)) - len(changed)
        new: list[Row] = []
        known: list[Row] = []
        messages: list[Row] = []
        for position, row in enumerate(changed, start=1):
            stored = row | {column: numbers[row[column]] for column in NAMED}
            message = stored.get("message", "")
            stored["kind"] = task_sums.kind_of(row["mode"], row["turn"])
            for beside in _BESIDE:
                stored.pop(beside, None)
            stored["change"] = change + position
            if message:
                messages.append({"call_id": row["id"], "text": message})
            if row["id"] in before:
                known.append({f"new_{column}": value for column, value in stored.items()})
            else:
                new.append(stored)
        if new:
            await bulk.insert(self._database, connection, call, new)
        if known:
            columns: dict[str, Any] = {
                column.name: sa.bindparam(f"new_{column.name}") for column in call.c if column.name != "id"
            }
            await connection.execute(call.update().where(call.c.id == sa.bindparam("new_id")).values(columns), known)
        if messages:
            insert = self._database.insert(call_message)
            update = insert.on_conflict_do_update(index_elements=["call_id"], set_={"text": insert.excluded.text})
            await connection.execute(update, messages)

    async def _track_running(self, connection: AsyncConnection, rows: dict[bytes, Row], process: str) -> None:
        running = [call_id for call_id, row in rows.items() if row["status"] == RUNNING]
        if running:
            insert = self._database.insert(running_call).on_conflict_do_nothing(index_elements=["call_id"])
            await connection.execute(insert, [{"call_id": call_id, "process": process} for call_id in running])
        for chunk in _chunks([call_id for call_id, row in rows.items() if row["status"] != RUNNING]):
            await connection.execute(running_call.delete().where(running_call.c.call_id.in_(chunk)))

    async def _keep_offset(self, connection: AsyncConnection, segment: str, end_offset: int) -> None:
        insert = self._database.insert(journal_offset).values(segment=segment, end_offset=end_offset)
        await connection.execute(
            insert.on_conflict_do_update(index_elements=["segment"], set_={"end_offset": insert.excluded.end_offset})
        )


async def _advance(connection: AsyncConnection, name: str, by: int) -> int:
    """Add to a counter; its new value. Concurrent transactions wait for each other here."""
    await connection.execute(counter.update().where(counter.c.name == name).values(value=counter.c.value + by))
    value: int = (await connection.execute(sa.select(counter.c.value).where(counter.c.name == name))).scalar_one()
    return value


def _fold(row: Row | None, record: Opened | Settled | Refused) -> Row:
    """The call's row once this record is known; the same object when it says nothing new."""
    match record:
        case Opened():
            if row is None:
                return _opening(record) | _NOT_SETTLED
            if row["has_caller"]:
                return row
            return _reopened(row, record)
        case Settled():
            if row is None:
                started_at = record.ended_at - _duration_us(record, record.ended_at)
                unknown = _UNKNOWN_OPENING | {"id": record.call_id, "started_at": started_at}
                return unknown | _settlement(record, started_at)
            if row["status"] == RUNNING or row["error"] == PROCESS_ENDED:
                return row | _settlement(record, row["started_at"])
            return row
        case Refused():
            return _refusal(record) if row is None else row


def _opening(record: Opened) -> Row:
    return (
        _caller(record.caller)
        | task_sums.describe(record.task)
        | {
            "id": record.call_id,
            "has_caller": True,
            "door": record.door,
            "model": clean(record.model),
            "stream": record.stream,
            "request_bytes": record.request_bytes,
            "reserved_nanousd": record.reserved_nanousd,
            "started_at": record.started_at,
        }
    )


def _reopened(row: Row, record: Opened) -> Row:
    """The opening came after the settlement: fill in who called."""
    ended_at = row["started_at"] + row["duration_us"]
    sent_at = row["started_at"] + row["sent_us"]
    return (
        row
        | _opening(record)
        | {
            "duration_us": max(0, ended_at - record.started_at),
            "sent_us": sent_at - record.started_at if row["deployment"] else 0,
        }
    )


def _settlement(record: Settled, started_at: int) -> Row:
    priced = record.attempts[-1] if record.attempts else None
    only = only_attempt(record, started_at)
    return {
        "status": record.status,
        "stop_reason": ending(record.stop_reason, record.tools),
        "stage": "",
        "error": clean(record.error),
        "message": record.message.replace("\0", "\ufffd"),
        "duration_us": _duration_us(record, started_at),
        "first_byte_us": min(record.first_byte_us, INT32_MAX),
        "upstream_us": record.upstream_us,
        "stages_us": pack_times(record.stages_us, record.lead_us, record.waited_us),
        "is_metered": record.is_metered,
        "client_left": record.client_left,
        **msgspec.structs.asdict(fitting(record.usage)),
        "list_cost_nanousd": record.list_cost_nanousd,
        "cost_nanousd": record.cost_nanousd,
        "classes": record.classes_nanousd,
        "caching": record.caching,
        "price_version": clean(priced.price_version) if priced else "",
        "price_scope": clean(priced.price_scope) if priced else "",
        "deployment": clean(only.deployment) if only else "",
        "sent_us": only.started_at - started_at if only else 0,
        "upstream_request_id": pack(only.upstream_request_id) if only else b"",
    }


def _duration_us(record: Settled, started_at: int) -> int:
    """From the admission to the end; by the clock that never steps, where the record has it."""
    if record.total_us:
        return record.total_us - record.lead_us
    return max(0, record.ended_at - started_at)


def _refusal(record: Refused) -> Row:
    return (
        _NOT_SETTLED
        | _UNKNOWN_OPENING
        | _caller(record.caller)
        | task_sums.describe(record.task)
        | {
            "id": record.call_id,
            "has_caller": True,
            "door": record.door,
            "model": clean(record.model),
            "started_at": record.started_at,
            "duration_us": record.total_us or max(0, record.ended_at - record.started_at),
            "status": "refused",
            "stage": clean(record.stage),
            "error": clean(record.error),
            "message": record.message.replace("\0", "\ufffd"),
            "stages_us": pack_times(record.stages_us, 0, record.waited_us),
        }
    )


def _interrupted(row: Row, now_us: int) -> Row:
    return row | {
        "status": "interrupted",
        "error": PROCESS_ENDED,
        "is_metered": False,
        "duration_us": max(0, now_us - row["started_at"]),
        "list_cost_nanousd": row["reserved_nanousd"],
        "cost_nanousd": row["reserved_nanousd"],
    }


def _caller(caller: Caller) -> Row:
    return {
        "org": clean(caller.org_id),
        "key": clean(caller.key_id),
        "user": clean(caller.user_id),
        "team": clean(caller.team_id),
        "tags": _tags_text(caller.tags),
        "agent": clean(caller.agent),
        "agent_version": clean(caller.agent_version),
        "session": clean(caller.session),
    }


def _tags_text(tags: tuple[str, ...]) -> str:
    """A tag set as one name: a JSON list. Tags that no longer fit are left out."""
    kept: list[str] = []
    text = ""
    for tag in tags:
        longer = msgspec.json.encode([*kept, clean(tag)]).decode()
        if len(longer) <= TAGS_CHARACTERS:
            kept.append(clean(tag))
            text = longer
    return text


_UNKNOWN_OPENING: Final[Row] = _caller(Caller("", "")) | {
    "has_caller": False,
    "task": 0,
    "mode": "",
    "turn": "",
    "repository": "",
    "door": "",
    "model": "",
    "stream": False,
    "request_bytes": 0,
    "reserved_nanousd": 0,
}
_NOT_SETTLED: Final[Row] = {
    "status": RUNNING,
    "stop_reason": "",
    "stage": "",
    "error": "",
    "duration_us": None,
    "first_byte_us": 0,
    "upstream_us": 0,
    "stages_us": b"",
    "is_metered": True,
    "client_left": False,
    **msgspec.structs.asdict(Usage()),
    "list_cost_nanousd": 0,
    "cost_nanousd": 0,
    "price_version": "",
    "price_scope": "",
    "caching": None,
    "deployment": "",
    "sent_us": 0,
    "upstream_request_id": b"",
}


def _locking(ids: Sequence[bytes]) -> sa.Select[Any]:
    """These rows of calls, held on PostgreSQL until the end of the transaction: another replica may settle the same
    call, and each must see what the other made of it. In order, so that none waits for the other in a ring."""
    return sa.select(call).where(call.c.id.in_(ids)).order_by(call.c.id).with_for_update()


def _chunks(ids: Sequence[bytes]) -> Iterable[Sequence[bytes]]:
    return (ids[start : start + QUERY_SIZE] for start in range(0, len(ids), QUERY_SIZE))
