"""The language of the command line: Japanese or English, as the person's environment says."""

import os
from typing import Literal

Language = Literal["ja", "en"]


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
