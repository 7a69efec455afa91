"""Ferro Labs AI Gateway (Go), as it starts: no keys, no budgets; its limit of 20 requests a second is turned off."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from bench.machine import free_port, running, tree, wait_port
from bench.peers.nginx import passing
from bench.peers.peer import CACHE, CHAT_MODEL, PATHS, Running, Side, Site, both, pip_install, pip_version


class Ferrogw:
    name = "ferrogw"
    what = both(
        "parses and routes; no keys, no budgets, no usage record",
        "解析と振り分け。キー・予算・使用記録なし",
    )
    tls = both(
        "behind nginx, which counts",
        "nginx の後ろ（その CPU も数える）",
    )
    sides: tuple[Side, ...] = ("openai",)
    paced_streams = 1_000

    def install(self) -> None:
        binary = pip_install("ferrogw", "ferrogw") / "ferrogw"
        subprocess.run([str(binary), "version"], check=True, capture_output=True)

    def version(self) -> str:
        return pip_version("ferrogw", "ferrogw")

    @contextmanager
    def start(self, site: Site) -> Iterator[Running]:
        port = free_port()
        site.folder.mkdir(parents=True)
        config, log = site.folder / "config.yaml", site.folder / "log"
        config.write_text("strategy:\n  mode: single\ntargets:\n  - virtual_key: openai\n")
        environment = {
            "OPENAI_API_KEY": "bench",
            "OPENAI_BASE_URL": f"http://127.0.0.1:{site.upstream_port}",
            "PORT": str(port),
            "GATEWAY_CONFIG": str(config),
            "MASTER_KEY": "fgw_" + "0123456789abcdef" * 2,
            "ALLOW_UNAUTHENTICATED_PROXY": "true",
            "RATE_LIMIT_RPS": "0",
            "LOG_LEVEL": "error",
            "GOMAXPROCS": "1",
            "HOME": str(site.folder),
        }
        command = [str(CACHE / "ferrogw" / "bin" / "ferrogw"), "serve"]
        with running(command, log, environment, site.folder) as process:
            wait_port(port, process, log)
            yield from behind_tls(site, port, CHAT_MODEL, process)


def behind_tls(
    site: Site,
    port: int,
    model: str,
    process: "subprocess.Popen[bytes]",
    headers: dict[str, str] | None = None,
    path: str = "",
) -> Iterator[Running]:
    """The peer as it is, or behind an nginx that ends TLS for it; then both count."""
    path = path or PATHS[site.side]
    if site.tls is None:
        yield Running(f"http://127.0.0.1:{port}{path}", model, lambda: {"all": tree(process.pid)}, headers or {})
        return
    with passing(site.folder / "tls", port, site.tls) as (url, pids):
        yield Running(url + path, model, lambda: {"all": [*tree(process.pid), *pids]}, headers or {})
