"""What `sekisho login` keeps: where, and an access token, in a file that nobody else may read."""

import json
import os
from pathlib import Path
from typing import NamedTuple

from sekisho.cli.messages import say


class CredentialsError(Exception):
    """The file cannot be used; the text says why, in the person's language."""


class Credentials(NamedTuple):
    """A sign-in of this machine's user."""

    url: str
    token: str
    token_id: str

    def __repr__(self) -> str:
        return f"Credentials({self.url}, ***)"


def credentials_path() -> Path:
    """Where they lie: `sekisho/credentials.json` in the folder for configuration."""
    folder = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(folder).expanduser() / "sekisho" / "credentials.json"


def find_credentials() -> Credentials | None:
    """What the last `sekisho login` kept. Raises CredentialsError for a file that is damaged or others may read."""
    path = credentials_path()
    try:
        if path.stat().st_mode & 0o077:
            raise CredentialsError(
                say(
                    f"Others may read {path}. Make it yours alone: chmod 600 {path}",
                    f"{path} をほかのユーザーが読めます。chmod 600 {path} を実行してください。",
                )
            )
        kept = json.loads(path.read_text())
        return Credentials(kept["url"], kept["token"], kept["token_id"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = say(f"{path} cannot be read. Sign in again.", f"{path} を読めません。もう一度ログインしてください。")
        raise CredentialsError(message) from error


def keep_credentials(credentials: Credentials) -> Path:
    """Keep them in the place of those before; where."""
    path = credentials_path()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(credentials._asdict(), file)
    draft.replace(path)
    return path


def forget_credentials() -> None:
    """Delete them."""
    credentials_path().unlink(missing_ok=True)
