"""What prompt caches did, kept beside the calls that had to do with one; and its sums by day, team and cause.

As with every roll-up, a call's share is a function of its row, and a batch adds the difference between the rows after
and before it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.ledger.journal import CacheBreak, Caching
from sekisho.store.sql.bulk import add_up
from sekisho.store.sql.engine import Database
from sekisho.store.sql.names import EMPTY, Names, clean
from sekisho.store.sql.roll_ups import REFUSED, RUNNING
from sekisho.store.sql.tables.ledger import cache_by_team, call_cache

DAY_US: Final = 86_400_000_000

Row = Mapping[str, Any]  # columns of `call`, names still as strings
Cell = tuple[str, int, str, str]  # organisation, day, team, cause; "" for all calls
Share = tuple[int, ...]  # the measures of `cache_by_team`, in their order


async def read(names: Names, connection: AsyncConnection, call_ids: Sequence[bytes]) -> dict[bytes, Caching]:
    """What is kept of these calls."""
    rows = (await connection.execute(sa.select(call_cache).where(call_cache.c.call_id.in_(call_ids)))).mappings().all()
    texts = await names.texts(connection, {row["cause"] for row in rows})
    return {row["call_id"]: _caching(row, texts[row["cause"]]) for row in rows}


def _caching(row: sa.RowMapping, cause: str) -> Caching:
    if not cause:
        return Caching(row["saved_nanousd"])
    broke = CacheBreak(
        cause=cause,  # type: ignore[arg-type]  # written from the same literals
        block=row["block"],
        detail=row["detail"],
        lost_tokens=row["lost_tokens"],
        lost_nanousd=row["lost_nanousd"],
        before=row["before"],
    )
    return Caching(row["saved_nanousd"], broke)


def difference(before: Mapping[bytes, Row], after: Mapping[bytes, Row]) -> dict[Cell, Share]:
    """What the sums must gain when these rows take the place of those."""
    gain: dict[Cell, Share] = {}
    for call_id, row in after.items():
        old = before.get(call_id)
        if row is old:
            continue
        shares = [] if old is None else [(cell, tuple([-one for one in share])) for cell, share in _shares(old)]
        for cell, share in (*shares, *_shares(row)):
            known = gain.get(cell)
            gain[cell] = share if known is None else tuple(map(int.__add__, known, share))
    return {cell: share for cell, share in gain.items() if any(share)}


def names_in(gain: Mapping[Cell, Share]) -> Iterator[str]:
    """Every string that the cells are named by."""
    for org, _, team, cause in gain:
        yield from (org, team, cause)


def _shares(row: Row) -> Iterator[tuple[Cell, Share]]:
    if row["status"] in (RUNNING, REFUSED):
        return
    at = (row["org"], row["started_at"] // DAY_US, row["team"])
    written = row["cache_write_5m_tokens"] + row["cache_write_1h_tokens"]
    caching: Caching | None = row["caching"]
    broke = caching.broke if caching else None
    saved, lost = caching.saved_nanousd if caching else 0, broke.lost_nanousd if broke else 0
    yield (*at, ""), (1, row["input_tokens"], row["cache_read_tokens"], written, saved, lost)
    if broke:
        yield (*at, clean(broke.cause)), (1, 0, 0, 0, 0, lost)


async def add(
    database: Database, connection: AsyncConnection, gain: Mapping[Cell, Share], numbers: Mapping[str, int]
) -> None:
    """Add to the sums, in this transaction. `numbers`: of all names in the cells."""
    sums: dict[tuple[int, ...], Share] = {
        (numbers[org], day, numbers[team], numbers[cause]): share for (org, day, team, cause), share in gain.items()
    }
    if sums:
        await add_up(database, connection, cache_by_team, sums)


async def keep(
    database: Database, connection: AsyncConnection, changed: Iterable[Row], numbers: Mapping[str, int]
) -> None:
    """Note what caches did for these calls; each once, for a call is settled once."""
    rows = [_kept(row["id"], caching, numbers) for row in changed if (caching := row["caching"]) is not None]
    if rows:
        await connection.execute(database.insert(call_cache).on_conflict_do_nothing(), rows)


def _kept(call_id: bytes, caching: Caching, numbers: Mapping[str, int]) -> dict[str, Any]:
    broke = caching.broke
    return {
        "call_id": call_id,
        "saved_nanousd": caching.saved_nanousd,
        "lost_nanousd": broke.lost_nanousd if broke else 0,
        "lost_tokens": broke.lost_tokens if broke else 0,
        "cause": numbers[clean(broke.cause)] if broke else EMPTY,
        "block": clean(broke.block) if broke else "",
        "detail": clean(broke.detail) if broke else "",
        "before": broke.before if broke else b"",
    }
