"""However calls end, journal, ledger, roll-up, spend log and console say one and the same sum."""

import asyncio
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from sekisho.access.keys import digest
from sekisho.app.console import ConsoleCalls
from sekisho.app.control_plane import ORG_ID
from sekisho.calls.gate import Limits
from sekisho.ledger.counters import JournalPosition
from sekisho.ledger.journal import Record
from sekisho.ledger.journal_files import JournalWriter
from sekisho.simulator.credentials import SIMULATOR_CREDENTIAL
from sekisho.store.sql.roll_ups import HOURLY
from sekisho.store.sql.tables.ledger import call, running_call, spend_by_all
from sekisho.values import Delivery, Model, Snapshot, VirtualKey
from tests.acceptance.conftest import ALICE, PEPPER, CallPlane, MemoryJournal, call_plane
from tests.acceptance.control_plane import MASTER, Running, bearer, running_control_plane
from tests.acceptance.test_client_faults import ASK, ASKS, connected, request
from tests.acceptance.test_upstream_faults import END, HEAD, chunk, model_at
from tests.thorough import seeds
from tests.unit.dialects.wire import CONVERSE_EVENTS, compact, converse_frames, exception_frame
from tests.unit.upstream.servers import Wire, answer, serving

CALLS = 60
TEXT = CONVERSE_EVENTS[:6]
STOP = CONVERSE_EVENTS[-2]


@dataclass
class BothJournals(MemoryJournal):
    """Remembers what it writes to the journal on disk."""

    writer: JournalWriter | None = None

    def append(self, record: Record) -> JournalPosition:
        assert self.writer is not None
        super().append(record)
        return self.writer.append(record)


class Upstream:
    """Answers each request in a way drawn by lot; remembers the usage of the answers that gave one."""

    def __init__(self, lot: random.Random) -> None:
        self.lot = lot
        self.metered: list[dict[str, int]] = []

    async def script(self, wire: Wire) -> None:
        asked = await wire.request()
        is_stream = b"-stream" in asked.line
        way = self.lot.choice(("good", "good", "good", "no usage", "broken", "late", "early", "throttled", "reset"))
        if way == "throttled":
            await wire.say(answer(b'{"message":"Busy."}', b"x-amzn-ErrorType: ThrottlingException", status=b"429 X"))
        elif way == "reset":
            wire.reset()
        elif is_stream:
            await wire.say(HEAD, *(chunk(part) for part in self._stream(way)), END)
        else:
            await wire.say(answer(self._whole(way)))

    def _stream(self, way: str) -> list[bytes]:
        failure = exception_frame("internalServerException", {"message": "Broken."})
        match way:
            case "early":
                return [failure]
            case "late":
                return [converse_frames(TEXT), failure]
            case "broken":
                return [converse_frames(TEXT), b"\xff" * 40]
            case "no usage":
                return [converse_frames([*TEXT, STOP])]
        return [converse_frames([*TEXT, STOP, ("metadata", {"usage": self._usage(), "metrics": {"latencyMs": 9}})])]

    def _whole(self, way: str) -> bytes:
        if way in ("early", "late", "broken"):
            return b'{"output":'
        said: dict[str, Any] = {"message": {"role": "assistant", "content": [{"text": "x"}]}}
        whole: dict[str, Any] = {"output": said, "stopReason": "end_turn"}
        return compact(whole if way == "no usage" else whole | {"usage": self._usage()})

    def _usage(self) -> dict[str, int]:
        draw = self.lot.randrange
        counts = {
            "inputTokens": draw(10 ** draw(1, 7)),
            "outputTokens": draw(10 ** draw(1, 5)),
            "cacheReadInputTokens": draw(10 ** draw(1, 6)),
            "cacheWriteInputTokens": draw(10 ** draw(1, 5)),
        }
        self.metered.append(counts)
        return counts | {"totalTokens": sum(counts.values())}


async def make_call(plane: CallPlane, lot: random.Random) -> None:
    door = lot.choice(list(ASKS))
    body = ASK if lot.random() < 0.3 and door == "/v1/messages" else compact(ASKS[door])
    async with connected(plane) as connection:
        await connection.say(request(door, body))
        if lot.random() < 0.2:
            await connection.reader.read(1)  # and leave
        else:
            await connection.answer()


