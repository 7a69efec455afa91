"""Portkey's open gateway (Node): stateless, the route is in headers.

On Node 20 its release answers every OpenAI stream with 500, since it appends to the headers of a fetch response, which
cannot be changed. `install` makes that one place copy the response first; nothing else is touched.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from bench.machine import BenchError, free_port, running, wait_port
from bench.peers.ferrogw import behind_tls
from bench.peers.peer import CACHE, CHAT_MODEL, Running, Side, Site, both

_PACKAGE = CACHE / "portkey" / "node_modules" / "@portkey-ai" / "gateway"
_PROGRAM = _PACKAGE / "build" / "start-server.js"
_BROKEN = "this.updateHeaders(i,n.cacheStatus,o),{response:i"
_MENDED = "i=this.updateHeaders(new Response(i.body,i),n.cacheStatus,o),{response:i"


class Portkey:
    name = "Portkey"
    what = both(
        "parses and routes by headers; no keys, no usage record",
        "解析とヘッダーによる振り分け。キー・使用記録なし",
    )
    tls = both(
        "behind nginx, which counts",
        "nginx の後ろ（その CPU も数える）",
    )
    sides: tuple[Side, ...] = ("openai",)
    paced_streams = 250

    def install(self) -> None:
        npm = shutil.which("npm")
        if npm is None or shutil.which("node") is None:
            raise BenchError("Node and npm are not installed")
        if not (_PACKAGE / "package.json").exists():
            (CACHE / "portkey").mkdir(parents=True, exist_ok=True)
            options = ["--no-audit", "--no-fund", "--prefix", str(CACHE / "portkey")]
            subprocess.run([npm, "install", "--silent", *options, "@portkey-ai/gateway"], check=True)
        program = _PROGRAM.read_text()
        if _BROKEN in program and _MENDED not in program:
            _PROGRAM.write_text(program.replace(_BROKEN, _MENDED))

    def version(self) -> str:
        return str(json.loads((_PACKAGE / "package.json").read_text())["version"])

    @contextmanager
    def start(self, site: Site) -> Iterator[Running]:
        port = free_port()
        site.folder.mkdir(parents=True)
        log = site.folder / "log"
        node = shutil.which("node")
        assert node
        command = [node, str(_PROGRAM), f"--port={port}", "--headless"]
        with running(command, log, {"NODE_ENV": "production"}, site.folder) as process:
            wait_port(port, process, log)
            headers = {
                "x-portkey-provider": "openai",
                "x-portkey-custom-host": f"http://127.0.0.1:{site.upstream_port}/v1",
                "authorization": "Bearer bench",
            }
            yield from behind_tls(site, port, CHAT_MODEL, process, headers)
