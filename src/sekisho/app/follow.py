"""Follow the control plane's snapshot: from the file at start, then by asking over its socket.

The call process goes on with the snapshot it has while the control plane is away: nothing can be changed in that time.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from sekisho.access.distribution import read_snapshot
from sekisho.calls.gate import Registry
from sekisho.errors import SekishoError, StoreUnavailable, UpstreamUnavailable
from sekisho.upstream.http1 import Http1Client, Origin
from sekisho.values import Delivery, Snapshot

log = logging.getLogger(__name__)
_LONG_POLL_S = 30.0
_MAX_DELIVERY_BYTES = 256 * 1024 * 1024
_CONFIRMED = b"x-sekisho-confirmed-us"
_decode_delivery = msgspec.msgpack.Decoder(Delivery).decode


def load_snapshot(path: Path, registry: Registry) -> None:
    """Put the snapshot on disk in force, if there is one that this version can read."""
    try:
        snapshot = read_snapshot(path)
    except StoreUnavailable:
        log.info("the snapshot on disk cannot be read; waiting for the control plane's")
        return
    if snapshot is not None:
        registry.load(snapshot)


class SnapshotFollower:
    """Keeps a registry up to date for as long as `run` runs."""

    def __init__(
        self,
        http: Http1Client,
        socket_path: Path,
        process_id: str,
        registry: Registry,
        on_delivery: Callable[[Snapshot], Awaitable[None]],
        *,
        confirm_timeout_s: float = 5.0,
    ) -> None:
        """`confirm_timeout_s`: how long what is in force may be trusted after it was last known to be the newest."""
        self._confirm_timeout_us = int(confirm_timeout_s * 1_000_000)
        self._http = http
        self._origin = Origin("unix", str(socket_path), 0)
        self._process_id = process_id
        self._registry = registry
        self._on_delivery = on_delivery
        self._has_delivery = False

    async def run(self) -> None:
        """Ask, put in force, ask again; asking confirms what is in force."""
        pause_s = 0.02
        while True:
            try:
                await self._ask()
                pause_s = 0.02
            except (SekishoError, msgspec.DecodeError, ValueError) as error:
                log.debug("the control plane does not answer: %s", error)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 1.5, 1.0)

    async def _ask(self) -> None:
        epoch = self._registry.epoch if self._has_delivery else 0  # the file has no credentials
        target = f"/internal/snapshot?after={epoch}&process={self._process_id}"
        response = await self._http.send(self._origin, b"GET", target.encode(), [], first_byte_timeout_s=_LONG_POLL_S)
        body = await response.read(_MAX_DELIVERY_BYTES, _LONG_POLL_S)
        response.close()
        if response.status == 200:
            delivery = _decode_delivery(body)
            await self._on_delivery(delivery.snapshot)  # before it is in force: a key never calls without its budgets
            self._registry.deliver(delivery)
            self._has_delivery = True
        elif response.status != 204:
            raise UpstreamUnavailable(f"the control plane answered {response.status}")
        if confirmed_us := response.headers.get(_CONFIRMED):  # both processes have the same monotonic clock
            self._registry.trusted_until_us = int(confirmed_us) + self._confirm_timeout_us
