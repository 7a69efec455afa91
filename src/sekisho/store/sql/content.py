"""What is kept of calls, in the database: keys of teams, rows of calls, where blocks lie. The bytes lie in packs."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa
from msgspec.structs import asdict
from sqlalchemy.ext.asyncio import AsyncConnection

from sekisho.record.content import (
    TITLE,
    AnswerPart,
    ContentFilter,
    ContentRow,
    Filing,
    Forgotten,
    Holding,
    NewBlock,
    NewPack,
    NewText,
    Pieces,
    Stale,
    Stored,
    Vault,
    addresses_in,
)
from sekisho.store.sql.content_deletion import drop_rows
from sekisho.store.sql.engine import Database
from sekisho.store.sql.epoch import raise_epoch
from sekisho.store.sql.tables.content import (
    content,
    content_block,
    content_forgotten,
    content_pack,
    content_text,
    content_vault,
    spool_offset,
)
from sekisho.store.sql.tables.ledger import call, task
from sekisho.store.sql.tables.schema import counter
from sekisho.store.sql.task_sums import is_turn

T = TypeVar("T")
_FORGOTTEN_US = 30 * 86_400_000_000
_QUERY_SIZE = 500
_encode = msgspec.msgpack.Encoder().encode
_decode_pieces = msgspec.msgpack.Decoder(tuple[bytes | tuple[bytes, int] | int, ...]).decode
_COLUMNS = ContentRow.__struct_fields__


class SqlContent:
    """`record.content.ContentRows` over SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def offsets(self) -> dict[str, int]:
        """How far each segment of the spool has been taken."""
        async with self._database.read() as connection:
            rows = await connection.execute(sa.select(spool_offset.c.segment, spool_offset.c.end_offset))
            return {segment: end_offset for segment, end_offset in rows}

    async def forget(self, segments: Sequence[str]) -> None:
        """Drop the offsets of segments that no longer exist."""
        async with self._database.write() as connection:
            for segment in segments:
                await connection.execute(spool_offset.delete().where(spool_offset.c.segment == segment))

    async def renew(self) -> None:
        """Begin a new generation."""
        async with self._database.write() as connection:
            await raise_epoch(connection)
            ours = counter.c.name == "content"
            await connection.execute(counter.update().where(ours).values(value=counter.c.value + 1))

    async def note_forgotten(self, forgotten: Forgotten) -> None:
        """Let every process of the installation know of a deletion; what is older than a month is known no more."""
        async with self._database.write() as connection:
            old = content_forgotten.c.at < forgotten.at - _FORGOTTEN_US
            await connection.execute(content_forgotten.delete().where(old))
            await connection.execute(content_forgotten.insert().values(msgspec.structs.asdict(forgotten)))

    async def forgotten(self) -> list[Forgotten]:
        """The deletions that are known."""
        query = sa.select(*(content_forgotten.c[one] for one in Forgotten.__struct_fields__))
        async with self._database.read() as connection:
            return [Forgotten(*row) for row in await connection.execute(query)]

    async def vaults(self, org_id: str) -> list[Vault]:
        """Every team's vault."""
        query = sa.select(content_vault).where(content_vault.c.org_id == org_id).order_by(content_vault.c.id)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).mappings()
            return [Vault(row["id"], row["team_id"], row["wrapped"]) for row in rows]

    async def add_vault(self, org_id: str, team_id: str, wrapped: bytes, now_us: int) -> Vault:
        """A new vault, or the one that is there."""
        values = {"org_id": org_id, "team_id": team_id, "wrapped": wrapped, "created_at": now_us}
        ours = (content_vault.c.org_id == org_id) & (content_vault.c.team_id == team_id)
        async with self._database.write() as connection:
            insert = self._database.insert(content_vault).values(values)
            await connection.execute(insert.on_conflict_do_nothing(index_elements=["org_id", "team_id"]))
            row = (await connection.execute(sa.select(content_vault).where(ours))).mappings().one()
            return Vault(row["id"], row["team_id"], row["wrapped"])

    async def find(self, call_id: bytes) -> ContentRow | None:
        """What is kept of one call; None also when it was deleted."""
        query = sa.select(content).where(content.c.call_id == call_id, content.c.is_gone.is_(False))
        async with self._database.read() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
            return content_row(row) if row else None

    async def there(self, call_ids: Collection[bytes]) -> set[bytes]:
        """Which of these calls have a row, also as a stub."""
        found: set[bytes] = set()
        async with self._database.read() as connection:
            for chunk in _chunks(sorted(call_ids)):
                query = sa.select(content.c.call_id).where(content.c.call_id.in_(chunk))
                found.update((await connection.execute(query)).scalars())
        return found

    async def of_task(self, task_id: bytes, *, after: bytes = b"", until: bytes = b"", limit: int) -> list[ContentRow]:
        """The calls of a task in their order, behind `after` and up to `until`; by any of its ids."""
        number = (
            sa.select(sa.func.coalesce(task.c.same_as, task.c.number)).where(task.c.id == task_id).scalar_subquery()
        )
        same = sa.select(task.c.id).where(sa.or_(task.c.number == number, task.c.same_as == number))
        is_of_it = sa.or_(content.c.task_id == task_id, content.c.task_id.in_(same))
        query = sa.select(content).where(is_of_it, content.c.is_gone.is_(False))
        if after:
            query = query.where(content.c.call_id > after)
        if until:
            query = query.where(content.c.call_id <= until)
        async with self._database.read() as connection:
            rows = (await connection.execute(query.order_by(content.c.call_id).limit(limit))).mappings()
            return [content_row(row) for row in rows]

    async def lineage(self, call_id: bytes) -> list[ContentRow]:
        """The call's row and those of its ancestors."""
        line = sa.select(content).where(content.c.call_id == call_id).cte("line", recursive=True)
        line = line.union_all(sa.select(content).join(line, content.c.call_id == line.c.parent))
        async with self._database.read() as connection:
            rows = (await connection.execute(sa.select(line).order_by(line.c.depth.desc()))).mappings()
            return [content_row(row) for row in rows]

    async def known(self, vault: int, addresses: Collection[bytes]) -> set[bytes]:
        """Which of these blocks are stored."""
        async with self._database.read() as connection:
            return set(await _located(connection, vault, addresses))

    async def locate(self, vault: int, addresses: Collection[bytes]) -> dict[bytes, Stored]:
        """Where these blocks lie."""
        async with self._database.read() as connection:
            return await _located(connection, vault, addresses)

    async def keep(
        self,
        filings: Sequence[Filing],
        rows: Sequence[ContentRow],
        answers: Sequence[AnswerPart],
        texts: Sequence[NewText],
        offset: tuple[str, int] | None,
        now_us: int,
    ) -> None:
        """All of a batch, or nothing. Raises Stale."""
        async with self._database.write() as connection:
            await lock_vaults(connection, [filing.vault for filing in filings])
            for filing in sorted(filings, key=lambda one: one.vault):
                await self._file(connection, filing, now_us)
            if rows:
                await connection.execute(self._database.insert(content), [_values(row) for row in rows])
            await _adopt(connection, rows)
            for part in answers:
                await _append(connection, part)
            if texts:
                await connection.execute(
                    self._database.insert(content_text).on_conflict_do_nothing(), [asdict(text) for text in texts]
                )
            if offset is not None:
                insert = self._database.insert(spool_offset).values(segment=offset[0], end_offset=offset[1])
                new = {"end_offset": insert.excluded.end_offset}
                await connection.execute(insert.on_conflict_do_update(index_elements=["segment"], set_=new))

    async def _file(self, connection: AsyncConnection, filing: Filing, now_us: int) -> None:
        """Note packs and blocks, and count who names the blocks. Raises Stale."""
        for pack in filing.packs:
            await connection.execute(content_pack.insert().values(_pack_values(pack, filing.vault, now_us)))
        if filing.blocks:
            blocks = [msgspec.structs.asdict(block) | {"vault": filing.vault, "refs": 0} for block in filing.blocks]
            await connection.execute(self._database.insert(content_block).on_conflict_do_nothing(), blocks)
        if not filing.references:
            return
        update = content_block.update().where(
            content_block.c.vault == filing.vault, content_block.c.address == sa.bindparam("named")
        )
        update = update.values(refs=content_block.c.refs + sa.bindparam("times"))
        there = await _located(connection, filing.vault, filing.references)
        if len(there) != len(filing.references):
            raise Stale
        times = [{"named": address, "times": count} for address, count in filing.references.items()]
        await connection.execute(update, times)

    async def texts(self, vaults: Collection[int], user_id: str, *, before: bytes, limit: int) -> list[NewText]:
        """Texts of these vaults and of this user's calls, newest call first."""
        query = sa.select(*(content_text.c[one] for one in NewText.__struct_fields__))
        query, at = query.where(content_text.c.part >= 0), content_text.c.call_id
        if user_id:  # in the order of the index of people
            query, at = query.join(content, content.c.call_id == content_text.c.call_id), content.c.call_id
            ours = content.c.user_id == user_id
            query = query.where(sa.or_(ours, content_text.c.vault.in_(vaults)) if vaults else ours)
        elif len(vaults) == 1:
            query = query.where(content_text.c.vault.in_(vaults))
        else:  # in the order of the key: by the index of vaults all of them would be sorted, for every page
            query = query.where((content_text.c.vault + 0).in_(vaults))
        if before:
            query = query.where(at < before)
        query = query.order_by(at.desc(), content_text.c.part).limit(limit)
        async with self._database.read() as connection:
            return [NewText(*row) for row in await connection.execute(query)]

    async def find_all(self, call_ids: Collection[bytes]) -> dict[bytes, ContentRow]:
        """Those of these calls of which something is kept."""
        found: dict[bytes, ContentRow] = {}
        async with self._database.read() as connection:
            for chunk in _chunks(sorted(call_ids)):
                query = sa.select(content).where(content.c.call_id.in_(chunk), content.c.is_gone.is_(False))
                found.update((row["call_id"], content_row(row)) for row in (await connection.execute(query)).mappings())
        return found

    async def titles(self, task_ids: Collection[bytes]) -> dict[bytes, tuple[ContentRow, NewText]]:
        """The title of each of these tasks, by any of its ids that a call was kept under."""
        other = task.alias("other")
        ids = sa.select(task.c.id.label("wanted"), other.c.id).where(
            task.c.id.in_(task_ids), sa.or_(other.c.number == task.c.number, other.c.same_as == task.c.number)
        )
        same = ids.cte("same")
        # an index by task holds the calls in their order: the first with a title ends the search
        first = (
            sa.select(content.c.call_id)
            .join(content_text, sa.and_(content_text.c.call_id == content.c.call_id, content_text.c.part == TITLE))
            .join(call, call.c.id == content.c.call_id)
            .where(content.c.task_id == same.c.id, content.c.is_gone.is_(False), is_turn(call.c.kind, "human"))
            .order_by(content.c.call_id)
            .limit(1)
            .scalar_subquery()
        )
        firsts = sa.select(same.c.wanted, first.label("call_id")).cte("firsts")
        query = (
            sa.select(firsts.c.wanted, content, content_text.c.part, content_text.c.sealed)
            .join(content, content.c.call_id == firsts.c.call_id)
            .join(content_text, sa.and_(content_text.c.call_id == content.c.call_id, content_text.c.part == TITLE))
            .order_by(content.c.call_id.desc())
        )
        async with self._database.read() as connection:
            return {row["wanted"]: _titled(row) for row in (await connection.execute(query)).mappings()}

    async def drop(self, where: ContentFilter, most: int, now_us: int) -> tuple[int, list[str]]:
        """Delete up to so many calls: how many, and the packs that have lost blocks."""
        query = sa.select(content.c.call_id, content.c.vault).where(content.c.is_gone.is_(False), *_conditions(where))
        async with self._database.write() as connection:
            found = (await connection.execute(query.order_by(content.c.call_id.desc()).limit(most))).all()
            await lock_vaults(connection, {vault for _, vault in found})
            packs = await drop_rows(connection, [call_id for call_id, _ in found])
            return len(found), packs

    async def blocks_in(self, pack: str) -> tuple[int, dict[bytes, Stored]]:
        """The vault of a pack, and the blocks that live in it, in their order. Raises Stale for one that is gone."""
        query = sa.select(content_block).where(content_block.c.pack == pack).order_by(content_block.c.start)
        whose = sa.select(content_pack.c.vault).where(content_pack.c.name == pack)
        async with self._database.read() as connection:
            vault = (await connection.execute(whose)).scalar_one_or_none()
            rows = (await connection.execute(query)).mappings()
            if vault is None:
                raise Stale
            return vault, {row["address"]: Stored(pack, row["start"], row["length"]) for row in rows}

    async def repack(self, vault: int, old: str, new: NewPack | None, blocks: Sequence[NewBlock], now_us: int) -> None:
        """Put a pack's blocks elsewhere; the old one is doomed. Raises Stale when it holds others than these."""
        async with self._database.write() as connection:
            await lock_vaults(connection, [vault])
            query = sa.select(content_block.c.address).where(content_block.c.pack == old)
            if set((await connection.execute(query)).scalars()) != {block.address for block in blocks}:
                raise Stale
            if new is not None:
                await connection.execute(content_pack.insert().values(_pack_values(new, vault, now_us)))
            for block in blocks:
                ours = (content_block.c.vault == vault) & (content_block.c.address == block.address)
                place = {"pack": block.pack, "start": block.start}
                await connection.execute(content_block.update().where(ours).values(place))
            await connection.execute(content_pack.update().where(content_pack.c.name == old).values(is_doomed=True))

    async def drop_vault(self, vault: int, now_us: int) -> int:
        """Delete a team's key, rows and blocks; how many calls there were."""
        async with self._database.write() as connection:
            await lock_vaults(connection, [vault])
            calls = sa.select(sa.func.count()).where(content.c.vault == vault, content.c.is_gone.is_(False))
            count: int = (await connection.execute(calls)).scalar_one()
            for table in (content, content_block, content_text):
                await connection.execute(table.delete().where(table.c.vault == vault))
            await connection.execute(content_pack.update().where(content_pack.c.vault == vault).values(is_doomed=True))
            await connection.execute(content_vault.delete().where(content_vault.c.id == vault))
            return count

    async def doomed(self, most: int) -> list[str]:
        """Packs whose bytes are still to be deleted."""
        query = sa.select(content_pack.c.name).where(content_pack.c.is_doomed.is_(True)).limit(most)
        async with self._database.read() as connection:
            return list((await connection.execute(query)).scalars())

    async def buried(self, packs: Sequence[str]) -> None:
        """Their bytes are deleted."""
        async with self._database.write() as connection:
            for chunk in _chunks(packs):
                await connection.execute(content_pack.delete().where(content_pack.c.name.in_(chunk)))

    async def packs(self) -> set[str]:
        """The names of all packs, the doomed ones too."""
        async with self._database.read() as connection:
            return set((await connection.execute(sa.select(content_pack.c.name))).scalars())

    async def holding(self, org_id: str) -> dict[str, Holding]:
        """By team, how much is stored."""
        calls = (
            sa.select(content.c.vault, sa.func.count()).where(content.c.is_gone.is_(False)).group_by(content.c.vault)
        )
        sizes = sa.select(content_pack.c.vault, sa.func.sum(content_pack.c.size)).group_by(content_pack.c.vault)
        async with self._database.read() as connection:
            by_calls = {vault: count for vault, count in await connection.execute(calls)}
            by_size = {vault: int(size) for vault, size in await connection.execute(sizes)}
            query = sa.select(content_vault.c.id, content_vault.c.team_id).where(content_vault.c.org_id == org_id)
            return {
                team_id: Holding(by_calls.get(vault, 0), by_size.get(vault, 0))
                for vault, team_id in await connection.execute(query)
            }


