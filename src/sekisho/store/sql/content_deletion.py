"""Deletes what is kept of calls, and nothing that another call still needs.

A call with children stays as a row that only says what they need of it; it goes with the last of them. A block goes
when no row names it any more.
"""

from collections import Counter
from collections.abc import Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.record.content import Pieces, addresses_in, length_of
from sekisho.store.sql.tables.content import content, content_block, content_text

_QUERY_SIZE = 500
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[bytes | tuple[bytes, int] | int, ...]).decode
Released = Counter[tuple[int, bytes]]


async def drop_rows(connection: AsyncConnection, call_ids: Sequence[bytes]) -> list[str]:
    """Delete these calls' content; the packs that have lost blocks. Their vaults are locked."""
    released: Released = Counter()
    for start in range(0, len(call_ids), _QUERY_SIZE):
        some = call_ids[start : start + _QUERY_SIZE]
        await connection.execute(content_text.delete().where(content_text.c.call_id.in_(some)))
    for call_id in call_ids:
        await _drop(connection, call_id, released)
    return await _release(connection, released)


async def _drop(connection: AsyncConnection, call_id: bytes, released: Released) -> None:
    """Delete one call, and those of its ancestors that were only there for it."""
    query = sa.select(content).where(content.c.call_id == call_id)
    row = (await connection.execute(query)).mappings().one_or_none()
    if row is None:
        return
    if row["children"]:
        await _reduce(connection, row, released)
        return
    while row is not None:
        _note(released, row["vault"], _decode(row["pieces"]) + _decode(row["answer"]))
        await connection.execute(content.delete().where(content.c.call_id == row["call_id"]))
        row = await _orphaned(connection, row["parent"], released)


async def _orphaned(connection: AsyncConnection, parent: bytes, released: Released) -> sa.RowMapping | None:
    """Let a parent have one child less; the parent, if nothing needs it any more."""
    if not parent:
        return None
    ours = content.c.call_id == parent
    await connection.execute(content.update().where(ours).values(children=content.c.children - 1))
    row = (await connection.execute(sa.select(content).where(ours))).mappings().one_or_none()
    if row is None or not row["is_gone"]:
        return None
    if row["children"]:
        await _reduce(connection, row, released)
        return None
    return row


async def _reduce(connection: AsyncConnection, row: sa.RowMapping, released: Released) -> None:
    """Keep only those pieces of a deleted call that its children are built on."""
    needs = sa.select(sa.func.max(content.c.kept), sa.func.max(content.c.tail)).where(
        content.c.parent == row["call_id"]
    )
    kept, tail = (await connection.execute(needs)).one()
    own: Pieces = _decode(row["pieces"])
    total = row["kept"] + len(own) + row["tail"]
    left = []
    for place, piece in enumerate(own, start=row["kept"]):
        is_needed = place < kept or place >= total - tail
        if not is_needed:
            _note(released, row["vault"], (piece,))
        left.append(piece if is_needed else length_of(piece))
    _note(released, row["vault"], _decode(row["answer"]))
    values = {"pieces": _encode(left), "answer": _encode(()), "is_gone": True, "user_id": "", "key_id": ""}
    await connection.execute(content.update().where(content.c.call_id == row["call_id"]).values(values))


def _note(released: Released, vault: int, pieces: Pieces) -> None:
    released.update((vault, address) for address in addresses_in(pieces))


async def _release(connection: AsyncConnection, released: Released) -> list[str]:
    """Count down who names these blocks, and delete those that nobody does; the packs they were in."""
    packs: set[str] = set()
    for (vault, address), count in sorted(released.items()):
        ours = (content_block.c.vault == vault) & (content_block.c.address == address)
        await connection.execute(content_block.update().where(ours).values(refs=content_block.c.refs - count))
        unused = ours & (content_block.c.refs <= 0)
        pack = (await connection.execute(sa.select(content_block.c.pack).where(unused))).scalar_one_or_none()
        if pack is not None:
            packs.add(pack)
            await connection.execute(content_block.delete().where(unused))
    return sorted(packs)
