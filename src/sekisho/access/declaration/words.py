"""Durations, times and windows between the words of the file and our values."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sekisho.values import END_OF_TIME, Window

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_DURATION = re.compile(r"([0-9]{1,9})(s|m|h|d|w)")
_SECONDS = {"w": 604_800, "d": 86_400, "h": 3600, "m": 60, "s": 1}
MOST_PERIOD_S = 3650 * 86_400


@lru_cache(maxsize=512)
def has_zone(name: str) -> bool:
    """Whether there is such a time zone."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return bool(name)


def parse_seconds(text: str) -> int | None:
    """The seconds of "30s", "15m", "12h", "30d", "4w"; None if it is none of these, nothing or too long."""
    match = _DURATION.fullmatch(text)
    seconds = int(match[1]) * _SECONDS[match[2]] if match else 0
    return seconds if 0 < seconds <= MOST_PERIOD_S else None


def render_seconds(seconds: int) -> str:
    """The shortest way to write a duration."""
    unit, length = next((unit, length) for unit, length in _SECONDS.items() if seconds % length == 0)
    return f"{seconds // length}{unit}"


def parse_time(text: str, time_zone: str) -> int | None:
    """The microsecond that a date (its first moment) or a time means, in this zone if it names none; None: no time."""
    try:
        at = datetime.fromisoformat(text)
        at_us = ((at if at.tzinfo else at.replace(tzinfo=ZoneInfo(time_zone))) - _EPOCH) // _MICROSECOND
    except (ValueError, OverflowError):
        return None
    return at_us if 0 <= at_us <= END_OF_TIME else None


def render_time(at_us: int) -> str:
    """ISO 8601 in UTC, exact to the microsecond."""
    return (_EPOCH + at_us * _MICROSECOND).isoformat().replace("+00:00", "Z")


def render_window(window: Window) -> dict[str, str]:
    """The fields that cut a budget's time."""
    if window.kind == "period":
        return {"per": render_seconds(window.period_s), "from": render_time(window.starts_at)}
    if window.kind == "fixed":
        bounds = {"per": "once"}
        if window.starts_at:
            bounds["from"] = render_time(window.starts_at)
        if window.ends_at < END_OF_TIME:
            bounds["until"] = render_time(window.ends_at)
        return bounds
    return {"per": window.kind, "time_zone": window.time_zone}
