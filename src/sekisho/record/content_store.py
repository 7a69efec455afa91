"""Takes content from the spool into packs and rows, gives it back to the byte, and deletes it for good.

Above: the loops and the admin API. Below: `ContentRows` (the database), `Blobs` (files or S3), the keys of teams. Work
on bytes is done in threads; one batch, deletion or repacking at a time.
"""

import asyncio
import logging
import os
from collections import Counter, OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Literal, Protocol

import msgspec
import zstandard

from sekisho.clock import Clock
from sekisho.errors import NotFound, StoreUnavailable
from sekisho.record.content import (
    AnswerForm,
    AnswerState,
    ContentFilter,
    ContentHealth,
    ContentRow,
    ContentRows,
    ContentSettings,
    Filing,
    Forgotten,
    Holding,
    InForce,
    NewBlock,
    NewPack,
    NewText,
    Piece,
    Pieces,
    RequestState,
    Stale,
    Stored,
    all_pieces,
)
from sekisho.record.intake import Intake, Known
from sekisho.record.sealing import TeamKey, Wrapping, new_key
from sekisho.record.searching import SeenTexts, find, plain
from sekisho.record.spool import Asked, Frame, Lost, Origin, Said
from sekisho.values import ContentLevel, Door

log = logging.getLogger(__name__)

_TRIES = 5
_CACHED_REQUESTS = 2_000
_DELETED_AT_ONCE = 200
_BURIED_AT_ONCE = 100
_TEXTS_AT_ONCE = 1_000
MOST_TEXTS = 50_000


class Blobs(Protocol):
    """Keeps bytes under names. Its methods block. Raises StoreUnavailable, and NotFound on reading."""

    def put(self, name: str, data: bytes) -> None: ...

    def get(self, name: str) -> bytes: ...

    def delete(self, name: str) -> None: ...

    def names(self) -> list[str]: ...


class Content(msgspec.Struct, frozen=True):
    """What is kept of one call. `request` and `answer` are None where they are not (see the states).

    At level "full" these are the client's and our own exact bytes."""

    level: ContentLevel
    door: Door
    stream: bool
    request: bytes | None
    answer: bytes | None
    answer_form: AnswerForm
    request_state: RequestState
    answer_state: AnswerState


class Own(msgspec.Struct, frozen=True):
    """What one call brought: its own pieces, and its answer."""

    row: ContentRow
    pieces: tuple[bytes, ...]
    answer: bytes | None


Where = Literal["request", "answer"]
Place = tuple[Where, str]
"""Where something was found, and the words around it."""


class Hit(msgspec.Struct, frozen=True):
    """A call in which something was found, and the words around it."""

    row: ContentRow
    where: Where
    words: str


