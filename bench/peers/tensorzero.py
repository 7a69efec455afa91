"""TensorZero's gateway (Rust), embedded in Python as its package offers it, observability off."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench.machine import START_S, BenchError, running
from bench.peers.ferrogw import behind_tls
from bench.peers.peer import CACHE, Running, Side, Site, both, pip_install, pip_version

_PROGRAM = """
import asyncio
from openai import AsyncOpenAI
from tensorzero import patch_openai_client

async def main():
    client = AsyncOpenAI(api_key="bench")
    await patch_openai_client(client, config_file="tensorzero.toml", clickhouse_url=None, async_setup=True)
    print("at", client.base_url, flush=True)
    await asyncio.sleep(90_000)

asyncio.run(main())
"""


class TensorZero:
    name = "TensorZero"
    what = both(
        "parses and rewrites; no keys, no usage record",
        "解析と書き換え。キー・使用記録なし",
    )
    tls = both(
        "behind nginx, which counts",
        "nginx の後ろ（その CPU も数える）",
    )
    sides: tuple[Side, ...] = ("openai",)
    paced_streams = 1_000

    def install(self) -> None:
        pip_install("tensorzero", "tensorzero", "openai")

    def version(self) -> str:
        return pip_version("tensorzero", "tensorzero")

    @contextmanager
    def start(self, site: Site) -> Iterator[Running]:
        site.folder.mkdir(parents=True)
        log = site.folder / "log"
        (site.folder / "tensorzero.toml").write_text(
            '[gateway]\nobservability.enabled = false\n[models.bench]\nrouting = ["up"]\n[models.bench.providers.up]\n'
            f'type = "openai"\nmodel_name = "mock-1"\napi_base = "http://127.0.0.1:{site.upstream_port}/v1/"\n'
            'api_key_location = "none"\n'
        )
        command = [str(CACHE / "tensorzero" / "bin" / "python"), "-c", _PROGRAM]
        with running(command, log, {"TOKIO_WORKER_THREADS": "1"}, site.folder) as process:
            deadline = time.monotonic() + START_S
            while not (found := re.search(r"^at http://[^:]+:(\d+)(\S*?)/?$", log.read_text(), re.MULTILINE)):
                if time.monotonic() > deadline or process.poll() is not None:
                    raise BenchError(f"did not start: {log.read_text()[-600:]}")
                time.sleep(0.02)
            path = f"{found[2]}/chat/completions"
            yield from behind_tls(site, int(found[1]), "tensorzero::model_name::bench", process, path=path)
