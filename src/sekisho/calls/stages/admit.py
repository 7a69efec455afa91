"""Hold the call's highest possible cost against every budget and limit, all or none; settle it at its exact cost.

Nothing is sent upstream before the open record is durable, and no client sees the end of its answer before the settled
record is. A call whose end is never booked here (the process was killed) is settled from the journal as interrupted.
"""

import asyncio
import logging
from functools import partial
from typing import Literal

from msgspec.structs import replace

from sekisho.calls.answer import Answer
from sekisho.calls.budgeting import refusal, scopes_of
from sekisho.calls.call import AttemptNote, Call
from sekisho.calls.gate import Gate, Outcome
from sekisho.calls.reply import Next, Reply
from sekisho.calls.stages.trace import caller_of
from sekisho.dialects import search
from sekisho.errors import Internal, NotAllowed, SekishoError, StoreUnavailable
from sekisho.ledger.bound import bound_nanousd, prompt_tokens_bound
from sekisho.ledger.cost import list_cost_nanousd
from sekisho.ledger.counters import Admitted, Demand, Due, NotLoaded, Verdict
from sekisho.ledger.journal import Attempt, Opened, Settled
from sekisho.values import CallStatus, Door, Usage

log = logging.getLogger(__name__)

# Words that announce what may have more tokens than bytes. Each door is searched for its own only: a search of a large
# body costs as much as sending it on.
_UNPACKED: dict[Door, tuple[bytes, ...]] = {
    "anthropic_messages": (b'"document"',),
    "bedrock_invoke": (b'"document"',),
    "bedrock_converse": (b'"document"', b'"video"'),
    "openai_chat": (b"data:application/", b'"file"'),
    "openai_responses": (b'"input_file"',),
}

_LOADING_PAUSE_S = 0.05
_BYTES_PER_TOKEN = 4  # a guess for token limits, corrected when the call is settled; money never rests on it


async def admit(gate: Gate, call: Call, next: Next) -> Reply:
    bound = _bound(gate, call)
    demand = Demand(
        call_id=call.id,
        scopes=scopes_of(call.known_key),
        model=call.known_model.name,
        bound_nanousd=bound,
        estimate_nanousd=bound,
        tokens=len(call.body) // _BYTES_PER_TOKEN + call.max_output_tokens,
    )
    verdict = await _verdict(gate, demand)
    assert not isinstance(verdict, Due)  # the demand heeds no steps
    if not isinstance(verdict, Admitted):
        raise refusal(verdict, gate.language)
    opened = Opened(
        call_id=call.id,
        started_at=verdict.admitted_at,
        caller=caller_of(call),
        door=call.door,
        model=call.known_model.name,
        stream=call.stream,
        request_bytes=len(call.body),
        reserved_nanousd=bound,
    )
    try:
        gate.journal.append(opened)
    except StoreUnavailable:
        await gate.counters.release(call.id)
        raise
    call.trail.is_opened = True
    admitted = replace(call, bound_nanousd=bound)
    try:
        await gate.journal.committed()
        reply = await next(admitted)
    except Exception as cause:  # also a fault of ours: what was opened is settled, whatever happens
        error = cause if isinstance(cause, SekishoError) else Internal()
        await _settle(gate, admitted, Outcome(None, error.code, error.message))
        raise
    if isinstance(reply, Answer):
        reply.settle_with(partial(_settle, gate, admitted))
    return reply


async def _verdict(gate: Gate, demand: Demand) -> Verdict:
    """Ask the counters; while they do not know yet what was spent (a process has just started), wait a little."""
    ends_by_us = gate.clock.monotonic_us() + int(gate.limits.start_timeout_s * 1_000_000)
    while True:
        verdict = await gate.counters.admit(demand)
        if not isinstance(verdict, NotLoaded) or gate.clock.monotonic_us() >= ends_by_us:
            return verdict
        await asyncio.sleep(_LOADING_PAUSE_S)


