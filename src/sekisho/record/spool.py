"""The content of calls on its way from the call processes to the store: segment files beside the journal.

A segment is `<process id>-<number>.spool`: frames of head length, body length (4 bytes each, little-endian), XXH3 of
both (8 bytes), head (msgpack of a `Head`), body (the bytes themselves). The writer holds an exclusive `flock` on its
newest segment while it lives, and takes that of the next before it lets go of the last: a segment that can be locked is
complete. Losing all of it loses no money: the ledger never waits for it. Why it is so: docs/why/content.md
"""

import fcntl
import logging
import os
import re
import struct
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

import msgspec
from xxhash import xxh3_64

from sekisho.clock import Clock
from sekisho.values import ContentLevel, Door

log = logging.getLogger(__name__)

SEGMENT_BYTES = 16 << 20
BATCH_BYTES = 8 << 20
MOST_BYTES = 1 << 30
_RETRY_US = 1_000_000
_MOST_LOST = 10_000
_MARKED_AT_ONCE = 1_000
_JOINED_PARTS = 512  # more buffers than that are too many for one `writev`
_HEADER = struct.Struct("<IIQ")
_NAME = re.compile(r"(?P<process>[A-Za-z0-9_.-]{1,128})-(?P<number>[0-9]{6,})\.spool")


class Origin(msgspec.Struct, frozen=True, array_like=True):
    """Whose content it is, and how it is to be kept. `task_id` is empty where no task is known."""

    call_id: bytes
    started_at: int
    org_id: str
    team_id: str
    user_id: str
    key_id: str
    level: ContentLevel
    door: Door
    stream: bool
    task_id: bytes = b""


class Asked(msgspec.Struct, frozen=True, array_like=True, tag="a"):
    """A call's request: the first `kept` pieces of the request of `base`, the frame's body, the last `tail` pieces.

    `cuts`: where the frame's body is cut into pieces, rising; two may be equal. No `base`: the frame's body is all.
    `kept_bytes`, `tail_bytes`: what these pieces of the base must come to; -1 where that is not known."""

    origin: Origin
    base: bytes = b""
    kept: int = 0
    tail: int = 0
    cuts: tuple[int, ...] = ()
    kept_bytes: int = -1
    tail_bytes: int = -1


class Said(msgspec.Struct, frozen=True, array_like=True, tag="s"):
    """A part of a call's answer, as its client's dialect writes it, or (`form` "turns") as neutral turns in JSON.

    `state`: "more" comes; "whole"; "none": the call failed before it had one; "lost": it could not be kept."""

    call_id: bytes
    state: Literal["more", "whole", "none", "lost"]
    form: Literal["bytes", "turns"] = "bytes"


class Lost(msgspec.Struct, frozen=True, array_like=True, tag="l"):
    """The content of this call could not be kept."""

    origin: Origin


Head = Asked | Said | Lost
_DECODER: msgspec.msgpack.Decoder[Head] = msgspec.msgpack.Decoder(Head)
Buffer = bytes | memoryview


class Segment(msgspec.Struct, frozen=True, order=True):
    """One file of the spool; sorts in writing order within a process."""

    process: str
    number: int

    @property
    def name(self) -> str:
        return f"{self.process}-{self.number:06d}.spool"


class Spool(Protocol):
    """Takes frames, or says that it could not. Never raises, never waits."""

    def append(self, head: Head, parts: Sequence[Buffer] = ()) -> bool: ...

    def lose(self, origin: Origin) -> None: ...


class SpoolWriter:
    """Appends to the spool of one process. Never raises and never waits: what cannot be written is dropped, and said
    to be lost once writing works again. `most_bytes` bounds the folder, whoever wrote what is in it."""

    def __init__(self, directory: Path, process_id: str, clock: Clock, *, most_bytes: int = MOST_BYTES) -> None:
        self._directory = directory
        self._process_id = process_id
        self._clock = clock
        self._most_bytes = most_bytes
        self._encoder = msgspec.msgpack.Encoder()
        self._descriptor = -1
        self._number = max((one.number for one in list_segments(directory) if one.process == process_id), default=0)
        self._offset = 0
        self._closed_until_us = 0
        self._lost: deque[Lost] = deque(maxlen=_MOST_LOST)
        self.failure = ""

    def append(self, head: Head, parts: Sequence[Buffer] = ()) -> bool:
        """Write one frame with one write; whether it is there."""
        if self._closed_until_us and not self._reopen():
            return False
        try:
            while self._lost:
                self._write(self._lost[0], ())
                self._lost.popleft()
            self._write(head, parts)
        except OSError as error:
            self._fail(error.strerror or str(error))
            return False
        if self.failure:
            log.warning("the content of calls is kept again")
            self.failure = ""
        return True

    def lose(self, origin: Origin) -> None:
        """Note that a call's content could not be kept."""
        self._lost.append(Lost(origin))
        if len(self._lost) >= _MARKED_AT_ONCE:
            self._mark_lost()

    def _mark_lost(self) -> None:
        """Write what was lost into a segment of its own, beyond the bound of the folder, for it is little."""
        try:
            self._start_segment(heeds_bound=False)
            while self._lost:
                self._write(self._lost[0], ())
                self._lost.popleft()
            self.close()
        except OSError:  # the disk itself takes nothing: the newest wait until it does
            return

    def rotate(self) -> None:
        """Go on in a new segment, so that what is in this one can be taken and deleted: it is not encrypted."""
        if self._offset > 0:
            self.close()

    def close(self) -> None:
        """Let go of the segment: the reader takes it for complete."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor, self._offset = -1, 0

    def _write(self, head: Head, parts: Sequence[Buffer]) -> None:
        if self._descriptor < 0 or self._offset >= SEGMENT_BYTES:
            self._start_segment()
        encoded = self._encoder.encode(head)
        if len(parts) > _JOINED_PARTS:
            parts = (b"".join(parts),)
        check, size = xxh3_64(encoded), 0
        for part in parts:
            check.update(part)
            size += len(part)
        header = _HEADER.pack(len(encoded), size, check.intdigest())
        length = len(header) + len(encoded) + size
        try:
            written = os.writev(self._descriptor, (header, encoded, *parts))
        except OSError:
            self._cut_back()
            raise
        if written != length:
            self._cut_back()
            raise OSError("the disk took only a part")
        self._offset += length

    def _cut_back(self) -> None:
        """Take a half-written frame away; where that fails, never write behind it."""
        try:
            os.ftruncate(self._descriptor, self._offset)
        except OSError:
            self.close()

    def _fail(self, reason: str) -> None:
        if not self.failure:
            log.error("the content of calls is not kept: the spool %s: %s", self._directory, reason)
        self.failure = reason
        self._closed_until_us = self._clock.monotonic_us() + _RETRY_US

    def _reopen(self) -> bool:
        """Whether it is time to try again."""
        if self._clock.monotonic_us() < self._closed_until_us:
            return False
        self._closed_until_us = 0
        return True

    def _start_segment(self, *, heeds_bound: bool = True) -> None:
        """Lock the next segment, then let go of the current one. Raises OSError, also when the folder is full."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        used = spool_bytes(self._directory) if heeds_bound else 0
        if used >= self._most_bytes:
            raise OSError(f"it holds {used:,} bytes that the store has not taken")
        while True:
            segment = Segment(self._process_id, self._number + 1)
            path = self._directory / segment.name
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
            self._number = segment.number
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink:
                break
            os.close(descriptor)  # a reader took the empty, not yet locked file for a complete one and removed it
        self.close()
        self._descriptor, self._offset = descriptor, 0


