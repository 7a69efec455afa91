"""When the people of the demonstration work: working days from the first of last month's same day until now."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

from sekisho.app.demo.organisation import DEVELOPERS, TIME_ZONE, Developer

DAYS = 31
_FIRST_HOUR, _LAST_HOUR = 9, 19


@dataclass(frozen=True, order=True)
class Start:
    """Somebody begins a task. Unit: microseconds since the epoch."""

    at_us: int
    number: int
    developer: Developer


def starts(now_us: int, random: Random, scale: float = 1.0) -> Iterator[Start]:
    """The beginnings of all tasks of the last month, in order; none at a weekend. `scale` 0.5: half as many."""
    zone = ZoneInfo(TIME_ZONE)
    today = datetime.fromtimestamp(now_us / 1_000_000, zone).date()
    found: list[Start] = []
    for day in (today - timedelta(days=back) for back in range(DAYS, -1, -1)):
        if day.weekday() >= 5:
            continue
        for developer in DEVELOPERS:
            for _ in range(_count(developer.works * scale, random)):
                is_morning = random.random() < 0.6
                first, usual = (_FIRST_HOUR, 11) if is_morning else (13, 15)
                hour = random.triangular(first, _LAST_HOUR, usual)
                at = datetime(day.year, day.month, day.day, tzinfo=zone) + timedelta(hours=hour)
                at_us = int(at.timestamp()) * 1_000_000
                if at_us < now_us - 3_600_000_000:
                    found.append(Start(at_us, len(found), developer))
    yield from sorted(found)


def _count(mean: float, random: Random) -> int:
    whole = int(mean)
    return whole + (random.random() < mean - whole)
