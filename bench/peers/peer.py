"""What the bench asks of a peer, and what a started one tells."""

import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Protocol

from bench.bodies import Door

Side = Literal["openai", "bedrock"]
DOORS: dict[Side, Door] = {"openai": "openai_chat", "bedrock": "anthropic_messages"}
PATHS: dict[Side, str] = {"openai": "/v1/chat/completions", "bedrock": "/v1/messages"}
BEDROCK_MODEL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
CHAT_MODEL = "gpt-4o-mini"
CACHE = Path(".cache/bench").absolute()


@dataclass(frozen=True)
class Certificate:
    """A certificate for 127.0.0.1 and its key, PEM files."""

    cert: Path
    key: Path


@dataclass(frozen=True)
class Site:
    """Where a peer is started: a folder of its own, the upstream's port, and a certificate if it is to speak TLS."""

    folder: Path
    side: Side
    upstream_port: int
    tls: Certificate | None = None


def _nothing() -> None:
    """Most peers have nothing left to do when they have answered."""


@dataclass(frozen=True)
class Running:
    """A started peer. `parts`: the process ids whose CPU and memory count; "all" is all of them.

    `at_rest` waits until work that the calls have left behind is done. `idle_s`: CPU seconds a second of each part
    without any load."""

    url: str
    model: str
    parts: Callable[[], dict[str, list[int]]]
    headers: dict[str, str] = field(default_factory=dict)
    at_rest: Callable[[], None] = _nothing
    idle_s: dict[str, float] = field(default_factory=dict)
    ledger_usd: Callable[[], str] | None = None


class Peer(Protocol):
    """One peer. `what` and `tls` say what it does here, in both languages, for the tables."""

    name: str
    what: Mapping[str, str]
    tls: Mapping[str, str]
    sides: tuple[Side, ...]
    paced_streams: int  # the most that are tried: of the counts in `bench.scenarios`

    def install(self) -> None:
        """Make sure that it can be started. Raises BenchError with what is missing."""

    def version(self) -> str:
        """The version that is installed."""

    def start(self, site: Site) -> AbstractContextManager[Running]:
        """Run it until the block ends. Raises BenchError."""


def both(en: str, ja: str) -> Mapping[str, str]:
    """A text in both languages."""
    return MappingProxyType({"en": en, "ja": ja})


def pip_install(name: str, *packages: str) -> Path:
    """The bin folder of a virtual environment with these packages and nothing else. Raises CalledProcessError."""
    bin_folder = CACHE / name / "bin"
    if not (CACHE / name / "installed").exists():
        subprocess.run([sys.executable, "-m", "venv", str(CACHE / name)], check=True)
        command = [str(bin_folder / "python"), "-m", "pip", "--disable-pip-version-check", "-q", "install", *packages]
        subprocess.run(command, check=True)
        (CACHE / name / "installed").touch()
    return bin_folder


def pip_version(name: str, package: str) -> str:
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    command = [str(CACHE / name / "bin" / "python"), "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
