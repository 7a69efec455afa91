"""Counters that several call processes share, in a Valkey or Redis; implements `ledger.counters.SharedCounters`.

Above: the admit stage and the loader. Below: one pipelined connection and the scripts in `scripts/`, each of which is
one atomic step: one round trip to admit, one to settle. Money, windows and what a refusal says are worked out here.
What this process admitted it also remembers itself: so a settlement is never lost with the store, and limits are known
again after a loss. Why each nano-USD is counted once, whatever is lost: docs/why/counters.md
"""

import asyncio
import hashlib
import logging
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from importlib import resources
from itertools import islice
from typing import Any, Final, Literal, Protocol

import libvalkey

from sekisho.clock import Clock
from sekisho.errors import StoreUnavailable
from sekisho.ledger.counters import (
    Admitted,
    Demand,
    Due,
    JournalPosition,
    LimitKind,
    LimitUse,
    LoadTicket,
    Look,
    OpenCall,
    Spent,
    Standing,
    TaskDemand,
    TaskFull,
    TaskNotLoaded,
    TooFast,
    Verdict,
)
from sekisho.store.counters.memory import MemoryCounters
from sekisho.store.counters.valkey_address import ValkeyAddress
from sekisho.store.counters.valkey_client import Reply, ServerError, ValkeyClient
from sekisho.store.counters.valkey_plans import (
    MOST,
    KnownBudget,
    Plan,
    Plans,
    bulk,
    refusal,
    scope_text,
    task_name,
    who_text,
)
from sekisho.values import Budget, RateLimit

log = logging.getLogger(__name__)

FailMode = Literal["closed", "open"]
Ask = Callable[[bytes], Awaitable[Reply]]


class Run(Protocol):
    """Runs a script of ours with these words."""

    def __call__(self, script: str, /, *words: bytes) -> Awaitable[Reply]: ...


ADMISSION_VALID_S: Final = 1.0  # beyond the wait for a reply: the time to make the open record durable
_MINUTE_US = 60_000_000
_SECOND_US = 1_000_000
_LONGEST_WAIT_S = 59
_SETTLING_S = 2.0
_PAID_AT_ONCE = 500
_CHUNK = 400  # budgets in one step of a load or a look: some milliseconds of the store's time
_OFFSET_BITS = 27  # a segment of the journal is shorter than this
_KINDS: tuple[LimitKind, ...] = ("requests", "tokens", "parallel")
_SCRIPTS = (
    *("hello", "admit", "settle", "settle_late", "release"),
    "load_task",
    *("begin_load", "load", "standings", "look", "configure", "join", "forget"),
)
_BAD_POLICIES = b"allkeys-", b"volatile-"


class _Call:
    """A call that this process admitted. `at`: when, on the store's clock, b"" if without it."""

    __slots__ = ("admitted_at", "at", "demand", "is_open", "local", "tokens")

    def __init__(self, demand: Demand, admitted_at: int, at: bytes, local: bool = False) -> None:
        self.demand = demand
        self.admitted_at = admitted_at
        self.at = at
        self.tokens = demand.tokens
        self.is_open = True
        self.local = local


class _Owed:
    """What the store has not heard yet: a settlement, or (cost below 0) a release."""

    __slots__ = ("call", "call_id", "cost", "position")

    def __init__(self, call_id: bytes, call: _Call | None, cost: int = -1, position: int = 0) -> None:
        self.call_id = call_id
        self.call = call
        self.cost = cost
        self.position = position


