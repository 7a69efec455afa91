"""The journal on disk: segment files that call processes append to and the control process drains.

A segment is `<process id>-<number>.log`: frames of 4-byte little-endian length, 4-byte CRC-32 of the payload, payload
(msgpack of a `Record`). A process id belongs to one life of one process. The writer holds an exclusive `flock` on its
newest segment while it lives, and takes the lock of the next before it lets go of the last: so a process is dead when
all its segments can be locked. Knows nothing of the database: the reader is told offsets and tells offsets.
"""

import fcntl
import os
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import msgspec

from sekisho.errors import JournalCorrupt, StoreUnavailable
from sekisho.ledger.counters import JournalPosition
from sekisho.ledger.journal import Record

Durability = Literal["process", "power"]

HEADER_BYTES = 8
SEGMENT_BYTES = 64 << 20
RECORD_BYTES = 1 << 20  # a longer record is a fault of ours, a longer length a damaged header
BATCH_BYTES = 2 * RECORD_BYTES

_PROCESS_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_SEGMENT_NAME = re.compile(r"(?P<process>[A-Za-z0-9_.-]{1,64})-(?P<number>[0-9]{6,})\.log")
_DECODER = msgspec.msgpack.Decoder(Record)
_pack_header = struct.Struct("<II").pack


class Segment(msgspec.Struct, frozen=True, order=True):
    """One file of the journal; sorts in writing order within a process."""

    process: str
    number: int

    @property
    def name(self) -> str:
        return f"{self.process}-{self.number:06d}.log"


class Batch(msgspec.Struct, frozen=True):
    """Records read from one segment, and the offset behind the last of them."""

    segment: Segment
    end_offset: int
    records: tuple[Record, ...]


