"""An hour of mixed load: memory stays flat, every call is settled, and nothing piles up.

`SEKISHO_SOAK_MINUTES` makes it shorter. The memory of each process over time is written to .cache/soak as JSON and SVG,
and with `SEKISHO_SOAK_PICTURE` also to the file of that name.
"""

import asyncio
import itertools
import json
import os
import random
import re
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench.bodies import conversation
from bench.plots import Line, over_time

from tests.acceptance.processes import Served, served, wait_for
from tests.acceptance.test_budgets_restart import MASTER, new_key
from tests.acceptance.test_processes import ledger
from tests.soak.test_cancels import resident_kb
from tests.unit.dialects.wire import compact

pytestmark = [pytest.mark.soak, pytest.mark.xdist_group("processes")]
MINUTES = float(os.environ.get("SEKISHO_SOAK_MINUTES", "60"))
KEYS = 6
SAMPLE_S = min(10.0, MINUTES)
PAUSE_S = 0.1  # an agent's tools take some time too
GROWTH_MB = 16.0
_FOLDER = Path(".cache/soak")
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
_TEXT = [{"role": "user", "content": "Hello"}]
Ask = tuple[str, bytes]


def agent(door: str, size: int, name: bytes) -> Iterator[Ask]:
    """Turns of a conversation that grows, is rewound, and after a hundred turns gives way to another one."""
    path = "/v1/messages" if door == "anthropic_messages" else "/v1/chat/completions"
    for number in itertools.count():
        made = conversation(door, "claude-sonnet-4-5", size).next_turn(b"%b-%d" % (name, number))  # type: ignore[arg-type]
        for body in itertools.islice(made, 100):
            yield path, body[:-1] + b',"stream":true}'


def others(chance: random.Random) -> Iterator[Ask]:
    """Small calls through every door, whole and streamed, and such as are refused."""
    converse = compact({"messages": [{"role": "user", "content": [{"text": "Hello"}]}]})
    many = [{"role": role, "content": "x"} for role in ("user", "assistant")] * 2_000 + _TEXT
    long = [{"role": "user", "content": "z" * 3_000_000}]
    asks = [
        ("/v1/chat/completions", compact({"model": "nova-pro", "messages": _TEXT})),
        ("/v1/responses", compact({"model": "nova-pro", "stream": True, "input": "Hello"})),
        ("/v1/messages", compact({"model": "nova-pro", "max_tokens": 9, "messages": _TEXT, "stream": True})),
        ("/model/nova-pro/converse", converse),
        ("/model/nova-pro/converse-stream", converse),
        ("/v1/chat/completions", compact({"model": "nova-pro", "messages": many})),
        ("/v1/chat/completions", compact({"model": "nova-pro", "messages": long})),
        ("/v1/chat/completions", compact({"model": "unknown", "messages": _TEXT})),
        ("/v1/chat/completions", b'{"model": "nova-pro", "messages": [{]}'),
    ]  # fmt: skip
    while True:
        yield chance.choice(asks)


async def call(server: Served, key: str, ask: Ask, *, leaves: bool) -> int:
    """The status of a call on a connection of its own; 0 for a client that left in the middle of the answer."""
    path, body = ask
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        if leaves:
            writer.transport.abort()
            return 0
        if length := _LENGTH.search(answer):
            await reader.readexactly(int(length[1]))
        else:
            tail = b""
            while not tail.endswith(b"0\r\n\r\n"):
                data = await reader.read(65_536)
                assert data, "an answer broke off"
                tail = tail[-5:] + data
        return int(answer.split()[1])
    finally:
        writer.close()


async def client(
    server: Served, key: str, asks: Iterator[Ask], until_s: float, seen: Counter[int], chance: random.Random
) -> None:
    while time.monotonic() < until_s:
        seen[await call(server, key, next(asks), leaves=chance.random() < 0.05)] += 1
        await asyncio.sleep(PAUSE_S)


async def sample(server: Served, until_s: float, told: dict[str, list[tuple[float, float]]]) -> None:
    """Resident MB of each process, by minute."""
    began_s = time.monotonic()
    while time.monotonic() < until_s:
        minute = (time.monotonic() - began_s) / 60
        for name, pid in server.children().items():
            told.setdefault(name, []).append((round(minute, 2), round(resident_kb(pid) / 1024, 1)))
        await asyncio.sleep(SAMPLE_S)


async def load(server: Served, keys: list[str], told: dict[str, list[tuple[float, float]]]) -> Counter[int]:
    """All clients together for the whole time: what they were answered."""
    until_s, seen = time.monotonic() + MINUTES * 60, Counter[int]()
    doors = itertools.cycle(("anthropic_messages", "openai_chat"))
    async with asyncio.TaskGroup() as group:
        for number, key in enumerate(keys):
            chance = random.Random(number)
            size = (100_000, 400_000, 800_000)[number % 3]
            asks = agent(next(doors), size, b"%d" % number) if number else others(chance)
            group.create_task(client(server, key, asks, until_s, seen, chance))
        group.create_task(sample(server, until_s, told))
    return seen


def growth_mb(points: list[tuple[float, float]]) -> float:
    """From the second quarter to the last one, medians: caches are full by the second. In less than half an hour they
    are by the third."""
    quarter = max(1, len(points) // 4)
    begins = quarter if MINUTES >= 30 else 2 * quarter
    early = statistics.median(mb for _, mb in points[begins : begins + quarter] or points)
    return statistics.median(mb for _, mb in points[-quarter:]) - early


def publish(told: dict[str, list[tuple[float, float]]], seen: Counter[int]) -> None:
    _FOLDER.mkdir(parents=True, exist_ok=True)
    (_FOLDER / "hour.json").write_text(json.dumps({"minutes": MINUTES, "answers": dict(seen), "rss_mb": told}))
    lines = [Line(name, points) for name, points in sorted(told.items()) if name != "simulator"]
    picture = over_time(f"Resident memory, {sum(seen.values()):,} calls of mixed load", "minutes", "MB", lines)
    for file in filter(None, (str(_FOLDER / "hour.svg"), os.environ.get("SEKISHO_SOAK_PICTURE"))):
        Path(file).write_text(picture)


def test_memory_is_flat_under_mixed_load(tmp_path: Path) -> None:
    told: dict[str, list[tuple[float, float]]] = {}
    with served(tmp_path / "home", SEKISHO_MASTER_KEY=MASTER) as server:
        keys = [new_key(server) for _ in range(KEYS)]
        before = server.children()
        seen = asyncio.run(load(server, keys, told))
        publish(told, seen)
        wait_for(lambda: "running" not in ledger(server.home).values(), "every call settled", 120)
        booked = Counter(ledger(server.home).values())
        assert server.children() == before, "a process was restarted"
        assert set(seen) <= {0, 200, 400, 404}, seen
        assert booked["ok"] >= seen[200], (booked, seen)
        for name in ("call-1", "control"):
            assert growth_mb(told[name]) < GROWTH_MB, (name, told[name])
    print(
        f"{sum(seen.values())} calls {dict(seen)}; growth { ({n: round(growth_mb(p), 1) for n, p in told.items()}) } MB"
    )
