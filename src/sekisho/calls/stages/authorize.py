"""Refuse what the key may not do, and leave of the model only the deployments that it may use."""

from msgspec.structs import replace

from sekisho.access.keys import may_use
from sekisho.access.policies import Denied
from sekisho.calls.call import Call
from sekisho.calls.gate import Gate
from sekisho.calls.policing import denial
from sekisho.calls.reply import Next, Reply
from sekisho.errors import NotAllowed


async def authorize(gate: Gate, call: Call, next: Next) -> Reply:
    model = call.known_model
    key = call.known_key
    if not may_use(key, model.name, model.aliases):
        raise NotAllowed(
            f"This key may not use the model '{model.name}'. GET /v1/models lists those it may use.",
            param="model",
        )
    allowance = gate.registry.allowance(key)
    if not allowance.policies:
        return await next(call)
    left = allowance.model(model)
    denied = left if isinstance(left, Denied) else None
    denied = denied or allowance.agent(call.agent.name) or allowance.time(gate.clock.now_us())
    if denied:
        raise denial(gate, call, denied)
    assert not isinstance(left, Denied)
    return await next(call if left is model else replace(call, model=left))
