"""Times and money at the border of the admin API."""

from datetime import UTC, datetime, timedelta

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


def parse_since(text: str | None, param: str) -> int | None:
    """The first microsecond meant by a date or a time; UTC if it names no zone. Raises BadRequest."""
    return None if text is None else (_parse(text, param) - EPOCH) // MICROSECOND


def parse_until(text: str | None, param: str) -> int | None:
    """The first microsecond that is no longer meant: a date includes its whole day. Raises BadRequest."""
    if text is None:
        return None
    at = _parse(text, param)
    return ((at + DAY if len(text) <= 10 else at) - EPOCH) // MICROSECOND


def usd(nanousd: int) -> float:
    """Dollars for clients that expect a JSON number; the exact figure is the integer."""
    return nanousd / 1_000_000_000


def _parse(text: str, param: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadRequest("A date looks like 2026-01-31, a time like 2026-01-31T10:00:00Z.", param=param) from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)
