"""Where the Sekisho of this machine is: its home, and the address it wrote there."""

import os
import shlex
from pathlib import Path

from sekisho.app.serve import address_path
from sekisho.cli.messages import program

DEFAULT_HOME = Path.home() / ".sekisho"
DEFAULT_URL = "http://127.0.0.1:4000"


def local_url(home: Path | None = None) -> str:
    """The address of the Sekisho that runs in this home (SEKISHO_HOME, ~/.sekisho); the usual one if none says."""
    home = home or Path(os.environ.get("SEKISHO_HOME") or DEFAULT_HOME).expanduser()
    try:
        return address_path(home).read_text().strip() or DEFAULT_URL
    except OSError:
        return DEFAULT_URL


def command(words: str, home: Path, instead_of_home: str = "") -> str:
    """A command as it can be pasted. `instead_of_home`: the option that leads to this Sekisho, if not --home."""
    if home == DEFAULT_HOME:
        return f"{program()} {words}"
    return f"{program()} {words} {instead_of_home or f'--home {shlex.quote(str(home))}'}"
