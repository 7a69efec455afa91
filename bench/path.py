"""CPU of what Sekisho decides about a call, by stage and as a whole, in one process.

`python -m bench.path`. The stages are the product's own, with counters in memory, a journal on disk (level `process`),
five scopes, five hard budgets and five limits. Only `send` is a stub, which answers at once; reading and writing
sockets, translating and signing are not in the figures (`bench` measures all of it). Printed beside them: how long this
machine takes for a fixed piece of Python in the same run, since microseconds of a busy machine say little.

A stage costs what the path costs that is cut short behind it, less what that costs which is cut short before it. `five`
is the sum of authenticate, resolve, authorize, admit and settle. Beside it, and with it the whole: `read`, the body's
JSON and what it says of its agent; `task`, all that finding a call's task costs, in whatever stage; `journal`, the two
records on disk.
"""

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

from bench.bodies import small_call
from sekisho.access.keys import digest, digester
from sekisho.calls.answer import Answer
from sekisho.calls.call import AttemptNote, Call, Operation, Trail
from sekisho.calls.gate import Gate, Limits, Outcome, Registry
from sekisho.calls.path import join
from sekisho.calls.reply import Next, Reply, Stage
from sekisho.calls.stages.admit import admit
from sekisho.calls.stages.authenticate import authenticate
from sekisho.calls.stages.authorize import authorize
from sekisho.calls.stages.resolve import read, resolve
from sekisho.clock import SystemClock, new_ids
from sekisho.ledger.catalog import load_catalog
from sekisho.ledger.counters import JournalPosition, Spent
from sekisho.ledger.journal import Record, Unrecognised
from sekisho.ledger.journal_files import JournalWriter
from sekisho.ledger.windows import span_at
from sekisho.store.counters.memory import MemoryCounters
from sekisho.values import Budget, Delivery, RateLimit, Scope, Snapshot, Usage, VirtualKey, Window

_PEPPER = b"p" * 32
_KEY = "sk-bench-00000000000000000000000000000000"
_AT_ONCE = 16
_BATCHES = 150
_ROUNDS = 9
_SCOPES = (
    Scope("org", "default"),
    Scope("team", "red"),
    Scope("user", "alice"),
    Scope("key", "alice"),
    Scope("tag", "project:x"),
)
_FIVE = ("authenticate", "resolve", "authorize", "admit", "settle")


class _Translation:
    """What an answer of 30 tokens leaves behind."""

    stop_reason = "end_turn"
    usage = Usage(300, 0, 0, 0, 30)
    failed = None
    tools: ClassVar[dict[str, int]] = {}

    def body(self, cost_nanousd: int) -> bytes:
        return b"{}"


class _Clock(SystemClock):
    """A minute of the monotonic clock passes in a tenth of a second, so that calls leave the window of their limits as
    fast as others enter it."""

    def monotonic_us(self) -> int:
        return time.monotonic_ns() * 3 // 5


class _NoDisk:
    """A journal that takes records and keeps none."""

    def __init__(self) -> None:
        self.records = 0

    def append(self, record: Record) -> JournalPosition:
        self.records += 1
        return 1, self.records

    def committed(self) -> None:
        return None


async def _send(gate: Gate, call: Call, next: Next) -> Reply:
    model = call.model or gate.registry.names["claude-sonnet-4-5"]
    note = AttemptNote(model.deployments[0], call.started_at, gate.clock.monotonic_us(), status=200)
    call.trail.attempts.append(note)
    translation: Any = _Translation()
    response: Any = None
    answer = Answer(response, translation, note, call.trail, gate.clock, is_stream=False, limits=gate.limits)
    answer.settle_with(_nothing)
    return answer


def _nothing(outcome: Outcome) -> tuple[int, None]:
    return 0, None


def _read(gate: Gate, call: Call, next: Next) -> Awaitable[Reply]:
    """The half of `resolve` that is not about the model."""
    read(gate, call)
    return next(call)


_PATHS: dict[str, tuple[Stage, ...]] = {
    "none": (_send,),
    "authenticate": (authenticate, _send),
    "read": (authenticate, _read, _send),
    "resolve": (authenticate, resolve, _send),
    "authorize": (authenticate, resolve, authorize, _send),
    "admit": (authenticate, resolve, authorize, admit, _send),
}
"""The path cut short behind each stage."""


