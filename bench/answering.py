"""The upstream of small calls: an nginx that answers at once, so that it is never what a fast peer waits for."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.machine import free_port
from bench.peers.nginx import count_lines, serving
from bench.said import KINDS, Wire, whole_answer

_LOCATIONS: dict[Wire, str] = {"openai_chat": "/", "invoke": "~ /invoke$", "converse": "~ /converse$"}


class Answering(NamedTuple):
    """`port` for everybody, `counted_port` for the one whose ledger is looked at; `given`: answers there, by kind."""

    port: int
    counted_port: int
    log: Path

    def given(self) -> Counter[tuple[Wire, int]]:
        found: Counter[tuple[Wire, int]] = Counter()
        for line, count in count_lines(self.log).items():
            wire, kind = line.split()
            found[wire, int(kind)] += count  # type: ignore[index]
        return found


@contextmanager
def answering(folder: Path) -> Iterator[Answering]:
    """An nginx that gives the kinds of answers in turn, per connection."""
    port, counted_port = free_port(), free_port()
    maps = "".join(_map(wire) for wire in _LOCATIONS) + _kinds()
    logs = "".join(f"log_format {wire} '{wire} $kind';\n" for wire in _LOCATIONS)
    content = f"{maps}{logs}{_server(port, '')}{_server(counted_port, 'given.log')}"
    with serving(folder, port, content):
        yield Answering(port, counted_port, folder / "given.log")


def _kinds() -> str:
    lines = "".join(f"~{digit}$ {digit};" for digit in range(KINDS))
    return f"map $connection_requests $kind {{ {lines} }}\n"


def _map(wire: Wire) -> str:
    lines = "".join(f"{kind} '{whole_answer(kind, wire).decode()}';\n" for kind in range(KINDS))
    return f"map $kind ${wire}_answer {{ {lines} }}\n"


def _server(port: int, log: str) -> str:
    places = "".join(
        f"location {place} {{ {f'access_log {log} {wire} buffer=64k flush=1s;' if log else ''}\n"
        f"default_type application/json; return 200 ${wire}_answer; }}\n"
        for wire, place in _LOCATIONS.items()
    )
    return f"server {{ listen 127.0.0.1:{port} backlog=2048; {places} }}\n"
