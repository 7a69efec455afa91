"""What every command says alike: the language, the program's own name, columns.

Japanese or English, as the person's environment says.
"""

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from rich.cells import cell_len

Language = Literal["ja", "en"]
_GAP = "  "


def language() -> Language:
    """The first of SEKISHO_LANG, LC_ALL, LC_MESSAGES and LANG that is set decides; English unless it starts with ja."""
    for name in ("SEKISHO_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        value = os.environ.get(name, "")
        if value:
            return "ja" if value.lower().startswith("ja") else "en"
    return "en"


def say(en: str, ja: str) -> str:
    """The sentence in the person's language."""
    return ja if language() == "ja" else en


def program() -> str:
    """How to call this program in the shell it was called from: its name if the shell finds it, else its path."""
    called = Path(sys.argv[0])
    if called.name != "sekisho":
        return "sekisho"
    found = shutil.which("sekisho")
    if found and called.exists() and Path(found).samefile(called):
        return "sekisho"
    path = Path(os.path.abspath(called))  # as it was called: links are not followed
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Lines with aligned columns; a full-width character counts two. The last column is left as it is."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        _GAP.join(text + " " * (width - cell_len(text)) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
