"""Words in an address that narrow what a page shows."""

from collections.abc import Mapping

from sekisho.web.console.language import Words

NOTHING = "-"  # asks for what has no value: an empty field of an address is no filter
MAY_LACK = frozenset({"mode", "repository"})  # by which calls without a value can be asked for


def asked_value(text: str) -> str:
    """The value that a word of the address means."""
    return "" if text == NOTHING else text


def filter_words(fields: Mapping[str, str]) -> dict[str, str]:
    """The words for these values."""
    return {name: value or NOTHING for name, value in fields.items()}


def filter_said(name: str, value: str, words: Words) -> str:
    """A filter's value as people read it."""
    if value == NOTHING:
        return words.known(f"by.none.{name}", str(words("tree.none")))
    known = {"mode": "task.mode", "status": "seal"}.get(name)
    return words.known(f"{known}.{value}", value) if known else value


def number_of(text: str) -> int:
    """A number in an address; 0 for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0
