"""The language of what a person reads on the terminal: Japanese or English."""

import os
from typing import Literal


def language() -> Literal["ja", "en"]:
    """The reader's language: SEKISHO_LANG if set, else the locale (LC_ALL, LC_MESSAGES, LANG); English if unknown."""
    for variable in ("SEKISHO_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        value = os.environ.get(variable, "")
        if value:
            return "ja" if value.lower().startswith("ja") else "en"
    return "en"


def say(en: str, ja: str) -> str:
    """The one of two texts that the reader understands."""
    return ja if language() == "ja" else en
