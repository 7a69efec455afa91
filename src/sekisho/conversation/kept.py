"""The last bodies of every virtual key and door, so that the next one need not be read anew.

Bounded by the bytes of the bodies, and of how they are written upstream; the keys used longest ago are forgotten first.
A body is only ever held against those of its own team and key. Above: the stages. Below: chains.
"""

from collections import OrderedDict
from typing import NamedTuple

from sekisho.conversation.chain import Chain
from sekisho.conversation.following import align_histories, follow
from sekisho.dialects.body import parse_fields
from sekisho.values import Door

WORTH_BYTES = 8_192  # a smaller body is read about as fast as it is compared
_MOST_BYTES = 64 * 1024 * 1024
_LEAST_IN_COMMON = 8  # of a body: with less than an eighth a full parse is as cheap
_TRANSLATED: tuple[Door, ...] = ("openai_chat", "openai_responses")
_BODIES_PER_OWNER = 8  # sub-agents and conversations of one key take turns


class Owner(NamedTuple):
    """Whose bodies may go on from each other."""

    team_id: str
    key_id: str
    door: Door


class Kept:
    """A body of a call whose open record was journalled. `anchors`: by model as its provider knows it, what is known
    of the prompt's tokens."""

    __slots__ = ("anchors", "call_id", "chain")

    def __init__(self, call_id: bytes, chain: Chain) -> None:
        self.call_id = call_id
        self.chain = chain
        self.anchors: dict[str, object] = {}


class Conversations:
    """Reads bodies, and keeps them. `hits`: bodies of which only what was new was read; `misses`: the others that were
    large enough to be looked for."""

    def __init__(self, most_bytes: int = _MOST_BYTES, worth_bytes: int = WORTH_BYTES) -> None:
        self._most_bytes = most_bytes
        self._worth_bytes = worth_bytes
        self._owners: OrderedDict[Owner, list[Kept]] = OrderedDict()
        self.held_bytes = 0
        self.hits = 0
        self.misses = 0

    def counts(self) -> dict[str, int]:
        """The counters, the bytes that are held, and how many these may be."""
        held = {"held_bytes": self.held_bytes, "most_bytes": self._most_bytes}
        return {"hits": self.hits, "misses": self.misses, **held}

    def read(self, owner: Owner, body: bytes) -> Chain:
        """The chain of a body. Raises BadRequest, as `parse_fields`."""
        if len(body) >= self._worth_bytes:
            found = self._follow(owner, body)
            if found is not None:
                self.hits += 1
                return found
            self.misses += 1
        return Chain(owner.door, body, parse_fields(body))

    def _follow(self, owner: Owner, body: bytes) -> Chain | None:
        best = None
        for kept in reversed(self._owners.get(owner, ())):
            alignment = align_histories(kept.chain, body)
            if alignment is None:
                continue
            same = sum(run.size for run in alignment.runs)
            if best is None or same > best[0]:
                best = same, kept, alignment
                if 2 * same > len(body):
                    break
        if best is None or best[0] < len(body) // _LEAST_IN_COMMON:
            return None
        return follow(best[1].chain, best[1].call_id, body, best[2])

    def bodies(self, owner: Owner) -> list[Kept]:
        """What is kept of an owner, the newest last."""
        return self._owners.get(owner, [])

    def keep(self, owner: Owner, call_id: bytes, chain: Chain) -> None:
        """Keep the body of a call that was opened, if it is large enough to be worth it."""
        if len(chain.body) < self._worth_bytes or _size(chain) > self._most_bytes:
            return
        bodies = self._owners.setdefault(owner, [])
        self._owners.move_to_end(owner)
        bodies.append(Kept(call_id, chain))
        self.held_bytes += _size(chain)
        if len(bodies) > _BODIES_PER_OWNER:
            self._drop(bodies, 0)
        while self.held_bytes > self._most_bytes:
            oldest, its = next(iter(self._owners.items()))
            self._drop(its, 0)
            if not its:
                del self._owners[oldest]

    def settle(self, owner: Owner, call_id: bytes, chain: Chain) -> Kept | None:
        """What is kept of a call that ended well; it takes the place of the one it goes on from. None if nothing is."""
        bodies = self._owners.get(owner, [])
        kept = next((one for one in reversed(bodies) if one.call_id == call_id), None)
        if kept is None or chain.base is None:
            return kept
        for at, old in enumerate(bodies):
            if old.call_id == chain.base.call_id:
                if _goes_on(old.chain, chain):
                    self._drop(bodies, at)
                break
        return kept

    def _drop(self, bodies: list[Kept], at: int) -> None:
        self.held_bytes -= _size(bodies.pop(at).chain)


def _size(chain: Chain) -> int:
    """What a body holds of the memory: also as it is written in another dialect."""
    return len(chain.body) * (2 if chain.door in _TRANSLATED else 1)


def _goes_on(earlier: Chain, later: Chain) -> bool:
    """Whether the later body holds the whole history of the earlier one."""
    alignment, history = later.alignment, earlier.history
    if alignment is None or history is None:
        return False
    return alignment.old_at >= history.end - 1
