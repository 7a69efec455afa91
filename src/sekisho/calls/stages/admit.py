"""Hold the call's highest possible cost against every budget and limit, all or none; settle it at its exact cost.

Nothing is sent upstream before the open record is durable, and no client sees the end of its answer before the settled
record is. A call whose end is never booked here (the process was killed) is settled from the journal as interrupted.
"""

import asyncio
import logging
from collections.abc import Awaitable
from functools import partial

from msgspec.structs import replace

from sekisho.calls.acting import acted_on, hold_back
from sekisho.calls.answer import Answer
from sekisho.calls.breaking import slow_or_stop
from sekisho.calls.budgeting import audience_of, ending_words, refusal
from sekisho.calls.caching import caching_of
from sekisho.calls.call import AttemptNote, Call, Trail
from sekisho.calls.ceiling import (
    ceiling_nanousd,
    counted,
    keep_anchor,
    least_nanousd,
    may_be_counted,
    measure,
    shortened,
)
from sekisho.calls.gate import Gate, Outcome
from sekisho.calls.reply import Next, Reply
from sekisho.calls.stages.count import count_prompt
from sekisho.calls.tasking import ended, load_task, note_of, task_demand
from sekisho.conversation.kept import WORTH_BYTES
from sekisho.errors import Internal, SekishoError, StoreUnavailable
from sekisho.ledger.anchor import Prompt
from sekisho.ledger.bound import bound_nanousd
from sekisho.ledger.cost import class_costs_nanousd
from sekisho.ledger.counters import Admitted, Demand, Due, NoRoom, NotLoaded, TaskFull, TaskNotLoaded, Verdict
from sekisho.ledger.journal import Attempt, Opened, Settled
from sekisho.values import END_OF_TIME, Usage

log = logging.getLogger(__name__)

_LOADING_PAUSE_S = 0.05
_BYTES_PER_TOKEN = 4  # a guess for token limits, corrected when the call is settled; money never rests on it
_COUNT_S = 5.0
_MOST_TRIES = 8  # while others take the room that was left
_NO_COSTS = (0, 0, 0, 0)  # by class of tokens


async def admit(gate: Gate, call: Call, next: Next) -> Reply:
    delayed_ms = await slow_or_stop(gate, call) if call.task.repetition is not None else 0
    _bounded(call, measure(gate, call), gate.limits.max_attempts)
    demand, verdict = _ask(gate, call, heeds_steps=True)
    if isinstance(verdict, Admitted):  # nearly every call
        admitted, opened = call, _opened(call, verdict, delayed_ms)
    else:
        admitted, opened = await _fitted(gate, call, demand, verdict, delayed_ms)
    try:
        gate.journal.append(opened)
    except StoreUnavailable:
        await gate.counters.release(call.id)
        raise
    call.trail.is_opened = True
    if len(call.chain.body) >= WORTH_BYTES:
        gate.conversations.keep(call.owner, call.id, call.chain)
    try:
        if (committed := gate.journal.committed()) is not None:
            await committed
        valid_us = gate.counters.admission_valid_us
        if valid_us < END_OF_TIME and gate.clock.monotonic_us() - call.trail.asked_us > valid_us:
            raise StoreUnavailable("The call could not be recorded in time. Try again.")
        reply = await next(admitted)
    except Exception as cause:  # also a fault of ours: what was opened is settled, whatever happens
        error = cause if isinstance(cause, SekishoError) else Internal()
        _, booked = _settle(gate, admitted, Outcome(None, error.code, error.message))
        if booked is not None:
            await booked
        raise
    if isinstance(reply, Answer):
        reply.settle_with(partial(_settle, gate, admitted))
    return reply


async def admission(gate: Gate, call: Call) -> tuple[Call, Opened]:
    """The call as it may be sent, with everything held that it needs, and its record. Raises what refuses it."""
    _bounded(call, measure(gate, call), gate.limits.max_attempts)
    demand, verdict = _ask(gate, call, heeds_steps=True)
    return await _fitted(gate, call, demand, verdict, 0)


def _ask(gate: Gate, call: Call, *, heeds_steps: bool) -> tuple[Demand, Verdict | None]:
    """What the call asks of the counters, and what they say to that at once."""
    passage, bound = call.known_passage, call.bound_nanousd
    model = passage.model.name
    estimate = gate.learned.cost_nanousd(call.agent.name, model, bound) if passage.has_soft_budgets else bound
    tokens = len(call.body) // _BYTES_PER_TOKEN + call.max_output_tokens
    task = task_demand(gate, call) if passage.caps_tasks else None
    demand = Demand(call.id, passage.scopes, model, bound, estimate, tokens, heeds_steps, task)
    call.trail.asked_us = gate.clock.monotonic_us()
    return demand, gate.counters.admit_at_once(demand)


