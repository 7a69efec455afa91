"""Sekisho with everything on: virtual key in a team, hard budgets and limits of key and team, open and settled journal
records (level `process`), exact cost, ledger and roll-ups. CPU of all its processes counts, the booking included."""

import json
import sqlite3
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import sekisho
from bench.bodies import MODEL
from bench.machine import START_S, BenchError, free_port, running, tree, wait_answer
from bench.peers.nginx import passing
from bench.peers.peer import BEDROCK_MODEL, CHAT_MODEL, PATHS, Running, Side, Site, both

MASTER_KEY = "sk-bench-master-0123456789abcdef0123456789abcdef"
_COMMAND = (sys.executable, "-c", "from sekisho.cli.main import main; main()")
PRICES = {"input_cost_per_token": "0.00000015", "output_cost_per_token": "0.0000006"}
CACHE_READ = "0.000000075"
_TERMS = {
    "max_budget": 1_000_000,
    "budget_duration": "30d",
    "rpm_limit": 10**9,
    "tpm_limit": 10**12,
    "max_parallel_requests": 5_000,
}


class Sekisho:
    name = "Sekisho"
    what = both(
        "everything on: key, team, hard budgets, limits, journal, ledger; all its processes count",
        "すべて有効（キー、チーム、ハード予算、制限、ジャーナル、台帳）。全プロセスを数える",
    )
    tls = both(
        "behind nginx, which counts",
        "nginx の後ろ（その CPU も数える）",
    )
    sides: tuple[Side, ...] = ("openai", "bedrock")
    paced_streams = 1_000

    def install(self) -> None:
        """It is what the bench runs in."""

    def version(self) -> str:
        return sekisho.__version__

    @contextmanager
    def start(self, site: Site) -> Iterator[Running]:
        port = free_port()
        site.folder.mkdir(parents=True)
        config = site.folder / "config.yaml"
        config.write_text(json.dumps({"model_list": [_entry(site)], "general_settings": {"master_key": MASTER_KEY}}))
        with serving(site.folder / "home", port, "--config", str(config)) as pid:
            wait_answer(f"http://127.0.0.1:{port}/health/ready", {})
            headers = {"authorization": f"Bearer {_create_key(port)}"}
            model = CHAT_MODEL if site.side == "openai" else MODEL
            parts = lambda: parts_of(pid)  # noqa: E731
            rest, spent = (lambda: _at_rest(site.folder / "home")), (lambda: _ledger_usd(port))
            if site.tls is None:
                yield Running(
                    f"http://127.0.0.1:{port}{PATHS[site.side]}", model, parts, headers, rest, ledger_usd=spent
                )
                return
            with passing(site.folder / "tls", port, site.tls) as (url, more):
                both = lambda: {"all": [*parts_of(pid)["all"], *more]}  # noqa: E731
                yield Running(url + PATHS[site.side], model, both, headers, rest, ledger_usd=spent)


@contextmanager
def serving(home: Path, port: int, *arguments: str) -> Iterator[int]:
    """`sekisho serve` of the code that is importable here, from its start on; its process id."""
    command = [*_COMMAND, "serve", "--home", str(home), "--port", str(port), *arguments]
    environment = {"HOME": str(home.parent), "SEKISHO_LANG": "en"}
    with running(command, home.with_suffix(".log"), environment) as process:
        yield process.pid


def parts_of(pid: int) -> dict[str, list[int]]:
    """All its processes, and apart those that serve calls, pages, and the simulator."""
    found: dict[str, list[int]] = {"all": tree(pid)}
    for one in found["all"]:
        try:
            environment = Path(f"/proc/{one}/environ").read_bytes()
        except OSError:
            continue
        _, mark, rest = environment.partition(b'SEKISHO_PROCESS={"role":"')
        if mark:
            found.setdefault(rest.split(b'"')[0].decode(), []).append(one)
    return found


def _entry(site: Site) -> dict[str, Any]:
    if site.side == "openai":
        params: dict[str, Any] = {
            "model": f"openai/{CHAT_MODEL}",
            "api_base": f"http://127.0.0.1:{site.upstream_port}/v1",
            "api_key": "bench",
            **PRICES,
            "cache_read_input_token_cost": CACHE_READ,
        }
        return {"model_name": CHAT_MODEL, "litellm_params": params}
    params = {
        "model": f"bedrock/{BEDROCK_MODEL}",
        "aws_region_name": "us-east-1",
        "aws_bedrock_runtime_endpoint": f"http://127.0.0.1:{site.upstream_port}",
        "aws_access_key_id": "AKIDBENCH",
        "aws_secret_access_key": "bench",
    }
    return {"model_name": MODEL, "litellm_params": params}


def _create_key(port: int) -> str:
    wait_answer(f"http://127.0.0.1:{port}/console/sign-in", {})
    team = _admin(port, "/team/new", {"team_alias": "bench", **_TERMS})["team_id"]
    return str(_admin(port, "/key/generate", {"team_id": team, **_TERMS})["key"])


def _admin(port: int, path: str, body: object = None) -> Any:
    headers = {"Authorization": f"Bearer {MASTER_KEY}", "Content-Type": "application/json"}
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", content, headers)
    try:
        with urllib.request.urlopen(request, timeout=START_S) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        raise BenchError(f"{path}: {error} {error.read()[:300]!r}") from error


def _at_rest(home: Path) -> None:
    """Wait until the ledger has all that the journal holds: the booking of a load belongs to its cost.

    Looks at the files, since asking the admin API would cost the peer CPU that no call has caused."""
    deadline = time.monotonic() + 4 * START_S
    while _lag_bytes(home):
        if time.monotonic() > deadline:
            raise BenchError("the journal was not drained in time")
        time.sleep(0.05)


def _lag_bytes(home: Path) -> int:
    sizes = {file.stem: file.stat().st_size for file in (home / "journal").glob("*.log")}
    with closing(sqlite3.connect(f"file:{home / 'sekisho.db'}?mode=ro", uri=True)) as database:
        booked = {
            segment.removesuffix(".log"): end
            for segment, end in database.execute("select segment, end_offset from journal_offset")
        }
    return sum(max(0, size - booked.get(name, 0)) for name, size in sizes.items())


def _ledger_usd(port: int) -> str:
    """What all ended calls cost by its ledger, in USD, exact."""
    return str(Decimal(_admin(port, "/admin/v1/spend")["total"]["cost_nanousd"]).scaleb(-9))
