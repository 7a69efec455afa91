"""What a call costs through Sekisho, beside nginx `proxy_pass`, in one run: `make bench`.

What is measured: user and system time of all threads of the process (nginx worker; Sekisho's call process) while it
serves a load, divided by calls or events. Sekisho runs with everything on: key, model, rules, open and settled journal
records (level `process`), SigV4, exact cost. nginx does nothing but pass bytes. Rounds alternate; each figure is the
median of the rounds, each ratio the median of the rounds' ratios.

Needs Linux, nginx and wrk (Debian: nginx-light, wrk).
"""

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import peers
from bench.bodies import agent_turn, small_call

_RESULTS = Path(__file__).with_name("results.json")
_EVENTS = 200
Figures = dict[str, float]


@dataclass(frozen=True)
class Peer:
    """One of the two that are compared: where it is called, and whose CPU time counts."""

    url: str
    pids: list[int]
    key: str


@dataclass(frozen=True)
class Bench:
    """One run: where it may write, and how long it measures."""

    folder: Path
    rounds: int
    seconds: int

    def small(self) -> Figures:
        """CPU us per call of 1 KB, 16 at a time."""
        with self._pair("small", None) as pair:
            return self._compare(pair, lambda peer: self._wrk_us(peer, small_call(), 16))

    def agent_turn(self) -> Figures:
        """CPU us per turn of 800 KB, 4 at a time."""
        with self._pair("turn", 0.0, 0) as pair:  # nginx as upstream does not read a body to its end
            return self._compare(pair, lambda peer: self._wrk_us(peer, agent_turn(), 4))

    def paced(self, connections: int) -> Figures:
        """CPU us per event of streams at 50 events a second each."""
        with self._pair(f"paced{connections}", 0.02) as pair:
            return self._compare(pair, lambda peer: self._event_us(peer, connections, 1))

    def burst(self) -> Figures:
        """CPU us per event of streams that come in one burst each, 8 at a time."""
        with self._pair("burst", 0.0) as pair:
            return self._compare(pair, lambda peer: self._event_us(peer, 8, 25 * self.seconds))

    def latency(self) -> Figures:
        """Milliseconds per small call, one at a time: the upstream itself, and what Sekisho adds to it."""
        upstream_port = peers.free_port()
        with ExitStack() as stack:
            stack.enter_context(peers.nginx(self.folder / "latency-upstream", peers.answering(upstream_port)))
            server = stack.enter_context(peers.sekisho(self.folder / "latency-home", upstream_port))
            direct, through = [], []
            for _ in range(self.rounds):
                direct.append(self._percentiles_ms(f"http://127.0.0.1:{upstream_port}/v1/messages", ""))
                through.append(self._percentiles_ms(server.url, server.key))
        p50, p99 = (statistics.median(one[n] for one in direct) for n in (0, 1))
        through_p50, through_p99 = (statistics.median(one[n] for one in through) for n in (0, 1))
        return {
            "upstream_p50_ms": round(p50, 3),
            "upstream_p99_ms": round(p99, 3),
            "added_p50_ms": round(through_p50 - p50, 3),
            "added_p99_ms": round(through_p99 - p99, 3),
        }

    def start(self) -> Figures:
        """Seconds from the command to the first answered call, with the simulator and nothing configured; then MB."""
        home = self.folder / "start-home"
        fresh_s, key, _ = self._start_s(home, "")
        again = [self._start_s(home, key) for _ in range(self.rounds)]
        fresh = [self._start_s(self.folder / f"start-home-{n}", "")[0] for n in range(self.rounds)]
        figures = {
            "fresh_s": round(statistics.median([fresh_s, *fresh]), 2),
            "second_s": round(statistics.median(one[0] for one in again), 2),
        }
        return figures | {f"{name}_mb": round(mb, 1) for name, mb in again[-1][2].items()}

    def _start_s(self, home: Path, key: str) -> tuple[float, str, Mapping[str, float]]:
        port = peers.free_port()
        began_s = time.monotonic()
        with peers.serving(home, port) as process:
            if not key:
                assert process.stdout
                key = next(found[0] for line in process.stdout if (found := re.search(r"sk-[\w-]{40,}", line)))
            peers.wait_answer(f"http://127.0.0.1:{port}/v1/messages", key, small_call())
            took_s = time.monotonic() - began_s
            peers.wait_answer(f"http://127.0.0.1:{port}/console/sign-in")
            time.sleep(2)
            pids = peers.Sekisho(process, port, key).pids()
            return took_s, key, {name: peers.rss_mb(pid) for name, pid in pids.items()}

    @contextmanager
    def _pair(self, name: str, gap_s: float | None, events: int = _EVENTS) -> Iterator[Mapping[str, Peer]]:
        """nginx and Sekisho before one upstream: an nginx for None, else one of ours, see `bench.upstream`."""
        with ExitStack() as stack:
            if gap_s is None:
                upstream_port = peers.free_port()
                stack.enter_context(peers.nginx(self.folder / f"{name}-upstream", peers.answering(upstream_port)))
            else:
                upstream_port = stack.enter_context(peers.streaming(gap_s, events))
            port = peers.free_port()
            workers = stack.enter_context(
                peers.nginx(self.folder / f"{name}-proxy", peers.passing(port, upstream_port))
            )
            server = stack.enter_context(peers.sekisho(self.folder / f"{name}-home", upstream_port))
            yield {
                "nginx": Peer(f"http://127.0.0.1:{port}/v1/messages", workers, server.key),
                "sekisho": Peer(server.url, server.call_pids(), server.key),
            }

    def _compare(self, pair: Mapping[str, Peer], measure: Callable[[Peer], float]) -> Figures:
        for peer in pair.values():
            measure(peer)  # warm
        rounds: list[Figures] = []
        for number in range(self.rounds):
            order = list(pair) if number % 2 == 0 else list(reversed(pair))
            rounds.append({name: measure(pair[name]) for name in order})
        return {
            "nginx_us": round(statistics.median(one["nginx"] for one in rounds), 1),
            "sekisho_us": round(statistics.median(one["sekisho"] for one in rounds), 1),
            "ratio": round(statistics.median(one["sekisho"] / one["nginx"] for one in rounds), 2),
        }

    def _wrk_us(self, peer: Peer, body: bytes, concurrency: int) -> float:
        before_s = peers.cpu_s(peer.pids)
        calls = int(re.search(r"(\d+) requests in", self._wrk(peer.url, peer.key, body, concurrency))[1])  # type: ignore[index]
        return (peers.cpu_s(peer.pids) - before_s) / calls * 1e6

    def _event_us(self, peer: Peer, connections: int, streams: int) -> float:
        before_s = peers.cpu_s(peer.pids)
        command = [sys.executable, "-m", "bench.streams", peer.url, peer.key, str(connections), str(streams)]
        subprocess.run(command, check=True)
        return (peers.cpu_s(peer.pids) - before_s) / (connections * streams * _EVENTS) * 1e6

    def _percentiles_ms(self, url: str, key: str) -> tuple[float, float]:
        output = self._wrk(url, key, small_call(), 1)
        found = dict(re.findall(r"^\s+(\d\d)%\s+([\d.]+\w+)$", output, re.MULTILINE))
        return _ms(found["50"]), _ms(found["99"])

    def _wrk(self, url: str, key: str, body: bytes, concurrency: int) -> str:
        content = self.folder / "body"
        content.write_bytes(body)
        script = self.folder / "call.lua"
        script.write_text(
            f"wrk.method='POST'\nwrk.body=io.open('{content}','rb'):read('*a')\n"
            f"wrk.headers['Authorization']='Bearer {key}'\nwrk.headers['Content-Type']='application/json'\n"
        )
        command = ["wrk", "-t1", f"-c{concurrency}", f"-d{self.seconds}s", "--latency", "-s", str(script), url]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        if "Non-2xx" in output or "Socket errors" in output:
            sys.exit(f"bench: calls failed\n{output}")
        return output


