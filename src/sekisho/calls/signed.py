"""A body in pieces, and the hash of one that is signed, gone on from the turn before it.

SigV4 signs the SHA-256 of the body, 0.4 ms for 800 KB. What a turn has in common with the one before it stands at the
beginning, also as we write it: so the hash is kept where that may end. Why: docs/why/blocks.md
"""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from sekisho.conversation.chain import Chain
from sekisho.conversation.layout import HISTORY, Span
from sekisho.dialects.cache_marks import MARK_WORDS
from sekisho.dialects.text import Text
from sekisho.upstream.payload import Begun, Payload

_MESSAGE_STARTS = (b'},{"role":', b'}, {"role":')
_REACH_BYTES = 65_536
_MOST_KEPT = 4  # beginnings of one body; an agent moves at most so many marks


class _Hashed(NamedTuple):
    """How a body began upstream, up to its messages, and its hash at some places; filled once it was signed."""

    head: bytes
    kept: list[Begun]


def signed_payload(chain: Chain, head: bytes, messages: Text, tail: bytes) -> Payload:
    """A body for upstream that can be signed at the cost of what is new, if its messages are the client's own bytes."""
    history = chain.history if messages.body is chain.body else None
    if history is None:
        return Payload((head, bytes(messages), tail))
    shift = len(head) - history.start
    begun = None
    before = chain.before.sent.get("invoke") if chain.before and chain.base else None
    if chain.base and isinstance(before, _Hashed) and before.head == head:
        known = [one for one in before.kept if one.size <= chain.base.prefix_bytes + shift]
        begun = max(known, key=_size, default=None)
    cuts = [at + shift for at in _likely_ends(chain, history) if at > history.start]
    view = memoryview(chain.body)[messages.start : messages.end]
    payload = Payload((head, view, tail), begun, sorted(set(cuts))[-_MOST_KEPT:])
    chain.notes.sent["invoke"] = _Hashed(head, payload.kept)
    return payload


def unchanged_payload(chain: Chain) -> Payload:
    """The client's own body."""
    history = chain.history
    if history is None:
        return Payload((chain.body,))
    head, tail = chain.body[: history.start], chain.body[history.end :]
    return signed_payload(chain, head, chain.text.part(*history), tail)


def passed_payload(chain: Chain, members: Mapping[str, msgspec.Raw]) -> Payload:
    """A body of these members; a history that is the client's own goes out as it lies in its body."""
    name, history = HISTORY[chain.door], chain.history
    pieces: list[bytes | memoryview] = []
    joint = b"{"
    for member, value in members.items():
        pieces.append(joint + msgspec.json.encode(member) + b":")
        joint = b","
        is_given = member == name and history is not None and value is chain.fields[name]
        pieces.append(memoryview(chain.body)[slice(*history)] if is_given and history else bytes(value))
    pieces.append(b"}" if members else b"{}")
    return Payload(_joined(pieces))


def _joined(pieces: list[bytes | memoryview]) -> list[bytes | memoryview]:
    """The small ones between the large ones joined."""
    joined: list[bytes | memoryview] = []
    small: list[bytes] = []
    for piece in pieces:
        if isinstance(piece, bytes):
            small.append(piece)
        else:
            joined += (b"".join(small), piece)
            small = []
    return [*joined, b"".join(small)]


def _size(begun: Begun) -> int:
    return begun.size


def _likely_ends(chain: Chain, history: Span) -> list[int]:
    """Where what the next turn has in common with this one may end: behind the last message, or before one that holds
    a mark. Where a message really begins is not known before the history was parsed; a wrong guess only helps less."""
    body = chain.body
    ends = [body.rfind(b"}", history.start, history.end) + 1]
    marks = [at for word in MARK_WORDS for at in chain.text.positions(word) or () if history.start < at < history.end]
    for mark in marks[-_MOST_KEPT:]:
        least = max(history.start, mark - _REACH_BYTES)
        ends += [body.rfind(start, least, mark) + 1 for start in _MESSAGE_STARTS]
    return ends
