"""The time windows of budgets, derived from the clock: there is no job that resets anything.

Days, weeks and months begin at local midnight of the budget's time zone, so a day may have 23 or 25 hours. Where a
midnight does not exist the window begins at the first moment of that day. Times are microseconds since the epoch.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from sekisho.errors import BadRequest
from sekisho.values import Window, WindowKind

_SECOND_US = 1_000_000


class Span(msgspec.Struct, frozen=True, array_like=True):
    """One window: `starts_at` <= time < `ends_at`."""

    starts_at: int
    ends_at: int

    def holds(self, at_us: int) -> bool:
        return self.starts_at <= at_us < self.ends_at


def check_window(window: Window) -> None:
    """Raises BadRequest for a window that cannot be."""
    try:
        ZoneInfo(window.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadRequest(f"There is no time zone '{window.time_zone[:60]}'.", param="time_zone") from error
    if window.kind == "period" and window.period_s < 1:
        raise BadRequest("A period has at least one second.", param="period_s")
    if window.starts_at >= window.ends_at:
        raise BadRequest("A window ends after it starts.", param="ends_at")


def span_at(window: Window, at_us: int) -> Span | None:
    """The window that holds this time; None outside a fixed one."""
    if window.kind == "fixed":
        span = Span(window.starts_at, window.ends_at)
        return span if span.holds(at_us) else None
    if window.kind == "period":
        length_us = window.period_s * _SECOND_US
        start = at_us - (at_us - window.starts_at) % length_us
        return Span(start, start + length_us)
    return _calendar_span(window.kind, window.time_zone, at_us)


def _calendar_span(kind: WindowKind, time_zone: str, at_us: int) -> Span:
    zone = _zone(time_zone)
    local = datetime.fromtimestamp(at_us // _SECOND_US, zone)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    if kind == "week":
        midnight -= timedelta(days=midnight.weekday())
    elif kind == "month":
        midnight = midnight.replace(day=1)
    return Span(_first_moment(midnight, zone), _first_moment(_following(kind, midnight), zone))


def _following(kind: WindowKind, midnight: datetime) -> datetime:
    if kind == "day":
        return midnight + timedelta(days=1)
    if kind == "week":
        return midnight + timedelta(days=7)
    return (midnight + timedelta(days=32)).replace(day=1)


def _first_moment(midnight: datetime, zone: ZoneInfo) -> int:
    """When a local day begins: of a midnight that comes twice the first, for a skipped one the end of the gap."""
    moment = midnight.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) != midnight:
        moment = _end_of_gap(midnight, zone)
    return int(moment.timestamp()) * _SECOND_US


def _end_of_gap(midnight: datetime, zone: ZoneInfo) -> datetime:
    """The first moment whose local time is not before a midnight that the clocks skipped."""
    low = int((midnight.replace(tzinfo=UTC) - timedelta(hours=30)).timestamp())
    high = int((midnight.replace(tzinfo=UTC) + timedelta(hours=30)).timestamp())
    while low < high:
        middle = (low + high) // 2
        local = datetime.fromtimestamp(middle, zone).replace(tzinfo=None)
        low, high = (low, middle) if local >= midnight else (middle + 1, high)
    return datetime.fromtimestamp(low, UTC)


@lru_cache(maxsize=512)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
