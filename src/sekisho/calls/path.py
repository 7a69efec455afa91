"""The stages of a call, in order, and how they are joined."""

from collections.abc import Awaitable

from sekisho.calls.call import Call
from sekisho.calls.gate import Gate
from sekisho.calls.reply import Next, Reply, Stage
from sekisho.calls.stages.admit import admit
from sekisho.calls.stages.authenticate import authenticate
from sekisho.calls.stages.authorize import authorize
from sekisho.calls.stages.count import count
from sekisho.calls.stages.place import place
from sekisho.calls.stages.record import record
from sekisho.calls.stages.resolve import resolve
from sekisho.calls.stages.send import send
from sekisho.calls.stages.trace import trace

STAGES: tuple[Stage, ...] = (trace, authenticate, resolve, authorize, admit, record, place, send)
COUNT_STAGES: tuple[Stage, ...] = (trace, authenticate, resolve, authorize, count)


def join(gate: Gate, stages: tuple[Stage, ...]) -> Next:
    """One function that walks a call through all stages. A call's trail says which it has entered, and when."""
    path: Next = _end
    for position, stage in reversed(tuple(enumerate(stages))):
        path = _enter(gate, position, stage, path)
    return path


def _enter(gate: Gate, position: int, stage: Stage, rest: Next) -> Next:
    name = stage.__name__
    monotonic_us = gate.clock.monotonic_us

    def walk(call: Call) -> Awaitable[Reply]:  # no coroutine of its own: each costs half a microsecond
        trail = call.trail
        trail.stage = name
        marks = trail.entered_us
        if len(marks) <= position:  # a second attempt enters its stages again
            marks.append(monotonic_us())
        return stage(gate, call, rest)

    return walk


async def _end(call: Call) -> Reply:
    raise AssertionError("the last stage of a path answers the call")
