"""A real control plane for acceptance tests: its own home, its own database, a clock that stands still."""

import functools
import hashlib
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec

from sekisho.access.keys import digest, pepper_path
from sekisho.access.passwords import Strength
from sekisho.app.control_plane import ControlPlane, ControlPlaneSettings, open_control_plane
from sekisho.app.sign_in_settings import SignInSettings
from sekisho.clock import FakeClock, new_id
from sekisho.ledger.journal import Attempt, Caller, Opened, Refused, Settled, TaskNote
from sekisho.ledger.journal_files import JournalWriter
from sekisho.record.content import NO_CONTENT, ContentSettings
from sekisho.values import Credential, Deployment, Model, Quirks, Usage
from tests.acceptance.shared_app import app_over

MASTER = "sk-master-of-this-test-only"
CLAUDE = Model(
    "claude",
    "claude",
    200_000,
    64_000,
    Quirks(),
    (Deployment("bedrock-1", "bedrock", "bedrock_converse", "http://127.0.0.1:1", "anthropic.claude"),),
)

QUICK = SignInSettings(strength=Strength(2, 1, 1))  # guesses that cost nothing


class OverUnixSocket(httpx.AsyncBaseTransport):
    """Calls the application in memory; it sees a request that came over a Unix socket."""

    def __init__(self, app: Any) -> None:
        async def on_socket(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, "server": ("/run/control.sock", None)}, receive, send)

        self._transport = httpx.ASGITransport(on_socket)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._transport.handle_async_request(request)


@dataclass
class Running:
    """A control plane and the three kinds of callers: operator, anybody behind the gate, a journal writer."""

    home: Path
    plane: ControlPlane
    clock: FakeClock
    operator: httpx.AsyncClient
    gate: httpx.AsyncClient
    credentials: dict[str, Credential]

    async def call_of(self, key: Mapping[str, Any], cost_nanousd: int = 1_500_000, **changes: Any) -> bytes:
        """Let a key make one call that is settled and booked; the call's id."""
        call_id = new_id(self.clock.now_us())
        self.clock.advance(0.001)  # ids sort by millisecond
        at = self.clock.now_us()
        usage = Usage(input_tokens=10, cache_read_tokens=5, output_tokens=20)
        caller = Caller("default", key["id"], key["user_id"], key["team_id"], ("project:x",), "cline", "4.1", "s-1")
        tried = Attempt("bedrock-1", at, 800_000, 200, "", usage, cost_nanousd, cost_nanousd, "2026-11", "geo", "req-1")
        values: dict[str, Any] = {
            "call_id": call_id,
            "ended_at": at + 1_000_000,
            "status": "ok",
            "stop_reason": "end_turn",
            "error": "",
            "message": "",
            "is_metered": True,
            "client_left": False,
            "usage": usage,
            "list_cost_nanousd": cost_nanousd,
            "cost_nanousd": cost_nanousd,
            "attempts": (tried,),
            "first_byte_us": 250_000,
            "upstream_us": 800_000,
            "stages_us": (1, 2, 3),
        }
        with JournalWriter(self.home / "journal", f"call-{call_id.hex()}") as writer:
            opened = Opened(call_id, at, caller, "openai_chat", "claude", True, 900, 9_000_000)
            writer.append(msgspec.structs.replace(opened, task=TaskNote(task_of(key), b"", "act", "human")))
            writer.append(Settled(**values | changes))
        await self.plane.drain_once()
        return call_id

    async def refusal_of(self, key: Mapping[str, Any]) -> bytes:
        """Let a key be refused once; the call's id."""
        call_id = new_id(self.clock.now_us())
        self.clock.advance(0.001)
        at = self.clock.now_us()
        caller = Caller("default", key["id"], key["user_id"])
        with JournalWriter(self.home / "journal", f"call-{call_id.hex()}") as writer:
            refused = Refused(
                call_id, at, at + 9, caller, "openai_chat", "gpt", "resolve", "model_not_found", "No.", ()
            )
            writer.append(refused)
        await self.plane.drain_once()
        return call_id


def task_of(key: Mapping[str, Any]) -> bytes:
    """The one task of all calls of a key here."""
    return hashlib.blake2b(key["id"].encode(), digest_size=16).digest()


@asynccontextmanager
async def running_control_plane(
    home: Path,
    master_key: str = MASTER,
    models: tuple[Model, ...] = (CLAUDE,),
    content: ContentSettings = NO_CONTENT,
    sign_in: SignInSettings = QUICK,
) -> AsyncIterator[Running]:
    """Open a control plane in this home; close it at the end."""
    credentials: dict[str, Credential] = {}

    async def current() -> Mapping[str, Credential]:
        return credentials

    clock = FakeClock()
    settings = ControlPlaneSettings(
        models=lambda: models, master_key=master_key, credentials=current, content=content, sign_in=sign_in
    )
    plane = await open_control_plane(home, settings, clock)
    with app_over(plane.services()) as app:
        transport = OverUnixSocket(app)
        client = functools.partial(httpx.AsyncClient, transport=transport, base_url="http://localhost")
        async with client() as operator, client(headers={"x-sekisho-forwarded": "127.0.0.1"}) as gate:
            yield Running(home, plane, clock, operator, gate, credentials)
    await plane.close()


def bearer(key: str) -> dict[str, str]:
    """The header that presents a key."""
    return {"authorization": f"Bearer {key}"}


def token_of(home: Path, key: str) -> str:
    """How a key appears in answers: its digest in hexadecimal."""
    return digest(pepper_path(home).read_bytes(), key).hex()


def files_with(home: Path, secret: str) -> list[Path]:
    """Every file under the home that holds this text."""
    return [path for path in home.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]


def everything(home: Path) -> dict[str, list[Any]]:
    """All rows of all tables, but for the number of the snapshot."""
    database = sqlite3.connect(home / "sekisho.db")
    names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'counter'").fetchall()
    rows = {name: database.execute(f'SELECT * FROM "{name}"').fetchall() for (name,) in names}
    database.close()
    return rows
