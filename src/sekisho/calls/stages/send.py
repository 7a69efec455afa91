"""Write the request in the upstream's dialect, open the call there, and hand back its answer."""

from sekisho.calls.answer import Answer
from sekisho.calls.call import AttemptNote, Call
from sekisho.calls.gate import Gate
from sekisho.calls.reply import Next, Reply
from sekisho.calls.shaping import Shaped, shape, wire_of
from sekisho.errors import Internal, SekishoError
from sekisho.values import Credential, Deployment, Wire


async def send(gate: Gate, call: Call, next: Next) -> Reply:
    """The last stage: `next` is never called."""
    deployment = call.chosen_deployment
    wire = wire_of(call.door, deployment, call.known_model.family)
    shaped = shape(call, wire)
    note = AttemptNote(deployment, gate.clock.now_us(), gate.clock.monotonic_us())
    call.trail.attempts.append(note)
    call.trail.awaited = shaped.translation if call.stream else None
    try:
        return await _open(gate, call, wire, shaped, note)
    except Exception as cause:  # also a fault of ours: what it cost must be known
        error = cause if isinstance(cause, SekishoError) else Internal()
        # what began to answer may be billed; a whole answer has begun when its head is here
        has_begun = shaped.translation.has_started or shaped.translation.usage is not None
        note.is_metered = not (has_begun or error.may_be_billed or (note.status == 200 and not call.stream))
        note.error = error.code
        note.ended_us = gate.clock.monotonic_us()
        note.status = note.status or error.upstream_status
        note.upstream_request_id = note.upstream_request_id or error.upstream_request_id
        raise


async def _open(gate: Gate, call: Call, wire: Wire, shaped: Shaped, note: AttemptNote) -> Answer:
    deployment = note.deployment
    credential = gate.registry.credentials.get(deployment.credential) or await find_credential(gate, deployment)
    response = await gate.upstreams.open(
        deployment, wire, credential, shaped.body, stream=call.stream, betas=shaped.betas
    )
    note.status = response.status
    headers = response.headers
    note.upstream_request_id = (headers.get(b"x-amzn-requestid") or headers.get(b"request-id") or b"").decode("latin-1")
    answer = Answer(
        response,
        shaped.translation,
        note,
        call.trail,
        gate.clock,
        is_stream=call.stream,
        limits=gate.limits,
    )
    try:
        if call.stream:
            await answer.begin()
        else:
            await answer.read()
    except BaseException:
        response.close()
        raise
    return answer


async def find_credential(gate: Gate, deployment: Deployment) -> Credential | None:
    """The credential a deployment names, if it names one. Raises StoreUnavailable while it is not there."""
    if not deployment.credential:
        return None
    return await gate.registry.get_credential(deployment.credential, gate.limits.start_timeout_s)
