"""An hour of mixed load, and ten minutes of it without the content store: memory stays flat, caches keep to their
bound, every call is settled, and content catches up or is marked as lost.

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
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from bench.bodies import conversation
from bench.plots import Line, Shade, over_time

from tests.acceptance.processes import Served, served, wait_for
from tests.acceptance.test_budgets_restart import MASTER, new_key
from tests.acceptance.test_processes import ledger
from tests.soak.outage import SPOOL_BYTES, Outage, check_bodies, kept, remember
from tests.soak.test_cancels import resident_kb
from tests.unit.dialects.wire import compact

pytestmark = [pytest.mark.soak, pytest.mark.xdist_group("processes")]
MINUTES = float(os.environ.get("SEKISHO_SOAK_MINUTES", "60"))
KEYS = 7
OTHERS = 2  # keys whose calls are no conversations
SAMPLE_S = min(10.0, MINUTES)
PAUSE_S = 0.2  # an agent's tools take some time too
GROWTH_MB = 16.0
CACHES = ("conversations", "prompt_prefixes", "prompt_texts")
_FOLDER = Path(".cache/soak")
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
_CALL_ID = re.compile(rb"x-sekisho-call-id: (\w+)", re.IGNORECASE)
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


async def call(server: Served, key: str, ask: Ask, *, leaves: bool) -> tuple[int, str]:
    """Status and id of a call on a connection of its own; 0 for a client that left in the middle of the answer."""
    path, body = ask
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        named = _CALL_ID.search(answer)
        call_id = named[1].decode() if named else ""
        if leaves:
            writer.transport.abort()
            return 0, call_id
        if length := _LENGTH.search(answer):
            await reader.readexactly(int(length[1]))
        else:
            tail = b""
            while not tail.endswith(b"0\r\n\r\n"):
                data = await reader.read(65_536)
                assert data, "an answer broke off"
                tail = tail[-5:] + data
        return int(answer.split()[1]), call_id
    finally:
        writer.close()


@dataclass
class Told:
    """What the load saw. `answers`: by status; `ids`: of calls that were answered well; `bodies`: the request of some,
    hashed; `phases`: calls before the outage, in it and after; `held`: by cache of the call process, the most bytes
    that it held, and how many it may."""

    answers: Counter[int] = field(default_factory=Counter)
    ids: list[str] = field(default_factory=list)
    bodies: dict[str, bytes] = field(default_factory=dict)
    rss_mb: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    phases: Counter[str] = field(default_factory=Counter)
    held: dict[str, tuple[int, int]] = field(default_factory=dict)


async def client(
    server: Served, key: str, asks: Iterator[Ask], until_s: float, told: Told, outage: Outage, chance: random.Random
) -> None:
    while time.monotonic() < until_s:
        ask = next(asks)
        status, call_id = await call(server, key, ask, leaves=chance.random() < 0.05)
        told.answers[status] += 1
        told.phases[outage.phase] += 1
        if status == 200:
            told.ids.append(call_id)
            remember(told.bodies, call_id, ask[1], chance)
        await asyncio.sleep(PAUSE_S)


async def sample(server: Served, until_s: float, told: Told) -> None:
    """Resident MB of each process, by minute, and what the caches hold."""
    began_s = time.monotonic()
    while time.monotonic() < until_s:
        minute = (time.monotonic() - began_s) / 60
        for name, pid in server.children().items():
            told.rss_mb.setdefault(name, []).append((round(minute, 2), round(resident_kb(pid) / 1024, 1)))
        said = json.loads((await asyncio.to_thread(server.ask, "GET", "/health/ready"))[1])
        for name in CACHES:
            held = max(told.held.get(name, (0, 0))[0], said[name]["held_bytes"])
            told.held[name] = held, said[name]["most_bytes"]
        await asyncio.sleep(SAMPLE_S)


async def load(server: Served, keys: list[str], told: Told, outage: Outage) -> None:
    """All clients together for the whole time."""
    until_s = time.monotonic() + MINUTES * 60
    doors = itertools.cycle(("anthropic_messages", "openai_chat"))
    async with asyncio.TaskGroup() as group:
        for number, key in enumerate(keys):
            chance = random.Random(number)
            size = (100_000, 400_000, 800_000)[number % 3]
            asks = agent(next(doors), size, b"%d" % number) if number >= OTHERS else others(chance)
            group.create_task(client(server, key, asks, until_s, told, outage, chance))
        group.create_task(sample(server, until_s, told))
        group.create_task(outage.happen(MINUTES * 60))


def growth_mb(points: list[tuple[float, float]]) -> float:
    """From the third quarter to the last one, medians: by then caches are full."""
    quarter = max(1, len(points) // 4)
    early = statistics.median(mb for _, mb in points[2 * quarter : 3 * quarter] or points)
    return statistics.median(mb for _, mb in points[-quarter:]) - early


def publish(told: Told, outage: Outage) -> None:
    _FOLDER.mkdir(parents=True, exist_ok=True)
    calls = sum(told.answers.values())
    said = {"minutes": MINUTES, "answers": dict(told.answers), "held_bytes": told.held, "rss_mb": told.rss_mb}
    (_FOLDER / "hour.json").write_text(json.dumps(said))
    lines = [Line(name, points) for name, points in sorted(told.rss_mb.items()) if name != "simulator"]
    away = Shade("no content store", *(second / 60 for second in outage.window_s(MINUTES * 60)))
    picture = over_time(f"Resident memory, {calls:,} calls of mixed load", "minutes", "MB", lines, away)
    for file in filter(None, (str(_FOLDER / "hour.svg"), os.environ.get("SEKISHO_SOAK_PICTURE"))):
        Path(file).write_text(picture)


def test_memory_is_flat_and_nothing_is_lost_under_mixed_load(tmp_path: Path) -> None:
    told, outage = Told(), Outage(tmp_path / "home" / "content")
    settings = {"SEKISHO_MASTER_KEY": MASTER, "SEKISHO_CONTENT_SPOOL_BYTES": str(SPOOL_BYTES)}
    with served(tmp_path / "home", **settings) as server:
        keys = [new_key(server) for _ in range(KEYS)]
        before = server.children()
        asyncio.run(load(server, keys, told, outage))
        publish(told, outage)
        wait_for(lambda: "running" not in ledger(server.home).values(), "every call settled", 120)
        booked = ledger(server.home)
        assert server.children() == before, "a process was restarted"
        assert set(told.answers) <= {0, 200, 400, 404}, told.answers
        assert {booked.get(call_id) for call_id in told.ids} == {"ok"}
        assert len(told.ids) == len(set(told.ids)) == told.answers[200]
        assert told.phases["away"] > told.phases["before"] / 10, "calls waited for the content store"
        assert all(held <= most for held, most in told.held.values()), told.held
        for name in ("call-1", "control"):
            assert growth_mb(told.rss_mb[name]) < GROWTH_MB, (name, told.rss_mb[name])
        wait_for(lambda: "" not in kept(server.home, outage), "content of every call kept or marked as lost", 120)
        states = kept(server.home, outage)
        assert set(states) <= {"whole", "lost in the outage"}, states
        read = check_bodies(server, MASTER, told.bodies)
    growth = {name: round(growth_mb(points), 1) for name, points in told.rss_mb.items()}
    print(f"{sum(told.answers.values())} calls {dict(told.answers)}, {dict(told.phases)}; growth {growth} MB")
    print(f"content {dict(states)}, read back {dict(read)}; caches held {told.held} B")
