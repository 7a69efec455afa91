"""Asks the control process of a home over its Unix socket, as the local operator; with SEKISHO_TOKEN, the gateway as
whoever holds that access token."""

import http.client
import json
import os
import socket
from pathlib import Path
from typing import Any, NamedTuple, NoReturn
from urllib.parse import urlsplit

import click
import typer

from sekisho.cli.credentials import Credentials, CredentialsError, find_credentials
from sekisho.cli.messages import say
from sekisho.cli.place import local_url
from sekisho.web.problems import in_japanese

TIMEOUT_S = 15.0
_TOLD = "sekisho.told_where"
_JAPANESE = {
    "There is no such key.": "そのキーはありません。",
    "Another key already has this alias.": "その別名は別のキーが使っています。",
    'A duration is a number and one of s, m, h, d, w, such as "30d".': (
        "期間は数字と s、m、h、d、w のどれかで書きます。例：30d"
    ),
}


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout_s: float = TIMEOUT_S) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class OperatorError(Exception):
    """The control process does not answer, or refuses; the text says why, in the person's language."""


def ask(home: Path, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """As `request`, but ends the command, with the reason, when there is no good answer."""
    try:
        return request(home, method, path, body)
    except OperatorError as error:
        stop(str(error), error)


def request(home: Path, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """The JSON of the answer, None if it has none; text of another kind as it is. Raises OperatorError."""
    if method != "GET":
        tell_where(home)
    target = find_target(home)
    if target.token:
        return request_with(target.token, target.url, method, path, body)
    return _exchange(UnixConnection(_socket(home)), method, path, body, "", not_running(home))


class Target(NamedTuple):
    """Whom to ask, as whom; without an address the control process of the home. `source`: what says so."""

    token: str = ""
    url: str = ""
    source: str = ""


def find_target(home: Path) -> Target:
    """Where commands ask. Raises OperatorError for credentials that cannot be used."""
    token = os.environ.get("SEKISHO_TOKEN", "")
    if token:
        url = os.environ.get("SEKISHO_URL")
        return Target(token, url or local_url(home), "SEKISHO_URL" if url else "SEKISHO_HOME")
    if not _socket(home).exists() and (kept := _kept()):
        return Target(kept.token, kept.url, "sekisho login")
    return Target()


def _socket(home: Path) -> Path:
    return home / "run" / "control.sock"


def tell_where(home: Path) -> None:
    """Name the Sekisho that is about to be changed if it is not that of this machine. Raises OperatorError."""
    target = find_target(home)
    if target.token:
        tell_address(home, target.url, target.source)


def tell_address(home: Path, url: str, source: str) -> None:
    """Name this address, once in a command, unless it is that of this machine. `source`: what says that it is asked."""
    context = click.get_current_context(silent=True)
    told = context.find_root().meta if context else {}
    if url.rstrip("/") == local_url(home).rstrip("/") or _TOLD in told:
        return
    told[_TOLD] = True
    note = say(f"This is the Sekisho at {url} ({source}).", f"対象は {url} の関所です（{source}）。")
    typer.echo(note, err=True)


def request_with(token: str, url: str, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """As `request`, from the gateway at `url`, as whoever holds this access token."""
    silent = say(f"No Sekisho answers at {url}.", f"{url} から応答がありません。")
    return _exchange(gateway_connection(url), method, urlsplit(url).path.rstrip("/") + path, body, token, silent)


def gateway_connection(url: str) -> http.client.HTTPConnection:
    """A connection to the gateway at this address."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(parts.hostname or "", parts.port, timeout=TIMEOUT_S)


def _kept() -> Credentials | None:
    """What `sekisho login` kept: it is used where no Sekisho of this machine's own runs."""
    try:
        return find_credentials()
    except CredentialsError as error:
        raise OperatorError(str(error)) from error


def _exchange(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: dict[str, Any] | None,
    token: str,
    silent: str,
) -> Any:
    """One request and its JSON; `silent`: what to say when nobody answers. Raises OperatorError."""
    try:
        headers = {"content-type": "application/json"} if body is not None else {}
        headers |= {"authorization": f"Bearer {token}"} if token else {}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        content = response.read()
        is_json = response.getheader("content-type", "").startswith("application/json")
    except (OSError, http.client.HTTPException) as error:
        raise OperatorError(silent) from error
    finally:
        connection.close()
    answer: Any = None
    if content:
        answer = json.loads(content) if is_json else content.decode()
    if response.status >= 400:
        message = answer["error"]["message"]
        raise OperatorError(say(message, _JAPANESE.get(message) or in_japanese(message) or message))
    return answer


def not_running(home: Path) -> str:
    """What to say when nobody answers there."""
    return say(
        f"No Sekisho is running in {home}. Start it with: sekisho serve. "
        "If it runs in another home, give that with --home or SEKISHO_HOME.",
        f"{home} の関所は動いていません。sekisho serve で起動するか、"
        "別のデータフォルダーなら --home か SEKISHO_HOME で指定してください。",
    )


def stop(message: str, cause: Exception | None = None) -> NoReturn:
    """End the command with a message, if there is one, and exit status 1."""
    if message:
        typer.echo(message, err=True)
    raise typer.Exit(1) from cause
