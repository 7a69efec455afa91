"""The processes that are measured, and how their CPU time and memory are read (Linux)."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path

from bench.bodies import MODEL, whole_answer

MASTER_KEY = "sk-bench-master"
_UPSTREAM_MODEL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
_START_S = 30.0
_COMMAND = (sys.executable, "-c", "from sekisho.cli.main import main; main()")


def cpu_s(pids: list[int]) -> float:
    """User and system time of all threads of these processes so far, in seconds."""
    return sum(_run_ns(task) for pid in pids for task in Path(f"/proc/{pid}/task").iterdir()) / 1e9


def _run_ns(task: Path) -> int:
    return int((task / "schedstat").read_text().split()[0])


def rss_mb(pid: int) -> float:
    """Resident memory, in MB."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextmanager
def nginx(folder: Path, server: str) -> Iterator[list[int]]:
    """An nginx with one worker and this `http` content; the worker's process id."""
    folder.mkdir()
    (folder / "nginx.conf").write_text(
        "daemon off; worker_processes 1; pid nginx.pid; error_log error.log crit;\n"
        "events { worker_connections 4096; }\n"
        "http { access_log off; keepalive_requests 1000000000; client_max_body_size 0; client_body_buffer_size 2m;\n"
        "client_body_temp_path body; proxy_temp_path proxy;\n"
        "fastcgi_temp_path fcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;\n" + server + "}\n"
    )
    process = subprocess.Popen(["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "error.log"])
    time.sleep(0.5)
    try:
        yield children(process.pid)
    finally:
        _stop(process)


def answering(port: int) -> str:
    """nginx configuration: a Bedrock answer of 1 KB to everything."""
    return (
        f"server {{ listen 127.0.0.1:{port}; location / {{ default_type application/json;\n"
        f"return 200 '{whole_answer().decode()}'; }} }}\n"
    )


def passing(port: int, upstream_port: int) -> str:
    """nginx configuration: pass everything on as it comes, both ways, over kept connections."""
    return (
        f"upstream up {{ server 127.0.0.1:{upstream_port}; keepalive 256; keepalive_requests 1000000000; }}\n"
        f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://up; proxy_http_version 1.1;\n"
        'proxy_set_header Connection ""; proxy_buffering off; proxy_request_buffering off; } }\n'
    )


@contextmanager
def streaming(gap_s: float, events: int) -> Iterator[int]:
    """An upstream that streams so many Bedrock frames, or answers whole if there are none; its port."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "bench.upstream", str(port), str(gap_s), str(events)])
    try:
        _wait_port(port)
        yield port
    finally:
        _stop(process)


class Sekisho:
    """A running `sekisho serve`."""

    def __init__(self, process: "subprocess.Popen[str]", port: int, key: str) -> None:
        self._process = process
        self.port = port
        self.key = key

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1/messages"

    def pids(self) -> Mapping[str, int]:
        """Process ids by name; the supervisor is "serve"."""
        found = {"serve": self._process.pid}
        for pid in children(self._process.pid):
            environment = Path(f"/proc/{pid}/environ").read_bytes()
            if name := re.search(rb'SEKISHO_PROCESS=\{"role":"(\w+)"', environment):
                found[name[1].decode()] = pid
        return found

    def call_pids(self) -> list[int]:
        return [self.pids()["call"]]


@contextmanager
def sekisho(home: Path, upstream_port: int) -> Iterator[Sekisho]:
    """Sekisho before an upstream on this port, with one virtual key, when that key opens."""
    config = home.with_suffix(".yaml")
    config.write_text(
        "model_list:\n"
        f"  - model_name: {MODEL}\n"
        "    litellm_params:\n"
        f"      model: bedrock/{_UPSTREAM_MODEL}\n"
        "      aws_region_name: us-east-1\n"
        f"      aws_bedrock_runtime_endpoint: http://127.0.0.1:{upstream_port}\n"
        "      aws_access_key_id: AKIDBENCH\n"
        "      aws_secret_access_key: bench\n"
        "general_settings:\n  master_key: os.environ/BENCH_MASTER_KEY\n"
    )
    port = free_port()
    with serving(home, port, "--config", str(config)) as process:
        wait_answer(f"http://127.0.0.1:{port}/health/ready")
        yield Sekisho(process, port, _create_key(port))


@contextmanager
def serving(home: Path, port: int, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """`sekisho serve` of the code that is importable here, from its start on."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SEKISHO_"))}
    process = subprocess.Popen(
        [*_COMMAND, "serve", "--home", str(home), "--port", str(port), *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**kept, "HOME": str(home.parent), "BENCH_MASTER_KEY": MASTER_KEY, "SEKISHO_LANG": "en"},
    )
    try:
        yield process
    finally:
        _stop(process)
        if process.stdout:
            process.stdout.close()


def wait_answer(url: str, key: str = "", body: bytes | None = None) -> None:
    """Wait for a good answer, asking every 5 ms."""
    deadline = time.monotonic() + _START_S
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    while True:
        try:
            urllib.request.urlopen(urllib.request.Request(url, body, headers)).close()
            return
        except (OSError, HTTPException):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.005)


def _create_key(port: int) -> str:
    url = f"http://127.0.0.1:{port}/key/generate"
    wait_answer(f"http://127.0.0.1:{port}/console/sign-in")
    headers = {"Authorization": f"Bearer {MASTER_KEY}", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, b"{}", headers)) as response:
        return str(json.load(response)["key"])


def _wait_port(port: int) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.02)
    sys.exit("bench: the upstream did not start")


def _stop(process: "subprocess.Popen[str] | subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    process.wait()