async def _gate(folder: Path) -> Gate:
    clock = _Clock()
    key = VirtualKey("alice", "default", digest(_PEPPER, _KEY), user_id="alice", team_id="red", tags=("project:x",))
    budgets = tuple(Budget(f"b{n}", scope, 10**15, Window("month", "Asia/Tokyo")) for n, scope in enumerate(_SCOPES))
    limits = tuple(
        RateLimit(f"l{n}", scope, requests_per_minute=10**7, tokens_per_minute=10**12, parallel=1_000)
        for n, scope in enumerate(_SCOPES)
    )
    models = load_catalog().bedrock_models("us-east-1", "http://127.0.0.1:1", "none")
    registry = Registry()
    registry.deliver(Delivery(Snapshot(1, "default", (key,), models, budgets=budgets, limits=limits), {}))
    counters = MemoryCounters(clock)
    await counters.configure(budgets, limits)
    now_us = clock.now_us()
    await counters.load(tuple(Spent(budget, _window_start(budget, now_us), 0) for budget in budgets), (0, 0))
    return Gate(
        clock=clock,
        registry=registry,
        digest=digester(_PEPPER),
        journal=JournalWriter(folder, "bench"),
        counters=counters,
        upstreams=None,  # type: ignore[arg-type]  # nothing is sent
        limits=Limits(),
    )


def _window_start(budget: Budget, now_us: int) -> int:
    span = span_at(budget.window, now_us)
    assert span
    return span.starts_at


def _maker(gate: Gate, operation: Operation) -> Callable[[], Call]:
    """Makes calls as a door does."""
    body = small_call()
    headers = {b"authorization": b"Bearer " + _KEY.encode(), b"user-agent": b"bench"}

    async def read_body() -> bytes:
        return body

    def call() -> Call:
        now_us = gate.clock.now_us()
        call_id, call_id_text = new_ids(now_us)
        return Call(
            id=call_id,
            id_text=call_id_text,
            door="anthropic_messages",
            operation=operation,
            started_at=now_us,
            headers=headers,
            read_body=read_body,
            trail=Trail(gate.clock.monotonic_us()),
            body=body,
        )

    return call


async def _run(gate: Gate, stages: tuple[Stage, ...], *, finds_tasks: bool = False) -> tuple[float, float]:
    """CPU microseconds per call until it is answered, and for the end of its answer: of the median batch, since others
    on the machine make some batches dear."""
    path, make = join(gate, stages), _maker(gate, "generate" if finds_tasks else "count_tokens")
    begin: list[float] = []
    end: list[float] = []
    for _ in range(_BATCHES):
        began_s = time.process_time()
        replies = [await path(make()) for _ in range(_AT_ONCE)]
        answered_s = time.process_time()
        for reply in replies:
            assert isinstance(reply, Answer)
            await reply.whole()
        end.append(time.process_time() - answered_s)
        begin.append(answered_s - began_s)
    await gate.counters.load((), gate.journal.append(Unrecognised("default", "127.0.0.1", 0, 0, 1)))  # all is booked
    per_call = 1e6 / _AT_ONCE
    return statistics.median(begin) * per_call, statistics.median(end) * per_call


async def _parts_us(gate: Gate) -> dict[str, float]:
    """CPU microseconds per call by part; they add up to the whole."""
    whole = _PATHS["admit"]
    no_disk = replace(gate, journal=_NoDisk())
    runs = {name: await _run(no_disk, stages) for name, stages in _PATHS.items()}
    with_tasks = sum(await _run(no_disk, whole, finds_tasks=True))
    with_journal = sum(await _run(gate, whole, finds_tasks=True))
    parts = {name: runs[name][0] - runs[before][0] for before, name in pairwise(_PATHS)}
    parts["settle"] = runs["admit"][1] - runs["none"][1]
    parts["task"] = with_tasks - sum(runs["admit"])
    parts["journal"] = with_journal - with_tasks
    return parts


def _machine_us() -> float:
    """CPU microseconds of a fixed loop of 100 dictionary writes."""
    loops = 4_000
    began_s = time.process_time()
    for _ in range(loops):
        found = {}
        for number in range(100):
            found[number] = number
    return (time.process_time() - began_s) / loops * 1e6


async def measure() -> dict[str, Any]:
    """Medians of the rounds, after one to warm up."""
    with tempfile.TemporaryDirectory(prefix="sekisho-path-") as folder:
        gate = await _gate(Path(folder))
        await _parts_us(gate)
        rounds = [(await _parts_us(gate), _machine_us()) for _ in range(_ROUNDS)]
        assert gate.counters.open_calls == 0  # type: ignore[attr-defined]
    return {
        "parts_us": {name: round(statistics.median(parts[name] for parts, _ in rounds), 1) for name in rounds[0][0]},
        "machine_us": round(statistics.median(machine for _, machine in rounds), 2),
        "five": _figure([(sum(parts[name] for name in _FIVE), machine) for parts, machine in rounds]),
        "whole": _figure([(sum(parts.values()), machine) for parts, machine in rounds]),
    }


def _figure(rounds: list[tuple[float, float]]) -> dict[str, float]:
    """Microseconds, and how often the fixed loop runs in them."""
    return {
        "us": round(statistics.median(us for us, _ in rounds), 1),
        "least_us": round(min(us for us, _ in rounds), 1),
        "times_the_loop": round(statistics.median(us / machine for us, machine in rounds), 2),
    }


def main() -> None:
    print(json.dumps(asyncio.run(measure()), indent=2))


if __name__ == "__main__":
    main()
