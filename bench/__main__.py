"""CPU per small call through Sekisho, beside nginx `proxy_pass`, in one run: `make bench`.

What is measured: user and system time of all threads of the process (nginx worker; Sekisho's call process), per call,
at concurrency 16. The upstream is an nginx that answers a fixed 1 KB Bedrock answer; the load comes from wrk. Sekisho
runs with everything on: key, model resolution, authorisation, open and settled journal records, SigV4, exact cost,
journal level `process`. nginx does nothing but pass bytes. Rounds alternate; the median of the rounds' ratios is the
figure.

Needs nginx and wrk (Debian: nginx-light, wrk).
"""

import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

_MODEL = "claude-sonnet-4-5"
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_RESULTS = Path(__file__).with_name("results.json")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--seconds", type=int, default=4)
    arguments.add_argument("--concurrency", type=int, default=16)
    options = arguments.parse_args()
    for tool in ("nginx", "wrk"):
        if shutil.which(tool) is None:
            sys.exit(f"bench: {tool} is not installed (Debian: apt-get install nginx-light wrk)")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sekisho-bench-")))
        upstream_port, proxy_port = _free_port(), _free_port()
        stack.enter_context(_nginx(folder / "upstream", _upstream_conf(upstream_port)))
        proxy = stack.enter_context(_nginx(folder / "proxy", _proxy_conf(proxy_port, upstream_port)))
        port, key, call_pid = stack.enter_context(_sekisho(folder / "home", folder, upstream_port))
        script = _wrk_script(folder, key)
        peers = {
            "nginx": (f"http://127.0.0.1:{proxy_port}/v1/messages", _children(proxy)),
            "sekisho": (f"http://127.0.0.1:{port}/v1/messages", [call_pid]),
        }
        for url, _ in peers.values():
            _load(url, script, 1, options.concurrency)
        rounds = []
        for number in range(options.rounds):
            order = list(peers) if number % 2 == 0 else list(reversed(peers))
            rounds.append({name: _measure(*peers[name], script, options) for name in order})
            print(f"round {number + 1}: " + ", ".join(f"{name} {us:.1f} us" for name, us in rounds[-1].items()))
    ratio = statistics.median(one["sekisho"] / one["nginx"] for one in rounds)
    result = {
        "what": "CPU us per 1 KB call, concurrency 16, median of rounds",
        "nginx_us": round(statistics.median(one["nginx"] for one in rounds), 1),
        "sekisho_us": round(statistics.median(one["sekisho"] for one in rounds), 1),
        "ratio": round(ratio, 2),
        "python": sys.version.split()[0],
    }
    print(json.dumps(result, indent=1))
    _RESULTS.write_text(json.dumps(result, indent=1) + "\n")


def _measure(url: str, pids: list[int], script: Path, options: argparse.Namespace) -> float:
    before = sum(_cpu_s(pid) for pid in pids)
    calls = _load(url, script, options.seconds, options.concurrency)
    return (sum(_cpu_s(pid) for pid in pids) - before) / calls * 1e6


def _load(url: str, script: Path, seconds: int, concurrency: int) -> int:
    command = ["wrk", "-t1", f"-c{concurrency}", f"-d{seconds}s", "-s", str(script), url]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in output or "Socket errors" in output:
        sys.exit(f"bench: calls failed\n{output}")
    return int(next(line.split()[0] for line in output.splitlines() if " requests in " in line))


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]


@contextmanager
def _nginx(folder: Path, conf: str) -> Iterator[int]:
    folder.mkdir()
    (folder / "nginx.conf").write_text(conf)
    process = subprocess.Popen(
        ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    )
    time.sleep(0.5)
    try:
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _conf(folder_free: str) -> str:
    return (
        "daemon off; worker_processes 1; pid nginx.pid;\nevents { worker_connections 1024; }\n"
        "http { access_log off; keepalive_requests 1000000000; client_body_temp_path body; proxy_temp_path proxy;\n"
        "fastcgi_temp_path fcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;\n" + folder_free + "}\n"
    )


def _upstream_conf(port: int) -> str:
    usage = {"input_tokens": 210, "output_tokens": 190}
    answer = {
        "id": "msg_bench",
        "type": "message",
        "role": "assistant",
        "model": _MODEL,
        "content": [{"type": "text", "text": "x" * 800}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": usage,
    }
    return _conf(
        f"server {{ listen 127.0.0.1:{port}; location / {{ default_type application/json;\n"
        f"return 200 '{json.dumps(answer)}'; }} }}\n"
    )


def _proxy_conf(port: int, upstream_port: int) -> str:
    return _conf(
        f"upstream up {{ server 127.0.0.1:{upstream_port}; keepalive 64; keepalive_requests 1000000000; }}\n"
        f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://up; proxy_http_version 1.1;\n"
        'proxy_set_header Connection ""; proxy_buffering off; }} }}\n'.replace("}}", "}")
    )


@contextmanager
def _sekisho(home: Path, folder: Path, upstream_port: int) -> Iterator[tuple[int, str, int]]:
    config = folder / "config.yaml"
    config.write_text(
        "model_list:\n"
        f"  - model_name: {_MODEL}\n"
        "    litellm_params:\n"
        "      model: bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0\n"
        "      aws_region_name: us-east-1\n"
        f"      aws_bedrock_runtime_endpoint: http://127.0.0.1:{upstream_port}\n"
        "      aws_access_key_id: AKIDBENCH\n"
        "      aws_secret_access_key: bench\n"
        "general_settings:\n  master_key: sk-bench-master\n"
    )
    port = _free_port()
    command = [str(Path(sys.executable).with_name("sekisho")), "serve", "--config", str(config)]
    process = subprocess.Popen([*command, "--home", str(home), "--port", str(port)], stdout=subprocess.DEVNULL)
    try:
        _wait(f"http://127.0.0.1:{port}/health/ready")
        yield port, _key(port), _call_pid(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _key(port: int) -> str:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/key/generate",
        data=b"{}",
        headers={"Authorization": "Bearer sk-bench-master", "Content-Type": "application/json"},
    )
    deadline = time.monotonic() + 10
    while True:
        try:
            with urllib.request.urlopen(request) as response:
                return str(json.load(response)["key"])
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _call_pid(supervisor: int) -> int:
    for pid in _children(supervisor):
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        if b'"role":"call"' in environment:
            return pid
    sys.exit("bench: Sekisho's call process was not found")


def _wait(url: str) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            urllib.request.urlopen(url).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _wrk_script(folder: Path, key: str) -> Path:
    body = {"model": _MODEL, "max_tokens": 256, "messages": [{"role": "user", "content": "y" * 900}]}
    script = folder / "call.lua"
    script.write_text(
        f"wrk.method='POST'\nwrk.body=[[{json.dumps(body)}]]\n"
        f"wrk.headers['Authorization']='Bearer {key}'\nwrk.headers['Content-Type']='application/json'\n"
    )
    return script


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
