"""Choose the deployment; try the next one when the first cannot serve, as long as the client has seen nothing."""

from msgspec.structs import replace

from sekisho.calls.call import Call
from sekisho.calls.gate import Gate
from sekisho.calls.reply import Next, Reply
from sekisho.errors import Internal, NotAllowed, RateLimited, UpstreamUnavailable


async def place(gate: Gate, call: Call, next: Next) -> Reply:
    candidates = [deployment for deployment in call.known_model.deployments if deployment.price is not None]
    if not candidates:
        raise NotAllowed(f"The price of the model '{call.known_model.name}' is not known.", param="model")
    failure: RateLimited | UpstreamUnavailable | None = None
    for deployment in candidates[: call.attempts]:
        try:
            return await next(replace(call, deployment=deployment))
        except (RateLimited, UpstreamUnavailable) as error:
            failure = error
    raise failure or Internal()