def _ms(text: str) -> float:
    units = {"us": 0.001, "ms": 1.0, "s": 1000.0}
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()  # type: ignore[union-attr]
    return float(number) * units[unit]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--seconds", type=int, default=4)
    arguments.add_argument("--only", nargs="*", default=[], help="names of scenarios; nothing is written then")
    options = arguments.parse_args()
    for tool in ("nginx", "wrk"):
        if shutil.which(tool) is None:
            sys.exit(f"bench: {tool} is not installed (Debian: apt-get install nginx-light wrk)")
    figures: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory(prefix="sekisho-bench-") as folder:
        bench = Bench(Path(folder), options.rounds, options.seconds)
        scenarios: dict[str, Callable[[], Figures]] = {
            "small_call": bench.small,
            "agent_turn_800_kb": bench.agent_turn,
            "event_paced_1000_a_second": lambda: bench.paced(20),
            "event_paced_4000_a_second": lambda: bench.paced(80),
            "event_burst": bench.burst,
            "latency": bench.latency,
            "start": bench.start,
        }
        for name in options.only or scenarios:
            figures[name] = scenarios[name]()
            print(name, json.dumps(figures[name]), flush=True)
    if not options.only:
        result = {"python": sys.version.split()[0], "rounds": options.rounds, **figures}
        _RESULTS.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
