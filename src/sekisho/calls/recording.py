"""Keeps what calls say, where their team wants it kept: what is new of each request, and every answer, to the spool.

Above: the stage `record`, and the answer under way, which hands over its bytes. Below: the spool. A call never waits
for it and never fails because of it.
"""

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Literal

import msgspec

from sekisho.calls.call import Call
from sekisho.clock import Clock
from sekisho.conversation.chain import Chain
from sekisho.conversation.layout import Span
from sekisho.record.spool import Asked, Buffer, Origin, Said, Spool
from sekisho.values import ContentLevel

FLUSH_BYTES = 64 * 1024
MOST_MASKED_BYTES = 8 << 20
_OF_THEIR_OWN = ("tools", "toolConfig", "system", "instructions")  # what many tasks of a team have in common
_start, _end = attrgetter("start"), attrgetter("end")
_MOST_BASES = 20_000
_BASE_US = 3_600_000_000


class _Base(msgspec.Struct, frozen=True):
    """A request that is in the spool, so that later ones can say only what they add to it."""

    team_id: str
    level: ContentLevel
    generation: int
    at_us: int


class Recording:
    """The content of one call. Not for calls whose team keeps none."""

    def __init__(self, spool: Spool, origin: Origin) -> None:
        self._spool = spool
        self._origin = origin
        self._parts: list[bytes] = []
        self._size = 0
        self._is_open = True

    def add(self, data: bytes) -> None:
        """Keep the next bytes of the answer as its client gets them."""
        if not self._is_open:
            return
        self._parts.append(data)
        self._size += len(data)
        if self._size < FLUSH_BYTES:
            return
        if self._origin.level == "full":
            self._write("more")
        elif self._size > MOST_MASKED_BYTES:  # it can only be masked whole
            self._spool.lose(self._origin)
            self._is_open, self._parts = False, []

    def end(self, state: Literal["whole", "none"] = "whole") -> None:
        """The answer is over. Only the first time counts."""
        if self._is_open:
            self._is_open = False
            self._write(state)

    def _write(self, state: Literal["more", "whole", "none"]) -> None:
        if not self._spool.append(Said(self._origin.call_id, state), self._parts):
            self._spool.lose(self._origin)
            self._is_open = False
        self._parts, self._size = [], 0


class Recorder:
    """Begins recordings. `generation` says which one of deletions is in force: what was written before the newest may
    be gone, and nothing may build on it. `masked`: for teams whose content is masked; without it theirs is not kept."""

    def __init__(self, spool: Spool, clock: Clock, generation: Callable[[], int], masked: Spool | None = None) -> None:
        self._spools: dict[ContentLevel, Spool | None] = {"full": spool, "masked": masked}
        self._clock = clock
        self._generation = generation
        self._bases: OrderedDict[bytes, _Base] = OrderedDict()

    def begin(self, call: Call) -> Recording | None:
        """Write what is new of the call's request; None when its team keeps nothing, or when it cannot be kept."""
        key = call.known_key
        spool = self._spools.get(key.content_level)
        if spool is None:
            return None
        origin = Origin(
            call.id,
            call.started_at,
            key.org_id,
            key.team_id,
            key.user_id,
            key.id,
            key.content_level,
            call.door,
            call.stream,
            call.task.id,
        )
        asked, new = self._new_of(call, origin)
        if not spool.append(asked, new):
            spool.lose(origin)
            return None
        self._remember(origin)
        return Recording(spool, origin)

    def _new_of(self, call: Call, origin: Origin) -> tuple[Asked, Sequence[Buffer]]:
        """What the call's request adds to the one it goes on from, cut at the borders of its blocks."""
        body, base, spans = call.chain.body, call.chain.base, spans_of(call.chain)
        if base is None or not self._may_build_on(base.call_id, origin):
            return Asked(origin, cuts=_cuts(spans, 0)), (body,)
        kept = bisect_right(spans, base.prefix_bytes, key=_end)
        tail = min(len(spans) - bisect_left(spans, len(body) - base.suffix_bytes, key=_start), len(spans) - kept)
        start = spans[kept - 1].end if kept else 0
        end = spans[len(spans) - tail].start if tail else len(body)
        cuts = _cuts(spans[kept : len(spans) - tail], start)
        asked = Asked(origin, base.call_id, 2 * kept, 2 * tail, cuts, start, len(body) - end)
        return asked, (memoryview(body)[start:end],)

    def _remember(self, origin: Origin) -> None:
        base = _Base(origin.team_id, origin.level, self._generation(), self._clock.monotonic_us())
        self._bases[origin.call_id] = base
        if len(self._bases) > _MOST_BASES:
            self._bases.popitem(last=False)

    def _may_build_on(self, call_id: bytes, origin: Origin) -> bool:
        base = self._bases.get(call_id)
        return (
            base is not None
            and (base.team_id, base.level) == (origin.team_id, origin.level)
            and base.generation == self._generation()
            and self._clock.monotonic_us() - base.at_us < _BASE_US
        )


def spans_of(chain: Chain) -> list[Span]:
    """What is worth a piece of its own in a body, in its order: each element of the history, the tools, the system."""
    members = chain.members
    return sorted((*chain.elements, *(members[name] for name in _OF_THEIR_OWN if name in members)))


def _cuts(spans: Sequence[Span], start: int) -> tuple[int, ...]:
    """Where each of these begins and ends, from `start` on."""
    return tuple([at - start for span in spans for at in span])
