"""nginx `proxy_pass`: passes bytes, reads no JSON, knows no key, signs nothing. The limit of what is possible."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.machine import BenchError, free_port, running, tree, wait_port
from bench.peers.peer import BEDROCK_MODEL, CHAT_MODEL, PATHS, Certificate, Running, Side, Site, both

_BEDROCK = f"/model/{BEDROCK_MODEL}/invoke"


class Nginx:
    name = "nginx"
    what = both(
        "passes bytes; the limit",
        "バイト列を通すだけ（物理的な限界）",
    )
    tls = both(
        "ends TLS itself",
        "自身で TLS を終端",
    )
    sides: tuple[Side, ...] = ("openai", "bedrock")
    paced_streams = 1_000

    def install(self) -> None:
        find_nginx()

    def version(self) -> str:
        said = subprocess.run([find_nginx(), "-v"], capture_output=True, text=True, check=True).stderr
        return said.strip().rpartition("/")[2]

    @contextmanager
    def start(self, site: Site) -> Iterator[Running]:
        path = "" if site.side == "openai" else _BEDROCK
        with passing(site.folder, site.upstream_port, site.tls, path) as (url, pids):
            model = CHAT_MODEL if site.side == "openai" else "claude-sonnet-4-5"
            yield Running(url + PATHS[site.side], model, lambda: {"all": pids})


def find_nginx() -> str:
    found = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if found is None:
        raise BenchError("nginx is not installed (Debian: apt-get install nginx-light)")
    return found


@contextmanager
def serving(folder: Path, port: int, server: str) -> Iterator[list[int]]:
    """An nginx with one worker and this `http` content; its process ids."""
    folder.mkdir(parents=True)
    (folder / "nginx.conf").write_text(
        "daemon off; worker_processes 1; pid nginx.pid; error_log error.log crit;\n"
        "events { worker_connections 8192; }\n"
        "http { access_log off; keepalive_requests 1000000000; client_max_body_size 0; client_body_buffer_size 2m;\n"
        "client_body_temp_path body; proxy_temp_path proxy;\n"
        "fastcgi_temp_path fcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;\n" + server + "}\n"
    )
    log = folder / "log"
    command = [find_nginx(), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "error.log"]
    with running(command, log) as process:
        wait_port(port, process, log)
        yield tree(process.pid)


@contextmanager
def passing(
    folder: Path, upstream_port: int, tls: Certificate | None, path: str = ""
) -> Iterator[tuple[str, list[int]]]:
    """Pass everything on as it comes, both ways, over kept connections; to `path` if there is one.

    Yields the base address and the process ids."""
    port = free_port()
    listen = f"listen 127.0.0.1:{port};"
    if tls is not None:
        listen = f"listen 127.0.0.1:{port} ssl; ssl_certificate {tls.cert}; ssl_certificate_key {tls.key};"
    rewrite = f"rewrite ^ {path} break;" if path else ""
    server = (
        f"upstream up {{ server 127.0.0.1:{upstream_port}; keepalive 1024; keepalive_requests 1000000000; }}\n"
        f"server {{ {listen} location / {{ {rewrite} proxy_pass http://up; proxy_http_version 1.1;\n"
        'proxy_set_header Connection ""; proxy_buffering off; proxy_request_buffering off; } }\n'
    )
    with serving(folder, port, server) as pids:
        yield f"http{'s' if tls else ''}://127.0.0.1:{port}", pids


def count_lines(log: Path) -> dict[str, int]:
    """How often each line stands in a log."""
    found: dict[str, int] = {}
    for line in re.findall(r"^.+$", log.read_text(), re.MULTILINE) if log.exists() else ():
        found[line] = found.get(line, 0) + 1
    return found
