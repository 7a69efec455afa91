"""Backup and restore: everything that Sekisho knows in one file, taken while it serves.

What is in it: all rows of the database, the files in HOME/secrets (the pepper, without which no key opens), and the
journal that is not booked yet. The journal is copied first: what is booked meanwhile is in the database, and booking is
idempotent, so every call that had ended when the backup began is in it exactly once. Source: docs/why/backup.md
"""

import os
import re
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa

from sekisho import __version__
from sekisho.access.keys import pepper_path
from sekisho.app.archive import Archive, ArchiveError, ArchiveWriter
from sekisho.app.control_plane import ORG_ID
from sekisho.clock import Clock
from sekisho.ledger.drain import Drain
from sekisho.ledger.journal_files import JournalReader, list_segments
from sekisho.store.sql import audit
from sekisho.store.sql.dump import Chunk, Loader, read_all
from sekisho.store.sql.engine import Database, sqlite_url
from sekisho.store.sql.ledger import SqlLedger
from sekisho.store.sql.migrate import HEAD, migrate
from sekisho.store.sql.names import Names
from sekisho.store.sql.tables.ledger import call, running_call

_FILE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_CHUNK_NAME = re.compile(r"tables/([a-z_]{1,60})/[0-9]{1,9}")


@dataclass(frozen=True)
class BackedUp:
    """What a backup holds."""

    bytes: int
    calls: int
    keys: int
    journal_bytes: int


@dataclass(frozen=True)
class Restored:
    """What a restore did. `booked`: records of the journal; `interrupted`: open calls, booked at their bound."""

    made_at: str
    version: str
    calls: int
    keys: int
    booked: int
    interrupted: int


async def back_up(home: Path, database_url: str, path: Path, clock: Clock, *, has_own_pepper: bool = True) -> BackedUp:
    """Write the backup of this home; `has_own_pepper` False: the operator keeps the pepper elsewhere.

    Raises ArchiveError, DumpError, StoreUnavailable."""
    database_path = home / "sekisho.db"
    lacks_pepper = has_own_pepper and not pepper_path(home).exists()
    if lacks_pepper or not (database_url or database_path.exists()):
        raise ArchiveError(f"There is no Sekisho in {home}.", f"{home} に関所のデータはありません。")
    database = Database(database_url or sqlite_url(database_path))
    try:
        with ArchiveWriter(path) as archive:
            journal_bytes = 0
            for segment in list_segments(home / "journal"):
                content = _read_if_there(home / "journal" / segment.name)
                journal_bytes += len(content)
                if content:
                    archive.add(f"journal/{segment.name}", content)
            for file in sorted((home / "secrets").iterdir()) if (home / "secrets").exists() else ():
                archive.add(f"secrets/{file.name}", file.read_bytes())
            counts: dict[str, int] = {}
            number = 0
            async for chunk in read_all(database):
                number += 1
                counts[chunk.table] = counts.get(chunk.table, 0) + len(chunk.rows)
                archive.add(f"tables/{chunk.table}/{number}", msgspec.msgpack.encode(chunk))
            about = {"version": __version__, "revision": HEAD, "made_at": _iso(clock.now_us()), "rows": counts}
            size = archive.finish(about)
        await _record(database, "backup.create", {"made_at": about["made_at"], "rows": counts}, clock)
    finally:
        await database.close()
    return BackedUp(size, counts.get("call", 0), counts.get("virtual_key", 0), journal_bytes)


async def _record(database: Database, action: str, after: dict[str, Any], clock: Clock) -> None:
    """A backup holds everybody's secrets, and a restore sets history back: both are in the audit log."""
    async with database.write() as connection:
        await audit.record(
            connection,
            org_id=ORG_ID,
            actor="operator",
            action=action,
            kind="backup",
            id=str(after["made_at"]),
            after=after,
            at_us=clock.now_us(),
        )