async def _fitted(gate: Gate, call: Call, demand: Demand, verdict: Verdict | None, held_ms: int) -> tuple[Call, Opened]:
    """As `admission`, for a call that was asked for. `held_ms`: how long it was held back before."""
    heeds_steps, delayed_ms = True, held_ms
    for attempt in range(_MOST_TRIES):
        if attempt:
            demand, verdict = _ask(gate, call, heeds_steps=heeds_steps)
        if verdict is None or isinstance(verdict, NotLoaded):
            verdict = await _verdict(gate, call.trail, demand)
        if isinstance(verdict, TaskNotLoaded):
            await load_task(gate, verdict)
            continue
        if isinstance(verdict, Admitted):
            return call, _opened(call, verdict, delayed_ms)
        if isinstance(verdict, Due):
            heeds_steps = False
            stepped = acted_on(gate, call, verdict)
            if stepped.known_model is not call.known_model:
                call = _bounded(stepped, measure(gate, stepped), gate.limits.max_attempts)
            delayed_ms = held_ms + await hold_back(gate, call, verdict)
            continue
        smaller = await _smaller(gate, call, verdict) if isinstance(verdict, NoRoom | TaskFull) else None
        if smaller is None:
            break
        call = smaller
    assert verdict is not None and not isinstance(verdict, Admitted | Due)
    if isinstance(verdict, TaskNotLoaded):
        raise StoreUnavailable("What this task has cost so far cannot be read right now. Try again.")
    raise refusal(verdict, audience_of(gate, call))


async def _smaller(gate: Gate, call: Call, verdict: NoRoom | TaskFull) -> Call | None:
    """The call with a bound that fits into the room: without a second attempt, by a count of its prompt, with a shorter
    answer. None if it cannot be made to fit."""
    room = verdict.room_nanousd
    if call.attempts > 1 and ceiling_nanousd(call, call.prompt, 1, call.max_output_tokens) <= room:
        return _bounded(call, call.prompt, 1)
    if may_be_counted(call) and least_nanousd(gate, call) <= room:
        call = await _counted(gate, call)
        if call.prompt.is_counted and ceiling_nanousd(call, call.prompt, 1, call.max_output_tokens) <= room:
            return _bounded(call, call.prompt, 1)
    shorter = shortened(gate, call, call.prompt, room)
    if shorter is None:
        return None
    return replace(_bounded(shorter, shorter.prompt, 1), ending=ending_words(verdict, audience_of(gate, call)))


async def _counted(gate: Gate, call: Call) -> Call:
    """The call with its prompt counted by its provider, if that answers in time."""
    asked_us = gate.clock.monotonic_us()
    try:
        async with asyncio.timeout(_COUNT_S):
            tokens, _ = await count_prompt(gate, call)
    except (SekishoError, TimeoutError) as error:  # such as a model that its provider does not count for
        log.info("the prompt of call %s was not counted: %s", call.id_text, error)
        return call
    finally:
        call.trail.waited_us += gate.clock.monotonic_us() - asked_us
    return call if tokens is None else replace(call, prompt=counted(call.prompt, tokens))


def _bounded(call: Call, prompt: Prompt, attempts: int) -> Call:
    call.bound_nanousd = ceiling_nanousd(call, prompt, attempts, call.max_output_tokens)
    call.prompt = prompt
    call.attempts = attempts
    return call


def _opened(call: Call, admitted: Admitted, delayed_ms: int) -> Opened:
    passage = call.known_passage
    clamped_tokens = call.max_output_tokens if call.ending else 0
    return Opened(  # by place, in the order of the record: to name so many fields takes five times as long
        call.id,
        admitted.admitted_at,
        passage.caller(call.agent),
        call.door,
        passage.model.name,
        call.stream,
        len(call.body),
        call.bound_nanousd,
        call.asked_model,
        clamped_tokens,
        delayed_ms,
        note_of(call.task),
    )


async def _verdict(gate: Gate, trail: Trail, demand: Demand) -> Verdict:
    """Ask the counters; while they do not know yet what was spent (a process has just started), wait a little."""
    ends_by_us = gate.clock.monotonic_us() + int(gate.limits.start_timeout_s * 1_000_000)
    while True:
        trail.asked_us = gate.clock.monotonic_us()
        verdict = await gate.counters.admit(demand)
        if not isinstance(verdict, NotLoaded) or gate.clock.monotonic_us() >= ends_by_us:
            return verdict
        await asyncio.sleep(_LOADING_PAUSE_S)
        trail.waited_us += gate.clock.monotonic_us() - trail.asked_us


