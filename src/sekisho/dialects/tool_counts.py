"""Which tools an answer calls, and how often: names and counts, never what they are called with.

Above: the translations, which count as they read. Short whatever a model writes: so many names, of so many bytes each;
what is beyond is counted under an empty name.
"""

import re

ToolCounts = dict[str, int]
"""How often an answer called each tool, by name, in the order of the first calls."""

MOST_NAMES = 12
NAME_BYTES = 64  # as long as a provider lets them be
_OTHERS = ""
_PLAIN = re.compile(rf"[\w.:/-]{{1,{NAME_BYTES}}}", re.ASCII)


def count_tool(counts: ToolCounts, name: str) -> None:
    """Count one call of a tool."""
    if not _PLAIN.fullmatch(name):
        name = _shown(name)
    if name not in counts and len(counts) >= MOST_NAMES:
        name = _OTHERS
    counts[name] = counts.get(name, 0) + 1


def _shown(name: str) -> str:
    """A name that can be shown on a line and stands in JSON as it is."""
    seen = "".join([one if one.isprintable() and one not in '"\\' else "\ufffd" for one in name[:NAME_BYTES]])
    return seen.encode(errors="replace")[:NAME_BYTES].decode(errors="ignore")
