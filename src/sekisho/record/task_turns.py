"""A task as one conversation: of each call only what it added, so that nothing stands twice.

A call's row says what it did not take from its parent; of that, blocks that the task has said before are left out, and
so are turns that only look new: a message sent again with another cache mark, an answer that comes back as history.
"""

from collections.abc import Iterable, Sequence

import msgspec

from sekisho.record.content import ContentRow, addresses_in
from sekisho.record.content_store import ContentStore, Own
from sekisho.record.conversation import ToolCall, ToolOutput, Turn, Words, read_answer, read_message, read_request
from sekisho.record.searching import is_message

_CONTEXT = 4  # how many calls back a turn may look new and not be


class CallTurns(msgspec.Struct, frozen=True):
    """What one call added to its task: the turns of its request, then its answer's."""

    row: ContentRow
    turns: tuple[Turn, ...]
    answer: tuple[Turn, ...]


async def read_task(store: ContentStore, task_id: bytes, *, after: bytes, limit: int) -> list[CallTurns]:
    """What a task's calls added, in their order, behind the call `after`. Raises StoreUnavailable."""
    before = await store.of_task(task_id, until=after, limit=1_000_000) if after else []
    page = await store.of_task(task_id, after=after, limit=limit)
    reading = _Reading(address for row in before[:-_CONTEXT] for address in addresses_in(row.pieces))
    found = [reading.read(own) for own in await store.read_own([*before[-_CONTEXT:], *page])]
    return found[len(found) - len(page) :]


class _Reading:
    """Reads calls in their order and remembers what was said."""

    def __init__(self, addresses: Iterable[bytes]) -> None:
        self._addresses = set(addresses)
        self._said: set[object] = set()
        self._has_begun = bool(self._addresses)

    def read(self, own: Own) -> CallTurns:
        turns = self._new(self._request(own))
        answer: tuple[Turn, ...] = ()
        if own.answer is not None:
            row = own.row
            answer = read_answer(row.door, own.answer, stream=row.stream, form=row.answer_form)
            self._new(answer)
        return CallTurns(own.row, turns, answer)

    def _request(self, own: Own) -> Sequence[Turn]:
        row = own.row
        fresh = [data for piece, data in zip(row.pieces, own.pieces, strict=True) if self._is_fresh(piece, data)]
        self._addresses.update(addresses_in(row.pieces))
        if not row.parent and not self._has_begun:
            self._has_begun = True
            return read_request(row.door, b"".join(own.pieces))
        return [turn for data in fresh for turn in read_message(row.door, data)]

    def _is_fresh(self, piece: object, data: bytes) -> bool:
        """Whether this is a message that was not sent before."""
        if isinstance(piece, tuple) and piece[0] in self._addresses:
            return False
        return is_message(data)

    def _new(self, turns: Iterable[Turn]) -> tuple[Turn, ...]:
        """Those turns that were not said before."""
        new = []
        for turn in turns:
            key = _key(turn)
            if key not in self._said:
                self._said.add(key)
                new.append(turn)
        return tuple(new)


def _key(turn: Turn) -> object:
    """What makes a turn the same for a reader, whatever dialect wrote it: its words, its calls, whose results."""
    words = "".join(part.text for part in turn.parts if isinstance(part, Words)).strip()
    calls = tuple(part.id for part in turn.parts if isinstance(part, ToolCall))
    results = tuple((part.call_id, part.text) for part in turn.parts if isinstance(part, ToolOutput))
    others = tuple(part for part in turn.parts if not isinstance(part, Words | ToolCall | ToolOutput))
    return turn.speaker, words, calls, results, others if turn.speaker == "human" else ()
