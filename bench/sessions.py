"""What is measured, in which order. In a session all peers stand before one upstream; each measure goes round them."""

import itertools
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bench import oracle
from bench.answering import answering
from bench.bodies import small_call
from bench.loads import Figures, Load
from bench.machine import BenchError, cpu_s, free_port, load, rss_mb, running, wait_answer, wait_port
from bench.peers.peer import DOORS, PATHS, Certificate, Peer, Running, Side, Site
from bench.peers.sekisho import Sekisho, parts_of, serving
from bench.said import Wire

Measure = Callable[[Load, Running, Peer], Figures]
UPSTREAM = "upstream alone"
_IDLE_S = 4.0


@dataclass(frozen=True)
class Session:
    """Measures that share started peers. `small`: before the upstream of small calls."""

    name: str
    side: Side
    measures: dict[str, Measure]
    small: bool = False
    tls: bool = False


def _turn(body_bytes: int, mode: Any, connections: int) -> Measure:
    return lambda load, running, peer: load.turns(running, body_bytes, mode, connections)


def _paced(connections: int) -> Measure:
    def measure(load: Load, running: Running, peer: Peer) -> Figures:
        if connections > 20 >= peer.paced_streams:
            raise BenchError("more than it can carry")
        return load.paced(running, connections)

    return measure


_TURNS: dict[str, Measure] = {
    f"turn_{size // 1000}k_{mode}": _turn(size, mode, connections)
    for (size, connections), mode in itertools.product(((100_000, 8), (800_000, 4)), ("same", "next", "unseen"))
}
_SMALL: dict[str, Measure] = {
    "small": lambda load, running, peer: load.small(running),
    "small_unseen": lambda load, running, peer: load.small(running, unseen=True),
    "latency": lambda load, running, peer: load.latency(running),
}
_STREAMS: dict[str, Measure] = {
    "burst": lambda load, running, peer: load.burst(running),
    "paced_1000": _paced(20),
    "paced_4000": _paced(80),
    "many_streams": lambda load, running, peer: load.many_streams(running, peer.paced_streams),
}
_TLS: dict[str, Measure] = {
    "small": _SMALL["small"],
    "turn_800k_next": _TURNS["turn_800k_next"],
    "paced_1000": _STREAMS["paced_1000"],
}
SESSIONS: tuple[Session, ...] = (
    Session("openai_small", "openai", _SMALL, small=True),
    Session("openai", "openai", {**_TURNS, **_STREAMS}),
    Session("bedrock_small", "bedrock", _SMALL, small=True),
    Session("bedrock", "bedrock", {**_TURNS, **_STREAMS}),
    Session("tls", "openai", _TLS, tls=True),
)
TWICE = ("many_streams",)  # takes long and finds its own level: two rounds at most
NOT_WARMED = ("paced_1000", "paced_4000", "many_streams")  # of a fixed length; what comes before has warmed the peers


class Upstream(NamedTuple):
    """A started upstream. `given`: how many answers of which kind were given on the counted port."""

    port: int
    counted_port: int
    pid: int
    given: Callable[[], "Counter[tuple[Wire, int]]"]


@contextmanager
def upstream(folder: Path, small: bool) -> Iterator[Upstream]:
    """The upstream of a session."""
    if small:
        with answering(folder / "answering") as made:
            yield Upstream(made.port, made.counted_port, 0, made.given)
        return
    port, counted_port = free_port(), free_port()
    log = folder / "upstream.log"
    with running([sys.executable, "-m", "bench.upstream", str(port), str(counted_port)], log) as process:
        wait_port(counted_port, process, log)

        def given() -> Counter[tuple[Wire, int]]:
            said = oracle.parse(wait_answer(f"http://127.0.0.1:{counted_port}/said", {}))
            return said

        yield Upstream(port, counted_port, process.pid, given)


def make_certificate(folder: Path) -> Certificate:
    """A certificate for 127.0.0.1 (ECDSA P-256), signed by itself."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [
            *"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=127.0.0.1".split(),
            *("-keyout", str(key), "-out", str(cert)),
        ],
        check=True,
        capture_output=True,
    )
    return Certificate(cert, key)


@dataclass
class Started:
    """A session under way: the peers that run, why others do not, and their memory before the load."""

    session: Session
    load: Load
    up: Upstream
    peers: dict[str, tuple[Peer, Running]]
    failed: dict[str, str]
    idle_mb: dict[str, dict[str, float]]

    def measure(self, name: str, rounds: int) -> dict[str, Any]:
        """Rounds that alternate between the peers; each peer's figures in each round, or what went wrong."""
        measure = self.session.measures[name]
        told: dict[str, Any] = {name: [] for name in self.peers}
        before = load()
        for number in range(0 if name in NOT_WARMED else -1, min(2, rounds) if name in TWICE else rounds):
            names = list(self.peers) if number % 2 == 0 else list(reversed(self.peers))
            for name in names:
                if not isinstance(told[name], list):
                    continue
                peer, running = self.peers[name]
                if number == -1:
                    with suppress(BenchError):  # a slow peer may not answer in so short a time
                        measure(_short(self.load), running, peer)
                    continue
                try:
                    told[name].append(measure(self.load, running, peer))
                except BenchError as error:
                    told[name] = str(error)
        return {"peers": told, "load": [before, load()]}

    def memory(self) -> dict[str, Any]:
        """MB of each peer before the session's load, and now."""
        return {
            name: {"idle": self.idle_mb[name], "loaded": memory_of(running)}
            for name, (_, running) in self.peers.items()
        }

    def idle(self) -> dict[str, dict[str, float]]:
        """CPU seconds a second of each peer's parts without any load, which all figures are less."""
        return {name: running.idle_s for name, (_, running) in self.peers.items()}

    def ledger(self) -> dict[str, Any] | None:
        """What the upstream said Sekisho's calls used, at the catalog's prices, and what its ledger says they cost."""
        name = Sekisho.name
        if name not in self.peers:
            return None
        running = self.peers[name][1]
        assert running.ledger_usd
        time.sleep(2)  # for the upstream's log, and calls whose client has left
        running.at_rest()
        given = self.up.given()
        return oracle.compare(given, running.ledger_usd())


