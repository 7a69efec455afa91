"""The console over ten million calls: CPU milliseconds of each page as the control process makes it.

`python -m bench.pages HOME` makes the calls of `bench.population` in a new home (some minutes, 6 GB; a home that is
there is used again), opens every place about calls and money, with the filters that cost most, and prints the best of
three.
The clock stands at the end of the last day; the books are Tokyo's.
"""

import argparse
import asyncio
import time
from functools import partial
from pathlib import Path
from types import MappingProxyType

import httpx

from bench import population
from bench.ledger import Filler
from sekisho.app.console import create_console
from sekisho.app.control_plane import ControlPlaneSettings, create_control_app, open_control_plane
from sekisho.clock import FakeClock
from sekisho.ledger.catalog import load_catalog
from sekisho.store.sql.engine import Database, sqlite_url
from sekisho.store.sql.migrate import migrate

_NOW_US = (population.FIRST_DAY + population.DAYS) * population.DAY_US - 1
_TIMES = 3
_REPOSITORY = "team-07-repository-03"
_DIMENSIONS = ("team", "user", "key", "tag", "model", "agent", "mode", "repository")
PAGES = MappingProxyType(
    {
        "platform_admin": (
            *("live", "tasks", "calls", "calls?status=failed", "calls?agent=cline", f"calls?repository={_REPOSITORY}"),
            *("models", "keys", "audit"),
        ),
        "cost_manager": (
            *("overview", "overview?month=2025-12", "budgets"),
            *(f"breakdown?by={by}&period={period}" for by in _DIMENSIONS for period in ("day", "week", "month")),
            *(f"breakdown?by={by}&tag=project:07" for by in ("user", "model", "mode", "repository")),
            *(f"breakdown?by={by}&user=user-007" for by in ("model", "agent", "tag", "repository")),
            *(f"breakdown?by={by}&model=model-01" for by in ("user", "agent", "tag", "repository")),
            *(f"breakdown?by={by}&mode=plan" for by in ("user", "model", "tag", "repository")),
            *(f"breakdown?by={by}&repository={_REPOSITORY}" for by in ("user", "mode", "tag")),
            "breakdown?by=user&team=team-07",
        ),
    }
)


async def make(home: Path, count: int) -> None:
    """Put these calls into the ledger of a home."""
    database = Database(sqlite_url(home / "sekisho.db"))
    await migrate(database)
    filler = Filler(database)
    await filler.fill(population.calls(count))
    await filler.roll_up()
    await database.close()


async def measure(home: Path) -> None:
    """Print what each page costs."""
    models = load_catalog().bedrock_models("us-east-1", "http://127.0.0.1:1", "simulator")
    settings = ControlPlaneSettings(models=lambda: models, simulated=True, time_zone="Asia/Tokyo")
    plane = await open_control_plane(home, settings, FakeClock(_NOW_US))
    try:
        app = create_control_app(plane, partial(create_console, is_simulated=True, command="sekisho"))
        sessions = plane.services().sessions
        cookie = await sessions.redeem(await sessions.issue_code("operator", ""))
        transport = httpx.ASGITransport(app)
        for role, pages in PAGES.items():
            cookies = {"sekisho_session": cookie or "", "sekisho_role": role}
            async with httpx.AsyncClient(transport=transport, base_url="http://console", cookies=cookies) as client:
                for page in pages:
                    print(f"{await _best_ms(client, page):6.0f} ms  {page}", flush=True)
    finally:
        await plane.close()


async def _best_ms(client: httpx.AsyncClient, page: str) -> float:
    took = []
    for _ in range(_TIMES):
        began = time.process_time()
        (await client.get(f"/console/{page}")).raise_for_status()
        took.append((time.process_time() - began) * 1000)
    return min(took)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("home", type=Path)
    arguments.add_argument("--calls", type=int, default=10_000_000)
    options = arguments.parse_args()
    if not options.home.exists():
        (options.home / "secrets").mkdir(parents=True, mode=0o700)
        (options.home / "secrets" / "pepper").write_bytes(b"p" * 32)
        asyncio.run(make(options.home, options.calls))
    asyncio.run(measure(options.home))


if __name__ == "__main__":
    main()
