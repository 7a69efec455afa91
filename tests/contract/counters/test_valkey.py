"""What only shared counters must do: one round trip, faults of the store, its loss, processes that die."""

import asyncio
import itertools
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
import valkey

from sekisho.clock import FakeClock
from sekisho.errors import StoreUnavailable
from sekisho.ledger.counters import Admitted, LoadTicket, NotLoaded, OpenCall, Spent, TooFast
from sekisho.store.counters.valkey import ValkeyCounters
from sekisho.store.counters.valkey_address import parse_valkey_url
from sekisho.values import Budget, RateLimit
from tests.contract.counters.conftest import running
from tests.contract.counters.faults import relay
from tests.contract.counters.test_budgets import DAY, KEY, TEAM, demand, held
from tests.servers import free_port, own_valkey, valkey_url

BUDGET = Budget("b", TEAM, 1_000, DAY)
SOFT = Budget("s", KEY, 10, DAY, is_hard=False)
LIMIT = RateLimit("l", KEY, "", requests_per_minute=2, tokens_per_minute=1_000, parallel=2)


def engine(url: str, name: str, process: str = "p1", *, timeout_s: float = 5.0, **options) -> ValkeyCounters:
    clock = FakeClock()
    address = parse_valkey_url(url)
    return ValkeyCounters(address, clock, process_id=process, name=name, timeout_s=timeout_s, **options)


async def load(counters: ValkeyCounters, spent: int, booked=(0, 0), open_calls=(), process: str = "p1") -> bool:
    """Put in a read of the ledger, as the loader does."""
    ticket = await counters.begin_load(is_urgent=True)
    assert ticket is not None
    return await load_with(counters, ticket, spent, {process: booked}, open_calls)


async def load_with(counters: ValkeyCounters, ticket: LoadTicket, spent: int, booked, open_calls=()) -> bool:
    sums = tuple(Spent(one.budget, one.window_starts_at, spent) for one in await counters.standings())
    return await counters.load_ledger(sums, booked, open_calls, ticket)


@asynccontextmanager
async def loaded(url: str, name: str, *budgets: Budget, **options) -> AsyncIterator[ValkeyCounters]:
    """An engine with these budgets, of which nothing is spent."""
    async with running(engine(url, name, **options)) as counters:
        await counters.configure(budgets or (BUDGET,), ())
        await load(counters, 0)
        yield counters


