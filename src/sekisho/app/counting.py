"""Which counters a call process has: its own in memory, or those it shares with others in a Valkey or Redis."""

import os
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from sekisho.access.keys import digest
from sekisho.app.loading import CounterLoader, LedgerReads, SharedCounterLoader
from sekisho.clock import Clock
from sekisho.ledger.counters import Counters
from sekisho.settings import Settings, SettingsError, resolve_secret
from sekisho.store.counters.memory import MemoryCounters
from sekisho.store.counters.valkey_address import ValkeyAddress, parse_valkey_url


@dataclass(frozen=True)
class Counting:
    """Counters, what keeps them loaded, and what must run for that."""

    counters: Counters
    loader: CounterLoader | SharedCounterLoader
    loops: tuple[Callable[[], Coroutine[Any, Any, None]], ...]


def open_counters(settings: Settings, clock: Clock, process_id: str, pepper: bytes, reads: LedgerReads) -> Counting:
    """The counters that the settings ask for. Raises SettingsError."""
    if settings.valkey_url is None:
        memory = MemoryCounters(clock)
        loader = CounterLoader(reads, process_id, memory)
        return Counting(memory, loader, (loader.run,))
    from sekisho.store.counters.valkey import ValkeyCounters  # noqa: PLC0415  only where it is used: start time

    shared = ValkeyCounters(
        valkey_address(settings),
        clock,
        process_id=process_id,
        name=digest(pepper, "counters").hex()[:12],  # the same for all of one installation
        timeout_s=settings.valkey_timeout_s,
        limits_fail_mode=settings.limits_fail_mode,
    )
    shared_loader = SharedCounterLoader(reads, shared)
    return Counting(shared, shared_loader, (shared.run, shared_loader.run))


def valkey_address(settings: Settings) -> ValkeyAddress:
    """Where the shared counters are. Raises SettingsError, which never says the URL: it may hold a password."""
    assert settings.valkey_url is not None
    try:
        return parse_valkey_url(resolve_secret(settings.valkey_url, os.environ))
    except ValueError as error:
        raise SettingsError([f"valkey_url cannot be used: {error}."]) from error
