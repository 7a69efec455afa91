"""A store that fails, a disk that is full, damage: calls go on, and content catches up or is said to be lost."""

import asyncio
import errno
import logging
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sekisho.errors import StoreUnavailable
from sekisho.record import spool as spool_module
from sekisho.record.content import ContentFilter, ContentSettings
from sekisho.record.spool import MOST_BYTES, Asked, Head, Lost, Said, SpoolReader, SpoolWriter
from tests.contract.store.recordings import Desk
from tests.contract.store.test_content import NOTHING, counts

BODY = b'{"messages":["%s"]}'


class FailingBlobs:
    """Blobs that fail when they are told to; `answers`: whether each write works, then all do."""

    def __init__(self, blobs, answers=()) -> None:
        self._blobs = blobs
        self.answers = list(answers)
        self.is_down = False

    def put(self, name: str, data: bytes) -> None:
        if self.is_down or (self.answers and not self.answers.pop(0)):
            raise StoreUnavailable("Content cannot be written: no space.")
        self._blobs.put(name, data)

    def __getattr__(self, name):
        return getattr(self._blobs, name)


@pytest.fixture
def desk(database, tmp_path) -> Desk:
    return Desk(tmp_path, database)


def failing(desk: Desk, *answers: bool) -> FailingBlobs:
    blobs = FailingBlobs(desk.keeper.store._blobs, answers)
    desk.keeper.store._blobs = blobs
    return blobs


async def test_while_the_store_is_down_content_waits_and_then_catches_up(desk):
    blobs = failing(desk)
    blobs.is_down = True
    first = desk.call(BODY % (b"a" * 99), b"answer" * 20)
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await desk.keeper.take_once()
    second = desk.call(BODY % (b"a" * 99 + b'","b'), b"more" * 20, after=first)
    assert desk.keeper.health().spool_bytes > 0
    blobs.is_down = False
    await desk.keeper.take_once()
    assert (await desk.keeper.store.read(first)).answer == b"answer" * 20
    assert (await desk.keeper.store.read(second)).request == desk.bodies[second]


async def test_a_full_spool_loses_content_says_so_and_holds_its_bound(database, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(spool_module, "SEGMENT_BYTES", 20_000)
    monkeypatch.setattr(spool_module, "_MOST_LOST", 9)  # fewer than are lost
    monkeypatch.setattr(spool_module, "_MARKED_AT_ONCE", 5)
    desk = Desk(tmp_path, database, ContentSettings(spool_bytes=50_000))
    ids = [desk.call(BODY % (b"%d" % number * 5_000), b"answer") for number in range(40)]
    assert spool_module.spool_bytes(tmp_path / "spool") < 50_000 + 2 * 20_000
    assert [record.levelno for record in caplog.records if "not kept" in record.message] == [logging.ERROR]
    await desk.keeper.take_once()
    desk.clock.advance(2)
    last = desk.call(BODY % b"last", b"answer")
    await desk.keeper.take_once()
    found = [await desk.keeper.store.read(call_id) for call_id in (*ids, last)]
    states = [one.request_state if one else "unknown" for one in found]
    assert states[0] == states[-1] == "whole"
    assert set(states) == {"whole", "lost"}
    for call_id, one in zip((*ids, last), found, strict=True):
        assert one.request in (None, desk.bodies[call_id])


async def test_a_disk_that_refuses_to_write_raises_nothing_and_leaves_no_half_a_frame(desk, monkeypatch):
    first = desk.call(BODY % (b"a" * 99), b"answer")
    real, is_full = os.writev, [True]

    def half(descriptor, parts):
        if is_full[0]:
            real(descriptor, [b"".join(parts)[:30]])
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, parts)

    monkeypatch.setattr(os, "writev", half)
    lost = desk.call(BODY % (b"b" * 99), b"answer")
    is_full[0] = False
    desk.clock.advance(2)
    last = desk.call(BODY % (b"c" * 99), b"answer")
    await desk.keeper.take_once()
    states = [(await desk.keeper.store.read(one)).request_state for one in (first, lost, last)]
    assert states == ["whole", "lost", "whole"]


async def test_a_damaged_frame_loses_what_it_held_and_nothing_else(desk):
    first = desk.call(BODY % (b"first" * 30), b"answer")
    second = desk.call(BODY % (b"second" * 30), b"answer")
    desk.spool.close()
    (path,) = (desk.home / "spool").iterdir()
    data = path.read_bytes()
    path.write_bytes(data.replace(b"first" * 30, b"frist" * 30))
    await desk.keeper.take_once()
    assert await desk.keeper.store.read(first) is None
    assert (await desk.keeper.store.read(second)).request == desk.bodies[second]


async def test_what_builds_on_content_that_is_not_here_is_lost_and_the_next_is_whole(desk):
    first = desk.call(BODY % (b"a" * 99))
    await desk.keeper.take_once()
    await desk.keeper.store.delete(ContentFilter(call_id=first))  # behind the call process's back
    second = desk.call(BODY % (b"a" * 99 + b'","b'), after=first)
    await desk.keeper.take_once()
    assert (await desk.keeper.store.read(second)).request_state == "lost"
    await desk.keeper._heal()
    third = desk.call(BODY % (b"a" * 99 + b'","b","c'), after=second)
    await desk.keeper.take_once()
    assert (await desk.keeper.store.read(third)).request == desk.bodies[third]


