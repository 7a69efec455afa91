"""Calls as the call plane records them, without a call plane: for tests of what is kept of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from sekisho.app.content import ContentKeeper
from sekisho.calls.call import Call, Trail
from sekisho.calls.masked_spool import MaskedSpool
from sekisho.calls.recording import Recorder, Recording
from sekisho.clock import FakeClock, new_id
from sekisho.conversation.chain import Base, Chain
from sekisho.dialects.body import parse_fields
from sekisho.record.content import ContentSettings
from sekisho.record.masking import Masker
from sekisho.record.spool import Asked, Buffer, Head, Origin, SpoolWriter
from sekisho.store.sql.content import SqlContent
from sekisho.store.sql.engine import Database
from sekisho.values import ContentLevel, Door, VirtualKey

SETTINGS = ContentSettings(level="full")


async def _nothing() -> bytes:
    return b""


@dataclass
class Desk:
    """A spool, a recorder, and the store that takes what is recorded."""

    home: Path
    database: Database
    settings: ContentSettings = SETTINGS
    clock: FakeClock = field(default_factory=FakeClock)
    generation: int = 0
    task_id: bytes = b""
    bodies: dict[bytes, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rows = SqlContent(self.database)
        self.keeper = ContentKeeper(self.home, self.settings, self.rows, "default", self.clock, self._publish)
        self.spool = SpoolWriter(
            self.home / "spool", f"{self.home.name[-40:]}.1", self.clock, most_bytes=self.settings.spool_bytes
        )
        self.masked = MaskedSpool(self, Masker(b"k" * 32))
        self.recorder = Recorder(self, self.clock, lambda: self.generation, self.masked)

    def append(self, head: Head, parts: Sequence[Buffer] = ()) -> bool:
        """Write to the spool, as of the task `task_id`."""
        if isinstance(head, Asked):
            head = replace(head, origin=replace(head.origin, task_id=self.task_id))
        return self.spool.append(head, parts)

    def lose(self, origin: Origin) -> None:
        self.spool.lose(origin)

    async def _publish(self) -> None:
        self.generation += 1
        self.spool.rotate()  # as a call process does every second

    def ask(
        self,
        body: bytes,
        *,
        door: Door = "openai_chat",
        after: bytes | None = None,
        chain: Chain | None = None,
        team: str = "red",
        user: str = "alice",
        level: ContentLevel = "full",
        stream: bool = False,
    ) -> tuple[bytes, Recording | None]:
        """Begin a call that goes on from the call `after`, or with a chain that says from which; its id."""
        call_id = new_id(self.clock.now_us())
        self.clock.advance(0.001)
        base = None if after is None else _base(after, self.bodies[after], body)
        key = VirtualKey(f"key-{user}", "default", b"", user_id=user, team_id=team, content_level=level)
        call = Call(
            id=call_id,
            id_text=call_id.hex(),
            door=door,
            operation="generate",
            started_at=self.clock.now_us(),
            headers={},
            read_body=_nothing,
            trail=Trail(0),
            key=key,
            body=body,
            stream=stream,
            chain=chain or Chain(door, body, parse_fields(body), base=base),
        )
        self.bodies[call_id] = body
        return call_id, self.recorder.begin(call)

    def call(self, body: bytes, *answer: bytes, door: Door = "openai_chat", after: bytes | None = None, **who: Any):
        """A whole call, with its answer in these parts; its id."""
        call_id, recording = self.ask(body, door=door, after=after, **who)
        if recording is not None:  # else it could not be kept
            for part in answer:
                recording.add(part)
            recording.end()
        return call_id

    def files(self) -> list[Path]:
        """Every pack on the disk."""
        return [path for path in (self.home / "content").rglob("*") if path.is_file()]

    def raw_bytes(self) -> bytes:
        """All bytes of the home's content and spool."""
        return b"".join(path.read_bytes() for part in ("content", "spool") for path in (self.home / part).rglob("*.*"))


def _base(call_id: bytes, before: bytes, body: bytes) -> Base:
    """How one body goes on from another, byte for byte."""
    prefix = _common(before, body)
    most = min(len(before), len(body)) - prefix
    suffix = _common(before[::-1][:most], body[::-1][:most])
    return Base(call_id, prefix, suffix, 0)


def _common(one: bytes, other: bytes) -> int:
    """How many bytes both begin with."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
