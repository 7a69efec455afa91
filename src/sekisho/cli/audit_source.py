"""Where the audit commands read: the database of a home or a URL, or an exported file. No server is needed."""

import json
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from sekisho.access.anchor import read_anchor
from sekisho.access.audit import AuditEntry, AuditHead
from sekisho.access.audit_proof import Proof, parse_entry, parse_head
from sekisho.access.keys import pepper_path
from sekisho.cli.messages import say
from sekisho.errors import BadRequest, StoreUnavailable
from sekisho.settings import parse_secret, resolve_database_url, resolve_pepper
from sekisho.store.sql.audit import SqlAudit
from sekisho.store.sql.engine import Database, readable_sqlite_url

ORG_ID = "default"
CHUNK = 2_000


class Judged(NamedTuple):
    """A proof that has seen everything. `anchors`: the heads from elsewhere that it was held against."""

    proof: Proof
    anchors: list[AuditHead]


def open_database(home: Path, url: str) -> Database:
    """The database of a home, opened for reading only; any other by its URL. Raises StoreUnavailable,
    SettingsError."""
    if url:
        return Database(resolve_database_url(parse_secret(url), os.environ))
    path = home / "sekisho.db"
    if not path.exists():
        raise StoreUnavailable(say(f"There is no database at {path}.", f"{path} にデータベースはありません。"))
    return Database(readable_sqlite_url(path))


def read_pepper(home: Path) -> bytes | None:
    """What checkpoints of this home are signed with; None when it is not here. Raises SettingsError."""
    stated = os.environ.get("SEKISHO_PEPPER")
    if stated:
        return resolve_pepper(parse_secret(stated), os.environ)
    try:
        return pepper_path(home).read_bytes()
    except OSError:
        return None


async def read_all(log: SqlAudit, after: int = 0) -> AsyncIterator[list[AuditEntry]]:
    """The whole log in its order, in pieces."""
    while entries := await log.read_entries(ORG_ID, after=after, limit=CHUNK):
        yield entries
        after = entries[-1].sequence


async def judge_database(home: Path, url: str, extra: list[AuditHead]) -> Judged:
    """Prove the log in a database, held against HOME/audit-head and the given heads. Raises BadRequest,
    StoreUnavailable."""
    noted = read_anchor(home, read_pepper(home))
    anchors = [*extra, *([noted] if noted else [])]
    proof = Proof(anchors)
    database = open_database(home, url)
    try:
        log = SqlAudit(database)
        async for entries in read_all(log):
            if not proof.add(entries):
                break
        head = await log.head(ORG_ID)
        last = proof.last.sequence if proof.last else 0
        while proof.finding is None and head is not None and head.sequence > last:  # written meanwhile
            newer = await log.read_entries(ORG_ID, after=last, limit=CHUNK)
            if not newer or not proof.add(newer):
                break
            last = newer[-1].sequence
            head = await log.head(ORG_ID)
        proof.end(head or AuditHead(ORG_ID, 0, bytes(32)))
    finally:
        await database.close()
    return Judged(proof, anchors)


def judge_file(path: Path, home: Path, extra: list[AuditHead]) -> Judged:
    """Prove an exported log, held against the heads in it and the given ones. Raises BadRequest."""
    pepper = read_pepper(home)
    anchors = list(extra)
    heads: list[AuditHead] = []
    is_whole = True
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.startswith('{"head"'):
                heads.append(parse_head(line, pepper))
            elif line.startswith('{"export"'):
                is_whole = is_whole and bool(_parse(line)["export"].get("is_whole"))
    proof = Proof([*anchors, *heads], is_whole=is_whole)
    proof.add(_entries(path))
    proof.end(None)
    return Judged(proof, [*anchors, *heads])


def _entries(path: Path) -> Iterator[AuditEntry]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.strip() and not line.startswith(('{"head"', '{"export"')):
                yield parse_entry(_parse(line))


def _parse(line: str) -> dict[str, Any]:
    try:
        parsed = json.loads(line)
    except ValueError as error:
        raise BadRequest(
            say("A line of the file is not JSON.", "ファイルに JSON として読めない行があります。")
        ) from error
    if not isinstance(parsed, dict):
        raise BadRequest(say("A line of the file is no entry.", "ファイルに記録ではない行があります。"))
    return parsed
