"""Times and money at the border of the admin API."""

from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sekisho.errors import BadRequest

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)


def iso(at_us: int | None) -> str | None:
    """A time as ISO 8601 in UTC, exact to the microsecond."""
    return None if at_us is None else (EPOCH + at_us * MICROSECOND).isoformat().replace("+00:00", "Z")


def iso_day(day: int) -> str:
    """A UTC day as YYYY-MM-DD."""
    return (EPOCH + day * DAY).date().isoformat()


def parse_since(text: str | None, param: str, zone: tzinfo = UTC) -> int | None:
    """The first microsecond meant by a date or a time, in this zone if it names none. Raises BadRequest."""
    return None if text is None else (_parse(text, param, zone) - EPOCH) // MICROSECOND


def parse_until(text: str | None, param: str, zone: tzinfo = UTC) -> int | None:
    """The first microsecond that is no longer meant: a date includes its whole day. Raises BadRequest."""
    if text is None:
        return None
    at = _parse(text, param, zone)
    try:
        return ((at + DAY if len(text) <= 10 else at) - EPOCH) // MICROSECOND
    except OverflowError as error:  # the day after the last one
        raise BadRequest("There is no day after 9999-12-31.", param=param) from error


def parse_zone(name: str, param: str = "time_zone") -> ZoneInfo:
    """The time zone of this name. Raises BadRequest."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadRequest(f"There is no time zone '{name[:60]}'.", param=param) from error


def usd(nanousd: int) -> float:
    """Dollars for clients that expect a JSON number; the exact figure is the integer."""
    return nanousd / 1_000_000_000


def _parse(text: str, param: str, zone: tzinfo) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadRequest("A date looks like 2026-01-31, a time like 2026-01-31T10:00:00Z.", param=param) from error
    return at if at.tzinfo else at.replace(tzinfo=zone)
