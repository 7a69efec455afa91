"""The way to the spool for teams whose content is kept masked: nothing is written before it is masked.

Masking takes time, so calls only put what they say into a queue of bounded size; a background task masks it piece by
piece and gives way to calls between any two; a piece that is long goes to a thread. What does not fit into the queue is
lost, and said to be.
"""

import asyncio
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from itertools import pairwise

import msgspec

from sekisho.record.conversation import read_answer
from sekisho.record.masking import Masker
from sekisho.record.spool import Asked, Buffer, Head, Lost, Origin, Said, Spool

MOST_BYTES = 64 << 20
_AT_ONCE = 32_768  # characters: about a millisecond


class _Job(msgspec.Struct, frozen=True):
    head: Asked | Said
    origin: Origin
    data: bytes


class MaskedSpool:
    """`Spool` for masked content. An answer comes whole, and is kept as neutral turns: a stream cuts words apart."""

    def __init__(self, spool: Spool, masker: Masker, *, most_bytes: int = MOST_BYTES) -> None:
        self._spool = spool
        self._masker = masker
        self._most_bytes = most_bytes
        self._jobs: deque[_Job] = deque()
        self._bytes = 0
        self._has_jobs = asyncio.Event()
        self._origins: dict[bytes, Origin] = {}

    def append(self, head: Head, parts: Sequence[Buffer] = ()) -> bool:
        """Queue a whole request or a whole answer; whether there was room."""
        if isinstance(head, Lost):
            return self._spool.append(head)
        if isinstance(head, Asked):
            self._origins[head.origin.call_id] = head.origin
            origin = head.origin
        else:
            found = self._origins.pop(head.call_id, None)
            if found is None:
                return True  # its request was lost, and that is said already
            origin = found
        data = b"".join(parts)
        if self._bytes + len(data) > self._most_bytes:
            self._origins.pop(origin.call_id, None)
            return False
        self._bytes += len(data)
        self._jobs.append(_Job(head, origin, data))
        self._has_jobs.set()
        return True

    def lose(self, origin: Origin) -> None:
        """Note that a call's content could not be kept."""
        self._origins.pop(origin.call_id, None)
        self._spool.lose(origin)

    async def run(self) -> None:
        """Mask and write until cancelled."""
        while True:
            await self._has_jobs.wait()
            while self._jobs:
                await self._do(self._jobs[0])
            self._has_jobs.clear()

    def finish(self) -> None:
        """Mask and write what is left, at the end of the process."""
        while self._jobs:
            job = self._jobs[0]
            work = self._work(job)
            text = next(work, None)
            while text is not None:
                text = _following(work, self._masker.mask(text, _scope(job)))

    async def _do(self, job: _Job) -> None:
        """Do a job; begun anew if this is cancelled."""
        work = self._work(job)
        text = next(work, None)
        while text is not None:
            if len(text) > 2 * _AT_ONCE:  # one text of a hostile client takes seconds
                masked = await asyncio.to_thread(self._masker.mask, text, _scope(job))
            else:
                masked = self._masker.mask(text, _scope(job))
                await asyncio.sleep(0)
            text = _following(work, masked)

    def _work(self, job: _Job) -> Generator[str, str, None]:
        """Do the first job: gives texts, and is sent each of them masked."""
        if isinstance(job.head, Asked):
            head, parts = job.head, []
            for start, end in pairwise((0, *job.head.cuts, len(job.data))):
                masked: list[str] = []
                for text in _slices(job.data[start:end].decode(errors="surrogateescape")):
                    masked.append((yield text))
                parts.append("".join(masked).encode(errors="surrogateescape"))
            written = self._spool.append(_recut(head, parts), parts)
        else:
            turns = read_answer(job.origin.door, job.data, stream=job.origin.stream) if job.data else ()
            yield ""
            masked = []
            for text in _slices(msgspec.json.encode(turns).decode()):
                masked.append((yield text))
            answer = "".join(masked).encode() if turns else b""
            written = self._spool.append(Said(job.head.call_id, job.head.state, "turns"), (answer,))
        if not written:
            self._spool.lose(job.origin)
        self._jobs.popleft()
        self._bytes -= len(job.data)


def _scope(job: _Job) -> bytes:
    """Within what the same value has the same placeholder."""
    return job.origin.task_id or job.origin.key_id.encode()


def _following(work: Generator[str, str, None], masked: str) -> str | None:
    """The next text to be masked; None at the end."""
    try:
        return work.send(masked)
    except StopIteration:
        return None


def _recut(head: Asked, parts: Sequence[bytes]) -> Asked:
    """The head for masked pieces, which are of other lengths."""
    cuts, at = [], 0
    for part in parts[:-1]:
        at += len(part)
        cuts.append(at)
    return msgspec.structs.replace(head, cuts=tuple(cuts), kept_bytes=-1, tail_bytes=-1)


def _slices(text: str) -> Iterator[str]:
    """The text in parts that can be masked apart: no pattern goes on over the end of a string of JSON and a comma."""
    at = 0
    while len(text) - at > _AT_ONCE:
        end = text.find('",', at + _AT_ONCE)
        if end < 0:
            break
        yield text[at : end + 2]
        at = end + 2
    yield text[at:]
