"""Asks the admin API of the Sekisho of this machine over its Unix socket, or of another over HTTP with a key.

The key (the master key or an access token) comes from the environment or a hidden prompt, never from the command line,
where other users of the machine would see it. Redirects are refused, so that it never goes to another host.
"""

import http.client
import json
import os
import ssl
import sys
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from sekisho.cli.gateway import GatewayError, root_url
from sekisho.cli.messages import language, say
from sekisho.cli.operator import OperatorError, Target, UnixConnection, find_target, not_running, stop, tell_address
from sekisho.web.problems import in_japanese

Server = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="SEKISHO_ADMIN_URL",
        help=say(
            "Address of another Sekisho; who you are there in SEKISHO_TOKEN. Default: SEKISHO_URL, else the one here.",
            "別の関所のアドレス。トークンは SEKISHO_TOKEN で指定。初期値は SEKISHO_URL、なければこのマシンの関所。",
        ),
    ),
]
TIMEOUT_S = 60.0
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class RefusedError(Exception):
    """There is no good answer. `message` says why in the person's language; `problems` are those of a document."""

    def __init__(self, message: str, problems: list[dict[str, Any]] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.problems = problems or []


class Admin:
    """The admin API."""

    def __init__(self, home: Path, url: str | None) -> None:
        """`url` None: where every command asks: the gateway of whoever holds a token, else the control process of the
        home."""
        self._home = home
        try:
            target = find_target(home) if url is None else Target("", url, _named_by(url))
            self._root = root_url(target.url) if target.url else ""
        except (OperatorError, GatewayError) as error:
            stop(str(error), error)
        self._key = target.token or (_read_key() if self._root else "")
        if target.source:
            tell_address(home, self._root, target.source)
        parts = urlsplit(self._root)
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            warning = say(
                "The key goes over plain HTTP: use https.", "キーが暗号化されずに送られます。https を使ってください。"
            )
            typer.echo(warning, err=True)

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """The JSON of the answer, None if it has none. Raises RefusedError."""
        content = self._send(method, path, body)
        return json.loads(content) if content else None

    def text(self, path: str) -> str:
        """The answer of a GET as text. Raises RefusedError."""
        return self._send("GET", path, None).decode()

    def _send(self, method: str, path: str, body: dict[str, Any] | None) -> bytes:
        headers: dict[str, str] = {"accept-language": language()}
        if body is not None:
            headers["content-type"] = "application/json"
        if self._key:
            headers["authorization"] = f"Bearer {self._key}"
        connection = self._connect()
        try:
            content = None if body is None else json.dumps(body).encode()
            connection.request(method, urlsplit(self._root).path + path, content, headers)
            response = connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise RefusedError(self._silent(error)) from error
        finally:
            connection.close()
        if response.status >= 300:
            raise _refusal(response.status, answer)
        return answer

    def _connect(self) -> http.client.HTTPConnection:
        if not self._root:
            return UnixConnection(self._home / "run" / "control.sock", TIMEOUT_S)
        parts = urlsplit(self._root)
        assert parts.hostname
        if parts.scheme == "http":
            return http.client.HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT_S)
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=TIMEOUT_S, context=context)

    def _silent(self, error: Exception) -> str:
        if not self._root:
            return not_running(self._home)
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return say(f"Nothing answers at {self._root} ({reason}).", f"{self._root} から応答がありません（{reason}）。")


def _named_by(url: str) -> str:
    """What of the environment says this address, with a note if that is a name of before; empty if it was typed."""
    source = next((name for name in ("SEKISHO_ADMIN_URL", "SEKISHO_URL") if os.environ.get(name) == url), "")
    if source == "SEKISHO_ADMIN_URL":
        note = "SEKISHO_ADMIN_URL is now SEKISHO_URL.", "SEKISHO_ADMIN_URL の名前は SEKISHO_URL に変わりました。"
        typer.echo(say(*note), err=True)
    return source


def _read_key() -> str:
    """Who one is, as for every other command; else under its name of before, with a note, or as it is typed."""
    token = os.environ.get("SEKISHO_TOKEN", "").strip()
    if token:
        return token
    key = os.environ.get("SEKISHO_ADMIN_KEY", "").strip()
    if key:
        note = "SEKISHO_ADMIN_KEY is now SEKISHO_TOKEN.", "SEKISHO_ADMIN_KEY の名前は SEKISHO_TOKEN に変わりました。"
        typer.echo(say(*note), err=True)
    if not key and sys.stdin.isatty():
        key = typer.prompt(
            say("Master key or access token", "マスターキーまたはアクセストークン"), hide_input=True
        ).strip()
    if not key:
        stop(say("No key. Give it in SEKISHO_TOKEN.", "キーがありません。SEKISHO_TOKEN で渡してください。"))
    return key


def _refusal(status: int, content: bytes) -> RefusedError:
    try:
        answer = json.loads(content)
        said = str(answer["error"]["message"])
        return RefusedError(say(said, in_japanese(said) or said), answer.get("problems"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return RefusedError(say(f"The answer is {status}.", f"応答は {status} です。"))
