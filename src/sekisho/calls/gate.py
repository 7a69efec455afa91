"""The parts that stages work with, put together once by `app`."""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import msgspec

from sekisho.access.keys import KeyRing, scopes_of
from sekisho.access.policies import EVERYTHING, Allowance
from sekisho.calls.passage import Passage
from sekisho.calls.strangers import Strangers
from sekisho.clock import Clock
from sekisho.conversation.kept import Conversations
from sekisho.conversation.prefix import Prefixes, Texts
from sekisho.conversation.tasks import Tasks
from sekisho.dialects.translation import Translation
from sekisho.errors import StoreUnavailable
from sekisho.ledger.counters import Counters, JournalPosition
from sekisho.ledger.journal import Record, Settled
from sekisho.ledger.learned import Learned
from sekisho.upstream.http1 import Http1Response
from sekisho.upstream.payload import Payload
from sekisho.values import (
    Credential,
    Delivery,
    Deployment,
    Language,
    Model,
    Policy,
    RateLimit,
    Scope,
    Snapshot,
    VirtualKey,
    Wire,
)

if TYPE_CHECKING:
    from sekisho.calls.recording import Recorder

_TRUST_PAUSE_S = 0.05
_KEPT_PASSAGES = 20_000


class Journal(Protocol):
    """Where records become durable. `append` returns once the record survives this process: where it ends.

    `committed` is to be awaited until all that was appended so far survives what the level of durability promises; None
    when it does already. Both raise StoreUnavailable."""

    def append(self, record: Record) -> JournalPosition: ...

    def committed(self) -> Awaitable[None] | None: ...


class TaskSpend(Protocol):
    """Asks the ledger what a task has cost, with all that is in the journals by now."""

    async def read(self, task_id: bytes) -> tuple[int, int]:
        """Nano-USD, with open calls at their bound, and how many calls. Raises StoreUnavailable."""
        ...


class Upstreams(Protocol):
    """Opens a call at a provider. Raises UpstreamRejected, RateLimited, ContextTooLong, UpstreamUnavailable."""

    def open(
        self,
        deployment: Deployment,
        wire: Wire,
        credential: Credential | None,
        body: bytes | Payload,
        *,
        stream: bool,
        betas: tuple[str, ...],
    ) -> Awaitable[Http1Response]: ...

    async def count_tokens(
        self, deployment: Deployment, wire: Wire, credential: Credential | None, body: bytes | Payload
    ) -> int | None:
        """The upstream's own count of the prompt, or None where it offers none."""
        ...


class Registry:
    """The snapshot in force, indexed. Replaced whole; readers never see half of one."""

    def __init__(self) -> None:
        self.keys = KeyRing(())
        self.recognised: dict[bytes, VirtualKey] = {}  # the key of an Authorization header
        self.models: dict[str, Model] = {}
        self.names: dict[str, Model] = {}
        self._passages: dict[tuple[str, str], Passage] = {}
        self._policies: dict[Scope, list[Policy]] = {}
        self._limits: dict[Scope, list[RateLimit]] = {}  # those that cap tasks
        self._soft: set[Scope] = set()  # what has a soft budget
        self._allowances: dict[str, Allowance] = {}
        self.credentials: Mapping[str, Credential] = {}
        self.snapshot: Snapshot | None = None
        self.trusted_until_us: float = math.inf  # on the monotonic clock; others may have changed it by then
        self.on_change: Callable[[], None] = lambda: None  # hears of every snapshot that is put in force
        self._was_trusted = False
        self._ready = asyncio.Event()
        self._delivered = asyncio.Event()

    @property
    def epoch(self) -> int:
        return self.snapshot.epoch if self.snapshot else -1

    def load(self, snapshot: Snapshot) -> None:
        """Put a snapshot in force."""
        names: dict[str, Model] = {}
        for model in snapshot.models:
            for alias in model.aliases:
                names.setdefault(alias, model)
        names.update({model.name: model for model in snapshot.models})
        self.keys = KeyRing(snapshot.keys)
        self.recognised = {}
        self.models = {model.name: model for model in snapshot.models}
        self.names = names
        self._policies = {}
        self._allowances = {}
        self._passages = {}
        self._limits = {}
        for limit in snapshot.limits:
            if limit.nanousd_per_task is not None or limit.calls_per_task is not None:
                self._limits.setdefault(limit.scope, []).append(limit)
        self._soft = {budget.scope for budget in snapshot.budgets if not budget.is_hard}
        for policy in snapshot.policies:
            self._policies.setdefault(policy.scope, []).append(policy)
        self.snapshot = snapshot
        self._ready.set()
        self.on_change()

    def deliver(self, delivery: Delivery) -> None:
        """Put a snapshot in force together with the credentials its deployments need."""
        self.credentials = delivery.credentials
        self.load(delivery.snapshot)
        self._delivered.set()

    async def wait_ready(self, timeout_s: float) -> None:
        """Wait for the first snapshot. Raises StoreUnavailable."""
        if self.snapshot is not None:
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._ready.wait()
        except TimeoutError:
            raise StoreUnavailable("Sekisho is starting and does not know its keys yet. Try again.") from None

    async def wait_trusted(self, clock: Clock, timeout_s: float) -> None:
        """Let a call pass while what is in force is known to be the newest; wait for that a while. Raises
        StoreUnavailable: a key that passes may have been revoked elsewhere."""
        ends_by_us = clock.monotonic_us() + timeout_s * 1_000_000
        while clock.monotonic_us() >= self.trusted_until_us:
            if self._was_trusted or clock.monotonic_us() >= ends_by_us:
                raise StoreUnavailable("Sekisho cannot confirm which keys are valid right now. Try again.")
            await asyncio.sleep(_TRUST_PAUSE_S)
        self._was_trusted = True

    async def get_credential(self, name: str, timeout_s: float) -> Credential:
        """The credential of this name. A process that has just started serves from the snapshot on disk, which holds
        none: it waits for the control plane's first delivery. Raises StoreUnavailable."""
        if name not in self.credentials and not self._delivered.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._delivered.wait(), timeout_s)
        credential = self.credentials.get(name)
        if credential is None:
            raise StoreUnavailable("Sekisho has no credentials for the model provider yet. Try again.")
        return credential

    def allowance(self, key: VirtualKey) -> Allowance:
        """What policies leave to the holder of a key."""
        if not self._policies:
            return EVERYTHING
        known = self._allowances.get(key.id)
        if known is None:
            policies = [policy for scope in scopes_of(key) for policy in self._policies.get(scope, ())]
            known = self._allowances[key.id] = Allowance(policies) if policies else EVERYTHING
        return known

    def find_model(self, name: str) -> Model | None:
        """The model of a public name or alias."""
        return self.names.get(name)

    def passage(self, key: VirtualKey, model: Model) -> Passage:
        """What is known of the calls of a key to a model."""
        known = self._passages.get((key.id, model.name))
        if known is None or known.key is not key or known.asked is not model:
            if len(self._passages) >= _KEPT_PASSAGES:
                self._passages.clear()
            passage = Passage(key, model, self.allowance(key), self._limits, self._soft)
            known = self._passages[key.id, model.name] = passage
        return known


