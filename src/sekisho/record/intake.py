"""Works out what a batch of the spool adds to the store: rows, answers, blocks. Pure; runs in a thread."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

import msgspec

from sekisho.record.content import (
    TITLE,
    AnswerPart,
    AnswerState,
    ContentRow,
    NewText,
    Piece,
    Pieces,
    addresses_in,
    join_pieces,
    length_of,
)
from sekisho.record.conversation import read_request
from sekisho.record.sealing import TeamKey
from sekisho.record.searching import SeenTexts, answer_texts, request_texts, text_digest
from sekisho.record.spool import Asked, Frame, Lost, Origin, Said
from sekisho.record.titles import title_of
from sekisho.values import Door

LITERAL_BYTES = 48  # so few bytes take less room in a row than the address of a block
MOST_DEPTH = 64
_STATES: dict[str, AnswerState] = {"more": "running", "whole": "whole", "none": "none", "lost": "lost"}


class Known(msgspec.Struct, frozen=True):
    """A call that is stored: what its request is made of."""

    vault: int
    pieces: Pieces
    depth: int
    is_whole: bool = True
    door: Door | None = None
    stream: bool = False
    answer_parts: int = 0


class Intake:
    """What one batch adds. `requests`: of calls that are new. `blocks` and `named`: by vault. `is_broken`: a request
    was built on one that is not here."""

    def __init__(
        self, vaults: Mapping[str, int], keys: Mapping[int, TeamKey], known: Mapping[bytes, Known], seen: SeenTexts
    ) -> None:
        self._seen = seen
        self.seen: dict[bytes, None] = {}  # digests of the texts that are kept
        self._vaults = vaults
        self._keys = keys
        self._known = known
        self._rows: dict[bytes, ContentRow] = {}
        self._answers: dict[bytes, AnswerPart] = {}
        self._parts: Counter[bytes] = Counter()
        self.requests: dict[bytes, Known] = {}
        self.blocks: dict[int, dict[bytes, bytes]] = {}
        self.named: dict[int, Counter[bytes]] = {}
        self.texts: list[NewText] = []
        self.is_broken = False

    @property
    def rows(self) -> list[ContentRow]:
        return list(self._rows.values())

    @property
    def answers(self) -> list[AnswerPart]:
        return list(self._answers.values())

    def read(self, frames: Sequence[Frame]) -> None:
        """Take in a batch, in its order."""
        for frame in frames:
            match frame.head:
                case Asked():
                    self._ask(frame.head, frame.body)
                case Said():
                    self._say(frame.head, frame.body)
                case Lost():
                    self._lose(frame.head.origin)

    def _ask(self, asked: Asked, body: bytes) -> None:
        origin = asked.origin
        if origin.call_id in self._known:
            return  # it is stored already
        vault = self._vaults[origin.team_id]
        own = self._pieces(vault, _cut(body, asked.cuts))
        row = _row(origin, vault)
        texts = request_texts(origin.door, _cut(body, asked.cuts) if asked.base else [body])
        self._add_text(origin.call_id, 0, vault, texts)
        if not asked.base and (title := title_of(read_request(origin.door, body))):
            self._seal(origin.call_id, TITLE, vault, title)
        if asked.base:
            based = self._on_base(asked, row, own)
            if based is None:
                self.is_broken = True
                self._keep(msgspec.structs.replace(row, request_state="lost"), ())
                return
            row, pieces = based
        else:
            row, pieces = msgspec.structs.replace(row, pieces=own), own
        self._keep(row, pieces)

    def _on_base(self, asked: Asked, row: ContentRow, own: Pieces) -> tuple[ContentRow, Pieces] | None:
        """The row as a child of its base, and all its pieces; None if the base is not here or does not fit."""
        base = self.requests.get(asked.base) or self._known.get(asked.base)
        if base is None or not base.is_whole or base.vault != row.vault:
            return None
        if not _fits(asked, base.pieces):
            return None
        pieces = join_pieces(base.pieces, asked.kept, own, asked.tail)
        if any(isinstance(piece, int) for piece in pieces):
            return None
        if base.depth + 1 >= MOST_DEPTH:  # a row of its own, so that reading one never walks far
            return msgspec.structs.replace(row, pieces=pieces), pieces
        return (
            msgspec.structs.replace(
                row, parent=asked.base, kept=asked.kept, tail=asked.tail, pieces=own, depth=base.depth + 1
            ),
            pieces,
        )

    def _keep(self, row: ContentRow, pieces: Pieces) -> None:
        self._rows[row.call_id] = row
        is_whole = row.request_state == "whole"
        self.requests[row.call_id] = Known(row.vault, pieces, row.depth, is_whole, row.door, row.stream)
        self.named.setdefault(row.vault, Counter()).update(addresses_in(row.pieces))
        self.blocks.setdefault(row.vault, {})

    def _say(self, said: Said, body: bytes) -> None:
        call = self.requests.get(said.call_id) or self._known.get(said.call_id)
        if call is None:
            return  # its content was deleted, or never came
        pieces = self._pieces(call.vault, [body] if body else [])
        self.named.setdefault(call.vault, Counter()).update(addresses_in(pieces))
        self.blocks.setdefault(call.vault, {})
        state = _STATES[said.state]
        self._tell_answer(said, body, call)
        row = self._rows.get(said.call_id)
        if row is not None:
            self._rows[said.call_id] = msgspec.structs.replace(
                row, answer=(*row.answer, *pieces), answer_state=state, answer_form=said.form
            )
            return
        before = self._answers.get(said.call_id)
        pieces = (*before.pieces, *pieces) if before else pieces
        self._answers[said.call_id] = AnswerPart(said.call_id, pieces, state, said.form)

    def _tell_answer(self, said: Said, body: bytes, call: Known) -> None:
        row = self._rows.get(said.call_id)
        door, stream = (row.door, row.stream) if row else (call.door, call.stream)
        if body and door:
            texts = answer_texts(door, body, stream=stream, form=said.form)
            self._parts[said.call_id] += 1
            self._add_text(said.call_id, self._parts[said.call_id] + call.answer_parts, call.vault, texts)

    def _add_text(self, call_id: bytes, part: int, vault: int, texts: Sequence[str]) -> None:
        """Keep what of these texts was not kept lately, to be searched."""
        new = []
        for text in texts:
            digest = text_digest(vault, text)
            if text and digest not in self._seen and digest not in self.seen:
                self.seen[digest] = None
                new.append(text)
        if new:
            self._seal(call_id, part, vault, "\n".join(new))

    def _seal(self, call_id: bytes, part: int, vault: int, text: str) -> None:
        self.texts.append(NewText(call_id, part, vault, self._keys[vault].seal(text.encode(errors="replace"), call_id)))

    def _lose(self, origin: Origin) -> None:
        """A call of which something could not be kept: its request if nothing came, else its answer."""
        call = self.requests.get(origin.call_id) or self._known.get(origin.call_id)
        if call is not None:
            self._say(Said(origin.call_id, "lost"), b"")
            return
        row = _row(origin, self._vaults[origin.team_id])
        self._keep(msgspec.structs.replace(row, request_state="lost", answer_state="lost"), ())

    def _pieces(self, vault: int, chunks: Sequence[bytes]) -> Pieces:
        key, blocks = self._keys[vault], self.blocks.setdefault(vault, {})
        pieces: list[Piece] = []
        for chunk in chunks:
            if len(chunk) <= LITERAL_BYTES:
                pieces.append(chunk)
                continue
            address = key.address(chunk)
            blocks[address] = chunk
            pieces.append((address, len(chunk)))
        return tuple(pieces)


def _fits(asked: Asked, base: Pieces) -> bool:
    """Whether the base has these pieces, and they are as long as they must be: then their bytes are the right ones."""
    if asked.kept + asked.tail > len(base):
        return False
    ends = ((base[: asked.kept], asked.kept_bytes), (base[len(base) - asked.tail :], asked.tail_bytes))
    return all(size in (-1, sum(map(length_of, pieces))) for pieces, size in ends)


def _cut(body: bytes, cuts: Sequence[int]) -> list[bytes]:
    """The body in pieces: what lies between the cuts, which may be nothing."""
    return [body[start:end] for start, end in pairwise((0, *cuts, len(body)))]


def _row(origin: Origin, vault: int) -> ContentRow:
    return ContentRow(
        call_id=origin.call_id,
        vault=vault,
        started_at=origin.started_at,
        user_id=origin.user_id,
        key_id=origin.key_id,
        task_id=origin.task_id,
        level=origin.level,
        door=origin.door,
        stream=origin.stream,
    )
