"""LiteLLM's proxy, one worker, no database: so without virtual keys, budgets and spend records. The master key is used.

Its virtual keys need an engine that its installer downloads from a host that is no package registry.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench.bodies import MODEL
from bench.machine import free_port, running, tree, wait_answer, wait_port
from bench.peers.peer import (
    BEDROCK_MODEL,
    CACHE,
    CHAT_MODEL,
    PATHS,
    Running,
    Side,
    Site,
    both,
    pip_install,
    pip_version,
)  # fmt: skip

_KEY = "sk-bench-0123456789abcdef0123456789abcdef"


class LiteLLM:
    name = "LiteLLM"
    what = both(
        "one worker, master key; no virtual keys, budgets or ledger",
        "ワーカー 1、マスターキーのみ。仮想キー・予算・台帳なし",
    )
    tls = both(
        "ends TLS itself",
        "自身で TLS を終端",
    )
    sides: tuple[Side, ...] = ("openai", "bedrock")
    paced_streams = 20

    def install(self) -> None:
        pip_install("litellm", "litellm[proxy]")

    def version(self) -> str:
        return pip_version("litellm", "litellm")

    @contextmanager
    def start(self, site: Site) -> Iterator[Running]:
        port = free_port()
        site.folder.mkdir(parents=True)
        config, log = site.folder / "config.yaml", site.folder / "log"
        config.write_text(json.dumps({"model_list": [_entry(site)], "general_settings": {"master_key": _KEY}}))
        command = [str(CACHE / "litellm" / "bin" / "litellm"), "--config", str(config), "--num_workers", "1"]
        command += ["--host", "127.0.0.1", "--port", str(port)]
        if site.tls is not None:
            command += ["--ssl_certfile_path", str(site.tls.cert), "--ssl_keyfile_path", str(site.tls.key)]
        environment = {
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_LOG": "ERROR",
            "LITELLM_MODE": "PRODUCTION",
            "HOME": str(site.folder),
        }
        with running(command, log, environment, site.folder) as process:
            wait_port(port, process, log)
            if site.tls is None:
                wait_answer(f"http://127.0.0.1:{port}/health/liveliness", {})
            model = CHAT_MODEL if site.side == "openai" else MODEL
            url = f"http{'s' if site.tls else ''}://127.0.0.1:{port}{PATHS[site.side]}"
            headers = {"authorization": f"Bearer {_KEY}"}
            yield Running(url, model, lambda: {"all": tree(process.pid)}, headers)


def _entry(site: Site) -> dict[str, Any]:
    if site.side == "openai":
        params = {
            "model": f"openai/{CHAT_MODEL}",
            "api_base": f"http://127.0.0.1:{site.upstream_port}/v1",
            "api_key": "x",
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
