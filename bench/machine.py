"""What the kernel says about processes and the machine (Linux)."""

import datetime
import os
import platform
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path

START_S = 60.0


class BenchError(Exception):
    """A peer or a load did not do what is measured; the message says what was seen."""


def tree(pid: int) -> list[int]:
    """The process and all its descendants."""
    found = [pid]
    for parent in found:
        with suppress(OSError):
            for task in Path(f"/proc/{parent}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
    return found


def cpu_s(pids: Iterable[int]) -> float:
    """User and system time of all threads of these processes so far, in seconds."""
    total_ns = 0
    for pid in pids:
        with suppress(OSError):  # a helper process that has just ended
            for task in Path(f"/proc/{pid}/task").iterdir():
                total_ns += int((task / "schedstat").read_text().split()[0])
    return total_ns / 1e9


def rss_mb(pids: Iterable[int]) -> float:
    """Resident memory of these processes together, in MB; memory that they share counts once (PSS)."""
    total_kb = 0
    for pid in pids:
        with suppress(OSError):
            found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
            total_kb += int(found[1]) if found else 0
    return total_kb / 1024


def pin(pids: Iterable[int], cores: Iterable[int]) -> None:
    """Keep all threads of these processes on these cores."""
    wanted = tuple(cores)
    for pid in pids:
        with suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setaffinity(int(task.name), wanted)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(
    command: list[str], log: Path, environment: Mapping[str, str] | None = None, folder: Path | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """A process group of its own, ended at the end; what it prints is in `log`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SEKISHO_", "OPENAI_"))}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**kept, **(environment or {})},
            cwd=folder,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        stop(process)


def stop(process: "subprocess.Popen[bytes]", grace_s: float = 10.0) -> None:
    """Ask it to end; after the grace time end what is left of its group."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(grace_s)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)  # its own session: nothing but what it started
    process.wait()


def wait_port(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait until somebody listens. Raises BenchError when the process ends instead, or nobody does in time."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.01)
    raise BenchError(f"did not start: {log.read_text(errors='replace')[-600:]}")


def wait_answer(url: str, headers: Mapping[str, str], body: bytes | None = None) -> bytes:
    """The first good answer, asked for every 10 ms. Raises BenchError."""
    deadline = time.monotonic() + START_S
    while True:
        request = urllib.request.Request(url, body, {"Content-Type": "application/json", **headers})
        try:
            with urllib.request.urlopen(request, timeout=START_S) as response:
                content: bytes = response.read()
                return content
        except (OSError, HTTPException) as error:
            if time.monotonic() > deadline:
                said = error.read()[:300] if isinstance(error, urllib.error.HTTPError) else b""
                raise BenchError(f"no good answer: {error} {said!r}") from error
            time.sleep(0.01)


def description() -> dict[str, object]:
    """The machine, its load and the day of the run."""
    model = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),  # noqa: TID251  # no product code
        "cpu": model[1] if model else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(int(memory[1]) / 1024**2) if memory else 0,
        "kernel": platform.release().split("-")[0],
        "python": sys.version.split()[0],
    }


def load() -> float:
    """The load average of the last minute: how many wanted a core, this bench among them."""
    return round(os.getloadavg()[0], 1)
