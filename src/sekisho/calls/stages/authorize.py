"""Refuse what the key may not do."""

from sekisho.access.keys import may_use
from sekisho.calls.call import Call
from sekisho.calls.gate import Gate
from sekisho.calls.reply import Next, Reply
from sekisho.errors import NotAllowed


async def authorize(gate: Gate, call: Call, next: Next) -> Reply:
    model = call.known_model
    if not may_use(call.known_key, model.name, model.aliases):
        raise NotAllowed(
            f"This key may not use the model '{model.name}'. GET /v1/models lists those it may use.",
            param="model",
        )
    return await next(call)