def price_nanousd(model: Model, counts: dict[str, int]) -> int:
    """The price of these counts, computed apart from the ledger's own arithmetic."""
    price = model.deployments[0].price
    assert price is not None and not price.steps
    pico = (
        counts["inputTokens"] * price.base.input
        + counts["outputTokens"] * price.base.output
        + counts["cacheReadInputTokens"] * price.base.cache_read
        + counts["cacheWriteInputTokens"] * price.base.cache_write_5m
    )
    return pico // 1000 + (pico % 1000 > 0)


async def sums(running: Running) -> dict[str, int]:
    """The sum of all costs, in nano-USD, wherever Sekisho shows one."""
    services = running.plane.services()
    async with running.plane._database.read() as connection:
        said = {
            "calls": (await connection.execute(sa.select(sa.func.sum(call.c.cost_nanousd)))).scalar_one(),
        }
        ids = set((await connection.execute(sa.select(call.c.id))).scalars())
        for level in HOURLY:
            query = sa.select(sa.func.sum(spend_by_all.c.cost_nanousd)).where(spend_by_all.c.level == level)
            said[f"spend by {level.name}"] = (await connection.execute(query)).scalar_one()
        assert (await connection.execute(sa.select(sa.func.count()).select_from(running_call))).scalar_one() == 0
    attempts = await services.calls.attempts(ids)
    said["attempts"] = sum(one.cost_nanousd for tries in attempts.values() for one in tries)
    day = "2025-11-13"
    logs, before = [], ""
    while True:
        got = await running.operator.get(f"/spend/logs?limit=7&before={before}", headers=bearer(MASTER))
        logs += got.json()
        if not (before := got.headers.get("x-sekisho-next", "")):
            break
    daily = (await running.operator.get(f"/spend/logs?start_date={day}&end_date={day}", headers=bearer(MASTER))).json()
    exact = sum(round(row["spend"] * 1e9) for row in daily)
    return said | {
        "spend log": sum(row["metadata"]["sekisho"]["cost_nanousd"] for row in logs),
        "spend log in dollars": sum(round(row["spend"] * 1e9) for row in logs),
        "spend log by day": exact,
        "console today": (await ConsoleCalls(services).totals()).cost_today_nanousd,
        "console last hour": sum(step.cost_nanousd for step in (await ConsoleCalls(services).totals()).intervals),
    }


@seeds(2)
async def test_all_books_say_the_same_sum(tmp_path: Path, seed: int) -> None:
    lot = random.Random(seed)
    upstream = Upstream(random.Random(seed + 1000))
    limits = Limits(drain_timeout_s=20)
    async with running_control_plane(tmp_path / "home") as running, serving(upstream.script) as server:
        model = model_at(server.url, deployments=2)
        writer = JournalWriter(tmp_path / "home" / "journal", "call-1", segment_bytes=4096)
        journal = BothJournals(writer=writer)
        async with call_plane((model,), limits, tmp_path, running.clock, journal) as plane:
            key = VirtualKey("alice", ORG_ID, digest(PEPPER, ALICE), user_id="alice")
            snapshot = Snapshot(2, ORG_ID, (key,), (model,), simulated=True)
            plane.registry.deliver(Delivery(snapshot, {"simulator": SIMULATOR_CREDENTIAL}))
            for _ in range(CALLS // 6):
                await asyncio.gather(*(make_call(plane, lot) for _ in range(6)))
                running.clock.advance(1)
                await running.plane.drain_once()
            settled = await journal.wait_settled(CALLS)
        writer.close()
        await running.plane.drain_once()

        assert len({one.call_id for one in settled}) == len(journal.opened) == len(settled) == CALLS
        total = sum(one.cost_nanousd for one in settled)
        said = await sums(running)
        assert said == dict.fromkeys(said, total)
        assert {one.status for one in settled} >= {"ok", "failed"} and not all(one.is_metered for one in settled)
        by_usage = sum(price_nanousd(model, counts) for counts in upstream.metered)
        unmetered = sum(
            attempt.cost_nanousd
            for one in settled
            for attempt in one.attempts
            if attempt.cost_nanousd and attempt.usage.total_tokens == 0
        )
        assert total == by_usage + unmetered and unmetered > 0
