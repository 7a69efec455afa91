"""Words in an address that narrow what a page shows."""

from collections.abc import Mapping
from zoneinfo import ZoneInfo

from sekisho.errors import BadRequest
from sekisho.web.admin.times import parse_since, parse_until
from sekisho.web.console.language import Words

_LAST_US = 253_402_300_799_999_999  # what is later has no year of four digits
NOTHING = "-"  # asks for what has no value: an empty field of an address is no filter
MAY_LACK = frozenset({"mode", "repository"})  # by which calls without a value can be asked for


def asked_value(text: str) -> str:
    """The value that a word of the address means."""
    return "" if text == NOTHING else text


def asked_times(plain: Mapping[str, str], zone: ZoneInfo) -> dict[str, int]:
    """The first microsecond of `since` and the one behind `until`, where the address has them; dates are those of the
    books' time zone. What is no time is left out."""
    times = {}
    for name, parse in (("since", parse_since), ("until", parse_until)):
        try:
            at_us = parse(plain.get(name) or None, name, zone)
        except BadRequest:
            continue
        if at_us is not None:
            times[name] = min(max(at_us, 0), _LAST_US)
    return times


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