class JournalWriter:
    """Appends records to the segments of one process. Not for several threads at once.

    `durability`: "process" survives the death of the process, "power" also that of the machine.
    """

    def __init__(
        self,
        directory: Path,
        process_id: str,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        durability: Durability = "process",
    ) -> None:
        if not _PROCESS_ID.fullmatch(process_id):
            raise ValueError("a process id has 1 to 64 letters, digits and _ . -")
        self._directory = directory
        self._process_id = process_id
        self._segment_bytes = segment_bytes
        self._durability = durability
        self._encode = msgspec.msgpack.Encoder().encode
        self._descriptor = -1
        self._offset = 0
        self._is_torn = False
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            used = [s.number for s in list_segments(directory) if s.process == process_id]
            self._number = max(used, default=0)
            self._start_segment()
        except OSError as error:
            raise StoreUnavailable("The journal cannot be opened.") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def append(self, record: Record) -> JournalPosition:
        """Write one record with one `write`; where it ends. Raises StoreUnavailable when it is not safely there."""
        if self._descriptor < 0:
            raise StoreUnavailable("The journal is closed.")
        payload = self._encode(record)
        length = len(payload)
        if length > RECORD_BYTES:
            raise StoreUnavailable("The journal does not take a record of this size.")
        try:
            if self._is_torn or self._offset >= self._segment_bytes:
                self._start_segment()
            self._write(_pack_header(length, zlib.crc32(payload)) + payload)
        except OSError as error:
            raise StoreUnavailable("The journal cannot be written.") from error
        return self._number, self._offset

    def committed(self) -> None:
        """What `append` wrote is durable already, at the level this writer has."""

    def close(self) -> None:
        """Let go of the segment; the reader then takes this process for ended."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _write(self, frame: bytes) -> None:
        try:
            written = os.write(self._descriptor, frame)
        except OSError:
            self._cut_back()
            raise
        if written != len(frame):
            self._cut_back()
            raise OSError("the disk took only a part of a record")
        self._offset += written
        if self._durability == "power":
            try:
                os.fdatasync(self._descriptor)
            except OSError:
                # After a failed sync nobody knows what the disk has. The next record goes to a new file.
                self._is_torn = True
                raise

    def _cut_back(self) -> None:
        """Take a half-written record away; where that fails, never write behind it."""
        try:
            os.ftruncate(self._descriptor, self._offset)
        except OSError:
            self._is_torn = True

    def _start_segment(self) -> None:
        """Lock the next segment, then let go of the current one."""
        while True:
            segment = Segment(self._process_id, self._number + 1)
            path = self._directory / segment.name
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
            self._number = segment.number
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            except OSError:
                os.close(descriptor)
                raise
            if os.fstat(descriptor).st_nlink:
                break
            os.close(descriptor)  # a reader took the empty, not yet locked file for a dead one and removed it
        if self._durability == "power":
            _sync_directory(self._directory)
        self.close()
        self._descriptor = descriptor
        self._offset = 0
        self._is_torn = False


class JournalReader:
    """Reads what writers append, from offsets that the caller keeps."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def segments(self) -> list[Segment]:
        """Every segment there is, in writing order within each process."""
        return list_segments(self._directory)

    def size(self, segment: Segment) -> int:
        """Bytes in the segment, also those not read yet; 0 when it is gone."""
        try:
            return (self._directory / segment.name).stat().st_size
        except FileNotFoundError:
            return 0

    def read(self, segment: Segment, offset: int) -> Batch | None:
        """The next records behind `offset`; None when there is none that is complete.

        Raises JournalCorrupt, naming the file and the offset, for anything but an incomplete last record.
        """
        data = self._bytes_from(segment, offset)
        records: list[Record] = []
        start = 0
        while frame := self._frame(segment, offset, data, start):
            record, start = frame
            records.append(record)
        return Batch(segment, offset + start, tuple(records)) if records else None

    def batches(self, offsets: Mapping[str, int]) -> Iterator[Batch]:
        """Everything complete behind the given offsets (by segment name; a missing one is 0)."""
        for segment in self.segments():
            offset = offsets.get(segment.name, 0)
            while batch := self.read(segment, offset):
                yield batch
                offset = batch.end_offset

    def has_ended(self, process: str, offsets: Mapping[str, int]) -> bool:
        """Whether the process is dead and everything it wrote lies before the offsets.

        An incomplete last record of a dead writer does not count: it was never confirmed to anybody.
        Raises JournalCorrupt when complete records follow it, for then it is not the last.
        """
        with ExitStack() as locks:
            segments = self._segments_of(process)
            for segment in segments:
                if not self._lock(segment, locks):
                    return False
            if self._segments_of(process) != segments:
                return False  # it rotated while we looked
            return all(self._is_drained(segment, offsets.get(segment.name, 0)) for segment in segments)

    def is_dead(self, process: str) -> bool:
        """Whether nobody writes to the segments of this process any more."""
        with ExitStack() as locks:
            segments = self._segments_of(process)
            held = all(self._lock(segment, locks) for segment in segments)
            return held and bool(segments) and self._segments_of(process) == segments

    def remove(self, process: str, offsets: Mapping[str, int]) -> None:
        """Delete all drained segments of a process. One that its writer still holds stays."""
        for segment in self._segments_of(process):
            self._remove_if_drained(segment, offsets)

    def remove_drained(self, process: str, offsets: Mapping[str, int]) -> None:
        """Delete the segments that a process has rotated away from and that are drained; its newest stays."""
        for segment in self._segments_of(process)[:-1]:
            self._remove_if_drained(segment, offsets)

    def _segments_of(self, process: str) -> list[Segment]:
        return [segment for segment in self.segments() if segment.process == process]

    def _remove_if_drained(self, segment: Segment, offsets: Mapping[str, int]) -> None:
        with ExitStack() as locks:
            # Under the lock, so that a writer that has just made the file notices that it is gone.
            if self._lock(segment, locks) and self._is_drained(segment, offsets.get(segment.name, 0)):
                (self._directory / segment.name).unlink(missing_ok=True)

    def _lock(self, segment: Segment, locks: ExitStack) -> bool:
        """Take the segment's lock until `locks` closes; False while its writer holds it."""
        try:
            descriptor = os.open(self._directory / segment.name, os.O_RDONLY)
        except FileNotFoundError:
            return False
        locks.callback(os.close, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _is_drained(self, segment: Segment, offset: int) -> bool:
        """Whether nothing complete lies behind the offset. The writer has let go of the segment."""
        data = self._bytes_from(segment, offset, limit=-1)
        if self._frame(segment, offset, data, 0):
            return False
        if not any(data):
            return True
        for start in range(1, len(data) - HEADER_BYTES):
            if _holds_record(data, start):
                raise _corrupt(segment, offset, "complete records follow an incomplete one")
        return True

    def _bytes_from(self, segment: Segment, offset: int, limit: int = BATCH_BYTES) -> bytes:
        try:
            with open(self._directory / segment.name, "rb") as file:
                if offset > os.fstat(file.fileno()).st_size:
                    raise _corrupt(segment, offset, "the file is shorter than what was read from it")
                file.seek(offset)
                return file.read(limit)
        except OSError as error:
            raise StoreUnavailable(f"The journal segment {segment.name} cannot be read.") from error

    def _frame(self, segment: Segment, offset: int, data: bytes, start: int) -> tuple[Record, int] | None:
        """The record at `start` and where it ends; None when it is not complete.

        A run of zero bytes up to the end is an incomplete record too: after a power cut a file may have grown before
        its content reached the disk.
        """
        if len(data) - start < HEADER_BYTES or not any(memoryview(data)[start:]):
            return None
        length = int.from_bytes(data[start : start + 4], "little")
        if not 0 < length <= RECORD_BYTES:
            raise _corrupt(segment, offset + start, f"a record of {length} bytes")
        end = start + HEADER_BYTES + length
        if end > len(data):
            return None
        payload = _payload(data, start)
        if payload is None:
            raise _corrupt(segment, offset + start, "the check sum does not fit")
        try:
            return _DECODER.decode(payload), end
        except msgspec.MsgspecError as error:
            raise _corrupt(segment, offset + start, "the content is not a record") from error


def list_segments(directory: Path) -> list[Segment]:
    """The segments in a journal directory, sorted; other files are not ours and stay untouched."""
    found = (_SEGMENT_NAME.fullmatch(entry.name) for entry in directory.iterdir()) if directory.is_dir() else ()
    return sorted(Segment(match["process"], int(match["number"])) for match in found if match)


def _payload(data: bytes, start: int) -> memoryview | None:
    """The payload of the complete frame at `start`, if a valid one is there."""
    length = int.from_bytes(data[start : start + 4], "little")
    begin = start + HEADER_BYTES
    if not 0 < length <= min(RECORD_BYTES, len(data) - begin):
        return None
    payload = memoryview(data)[begin : begin + length]
    return payload if zlib.crc32(payload) == int.from_bytes(data[start + 4 : begin], "little") else None


def _holds_record(data: bytes, start: int) -> bool:
    payload = _payload(data, start)
    if payload is None:
        return False
    try:
        _DECODER.decode(payload)
    except msgspec.MsgspecError:
        return False
    return True


def _corrupt(segment: Segment, offset: int, what: str) -> JournalCorrupt:
    return JournalCorrupt(f"The journal segment {segment.name} is damaged at offset {offset}: {what}.")


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
