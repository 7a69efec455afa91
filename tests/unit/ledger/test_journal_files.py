"""The journal on disk: what was written whole is read exactly once, whatever kills the writer and when."""

import fcntl
import os
import random
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import zlib
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sekisho.errors import JournalCorrupt, StoreUnavailable
from sekisho.ledger.journal import Attempt, Caller, Opened, Record, Refused, Settled
from sekisho.ledger.journal_files import JournalReader, JournalWriter, Segment
from sekisho.values import Usage
from tests.thorough import examples

numbers = st.integers(0, 2**53)
texts = st.text(max_size=20)
ids = st.binary(min_size=16, max_size=16)
callers = st.builds(Caller, texts, texts, texts, texts, st.lists(texts, max_size=3).map(tuple), texts, texts, texts)
usages = st.builds(Usage, *[numbers] * 6)
attempts = st.builds(
    Attempt, texts, numbers, numbers, st.integers(0, 599), texts, usages, numbers, numbers, texts, texts, texts
)
records: st.SearchStrategy[Record] = st.one_of(
    st.builds(Opened, ids, numbers, callers, st.just("anthropic_messages"), texts, st.booleans(), numbers, numbers),
    st.builds(
        Settled,
        *(ids, numbers, st.sampled_from(["ok", "failed", "interrupted"]), st.sampled_from([None, "end_turn"])),
        *(texts, texts, st.booleans(), st.booleans(), usages, numbers, numbers),
        *(st.lists(attempts, max_size=2).map(tuple), numbers, numbers, st.lists(numbers, max_size=8).map(tuple)),
    ),
    st.builds(
        Refused, ids, numbers, numbers, callers, st.just("openai_chat"), texts, texts, texts, texts, st.just((1, 2))
    ),
)


def opened(number: int, model: str = "claude") -> Opened:
    caller = Caller("default", "key-1")
    return Opened(number.to_bytes(16, "big"), number, caller, "anthropic_messages", model, True, 10, 1000)


def read_all(directory: Path, offsets: dict[str, int]) -> list[Record]:
    """Everything new, moving the offsets on."""
    found: list[Record] = []
    for batch in JournalReader(directory).batches(dict(offsets)):
        offsets[batch.segment.name] = batch.end_offset
        found += batch.records
    return found


def test_a_frame_is_length_and_check_sum_and_msgpack(tmp_path: Path):
    with JournalWriter(tmp_path, "call-1") as writer:
        writer.append(opened(1))
    payload = msgspec.msgpack.encode(opened(1))
    frame = struct.pack("<II", len(payload), zlib.crc32(payload)) + payload
    assert (tmp_path / "call-1-000001.log").read_bytes() == frame


@given(
    written=st.lists(records, max_size=12),
    segment_bytes=st.integers(1, 2000),
    reads=st.sets(st.integers(0, 11)),
    cut=st.floats(0, 1),
)
@settings(max_examples=examples(30))
def test_every_whole_record_is_read_exactly_once_and_in_order(written, segment_bytes, reads, cut):
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        offsets: dict[str, int] = {}
        found: list[Record] = []
        with JournalWriter(directory, "p", segment_bytes=segment_bytes) as writer:
            for position, record in enumerate(written):
                writer.append(record)
                if position in reads:
                    found += read_all(directory, offsets)
            # the writer dies in the middle of one more record
            payload = msgspec.msgpack.encode(opened(99))
            frame = struct.pack("<II", len(payload), zlib.crc32(payload)) + payload
            last = directory / JournalReader(directory).segments()[-1].name
            with last.open("ab") as file:
                file.write(frame[: int(cut * (len(frame) - 1))])
            found += read_all(directory, offsets)
            assert not JournalReader(directory).has_ended("p", offsets)
        assert found == written
        reader = JournalReader(directory)
        assert reader.has_ended("p", offsets)
        reader.remove("p", offsets)
        assert list(directory.iterdir()) == []


@given(written=st.lists(records, min_size=2, max_size=6), data=st.data())
@settings(max_examples=examples(30))
def test_a_damaged_byte_before_the_last_record_is_an_error_never_a_loss(written, data):
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        with JournalWriter(directory, "p") as writer:
            ends = []
            for record in written:
                writer.append(record)
                ends.append((directory / "p-000001.log").stat().st_size)
        path = directory / "p-000001.log"
        content = bytearray(path.read_bytes())
        position = data.draw(st.integers(0, ends[-2] - 1))
        content[position] ^= data.draw(st.integers(1, 255))
        path.write_bytes(content)
        offsets: dict[str, int] = {}
        with pytest.raises(JournalCorrupt, match=r"p-000001\.log is damaged at offset \d+"):
            read_all(directory, offsets)
            JournalReader(directory).has_ended("p", offsets)
        assert path.exists()