class ValkeyCounters:
    """One process's way to the shared counters. For one event loop; `run` keeps it connected.

    `name` sets an installation's keys apart from others on the same server. `limits_fail_mode` says what becomes of
    calls under limits while the store cannot be reached; hard budgets always refuse then. `shared_us`: a clock that all
    processes share, for tests; without it the server's own."""

    are_shared = True

    def __init__(
        self,
        address: ValkeyAddress,
        clock: Clock,
        *,
        process_id: str,
        name: str,
        timeout_s: float = 0.5,
        limits_fail_mode: FailMode = "closed",
        shared_us: Callable[[], int] | None = None,
    ) -> None:
        self._clock = clock
        self._process_id = process_id
        self._process = process_id.encode()
        self._key = f"sekisho:{{{name}}}".encode()
        self._limits_fail_mode = limits_fail_mode
        self._shared_us = shared_us
        self._client = ValkeyClient(address, timeout_s=timeout_s, greet=self._greet)
        self._sources = _sources()
        self._heads = {
            name: b"$7\r\nEVALSHA\r\n" + bulk(hashlib.sha1(source).hexdigest().encode()) + b"$1\r\n1\r\n"
            + bulk(self._key) + bulk(self._process)
            for name, source in self._sources.items()
        }  # fmt: skip
        self._generation = 0
        self._connection = bulk(b"0")
        self._data = b""
        self._epoch = 0
        self._plans = Plans()
        self._local = MemoryCounters(clock)
        self._open: dict[bytes, _Call] = {}
        self._recent: deque[tuple[int, _Call]] = deque()  # admitted in the last minute of this process's clock
        self._owed: deque[_Owed] = deque()
        self._has_debt = asyncio.Event()
        self.load_wanted = asyncio.Event()
        self.admission_valid_us = int((timeout_s + ADMISSION_VALID_S) * _SECOND_US)

    # The life of the connection.

    @property
    def failure(self) -> str:
        """Why the store cannot be used now; empty while it can."""
        return self._client.failure

    @property
    def owed(self) -> int:
        """Settlements and releases that the store has not heard of yet."""
        return len(self._owed)

    @property
    def open_calls(self) -> int:
        """Calls that this process admitted and neither settled nor released."""
        return len(self._open)

    async def run(self) -> None:
        """Stay connected, and tell the store what it is owed."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._client.run())
            group.create_task(self._pay())

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    async def _greet(self, client: ValkeyClient) -> None:
        """Introduce this process on a new connection: from here on nothing counts that an older one sent.

        Raises ServerError or StoreUnavailable when the server cannot be used."""
        ask = client.ask_first
        info = await ask(_pack("INFO", "memory"))
        policy = _field(info, b"maxmemory_policy")
        if policy.startswith(_BAD_POLICIES):
            raise StoreUnavailable(
                f"its maxmemory-policy is {policy.decode()}: it may drop counts. Set it to noeviction"
            )
        run_id = _field(await ask(_pack("INFO", "server")), b"run_id")
        for source in self._sources.values():
            await ask(_pack("SCRIPT", "LOAD", source))
        await self._introduce(ask, run_id)
        while self._owed:
            await self._pay_some(partial(self._run_with, ask))

    async def _introduce(self, ask: Ask, run_id: bytes) -> None:
        self._generation += 1
        self._connection = bulk(b"%d" % self._generation)
        run = partial(self._run_with, ask)
        data: bytes = await run("hello", run_id, secrets.token_hex(6).encode())
        is_new = data != self._data
        self._data = data
        await self._push_configuration(run)
        if is_new:
            await self._join(run, range(len(self._plans.limits)))
            self.load_wanted.set()

    async def _run(self, script: str, *words: bytes) -> Reply:
        """The reply of a script. Raises StoreUnavailable for whatever goes wrong."""
        if not self._client.is_connected:
            await self._client.wait_connected()
        return await self._ask(self._packed(script, *words))

    async def _run_with(self, ask: Ask, script: str, *words: bytes) -> Reply:
        return await ask(self._packed(script, *words))

    async def _ask(self, packed: bytes) -> Reply:
        try:
            return await self._client.ask(packed)
        except ServerError as error:
            log.error("the counter store refused a request: %s", error)
            self._client.reconnect()  # it may be a replica by now, or have lost its scripts
            raise StoreUnavailable("The counters of budgets and limits cannot be used right now. Try again.") from error

    def _packed(self, script: str, *words: bytes) -> bytes:
        """One call of a script, from this process on its present connection."""
        head = self._heads[script]
        return b"*%d\r\n%b%b%b" % (len(words) + 6, head, self._connection, b"".join([bulk(word) for word in words]))

    # What the path asks.

    def admit_at_once(self, demand: Demand) -> Verdict | None:
        return None

    def settle_at_once(self, call_id: bytes, cost_nanousd: int, tokens: int, position: JournalPosition) -> bool:
        return False

    async def admit(self, demand: Demand) -> Verdict:
        now_us = self._clock.now_us()
        plan = self._plans.at(demand.scopes, demand.model, now_us)
        try:
            if not self._client.is_connected:
                await self._client.wait_connected()
        except StoreUnavailable:
            return await self._admit_locally(demand, plan, now_us)
        try:
            reply = await self._ask(self._admission(demand, plan, now_us, b"1" if demand.heeds_steps else b"0"))
        except StoreUnavailable:
            self._owe(_Owed(demand.call_id, None))  # nobody knows whether it was admitted
            return await self._admit_locally(demand, plan, now_us)
        except asyncio.CancelledError:
            self._owe(_Owed(demand.call_id, None))
            raise
        return self._verdict(demand, plan, now_us, reply)

    def _admission(self, demand: Demand, plan: Plan, now_us: int, how: bytes) -> bytes:
        call_id = demand.call_id
        tail, arguments = (plan.tail, plan.tail_arguments) if demand.task is None else plan.tail_with(demand.task)
        return b"*%d\r\n%b%b$%d\r\n%b\r\n%b%b%b%b%b%b%b" % (
            arguments + 13,
            self._heads["admit"],
            self._connection,
            len(call_id),
            call_id,
            bulk(b"%d" % now_us),
            bulk(b"%d" % self._shared_us() if self._shared_us else b""),
            bulk(b"%d" % demand.bound_nanousd),
            bulk(b"%d" % demand.estimate_nanousd),
            bulk(b"%d" % demand.tokens),
            bulk(how),
            tail,
        )

    async def look(self, demand: Demand) -> Look:
        now_us = self._clock.now_us()
        plan = self._plans.at(demand.scopes, demand.model, now_us)
        at = b"%d" % self._shared_us() if self._shared_us else b""
        try:
            if not self._client.is_connected:
                await self._client.wait_connected()
            reply = await self._ask(self._admission(demand, plan, now_us, b"3" if demand.heeds_steps else b"2"))
            verdict = Admitted(now_us, reply[1]) if reply[0] == 0 else self._refusal(demand, plan, now_us, reply)
            used = await self._run("look", at, *(one.arguments[0].encode() for one in plan.limits))
        except StoreUnavailable:
            return Look()
        uses = (LimitUse.of(one.limit, *used[3 * n : 3 * n + 3]) for n, one in enumerate(plan.limits) if used)
        return Look(verdict, tuple(uses))

    def _verdict(self, demand: Demand, plan: Plan, now_us: int, reply: list[Any]) -> Verdict:
        if reply[0] == 0:
            self._remember(_Call(demand, now_us, b"%d" % (reply[2] or 0)))
            return Admitted(now_us, reply[1])
        return self._refusal(demand, plan, now_us, reply)

    def _refusal(self, demand: Demand, plan: Plan, now_us: int, reply: list[Any]) -> Verdict:
        kind = reply[0]
        if kind == 1:
            if demand.task is not None:
                task_room = reply.pop()
                if all(room is not None and room >= demand.bound_nanousd for room in reply[1:]):
                    return _task_refusal(demand.task, task_room)
            refused = refusal(plan.hard, reply[1:], demand.bound_nanousd, now_us)
            if None in reply:
                self.load_wanted.set()
            return refused
        if kind == 2:
            waits = [(reply[place + 2], reply[place], reply[place + 1]) for place in range(1, len(reply), 3)]
            wait_us, number, sort = max(waits, key=lambda one: one[0])
            retry_after_s = min(-(-wait_us // _SECOND_US), _LONGEST_WAIT_S)
            return TooFast(plan.limits[number].limit, _KINDS[sort], retry_after_s)
        if kind == 3:
            passed = [plan.present[reply[place]].passed(reply[place + 1], now_us) for place in range(1, len(reply), 2)]
            return Due(tuple(sorted(passed, key=lambda one: one.budget.id)))
        if kind == 4 and demand.task is not None and demand.task.calls is not None:
            return TaskFull(demand.task.calls, "calls")
        self._client.reconnect()  # its data were removed under this connection
        raise StoreUnavailable("The counters of budgets and limits were lost and are read again. Try again.")

    async def load_task(self, task_id: bytes, spent_nanousd: int, calls: int) -> None:
        said = await self._run("load_task", task_name(task_id), b"%d" % min(spent_nanousd, MOST), b"%d" % calls)
        if said == -1:
            self._client.reconnect()
            raise StoreUnavailable("The counters of budgets and limits were lost and are read again. Try again.")

    async def settle(self, call_id: bytes, cost_nanousd: int, tokens: int, position: JournalPosition) -> None:
        call = self._open.pop(call_id, None)
        if call is None:
            return
        call.is_open, call.tokens = False, tokens
        if call.local:
            await self._local.settle(call_id, cost_nanousd, tokens, position)
        await self._tell(_Owed(call_id, call, cost_nanousd, _number(position)))

    async def release(self, call_id: bytes) -> None:
        call = self._open.pop(call_id, None)
        if call is None:
            return
        call.is_open, call.tokens = False, 0
        if call.local:
            await self._local.release(call_id)
        else:
            await self._tell(_Owed(call_id, call))

    async def _admit_locally(self, demand: Demand, plan: Plan, now_us: int) -> Verdict:
        """What is declared for the time without the store. Raises StoreUnavailable where that is to refuse."""
        if plan.hard or demand.task is not None or (plan.limits and self._limits_fail_mode == "closed"):
            raise StoreUnavailable("The counters of budgets and limits cannot be reached right now. Try again.")
        verdict = await self._local.admit(demand)
        if isinstance(verdict, Admitted):
            self._remember(_Call(demand, now_us, b"", local=True))
            return Admitted(now_us)
        return verdict

    def _remember(self, call: _Call) -> None:
        self._open[call.demand.call_id] = call
        now_us = self._clock.monotonic_us()
        recent = self._recent
        recent.append((now_us, call))
        while recent[0][0] <= now_us - _MINUTE_US:
            recent.popleft()

    # What the store is owed.

    async def _tell(self, owed: _Owed) -> None:
        """Tell the store now; if that fails, as soon as it can be reached."""
        if not self._client.is_connected:
            self._owe(owed)
            return
        try:
            await self._say(self._run, owed)
        except StoreUnavailable:
            self._owe(owed)
        except asyncio.CancelledError:
            self._owe(owed)
            raise

    async def _say(self, run: Run, owed: _Owed) -> None:
        """Saying it again changes nothing."""
        call = owed.call
        if owed.cost < 0 or call is None:
            await run("release", owed.call_id)
            return
        known = 0
        numbers = b"%d" % owed.cost, b"%d" % call.tokens, b"%d" % owed.position
        if not call.local:
            known = await run("settle", owed.call_id, *numbers)
        if not known:
            demand = call.demand
            plan = self._plans.at(demand.scopes, demand.model, self._clock.now_us())
            cells = [(known.name.encode(), b"%d" % span.starts_at) for known, span in plan.cells(call.admitted_at)]
            words = [b"%d" % call.admitted_at, plan.who.encode(), b"%d" % len(cells)]
            words += (word for cell in cells for word in cell)
            await run("settle_late", owed.call_id, numbers[0], numbers[2], *words)

    def _owe(self, owed: _Owed) -> None:
        self._owed.append(owed)
        self._has_debt.set()

    async def _pay(self) -> None:
        while True:
            await self._has_debt.wait()
            try:
                while self._owed:
                    await self._pay_some(self._run)
                self._has_debt.clear()
            except StoreUnavailable:
                await asyncio.sleep(0.05)

    async def _pay_some(self, run: Run) -> None:
        """Tell of the oldest, many at once. Raises what stops it; saying it again changes nothing."""
        some = list(islice(self._owed, _PAID_AT_ONCE))
        for failure in await asyncio.gather(*(self._say(run, owed) for owed in some), return_exceptions=True):
            if failure is not None:
                raise failure
        for owed in some:
            if self._owed and self._owed[0] is owed:  # a new connection may have told of it meanwhile
                self._owed.popleft()

    # Configuration.

    async def configure(self, budgets: tuple[Budget, ...], limits: tuple[RateLimit, ...], epoch: int = 0) -> None:
        before = {limit.arguments for limit in self._plans.limits}
        self._plans = Plans(budgets, limits)
        self._epoch = epoch
        await self._local.configure((), limits)
        self.load_wanted.set()
        if not self._client.is_connected:
            return  # what is in force is said to every new connection
        try:
            await self._push_configuration(self._run)
            changed = [number for number, one in enumerate(self._plans.limits) if one.arguments not in before]
            await self._join(self._run, changed)
        except StoreUnavailable as error:
            log.warning("the counter store will hear of changed budgets when it can be reached: %s", error.message)

    async def _push_configuration(self, run: Run) -> None:
        await run("configure", b"%d" % self._epoch, *(name.encode() for name in self._plans.budgets))

    async def _join(self, run: Run, numbers: Iterable[int]) -> None:
        """Count what this process admitted in the last minute, and what is open, in these limits too."""
        limits = [self._plans.limits[number] for number in numbers]
        if not limits:
            return
        calls = {id(call): call for call in self._open.values()} | {id(call): call for _, call in self._recent}
        words: list[bytes] = [b"%d" % len(limits), *(word.encode() for limit in limits for word in limit.arguments)]
        for call in calls.values():
            under = [
                b"%d" % number
                for number, one in enumerate(limits)
                if one.limit.scope in call.demand.scopes and one.limit.model in ("", call.demand.model)
            ]
            if under:
                is_open = b"1" if call.is_open else b"0"
                words += (call.demand.call_id, call.at, b"%d" % call.tokens, is_open, b"%d" % len(under), *under)
        await run("join", *words)

    # Loading.

    async def load(self, spent: tuple[Spent, ...], booked: JournalPosition) -> None:
        """As the contract says, for a store on which nothing is open that this process did not admit."""
        ticket = await self.begin_load(is_urgent=True)
        assert ticket is not None
        await self.load_ledger(spent, {self._process_id: booked}, (), ticket)

    async def begin_load(self, *, is_urgent: bool = False) -> LoadTicket | None:
        """Leave to read the ledger now; None when another process does it or has just done it.

        Raises StoreUnavailable."""
        self.load_wanted.clear()
        if not is_urgent and self._client.connected_s < _SETTLING_S:
            return None  # others may not have said yet what they owe, which the ledger has already
        reply = await self._run("begin_load", b"1" if is_urgent else b"0")
        if reply[0] == -1:
            self._client.reconnect()
            raise StoreUnavailable("The counters were lost.")
        data, loads, is_loaded, may = reply
        return LoadTicket(data, loads, not is_loaded) if may else None

    async def load_ledger(
        self,
        spent: tuple[Spent, ...],
        booked: Mapping[str, JournalPosition | None],
        open_calls: tuple[OpenCall, ...],
        ticket: LoadTicket,
    ) -> bool:
        """Put in one consistent ledger read, made after `ticket` was given; whether it was taken.

        `booked`: how far the journal of each process is in it, None for one that has ended. Raises StoreUnavailable."""
        positions = "".join(
            f"\n{process}={MOST if position is None else _number(position)}" for process, position in booked.items()
        )
        sums: dict[str, dict[int, int]] = {}
        names = {(known.budget.id, known.name): known for known in self._plans.budgets.values()}
        for one in spent:
            known = KnownBudget(one.budget)
            span = known.span_at(one.window_starts_at)
            if (known.budget.id, known.name) in names and span and span.starts_at == one.window_starts_at:
                sums.setdefault(known.name, {})[span.starts_at] = one.spent_nanousd
        chunk = len(sums) or 1 if ticket.is_lost else _CHUNK
        parts = [list(sums)[start : start + chunk] for start in range(0, len(sums), chunk)] or [[]]
        for number, part in enumerate(parts):
            is_last = number == len(parts) - 1
            said = await self._load_part({name: sums[name] for name in part}, positions, open_calls, ticket, is_last)
            if said != b"ok":
                log.debug("a read of the ledger was not taken: %s", said.decode())
                return False
        return True

    async def forget(self) -> None:
        """Take what is counted for lost, so that it is read from the ledger. Raises StoreUnavailable."""
        await self._run("forget")
        self._client.reconnect()

    async def sweep(self) -> None:
        """Remove what earlier lives of the data have left. Raises StoreUnavailable."""
        await self._client.wait_connected()
        kept, cursor = b"%b:%b:" % (self._key, self._data), b"0"
        while True:
            cursor, keys = await self._ask(_pack("SCAN", cursor, "MATCH", self._key + b":*", "COUNT", "500"))
            if old := [key for key in keys if not key.startswith(kept)]:
                await self._ask(_pack("UNLINK", *old))
            if cursor == b"0":
                return

    async def _load_part(
        self,
        sums: Mapping[str, Mapping[int, int]],
        positions: str,
        open_calls: tuple[OpenCall, ...],
        ticket: LoadTicket,
        is_last: bool,
    ) -> bytes:
        windows: dict[str, dict[int, tuple[int, int]]] = {}
        now_us = self._clock.now_us()
        for name, by_start in sums.items():
            known = self._plans.budgets[name]
            windows[name] = {}
            for at_us in (*by_start, now_us):
                if (span := known.span_at(at_us)) and span.starts_at >= min(by_start):
                    windows[name][span.starts_at] = (span.ends_at, by_start.get(span.starts_at, 0))
        calls = open_calls if ticket.is_lost else ()
        while True:
            words = [
                *(ticket.data, b"%d" % ticket.loads, b"1" if ticket.is_lost else b"0", b"1" if is_last else b"0"),
                *(positions.encode(), b"%d" % len(windows)),
            ]
            for name, spans in windows.items():
                words += _budget_words(self._plans.budgets[name], min(sums[name]), spans)
            words.append(b"%d" % len(calls))
            for call in calls:
                who = who_text(call.scopes, call.model).encode()
                words += (call.call_id, call.process.encode(), b"%d" % call.admitted_at)
                words += (b"%d" % min(call.bound_nanousd, MOST), who)
            said: Reply = await self._run("load", *words)
            if isinstance(said, bytes):
                return said
            for place in range(0, len(said), 2):
                name = said[place].decode()
                span = self._plans.budgets[name].span_at(int(said[place + 1]))
                assert span is not None  # the script asks only for times before the last window's end
                windows[name].setdefault(span.starts_at, (span.ends_at, 0))

    async def standings(self) -> tuple[Standing, ...]:
        now_us = self._clock.now_us()
        cells = [(known, span) for known in self._plans.budgets.values() if (span := known.span_at(now_us))]
        standings: list[Standing] = []
        for start in range(0, len(cells), _CHUNK):
            part = cells[start : start + _CHUNK]
            words = (w for known, span in part for w in (known.name.encode(), b"%d" % span.starts_at))
            found: list[bytes | None] = await self._run("standings", *words) or [None for _ in range(4 * len(part))]
            for number, (known, span) in enumerate(part):
                known_from, spent, bounds, estimates = found[4 * number : 4 * number + 4]
                standings.append(
                    Standing(
                        budget=known.budget,
                        window_starts_at=span.starts_at,
                        window_ends_at=span.ends_at,
                        spent_nanousd=int(spent or 0),
                        reserved_nanousd=int((bounds if known.budget.is_hard else estimates) or 0),
                        is_loaded=known_from is not None and int(known_from) <= span.starts_at,
                    )
                )
        return tuple(standings)


def _budget_words(known: KnownBudget, first: int, spans: Mapping[int, tuple[int, int]]) -> list[bytes]:
    window = known.budget.window
    words = [known.name.encode(), scope_text(known.budget.scope).encode(), known.budget.model.encode()]
    words += [b"%d" % number for number in (first, window.ends_at if window.kind == "fixed" else MOST, len(spans))]
    for starts_at, (ends_at, spent) in spans.items():
        words += [b"%d" % number for number in (starts_at, ends_at, spent)]
    return words


def _task_refusal(task: TaskDemand, room: int | None) -> TaskFull | TaskNotLoaded:
    if room is None:
        return TaskNotLoaded(task.id)
    assert task.cost is not None  # without a cap on cost there is always room
    return TaskFull(task.cost, "cost", max(room, 0))


def _number(position: JournalPosition) -> int:
    """A place in a journal as one number that sorts alike."""
    segment, offset = position
    return min((segment << _OFFSET_BITS) + offset, MOST - 1)


def _pack(*command: str | bytes) -> bytes:
    packed: bytes = libvalkey.pack_command(command)
    return packed


def _field(info: bytes, name: bytes) -> bytes:
    """One field of the server's INFO; empty where a server does not tell."""
    return info.partition(name + b":")[2].partition(b"\r\n")[0].strip()


def _sources() -> dict[str, bytes]:
    folder = resources.files("sekisho.store.counters") / "scripts"
    prelude = (folder / "prelude.lua").read_bytes()
    return {name: prelude + (folder / f"{name}.lua").read_bytes() for name in _SCRIPTS}
