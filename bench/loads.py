"""Loads on a started peer, and what they cost it: CPU of all its processes, from the kernel, by call or event."""

import json
import math
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bench.bodies import Door, small_call
from bench.machine import BenchError, cpu_s, pin
from bench.peers.peer import Running
from bench.said import EVENTS

Figures = dict[str, float]
Mode = Literal["same", "next", "unseen"]
_TIMEOUT_S = 150.0
STREAM_COUNTS = (1_000, 500, 250, 100, 50, 20, 10)
HELD_P99_MS = 150.0
_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True)
class Load:
    """Where it may write, how long a load lasts, and the upstream's process, to keep it off the peer's core."""

    folder: Path
    seconds: float
    door: Door
    upstream_pid: int = 0

    def small(self, running: Running, *, unseen: bool = False) -> Figures:
        """CPU us per call of 1 KB, 16 at a time."""
        return _cost(running, lambda: self._wrk(running, 16, unseen)[0])

    def latency(self, running: Running) -> Figures:
        """Milliseconds per small call, one at a time."""
        _, figures = self._wrk(running, 1, False)
        return figures

    def turns(self, running: Running, body_bytes: int, mode: Mode, connections: int) -> Figures:
        """CPU us per turn of a long conversation."""
        ask = {
            "door": self.door,
            "bytes": body_bytes,
            "mode": mode,
            "connections": connections,
            "seed": os.urandom(4).hex(),
        }
        return _cost(running, lambda: self._tell("bench.turns", running, ask)["answers"])

    def burst(self, running: Running) -> Figures:
        """CPU us per event of streams that come in one burst each, 8 at a time."""
        return _cost(running, lambda: EVENTS * self._streams(running, 8, paced=False)["streams"])

    def paced(self, running: Running, connections: int) -> Figures:
        """CPU us per event of streams at 50 events a second each."""
        return _cost(running, lambda: EVENTS * self._streams(running, connections)["streams"])

    def many_streams(self, running: Running, most: int) -> Figures:
        """The most paced streams that the peer holds on one core: transit in ms, and the part of the core it takes.

        Held: the 99th percentile is at most 150 ms. The load and the upstream are on the other cores."""
        others = tuple(range(1, os.cpu_count() or 1)) or (0,)
        pids = running.parts()["all"]
        pin(pids, (0,))
        pin([self.upstream_pid], others)
        try:
            figures: Figures = {}
            for count in STREAM_COUNTS[STREAM_COUNTS.index(most) :]:
                before_s, began_s = cpu_s(pids), time.monotonic()
                told = self._streams(running, count, spread_s=1.0, cores=others)
                used_s = cpu_s(pids) - before_s
                figures = {"streams": count, "cores": round(used_s / (time.monotonic() - began_s), 3)}
                figures |= {"p50_ms": told["p50_ms"], "p99_ms": told["p99_ms"]}
                if told["p99_ms"] <= HELD_P99_MS:
                    break
            running.at_rest()
            return figures
        finally:
            pin([*pids, self.upstream_pid], tuple(range(os.cpu_count() or 1)))

    def _streams(
        self,
        running: Running,
        connections: int,
        *,
        paced: bool = True,
        spread_s: float = 0.02,
        cores: tuple[int, ...] = (),
    ) -> dict[str, float]:
        ask = {
            "connections": connections,
            "seconds": 0 if paced else self.seconds,
            "spread_s": spread_s,
            "paced": paced,
            "usage": self.door == "openai_chat",
            "cores": cores,
        }
        return self._tell("bench.streams", running, ask)

    def _tell(self, program: str, running: Running, ask: Mapping[str, Any]) -> dict[str, float]:
        whole = {"url": running.url, "headers": running.headers, "model": running.model, "seconds": self.seconds, **ask}
        output = _run([sys.executable, "-m", program, json.dumps(whole)])
        return json.loads(output)  # type: ignore[no-any-return]

    def _wrk(self, running: Running, concurrency: int, unseen: bool) -> tuple[float, Figures]:
        """The number of answers, and their percentiles."""
        head, _, tail = small_call(running.model, text="@").decode().partition("@")
        script = self.folder / "call.lua"
        lines = [f"wrk.headers['{name}']='{value}'" for name, value in running.headers.items()]
        fresh = (
            "request=function() number=number+1\n return wrk.format(nil,nil,nil,text(number)) end\n" if unseen else ""
        )
        script.write_text(
            "wrk.method='POST'\nwrk.headers['content-type']='application/json'\n" + "\n".join(lines) + "\n"
            f"local head,tail,number='{head}','{tail}',0\n"
            "local function text(number) return head..string.format('%07d',number)..tail end\n"
            f"wrk.body=text(0)\n{fresh}"
        )
        command = [
            find_wrk(),
            "-t1",
            f"-c{concurrency}",
            f"-d{math.ceil(self.seconds)}s",
            "--timeout",
            "30s",
            "--latency",
        ]
        output = _run([*command, "-s", str(script), running.url])
        if "Non-2xx" in output or "Socket errors" in output:
            raise BenchError(f"calls failed: {output[-300:]}")
        found = dict(re.findall(r"^\s+(\d\d)%\s+([\d.]+\w+)\s*$", output, re.MULTILINE))
        answers = re.search(r"(\d+) requests in", output)
        if answers is None or not {"50", "99"} <= found.keys():
            raise BenchError(f"too few calls were answered in the time of the load: {output[-500:]}")
        return float(answers[1]), {"p50_ms": _ms(found["50"]), "p99_ms": _ms(found["99"])}


def find_wrk() -> str:
    found = shutil.which("wrk")
    if found is None:
        raise BenchError("wrk is not installed (Debian: apt-get install wrk)")
    return found


def median(rounds: list[Figures]) -> Figures:
    """Figure by figure."""
    return {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}


def _cost(running: Running, load: Callable[[], float]) -> Figures:
    """CPU us per unit, of the whole peer ("us") and of its parts that are named, less what it takes when idle."""
    parts, began_s = running.parts(), time.monotonic()
    before = {name: cpu_s(pids) for name, pids in parts.items()}
    units = load()
    running.at_rest()
    if not units:
        raise BenchError("no call was answered in the time of the load")
    took_s = time.monotonic() - began_s
    used = {
        name: max(0.0, cpu_s(pids) - before[name] - running.idle_s.get(name, 0.0) * took_s) / units * 1e6
        for name, pids in parts.items()
    }
    return {"us": used.pop("all"), **{f"{name}_us": us for name, us in used.items()}, "units": units}


def _run(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=_TIMEOUT_S).stdout
    except subprocess.CalledProcessError as error:
        raise BenchError((error.stderr.strip() or error.stdout.strip() or str(error))[-400:]) from error
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"took longer than {_TIMEOUT_S:g} s") from error


def _ms(text: str) -> float:
    found = re.fullmatch(r"([\d.]+)(us|ms|s)", text)
    assert found
    return float(found[1]) * _UNITS[found[2]]