class ContentStore:
    """The content of one organisation's calls."""

    def __init__(self, rows: ContentRows, blobs: Blobs, wrapping: Wrapping, org_id: str, clock: Clock) -> None:
        self._rows = rows
        self._blobs = blobs
        self._wrapping = wrapping
        self._org_id = org_id
        self._clock = clock
        self._working = asyncio.Lock()
        self._vaults: dict[str, int] = {}
        self._keys: dict[int, TeamKey] = {}
        self._requests: OrderedDict[bytes, Known] = OrderedDict()
        self._strays: set[str] = set()
        self._seen = SeenTexts()
        self.has_others = False  # with spools of their own, which may hold what is deleted here
        self.is_broken = False  # a request was built on one that is not here: call processes must begin anew

    async def take(self, segment: str, frames: Sequence[Frame]) -> None:
        """Keep what these frames brought, and that they are taken. Raises StoreUnavailable: nothing was taken."""
        async with self._working:
            for _ in range(_TRIES):
                try:
                    await self._take(segment, frames)
                    return
                except Stale:  # it was deleted meanwhile, or another replica deleted what we knew
                    self._requests.clear()
                    self._vaults.clear()
            raise StoreUnavailable("Content changes faster than it can be kept.")

    async def _take(self, segment: str, taken: Sequence[Frame]) -> None:
        frames = _not_forgotten(taken, await self._rows.forgotten()) if self.has_others else taken
        intake = Intake(await self._vaults_for(frames), dict(self._keys), await self._known_calls(frames), self._seen)
        await asyncio.to_thread(intake.read, frames)
        filings: list[Filing] = []
        try:
            for vault, blocks in intake.blocks.items():
                filings.append(await self._file(vault, blocks, intake.named[vault]))
            await self._keep(filings, intake, (segment, taken[-1].end_offset))
        except Stale:  # what was put for nothing is deleted at once: it may hold what was just deleted
            await asyncio.to_thread(self._delete_blobs, [pack.name for filing in filings for pack in filing.packs])
            raise

    async def _keep(self, filings: Sequence[Filing], intake: Intake, offset: tuple[str, int]) -> None:
        await self._rows.keep(filings, intake.rows, intake.answers, intake.texts, offset, self._clock.now_us())
        self._seen.add(intake.seen)
        self.is_broken = self.is_broken or intake.is_broken
        for call_id, known in intake.requests.items():
            self._requests[call_id] = known
            self._requests.move_to_end(call_id)
        while len(self._requests) > _CACHED_REQUESTS:
            self._requests.popitem(last=False)

    async def _vaults_for(self, frames: Sequence[Frame]) -> dict[str, int]:
        """The vaults of the teams whose content is here."""
        for frame in frames:
            if isinstance(frame.head, Asked | Lost) and frame.head.origin.team_id not in self._vaults:
                await self._open_vault(frame.head.origin.team_id)
        return dict(self._vaults)

    async def _open_vault(self, team_id: str) -> None:
        await self._load_vaults()
        if team_id in self._vaults:
            return
        context = self._context(team_id)
        wrapped = await asyncio.to_thread(self._wrapping.wrap, new_key(), context)
        vault = await self._rows.add_vault(self._org_id, team_id, wrapped, self._clock.now_us())
        self._keys[vault.id] = TeamKey(await asyncio.to_thread(self._wrapping.unwrap, vault.wrapped, context))
        self._vaults[team_id] = vault.id

    async def vaults(self) -> dict[str, int]:
        """The vaults there are, by team."""
        return {vault.team_id: vault.id for vault in await self._rows.vaults(self._org_id)}

    async def _load_vaults(self) -> None:
        vaults = await self._rows.vaults(self._org_id)
        for vault in vaults:
            if vault.id not in self._keys:
                context = self._context(vault.team_id)
                self._keys[vault.id] = TeamKey(await asyncio.to_thread(self._wrapping.unwrap, vault.wrapped, context))
        self._vaults = {vault.team_id: vault.id for vault in vaults}
        self._keys = {vault.id: self._keys[vault.id] for vault in vaults}

    def _context(self, team_id: str) -> bytes:
        return f"{self._org_id}\0{team_id}".encode()

    async def _known_calls(self, frames: Sequence[Frame]) -> dict[bytes, Known]:
        """The calls that these frames go on with and that came before them."""
        asked = {frame.head.origin.call_id for frame in frames if isinstance(frame.head, Asked)}
        new = asked - await self._rows.there(asked)
        wanted = {frame.head.base for frame in frames if isinstance(frame.head, Asked)}
        wanted |= {frame.head.call_id for frame in frames if isinstance(frame.head, Said)}
        wanted |= {frame.head.origin.call_id for frame in frames if isinstance(frame.head, Asked | Lost)}
        known: dict[bytes, Known] = {}
        for call_id in wanted - new - {b""}:
            found = self._requests.get(call_id) or await self._find_request(call_id)
            if found is not None:
                known[call_id] = found
        return known

    async def _find_request(self, call_id: bytes) -> Known | None:
        lineage = await self._rows.lineage(call_id)
        if not lineage or lineage[0].is_gone:
            return None
        row = lineage[0]
        is_whole = row.request_state == "whole"
        return Known(row.vault, all_pieces(lineage), row.depth, is_whole, row.door, row.stream, len(row.answer))

    async def _file(self, vault: int, blocks: Mapping[bytes, bytes], named: Counter[bytes]) -> Filing:
        """Put the blocks that are not stored yet into a pack."""
        there = await self._rows.known(vault, named)
        new = {address: data for address, data in blocks.items() if address in named and address not in there}
        if not new:
            return Filing(vault, references=dict(named))
        pack, places = await asyncio.to_thread(self._put_pack, vault, new)
        return Filing(vault, (pack,), places, dict(named))

    def _put_pack(self, vault: int, blocks: Mapping[bytes, bytes]) -> tuple[NewPack, tuple[NewBlock, ...]]:
        name = os.urandom(16).hex()
        places, start = [], 0
        for address, data in blocks.items():
            places.append(NewBlock(address, name, start, len(data)))
            start += len(data)
        sealed = self._keys[vault].seal(b"".join(blocks.values()), name.encode())
        self._blobs.put(name, sealed)
        return NewPack(name, len(sealed)), tuple(places)

    async def of_task(self, task_id: bytes, *, after: bytes = b"", until: bytes = b"", limit: int) -> list[ContentRow]:
        """What is kept of a task's calls, in their order, behind `after` and up to `until`; without the content."""
        return await self._rows.of_task(task_id, after=after, until=until, limit=limit)

    async def find(self, call_id: bytes) -> ContentRow | None:
        """What is known of a call's content, without the content."""
        return await self._rows.find(call_id)

    async def read(self, call_id: bytes) -> Content | None:
        """What is kept of a call; None if nothing is. Raises StoreUnavailable."""
        for attempt in range(_TRIES):
            lineage = await self._rows.lineage(call_id)
            if not lineage or lineage[0].is_gone:
                return None
            row = lineage[0]
            try:
                return await self._assemble(row, all_pieces(lineage))
            except NotFound as error:  # it was repacked between the two looks
                if attempt == _TRIES - 1:
                    raise StoreUnavailable("Stored content is missing.") from error
        return None

    async def _assemble(self, row: ContentRow, request: Pieces) -> Content:
        has_answer = row.answer_state != "none" and bool(row.answer or row.answer_state == "whole")
        blocks = await self._blocks(row.vault, (*request, *row.answer))
        return Content(
            level=row.level,
            door=row.door,
            stream=row.stream,
            request=b"".join(_bytes_of(request, blocks)) if row.request_state == "whole" else None,
            answer=b"".join(_bytes_of(row.answer, blocks)) if has_answer else None,
            answer_form=row.answer_form,
            request_state=row.request_state,
            answer_state=row.answer_state,
        )

    async def search(
        self, query: str, vaults: Collection[int], user_id: str, *, before: bytes, limit: int
    ) -> tuple[list[Hit], bytes]:
        """Calls in which the query stands, newest first, of these vaults and of this user; and where to go on: empty at
        the end. One asking reads so much at most, and may give fewer hits than there are. Raises StoreUnavailable."""
        hits: list[Hit] = []
        wanted, read = plain(query), 0
        while len(hits) < limit and read < MOST_TEXTS:
            found = await self._rows.texts(vaults, user_id, before=before, limit=_TEXTS_AT_ONCE)
            if not found:
                return hits, b""
            is_last = len(found) < _TEXTS_AT_ONCE
            if not is_last and found[0].call_id != found[-1].call_id:  # the last call may have more
                found = [one for one in found if one.call_id != found[-1].call_id]
            if any(one.vault not in self._keys for one in found):
                await self._load_vaults()
            most = limit + 1 - len(hits)
            places = await asyncio.to_thread(self._places, found, wanted, most)
            rows = await self._rows.find_all(places)
            hits += [Hit(rows[call_id], *place) for call_id, place in places.items() if call_id in rows]
            read, before = read + len(found), found[-1].call_id
            if len(places) == most:
                before = next(reversed(places))
            elif is_last:
                before = b""
                break
        if len(hits) > limit:
            hits, before = hits[:limit], hits[limit - 1].row.call_id
        return hits, before

    def _places(self, found: Sequence[NewText], wanted: str, most: int) -> dict[bytes, Place]:
        """The first place in each call that has the words, in so many calls."""
        places: dict[bytes, Place] = {}
        decompressor = zstandard.ZstdDecompressor()
        for one in found:
            if one.call_id in places or one.vault not in self._keys:
                continue
            text = self._keys[one.vault].open(one.sealed, one.call_id, decompressor).decode()
            if (words := find(text, wanted)) is not None:
                places[one.call_id] = ("answer" if one.part else "request", words)
                if len(places) == most:
                    break
        return places

    async def titles(self, task_ids: Collection[bytes]) -> dict[bytes, tuple[ContentRow, str]]:
        """The title of each of these tasks and the row of the call that it is from; left out where none is kept. Raises
        StoreUnavailable."""
        found = await self._rows.titles(task_ids)
        if any(row.vault not in self._keys for row, _ in found.values()):
            await self._load_vaults()
        return {
            task_id: (row, self._keys[row.vault].open(text.sealed, row.call_id).decode())
            for task_id, (row, text) in found.items()
            if row.vault in self._keys
        }

    async def read_own(self, rows: Sequence[ContentRow]) -> list[Own]:
        """What each of these calls brought that its parent did not have. Raises StoreUnavailable."""
        for attempt in range(_TRIES):
            try:
                return await self._read_own(rows)
            except NotFound as error:  # it was repacked or deleted between the two looks
                if attempt == _TRIES - 1:
                    raise StoreUnavailable("Stored content is missing.") from error
        return []

    async def _read_own(self, rows: Sequence[ContentRow]) -> list[Own]:
        by_vault: dict[int, list[Piece]] = {}
        for row in rows:
            by_vault.setdefault(row.vault, []).extend((*row.pieces, *row.answer))
        blocks = {vault: await self._blocks(vault, pieces) for vault, pieces in by_vault.items()}
        return [
            Own(
                row,
                tuple(_bytes_of(row.pieces, blocks[row.vault])),
                b"".join(_bytes_of(row.answer, blocks[row.vault])) if row.answer else None,
            )
            for row in rows
        ]

    async def _blocks(self, vault: int, pieces: Iterable[Piece]) -> dict[bytes, bytes]:
        """The blocks that these pieces name. Raises NotFound, StoreUnavailable."""
        if vault not in self._keys:
            await self._load_vaults()
        addresses = {piece[0] for piece in pieces if isinstance(piece, tuple)}
        places = await self._rows.locate(vault, addresses)
        by_pack: dict[str, list[bytes]] = {}
        for address in addresses:
            if address not in places:
                raise NotFound("This content is no longer there.")
            by_pack.setdefault(places[address].pack, []).append(address)
        return await asyncio.to_thread(self._cut_out, vault, by_pack, places)

    def _cut_out(
        self, vault: int, by_pack: Mapping[str, Sequence[bytes]], places: Mapping[bytes, Stored]
    ) -> dict[bytes, bytes]:
        blocks: dict[bytes, bytes] = {}
        for pack, addresses in by_pack.items():
            data = self._open_pack(vault, pack)
            for address in addresses:
                place = places[address]
                blocks[address] = data[place.start : place.start + place.length]
        return blocks

    def _open_pack(self, vault: int, pack: str) -> bytes:
        return self._keys[vault].open(self._blobs.get(pack), pack.encode())

    async def delete(self, where: ContentFilter) -> int:
        """Delete the content of calls, from the disk too; of how many. Raises StoreUnavailable: some of it may be
        left, and another try goes on."""
        deleted = 0
        while True:
            async with self._working:
                count, packs = await self._rows.drop(where, _DELETED_AT_ONCE, self._clock.now_us())
                self._requests.clear()
                self._seen.clear()
                for pack in packs:
                    await self._repack(pack)
            deleted += count
            if count < _DELETED_AT_ONCE:
                break
        await self.bury()
        return deleted

    async def delete_team(self, team_id: str) -> int:
        """Delete all content of a team and the key to it; of how many calls."""
        async with self._working:
            await self._load_vaults()
            vault = self._vaults.pop(team_id, None)
            if vault is None:
                return 0
            count = await self._rows.drop_vault(vault, self._clock.now_us())
            self._keys.pop(vault, None)
            self._requests.clear()
            self._seen.clear()
        await self.bury()
        return count

    async def _repack(self, pack: str) -> None:
        """Write a pack again without the blocks that are gone."""
        for _ in range(_TRIES):
            try:
                vault, left = await self._rows.blocks_in(pack)
                if not left:
                    await self._rows.repack(vault, pack, None, (), self._clock.now_us())
                    return
                if vault not in self._keys:
                    await self._load_vaults()
                data = await asyncio.to_thread(self._open_pack, vault, pack)
                blocks = {address: data[one.start : one.start + one.length] for address, one in left.items()}
                new, places = await asyncio.to_thread(self._put_pack, vault, blocks)
                try:
                    await self._rows.repack(vault, pack, new, places, self._clock.now_us())
                    return
                except Stale:
                    await asyncio.to_thread(self._blobs.delete, new.name)
                    raise
            except Stale:  # others deleted from it too; if it is gone there is nothing to do
                continue

    async def bury(self) -> None:
        """Delete the bytes of packs that are no longer needed. Raises StoreUnavailable; the next time goes on."""
        while doomed := await self._rows.doomed(_BURIED_AT_ONCE):
            await asyncio.to_thread(self._delete_blobs, doomed)
            await self._rows.buried(doomed)

    def _delete_blobs(self, names: Iterable[str]) -> None:
        for name in names:
            self._blobs.delete(name)

    async def sweep_strays(self) -> int:
        """Delete blobs that no row knows, now and the last time this was asked: their batch was never finished."""
        names = set(await asyncio.to_thread(self._blobs.names)) - await self._rows.packs()
        lost = names & self._strays
        await asyncio.to_thread(self._delete_blobs, lost)
        self._strays = names - lost
        return len(lost)

    async def holding(self) -> dict[str, Holding]:
        """By team, how much is stored."""
        return await self._rows.holding(self._org_id)


