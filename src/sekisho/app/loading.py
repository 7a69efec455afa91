"""Tell the counters what the ledger holds: at once when budgets change, and again every few seconds.

Until it is known what a hard budget's window has spent, calls on it wait. The repetition lets the counters forget calls
that the ledger has, and mends what an unreachable control plane delayed.
"""

import asyncio
import logging
import re
from pathlib import Path

import msgspec

from sekisho.errors import SekishoError, UpstreamUnavailable
from sekisho.ledger.booked import Booked
from sekisho.ledger.counters import Counters, JournalPosition
from sekisho.upstream.http1 import Http1Client, Origin
from sekisho.values import Snapshot

log = logging.getLogger(__name__)
_TIMEOUT_S = 15.0  # longer than the control plane waits for the journals of the dead
_MAX_BYTES = 64 * 1024 * 1024
_AGAIN_S = 5.0
_RETRY_S = 0.1
_SEGMENT = re.compile(r"(?P<process>.+)-(?P<number>\d+)\.log")
_decode = msgspec.msgpack.Decoder(Booked).decode


class CounterLoader:
    """Keeps counters in step with the snapshot and the ledger for as long as `run` runs."""

    def __init__(self, http: Http1Client, socket_path: Path, process_id: str, counters: Counters) -> None:
        self._http = http
        self._origin = Origin("unix", str(socket_path), 0)
        self._process_id = process_id
        self._counters = counters
        self._has_budgets = False
        self._changed = asyncio.Event()

    async def configure(self, snapshot: Snapshot) -> None:
        """Put the snapshot's budgets and limits in force, and have them loaded."""
        await self._counters.configure(snapshot.budgets, snapshot.limits)
        self._has_budgets = bool(snapshot.budgets)
        self._changed.set()

    async def run(self) -> None:
        while True:
            self._changed.clear()
            pause_s = _AGAIN_S
            if self._has_budgets:
                try:
                    await self._load()
                except (SekishoError, msgspec.DecodeError) as error:
                    log.debug("what budgets have spent cannot be read yet: %s", error)
                    pause_s = _RETRY_S
            try:
                async with asyncio.timeout(pause_s):
                    await self._changed.wait()
            except TimeoutError:
                pass

    async def _load(self) -> None:
        response = await self._http.send(self._origin, b"GET", b"/internal/spent", [], first_byte_timeout_s=_TIMEOUT_S)
        body = await response.read(_MAX_BYTES, _TIMEOUT_S)
        response.close()
        if response.status != 200:
            raise UpstreamUnavailable(f"the control plane answered {response.status}")
        booked = _decode(body)
        await self._counters.load(booked.spent, position_of(self._process_id, booked.offsets))


def position_of(process_id: str, offsets: dict[str, int]) -> JournalPosition:
    """How far one process's journal is booked. A later segment is begun only when the ones before it are whole, so the
    last segment that is named at all says it; (0, 0) if none is."""
    position = (0, 0)
    for name, offset in offsets.items():
        segment = _SEGMENT.fullmatch(name)
        if segment and segment["process"] == process_id:
            position = max(position, (int(segment["number"]), offset))
    return position
