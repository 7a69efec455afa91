"""What content of calls costs: bytes stored of a task beside the bytes that passed, and the time of both planes.

`python -m bench.content`. The task is an agent's: a system prompt, 25 tools behind the messages, cache marks that move,
tool results that are real source text, answers streamed in small events. Nothing here repeats but what agents repeat.
"""

import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

import sekisho
from sekisho.app.content import ContentKeeper
from sekisho.calls.call import Call, Trail
from sekisho.calls.recording import Recorder
from sekisho.clock import SystemClock, id_text, new_id
from sekisho.conversation.kept import Conversations, Owner
from sekisho.conversation.tasks import Task
from sekisho.dialects import anthropic_messages, openai_chat
from sekisho.dialects.exchange import BlockEnded, Event, Metered, Started, Stopped, TextDelta, ToolDelta, ToolStarted
from sekisho.record.content import ContentSettings
from sekisho.record.spool import SpoolWriter
from sekisho.store.sql.content import SqlContent
from sekisho.store.sql.engine import Database, sqlite_url
from sekisho.store.sql.keys import SqlKeys
from sekisho.store.sql.migrate import migrate
from sekisho.values import Door, Usage, VirtualKey

KEY = VirtualKey("key", "default", b"", user_id="alice", team_id="red", content_level="full")
TASKS: tuple[tuple[Door, int, int], ...] = (
    ("openai_chat", 10, 5),
    ("openai_chat", 100, 50),
    ("anthropic_messages", 10, 5),
    ("anthropic_messages", 100, 50),
)
_MARK = {"cache_control": {"type": "ephemeral"}}


def source_text() -> str:
    """All of the product's own source: text that no compressor has seen before."""
    folder = Path(sekisho.__file__).parent
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.py")))


def requests(
    door: Door, turns: int, rng: random.Random, text: str, *, most_bytes: int = 24_000
) -> Iterator[tuple[bytes, bytes]]:
    """Bodies of a task in their order, each with its answer: a tool call; its result comes with the next body."""
    cuts = [rng.randrange(len(text) - 40_000) for _ in range(turns + 26)]
    prompt = text[cuts[0] : cuts[0] + 20_000]
    tools = [_tool(door, number, text[cuts[number + 1] : cuts[number + 1] + 700]) for number in range(25)]
    messages: list[dict[str, Any]] = [{"role": "user", "content": "Please find out why the report is slow."}]
    for number in range(turns):
        words = text[cuts[number] : cuts[number] + 300]
        arguments = json.dumps({"path": f"src/file_{number}.py", "lines": rng.randrange(900)})
        yield _body(door, prompt, tools, messages), _answer(door, words, f"call_{number}", arguments)
        size = min(most_bytes, rng.choice((500, 2_000, 6_000, 24_000)))
        result = text[cuts[number + 26] : cuts[number + 26] + size]
        messages += _turn(door, words, f"call_{number}", arguments, result)


def _body(door: Door, prompt: str, tools: list[Any], messages: list[dict[str, Any]]) -> bytes:
    if door == "openai_chat":
        system = {"role": "system", "content": prompt}
        body = {"model": "claude-sonnet-4-5", "messages": [system, *messages], "stream": True, "tools": tools}
        return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
    marked = [dict(one) for one in messages]
    for one in [one for one in marked if one["role"] == "user"][-2:]:  # as agents do: the last two of the user's
        parts = one["content"] if isinstance(one["content"], list) else [{"type": "text", "text": one["content"]}]
        one["content"] = [*parts[:-1], parts[-1] | _MARK]
    body = {"model": "claude-sonnet-4-5", "max_tokens": 8_000, "stream": True, "messages": marked}
    body |= {"system": [{"type": "text", "text": prompt} | _MARK], "tools": tools}
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def _turn(door: Door, words: str, call: str, arguments: str, result: str) -> list[dict[str, Any]]:
    if door == "openai_chat":
        function = {"name": "read_file", "arguments": arguments}
        asked = {"id": call, "type": "function", "function": function}
        return [
            {"role": "assistant", "content": words, "tool_calls": [asked]},
            {"role": "tool", "tool_call_id": call, "content": result},
        ]
    use = {"type": "tool_use", "id": call, "name": "read_file", "input": json.loads(arguments)}
    return [
        {"role": "assistant", "content": [{"type": "text", "text": words}, use]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call, "content": result}]},
    ]


