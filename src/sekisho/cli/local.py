"""The running Sekisho of a home, reached over its control socket: whoever may open the socket is its operator."""

import http.client
import json
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sekisho.cli.messages import say

_TIMEOUT_S = 20


class LocalControlError(Exception):
    """The control plane of this home does not answer, or refuses; the text says why."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_TIMEOUT_S)
        self.sock.connect(str(self._path))


class LocalControl:
    """Asks the control plane of one home. Every method raises LocalControlError."""

    def __init__(self, home: Path | None = None) -> None:
        folder = home or Path(os.environ.get("SEKISHO_HOME") or "~/.sekisho")
        self._home = folder.expanduser()

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """The decoded JSON of the answer; None for an empty one."""
        connection = _UnixConnection(self._home / "run" / "control.sock")
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"Content-Type": "application/json"})
            response = connection.getresponse()
            raw = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise LocalControlError(
                say(
                    f"No Sekisho answers in {self._home}. Start it with `sekisho serve`, or name its --home.",
                    f"{self._home} で関所が動いていません。`sekisho serve` で起動するか、--home を指定してください。",
                )
            ) from error
        finally:
            connection.close()
        answer = json.loads(raw) if raw else None
        if response.status >= 400:
            message = answer.get("error", {}).get("message") if isinstance(answer, dict) else None
            raise LocalControlError(message or f"HTTP {response.status}")
        return answer

    def console_path(self) -> str:
        """The path of a new link that opens the console once."""
        return str(self.ask("POST", "/internal/console-codes")["path"])

    def create_first_key(self, alias: str) -> str | None:
        """A new key if there is none at all yet; the raw key, which nobody will see again."""
        if self.ask("GET", "/key/list?size=1")["total_count"]:
            return None
        return str(self.ask("POST", "/key/generate", {"key_alias": alias})["key"])

    def favourite_model(self, names: Sequence[str]) -> str:
        """The first of `names` that is offered, else the first model offered, else an empty text."""
        offered = [str(model) for model in self.ask("GET", "/internal/models")["models"]]
        return next((name for name in names if name in offered), offered[0] if offered else "")