def _short(load: Load) -> Load:
    return Load(load.folder, min(0.5, load.seconds), load.door, load.upstream_pid)


def memory_of(running: Running) -> dict[str, float]:
    return {name: round(rss_mb(pids), 1) for name, pids in running.parts().items()}


@contextmanager
def started(session: Session, peers: list[Peer], folder: Path, seconds: float) -> Iterator[Started]:
    """All peers of the session running, each with a good answer given."""
    with ExitStack() as stack:
        up = stack.enter_context(upstream(folder, session.small))
        tls = make_certificate(folder) if session.tls else None
        made = Started(session, Load(folder, seconds, DOORS[session.side], up.pid), up, {}, {}, {})
        for peer in peers:
            if session.side not in peer.sides:
                continue
            port = up.counted_port if isinstance(peer, Sekisho) else up.port
            try:
                running = stack.enter_context(peer.start(Site(folder / peer.name, session.side, port, tls)))
                if not session.tls:
                    wait_answer(running.url, running.headers, small_call(running.model))
            except BenchError as error:
                made.failed[peer.name] = str(error)
                continue
            made.peers[peer.name] = (peer, running)
            made.idle_mb[peer.name] = memory_of(running)
        _measure_idle([running for _, running in made.peers.values()])
        yield made


def _measure_idle(all_running: list[Running]) -> None:
    """Note what each part takes while nothing is asked, all peers at once."""
    time.sleep(1)  # what follows a start
    before = [{name: cpu_s(pids) for name, pids in one.parts().items()} for one in all_running]
    time.sleep(_IDLE_S)
    for one, earlier in zip(all_running, before, strict=True):
        for name, pids in one.parts().items():
            one.idle_s[name] = (cpu_s(pids) - earlier.get(name, 0.0)) / _IDLE_S


def direct(session: Session, up: Upstream) -> Running:
    """The upstream itself as a peer: what a call takes without anybody between."""
    path = PATHS[session.side] if session.side == "openai" else "/model/x/invoke"
    return Running(f"http://127.0.0.1:{up.port}{path}", "m", lambda: {"all": []})


def start_times(peers: list[Peer], folder: Path, rounds: int) -> dict[str, Any]:
    """Seconds from the command to the first good answer, each peer alone, with a new folder each time."""
    told: dict[str, Any] = {}
    with upstream(folder, small=True) as up:
        for number, peer in itertools.product(range(rounds), peers):
            if "openai" not in peer.sides or isinstance(told.get(peer.name), str):
                continue
            began_s = time.monotonic()
            try:
                with peer.start(Site(folder / f"{peer.name}-{number}", "openai", up.port)) as running:
                    wait_answer(running.url, running.headers, small_call(running.model))
                    told.setdefault(peer.name, []).append({"s": round(time.monotonic() - began_s, 3)})
            except BenchError as error:
                told[peer.name] = str(error)
    return {"peers": told, "load": [load()]}


def own_start(folder: Path, rounds: int) -> dict[str, Any]:
    """Sekisho with nothing configured, on its simulator: seconds to the first answer, of a new and a known home; MB."""
    told = []
    for number in range(rounds):
        home, key = folder / f"home-{number}", ""
        figures: Figures = {}
        for name in ("new_s", "known_s"):
            began_s, port = time.monotonic(), free_port()
            with serving(home, port) as pid:
                key = key or _printed_key(home.with_suffix(".log"), began_s)
                ask = small_call("claude-sonnet-4-5")
                wait_answer(f"http://127.0.0.1:{port}/v1/messages", {"authorization": f"Bearer {key}"}, ask)
                figures[name] = round(time.monotonic() - began_s, 3)
                urllib.request.urlopen(f"http://127.0.0.1:{port}/console/sign-in").close()
                time.sleep(1)
                parts = parts_of(pid)
                figures |= {f"{part}_mb": round(rss_mb(pids), 1) for part, pids in parts.items()}
        told.append(figures)
    return {"peers": {Sekisho.name: told}, "load": [load()]}


def _printed_key(log: Path, began_s: float) -> str:
    while time.monotonic() < began_s + 60:
        words = log.read_text().split()
        if found := next((word for word in words if word.startswith("sk-") and len(word) > 40), ""):
            return found
        time.sleep(0.005)
    raise BenchError(f"printed no key: {log.read_text()[-400:]}")
