"""Texts of others, with the signs that turn the order of letters around made readable.

`bdi` does not hold them: a sign that begins a run and is never ended turns the rest of the page, and code is not what
it looks like. Source: Unicode Standard Annex 9
"""

import re
from typing import Any

from markupsafe import Markup

_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")  # embeddings, overrides and isolates


def readable(value: Any) -> Any:
    """What a template is to write; only texts are touched."""
    if not isinstance(value, str) or value.isascii() or not _TURNING.search(value):
        return value
    text = _TURNING.sub(lambda found: f"[U+{ord(found[0]):04X}]", value)
    return Markup(text) if isinstance(value, Markup) else text
