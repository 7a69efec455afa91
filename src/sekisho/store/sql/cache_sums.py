"""Sums of what prompt caches did, by day, team and cause; and the few calls whose cache was broken, with the reason.

As with every roll-up, a call's share is a function of its row, and a batch adds the difference between the rows after
and before it.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.ledger.journal import Record, Settled
from sekisho.store.sql.bulk import add_up
from sekisho.store.sql.engine import Database
from sekisho.store.sql.names import clean
from sekisho.store.sql.roll_ups import REFUSED, RUNNING
from sekisho.store.sql.tables import cache_by_team, call_cache

DAY_US: Final = 86_400_000_000

Row = Mapping[str, Any]  # columns of `call`, names still as strings
Cell = tuple[str, int, str, str]  # organisation, day, team, cause; "" for all calls
Share = tuple[int, ...]  # the measures of `cache_by_team`, in their order


NO_CACHE: Final[Row] = {"cache_saved_nanousd": 0, "cache_lost_nanousd": 0, "cache_cause": ""}


def settled_cache(record: Settled) -> Row:
    """The columns of a call's row."""
    caching = record.caching
    if caching is None:
        return NO_CACHE
    if caching.broke is None:
        return {**NO_CACHE, "cache_saved_nanousd": caching.saved_nanousd}
    return {
        "cache_saved_nanousd": caching.saved_nanousd,
        "cache_lost_nanousd": caching.broke.lost_nanousd,
        "cache_cause": clean(caching.broke.cause),
    }


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
    saved, lost = row["cache_saved_nanousd"], row["cache_lost_nanousd"]
    yield (*at, ""), (1, row["input_tokens"], row["cache_read_tokens"], written, saved, lost)
    if row["cache_cause"]:
        yield (*at, row["cache_cause"]), (1, 0, 0, 0, 0, lost)


async def add(
    database: Database, connection: AsyncConnection, gain: Mapping[Cell, Share], numbers: Mapping[str, int]
) -> None:
    """Add to the sums, in this transaction. `numbers`: of all names in the cells."""
    sums: dict[tuple[int, ...], Share] = {
        (numbers[org], day, numbers[team], numbers[cause]): share for (org, day, team, cause), share in gain.items()
    }
    if sums:
        await add_up(database, connection, cache_by_team, sums)


async def keep_breaks(database: Database, connection: AsyncConnection, records: Iterable[Record]) -> None:
    """Note why caches were broken; each call once."""
    rows = [
        {
            "call_id": record.call_id,
            "lost_tokens": broke.lost_tokens,
            "block": clean(broke.block),
            "detail": clean(broke.detail),
            "before": broke.before,
        }
        for record in records
        if isinstance(record, Settled) and record.caching and (broke := record.caching.broke)
    ]
    if rows:
        await connection.execute(database.insert(call_cache).on_conflict_do_nothing(), rows)