class Frame(msgspec.Struct, frozen=True):
    """What one write brought, and where the next frame begins."""

    head: Head
    body: bytes
    end_offset: int


class SpoolReader:
    """Reads what writers append, from offsets that the caller keeps."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def segments(self) -> list[Segment]:
        """Every segment there is, in writing order within each process."""
        return list_segments(self._directory)

    def bytes_left(self) -> int:
        """How much lies in the spool, taken or not."""
        return spool_bytes(self._directory)

    def size(self, segment: Segment) -> int:
        """Bytes in the segment, also those not read yet. Raises OSError."""
        return (self._directory / segment.name).stat().st_size

    def read(self, segment: Segment, offset: int) -> tuple[Frame, ...]:
        """The next frames behind `offset`, about `BATCH_BYTES`; none when no complete one is there.

        A damaged frame is left out, loudly. Raises OSError."""
        frames: list[Frame] = []
        with open(self._directory / segment.name, "rb") as file:
            file.seek(offset)
            taken = 0
            while taken < BATCH_BYTES:
                found = self._next(segment, file.read(_HEADER.size), file, offset)
                if found is None:
                    break
                taken += found.end_offset - offset
                offset = found.end_offset
                frames.append(found)
        return tuple(frames)

    def _next(self, segment: Segment, header: bytes, file: BinaryIO, offset: int) -> Frame | None:
        if len(header) < _HEADER.size:
            return None
        head_bytes, body_bytes, check = _HEADER.unpack(header)
        encoded = file.read(head_bytes)
        body = file.read(body_bytes)
        if len(encoded) + len(body) < head_bytes + body_bytes:
            return None
        end = offset + _HEADER.size + head_bytes + body_bytes
        try:
            if xxh3_64(encoded + body).intdigest() != check:
                raise msgspec.DecodeError("its check sum is wrong")
            return Frame(_DECODER.decode(encoded), body, end)
        except msgspec.DecodeError as error:
            log.error("content is lost: %s is damaged at offset %d: %s", segment.name, offset, error)
            return Frame(Said(b"", "lost"), b"", end)

    def remove_drained(self, offsets: dict[str, int]) -> list[str]:
        """Delete the segments that nobody writes to any more and that were read as far as they are complete; names."""
        removed = []
        for segment in self.segments():
            path = self._directory / segment.name
            try:
                descriptor = os.open(path, os.O_RDONLY)
            except FileNotFoundError:
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not self.read(segment, offsets.get(segment.name, 0)):
                    path.unlink(missing_ok=True)
                    removed.append(segment.name)
            except BlockingIOError:
                pass
            finally:
                os.close(descriptor)
        return removed

    def batches(self, offsets: dict[str, int]) -> Iterator[tuple[Segment, tuple[Frame, ...]]]:
        """Everything complete behind the given offsets (by segment name; a missing one is 0)."""
        for segment in self.segments():
            offset = offsets.get(segment.name, 0)
            while frames := self.read(segment, offset):
                yield segment, frames
                offset = frames[-1].end_offset


def list_segments(directory: Path) -> list[Segment]:
    """The segments in a folder; none where there is no folder."""
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    matches = filter(None, map(_NAME.fullmatch, names))
    return sorted(Segment(match["process"], int(match["number"])) for match in matches)


def spool_bytes(directory: Path) -> int:
    """The size of everything in the folder."""
    total = 0
    for segment in list_segments(directory):
        try:
            total += (directory / segment.name).stat().st_size
        except FileNotFoundError:  # it was drained meanwhile
            continue
    return total
