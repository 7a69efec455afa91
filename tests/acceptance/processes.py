"""A real `sekisho serve` in a process of its own, as an operator starts it."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_KEY = re.compile(r"sk-[A-Za-z0-9_-]{40,}")
_LINK = re.compile(r"/console/enter\?code=\S+")
_START_S = 60


@dataclass
class Served:
    """A running server: where it is, its first key, what it printed."""

    home: Path
    process: "subprocess.Popen[str]"
    port: int = 0
    key: str = ""
    link: str = ""
    lines: list[str] = field(default_factory=list)

    def ask(self, method: str, path: str, body: object = None, key: str = "") -> tuple[int, bytes]:
        """Status and body of one request."""
        status, _, content = self.ask_for_id(method, path, body, key)
        return status, content

    def ask_for_id(self, method: str, path: str, body: object = None, key: str = "") -> tuple[int, str, bytes]:
        """Status, call id and body of one request. Raises OSError or HTTPException if the server went away."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            headers = {"Authorization": f"Bearer {key or self.key}", "Content-Type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            content = response.read()
            return response.status, response.headers.get("x-sekisho-call-id", ""), content
        finally:
            connection.close()

    def children(self) -> dict[str, int]:
        """The process ids of this server's processes, by name."""
        found: dict[str, int] = {}
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for pid in listed:
            try:
                environment = Path(f"/proc/{pid}/environ").read_bytes()
            except (ProcessLookupError, FileNotFoundError):  # it has just died
                continue
            name = re.search(rb'SEKISHO_PROCESS=\{"role":"\w+","name":"([\w-]+)"', environment)
            if name:
                found[name[1].decode()] = int(pid)
        return found

    def stop(self) -> int:
        """Ask it to stop as Ctrl-C does; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        if self.process.stdout and not self.process.stdout.closed:
            with self.process.stdout as rest:
                self.lines += rest.read().splitlines()
        return self.process.wait(30)


@contextmanager
def served(home: Path, *arguments: str, **environment: str) -> Iterator[Served]:
    """Start `sekisho serve` on a free port and wait until it says where it is."""
    with heard(home, lambda _: None, *arguments, **environment) as server:
        yield server


@contextmanager
def heard(home: Path, hear: Callable[[Served], None], *arguments: str, **environment: str) -> Iterator[Served]:
    """As `served`; `hear` is called after each line that is printed until then."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SEKISHO_"))}
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("sekisho")), "serve", "--home", str(home), "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**inherited, "HOME": str(home.parent), "SEKISHO_LANG": "en", **environment},
    )
    server = Served(home, process)
    try:
        _read_greeting(server, hear)
        yield server
    finally:
        server.stop()


def _read_greeting(server: Served, hear: Callable[[Served], None]) -> None:
    assert server.process.stdout is not None
    for line in server.process.stdout:
        server.lines.append(line.rstrip())
        hear(server)
        if found := re.search(r"(?:open at|開きました：) http://127\.0\.0\.1:(\d+)", line):
            server.port = int(found[1])
        if not server.key and (found := _KEY.search(line)):
            server.key = found[0]
        if found := _LINK.search(line):
            server.link = found[0]
        if line.startswith("Ctrl-C"):
            return
        if server.port and line.startswith("sekisho: "):  # it serves, but says no more
            break
    raise AssertionError("sekisho serve ended: " + "\n".join(server.lines))


def wait_for(condition, what: str, seconds: float = _START_S) -> None:
    """Wait until `condition()` is true. Fails with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
