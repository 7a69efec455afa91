"""Streams under way, by key: those of a key that is no longer good are cut, if the operator wants that.

Above: the door, which sends the streams; whoever puts a snapshot in force. A call whose answer has not begun is cut
when it begins: until then there is nothing to stop but the wait.
"""

import asyncio
from dataclasses import dataclass

from sekisho.access.keys import check
from sekisho.calls.answer import Answer
from sekisho.calls.gate import Gate
from sekisho.errors import NotAuthenticated, SekishoError
from sekisho.values import VirtualKey


@dataclass(eq=False, slots=True)
class Stream:
    """One stream on its way to its client, in the task that sends it. `reason`: why it is cut, None while it is not."""

    key: VirtualKey
    answer: Answer
    task: "asyncio.Task[object]"
    reason: SekishoError | None = None


class RunningStreams:
    """Knows every stream that is being sent."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._streams: set[Stream] = set()

    def begin(self, key: VirtualKey, answer: Answer) -> Stream:
        """Count in a stream that this task sends."""
        task = asyncio.current_task()
        assert task is not None
        stream = Stream(key, answer, task)
        self._streams.add(stream)
        return stream

    def end(self, stream: Stream) -> None:
        """Forget a stream: nobody waits for it any more."""
        self._streams.discard(stream)

    def cut_revoked(self) -> None:
        """Cut the streams whose key was blocked, deleted or has expired, also by way of its team, and that are to be
        cut then. A stream of which the end is being booked ends as it would have."""
        for stream in tuple(self._streams):
            if stream.reason is None and not stream.answer.has_ended:
                stream.reason = self._objection(stream.key)
                if stream.reason is not None:
                    stream.task.cancel()

    def _objection(self, key: VirtualKey) -> SekishoError | None:
        """Why a stream of this key is cut. A key that is gone is judged as it was when the stream began."""
        current = self._gate.registry.keys.find(key.digest)
        wanted = (current or key).cut_streams
        if not (self._gate.limits.cut_revoked_streams if wanted is None else wanted):
            return None
        if current is None:
            return NotAuthenticated("This key is no longer valid. Ask your administrator.")
        try:
            check(current, self._gate.clock.now_us())
        except NotAuthenticated as error:
            return error
        return None