def _tool(door: Door, number: int, words: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": {f"argument_{number}": {"type": "string", "description": words[:200]}}}
    if door == "openai_chat":
        function = {"name": f"tool_{number}", "description": words, "parameters": schema}
        return {"type": "function", "function": function}
    return {"name": f"tool_{number}", "description": words, "input_schema": schema}


def _answer(door: Door, words: str, call: str, arguments: str) -> bytes:
    """A stream as its client gets it, an event for every few characters."""
    events: list[Event] = [Started("x")]
    events += [TextDelta(0, words[at : at + 5]) for at in range(0, len(words), 5)]
    events += [BlockEnded(0), ToolStarted(1, call, "read_file")]
    events += [ToolDelta(1, arguments[at : at + 8]) for at in range(0, len(arguments), 8)]
    events += [BlockEnded(1), Stopped("tool_use"), Metered(Usage(10, output_tokens=90))]
    if door == "openai_chat":
        chat = openai_chat.ReplyRenderer(call_id="c", model="m", created=1, wants_usage=True)
        return b"".join(chat.events([event]) for event in events) + chat.finish(1)
    claude = anthropic_messages.ReplyRenderer("c", "m")
    return b"".join(claude.events([event]) for event in events) + claude.finish(1)


class Desk:
    """A recorder, its spool and the store, in a folder of their own."""

    def __init__(self, home: Path, database: Database, keeper: ContentKeeper | None = None) -> None:
        self.clock = SystemClock()
        self.database = database
        self.home = home
        self.spool = SpoolWriter(home / "spool", "bench", self.clock)
        self.recorder = Recorder(self.spool, self.clock, lambda: 0)
        self.conversations = Conversations()
        rows = SqlContent(database)
        self.keeper = keeper or ContentKeeper(home, ContentSettings("full"), rows, "default", self.clock, _nothing)
        self.call_s = self.control_s = 0.0
        self.spooled = 0

    async def play(
        self,
        door: Door,
        turns: Iterable[tuple[bytes, bytes]],
        *,
        taken_every: int,
        task_id: bytes = b"",
        proves: bool = True,
    ) -> list[bytes]:
        """Record a task's calls; let the store take them after every few, as it would in time; their ids."""
        owner = Owner(KEY.team_id, KEY.id, door)
        ids, kept = [], []
        for number, (body, answer) in enumerate(turns):
            chain = self.conversations.read(owner, body)
            call_id = new_id(self.clock.now_us())
            call = Call(
                id=call_id,
                id_text=id_text(call_id),
                door=door,
                operation="generate",
                started_at=self.clock.now_us(),
                headers={},
                read_body=_body_is_here,
                trail=Trail(0),
                key=KEY,
                body=body,
                stream=True,
                chain=chain,
                task=Task(task_id),
            )
            began = time.process_time()
            recording = self.recorder.begin(call)
            assert recording is not None
            for at in range(0, len(answer), 200):
                recording.add(answer[at : at + 200])
            recording.end()
            self.call_s += time.process_time() - began
            self.conversations.keep(owner, call_id, chain)
            self.conversations.settle(owner, call_id, chain)
            ids.append(call_id)
            if proves:
                kept.append((call_id, body, answer))
            if number % taken_every == taken_every - 1:
                await self._take()
        await self._take()
        for call_id, body, answer in kept:
            found = await self.keeper.store.read(call_id)
            assert found is not None and (found.request, found.answer) == (body, answer)
        return ids

    async def _take(self) -> None:
        began = time.process_time()
        await self.keeper.take_once()
        self.control_s += time.process_time() - began

    async def stored(self) -> tuple[int, int]:
        """Bytes of the packs, and of the rows in the database with their indexes."""
        packs = sum(path.stat().st_size for path in (self.home / "content").rglob("*") if path.is_file())
        names = "SELECT sum(pgsize - unused) FROM dbstat WHERE name LIKE '%content%'"
        async with self.database.read() as connection:
            return packs, int((await connection.execute(sa.text(names))).scalar_one())


async def _nothing() -> None:
    return None


async def _body_is_here() -> bytes:
    return b""


async def measure(door: Door, turns: int, goal: int, text: str) -> bool:
    """Print a line for one task; whether it is within its goal."""
    with tempfile.TemporaryDirectory() as folder:
        database = Database(sqlite_url(Path(folder) / "content.db"))
        await migrate(database)
        await SqlKeys(database).ensure_org("default", "default", 0)
        desk = Desk(Path(folder), database)
        made = list(requests(door, turns, random.Random(7), text))
        empty = (await desk.stored())[1]
        await desk.play(door, made, taken_every=1)
        packs, rows = await desk.stored()
        await database.close()
    raw = sum(len(body) + len(answer) for body, answer in made)
    stored = packs + rows - empty
    print(
        f"{door:20} {turns:5} {raw / 1e6:9.2f} MB {packs / 1e3:9.1f} KB {(rows - empty) / 1e3:7.1f} KB "
        f"  1/{raw / stored:5.1f}  (goal 1/{goal})  "
        f"{desk.call_s / turns * 1e6:7.0f} µs {desk.control_s / turns * 1e3:6.2f} ms"
    )
    return stored * goal <= raw


async def main() -> bool:
    """Measure every task; whether all are within their goals."""
    text = source_text()
    print(f"{'door':20} {'turns':>5} {'passed':>12} {'packs':>12} {'rows':>10}   stored             "
          f"CPU per call: call process, control process")  # fmt: skip
    return all([await measure(door, turns, goal, text) for door, turns, goal in TASKS])


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(main()) else 1)
