"""Choose the deployment; try the next one when the first cannot serve, as long as the client has seen nothing."""

from sekisho.calls.call import Call
from sekisho.calls.gate import Gate
from sekisho.calls.reply import Next, Reply
from sekisho.errors import Internal, NotAllowed, RateLimited, UpstreamUnavailable


async def place(gate: Gate, call: Call, next: Next) -> Reply:
    candidates = call.known_passage.candidates
    if not candidates:
        raise NotAllowed(f"The price of the model '{call.known_model.name}' is not known.", param="model")
    failure: RateLimited | UpstreamUnavailable | None = None
    for deployment in candidates[: call.attempts]:
        call.deployment = deployment
        try:
            return await next(call)
        except (RateLimited, UpstreamUnavailable) as error:
            failure = error
    raise failure or Internal()