def _read_if_there(path: Path) -> bytes:
    """Nothing when the drain was faster: then the database has all of it."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


async def restore(path: Path, home: Path, database_url: str, clock: Clock) -> Restored:
    """Make a new home from a backup, its database in `database_url` if that is said. A failure leaves no home behind.

    Raises ArchiveError, DumpError, StoreUnavailable; also when there is something already."""
    archive = Archive(path)
    about = archive.manifest.about
    _refuse_if_used(home)
    new = home.with_name(home.name + ".restoring")
    try:
        _make_folders(new)
        counts = await _load(archive, new, database_url, str(about["revision"]))
    except OSError as error:
        shutil.rmtree(new, ignore_errors=True)
        raise ArchiveError(
            f"{home} cannot be written: {error.strerror}.", f"{home} に書き込めません（{error.strerror}）。"
        ) from error
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    _move(new, home)
    booked, interrupted, calls = await _book(home, database_url, clock)
    database = Database(database_url or sqlite_url(home / "sekisho.db"))
    try:
        made = {"made_at": str(about["made_at"]), "version": str(about["version"])}
        await _record(database, "backup.restore", made, clock)
    finally:
        await database.close()
    return Restored(
        str(about["made_at"]), str(about["version"]), calls, counts.get("virtual_key", 0), booked, interrupted
    )


def _refuse_if_used(home: Path) -> None:
    used = [name for name in ("sekisho.db", "secrets", "journal", "snapshot") if _is_used(home / name)]
    if used:
        names = ", ".join(used)
        raise ArchiveError(
            f"{home} is in use ({names}): nothing is restored over what is there.",
            f"{home} にはすでにデータがあります（{names}）。上書きはしません。",
        )


def _is_used(path: Path) -> bool:
    return any(path.iterdir()) if path.is_dir() else path.exists()


def _make_folders(new: Path) -> None:
    new.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new.mkdir(mode=0o700)
    for name in ("secrets", "journal"):
        (new / name).mkdir(mode=0o700)


def _move(new: Path, home: Path) -> None:
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    for part in sorted(new.iterdir()):
        target = home / part.name
        if target.is_dir():
            target.rmdir()  # it is empty
        part.rename(target)
    new.rmdir()


async def _load(archive: Archive, new: Path, database_url: str, revision: str) -> dict[str, int]:
    """Fill files and tables; rows by table. Raises ArchiveError, DumpError, StoreUnavailable."""
    if not database_url:
        os.close(os.open(new / "sekisho.db", os.O_CREAT | os.O_WRONLY, 0o600))
    database = Database(database_url or sqlite_url(new / "sekisho.db"))
    counts: dict[str, int] = {}
    try:
        async with database.write() as connection:
            loader = Loader(connection)
            await loader.prepare(revision)
            for name, content in archive.members():
                if _CHUNK_NAME.fullmatch(name):
                    chunk = msgspec.msgpack.decode(content, type=Chunk)
                    await loader.load(chunk)
                    counts[chunk.table] = counts.get(chunk.table, 0) + len(chunk.rows)
                else:
                    _write_file(new, name, content)
            await loader.finish()
            if counts != archive.manifest.about["rows"]:
                raise ArchiveError(
                    "The backup does not hold all the rows that it should.", "バックアップの行が足りません。"
                )
        await migrate(database)
    finally:
        await database.close()
    return counts


def _write_file(new: Path, name: str, content: bytes) -> None:
    folder, _, file = name.partition("/")
    if folder not in ("secrets", "journal") or not _FILE_NAME.fullmatch(file) or file.startswith("."):
        raise ArchiveError(
            f"The backup holds something unknown: {name[:60]}.",
            f"バックアップに不明なものが入っています（{name[:60]}）。",
        )
    descriptor = os.open(new / folder / file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as target:
        target.write(content)
        target.flush()
        os.fsync(descriptor)


async def _book(home: Path, database_url: str, clock: Clock) -> tuple[int, int, int]:
    """Book the journal to its end and settle what was open: records, open calls, calls in all."""
    database = Database(database_url or sqlite_url(home / "sekisho.db"))
    ledger = SqlLedger(database, Names(database))
    reader = JournalReader(home / "journal")
    try:
        await _forget_what_is_booked(ledger, reader, home)
        count = sa.select(sa.func.count()).select_from(running_call)
        drain = Drain(reader, ledger, clock)
        booked = 0
        while records := await drain.drain_once():
            booked += records
        if drain.damaged:
            damage = "; ".join(drain.damaged.values())
            raise ArchiveError(
                f"Restored, but the journal in the backup is damaged, and what it says is not booked: {damage}",
                f"復元しましたが、バックアップ内のジャーナルが壊れており、その分は記帳していません（{damage}）。",
            )
        async with database.read() as connection:
            processes = set((await connection.execute(sa.select(running_call.c.process))).scalars())
        interrupted = sum([await ledger.interrupt(process, clock.now_us()) for process in sorted(processes)])
        async with database.read() as connection:
            assert (await connection.execute(count)).scalar_one() == 0
            calls: int = (await connection.execute(sa.select(sa.func.count()).select_from(call))).scalar_one()
    finally:
        await database.close()
    return booked, interrupted, calls


async def _forget_what_is_booked(ledger: SqlLedger, reader: JournalReader, home: Path) -> None:
    """Remove segments that the database has booked further than they were copied, and offsets without a segment."""
    offsets = await ledger.offsets()
    here = {segment.name: reader.size(segment) for segment in reader.segments()}
    for name, size in here.items():
        if offsets.get(name, 0) >= size:
            (home / "journal" / name).unlink()
    await ledger.forget([name for name, offset in offsets.items() if offset >= here.get(name, 0)])


def _iso(at_us: int) -> str:
    return datetime.fromtimestamp(at_us // 10**6, UTC).isoformat().replace("+00:00", "Z")