async def lock_vaults(connection: AsyncConnection, vaults: Iterable[int]) -> None:
    """Let nobody else write to these vaults until the transaction ends; in order, so that none waits in a ring. Raises
    Stale when one is gone."""
    for vault in sorted(set(vaults)):
        query = sa.select(content_vault.c.id).where(content_vault.c.id == vault).with_for_update()
        if (await connection.execute(query)).scalar_one_or_none() is None:
            raise Stale


def content_row(row: sa.RowMapping) -> ContentRow:
    """A row as a value."""
    fields: dict[str, Any] = {name: row[name] for name in _COLUMNS}
    return ContentRow(**fields | {"pieces": decode_pieces(row["pieces"]), "answer": decode_pieces(row["answer"])})


def decode_pieces(data: bytes) -> Pieces:
    """What `encode_pieces` wrote."""
    return _decode_pieces(data)


def encode_pieces(pieces: Pieces) -> bytes:
    """Pieces as they stand in a row."""
    return _encode(pieces)


def _values(row: ContentRow) -> dict[str, Any]:
    fields = msgspec.structs.asdict(row)
    return fields | {"pieces": encode_pieces(row.pieces), "answer": encode_pieces(row.answer)}


def _pack_values(pack: NewPack, vault: int, now_us: int) -> dict[str, Any]:
    return {"name": pack.name, "vault": vault, "size": pack.size, "is_doomed": False, "created_at": now_us}


