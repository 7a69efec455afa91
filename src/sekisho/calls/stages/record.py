"""Keep what the call says, and what it is answered, if its team wants that."""

from sekisho.calls.answer import Answer
from sekisho.calls.call import Call
from sekisho.calls.gate import Gate
from sekisho.calls.reply import Next, Reply


async def record(gate: Gate, call: Call, next: Next) -> Reply:
    recording = gate.recorder.begin(call) if gate.recorder is not None else None
    if recording is None:
        return await next(call)
    try:
        reply = await next(call)
    except BaseException:
        recording.end("none")
        raise
    if isinstance(reply, Answer):
        reply.record_with(recording)
    return reply
