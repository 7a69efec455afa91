"""What it takes to open a long task, and to search what a team has said: `python -m bench.opening`.

A control plane in this process, content kept in full, SQLite and files; the admin API is asked in memory, so that the
figures are its own. Each is the median of five, after one that is not counted: wall, and CPU of the process.
"""

import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import httpx

from bench.content import KEY, Desk, requests, source_text
from sekisho.app.control_plane import ControlPlane, ControlPlaneSettings, create_control_app, open_control_plane
from sekisho.clock import SystemClock, id_text, new_id
from sekisho.ledger.journal import Attempt, Caller, Opened, Settled, TaskNote
from sekisho.ledger.journal_files import JournalWriter
from sekisho.record.content import ContentRow, ContentSettings, NewText
from sekisho.record.sealing import TeamKey
from sekisho.store.sql.content import SqlContent
from sekisho.values import Usage

MASTER = "sk-master-of-this-bench-only"
SHORT_CALLS, LONG_CALLS, CALLS_UNTIL_COMPACTED = 100, 10_000, 100
SHORT_MS, LONG_MS, SEARCH_MS = 300, 1_000, 1_000
TEXTS = 100_000
TEXT_BYTES = 1_500
TEXTS_OF_CALL = 2
TIMES = 5
CALLER = Caller("default", KEY.id, KEY.user_id, KEY.team_id, (), "claude-code", "2.1.197")


def compacted(calls: int, text: str) -> Iterator[tuple[bytes, bytes]]:
    """A task that goes on from a summary after every hundred calls."""
    dice = random.Random(9)
    for _ in range(0, calls, CALLS_UNTIL_COMPACTED):
        yield from requests("anthropic_messages", CALLS_UNTIL_COMPACTED, dice, text, most_bytes=2_000)


class Office:
    """The control plane, and what calls say to it."""

    def __init__(self, home: Path, plane: ControlPlane) -> None:
        self.home, self.plane = home, plane
        self.desk = Desk(home, plane._database, plane.content)
        app = httpx.ASGITransport(create_control_app(plane))
        headers = {"authorization": f"Bearer {MASTER}", "x-sekisho-forwarded": "127.0.0.1"}
        self.client = httpx.AsyncClient(transport=app, base_url="http://localhost", headers=headers, timeout=600)

    async def work(self, turns: Iterator[tuple[bytes, bytes]]) -> str:
        """Book and keep the calls of a task; its id."""
        task_id = new_id(self.desk.clock.now_us())
        ids = await self.desk.play("anthropic_messages", turns, taken_every=200, task_id=task_id, proves=False)
        with JournalWriter(self.home / "journal", f"bench-{task_id.hex()}") as writer:
            for number, call_id in enumerate(ids):
                at = self.desk.clock.now_us()
                usage = Usage(10, 5_000 + number, 900, 0, 90)
                tried = Attempt("bedrock-1", at, 800_000, 200, "", usage, 1_000, 1_000, "2026-11", "geo", "req-1")
                note = TaskNote(task_id, b"", "act", "agent" if number % 9 else "human")
                writer.append(
                    Opened(call_id, at, CALLER, "anthropic_messages", "claude", True, 9_000, 9_000, task=note)
                )
                writer.append(
                    Settled(call_id, at + 900_000, "ok", "tool_use", "", "", True, False, usage, 1_000, 1_000, (tried,),
                            1, 800_000, (1, 2, 3), tools=(("read_file", 1),))
                )  # fmt: skip
        while await self.plane.drain_once():
            pass
        return id_text(task_id)

    async def fill(self, texts: int, text: str) -> None:
        """Let the team have said so many texts more, the oldest of all."""
        store = self.plane.content.store
        vault = (await store.vaults())[KEY.team_id]
        await store._load_vaults()
        for first in range(0, texts, 2_000):
            rows, sealed = _made(first, min(2_000, texts - first), vault, store._keys[vault], text)
            await SqlContent(self.plane._database).keep([], rows, [], sealed, None, 0)

    async def ask(self, name: str, path: str, goal_ms: int) -> bool:
        """Print what asking the admin API this takes; whether it is within its goal."""

        async def answered() -> int:
            answer = await self.client.get(path)
            assert answer.status_code == 200, (path, answer.status_code, answer.text[:500])
            return len(answer.content)

        return await self.measure(name, answered, goal_ms)

    async def search_own(self) -> int:
        """Look through all calls of one person for what is nowhere in them, as a developer does: one asking."""
        hits, _ = await self.plane.content.store.search("zyzzyva", (), KEY.user_id, before=b"", limit=50)
        return len(hits)

    async def measure(self, name: str, job: Callable[[], Awaitable[int]], goal_ms: int) -> bool:
        """Print what this takes; whether it is within its goal, by CPU: the machine may have much to do."""
        walls, cpus = [], []
        for _ in range(TIMES + 1):
            wall_s, cpu_s = time.perf_counter(), time.process_time()
            size = await job()
            cpus.append((time.process_time() - cpu_s) * 1_000)
            walls.append((time.perf_counter() - wall_s) * 1_000)
        wall, cpu = statistics.median(walls[1:]), statistics.median(cpus[1:])
        print(f"{name:62} {wall:8.0f} ms {cpu:8.0f} ms CPU {size / 1_000:9.1f} KB  (goal {goal_ms} ms)", flush=True)
        return cpu <= goal_ms