WRITE_FOR_EVER = """
import sys
from pathlib import Path
from sekisho.ledger.journal import Caller, Opened
from sekisho.ledger.journal_files import JournalWriter
writer = JournalWriter(Path(sys.argv[1]), "victim", segment_bytes=20_000)
number = 0
while True:
    number += 1
    model = "m" * (number % 300)
    writer.append(Opened(number.to_bytes(16, "big"), number, Caller("o", "k"), "openai_chat", model, True, 1, 1))
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
"""


def test_kill_minus_9_loses_no_record_that_was_confirmed(tmp_path: Path):
    victim = subprocess.Popen([sys.executable, "-c", WRITE_FOR_EVER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert victim.stdout
    confirmed = 0
    offsets: dict[str, int] = {}
    found: list[Record] = []
    stop_at = random.Random(os.getpid()).randrange(300, 1500)
    for line in victim.stdout:
        confirmed = int(line)
        if confirmed % 100 == 0:
            found += read_all(tmp_path, offsets)
            JournalReader(tmp_path).remove_drained("victim", offsets)
        if confirmed == stop_at:
            assert not JournalReader(tmp_path).has_ended("victim", offsets)
            victim.send_signal(signal.SIGKILL)
            break
    confirmed = int(([str(confirmed), *victim.stdout.read().split()])[-1])
    victim.wait()
    victim.stdout.close()
    found += read_all(tmp_path, offsets)
    numbers_found = [record.call_id for record in found]
    assert numbers_found == [number.to_bytes(16, "big") for number in range(1, len(found) + 1)]
    assert confirmed <= len(found) <= confirmed + 1
    assert JournalReader(tmp_path).has_ended("victim", offsets)
    JournalReader(tmp_path).remove("victim", offsets)
    assert list(tmp_path.iterdir()) == []


def test_a_living_writer_keeps_its_newest_segment_and_gives_up_the_others(tmp_path: Path):
    offsets: dict[str, int] = {}
    with JournalWriter(tmp_path, "p", segment_bytes=1) as writer:
        for number in range(3):
            writer.append(opened(number))
        reader = JournalReader(tmp_path)
        reader.remove_drained("p", offsets)
        assert [segment.number for segment in reader.segments()] == [1, 2, 3]  # nothing was read yet
        read_all(tmp_path, offsets)
        reader.remove_drained("p", offsets)
        reader.remove("p", offsets)
        assert reader.segments() == [Segment("p", 3)]
        assert reader.size(Segment("p", 2)) == 0
        writer.append(opened(3))
    assert read_all(tmp_path, offsets) == [opened(3)]


def test_an_incomplete_record_of_a_living_writer_is_waited_for(tmp_path: Path):
    with JournalWriter(tmp_path, "p") as writer:
        writer.append(opened(1))
        path = tmp_path / "p-000001.log"
        whole = path.read_bytes()
        path.write_bytes(whole[:-1])
        reader = JournalReader(tmp_path)
        assert reader.read(Segment("p", 1), 0) is None
        path.write_bytes(whole)
        batch = reader.read(Segment("p", 1), 0)
        assert batch is not None
        assert batch.records == (opened(1),)


def test_zeros_at_the_end_of_a_dead_writers_file_are_an_incomplete_record(tmp_path: Path):
    with JournalWriter(tmp_path, "p") as writer:
        writer.append(opened(1))
    with (tmp_path / "p-000001.log").open("ab") as file:
        file.write(bytes(3_000_000))
    offsets: dict[str, int] = {}
    assert read_all(tmp_path, offsets) == [opened(1)]
    assert JournalReader(tmp_path).has_ended("p", offsets)


def test_a_record_of_an_unknown_kind_is_an_error(tmp_path: Path):
    payload = msgspec.msgpack.encode(["x", 1])
    (tmp_path / "p-000001.log").write_bytes(struct.pack("<II", len(payload), zlib.crc32(payload)) + payload)
    with pytest.raises(JournalCorrupt, match="not a record"):
        read_all(tmp_path, {})


def test_a_file_shorter_than_what_was_read_from_it_is_an_error(tmp_path: Path):
    (tmp_path / "p-000001.log").write_bytes(b"")
    with pytest.raises(JournalCorrupt, match="shorter"):
        read_all(tmp_path, {"p-000001.log": 10})


def test_a_segment_removed_before_its_writer_locked_it_is_noticed(tmp_path: Path, monkeypatch):
    """Between making a segment and locking it the reader may take it for a dead, empty one."""
    lock = fcntl.flock
    raced: list[bool] = []

    def race(descriptor: int, operation: int) -> None:
        if not raced:
            raced.append(True)
            reader = JournalReader(tmp_path)
            assert reader.has_ended("p", {})
            reader.remove("p", {})
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", race)
    with JournalWriter(tmp_path, "p") as writer:
        writer.append(opened(1))
        assert read_all(tmp_path, {}) == [opened(1)]


@contextmanager
def largest_file(size: int):
    """Let the system cut writes short at this size, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_write_cut_short_is_refused_and_leaves_no_trace(tmp_path: Path):
    with JournalWriter(tmp_path, "p") as writer:
        writer.append(opened(1))
        size = (tmp_path / "p-000001.log").stat().st_size
        with largest_file(size + 20), pytest.raises(StoreUnavailable, match="cannot be written"):
            writer.append(opened(2))
        assert (tmp_path / "p-000001.log").stat().st_size == size
        with largest_file(size), pytest.raises(StoreUnavailable, match="cannot be written"):
            writer.append(opened(2))
        writer.append(opened(3))
    assert read_all(tmp_path, {}) == [opened(1), opened(3)]


def test_a_torn_segment_that_cannot_be_cut_back_is_left_for_a_new_one(tmp_path: Path, monkeypatch):
    def refuse(_descriptor: int, _size: int) -> None:
        raise OSError("no")

    offsets: dict[str, int] = {}
    with JournalWriter(tmp_path, "p") as writer:
        writer.append(opened(1))
        size = (tmp_path / "p-000001.log").stat().st_size
        with monkeypatch.context() as patch, largest_file(size + 20), pytest.raises(StoreUnavailable):
            patch.setattr(os, "ftruncate", refuse)
            writer.append(opened(2))
        writer.append(opened(3))
        assert read_all(tmp_path, offsets) == [opened(1), opened(3)]
        JournalReader(tmp_path).remove_drained("p", offsets)
        assert JournalReader(tmp_path).segments() == [Segment("p", 2)]


def test_against_power_cuts_every_record_is_synced(tmp_path: Path, monkeypatch):
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    with JournalWriter(tmp_path, "p", durability="power") as writer:
        writer.append(opened(1))
        writer.append(opened(2))
    assert len(synced) == 2


def test_after_a_failed_sync_nothing_is_written_behind_the_doubt(tmp_path: Path, monkeypatch):
    def fail(_descriptor: int) -> None:
        raise OSError("the disk is gone")

    with JournalWriter(tmp_path, "p", durability="power") as writer:
        with monkeypatch.context() as patch, pytest.raises(StoreUnavailable):
            patch.setattr(os, "fdatasync", fail)
            writer.append(opened(1))
        writer.append(opened(2))
    assert [segment.number for segment in JournalReader(tmp_path).segments()] == [1, 2]


def test_a_record_that_is_too_large_or_a_closed_journal_is_refused(tmp_path: Path):
    writer = JournalWriter(tmp_path, "p")
    with pytest.raises(StoreUnavailable, match="size"):
        writer.append(opened(1, model="x" * 2_000_000))
    writer.append(opened(2))
    writer.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        writer.append(opened(3))
    assert read_all(tmp_path, {}) == [opened(2)]


def test_a_writer_never_writes_into_a_segment_it_found(tmp_path: Path):
    for number in range(2):
        with JournalWriter(tmp_path, "p") as writer:
            writer.append(opened(number))
    assert read_all(tmp_path, {}) == [opened(0), opened(1)]
    assert len(JournalReader(tmp_path).segments()) == 2


def test_a_bad_process_id_or_an_unusable_folder_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="process id"):
        JournalWriter(tmp_path, "../p")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        JournalWriter(tmp_path / "file" / "journal", "p")


def test_a_lock_that_is_refused_is_reported(tmp_path: Path, monkeypatch):
    def refuse(_descriptor: int, _operation: int) -> None:
        raise OSError("no locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        JournalWriter(tmp_path, "p")


def test_a_segment_that_cannot_be_read_is_reported(tmp_path: Path):
    (tmp_path / "p-000001.log").mkdir()
    with pytest.raises(StoreUnavailable, match=r"p-000001\.log cannot be read"):
        read_all(tmp_path, {})


def test_a_process_that_rotates_while_it_is_looked_at_is_alive(tmp_path: Path, monkeypatch):
    writer = JournalWriter(tmp_path, "p", segment_bytes=1)
    writer.append(opened(1))
    lock = fcntl.flock
    looked: list[bool] = []

    def rotate(descriptor: int, operation: int) -> None:
        if not looked:
            looked.append(True)
            writer.append(opened(2))  # the old segment is free now, the new one not in the reader's list
        lock(descriptor, operation)

    offsets: dict[str, int] = {}
    read_all(tmp_path, offsets)
    monkeypatch.setattr(fcntl, "flock", rotate)
    assert not JournalReader(tmp_path).has_ended("p", offsets)
    writer.close()


def test_other_files_in_the_folder_are_left_alone(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("mine")
    assert JournalReader(tmp_path).segments() == []
    assert JournalReader(tmp_path / "missing").segments() == []
