"""What the steps of budgets do to a call: refuse it, send it to a cheaper model, hold it back for a while.

Above: the admit stage. Below: what counters say is due. A soft budget never refuses. Nothing is held while one
waits.
"""

from msgspec.structs import replace

from sekisho.calls.budgeting import audience_of, step_refusal
from sekisho.calls.call import Call
from sekisho.calls.ceiling import ceiling_nanousd, least_nanousd
from sekisho.calls.gate import Gate
from sekisho.calls.policing import shorten
from sekisho.calls.shaping import shape, wire_of
from sekisho.errors import BadRequest, NotAllowed, RateLimited
from sekisho.ledger.counters import Due, Passed
from sekisho.values import BudgetStep, Model

_DOUBLES_EVERY_PERCENT = 5
_LEAST_BYTES_PER_TOKEN = 3  # a guess, to leave a history where it is that another model might not take


_JA_MANY = "予算により多くのコールが待機しています。しばらくしてからもう一度お試しください。"


class ClientLeft(BadRequest):
    """The client left while its call was held back."""

    code = "client_gone"


def acted_on(gate: Gate, call: Call, due: Due) -> Call:
    """The call as the steps that are due leave it. Raises BudgetExceeded for a step that refuses."""
    steps = _steps(due)
    for passed, step in steps:
        if step.action == "refuse" and passed.budget.is_hard:
            raise step_refusal(passed, step, audience_of(gate, call))
    downs = [step for _, step in steps if step.action == "step_down"]
    for step in sorted(downs, key=lambda step: step.at_percent, reverse=True):
        stepped = _step_down(gate, call, step.model)
        if stepped is not None:
            return stepped
    return call


async def hold_back(gate: Gate, call: Call, due: Due) -> int:
    """Let the time pass that the steps ask for; how long, in milliseconds. A call that cannot fit does not wait.

    Raises ClientLeft; RateLimited while too many others wait."""
    delays = [delay_s(gate, passed, step) for passed, step in _steps(due) if step.action == "slow_down"]
    if not delays or any(_is_spent(gate, call, passed) for passed in due.passed):
        return 0
    return await hold_for(gate, call, max(delays))


async def hold_for(gate: Gate, call: Call, longest: float) -> int:
    """Let so many seconds pass; how long, in milliseconds.

    Raises ClientLeft; RateLimited while too many others wait."""
    if len(gate.held_back) >= gate.limits.most_held_back:
        words = {"en": "Many calls are held back by a budget. Try again.", "ja": _JA_MANY}
        raise RateLimited(words[audience_of(gate, call).language], retry_after_s=max(1, min(59, round(longest))))
    gate.held_back.add(call.id)
    began_us = gate.clock.monotonic_us()
    try:
        if await call.wait(longest):
            raise ClientLeft
    finally:
        gate.held_back.discard(call.id)
        call.trail.waited_us += gate.clock.monotonic_us() - began_us
    return int(longest * 1000)


def _steps(due: Due) -> list[tuple[Passed, BudgetStep]]:
    return [(passed, step) for passed in due.passed for step in passed.due()]


def _is_spent(gate: Gate, call: Call, passed: Passed) -> bool:
    """Whether a hard budget has too little left for the call, however small that is made."""
    return passed.budget.is_hard and least_nanousd(gate, call) > passed.ceiling_nanousd - passed.spent_nanousd


def delay_s(gate: Gate, passed: Passed, step: BudgetStep) -> float:
    """How long a call is held back: the first delay at the step, twice as long every 5 per cent behind it, bounded."""
    most, first = gate.limits.slow_down_most_s, gate.limits.slow_down_first_s
    if passed.ceiling_nanousd <= 0:
        return most
    beyond = passed.spent_nanousd * 100 / passed.ceiling_nanousd - step.at_percent
    delay: float = first * 2.0 ** min(beyond / _DOUBLES_EVERY_PERCENT, 30.0)
    return min(delay, most)


def _step_down(gate: Gate, call: Call, name: str) -> Call | None:
    """The call for the cheaper model; None where that is no help: not known or allowed, not cheaper, or it cannot take
    what the call holds."""
    model = gate.registry.find_model(name)
    if model is None or model.name == call.known_model.name:
        return None
    passage = gate.registry.passage(call.known_key, model)
    if not passage.is_listed or passage.denied:
        return None
    model = passage.model
    stepped = replace(
        call,
        model=model,
        passage=passage,
        model_name=model.name,
        asked_model=call.known_model.name,
    )
    shorten(stepped)
    return stepped if _is_cheaper(call, stepped) and _is_legal(stepped, model) else None


def _is_cheaper(call: Call, stepped: Call) -> bool:
    try:
        return ceiling_nanousd(stepped, call.prompt, 1, call.max_output_tokens) < ceiling_nanousd(
            call, call.prompt, 1, call.max_output_tokens
        )
    except NotAllowed:  # without a price nothing is cheaper
        return False


def _is_legal(call: Call, model: Model) -> bool:
    """Whether the other model takes this body: its history may be too large, or hold pictures that it cannot read."""
    if len(call.body) // _LEAST_BYTES_PER_TOKEN + call.max_output_tokens > model.context_tokens:
        return False
    deployment = next(one for one in model.deployments if one.price is not None)  # it has one: it is cheaper
    try:
        shape(replace(call, deployment=deployment), wire_of(call.door, deployment, model.family))
    except BadRequest:
        return False
    return True
