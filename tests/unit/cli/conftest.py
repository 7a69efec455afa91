"""A gateway on loopback that answers what a test says, and the commands as a person starts them."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from sekisho.cli.setup import setup
from sekisho.cli.status import status


class FakeGateway:
    """Answers GET by path; `asked` keeps path and key of every request."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, Any, dict[str, str]]] = {}
        self.asked: list[tuple[str, str | None]] = []
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                gateway.asked.append((self.path, self.headers["authorization"]))
                code, body, headers = gateway.answers.get(self.path, (404, {}, {}))
                content = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(code)
                for name, value in {"content-length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                """Tests are quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, path: str, body: Any, code: int = 200, **headers: str) -> None:
        self.answers[path] = (code, body, headers)


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    gateway = FakeGateway()
    thread = threading.Thread(target=gateway.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield gateway
    gateway.server.shutdown()
    thread.join()
    gateway.server.server_close()


class Cli:
    """`sekisho` with the two commands, in English, on a wide terminal."""

    def __init__(self) -> None:
        self.app = typer.Typer()
        self.app.command("setup")(setup)
        self.app.command("status")(status)

    def __call__(self, *words: str, **variables: str) -> Result:
        environment = {"SEKISHO_LANG": "en", "COLUMNS": "200", "NO_COLOR": "1", **variables}
        typed = environment.pop("typed", None)
        return CliRunner().invoke(self.app, list(words), env=environment, input=typed)


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> Cli:
    for name in ("SEKISHO_KEY", "SEKISHO_URL"):
        monkeypatch.delenv(name, raising=False)
    return Cli()
