"""Name the agent behind the call; record the call when it is refused at the gate."""

import logging

from sekisho.calls.agents import identify
from sekisho.calls.call import Call
from sekisho.calls.gate import Gate
from sekisho.calls.passage import caller_of
from sekisho.calls.reply import Next, Reply
from sekisho.calls.tasking import ended, note_of
from sekisho.errors import SekishoError, StoreUnavailable
from sekisho.ledger.journal import Refused

log = logging.getLogger(__name__)


async def trace(gate: Gate, call: Call, next: Next) -> Reply:
    call.agent = identify(call.headers)
    try:
        return await next(call)
    except SekishoError as error:
        if call.key is not None and not call.trail.is_opened and call.operation == "generate":
            ended(gate, call, error.code)
            _record_refusal(gate, call, error)
        raise


def _record_refusal(gate: Gate, call: Call, error: SekishoError) -> None:
    """Observability fails open: a refusal that cannot be recorded is still a refusal."""
    trail = call.trail
    refused = Refused(
        call_id=call.id,
        started_at=call.started_at,
        ended_at=gate.clock.now_us(),
        caller=caller_of(call.key, call.agent),
        door=call.door,
        model=call.model_name[:200],
        stage=trail.stage,
        error=error.code,
        message=error.message[:500],
        stages_us=trail.stages_us(),
        task=note_of(call.task),
        total_us=gate.clock.monotonic_us() - trail.started_us,
        waited_us=trail.waited_us,
    )
    try:
        gate.journal.append(refused)
    except StoreUnavailable:
        log.exception("refused call %s could not be recorded", call.id_text)
