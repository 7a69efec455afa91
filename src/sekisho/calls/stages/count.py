"""Count the tokens of a prompt: by the upstream where it counts, else by our own estimate. Costs nothing."""

import logging

from msgspec.structs import replace

from sekisho.calls.call import Call
from sekisho.calls.gate import Gate
from sekisho.calls.reply import Counted, Next, Reply
from sekisho.calls.shaping import shape, wire_of
from sekisho.calls.stages.send import find_credential
from sekisho.errors import RateLimited, UpstreamUnavailable

log = logging.getLogger(__name__)
_BYTES_PER_TOKEN = 4


async def count(gate: Gate, call: Call, next: Next) -> Reply:
    """The last stage of a count: `next` is never called."""
    deployment = call.known_model.deployments[0]
    wire = wire_of(call.door, deployment, call.known_model.family)
    shaped = shape(replace(call, deployment=deployment, stream=False), wire)
    try:
        tokens = await gate.upstreams.count_tokens(deployment, wire, find_credential(gate, deployment), shaped.body)
    except (RateLimited, UpstreamUnavailable) as error:
        log.info("count of call %s estimated: %s", call.id_text, error.code)
        tokens = None
    return Counted(tokens if tokens is not None else len(shaped.body) // _BYTES_PER_TOKEN + 1)
