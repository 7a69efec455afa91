"""What budgets did to single calls, kept beside the calls: few are, and the row of every call stays small."""

from collections.abc import Iterable

from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.ledger.journal import Opened, Record
from sekisho.store.sql.engine import Database
from sekisho.store.sql.names import clean
from sekisho.store.sql.tables.ledger import call_action


async def keep_actions(database: Database, connection: AsyncConnection, records: Iterable[Record]) -> None:
    """Note the openings of calls that were shortened, held back or sent to another model; each once."""
    rows = [
        {
            "call_id": record.call_id,
            "asked_model": clean(record.asked_model),
            "clamped_tokens": record.clamped_tokens,
            "delayed_ms": record.delayed_ms,
        }
        for record in records
        if isinstance(record, Opened) and (record.asked_model or record.clamped_tokens or record.delayed_ms)
    ]
    if rows:
        await connection.execute(database.insert(call_action).on_conflict_do_nothing(), rows)
