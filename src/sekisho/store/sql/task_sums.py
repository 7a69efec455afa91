"""Tasks, and the sums of their calls: in all and by mode.

A call's share is a function of its row, and a batch adds the difference between the rows after and before it, as the
roll-ups do; so the sums of tasks equal the rows of their calls, running ones apart. Ids that turn out to be one task
become one: its calls and sums move, and whoever uses the old id again is led to the new one. Source: docs/why/tasks.md
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.ledger.journal import TaskNote
from sekisho.store.sql.bulk import add_up, insert
from sekisho.store.sql.engine import Database
from sekisho.store.sql.names import QUERY_SIZE, Names, clean
from sekisho.store.sql.roll_ups import FAILED, REFUSED, RUNNING
from sekisho.store.sql.tables.ledger import call, task, task_mode
from sekisho.values import Usage

NO_TASK: Final = 0
CLASSES: Final = ("input_nanousd", "cache_read_nanousd", "cache_write_nanousd", "output_nanousd")
MEASURES: Final = (
    *("calls", "turns", "failed", "refused", "running"),
    *Usage.__struct_fields__,
    *("list_cost_nanousd", "cost_nanousd"),
    *CLASSES,
)
_IN_TOTAL: Final = ("calls", "turns", "failed", "refused", "running", "cost_nanousd")
# Numbers in the database: these lists only grow at their ends.
MODES: Final = ("", "plan", "act")
TURNS: Final = ("", "human", "agent", "title", "compaction", "side", "sub_agent", "repeat", "probe")
_TURNS: Final = 16
_SAID: Final = ("agent", "repository", "branch")
_NO_CLASSES: Final = (0, 0, 0, 0)
_HUMAN: Final = "human"

Row = dict[str, Any]  # columns of `call`, names still as strings; `note` and `classes` beside them
Share = tuple[int, ...]  # of MEASURES, in their order


def describe(note: TaskNote | None) -> Row:
    """What a call's row says of its task."""
    if note is None:
        return {"note": None, "task": NO_TASK, "mode": "", "turn": "", "repository": ""}
    mode = note.mode if note.mode in MODES else ""
    return {"note": note, "task": NO_TASK, "mode": mode, "turn": note.turn, "repository": clean(note.repository)}


def kind_of(mode: str, turn: str) -> int:
    """Mode and turn as one small number; what is not known here counts as nothing said."""
    return (MODES.index(mode) if mode in MODES else 0) * _TURNS + (TURNS.index(turn) if turn in TURNS else 0)


