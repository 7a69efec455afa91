"""The journal at the level "cluster": what is appended counts once the control process has booked it in PostgreSQL.

The call process knows no SQL. It appends to its own segment as ever, then asks the control process over the Unix socket
whether that place is booked; one question is under way at a time, so what is appended meanwhile is booked together.
When there is no answer in time the call fails closed; its record stays in the segment and is booked later.
"""

import asyncio
import logging
from collections import deque
from pathlib import Path

from sekisho.errors import SekishoError, StoreUnavailable, UpstreamUnavailable
from sekisho.ledger.counters import JournalPosition
from sekisho.ledger.journal import Record
from sekisho.ledger.journal_files import JournalWriter
from sekisho.upstream.http1 import Http1Client, Origin

log = logging.getLogger(__name__)
COMMIT_S = 5.0
_FIRST_PAUSE_S = 0.01
_LONGEST_PAUSE_S = 0.2
_MAX_BYTES = 100


class CommittedJournal:
    """`calls.gate.Journal`, committed by another process for as long as `run` runs."""

    def __init__(
        self, writer: JournalWriter, http: Http1Client, socket_path: Path, process_id: str, commit_s: float = COMMIT_S
    ) -> None:
        """`commit_s`: how long a call waits for its record."""
        self._writer = writer
        self._http = http
        self._origin = Origin("unix", str(socket_path), 0)
        self._process_id = process_id
        self._commit_s = commit_s
        self._written: JournalPosition = (0, 0)
        self._booked: JournalPosition = (0, 0)
        self._waiting: deque[tuple[JournalPosition, asyncio.Future[None]]] = deque()  # in the order of the journal
        self._has_waiting = asyncio.Event()

    def append(self, record: Record) -> JournalPosition:
        """Write one record to the segment; where it ends. Raises StoreUnavailable when it is not there."""
        self._written = self._writer.append(record)
        return self._written

    async def committed(self) -> None:
        """Wait until all that was appended so far is committed. Raises StoreUnavailable when that takes too long."""
        if self._written <= self._booked:
            return
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((self._written, future))
        self._has_waiting.set()
        try:
            async with asyncio.timeout(self._commit_s):
                await future
        except TimeoutError:
            raise StoreUnavailable("The call could not be recorded in the database in time. Try again.") from None

    async def run(self) -> None:
        """Ask, release whoever waits for what is booked, ask again."""
        pause_s = _FIRST_PAUSE_S
        while True:
            await self._has_waiting.wait()
            while self._waiting and self._waiting[0][1].done():  # it has given up
                self._waiting.popleft()
            if not self._waiting:
                self._has_waiting.clear()
                continue
            try:
                self._booked = max(self._booked, await self._ask(self._waiting[0][0]))
                pause_s = _FIRST_PAUSE_S
            except (SekishoError, ValueError) as error:
                log.debug("the control plane has not booked the journal: %s", error)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            self._release()

    def _release(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._booked:
            future = self._waiting.popleft()[1]
            if not future.done():
                future.set_result(None)

    async def _ask(self, position: JournalPosition) -> JournalPosition:
        """How far the journal is booked once that is at least this position."""
        target = b"/internal/committed?process=%b&number=%d&offset=%d" % (self._process_id.encode(), *position)
        response = await self._http.send(self._origin, b"GET", target, [], first_byte_timeout_s=self._commit_s)
        body = await response.read(_MAX_BYTES, self._commit_s)
        response.close()
        if response.status != 200:
            raise UpstreamUnavailable(f"the control plane answered {response.status}")
        return position[0], int(body)
