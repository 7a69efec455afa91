"""Refuse what the key may not do, and leave of the model only the deployments, and the answer, that it may have."""

from collections.abc import Awaitable

from sekisho.calls.call import Call
from sekisho.calls.gate import Gate
from sekisho.calls.policing import denial, not_listed, shorten
from sekisho.calls.reply import Next, Reply


def authorize(gate: Gate, call: Call, next: Next) -> Awaitable[Reply]:
    key, model = call.key, call.model
    assert key is not None and model is not None  # the stages before have found them
    passage = call.passage = gate.registry.passage(key, model)
    if not passage.is_listed:
        raise not_listed(gate, call)
    allowance = passage.allowance
    if allowance.policies:
        denied = passage.denied or allowance.agent(call.agent.name) or allowance.time(gate.clock.now_us())
        if denied:
            raise denial(gate, call, denied)
        call.model = passage.model
        if call.max_output_tokens > passage.model.max_output_tokens and call.operation == "generate":
            shorten(call)
    return next(call)
