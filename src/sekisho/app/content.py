"""Keeps the content of calls: takes it from the spool into the store, and deletes what is older than it may be.

Nothing here is waited for by a call or by the ledger. What goes wrong shows in the status and is tried again.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from sekisho.app.loops import Complaint, repeat
from sekisho.clock import Clock
from sekisho.errors import SekishoError, StoreUnavailable
from sekisho.record.content import ContentFilter, ContentHealth, ContentRows, ContentSettings, Forgotten, in_force
from sekisho.record.content_store import Blobs, ContentStore
from sekisho.record.sealing import KEY_BYTES, HomeKey, Wrapping
from sekisho.record.spool import Segment, SpoolReader
from sekisho.store.blobs.files import FileBlobs

log = logging.getLogger(__name__)

KMS = b"kms:"  # begins a reference to a key of AWS KMS
TAKE_S = 0.5
TAKE_BACKOFF_S = 10.0
SWEEP_S = 3600.0
GONE_S = 6.0
GONE_LOOKS = 30
_DAY_US = 86_400_000_000
_HEAL_US = 60_000_000


class ContentKeeper:
    """The content store of one home and what is done for it in the background."""

    def __init__(
        self,
        home: Path,
        settings: ContentSettings,
        rows: ContentRows,
        org_id: str,
        clock: Clock,
        publish: Callable[[], Awaitable[None]],
        *,
        has_others: bool = False,
    ) -> None:
        """`publish`: puts what the database says in force in every call process. `has_others`: other machines may keep
        content in the same store."""
        self.settings = settings
        self.store = ContentStore(rows, _blobs(home, settings), _wrapping(home, settings), org_id, clock)
        self.store.has_others = has_others
        self._publish = publish
        self._rows = rows
        self._org_id = org_id
        self._clock = clock
        self._reader = SpoolReader(home / "spool")
        self._draining = asyncio.Lock()
        self._failure = ""
        self._taken_at = 0
        self._healed_us = -_HEAL_US
        self.days: Mapping[str, int] = {}  # by team, where it says something else
        self.in_force = in_force((), settings.level)

    def health(self) -> ContentHealth:
        """How it is now."""
        return ContentHealth(self._failure, self._reader.bytes_left(), self.settings.spool_bytes, self._taken_at)

    async def take_once(self) -> int:
        """Keep what the spool holds; the number of frames. Raises StoreUnavailable."""
        async with self._draining:
            offsets, taken = await self._rows.offsets(), 0
            for segment in await asyncio.to_thread(self._reader.segments):
                taken += await self._take(segment, offsets)
            gone = await asyncio.to_thread(self._reader.remove_drained, offsets)
            if gone:
                await self._rows.forget(gone)
            self._taken_at = self._clock.now_us()
            return taken

    async def _take(self, segment: Segment, offsets: dict[str, int]) -> int:
        """Keep all that is behind the segment's offset now; the number of frames. What comes meanwhile waits for the
        next time, as in the drain of the journal."""
        taken = 0
        end = await asyncio.to_thread(self._reader.size, segment)
        while frames := await asyncio.to_thread(self._reader.read, segment, offsets.get(segment.name, 0)):
            await self.store.take(segment.name, frames)
            offsets[segment.name] = frames[-1].end_offset
            taken += len(frames)
            if frames[-1].end_offset >= end:
                break
        return taken

    async def run(self) -> None:
        """Take and sweep until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._take_forever())
            group.create_task(repeat(self.sweep, SWEEP_S, Complaint(log, "deleting old content")))

    async def _take_forever(self) -> None:
        wait_s, complaint = TAKE_S, Complaint(log, "keeping the content of calls")
        while True:
            try:
                await self.take_once()
                await self._heal()
                self._failure, wait_s = "", TAKE_S
                complaint.settle()
            except Exception as error:  # noqa: BLE001  a background loop: it says so, loudly, and goes on trying
                self._failure = complaint.raise_for(error)
                wait_s = min(wait_s * 2, TAKE_BACKOFF_S)
            await asyncio.sleep(wait_s)

    async def take_rest(self) -> None:
        """Take what is left when the process stops."""
        try:
            await self.take_once()
        except SekishoError as error:  # it stays in the spool; the next start takes it
            log.error("content is left in the spool: %s", error.message)

    async def _heal(self) -> None:
        """Let call processes begin anew where they built on what is not here; not all the time."""
        now_us = self._clock.monotonic_us()
        if self.store.is_broken and now_us - self._healed_us >= _HEAL_US:
            self._healed_us, self.store.is_broken = now_us, False
            log.error("content was said to go on from content that is not here: it is lost, later calls are whole")
            await self._renew()

    async def _renew(self) -> None:
        """Let no call process build on anything that was said before."""
        await self._rows.renew()
        await self._publish()

    async def forget(self, where: ContentFilter) -> int:
        """Delete the content of calls, wherever it is by now; of how many. Raises StoreUnavailable: try again."""
        old = await self._take_old()
        now_us = self._clock.now_us()
        await self._tell_others(Forgotten(now_us, where.call_id, where.task_id, where.user_id))
        deleted = await self.store.delete(where)
        await self._wait_gone(old)
        return deleted + await self._delete_late(where)

    async def forget_team(self, team_id: str, *, comes_again: bool = False) -> int:
        """As `forget`, for all of a team; its key goes too. `comes_again`: calls of the same time may be made anew, as
        those of the demonstration are."""
        old = await self._take_old()
        if not comes_again:
            await self._tell_others(Forgotten(self._clock.now_us(), team_id=team_id))
        deleted = await self.store.delete_team(team_id)
        await self._wait_gone(old)
        return deleted

    async def _tell_others(self, forgotten: Forgotten) -> None:
        """Let the other machines drop what still lies in their spools; before it is deleted here, so that nothing
        slips through between."""
        if self.store.has_others:
            await self._rows.note_forgotten(forgotten)

    async def _delete_late(self, where: ContentFilter) -> int:
        """Delete what another machine was just keeping when it was told; of how many calls."""
        return await self.store.delete(where) if self.store.has_others else 0

    async def _take_old(self) -> set[str]:
        """Take all that was said until now; the segments that it lay in."""
        await self._renew()
        await self.take_once()
        return {segment.name for segment in await asyncio.to_thread(self._reader.segments)}

    async def _wait_gone(self, names: set[str]) -> None:
        """Wait until these segments are deleted: each call process lets go of its own within a second or two. Raises
        StoreUnavailable."""
        for _ in range(GONE_LOOKS):
            await self.take_once()
            left = {segment.name for segment in await asyncio.to_thread(self._reader.segments)}
            if not left & names:
                return
            await asyncio.sleep(GONE_S / GONE_LOOKS)
        raise StoreUnavailable("Deleted from the store, but not from the spool of every call process yet. Try again.")

    async def sweep(self) -> None:
        """Delete what is older than its team wants it kept, and blobs that nobody knows."""
        now_us = self._clock.now_us()
        for vault in await self._rows.vaults(self._org_id):
            days = self.days.get(vault.team_id) or self.settings.days
            await self.store.delete(ContentFilter(vault=vault.id, before=now_us - days * _DAY_US))
        await self.store.bury()
        await self.store.sweep_strays()


