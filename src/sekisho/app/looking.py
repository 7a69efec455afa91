"""Let a call process answer what its counters say of calls that nobody makes: what `explain` asks."""

import asyncio
import logging
from pathlib import Path

import msgspec

from sekisho.errors import SekishoError, UpstreamUnavailable
from sekisho.ledger.counters import Counters
from sekisho.ledger.looking import POLL_S, Answered, Asked
from sekisho.upstream.http1 import Http1Client, Origin

log = logging.getLogger(__name__)
_LATE_S = 3.0  # what a start waits for comes first: this question has the control plane make its web application
_RETRY_S = 1.0
_HEADERS = [(b"content-type", b"application/msgpack")]
_MAX_BYTES = 1024 * 1024
_decode = msgspec.msgpack.Decoder(Asked).decode


class LookAnswers:
    """Asks for questions and answers them for as long as `run` runs."""

    def __init__(self, http: Http1Client, socket_path: Path, counters: Counters, late_s: float = _LATE_S) -> None:
        self._http = http
        self._origin = Origin("unix", str(socket_path), 0)
        self._counters = counters
        self._late_s = late_s

    async def run(self) -> None:
        await asyncio.sleep(self._late_s)
        while True:
            try:
                await self._answer_one()
            except (SekishoError, msgspec.DecodeError) as error:
                log.debug("no question about counters can be had: %s", error)
                await asyncio.sleep(_RETRY_S)

    async def _answer_one(self) -> None:
        """Wait for a question; answer it."""
        question = await self._send(b"GET")
        if question:
            asked = _decode(question)
            look = await self._counters.look(asked.demand)
            await self._send(b"POST", msgspec.msgpack.encode(Answered(asked.number, look)))

    async def _send(self, method: bytes, body: bytes = b"") -> bytes:
        response = await self._http.send(
            self._origin, method, b"/internal/looks", _HEADERS, body, first_byte_timeout_s=POLL_S + 10
        )
        said = await response.read(_MAX_BYTES, POLL_S)
        response.close()
        if response.status not in (200, 204):
            raise UpstreamUnavailable(f"the control plane answered {response.status}")
        return said
