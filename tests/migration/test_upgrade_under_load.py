"""The home of the previous version, opened by this one under load: nothing is lost, nothing is refused."""

import asyncio
import hmac
import http.client
import json
import random
import struct
import threading
import zlib
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa

from sekisho.clock import id_text
from sekisho.store.sql.engine import Database, sqlite_url
from tests.acceptance.processes import Served, served, wait_for
from tests.acceptance.test_backup import calls_of, sekisho
from tests.migration.previous import DAY_US, build, fill
from tests.migration.test_upgrade import NAMES, random_call
from tests.servers import free_port

KEY = "sk-previous-00000000000000000000000000000"
PEPPER = b"q" * 32
STARTED_AT = DAY_US * 20_100


def make_home(home: Path) -> tuple[int, set[str]]:
    """A home as the previous version left it when it was killed: its cost in the end, and the ids of all its calls."""
    for part in (home, home / "secrets", home / "journal", home / "run"):
        part.mkdir(mode=0o700)
    (home / "secrets" / "pepper").write_bytes(PEPPER)
    lot = random.Random(5)
    calls = [random_call(lot, number) | {"has_caller": True} for number in range(300)]
    for one in calls:
        if one["duration_us"] is None:  # none is running: the test puts those into the journal
            one.update(status=6, duration_us=1)
    asyncio.run(fill_database(home / "sekisho.db", calls))
    cost = sum(one["cost_nanousd"] for one in calls)
    ids = {id_text(one["id"]) for one in calls}
    frames = b""
    for number in range(60):
        call_id = (STARTED_AT // 1000 + number).to_bytes(6, "big") + number.to_bytes(10, "big")
        ids.add(id_text(call_id))
        caller = ["default", "k", "alice", "red", ["x"], "cline", "4.1", "session"]
        frames += frame(["o", call_id, STARTED_AT, caller, "openai_chat", "m", False, 10, 1_000])
        if number % 10:
            usage = [10, 20, 30, 0, 40, 5]
            attempt = ["bedrock-1", STARTED_AT, 9, 200, "", usage, 70, 70, "2026-11", "geo", "req"]
            settled = [call_id, STARTED_AT + 9, "ok", "end_turn", "", "", True, False, usage, 70, 70, [attempt], 1, 9]
            frames += frame(["s", *settled, [1, 2, 3]])
            cost += 70
        else:
            cost += 1_000  # it was under way when its process died: at its bound
    (home / "journal" / "call-1.77.abc-000001.log").write_bytes(frames + frames[:11])  # the last record is cut
    return cost, ids


async def fill_database(path: Path, calls: list[dict[str, Any]]) -> None:
    database = Database(sqlite_url(path))
    await build(database, "0001")
    await fill(database, calls, NAMES, with_key=True)
    await build(database, "0002")  # it makes the team and the user of the key
    async with database.write() as connection:
        digest = hmac.digest(PEPPER, KEY.encode(), "sha256")
        await connection.execute(sa.text("UPDATE virtual_key SET digest = :digest").bindparams(digest=digest))
    await database.close()


def frame(record: list[Any]) -> bytes:
    payload = msgspec.msgpack.encode(record)
    return struct.pack("<II", len(payload), zlib.crc32(payload)) + payload


class Agents(threading.Thread):
    """Calls again and again, from before the port is open; `seen` and `refused` are what it was told."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.seen: list[str] = []
        self.refused: list[bytes] = []
        self.ends = threading.Event()
        self._server = Served(Path(), None, port, KEY)  # type: ignore[arg-type]  # it is only asked

    def run(self) -> None:
        body = {"model": "nova-pro", "max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}]}
        while not self.ends.is_set():
            try:
                status, call_id, content = self._server.ask_for_id("POST", "/v1/chat/completions", body)
            except (OSError, http.client.HTTPException):
                self.ends.wait(0.02)
                continue
            if status == 200:
                self.seen.append(call_id)
            else:
                self.refused.append(content)


def test_agents_notice_nothing_and_every_figure_is_kept(tmp_path):
    home, port = tmp_path / "home", free_port()
    cost, ids = make_home(home)
    agents = [Agents(port) for _ in range(3)]
    for agent in agents:
        agent.start()
    with served(home, "--port", str(port)) as server:
        wait_for(lambda: all(len(agent.seen) > 5 or agent.refused for agent in agents), "no call goes through")
        for agent in agents:
            agent.ends.set()
            agent.join()
        seen = {call_id for agent in agents for call_id in agent.seen}
        assert [agent.refused for agent in agents] == [[], [], []]
        wait_for(lambda: seen <= set(calls_of(server)), "calls are missing")
        calls = calls_of(server)
        assert set(calls) == ids | seen
        assert sum(one["cost_nanousd"] for call_id, one in calls.items() if call_id in ids) == cost
        report = json.loads(sekisho("spend", "--home", str(home), "--by", "team", "--json").stdout)
        everything = sum(one["cost_nanousd"] for one in calls.values())
        assert report["total"]["cost_nanousd"] == sum(row["cost_nanousd"] for row in report["rows"]) == everything
