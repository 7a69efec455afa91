"""What every cell of every roll-up must hold, added up from the calls by the calendar of the standard library."""

import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from sekisho.store.sql.cells import Level
from sekisho.store.sql.engine import Database
from sekisho.store.sql.roll_ups import ROLL_UPS
from sekisho.store.sql.tables.ledger import call
from sekisho.store.sql.tables.schema import installation, name

Cells = dict[str, dict[tuple[Any, ...], tuple[int, ...]]]
_SUMMED = (
    *("input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "output_tokens"),
    *("reasoning_tokens", "list_cost_nanousd", "cost_nanousd"),
)


async def cells_kept(database: Database) -> Cells:
    """By table: organisation, level, number and names of each cell, and its sums; cells of nothing are left out."""
    async with database.read() as connection:
        texts = await _texts(connection)
        found: Cells = {}
        for one in ROLL_UPS:
            width = 3 + len(one.dimensions)
            rows: list[tuple[int, ...]] = [tuple(row) for row in (await connection.execute(sa.select(one.table))).all()]
            found[one.table.name] = {
                (texts[row[0]], *row[1:3], *(texts[number] for number in row[3:width])): row[width:]
                for row in rows
                if any(row[width:])
            }
        return found


async def cells_of_calls(database: Database) -> Cells:
    """The same from the calls, one by one."""
    async with database.read() as connection:
        texts = await _texts(connection)
        ahead_h = (await connection.execute(sa.select(installation.c.ahead_h))).scalar_one()
        calls = (await connection.execute(sa.select(call).where(call.c.duration_us.is_not(None)))).mappings().all()
    found: dict[str, dict[tuple[Any, ...], list[int]]] = {one.table.name: {} for one in ROLL_UPS}
    for row in calls:
        who = {one: texts[row[one]] for one in ("org", "team", "user", "key", "agent", "model", "repository")}
        who["mode"] = ("", "plan", "act")[row["kind"] // 16]
        status, tags = texts[row["status"]], texts[row["tags"]]
        counts = (status != "refused", status in ("failed", "interrupted"), status == "refused")
        share = [*map(int, counts), *(row[one] for one in _SUMMED)]
        for one in ROLL_UPS:
            for tag in dict.fromkeys(json.loads(tags or '[""]') or [""]) if "tag" in one.dimensions else ("",):
                names = [tag if dimension == "tag" else who[dimension] for dimension in one.dimensions]
                for level, number in _numbers(row["started_at"], ahead_h):
                    if level in one.levels:
                        sums = found[one.table.name].setdefault((who["org"], level, number, *names), [0] * len(share))
                        sums[:] = map(sum, zip(sums, share, strict=True))
    return {table: {key: tuple(sums) for key, sums in some.items() if any(sums)} for table, some in found.items()}


def _numbers(at_us: int, ahead_h: int) -> Iterator[tuple[int, int]]:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_us)
    local = moment + timedelta(hours=ahead_h)
    yield Level.QUARTER, at_us // (15 * 60 * 10**6)
    yield Level.HOUR, at_us // (3600 * 10**6)
    yield Level.DAY, (local.date() - date(1970, 1, 1)).days
    yield Level.MONTH, local.year * 12 + local.month - 1


async def _texts(connection: Any) -> dict[int, str]:
    rows = (await connection.execute(sa.select(name.c.id, name.c.text))).all()
    return defaultdict(str, {number: text for number, text in rows})
