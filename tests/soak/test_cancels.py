"""Ten thousand clients that leave in mid-stream: every call is settled, and memory stays as it was."""

import asyncio
from pathlib import Path

import pytest

from tests.acceptance.processes import Served, served, wait_for
from tests.acceptance.test_client_faults import ASKS
from tests.acceptance.test_processes import ledger
from tests.unit.dialects.wire import compact

pytestmark = pytest.mark.soak
CANCELS = 10_000
WARM_UP = 2_000
AT_ONCE = 50
GROWTH_KB = 16_384


async def cancel_streams(server: Served, number: int) -> None:
    """Open so many streams, and leave each of them in its middle."""
    doors = [door for door in ASKS if door.startswith("/v1")]
    left = iter(range(number))

    async def client() -> None:
        for turn in left:
            body = compact({**ASKS[doors[turn % len(doors)]], "model": "claude-sonnet-4-6"})
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            head = b"POST %b HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\nContent-Length: %d\r\n\r\n"
            writer.write(head % (doors[turn % len(doors)].encode(), server.key.encode(), len(body)) + body)
            await reader.readuntil(b"data: ")
            writer.transport.abort()
            await asyncio.sleep(0)

    await asyncio.gather(*(client() for _ in range(AT_ONCE)))


def resident_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


def test_ten_thousand_cancelled_streams_leave_nothing_behind(tmp_path: Path) -> None:
    with served(tmp_path / "home") as server:
        call_process = server.children()["call-1"]
        asyncio.run(cancel_streams(server, WARM_UP))
        wait_for(lambda: is_settled(server, WARM_UP), "every call of the warm-up settled")
        before_kb = resident_kb(call_process)
        asyncio.run(cancel_streams(server, CANCELS - WARM_UP))
        wait_for(lambda: is_settled(server, CANCELS), "every call settled", 300)
        assert server.children()["call-1"] == call_process
        assert resident_kb(call_process) - before_kb < GROWTH_KB
        assert set(ledger(server.home).values()) == {"ok"}


def is_settled(server: Served, calls: int) -> bool:
    booked = ledger(server.home)
    return len(booked) == calls and "running" not in booked.values()
