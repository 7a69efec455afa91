"""The drain: journal to ledger, exactly once, also across failures and dead processes."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from sekisho.clock import FakeClock
from sekisho.errors import StoreUnavailable
from sekisho.ledger.drain import Drain
from sekisho.ledger.journal import Caller, Opened, Record
from sekisho.ledger.journal_files import Batch, JournalReader, JournalWriter


class MemoryLedger:
    """A ledger that remembers what it was told, and can refuse."""

    def __init__(self) -> None:
        self.kept: dict[str, int] = {}
        self.records: list[Record] = []
        self.interrupted: list[str] = []
        self.is_down = False

    async def offsets(self) -> dict[str, int]:
        return dict(self.kept)

    async def apply(self, batch: Batch) -> None:
        if self.is_down:
            raise StoreUnavailable
        self.records += batch.records
        self.kept[batch.segment.name] = batch.end_offset

    async def interrupt(self, process: str, now_us: int) -> int:
        self.interrupted.append(process)
        return 1

    async def forget(self, segments: Sequence[str]) -> None:
        for segment in segments:
            del self.kept[segment]


def opened(number: int) -> Opened:
    return Opened(number.to_bytes(16, "big"), number, Caller("o", "k"), "openai_chat", "m", True, 1, 1)


@pytest.fixture
def ledger() -> MemoryLedger:
    return MemoryLedger()


def drain_of(directory: Path, ledger: MemoryLedger, ended: list[str] | None = None) -> Drain:
    seen: list[str] = [] if ended is None else ended
    return Drain(JournalReader(directory), ledger, FakeClock(), on_ended=seen.append)


async def test_records_are_booked_once_and_in_order_while_the_writer_lives(tmp_path, ledger):
    drain = drain_of(tmp_path, ledger)
    with JournalWriter(tmp_path, "p", segment_bytes=1) as writer:
        for number in range(5):
            writer.append(opened(number))
            assert await drain.drain_once() == 1
        assert await drain.drain_once() == 0
        assert len(JournalReader(tmp_path).segments()) == 1
        assert list(ledger.kept) == ["p-000005.log"]
    assert ledger.records == [opened(number) for number in range(5)]
    assert ledger.interrupted == []


async def test_a_dead_process_is_settled_reported_and_cleared_away(tmp_path, ledger):
    ended: list[str] = []
    with JournalWriter(tmp_path, "p") as writer:
        writer.append(opened(1))
    await drain_of(tmp_path, ledger, ended).drain_once()
    assert (ledger.interrupted, ended) == (["p"], ["p"])
    assert (JournalReader(tmp_path).segments(), ledger.kept) == ([], {})


async def test_what_could_not_be_booked_is_booked_later(tmp_path, ledger):
    drain = drain_of(tmp_path, ledger)
    with JournalWriter(tmp_path, "p") as writer:
        writer.append(opened(1))
        ledger.is_down = True
        with pytest.raises(StoreUnavailable):
            await drain.drain_once()
        assert drain.lag_bytes() > 0
        writer.append(opened(2))
        ledger.is_down = False
        assert await drain.drain_once() == 2
        assert drain.lag_bytes() == 0
    assert ledger.records == [opened(1), opened(2)]


async def test_what_is_written_meanwhile_waits_for_the_next_drain(tmp_path):
    with JournalWriter(tmp_path, "p") as writer:

        class Busy(MemoryLedger):
            async def apply(self, batch: Batch) -> None:
                await super().apply(batch)
                if len(self.records) < 5:
                    writer.append(opened(len(self.records)))

        ledger = Busy()
        drain = drain_of(tmp_path, ledger)
        writer.append(opened(0))
        assert [await drain.drain_once() for _ in range(6)] == [1, 1, 1, 1, 1, 0]
    assert ledger.records == [opened(number) for number in range(5)]


async def test_a_new_drain_goes_on_where_the_ledger_stands(tmp_path, ledger):
    with JournalWriter(tmp_path, "p") as writer:
        writer.append(opened(1))
        await drain_of(tmp_path, ledger).drain_once()
        writer.append(opened(2))
        assert await drain_of(tmp_path, ledger).drain_once() == 1
    assert ledger.records == [opened(1), opened(2)]


async def test_damage_stops_its_own_process_only_and_keeps_the_file(tmp_path, ledger, caplog):
    for process in ("bad", "good"):
        with JournalWriter(tmp_path, process) as writer:
            writer.append(opened(1))
            writer.append(opened(2))
    path = tmp_path / "bad-000001.log"
    content = bytearray(path.read_bytes())
    content[10] ^= 1
    path.write_bytes(content)
    drain = drain_of(tmp_path, ledger)
    await drain.drain_once()
    await drain.drain_once()
    assert ledger.records == [opened(1), opened(2)]
    assert ledger.interrupted == ["good"]
    assert path.exists()
    assert "bad-000001.log is damaged at offset 0" in drain.damaged["bad"]
    assert caplog.text.count("damaged") == 1


async def test_a_segment_that_cannot_be_read_holds_up_its_own_process_only(tmp_path, ledger):
    drain = drain_of(tmp_path, ledger)
    (tmp_path / "a-000001.log").mkdir()  # reading it fails, whoever tries
    with JournalWriter(tmp_path, "b") as writer:
        writer.append(opened(1))
        with pytest.raises(StoreUnavailable, match="a-000001"):
            await drain.drain_once()
        assert ledger.records == [opened(1)]
        (tmp_path / "a-000001.log").rmdir()
        assert await drain.drain_once() == 0


async def test_a_damaged_segment_that_is_mended_is_booked(tmp_path, ledger, caplog):
    drain = drain_of(tmp_path, ledger)
    with JournalWriter(tmp_path, "p") as writer:
        for number in range(3):
            writer.append(opened(number))
        path = tmp_path / "p-000001.log"
        whole = path.read_bytes()
        path.write_bytes(whole[:9] + b"\xff" + whole[10:])
        await drain.drain_once()
        assert list(drain.damaged) == ["p"] and ledger.records == []
        path.write_bytes(whole)
        assert await drain.drain_once() == 3
        assert drain.damaged == {}


async def test_the_offsets_of_other_machines_in_the_same_ledger_are_left_alone(tmp_path, ledger):
    ledger.kept = {"b.call-1-000001.log": 500, "a.call-1-000001.log": 100}
    drain = Drain(JournalReader(tmp_path), ledger, FakeClock(), owner="a.")
    await drain.drain_once()
    assert ledger.kept == {"b.call-1-000001.log": 500}