def mode_and_turn(kind: int) -> tuple[str, str]:
    """What `kind_of` made a number of."""
    return MODES[kind // _TURNS], TURNS[kind % _TURNS]


def is_turn(kind: sa.ColumnElement[int], turn: str) -> sa.ColumnElement[bool]:
    """Whether a call was this kind of turn."""
    return kind % _TURNS == TURNS.index(turn)


def in_mode(mode: str) -> sa.ColumnElement[bool]:
    """Whether a call was made in this mode; "" for those beside a conversation."""
    if mode not in MODES:
        return sa.false()
    first = MODES.index(mode) * _TURNS
    return sa.and_(call.c.kind >= first, call.c.kind < first + _TURNS)


def mode_number(numbers: Mapping[str, int]) -> sa.ColumnElement[int]:
    """The number of the name of a call's mode, in SQL; -1 where `numbers` does not have it.

    Nothing in it is a parameter, so that PostgreSQL sees the same in SELECT and GROUP BY."""
    cases: list[tuple[sa.ColumnElement[bool], sa.ColumnElement[int]]] = [
        (call.c.kind < sa.literal_column(str(_TURNS * (place + 1))), sa.literal_column(str(numbers.get(mode, -1))))
        for place, mode in enumerate(MODES)
    ]
    return sa.case(*cases)


class TaskSums:
    """Keeps the tables `task` and `task_mode`, in transactions of the ledger."""

    def __init__(self, database: Database, names: Names) -> None:
        self._database = database
        self._names = names

    async def number(self, connection: AsyncConnection, rows: Iterable[Row]) -> None:
        """Put the numbers of tasks into rows that have only the note of one, making tasks that are not there."""
        fresh = [row for row in rows if row.get("note") is not None]
        if not fresh:
            return
        ids = {row["note"].id for row in fresh}
        found = await self._find(connection, ids)
        missing = sorted(ids - found.keys())
        if missing:
            owners = {row["note"].id: row for row in fresh}
            numbers = await self._names.numbers(
                connection, {owners[one][column] for one in missing for column in ("org", "team", "user", "key")}
            )
            values = [_blank(one, owners[one], numbers) for one in missing]
            await insert(self._database, connection, task, values, "ON CONFLICT (id) DO NOTHING")
            found |= await self._find(connection, set(missing))
        for row in fresh:
            row["task"] = found[row["note"].id]

    async def add(
        self,
        connection: AsyncConnection,
        before: Mapping[bytes, Row],
        after: Mapping[bytes, Row],
        numbers: dict[str, int],
    ) -> None:
        """Add what the change from those rows to these makes."""
        gain: dict[tuple[int, str], Share] = {}
        for call_id, row in after.items():
            old = before.get(call_id)
            if row is old or not row["task"]:
                continue
            if old is not None and old["task"]:
                _gather(gain, old, tuple(-part for part in _share(old)))
            _gather(gain, row, _share(row))
        if not gain:
            return
        sums: dict[tuple[int, ...], Share] = {
            (number, MODES.index(mode)): share for (number, mode), share in gain.items()
        }
        await add_up(self._database, connection, task_mode, sums)
        await self._add_totals(connection, gain, after, numbers)

    async def merge(self, connection: AsyncConnection, notes: Iterable[TaskNote | None]) -> None:
        """Make one task of what turned out to be one. Said again it changes nothing."""
        pairs = dict.fromkeys((note.was, note.id) for note in notes if note is not None and note.was)
        for was, now in pairs:
            rows = {row.id: row for row in await connection.execute(_heads((was, now)))}
            gone, kept = rows.get(was), rows.get(now)
            if kept is None:
                continue
            root = kept.same_as or kept.number
            if gone is None:  # its calls may be on their way in another journal
                await self._lead(connection, was, root, kept)
                continue
            other = gone.same_as or gone.number
            is_same_owner = (gone.org, gone.team, gone.user) == (kept.org, kept.team, kept.user)
            if other != root and is_same_owner:
                await self._move(connection, other, root)

    async def _lead(self, connection: AsyncConnection, was: bytes, root: int, kept: sa.Row[Any]) -> None:
        """Note that an id which no call has yet is that of this task."""
        values = {column: getattr(kept, column) for column in ("org", "team", "user", "key", "first_at")}
        values |= {"id": was, "same_as": root, "last_at": kept.first_at}
        values |= dict.fromkeys((*_IN_TOTAL, "agent", "repository", "branch"), 0)
        await connection.execute(self._database.insert(task).on_conflict_do_nothing(index_elements=["id"]), values)

    async def _move(self, connection: AsyncConnection, gone: int, kept: int) -> None:
        await connection.execute(call.update().where(call.c.task == gone).values(task=kept))
        rows = (await connection.execute(sa.select(task_mode).where(task_mode.c.task == gone))).all()
        if rows:
            await add_up(self._database, connection, task_mode, {(kept, row.mode): tuple(row)[2:] for row in rows})
        await connection.execute(task_mode.delete().where(task_mode.c.task == gone))
        head = (await connection.execute(sa.select(task).where(task.c.number == gone))).mappings().one()
        values: dict[str, Any] = {column: task.c[column] + head[column] for column in _IN_TOTAL}
        values |= _widened(sa.literal(head["first_at"]), sa.literal(head["last_at"]))
        await connection.execute(task.update().where(task.c.number == kept).values(values))
        empty = dict.fromkeys(_IN_TOTAL, 0) | {"same_as": kept}
        await connection.execute(task.update().where(task.c.number == gone).values(empty))
        await connection.execute(task.update().where(task.c.same_as == gone).values(same_as=kept))

    async def _find(self, connection: AsyncConnection, ids: set[bytes]) -> dict[bytes, int]:
        found: dict[bytes, int] = {}
        wanted = sorted(ids)
        for start in range(0, len(wanted), QUERY_SIZE):
            rows = await connection.execute(_heads(wanted[start : start + QUERY_SIZE]))
            found.update((row.id, row.same_as or row.number) for row in rows)
        return found

    async def _add_totals(
        self,
        connection: AsyncConnection,
        gain: Mapping[tuple[int, str], Share],
        calls: Mapping[bytes, Row],
        numbers: Mapping[str, int],
    ) -> None:
        totals: dict[int, Share] = {}
        for (number, _), share in gain.items():
            known = totals.get(number)
            totals[number] = share if known is None else tuple(map(int.__add__, known, share))
        spans, said = _spans(calls), _said(calls)
        rows = []
        for number in sorted(totals):
            sums = dict(zip(MEASURES, totals[number], strict=True))
            first_at, last_at = spans[number]
            new = {f"new_{column}": sums[column] for column in _IN_TOTAL}
            new |= {f"new_{column}": numbers.get(said[number].get(column, ""), 0) for column in _SAID}
            rows.append({"which": number, "new_first_at": first_at, "new_last_at": last_at, **new})
        await connection.execute(_ADD, rows)


def texts_of(rows: Iterable[Row]) -> set[str]:
    """The names that the tasks of these rows are told by."""
    notes = [row["note"] for row in rows if row.get("note") is not None]
    return {clean(text) for note in notes for text in (note.repository, note.branch)}


def _heads(ids: Sequence[bytes]) -> sa.Select[Any]:
    columns = (
        task.c.id,
        task.c.number,
        task.c.same_as,
        task.c.org,
        task.c.team,
        task.c.user,
        task.c.key,
        task.c.first_at,
    )
    return sa.select(*columns).where(task.c.id.in_(ids))


def _blank(task_id: bytes, row: Row, numbers: Mapping[str, int]) -> dict[str, Any]:
    who = {column: numbers[row[column]] for column in ("org", "team", "user", "key")}
    told = {"agent": 0, "repository": 0, "branch": 0, "same_as": None}
    times = {"first_at": row["started_at"], "last_at": row["started_at"]}
    return {"id": task_id, **who, **told, **times, **dict.fromkeys(_IN_TOTAL, 0)}


def _gather(gain: dict[tuple[int, str], Share], row: Row, share: Share) -> None:
    cell = (row["task"], row["mode"])
    known = gain.get(cell)
    gain[cell] = share if known is None else tuple(map(int.__add__, known, share))


def _share(row: Row) -> Share:
    status = row["status"]
    is_running = status == RUNNING
    return (
        int(not is_running and status != REFUSED),
        int(row["turn"] == _HUMAN),
        int(status in FAILED),
        int(status == REFUSED),
        int(is_running),
        *(row[column] for column in Usage.__struct_fields__),
        row["list_cost_nanousd"],
        row["cost_nanousd"],
        *(row.get("classes") or _NO_CLASSES),
    )


def _spans(rows: Mapping[bytes, Row]) -> dict[int, tuple[int, int]]:
    """When the calls of each task began and ended, by number."""
    spans: dict[int, tuple[int, int]] = {}
    for row in rows.values():
        first, last = row["started_at"], row["started_at"] + (row["duration_us"] or 0)
        known = spans.get(row["task"], (first, last))
        spans[row["task"]] = (min(known[0], first), max(known[1], last))
    return spans


def _said(rows: Mapping[bytes, Row]) -> dict[int, dict[str, str]]:
    """What the calls of each task say last of its agent, repository and branch, by number."""
    said: dict[int, dict[str, str]] = {}
    for row in sorted(rows.values(), key=lambda row: row["started_at"]):
        note = row.get("note")
        told = {"agent": row["agent"]} | ({"repository": note.repository, "branch": note.branch} if note else {})
        said.setdefault(row["task"], {}).update({column: clean(text) for column, text in told.items() if text})
    return said


def _widened(first_at: sa.ColumnElement[int], last_at: sa.ColumnElement[int]) -> dict[str, Any]:
    return {
        "first_at": sa.case((task.c.first_at <= first_at, task.c.first_at), else_=first_at),
        "last_at": sa.case((task.c.last_at >= last_at, task.c.last_at), else_=last_at),
    }


def _told(column: str) -> sa.ColumnElement[int]:
    new = sa.bindparam(f"new_{column}", type_=sa.Integer)
    return sa.case((new == 0, task.c[column]), else_=new)


_ADD: Final = (
    task.update()
    .where(task.c.number == sa.bindparam("which"))
    .values(
        {column: task.c[column] + sa.bindparam(f"new_{column}", type_=sa.BigInteger) for column in _IN_TOTAL}
        | {column: _told(column) for column in ("agent", "repository", "branch")}
        | _widened(sa.bindparam("new_first_at", type_=sa.BigInteger), sa.bindparam("new_last_at", type_=sa.BigInteger))
    )
)
