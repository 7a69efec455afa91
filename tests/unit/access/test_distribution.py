"""The distribution: who gets which snapshot when, and when a change is in force."""

import asyncio
import stat
from pathlib import Path

import msgspec
import pytest

from sekisho.access.distribution import Distribution, read_snapshot, write_snapshot
from sekisho.access.register import IssuedKey, StoredKey
from sekisho.clock import FakeClock
from sekisho.errors import StoreUnavailable
from sekisho.values import AwsCredential, BearerCredential, Delivery, Snapshot

AT_ONCE = 0.01


def delivery(epoch: int) -> Delivery:
    return Delivery(Snapshot(epoch, "default", (), ()), {"account-a": AwsCredential("AKIA1234", "secret")})


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


async def turns() -> None:
    """Let every other task run as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_process_that_is_behind_gets_the_delivery_at_once(clock):
    distribution = Distribution(clock)
    distribution.offer(delivery(7))
    encoded = await distribution.ask("a", after=6)
    assert encoded is not None
    assert msgspec.msgpack.decode(encoded, type=Delivery) == delivery(7)


async def test_a_delivery_carries_every_kind_of_credential(clock):
    sent = Delivery(Snapshot(1, "default", (), ()), {"a": AwsCredential("A", "b", "c", 5), "b": BearerCredential("t")})
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(sent), type=Delivery) == sent


async def test_a_process_that_is_up_to_date_waits_for_the_next_offer(clock):
    distribution = Distribution(clock)
    distribution.offer(delivery(7))
    asking = asyncio.ensure_future(distribution.ask("a", after=7))
    await turns()
    assert not asking.done()
    distribution.offer(delivery(8))
    assert await asking == msgspec.msgpack.encode(delivery(8))


async def test_a_wait_without_news_ends_with_nothing(clock):
    distribution = Distribution(clock)
    assert await distribution.ask("a", after=0, timeout_s=AT_ONCE) is None
    distribution.offer(delivery(7))
    assert await distribution.ask("a", after=7, timeout_s=AT_ONCE) is None


async def test_the_end_lets_go_of_everybody_who_waits(clock):
    distribution = Distribution(clock)
    distribution.offer(delivery(7))
    asking = asyncio.ensure_future(distribution.ask("a", after=7))
    await turns()
    distribution.close()
    assert await asking is None
    assert await distribution.ask("a", after=7) is None


async def test_a_process_from_before_the_database_was_lost_gets_the_lower_epoch(clock):
    distribution = Distribution(clock)
    distribution.offer(delivery(1))
    assert await distribution.ask("a", after=57) is not None
    with pytest.raises(StoreUnavailable):
        await distribution.confirmed(1, timeout_s=AT_ONCE)


async def test_a_change_is_confirmed_when_every_serving_process_asks_after_it(clock):
    distribution = Distribution(clock)
    distribution.offer(delivery(1))
    for process in ("a", "b"):
        await distribution.ask(process, after=0)
    confirming = asyncio.ensure_future(distribution.confirmed(1))
    await distribution.ask("a", after=1, timeout_s=AT_ONCE)
    assert not confirming.done()
    await distribution.ask("b", after=1, timeout_s=AT_ONCE)
    await confirming


async def test_a_process_that_does_not_confirm_is_named(clock):
    distribution = Distribution(clock)
    distribution.offer(delivery(1))
    await distribution.ask("slow", after=0)
    with pytest.raises(StoreUnavailable, match="slow"):
        await distribution.confirmed(1, timeout_s=AT_ONCE)


async def test_nobody_waits_for_a_process_that_has_not_asked_for_thirty_seconds(clock):
    distribution = Distribution(clock)
    distribution.offer(delivery(1))
    await distribution.ask("gone", after=0)
    clock.advance(30.1)
    await distribution.confirmed(1, timeout_s=AT_ONCE)
    assert distribution.processes() == {}


async def test_a_dead_process_holds_up_nobody(clock):
    distribution = Distribution(clock)
    distribution.offer(delivery(1))
    await distribution.ask("dead", after=0)
    confirming = asyncio.ensure_future(distribution.confirmed(1))
    await turns()
    distribution.forget("dead")
    await confirming


def test_credentials_and_new_keys_do_not_show_their_secrets():
    stored = StoredKey("id", "default", b"d", "wxyz", 0, "operator", 0)
    shown = repr(IssuedKey(stored, "sk-very-secret")) + repr(delivery(1)) + repr(BearerCredential("very-secret"))
    assert "secret" not in shown


def test_the_snapshot_on_disk_is_whole_and_private(tmp_path: Path):
    path = tmp_path / "snapshot"
    assert read_snapshot(path) is None
    for epoch in (1, 2):
        write_snapshot(path, Snapshot(epoch, "default", (), (), simulated=True))
    assert read_snapshot(path) == Snapshot(2, "default", (), (), simulated=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["snapshot"]


def test_a_damaged_snapshot_or_an_unwritable_folder_is_reported(tmp_path: Path):
    path = tmp_path / "snapshot"
    path.write_bytes(b"\x00garbage")
    with pytest.raises(StoreUnavailable, match="cannot be read"):
        read_snapshot(path)
    with pytest.raises(StoreUnavailable, match="cannot be written"):
        write_snapshot(tmp_path / "missing" / "snapshot", Snapshot(1, "default", (), ()))