def _made(first: int, texts: int, vault: int, key: TeamKey, text: str) -> tuple[list[ContentRow], list[NewText]]:
    """Rows of calls in the order of their ids, and their texts."""
    dice, rows, sealed = random.Random(first), [], []
    for number in range(first, first + texts, TEXTS_OF_CALL):
        call_id = number.to_bytes(16, "big")
        rows.append(
            ContentRow(call_id=call_id, vault=vault, started_at=number, user_id=KEY.user_id, key_id=KEY.id,
                       task_id=b"", level="full", door="anthropic_messages", stream=True)
        )  # fmt: skip
        for part in range(TEXTS_OF_CALL):
            at = dice.randrange(len(text) - TEXT_BYTES)
            sealed.append(NewText(call_id, part, vault, key.seal(text[at : at + TEXT_BYTES].encode(), call_id)))
    return rows, sealed


async def main() -> bool:
    """Measure; whether all are within their goals."""
    text = source_text()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        content = ContentSettings("full")
        settings = ControlPlaneSettings(models=lambda: (), master_key=MASTER, content=content)
        plane = await open_control_plane(home, settings, SystemClock())
        office = Office(home, plane)
        short = await office.work(requests("anthropic_messages", SHORT_CALLS, random.Random(7), text))
        good = [await office.ask(f"task of {SHORT_CALLS} calls: sums", f"/admin/v1/tasks/{short}", SHORT_MS)]
        good.append(
            await office.ask(f"task of {SHORT_CALLS} calls: what was said", f"/admin/v1/tasks/{short}/turns", SHORT_MS)
        )
        long = await office.work(compacted(LONG_CALLS, text))
        for name, path in (
            ("sums", f"/admin/v1/tasks/{long}"),
            ("its calls, 1,000", f"/admin/v1/tasks/{long}/calls?limit=1000"),
            ("what was said, the first page", f"/admin/v1/tasks/{long}/turns"),
        ):
            good.append(await office.ask(f"task of {LONG_CALLS:,} calls: {name}", path, LONG_MS))
        page = json.loads((await office.client.get(f"/admin/v1/tasks/{long}/calls?limit=1000")).text)["calls"]
        after = f"/admin/v1/tasks/{long}/turns?after={page[100]['id']}"  # the newest are listed first
        good.append(await office.ask(f"task of {LONG_CALLS:,} calls: what was said, the last page", after, LONG_MS))
        await office.fill(TEXTS, text)
        for name, query in (
            ("a word that is everywhere", "async def"),
            ("a word that is nowhere", "zyzzyva"),
        ):
            path = f"/admin/v1/content/search?q={query.replace(' ', '%20')}"
            good.append(await office.ask(f"search in {TEXTS:,} blocks and more: {name}", path, SEARCH_MS))
        good.append(await office.measure("the same in one person's own calls", office.search_own, SEARCH_MS))
        await office.client.aclose()
        await plane.close()
    return all(good)


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(main()) else 1)