def _blobs(home: Path, settings: ContentSettings) -> Blobs:
    if not settings.store:
        return FileBlobs(home / "content")
    from sekisho.store.blobs.s3 import S3Blobs  # noqa: PLC0415  botocore is slow to import

    return S3Blobs(settings.store, settings.region, settings.sse_kms_key)


def _wrapping(home: Path, settings: ContentSettings) -> Wrapping:
    if not settings.key.startswith(KMS):
        return _Key(home, settings.key)
    from sekisho.store.blobs.kms import KmsKey  # noqa: PLC0415  botocore is slow to import

    return KmsKey(settings.key.removeprefix(KMS).decode(), settings.region)


class _Key:
    """Wraps data keys with the installation's key, which is made when the first one is wanted."""

    def __init__(self, home: Path, key: bytes) -> None:
        self._path = home / "content-key"
        self._key = key

    def wrap(self, key: bytes, context: bytes) -> bytes:
        return HomeKey(self._key or self._load(may_make=True)).wrap(key, context)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        return HomeKey(self._key or self._load(may_make=False)).unwrap(wrapped, context)

    def _load(self, *, may_make: bool) -> bytes:
        try:
            if may_make:
                descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                try:
                    os.write(descriptor, os.urandom(KEY_BYTES))
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
        except FileExistsError:
            pass
        except OSError as error:
            raise StoreUnavailable("The key of the content store cannot be written.") from error
        try:
            key = self._path.read_bytes()
        except OSError as error:
            words = f"The key of the content store is missing: restore {self._path} from your backup."
            raise StoreUnavailable(words) from error
        if len(key) != KEY_BYTES:
            raise StoreUnavailable(f"{self._path} must have {KEY_BYTES} bytes: restore it from your backup.")
        return key
