"""The audit log's newest entry, noted in a file beside the database: HOME/audit-head.

Whoever can write to the database but not to this folder can no longer cut off the end of the log or write it anew
unseen. The file is one signed line. It moves on only while the log still holds what it says; else it stays as evidence.
"""

import logging
import os
from pathlib import Path

from sekisho.access.audit import AuditHead, AuditQueries
from sekisho.access.audit_proof import parse_head, render_head
from sekisho.clock import Clock
from sekisho.errors import BadRequest, SekishoError

log = logging.getLogger(__name__)


def anchor_path(home: Path) -> Path:
    """Where a home keeps the head of its audit log."""
    return home / "audit-head"


def read_anchor(home: Path, pepper: bytes | None) -> AuditHead | None:
    """The noted head; None if none was noted yet. Raises BadRequest for a file that was tampered with."""
    try:
        return parse_head(anchor_path(home).read_text(), pepper)
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"{anchor_path(home)} cannot be read.") from error


class Anchor:
    """Keeps the file up to date. `error` is empty while log and file agree."""

    def __init__(self, home: Path, audit: AuditQueries, pepper: bytes, clock: Clock) -> None:
        self._home = home
        self._audit = audit
        self._pepper = pepper
        self._clock = clock
        self.error = ""

    async def note(self, org_id: str) -> None:
        """Write the newest head down, if the log still holds the one noted before. Says it loudly if it does not."""
        try:
            await self._note(org_id)
            self.error = ""
        except (SekishoError, OSError) as error:
            text = error.message if isinstance(error, SekishoError) else "HOME/audit-head cannot be written."
            if text != self.error:
                log.error("audit log: %s", text)
            self.error = text

    async def _note(self, org_id: str) -> None:
        noted = read_anchor(self._home, self._pepper)
        newest = await self._audit.head(org_id)
        if noted is not None and noted == newest:
            return
        if noted is not None:
            there = await self._audit.read_entries(noted.org_id, after=noted.sequence - 1, limit=1)
            if not there or (there[0].sequence, there[0].hash) != (noted.sequence, noted.hash):
                raise BadRequest(
                    f"Entry {noted.sequence} is no longer what HOME/audit-head says. Run: sekisho audit verify. "
                    "After restoring an older database on purpose, remove HOME/audit-head."
                )
        if newest is not None:
            self._write(render_head(newest, self._clock.now_us(), self._pepper) + "\n")

    def _write(self, text: str) -> None:
        path = anchor_path(self._home)
        fresh = path.with_suffix(".new")
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
