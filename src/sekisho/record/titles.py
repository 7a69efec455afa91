"""What a task is called: the first line that a person wrote, without what the agent put around it. Pure."""

import re
from collections.abc import Iterable

from sekisho.record.conversation import Turn, Words

_ADDED = re.compile(
    r"<(environment_details|system-reminder|env|user_instructions|ide_\w+)>.*?(?:</\1>|\Z)", re.DOTALL | re.IGNORECASE
)
_WRAPPED = re.compile(r"</?(?:task|feedback|user_message|answer|session)>", re.IGNORECASE)
_TITLE_CHARACTERS = 80


def title_of(turns: Iterable[Turn]) -> str:
    """The title that these turns give a task; empty where nobody wrote anything."""
    for turn in turns:
        if turn.speaker == "human":
            text = "\n\n".join(part.text for part in turn.parts if isinstance(part, Words))
            if line := first_line(own_words(text)[0]):
                return line
    return ""


def own_words(text: str) -> tuple[str, str]:
    """What a person wrote, and what the agent put around it."""
    added = "\n\n".join(found[0].strip() for found in _ADDED.finditer(text))
    return _WRAPPED.sub("", _ADDED.sub("", text)).strip(), added


def first_line(text: str) -> str:
    """The first line with something in it, shortened to a title."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= _TITLE_CHARACTERS else line[: _TITLE_CHARACTERS - 1] + "…"