def _not_forgotten(frames: Sequence[Frame], forgotten: Sequence[Forgotten]) -> Sequence[Frame]:
    """Those frames that are not of a call whose content was deleted."""

    def is_forgotten(origin: Origin) -> bool:
        return any(
            one.covers(
                call_id=origin.call_id,
                task_id=origin.task_id,
                user_id=origin.user_id,
                team_id=origin.team_id,
                started_at=origin.started_at,
            )
            for one in forgotten
        )

    oldest = min((one.head.origin.started_at for one in frames if not isinstance(one.head, Said)), default=0)
    forgotten = [one for one in forgotten if one.at >= oldest]
    if not forgotten:  # nearly always: what is taken was said a moment ago
        return frames
    return [one for one in frames if isinstance(one.head, Said) or not is_forgotten(one.head.origin)]


def _bytes_of(pieces: Pieces, blocks: Mapping[bytes, bytes]) -> Iterator[bytes]:
    """The bytes of each piece. Raises NotFound for a released one."""
    for piece in pieces:
        if isinstance(piece, int):
            raise NotFound("This content is no longer there.")
        yield blocks[piece[0]] if isinstance(piece, tuple) else piece


class ContentService(Protocol):
    """The content store as the pages and the admin API see it. `days`: by team, where it says something else."""

    store: ContentStore
    settings: ContentSettings
    days: Mapping[str, int]
    in_force: InForce

    def health(self) -> ContentHealth: ...

    async def forget(self, where: ContentFilter) -> int:
        """Delete the content of calls, wherever it is by now; of how many. Raises StoreUnavailable: try again."""
        ...

    async def forget_team(self, team_id: str, *, comes_again: bool = False) -> int:
        """As `forget`, for all of a team; its key goes too. `comes_again`: calls of the same time may be made anew."""
        ...
