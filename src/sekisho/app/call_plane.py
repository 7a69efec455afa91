"""Puts the call plane together: the parts, the path, the sockets."""

import asyncio
import gc
import hmac
import logging
import os
import socket
from pathlib import Path

from sekisho.access.keys import digester, load_or_create_pepper
from sekisho.app.commits import CommittedJournal
from sekisho.app.counting import open_counters
from sekisho.app.follow import SnapshotFollower, load_snapshot
from sekisho.app.loading import LedgerReads, LedgerTasks
from sekisho.app.looking import LookAnswers
from sekisho.app.replica import load_or_create_replica_id
from sekisho.app.signals import orderly_stop
from sekisho.calls.gate import Gate, Journal, Limits, Registry
from sekisho.calls.masked_spool import MaskedSpool
from sekisho.calls.recording import Recorder
from sekisho.clock import SystemClock
from sekisho.ledger.journal_files import JournalWriter
from sekisho.record.masking import Masker
from sekisho.record.spool import SpoolWriter
from sekisho.settings import Settings, resolve_pepper
from sekisho.upstream.http1 import Http1Client
from sekisho.upstream.providers import Providers
from sekisho.web.doors.app import DoorApp
from sekisho.web.doors.forward import ForwardDoor
from sekisho.web.doors.proxies import Proxies
from sekisho.web.doors.server import DoorServer, tune_allocator

log = logging.getLogger(__name__)
_ROTATE_S = 1.0
_GC_THRESHOLDS = (20_000, 20, 20)  # a call leaves no cycles behind; by default there is a collection every few calls


def limits_of(settings: Settings) -> Limits:
    """The settings that the path works with."""
    return Limits(
        max_body_bytes=settings.max_body_bytes,
        first_byte_timeout_s=min(settings.first_byte_timeout_s, settings.call_timeout_s),
        idle_timeout_s=settings.idle_timeout_s,
        call_timeout_s=settings.call_timeout_s,
        drain_timeout_s=settings.drain_timeout_s,
        client_send_timeout_s=settings.client_send_timeout_s,
        keepalive_s=settings.keepalive_s,
        cut_revoked_streams=settings.cut_revoked_streams,
        loop_slow_after=settings.loop_slow_after,
        loop_stop_after=settings.loop_stop_after,
    )


def pepper_of(settings: Settings) -> bytes:
    """The pepper that the operator gives, else the one in the home. Raises SettingsError, StoreUnavailable."""
    if settings.pepper is not None:
        return resolve_pepper(settings.pepper, os.environ)
    return load_or_create_pepper(Path(settings.home))


async def _rotate(spool: SpoolWriter) -> None:
    """Let what was said not lie in the spool for longer than it takes to keep it."""
    while True:
        await asyncio.sleep(_ROTATE_S)
        spool.rotate()


async def run_call_plane(settings: Settings, listener: socket.socket, process_id: str) -> None:
    """Serve calls on an open socket until told to stop."""
    tune_allocator()
    home = Path(settings.home)
    socket_path = home / "run" / "control.sock"
    clock = SystemClock()
    registry = Registry()
    load_snapshot(home / "snapshot", registry)
    http = Http1Client(connect_timeout_s=settings.connect_timeout_s)
    local = Http1Client(connect_timeout_s=settings.connect_timeout_s)
    limits = limits_of(settings)
    if settings.database_url is not None:  # shared: names of processes must be told apart by their homes
        process_id = f"{load_or_create_replica_id(home)}.{process_id}"
    writer = JournalWriter(
        home / "journal", process_id, durability="power" if settings.journal_durability == "power" else "process"
    )
    journal: Journal = writer
    committed: CommittedJournal | None = None
    if settings.journal_durability == "cluster":
        journal = committed = CommittedJournal(writer, local, socket_path, process_id)
    if settings.replicated:
        registry.trusted_until_us = 0  # nothing is known of what others have changed
    pepper = pepper_of(settings)
    counting = open_counters(settings, clock, process_id, pepper, LedgerReads(local, socket_path))
    loader = counting.loader
    if registry.snapshot is not None:
        await loader.configure(registry.snapshot)
    spool = SpoolWriter(home / "spool", process_id, clock, most_bytes=settings.content_spool_bytes)
    masked = MaskedSpool(spool, Masker(hmac.digest(pepper, b"masking", "sha256")))
    gate = Gate(
        clock=clock,
        registry=registry,
        digest=digester(pepper),
        journal=journal,
        counters=counting.counters,
        language="en" if settings.language == "auto" else settings.language,
        process_id=process_id,
        upstreams=Providers(http, clock, first_byte_timeout_s=limits.first_byte_timeout_s),
        limits=limits,
        task_spend=LedgerTasks(local, socket_path),
        recorder=Recorder(
            spool, clock, lambda: registry.snapshot.content_generation if registry.snapshot else 0, masked
        ),
    )
    app = DoorApp(gate, ForwardDoor(local, socket_path, max_body_bytes=settings.max_body_bytes))
    server = DoorServer(app, shutdown_grace_s=int(settings.shutdown_grace_s), proxies=Proxies(settings.trusted_proxies))
    gc.collect()
    gc.set_threshold(*_GC_THRESHOLDS)
    gc.freeze()  # what lives as long as the process is not walked again at each collection
    follower = SnapshotFollower(
        local, socket_path, process_id, registry, loader.configure, confirm_timeout_s=settings.confirm_timeout_s
    )
    looks = LookAnswers(local, socket_path, counting.counters)
    loops = (follower.run, masked.run, looks.run, *counting.loops)
    background = [asyncio.create_task(run()) for run in loops]
    background.append(asyncio.create_task(_rotate(spool)))
    if committed is not None:
        background.append(asyncio.create_task(committed.run()))
    with orderly_stop():
        try:
            await server.serve(listener)
        finally:
            for task in background:
                task.cancel()
            await asyncio.wait(background)
            await http.close()
            await local.close()
            app.close()
            writer.close()
            masked.finish()
            spool.close()
    log.debug("call process %s (%d) stopped", process_id, os.getpid())