def _settle(gate: Gate, call: Call, outcome: Outcome) -> tuple[int, Awaitable[None] | None]:
    """Book the call: nano-USD, the effective cost, and what is to be awaited until it is durable.

    Raises StoreUnavailable: it is booked late."""
    settled = _settled(gate, call, outcome)
    ended(gate, call, outcome.error, settled.stop_reason)
    _learn(gate, call, settled)
    return settled.cost_nanousd, gate.settle(settled)


def _settled(gate: Gate, call: Call, outcome: Outcome) -> Settled:
    """The record of a call that has ended, at its exact cost."""
    trail, translation = call.trail, outcome.translation
    notes = trail.attempts
    attempts: tuple[Attempt, ...]
    if len(notes) == 1:
        attempt, classes = _priced(call, notes[0])
        attempts, usage, is_metered = (attempt,), attempt.usage, notes[0].is_metered
        cost, upstream_us = attempt.cost_nanousd, attempt.duration_us
    else:
        priced = [_priced(call, note) for note in notes]
        attempts, usage = tuple([attempt for attempt, _ in priced]), _sum([note.usage for note in notes])
        classes = tuple([sum(costs) for costs in zip(_NO_COSTS, *[costs for _, costs in priced], strict=True)])
        is_metered = all(note.is_metered for note in notes)
        cost = sum(attempt.cost_nanousd for attempt in attempts)
        upstream_us = sum(attempt.duration_us for attempt in attempts)
    return Settled(  # by place, as `Opened`
        call.id,
        gate.clock.now_us(),
        ("interrupted" if outcome.is_abandoned else "failed") if outcome.error else "ok",
        translation.stop_reason if translation else None,
        outcome.error,
        outcome.message[:500],
        is_metered,
        outcome.client_left,
        usage,
        cost,  # by the list
        cost,
        attempts,
        trail.first_byte_us,
        upstream_us,
        trail.stages_us(),
        classes,
        gate.clock.monotonic_us() - trail.started_us,
        trail.asked_us - trail.started_us,
        trail.waited_us,
        caching_of(gate, call),
        tuple(sorted(translation.tools.items())) if translation and translation.tools else (),
    )


def _priced(call: Call, note: AttemptNote) -> tuple[Attempt, tuple[int, ...]]:
    """An attempt at its cost, and that by class of tokens.

    Its usage says what it cost; if it began to answer and gave none, it is taken for the bound of one attempt."""
    deployment, usage = note.deployment, note.usage
    price = deployment.price
    assert price is not None  # place only offers priced deployments
    classes: tuple[int, ...] = _NO_COSTS
    if note.is_metered:
        classes = class_costs_nanousd(usage, price)
        cost = sum(classes)
    else:
        prompt = call.prompt
        cost = bound_nanousd(prompt.tokens, call.max_output_tokens, price, longest_ttl=prompt.longest_ttl)
    duration_us = note.ended_us - note.started_us
    attempt = Attempt(  # by place, as `Opened`
        deployment.id,
        note.started_at,
        duration_us if duration_us > 0 else 0,
        note.status,
        note.error,
        usage,
        cost,  # by the list
        cost,
        price.version,
        price.scope,
        note.upstream_request_id,
    )
    return attempt, classes


def _learn(gate: Gate, call: Call, settled: Settled) -> None:
    """Let later calls be bounded by this one; say so loudly if it was not within its own bound."""
    attempts, prompt = settled.attempts, call.prompt
    usage = attempts[-1].usage if attempts else Usage()
    prompt_tokens = usage.prompt_tokens
    if settled.cost_nanousd > call.bound_nanousd or prompt_tokens > prompt.tokens:
        log.error(
            "call %s cost %d nano-USD (prompt of %d), more than its bound of %d (%d): see docs/why/bound.md",
            call.id_text,
            settled.cost_nanousd,
            prompt_tokens,
            call.bound_nanousd,
            prompt.tokens,
        )
    if settled.status != "ok" or not settled.is_metered:
        return
    gate.learned.note(call.agent.name, call.known_passage.model.name, settled.cost_nanousd, usage.output_tokens)
    if len(call.chain.body) >= WORTH_BYTES:
        keep_anchor(gate, call, prompt_tokens)


def _sum(usages: list[Usage]) -> Usage:
    return Usage(
        input_tokens=sum(usage.input_tokens for usage in usages),
        cache_read_tokens=sum(usage.cache_read_tokens for usage in usages),
        cache_write_5m_tokens=sum(usage.cache_write_5m_tokens for usage in usages),
        cache_write_1h_tokens=sum(usage.cache_write_1h_tokens for usage in usages),
        output_tokens=sum(usage.output_tokens for usage in usages),
        reasoning_tokens=sum(usage.reasoning_tokens for usage in usages),
    )