async def _adopt(connection: AsyncConnection, rows: Sequence[ContentRow]) -> None:
    """Count the children of each parent. Raises Stale when one is gone."""
    for parent, count in Counter(row.parent for row in rows if row.parent).items():
        update = content.update().where(content.c.call_id == parent).values(children=content.c.children + count)
        if (await connection.execute(update)).rowcount != 1:
            raise Stale


async def _append(connection: AsyncConnection, part: AnswerPart) -> None:
    """Put a part behind the answer that is there. Raises Stale when the call is gone, for its blocks were counted."""
    ours = (content.c.call_id == part.call_id) & content.c.is_gone.is_(False)
    before = (await connection.execute(sa.select(content.c.answer).where(ours))).scalar_one_or_none()
    if before is None:
        if addresses_in(part.pieces):
            raise Stale
        return
    after = encode_pieces((*decode_pieces(before), *part.pieces))
    values = {"answer": after, "answer_state": part.state, "answer_form": part.form}
    await connection.execute(content.update().where(ours).values(values))


async def _located(connection: AsyncConnection, vault: int, addresses: Collection[bytes]) -> dict[bytes, Stored]:
    found: dict[bytes, Stored] = {}
    for chunk in _chunks(sorted(addresses)):
        query = sa.select(content_block).where(content_block.c.vault == vault, content_block.c.address.in_(chunk))
        for row in (await connection.execute(query)).mappings():
            found[row["address"]] = Stored(row["pack"], row["start"], row["length"])
    return found


def _conditions(where: ContentFilter) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    for column in ("call_id", "task_id", "user_id", "vault"):
        if value := getattr(where, column):
            conditions.append(content.c[column] == value)
    if where.before:
        conditions.append(content.c.started_at < where.before)
    return conditions


def _chunks(items: Sequence[T]) -> Iterable[Sequence[T]]:
    return (items[start : start + _QUERY_SIZE] for start in range(0, len(items), _QUERY_SIZE))


def _titled(row: sa.RowMapping) -> tuple[ContentRow, NewText]:
    return content_row(row), NewText(row["call_id"], row["part"], row["vault"], row["sealed"])