@given(st.lists(st.booleans(), max_size=8), st.integers(1, 3))
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
async def test_failures_at_any_write_lose_nothing_and_leave_no_stray(desk, answers, taken_every):
    blobs = failing(desk, *answers)
    ids: list[bytes] = []
    for number in range(4):
        text = b'","'.join(b"%d" % one * 60 for one in range(number + 1))
        ids.append(desk.call(BODY % text, b"answer" * 20, after=ids[-1] if ids else None))
        if number % taken_every == 0:
            try:
                await desk.keeper.take_once()
            except StoreUnavailable:
                pass
    blobs.answers = []
    await desk.keeper.take_once()
    for call_id in ids:
        assert (await desk.keeper.store.read(call_id)).request == desk.bodies[call_id]
    await desk.keeper.forget(ContentFilter(user_id="alice"))
    for _ in range(2):
        await desk.keeper.store.sweep_strays()
    assert (await counts(desk), desk.files()) == (NOTHING, [])


def test_frames_come_out_as_they_went_in_also_from_a_writer_that_died_in_the_midst(desk, tmp_path):
    writer = SpoolWriter(tmp_path / "other", "p.1", desk.clock, most_bytes=MOST_BYTES)
    call_id, _ = desk.ask(BODY % b"x")
    origin = next(SpoolReader(tmp_path / "spool").batches({}))[1][0].head.origin
    heads: list[Head] = [
        Asked(origin, cuts=(1, 1, 4)),
        Said(call_id, "more"),
        Said(call_id, "whole", "turns"),
        Lost(origin),
    ]
    for head in heads:
        assert writer.append(head, [b"part", memoryview(b"another")] * 600)
    writer.close()
    (path,) = (tmp_path / "other").iterdir()
    path.write_bytes(path.read_bytes() + b"\x09\x00\x00\x00\xff")
    reader = SpoolReader(tmp_path / "other")
    ((segment, frames),) = reader.batches({})
    assert [frame.head for frame in frames] == heads
    assert {frame.body for frame in frames} == {b"partanother" * 600}
    assert reader.remove_drained({segment.name: 0}) == []
    assert reader.remove_drained({segment.name: frames[-1].end_offset}) == [segment.name]


@pytest.mark.parametrize("how", ["call", "task", "user", "team"])
async def test_what_another_machine_has_not_taken_yet_it_drops_when_it_was_deleted(database, tmp_path, how):
    one = Desk(tmp_path, database)
    other = Desk(tmp_path / "other", database, clock=one.clock)
    for desk in (one, other):
        desk.keeper.store.has_others = True
        desk.keeper.store._blobs, desk.keeper.store._wrapping = one.keeper.store._blobs, one.keeper.store._wrapping
    other.task_id = b"t" * 16
    open_id, recording = other.ask(BODY % b"begun")
    first = other.call(BODY % (b"a" * 99), b"answer")
    others = other.call(BODY % (b"b" * 99), b"answer", user="bob", team="blue") if how != "task" else None
    match how:
        case "team":
            await one.keeper.forget_team("red")
        case "call":
            await one.keeper.forget(ContentFilter(call_id=first))
        case "task":
            await one.keeper.forget(ContentFilter(task_id=other.task_id))
        case "user":
            await one.keeper.forget(ContentFilter(user_id="alice"))
    recording.add(b"answer")
    recording.end()
    later = other.call(BODY % (b"a" * 99), b"answer")
    await other.keeper.take_once()
    store = other.keeper.store
    assert await store.read(first) is None
    assert (await store.read(open_id) is None) == (how != "call")
    for call_id in filter(None, (later, others)):
        found = await store.read(call_id)
        assert (found.request, found.answer) == (other.bodies[call_id], b"answer")


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 3), st.none() | st.integers(0, 7)), min_size=2, max_size=6))
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
async def test_two_replicas_that_write_and_delete_at_once_agree(desk, steps):
    """Both keep the same words for the same team: each may delete what the other has just built on."""
    other = Desk(desk.home / "other", desk.database, clock=desk.clock)
    other.keeper.store._blobs = desk.keeper.store._blobs
    other.keeper.store._wrapping = desk.keeper.store._wrapping
    both = (desk, other)
    for one in both:
        one.keeper.store.has_others = True
    kept: dict[bytes, bytes] = {}
    for number, (who, word, deleted) in enumerate(steps):
        body = BODY % (b'","'.join(b"word %d " % one * 20 for one in range(word + 1)))
        call_id = both[who].call(body, b"answer %d " % number * 9)
        kept[call_id] = body
        jobs = [one.keeper.take_once() for one in both]
        if deleted is not None:
            victim = list(kept)[deleted % len(kept)]
            del kept[victim]
            jobs.append(both[1 - who].keeper.forget(ContentFilter(call_id=victim)))
        await asyncio.gather(*jobs)
        if deleted is not None:  # it may have been taken only after the deletion had looked
            await both[who].keeper.forget(ContentFilter(call_id=victim))
    other.spool.close()  # each example has another one
    for number, (call_id, body) in enumerate(kept.items()):
        assert (await both[number % 2].keeper.store.read(call_id)).request == body
    await desk.keeper.forget(ContentFilter(user_id="alice"))
    assert (await counts(desk), desk.files()) == (NOTHING, [])
