"""CPU of what Sekisho decides about a call: authenticate, resolve, authorize, admit and settle, in one process.

`python -m bench.path`. The stages are the product's own, with counters in memory, a journal on disk (level `process`),
five scopes, five hard budgets and five limits. Only `send` is a stub, which answers at once; reading and writing
sockets, translating and signing are not in the figure (`bench` measures all of it). Printed beside it: how long this
machine takes for a fixed piece of Python in the same run, since microseconds of a busy machine say little.
"""

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from bench.bodies import small_call
from sekisho.access.keys import digest, digester
from sekisho.calls.answer import Answer
from sekisho.calls.call import AttemptNote, Call, Trail
from sekisho.calls.gate import Gate, Limits, Outcome, Registry
from sekisho.calls.path import join
from sekisho.calls.reply import Next, Reply, Stage
from sekisho.calls.stages.admit import admit
from sekisho.calls.stages.authenticate import authenticate
from sekisho.calls.stages.authorize import authorize
from sekisho.calls.stages.resolve import resolve
from sekisho.clock import SystemClock, id_text, new_id
from sekisho.ledger.catalog import load_catalog
from sekisho.ledger.counters import Spent
from sekisho.ledger.journal_files import JournalWriter
from sekisho.ledger.windows import span_at
from sekisho.store.counters.memory import MemoryCounters
from sekisho.values import Budget, Delivery, Model, RateLimit, Scope, Snapshot, Usage, VirtualKey, Window

_PEPPER = b"p" * 32
_KEY = "sk-bench-00000000000000000000000000000000"
_CALLS = 4_000
_ROUNDS = 7
_SCOPES = (
    Scope("org", "default"),
    Scope("team", "red"),
    Scope("user", "alice"),
    Scope("key", "alice"),
    Scope("tag", "project:x"),
)


class _Translation:
    """What an answer of 30 tokens leaves behind."""

    stop_reason = "end_turn"
    usage = Usage(300, 0, 0, 0, 30)
    failed = None

    def body(self, cost_nanousd: int) -> bytes:
        return b"{}"


async def _send(gate: Gate, call: Call, next: Next) -> Reply:
    note = AttemptNote(call.known_model.deployments[0], call.started_at, gate.clock.monotonic_us(), status=200)
    call.trail.attempts.append(note)
    translation: Any = _Translation()
    response: Any = None
    return Answer(response, translation, note, call.trail, gate.clock, is_stream=False, limits=gate.limits)


async def _gate(folder: Path) -> Gate:
    clock = SystemClock()
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


_STAGES: tuple[Stage, ...] = (authenticate, resolve, authorize, admit, _send)


def next_of(models: Iterable[Model]) -> Model:
    """The first."""
    return next(iter(models))


def _window_start(budget: Budget, now_us: int) -> int:
    span = span_at(budget.window, now_us)
    assert span
    return span.starts_at


async def _bare(gate: Gate, call: Call, next: Next) -> Reply:
    """A path of nothing but the stub: what the measurement itself costs."""
    model = next_of(gate.registry.models.values())
    reply = await _send(gate, msgspec.structs.replace(call, model=model), next)
    assert isinstance(reply, Answer)
    reply.settle_with(_nothing)
    return reply


async def _nothing(outcome: Outcome) -> int:
    return 0


async def _calls_us(gate: Gate, stages: tuple[Stage, ...]) -> float:
    """CPU microseconds per call."""
    path = join(gate, stages)
    body = small_call()
    headers = {b"authorization": b"Bearer " + _KEY.encode(), b"user-agent": b"bench"}

    async def read_body() -> bytes:
        return body

    began_s = time.process_time()
    for _ in range(_CALLS):
        now_us = gate.clock.now_us()
        call_id = new_id(now_us)
        call = Call(
            id=call_id,
            id_text=id_text(call_id),
            door="anthropic_messages",
            operation="generate",
            started_at=now_us,
            headers=headers,
            read_body=read_body,
            trail=Trail(gate.clock.monotonic_us()),
            body=body,
        )
        reply = await path(call)
        assert isinstance(reply, Answer)
        await reply.whole()
    return (time.process_time() - began_s) / _CALLS * 1e6


def _machine_us() -> float:
    """CPU microseconds of a fixed loop of 100 dictionary writes."""
    began_s = time.process_time()
    for _ in range(_CALLS):
        found = {}
        for number in range(100):
            found[number] = number
    return (time.process_time() - began_s) / _CALLS * 1e6


async def measure() -> dict[str, float]:
    """Medians of the rounds, after one to warm up."""
    with tempfile.TemporaryDirectory(prefix="sekisho-path-") as folder:
        gate = await _gate(Path(folder))
        await _calls_us(gate, _STAGES)
        rounds = []
        for _ in range(_ROUNDS):
            bare_us = await _calls_us(gate, (_bare,))
            rounds.append((await _calls_us(gate, _STAGES) - bare_us, _machine_us()))
        assert gate.counters.open_calls == 0  # type: ignore[attr-defined]
    return {
        "decide_us": round(statistics.median(one for one, _ in rounds), 1),
        "least_us": round(min(one for one, _ in rounds), 1),
        "machine_us": round(statistics.median(one for _, one in rounds), 2),
        "ratio": round(statistics.median(one / machine for one, machine in rounds), 2),
    }


def main() -> None:
    print(json.dumps(asyncio.run(measure())))


if __name__ == "__main__":
    main()