async def until(condition) -> None:
    """Wait for something that other tasks bring about."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  what it waits for has no event
            await asyncio.sleep(0.01)


async def test_an_admission_is_one_round_trip_and_so_is_a_settlement(key_name):
    async with relay(valkey_url()) as line, running(engine(line.url, key_name)) as counters:
        await counters.configure((BUDGET, SOFT), (LIMIT,))
        await load(counters, 0)
        for number, step in enumerate(
            (counters.admit(demand(1, 10)), counters.settle(demand(1, 0).call_id, 5, 1, (1, 1)))
        ):
            requests, writes = line.requests, line.writes
            await step
            assert (line.requests - requests, line.writes - writes) == (1, 1), number


async def test_what_one_turn_of_the_loop_asks_goes_out_in_one_write(key_name):
    async with relay(valkey_url()) as line, loaded(line.url, key_name) as counters:
        requests, writes = line.requests, line.writes
        await asyncio.gather(*(counters.admit(demand(number, 1)) for number in range(1, 51)))
        assert line.requests - requests == 50
        assert line.writes - writes < 5


@pytest.mark.parametrize("cut_after_bytes", [0, 1, 5])
async def test_a_line_that_breaks_in_an_answer_refuses_the_call_and_leaves_nothing_held(key_name, cut_after_bytes):
    async with relay(valkey_url()) as line, loaded(line.url, key_name) as counters:
        line.cut_after_bytes = cut_after_bytes
        with pytest.raises(StoreUnavailable):
            await counters.admit(demand(1, 600))
        await until(lambda: counters.owed == 0)
        assert await held(counters) == {"b": (0, 0)}
        assert isinstance(await counters.admit(demand(2, 1_000)), Admitted)


async def test_a_settlement_whose_answer_is_lost_counts_once(key_name):
    async with relay(valkey_url()) as line, loaded(line.url, key_name) as counters:
        await counters.admit(demand(1, 600))
        line.cut_after_bytes = 0
        await counters.settle(demand(1, 0).call_id, 250, 0, (1, 1))
        await until(lambda: counters.owed == 0)
        assert await held(counters) == {"b": (250, 0)}


async def test_a_store_that_stalls_refuses_in_bounded_time_and_what_it_does_later_holds_nothing(key_name):
    with own_valkey() as (url, store):
        async with loaded(url, key_name, timeout_s=0.3) as counters:
            await counters.admit(demand(1, 100))
            store.send_signal(signal.SIGSTOP)
            async with asyncio.timeout(5):
                with pytest.raises(StoreUnavailable):
                    await counters.admit(demand(2, 600))
                await counters.settle(demand(1, 0).call_id, 40, 0, (1, 1))
            store.send_signal(signal.SIGCONT)
            await until(lambda: counters.owed == 0)
            assert await held(counters) == {"b": (40, 0)}


async def test_an_admission_that_arrives_after_its_release_holds_nothing(key_name):
    async with relay(valkey_url()) as line, loaded(line.url, key_name, timeout_s=0.3) as counters:
        line.is_holding = True
        with pytest.raises(StoreUnavailable):
            await counters.admit(demand(1, 600))
        line.is_holding = False
        await until(lambda: counters.owed == 0)
        target = urlsplit(valkey_url())
        reader, writer = await asyncio.open_connection(target.hostname, target.port)
        start = line.held.index(b"*")
        writer.write(line.held[start:])
        assert await reader.readexactly(8) == b"*1\r\n:-1\r"
        writer.close()
        await writer.wait_closed()
        assert await held(counters) == {"b": (0, 0)}


async def test_without_the_store_hard_budgets_refuse_and_soft_ones_pass(key_name):
    with own_valkey() as (url, store):
        async with loaded(url, key_name, BUDGET, SOFT, timeout_s=0.3) as counters:
            store.kill()
            store.wait()
            with pytest.raises(StoreUnavailable):
                await counters.admit(demand(1, 1))
            only_soft = demand(2, 1, KEY)
            assert isinstance(await counters.admit(only_soft), Admitted)
            await counters.settle(only_soft.call_id, 1, 0, (1, 1))


async def test_what_was_settled_during_an_outage_is_told_at_its_end_and_what_was_refused_is_not(key_name):
    port = free_port()
    with own_valkey(port=port) as (url, store):
        async with loaded(url, key_name, BUDGET, SOFT, timeout_s=0.3) as counters:
            store.kill()
            store.wait()
            await until(lambda: counters.failure)
            for number in range(1, 1_201):
                with pytest.raises(StoreUnavailable):
                    await counters.admit(demand(number, 1))
                only_soft = demand(number, 1, KEY)
                await counters.admit(only_soft)
                await counters.settle(only_soft.call_id, 1, 0, (1, number))
            assert counters.owed == 1_200
            with own_valkey(port=port):
                await until(lambda: counters.owed == 0)
                await load(counters, 0)
                assert await held(counters) == {"b": (0, 0), "s": (1_200, 0)}


@pytest.mark.parametrize("mode", ["closed", "open"])
async def test_without_the_store_limits_do_as_declared(key_name, mode):
    with own_valkey() as (url, store):
        async with running(engine(url, key_name, timeout_s=0.3, limits_fail_mode=mode)) as counters:
            await counters.configure((), (LIMIT,))
            await counters.standings()
            store.kill()
            store.wait()
            await until(lambda: counters.failure)
            if mode == "closed":
                with pytest.raises(StoreUnavailable):
                    await counters.admit(demand(1, 1))
                return
            for number in (1, 2):
                assert isinstance(await counters.admit(demand(number, 1)), Admitted)
            assert isinstance(await counters.admit(demand(3, 1)), TooFast)


# The store is lost while a call is open. Whatever the order of settling, reading and loading, the sum is right.
ORDERS = [
    order
    for order in itertools.permutations(("journal", "read", "settle", "load"))
    if order.index("journal") < order.index("settle") and order.index("read") < order.index("load")
]


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
async def test_a_call_that_was_open_when_the_store_was_lost_counts_once(key_name, order):
    async with loaded(valkey_url(), key_name) as counters:
        first = demand(1, 300)
        verdict = await counters.admit(first)
        assert isinstance(verdict, Admitted)
        lose(key_name)
        with pytest.raises(StoreUnavailable):
            await counters.admit(demand(2, 1))
        await until(lambda: counters.load_wanted.is_set())
        assert await counters.admit(demand(2, 1)) == NotLoaded(BUDGET)
        opened = OpenCall(first.call_id, "p1", verdict.admitted_at, 300, "m", first.scopes)
        ticket = await counters.begin_load(is_urgent=True)
        assert ticket is not None and ticket.is_lost
        is_journalled = False
        read: tuple[int, tuple[int, int], tuple[OpenCall, ...]] = (0, (0, 0), (opened,))
        for step in order:
            if step == "journal":
                is_journalled = True
            elif step == "read":
                read = (120, (1, 1), ()) if is_journalled else (0, (0, 0), (opened,))
            elif step == "settle":
                await counters.settle(first.call_id, 120, 0, (1, 1))
            else:
                assert await load_with(counters, ticket, read[0], {"p1": read[1]}, read[2])
        assert await held(counters) == {"b": (120, 0)}
        await load(counters, 120, (1, 1))
        assert await held(counters) == {"b": (120, 0)}


async def test_open_calls_of_the_ledger_are_held_again_and_those_of_an_ended_process_are_let_go(key_name):
    clock_us = FakeClock().now_us()
    calls = (
        OpenCall(b"1" * 16, "p1", clock_us, 300, "m", (TEAM,)),
        OpenCall(b"2" * 16, "p2", clock_us, 200, "m", (TEAM,)),
    )
    async with running(engine(valkey_url(), key_name)) as counters:
        await counters.configure((BUDGET,), ())
        await load(counters, 50, open_calls=calls)
        assert await held(counters) == {"b": (50, 500)}
        ticket = await counters.begin_load(is_urgent=True)
        assert ticket is not None and not ticket.is_lost
        assert await load_with(counters, ticket, 250, {"p1": (0, 0), "p2": None})
        assert await held(counters) == {"b": (250, 300)}


async def test_slots_and_holds_of_a_dead_process_come_back_with_the_read_that_says_so(key_name):
    async with loaded(valkey_url(), key_name) as counters:
        await counters.configure((BUDGET,), (LIMIT,))
        async with running(engine(valkey_url(), key_name, "p2")) as other:
            await other.configure((BUDGET,), (LIMIT,))
            assert isinstance(await other.admit(demand(1, 10)), Admitted)
            assert isinstance(await other.admit(demand(2, 10)), Admitted)
        refused = await counters.admit(demand(3, 10, KEY))
        assert isinstance(refused, TooFast)
        ticket = await counters.begin_load(is_urgent=True)
        assert ticket is not None
        assert await load_with(counters, ticket, 20, {"p2": None})
        assert await held(counters) == {"b": (20, 0)}
        with valkey.Valkey.from_url(valkey_url()) as client:
            assert not [key for key in client.scan_iter(f"sekisho:{{{key_name}}}*:o")]


async def test_a_read_that_began_before_another_was_taken_is_not_taken(key_name):
    async with loaded(valkey_url(), key_name) as counters, running(engine(valkey_url(), key_name, "p2")) as other:
        await other.configure((BUDGET,), ())
        late = await counters.begin_load(is_urgent=True)
        assert late is not None
        assert await other.begin_load(is_urgent=True) is None  # one reads for all
        await load_with(counters, late, 70, {"p1": (1, 1)})
        assert not await load_with(counters, late, 0, {"p1": (1, 1)})
        assert await held(other) == {"b": (70, 0)}


async def test_data_of_another_run_of_the_server_are_not_believed(key_name):
    async with loaded(valkey_url(), key_name) as counters:
        await counters.admit(demand(1, 400))
    with valkey.Valkey.from_url(valkey_url()) as client:
        client.hset(f"sekisho:{{{key_name}}}", "run", "before the crash, from an old file")
    async with running(engine(valkey_url(), key_name, "p2")) as counters:
        await counters.configure((BUDGET,), ())
        assert await counters.admit(demand(2, 1)) == NotLoaded(BUDGET)


async def test_limits_are_known_again_after_the_store_was_lost(key_name):
    async with running(engine(valkey_url(), key_name)) as counters:
        await counters.configure((), (LIMIT,))
        for number in (1, 2):
            assert isinstance(await counters.admit(demand(number, 1)), Admitted)
        lose(key_name)
        with pytest.raises(StoreUnavailable):
            await counters.admit(demand(3, 1))
        refused = await counters.admit(demand(4, 1))
        assert isinstance(refused, TooFast)
        assert 1 <= refused.retry_after_s <= 59


async def test_a_password_opens_the_store_and_a_wrong_one_is_said_but_not_shown(key_name, caplog):
    with own_valkey() as (url, _):
        with valkey.Valkey.from_url(url) as client:
            client.config_set("requirepass", "hush")
        async with loaded(url.replace("//", "//:hush@") + "/2", key_name) as counters:
            assert isinstance(await counters.admit(demand(1, 1)), Admitted)
        async with running(engine(url.replace("//", "//:mistaken@"), key_name, timeout_s=0.3)) as counters:
            await until(lambda: "password" in counters.failure)
    assert "mistaken" not in caplog.text


async def test_a_server_that_may_drop_counts_is_not_used(key_name, caplog):
    with own_valkey("--maxmemory-policy", "allkeys-lru") as (url, _):
        async with running(engine(url, key_name, timeout_s=0.3)) as counters:
            await until(lambda: "noeviction" in counters.failure)
            await counters.configure((BUDGET,), ())
            with pytest.raises(StoreUnavailable):
                await counters.admit(demand(1, 1))
    assert "maxmemory-policy is allkeys-lru" in caplog.text


async def test_sums_just_below_what_lua_counts_exactly_are_exact(key_name):
    most = 2**53 - 1
    async with running(engine(valkey_url(), key_name)) as counters:
        await counters.configure((Budget("b", TEAM, most, DAY),), ())
        await load(counters, most - 10)
        assert await counters.admit(demand(1, 9)) == Admitted(FakeClock().now_us(), 1)
        assert isinstance(await counters.admit(demand(2, 1)), Admitted)
        assert not isinstance(await counters.admit(demand(3, 1)), Admitted)


async def test_counts_that_are_taken_for_lost_are_read_again_and_leave_nothing_behind(key_name):
    async with loaded(valkey_url(), key_name) as counters:
        await load(counters, 70, (5, 5))
        assert not await load(counters, 30, (1, 1))  # a ledger that was restored from a backup
        await counters.forget()
        await until(lambda: counters.load_wanted.is_set())
        assert await counters.admit(demand(1, 1)) == NotLoaded(BUDGET)
        await load(counters, 30, (1, 1))
        await counters.sweep()
        assert await held(counters) == {"b": (30, 0)}
        with valkey.Valkey.from_url(valkey_url()) as client:
            lives = {key.split(b":")[2] for key in client.scan_iter(f"sekisho:{{{key_name}}}:*", count=1000)}
        assert len(lives) == 1


def lose(name: str) -> None:
    """Everything the store had is gone, its connections live on."""
    with valkey.Valkey.from_url(valkey_url()) as client:
        client.delete(*client.scan_iter(f"sekisho:{{{name}}}*", count=1000))
