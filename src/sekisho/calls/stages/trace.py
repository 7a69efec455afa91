"""Name the agent behind the call; record the call when it is refused at the gate."""

import logging

from msgspec.structs import replace

from sekisho.calls.agents import identify
from sekisho.calls.call import Call, Trail
from sekisho.calls.gate import Gate
from sekisho.calls.reply import Next, Reply
from sekisho.calls.tasking import ended, note_of
from sekisho.errors import SekishoError, StoreUnavailable
from sekisho.ledger.journal import Caller, Refused

log = logging.getLogger(__name__)


async def trace(gate: Gate, call: Call, next: Next) -> Reply:
    try:
        return await next(replace(call, agent=identify(call.headers)))
    except SekishoError as error:
        trail = call.trail
        if trail.seen is not None and not trail.is_opened:
            ended(gate, trail.seen, error.code)
        if trail.seen is not None and not trail.is_opened and call.operation == "generate":
            _record_refusal(gate, trail.seen, trail, error)
        raise


def _record_refusal(gate: Gate, call: Call, trail: Trail, error: SekishoError) -> None:
    """Observability fails open: a refusal that cannot be recorded is still a refusal."""
    refused = Refused(
        call_id=call.id,
        started_at=call.started_at,
        ended_at=gate.clock.now_us(),
        caller=caller_of(call),
        door=call.door,
        model=call.model_name[:200],
        stage=trail.stage,
        error=error.code,
        message=error.message[:500],
        stages_us=trail.stages_us(),
        task=note_of(call.task),
    )
    try:
        gate.journal.append(refused)
    except StoreUnavailable:
        log.exception("refused call %s could not be recorded", call.id_text)


def caller_of(call: Call) -> Caller:
    """Who called, for the journal."""
    key = call.key
    return Caller(
        org_id=key.org_id if key else "",
        key_id=key.id if key else "",
        user_id=key.user_id if key else "",
        team_id=key.team_id if key else "",
        tags=key.tags if key else (),
        agent=call.agent.name,
        agent_version=call.agent.version,
        session=call.agent.session,
    )