def _bound(gate: Gate, call: Call) -> int:
    """The most this call can cost: the sum of its dearest attempts, as many as there may be."""
    prices = [deployment.price for deployment in call.known_model.deployments if deployment.price is not None]
    if not prices:
        raise NotAllowed(
            f"The price of the model '{call.known_model.name}' is not known, so calls to it cannot be accounted for. "
            "Ask the administrator to set its price.",
            param="model",
        )
    prompt_tokens, longest_ttl = _prompt_bound(call)
    bounds = (bound_nanousd(prompt_tokens, call.max_output_tokens, price, longest_ttl=longest_ttl) for price in prices)
    return sum(sorted(bounds, reverse=True)[: gate.limits.max_attempts])


def _prompt_bound(call: Call) -> tuple[int, Literal["5m", "1h"]]:
    """The most tokens this prompt can have, and the longest caching it can ask for.

    By byte search, which may find a word where it means nothing: docs/why/bound.md"""
    body, model = call.body, call.known_model
    prompt_tokens = prompt_tokens_bound(
        len(body),
        images=search.count(body, b'"image'),
        compressed_documents=int(any(search.holds(body, word) for word in _UNPACKED[call.door])),
        context_tokens=model.context_tokens,
    )
    return prompt_tokens, "1h" if model.quirks.cache_ttl_1h and search.holds(body, b'"1h"') else "5m"


async def _settle(gate: Gate, call: Call, outcome: Outcome) -> int:
    """Book the call. Unit: nano-USD, the effective cost. Raises StoreUnavailable: it is booked late."""
    attempts = tuple([_priced(call, note) for note in call.trail.attempts])
    usage = _sum([attempt.usage for attempt in attempts])
    translation = outcome.translation
    settled = Settled(
        call_id=call.id,
        ended_at=gate.clock.now_us(),
        status=_status(outcome),
        stop_reason=translation.stop_reason if translation else None,
        error=outcome.error,
        message=outcome.message[:500],
        is_metered=all([note.is_metered for note in call.trail.attempts]),
        client_left=outcome.client_left,
        usage=usage,
        list_cost_nanousd=sum([attempt.list_cost_nanousd for attempt in attempts]),
        cost_nanousd=sum([attempt.cost_nanousd for attempt in attempts]),
        attempts=attempts,
        first_byte_us=call.trail.first_byte_us,
        upstream_us=sum([attempt.duration_us for attempt in attempts]),
        stages_us=call.trail.stages_us(),
    )
    if settled.cost_nanousd > call.bound_nanousd:
        log.error(
            "call %s cost %d nano-USD, more than its bound of %d: see docs/why/bound.md",
            call.id_text,
            settled.cost_nanousd,
            call.bound_nanousd,
        )
    await gate.settle(settled)
    return settled.cost_nanousd


def _status(outcome: Outcome) -> CallStatus:
    if not outcome.error:
        return "ok"
    return "interrupted" if outcome.is_abandoned else "failed"


def _priced(call: Call, note: AttemptNote) -> Attempt:
    """An attempt with its cost: by its usage; by the bound of one attempt if it began to answer and gave no usage."""
    price = note.deployment.price
    assert price is not None  # place only offers priced deployments
    if note.is_metered:
        cost = list_cost_nanousd(note.usage, price)
    else:
        prompt_tokens, longest_ttl = _prompt_bound(call)
        cost = bound_nanousd(prompt_tokens, call.max_output_tokens, price, longest_ttl=longest_ttl)
    return Attempt(
        deployment=note.deployment.id,
        started_at=note.started_at,
        duration_us=max(note.ended_us - note.started_us, 0),
        status=note.status,
        error=note.error,
        usage=note.usage,
        list_cost_nanousd=cost,
        cost_nanousd=cost,
        price_version=price.version,
        price_scope=price.scope,
        upstream_request_id=note.upstream_request_id,
    )


def _sum(usages: list[Usage]) -> Usage:
    if len(usages) == 1:
        return usages[0]
    return Usage(
        input_tokens=sum(usage.input_tokens for usage in usages),
        cache_read_tokens=sum(usage.cache_read_tokens for usage in usages),
        cache_write_5m_tokens=sum(usage.cache_write_5m_tokens for usage in usages),
        cache_write_1h_tokens=sum(usage.cache_write_1h_tokens for usage in usages),
        output_tokens=sum(usage.output_tokens for usage in usages),
        reasoning_tokens=sum(usage.reasoning_tokens for usage in usages),
    )
