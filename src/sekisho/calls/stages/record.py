"""Keep what the call says, and what it is answered, if its team wants that."""

from collections.abc import Awaitable

from sekisho.calls.answer import Answer
from sekisho.calls.call import Call
from sekisho.calls.gate import Gate
from sekisho.calls.recording import Recording
from sekisho.calls.reply import Next, Reply


def record(gate: Gate, call: Call, next: Next) -> Awaitable[Reply]:
    recording = gate.recorder.begin(call) if gate.recorder is not None else None
    return next(call) if recording is None else _keep(recording, call, next)


async def _keep(recording: Recording, call: Call, next: Next) -> Reply:
    try:
        reply = await next(call)
    except BaseException:
        recording.end("none")
        raise
    if isinstance(reply, Answer):
        reply.record_with(recording)
    return reply