@dataclass(frozen=True, slots=True)
class Limits:
    """How long and how large, in seconds and bytes."""

    start_timeout_s: float = 10.0
    body_timeout_s: float = 60.0
    max_body_bytes: int = 25_000_000
    max_reply_bytes: int = 64_000_000
    first_byte_timeout_s: float = 600.0
    idle_timeout_s: float = 300.0
    call_timeout_s: float = 3600.0
    drain_timeout_s: float = 120.0
    client_send_timeout_s: float = 120.0
    keepalive_s: float = 15.0
    cut_revoked_streams: bool = False
    max_attempts: int = 2
    slow_down_first_s: float = 1.0
    slow_down_most_s: float = 30.0
    most_held_back: int = 500  # calls that wait; each keeps its body in memory
    loop_slow_after: int = 6  # so many times in a row; 0: never
    loop_stop_after: int = 12


@dataclass(frozen=True, slots=True)
class Gate:
    """Everything a stage may use."""

    clock: Clock
    registry: Registry
    digest: Callable[[str], bytes]
    journal: Journal
    counters: Counters
    upstreams: Upstreams
    limits: Limits
    language: Language = "en"
    process_id: str = ""
    conversations: Conversations = field(default_factory=Conversations)
    learned: Learned = field(default_factory=Learned)
    held_back: set[bytes] = field(default_factory=set)  # calls that a budget lets wait
    owed: deque[Settled] = field(default_factory=deque)  # settlements that the journal could not take yet
    strangers: Strangers = field(default_factory=Strangers)
    recorder: "Recorder | None" = None  # of content; without one nothing is kept
    tasks: Tasks = field(default_factory=Tasks)
    task_spend: TaskSpend | None = None  # what tasks have cost; without it caps are not known, and refuse
    prefixes: Prefixes = field(default_factory=Prefixes)
    prefix_texts: Texts = field(default_factory=Texts)

    def settle(self, settled: Settled) -> Awaitable[None] | None:
        """Book the end of a call; what is to be awaited until it is durable, None when it is already.

        Raises StoreUnavailable when it is not durable; it stays owed and is booked later. Nobody waits for the end of a
        call that failed to be committed: should it be lost, the call counts at its bound."""
        if self.owed:
            self.owed.append(settled)
            return self._settle_after(self.pay_owed(), settled)
        booked = self._book(settled)
        if booked is not None:
            return self._settle_after(booked, settled)
        return None if settled.error else self.journal.committed()

    async def _settle_after(self, booked: Awaitable[None], settled: Settled) -> None:
        await booked
        if not settled.error and (committed := self.journal.committed()) is not None:
            await committed

    def record_strangers(self, *, at_once: bool = False) -> None:
        """Journal how often keys that are not known were tried. Raises StoreUnavailable; the count is then lost."""
        org_id = self.registry.snapshot.org_id if self.registry.snapshot else ""
        for record in self.strangers.take(org_id, self.clock.now_us(), at_once=at_once):
            self.journal.append(record)

    async def pay_owed(self) -> None:
        """Book what is owed, oldest first; budgets and limits hear of it then. Raises StoreUnavailable."""
        while self.owed:
            if (booked := self._book(self.owed.popleft())) is not None:
                await booked

    def _book(self, settled: Settled) -> Awaitable[None] | None:
        """Journal it and tell the counters; what is to be awaited of that, if anything."""
        try:
            position = self.journal.append(settled)
        except StoreUnavailable:
            self.owed.appendleft(settled)
            raise
        call_id, cost, tokens = settled.call_id, settled.cost_nanousd, settled.usage.total_tokens
        if self.counters.settle_at_once(call_id, cost, tokens, position):
            return None
        return self.counters.settle(call_id, cost, tokens, position)


Settle = Callable[["Outcome"], tuple[int, Awaitable[None] | None]]
"""Books the end of a call: what it cost, and what is to be awaited until that is durable, None when it is already."""


class Outcome(msgspec.Struct, eq=False):
    """How an answer ended. `error` and `message` are empty if it ended well."""

    translation: Translation | None
    error: str = ""
    message: str = ""
    client_left: bool = False
    is_abandoned: bool = False
